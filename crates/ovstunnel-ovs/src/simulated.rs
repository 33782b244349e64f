//! A switch in memory, with Open vSwitch's behaviour as far as ovstunnel meets it: refusals, protected ports, flows.
//!
//! What it does: lets the whole daemon run without Open vSwitch, and tests plug VIFs, write as others do, and take the
//! switch down. What it must not do: accept what the real one refuses.

mod listed;
mod others;
mod outcomes;
mod pace;
mod recorded;
mod rows;
mod sessions;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use compact_str::CompactString;
use ovstunnel_plan::{
    BridgeEdit, BridgeSpec, DesiredTunnel, FailMode, FlowChange, FlowsSeen, PluginFlow, Step, TunnelEndpoint, View,
};

use crate::mirror::{Db, InterfaceRow, Observer, Pairs, PortRow};
use crate::{CommitError, Health};

pub use outcomes::Becomes;
pub use pace::{Pace, Work};
use rows::{
    add_bridge, add_port, bridge_uuid, edit_bridge, edit_port, edit_switch, receive_only, record_epoch, remove_bridge,
    remove_port, report_tunnel, set_mtu_request, sorted_pairs, with_bfd,
};

#[derive(Debug, Default)]
struct State {
    flows: BTreeMap<String, FlowsSeen>,
    /// Flows of others, as a dump prints them.
    others: BTreeMap<String, Vec<String>>,
    next_ofport: i64,
    refused: HashSet<TunnelEndpoint>,
    commits: u64,
    /// Bridges whose flows cannot be changed.
    no_flows: HashSet<String>,
    /// Bridges on which changes of flows do nothing.
    ignored_flows: HashSet<String>,
    /// The database takes nothing.
    no_commits: bool,
    /// There are no meters.
    no_meters: bool,
    outcomes: outcomes::Outcomes,
    recorded: recorded::Recorded,
    /// Columns that the mirror does not have: table, row, column.
    columns: listed::Columns,
}

/// A switch in memory.
#[derive(Clone, Debug)]
pub struct SimulatedSwitch {
    observer: Observer,
    state: Arc<Mutex<State>>,
    pace: Option<Pace>,
}

impl Default for SimulatedSwitch {
    fn default() -> Self {
        Self::new()
    }
}

impl SimulatedSwitch {
    /// A switch without bridges.
    pub fn new() -> Self {
        let version = Some("3.1.0 (simulated)".to_owned());
        let health = Health {
            database: Ok(()),
            vswitchd: Ok(()),
            generation: 1,
            version,
            database_silent: None,
            vswitchd_silent: None,
            no_meters: None,
        };
        SimulatedSwitch { observer: Observer::new(health), state: Arc::default(), pace: None }
    }

    /// The same switch, whose commands take their time. Clones made before do not.
    pub fn with_pace(self, pace: Pace) -> Self {
        SimulatedSwitch { pace: Some(pace), ..self }
    }

