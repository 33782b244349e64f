//! A switch in memory, with Open vSwitch's behaviour as far as ovstunnel meets it: refusals, protected ports, flows.
//!
//! What it does: lets the whole daemon run without Open vSwitch, and tests plug VIFs, write as others do, and take the
//! switch down. What it must not do: accept what the real one refuses.

mod others;
mod rows;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ovstunnel_core::{
    BridgeEdit, BridgeSpec, DesiredTunnel, FailMode, FlowChange, FlowsSeen, GreIdentity, PluginFlow, PortEdit, Step,
    View,
};
use uuid::Uuid;

use crate::mirror::{BridgeRow, Db, InterfaceRow, Observer, Pairs, PortRow};
use crate::{CommitError, Health};

/// OpenFlow port number of a bridge's own port.
const OFPP_LOCAL: i64 = 65534;

#[derive(Debug, Default)]
struct State {
    flows: BTreeMap<String, FlowsSeen>,
    /// Flows of others, as a dump prints them.
    others: BTreeMap<String, Vec<String>>,
    next_ofport: i64,
    refused: HashSet<GreIdentity>,
    commits: u64,
    /// Bridges whose flows cannot be changed.
    no_flows: HashSet<String>,
    /// The database takes nothing.
    no_commits: bool,
    /// Columns that the mirror does not have: table, row, column.
    columns: rows::Columns,
}