    /// Lets the time pass that a command takes.
    async fn take_time(&self, work: Work<'_>) {
        let time = self.pace.as_ref().map(|pace| pace.delay_of(&work)).unwrap_or_default();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    fn lock_state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many changes were carried out, flows included.
    pub fn commits(&self) -> u64 {
        self.lock_state().commits
    }

    /// Has the switch refuse a tunnel from now on, as the real one does for reasons of its own.
    pub fn refuse_tunnel(&self, endpoint: TunnelEndpoint) {
        self.lock_state().refused.insert(endpoint);
    }

    /// Has the switch take it again, once it is asked to look.
    pub fn accept_tunnel(&self, endpoint: TunnelEndpoint) {
        self.lock_state().refused.remove(&endpoint);
    }

    /// Has the switch refuse changes of a bridge's flows, or take them again.
    pub fn refuse_flows(&self, bridge: &str, refuse: bool) {
        let mut state = self.lock_state();
        state.no_flows.retain(|other| other != bridge);
        state.no_flows.extend(refuse.then(|| bridge.to_owned()));
    }

    /// Has the database refuse every transaction, or take them again.
    pub fn refuse_commits(&self, refuse: bool) {
        self.lock_state().no_commits = refuse;
    }

    /// Takes `ovs-vswitchd` down, or starts it again with an empty flow table.
    pub fn set_running(&self, running: bool) {
        if running {
            let mut state = self.lock_state();
            state.flows.values_mut().for_each(|flows| *flows = FlowsSeen::none());
            state.others.clear();
        }
        self.observer.set_health(|health| match running {
            true => {
                health.vswitchd = Ok(());
                health.generation += 1;
            }
            false => health.vswitchd = Err("ovs-vswitchd has ended".into()),
        });
    }

    /// Has the database out of reach, or in reach again; all that is in the switch stays.
    pub fn set_database(&self, reachable: bool) {
        self.observer.set_health(|health| {
            health.database = if reachable { Ok(()) } else { Err("its database cannot be reached".into()) };
        });
    }

    /// Deletes all flows of a bridge, as anybody can.
    pub fn lose_flows(&self, bridge: &str) {
        self.lock_state().flows.insert(bridge.to_owned(), FlowsSeen::none());
    }

    /// Makes a bridge that is not ours.
    pub fn foreign_bridge(&self, name: &str) {
        self.observer.write(|db| add_bridge(db, name, false, Pairs::new(), Pairs::new()));
    }

    /// Adds a port of the system to a bridge, as a hypervisor does.
    pub fn plug_port(&self, bridge: &str, port: &str) {
        let ofport = self.next_ofport();
        let interface = InterfaceRow { name: port.into(), ofport: Some(ofport), ..InterfaceRow::default() };
        let row = PortRow { name: port.into(), ..PortRow::default() };
        self.observer.write(|db| add_port(db, bridge, row, interface));
    }

    /// Takes a port from its bridge.
    pub fn unplug_port(&self, port: &str) {
        self.observer.write(|db| {
            let found = db.ports.iter().find(|(_, row)| row.name == port).map(|(uuid, _)| *uuid);
            if let Some(uuid) = found {
                remove_port(db, uuid);
            }
        });
    }

    fn next_ofport(&self) -> i64 {
        let mut state = self.lock_state();
        state.next_ofport += 1;
        state.next_ofport
    }

    fn check_health(&self) -> Result<(), CommitError> {
        match self.observer.watch_health().borrow().first_trouble() {
            Some(reason) => Err(CommitError::Unavailable(reason.to_owned())),
            None => Ok(()),
        }
    }

    pub(crate) async fn commit(&self, steps: &[Step]) -> Result<(), CommitError> {
        self.check_health()?;
        self.record_transaction(steps);
        if !steps.is_empty() {
            let ports = self.observer.read(|db| db.ports.len());
            self.take_time(Work::Transaction { steps, ports }).await;
            self.check_health()?;
        }
        self.observer.read(|db| check_steps(db, steps))?;
        if self.lock_state().no_commits && !steps.is_empty() {
            return Err(CommitError::Refused("transaction error".into()));
        }
        self.commit_killed(steps)?;
        self.carry_out(steps);
        Ok(())
    }

    fn carry_out(&self, steps: &[Step]) {
        self.lock_state().commits += 1;
        self.observer.write(|db| {
            let mut taken = tunnels_there(db);
            steps.iter().for_each(|step| self.apply_step(db, &mut taken, step));
        });
    }

    fn apply_step(&self, db: &mut Db, taken: &mut HashSet<TunnelEndpoint>, step: &Step) {
        // As strict as the real one can be: what a step frees is free for the next transaction, not for this one.
        let refused = step
            .claims()
            .is_some_and(|endpoint| !taken.insert(endpoint) || self.lock_state().refused.contains(&endpoint));
        match step {
            Step::CreateBridge(spec) => self.create_bridge(db, spec),
            Step::EditBridge { bridge, edits } => {
                self.flush_on_another_fail_mode(db, bridge.as_str(), edits);
                edits.iter().for_each(|edit| edit_bridge(db, bridge.as_str(), edit));
            }
            Step::DeleteBridge { bridge, uuid, .. } => {
                self.lock_state().flows.remove(bridge.as_str());
                self.lock_state().others.remove(bridge.as_str());
                remove_bridge(db, *uuid);
            }
            Step::AddTunnel { bridge, tunnel } => self.add_tunnel(db, bridge.as_str(), tunnel, refused),
            Step::EditTunnel { port, edits, claims, .. } => {
                let edited = edit_port(db, port.as_str(), edits);
                if let (Some(interface), Some(_)) = (edited, claims) {
                    let ofport = interface.ofport.filter(|ofport| *ofport > 0).unwrap_or_else(|| self.next_ofport());
                    report_tunnel(interface, refused, ofport);
                }
            }
            Step::RemoveTunnel { uuid, .. } => remove_port(db, *uuid),
            Step::TryAgain { .. } => self.try_again(db, taken),
            Step::RecordEpoch(epoch) => record_epoch(db, *epoch),
            Step::EditSwitch(edits) => edits.iter().for_each(|edit| edit_switch(db, edit)),
        }
    }

    /// Looks again at what was refused.
    fn try_again(&self, db: &mut Db, taken: &mut HashSet<TunnelEndpoint>) {
        for interface in db.interfaces.values_mut().filter(|row| row.error.is_some()) {
            let Some(endpoint) = tunnel_endpoint(interface) else { continue };
            if !self.lock_state().refused.contains(&endpoint) && taken.insert(endpoint) {
                report_tunnel(interface, false, self.next_ofport());
            }
        }
    }

    /// Open vSwitch deletes all flows of a bridge whose `fail_mode` becomes another one.
    fn flush_on_another_fail_mode(&self, db: &Db, bridge: &str, edits: &[BridgeEdit]) {
        let there = bridge_uuid(db, bridge).and_then(|uuid| db.bridges.get(&uuid)?.fail_mode.clone());
        let secure = there.as_deref() == Some(FailMode::Secure.as_str());
        let other = |edit: &BridgeEdit| matches!(edit, BridgeEdit::FailMode(mode) if (*mode == Some(FailMode::Secure)) != secure);
        if edits.iter().any(other) {
            self.lock_state().flows.insert(bridge.to_owned(), FlowsSeen::none());
        }
    }

    fn create_bridge(&self, db: &mut Db, spec: &BridgeSpec) {
        let pairs = |map: &BTreeMap<String, String>| {
            map.iter().map(|(k, v)| (k.as_str().into(), v.as_str().into())).collect::<Pairs>()
        };
        add_bridge(db, spec.name.as_str(), true, pairs(&spec.external_ids), pairs(&spec.other_config));
        if let Some(row) = bridge_uuid(db, spec.name.as_str()).and_then(|uuid| db.bridges.get_mut(&uuid)) {
            row.fail_mode = spec.fail_mode.map(|mode| mode.as_str().to_owned());
        }
        set_mtu_request(db, spec.name.as_str(), spec.mtu_request);
        self.lock_state().flows.insert(spec.name.to_string(), FlowsSeen::none());
    }

    fn add_tunnel(&self, db: &mut Db, bridge: &str, tunnel: &DesiredTunnel, refused: bool) {
        let name = CompactString::from(tunnel.port_name().as_str());
        let mut interface = InterfaceRow {
            name: name.clone(),
            kind: tunnel.encap.kind().interface_type().into(),
            options: sorted_pairs(tunnel.interface_options()),
            bfd: with_bfd(tunnel.bfd.iter().flat_map(|interval| interval.bfd_column())),
            ..InterfaceRow::default()
        };
        report_tunnel(&mut interface, refused, self.next_ofport());
        let external_ids = sorted_pairs(tunnel.external_ids());
        let vlan = tunnel.second.then(receive_only).flatten();
        add_port(db, bridge, PortRow { name, protected: true, external_ids, vlan, ..PortRow::default() }, interface);
    }

    pub(crate) async fn change_flows(&self, bridge: &str, change: &FlowChange) -> Result<(), CommitError> {
        self.check_health()?;
        self.record_flows(bridge, change);
        self.take_time(Work::Bundle(change)).await;
        self.check_health()?;
        if self.observer.read(|db| bridge_uuid(db, bridge).is_none()) {
            return Err(CommitError::Unavailable(format!("connecting to {bridge} (No such file or directory)")));
        }
        let mut state = self.lock_state();
        if state.no_flows.contains(bridge) {
            return Err(CommitError::Refused("OFPT_ERROR (OF1.4)".into()));
        }
        if state.no_meters && !change.meters_needed().is_empty() {
            drop(state);
            return Err(self.without_meters());
        }
        if state.ignored_flows.contains(bridge) {
            return Ok(());
        }
        state.commits += 1;
        let flows = state.flows.entry(bridge.to_owned()).or_insert_with(FlowsSeen::none);
        *flows = change.applied_to(flows);
        if let Some(others) = state.others.get_mut(bridge) {
            others.retain(|line| PluginFlow::parse(line).is_none_or(|flow| !change.plugins.contains(&flow)));
        }
        Ok(())
    }

    /// Adds a flow of somebody else's to a bridge, as a line of a dump.
    pub fn add_flow(&self, bridge: &str, line: &str) {
        self.lock_state().others.entry(bridge.to_owned()).or_default().push(line.to_owned());
    }

    /// The flows of others on a bridge.
    pub fn flows_of_others(&self, bridge: &str) -> Vec<String> {
        self.lock_state().others.get(bridge).cloned().unwrap_or_default()
    }

    pub(crate) fn dump_all_flows(&self, bridge: &str) -> Result<String, CommitError> {
        self.check_health()?;
        Ok(self.flows_of_others(bridge).join("\n"))
    }

    pub(crate) async fn dump_flows(&self, bridge: &str) -> Result<FlowsSeen, CommitError> {
        self.check_health()?;
        self.take_time(Work::Dump { bridge }).await;
        self.check_health()?;
        Ok(self.lock_state().flows.get(bridge).cloned().unwrap_or_else(FlowsSeen::none))
    }
}

/// Where an interface leads.
fn tunnel_endpoint(row: &InterfaceRow) -> Option<TunnelEndpoint> {
    let option = |name: &str| row.options.iter().find(|(key, _)| *key == name).map(|(_, value)| value.as_str());
    TunnelEndpoint::of_interface(&row.kind, option)
}

/// Where the tunnels lead that are up.
fn tunnels_there(db: &Db) -> HashSet<TunnelEndpoint> {
    db.interfaces.values().filter(|row| row.error.is_none()).filter_map(tunnel_endpoint).collect()
}

/// What the database refuses as a whole: names that exist already, rows that do not.
fn check_steps(db: &Db, steps: &[Step]) -> Result<(), CommitError> {
    let view = db.view();
    let mut created: HashSet<String> = HashSet::new();
    for step in steps {
        let refused = match step {
            Step::CreateBridge(spec) if view.bridge_of_port(spec.name.as_str()).is_some() => {
                Some(format!("cannot create a port named {} because a port of that name already exists", spec.name))
            }
            Step::CreateBridge(spec) => {
                created.insert(spec.name.to_string());
                None
            }
            Step::AddTunnel { tunnel, .. }
                if view.bridge_of_port(tunnel.port_name().as_str()).is_some()
                    || !created.insert(tunnel.port_name().to_string()) =>
            {
                Some(format!("a port named {} already exists", tunnel.port_name()))
            }
            Step::AddTunnel { bridge, .. } | Step::EditBridge { bridge, .. }
                if !created.contains(bridge.as_str()) && view.bare_bridge(bridge.as_str()).is_none() =>
            {
                Some(format!("no row \"{bridge}\" in table Bridge"))
            }
            Step::EditTunnel { port, .. } if view.bridge_of_port(port.as_str()).is_none() => {
                Some(format!("no row \"{port}\" in table Port"))
            }
            _ => None,
        };
        if let Some(words) = refused {
            return Err(CommitError::Refused(words));
        }
    }
    Ok(())
}