/// A switch in memory.
#[derive(Clone, Debug)]
pub struct SimulatedSwitch {
    observer: Observer,
    state: Arc<Mutex<State>>,
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
        let health = Health { database: Ok(()), vswitchd: Ok(()), generation: 1, version, no_meters: None };
        SimulatedSwitch { observer: Observer::new(health), state: Arc::default() }
    }

    pub(crate) fn observer(&self) -> &Observer {
        &self.observer
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many changes were carried out, flows included.
    pub fn commits(&self) -> u64 {
        self.state().commits
    }

    /// Has the switch refuse a tunnel from now on, as the real one does for reasons of its own.
    pub fn refuse(&self, identity: GreIdentity) {
        self.state().refused.insert(identity);
    }

    /// Has the switch take it again, once it is asked to look.
    pub fn accept(&self, identity: GreIdentity) {
        self.state().refused.remove(&identity);
    }

    /// Has the switch refuse changes of a bridge's flows, or take them again.
    pub fn refuse_flows(&self, bridge: &str, refuse: bool) {
        let mut state = self.state();
        state.no_flows.retain(|other| other != bridge);
        state.no_flows.extend(refuse.then(|| bridge.to_owned()));
    }

    /// Has the database refuse every transaction, or take them again.
    pub fn refuse_commits(&self, refuse: bool) {
        self.state().no_commits = refuse;
    }

    /// Takes `ovs-vswitchd` down, or starts it again with an empty flow table.
    pub fn set_running(&self, running: bool) {
        if running {
            let mut state = self.state();
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
        self.state().flows.insert(bridge.to_owned(), FlowsSeen::none());
    }

    /// Makes a bridge that is not ours.
    pub fn foreign_bridge(&self, name: &str) {
        self.observer.write(|db| add_bridge(db, name, false, Pairs::new(), Pairs::new()));
    }

    /// Adds a port of the system to a bridge, as a hypervisor does.
    pub fn plug(&self, bridge: &str, port: &str) {
        let ofport = self.ofport();
        let interface = InterfaceRow { name: port.to_owned(), ofport: Some(ofport), ..InterfaceRow::default() };
        let row = PortRow { name: port.to_owned(), ..PortRow::default() };
        self.observer.write(|db| add_port(db, bridge, row, interface));
    }

    /// Takes a port from its bridge.
    pub fn unplug(&self, port: &str) {
        self.observer.write(|db| {
            let found = db.ports.iter().find(|(_, row)| row.name == port).map(|(uuid, _)| *uuid);
            if let Some(uuid) = found {
                remove_port(db, uuid);
            }
        });
    }

    fn ofport(&self) -> i64 {
        let mut state = self.state();
        state.next_ofport += 1;
        state.next_ofport
    }

    fn check_health(&self) -> Result<(), CommitError> {
        match self.observer.health().borrow().trouble() {
            Some(reason) => Err(CommitError::Unavailable(reason.to_owned())),
            None => Ok(()),
        }
    }

    pub(crate) fn commit(&self, steps: &[Step]) -> Result<(), CommitError> {
        self.check_health()?;
        self.observer.read(|db| check(db, steps))?;
        if self.state().no_commits && !steps.is_empty() {
            return Err(CommitError::Refused("transaction error".into()));
        }
        self.state().commits += 1;
        self.observer.write(|db| {
            let mut taken = tunnels_there(db);
            steps.iter().for_each(|step| self.apply(db, &mut taken, step));
        });
        Ok(())
    }

    fn apply(&self, db: &mut Db, taken: &mut HashSet<GreIdentity>, step: &Step) {
        // As strict as the real one can be: what a step frees is free for the next transaction, not for this one.
        let refused =
            step.takes().is_some_and(|identity| !taken.insert(identity) || self.state().refused.contains(&identity));
        match step {
            Step::CreateBridge(spec) => self.create_bridge(db, spec),
            Step::EditBridge { bridge, edits } => {
                self.flush_on_another_fail_mode(db, bridge.as_str(), edits);
                edits.iter().for_each(|edit| edit_bridge(db, bridge.as_str(), edit));
            }
            Step::DeleteBridge { bridge, uuid, .. } => {
                self.state().flows.remove(bridge.as_str());
                self.state().others.remove(bridge.as_str());
                remove_bridge(db, *uuid);
            }
            Step::AddTunnel { bridge, tunnel } => self.add_tunnel(db, bridge.as_str(), tunnel, refused),
            Step::EditTunnel { port, edits, takes, .. } => {
                let edited = edit_port(db, port.as_str(), edits);
                if let (Some(interface), Some(_)) = (edited, takes) {
                    let ofport = interface.ofport.filter(|ofport| *ofport > 0).unwrap_or_else(|| self.ofport());
                    report(interface, refused, ofport);
                }
            }
            Step::RemoveTunnel { uuid, .. } => remove_port(db, *uuid),
            Step::TryAgain { .. } => self.try_again(db, taken),
            Step::ChangeFlows { .. } => {}
        }
    }

    /// Looks again at what was refused.
    fn try_again(&self, db: &mut Db, taken: &mut HashSet<GreIdentity>) {
        for interface in db.interfaces.values_mut().filter(|row| row.error.is_some()) {
            let Some(identity) = identity(interface) else { continue };
            if !self.state().refused.contains(&identity) && taken.insert(identity) {
                report(interface, false, self.ofport());
            }
        }
    }

    /// Open vSwitch deletes all flows of a bridge whose `fail_mode` becomes another one.
    fn flush_on_another_fail_mode(&self, db: &Db, bridge: &str, edits: &[BridgeEdit]) {
        let there = bridge_uuid(db, bridge).and_then(|uuid| db.bridges.get(&uuid)?.fail_mode.clone());
        let secure = there.as_deref() == Some(FailMode::Secure.as_str());
        let other = |edit: &BridgeEdit| matches!(edit, BridgeEdit::FailMode(mode) if (*mode == Some(FailMode::Secure)) != secure);
        if edits.iter().any(other) {
            self.state().flows.insert(bridge.to_owned(), FlowsSeen::none());
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
        self.state().flows.insert(spec.name.to_string(), FlowsSeen::none());
    }

    fn add_tunnel(&self, db: &mut Db, bridge: &str, tunnel: &DesiredTunnel, refused: bool) {
        let name = tunnel.port().to_string();
        let mut interface = InterfaceRow {
            name: name.clone(),
            kind: "gre".into(),
            options: sorted(tunnel.options()),
            ..InterfaceRow::default()
        };
        report(&mut interface, refused, self.ofport());
        let external_ids = sorted(tunnel.external_ids());
        add_port(db, bridge, PortRow { name, protected: true, external_ids, ..PortRow::default() }, interface);
    }

    pub(crate) fn change_flows(&self, bridge: &str, change: &FlowChange) -> Result<(), CommitError> {
        self.check_health()?;
        if self.observer.read(|db| bridge_uuid(db, bridge).is_none()) {
            return Err(CommitError::Unavailable(format!("connecting to {bridge} (No such file or directory)")));
        }
        let mut state = self.state();
        if state.no_flows.contains(bridge) {
            return Err(CommitError::Refused("OFPT_ERROR (OF1.4)".into()));
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
        self.state().others.entry(bridge.to_owned()).or_default().push(line.to_owned());
    }

    /// The flows of others on a bridge.
    pub fn flows_of_others(&self, bridge: &str) -> Vec<String> {
        self.state().others.get(bridge).cloned().unwrap_or_default()
    }

    pub(crate) fn dump_all_flows(&self, bridge: &str) -> Result<String, CommitError> {
        self.check_health()?;
        Ok(self.flows_of_others(bridge).join("\n"))
    }

    pub(crate) fn dump_flows(&self, bridge: &str) -> Result<FlowsSeen, CommitError> {
        self.check_health()?;
        Ok(self.state().flows.get(bridge).cloned().unwrap_or_else(FlowsSeen::none))
    }
}

/// The remote address and key of an interface.
fn identity(row: &InterfaceRow) -> Option<GreIdentity> {
    let text = |key: &str| row.options.iter().find(|(k, _)| **k == *key).map(|(_, value)| value.clone());
    Some((text("remote_ip")?.parse().ok()?, text("key")?.parse().ok()?))
}

/// The remote addresses and keys that interfaces have.
fn tunnels_there(db: &Db) -> HashSet<GreIdentity> {
    db.interfaces.values().filter(|row| row.kind == "gre" && row.error.is_none()).filter_map(identity).collect()
}

/// What the database refuses as a whole: names that exist already, rows that do not.
fn check(db: &Db, steps: &[Step]) -> Result<(), CommitError> {
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
                if view.bridge_of_port(tunnel.port().as_str()).is_some()
                    || !created.insert(tunnel.port().to_string()) =>
            {
                Some(format!("a port named {} already exists", tunnel.port()))
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

fn add_bridge(db: &mut Db, name: &str, protected: bool, external_ids: Pairs, other_config: Pairs) {
    let uuid = Uuid::new_v4();
    let row = BridgeRow { name: name.to_owned(), external_ids, other_config, ..BridgeRow::default() };
    db.bridges.insert(uuid, row);
    let own = PortRow { name: name.to_owned(), protected, ..PortRow::default() };
    let interface = InterfaceRow {
        name: name.to_owned(),
        kind: "internal".into(),
        ofport: Some(OFPP_LOCAL),
        ..InterfaceRow::default()
    };
    add_port(db, name, own, interface);
}

fn add_port(db: &mut Db, bridge: &str, mut row: PortRow, interface: InterfaceRow) {
    let Some(bridge) = bridge_uuid(db, bridge) else { return };
    let (port_uuid, interface_uuid) = (Uuid::new_v4(), Uuid::new_v4());
    row.interfaces.insert(interface_uuid);
    db.interfaces.insert(interface_uuid, interface);
    db.ports.insert(port_uuid, row);
    db.port_of.insert(interface_uuid, port_uuid);
    db.bridge_of.insert(port_uuid, bridge);
    if let Some(bridge_row) = db.bridges.get_mut(&bridge) {
        bridge_row.ports.insert(port_uuid);
    }
    db.touch(&[bridge], &[], &[]);
}

fn remove_port(db: &mut Db, uuid: Uuid) {
    db.touch(&[], &[uuid], &[]);
    if let Some(bridge) = db.bridge_of.remove(&uuid).and_then(|bridge| db.bridges.get_mut(&bridge)) {
        bridge.ports.remove(&uuid);
    }
    for interface in db.ports.remove(&uuid).map(|row| row.interfaces).unwrap_or_default() {
        db.interfaces.remove(&interface);
        db.port_of.remove(&interface);
    }
}

fn remove_bridge(db: &mut Db, uuid: Uuid) {
    db.touch(&[uuid], &[], &[]);
    let ports = db.bridges.get(&uuid).map(|row| row.ports.clone()).unwrap_or_default();
    ports.into_iter().for_each(|port| remove_port(db, port));
    db.bridges.remove(&uuid);
}

fn bridge_uuid(db: &Db, name: &str) -> Option<Uuid> {
    db.bridges.iter().find(|(_, row)| row.name == name).map(|(uuid, _)| *uuid)
}

fn sorted<const N: usize>(pairs: [(&'static str, String); N]) -> Pairs {
    let mut pairs: Pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    pairs.sort();
    pairs
}

fn set_pair(pairs: &mut Pairs, key: &str, value: Option<&str>) {
    pairs.retain(|(there, _)| **there != *key);
    pairs.extend(value.map(|value| (key.into(), value.into())));
    pairs.sort();
}

fn edit_bridge(db: &mut Db, name: &str, edit: &BridgeEdit) {
    let Some(uuid) = bridge_uuid(db, name) else { return };
    if let BridgeEdit::Protect(on) = edit {
        db.ports.values_mut().filter(|row| row.name == name).for_each(|row| row.protected = *on);
    }
    let Some(row) = db.bridges.get_mut(&uuid) else { return };
    match edit {
        BridgeEdit::SetId(key, value) => set_pair(&mut row.external_ids, key, Some(value)),
        BridgeEdit::DropId(key) => set_pair(&mut row.external_ids, key, None),
        BridgeEdit::SetConfig(key, value) => set_pair(&mut row.other_config, key, Some(value)),
        BridgeEdit::DropConfig(key) => set_pair(&mut row.other_config, key, None),
        BridgeEdit::StpOff => row.stp_enable = false,
        BridgeEdit::RstpOff => row.rstp_enable = false,
        BridgeEdit::OpenFlow14(true) => drop(row.protocols.insert("OpenFlow14".into())),
        BridgeEdit::OpenFlow14(false) => drop(row.protocols.remove("OpenFlow14")),
        BridgeEdit::FailMode(mode) => row.fail_mode = mode.map(|mode| mode.as_str().to_owned()),
        BridgeEdit::Protect(_) => {}
    }
    db.touch(&[uuid], &[], &[]);
}

/// What vswitchd notes at a tunnel that it has looked at.
fn report(interface: &mut InterfaceRow, refused: bool, ofport: i64) {
    let error = format!("could not add network device {} to ofproto (File exists)", interface.name);
    (interface.ofport, interface.error) = if refused { (Some(-1), Some(error)) } else { (Some(ofport), None) };
}

/// Edits a tunnel's port; gives its interface.
fn edit_port<'a>(db: &'a mut Db, name: &str, edits: &[PortEdit]) -> Option<&'a mut InterfaceRow> {
    let uuid = db.ports.iter().find(|(_, row)| row.name == name).map(|(uuid, _)| *uuid)?;
    db.touch(&[], &[uuid], &[]);
    let row = db.ports.get_mut(&uuid)?;
    for edit in edits {
        match edit {
            PortEdit::SetId(key, value) => set_pair(&mut row.external_ids, key, Some(value)),
            PortEdit::Protect => row.protected = true,
            PortEdit::SetAside | PortEdit::MakeGre | PortEdit::SetOption(..) | PortEdit::DropOption(_) => {}
        }
    }
    let interface = db.interfaces.get_mut(row.interfaces.first()?)?;
    edits.iter().for_each(|edit| edit_interface(interface, edit));
    Some(interface)
}

fn edit_interface(interface: &mut InterfaceRow, edit: &PortEdit) {
    match edit {
        PortEdit::SetAside => (interface.kind, interface.ofport) = ("null".into(), Some(-1)),
        PortEdit::MakeGre => interface.kind = "gre".into(),
        PortEdit::SetOption(key, value) => set_pair(&mut interface.options, key, Some(value)),
        PortEdit::DropOption(key) => set_pair(&mut interface.options, key, None),
        PortEdit::SetId(..) | PortEdit::Protect => {}
    }
}
