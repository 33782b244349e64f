//! A host in memory: its switch, its VMs, and a daemon that tells the manager what is there and carries out what it is told.
//!
//! What it must not do: be cleverer than a daemon. A bridge with VIFs is not removed; what cannot be done changes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use futures_util::future::BoxFuture;
use ovstunnel_api::{
    Bridge, Claim, ClaimSays, Code, Flows, FlowsState, Health, HealthState, Id, Interface, PostProbe, ProbeAnswer,
    Problem, PutBridge, PutTunnel, Tunnel, TunnelKind, TunnelState, Vif,
};
use ovstunnel_client::ClientError;
use ovstunnel_manager::hosts::{By, HostClient, Picture, Writers};
use ovstunnel_manager::sending::Wire;
use ovstunnel_manager::zone::{EndpointFault, Told, Zone};
use ovstunnel_types::{GreKey, HostNumber, Ipv6Policy};
use time::format_description::well_known::Rfc3339;

/// What a daemon takes to carry out a request.
const TAKES: Duration = Duration::from_millis(5);

/// What somebody has a daemon say in place of what is there.
pub type Lie = Arc<dyn Fn(&mut Vec<Bridge>) + Send + Sync>;

/// What is true of a zone, whoever knows it.
#[derive(Debug, Default)]
pub struct Truth {
    /// How many VMs of the network with this key run on this host.
    pub vms: BTreeMap<(u32, u64), usize>,
    /// What the manager took from networks whose VMs were there still.
    pub losses: Vec<String>,
    /// The hosts whose bridges it took from them, or whose tunnels it led elsewhere.
    pub lost: BTreeSet<u64>,
    /// Networks of which something was written, and the hosts on which it was, since they were last looked at.
    pub written: BTreeMap<u32, BTreeSet<u64>>,
}

impl Truth {
    fn has(&self, key: u32, host: u64) -> bool {
        self.vms.get(&(key, host)).is_some_and(|vms| *vms > 0)
    }
}

/// A bridge on a switch.
#[derive(Clone, Debug, Default)]
pub struct SimBridge {
    pub key: u32,
    /// The other ends, each with the address at which it is.
    pub tunnels: BTreeMap<u64, String>,
    /// Whether each of its VIFs has its device still.
    pub vifs: Vec<bool>,
    pub claim: Option<(ClaimSays, String)>,
}

#[derive(Default)]
pub struct State {
    pub bridges: BTreeMap<String, SimBridge>,
    /// The address of its tunnels; none where its label names nothing.
    pub address: Option<String>,
    pub lie: Option<Lie>,
    /// Its daemon knows no VIF: neither tells one, nor keeps a bridge for it.
    pub is_blind: bool,
    /// Its daemon does not answer.
    pub is_down: bool,
    /// Hosts to which the switch makes no tunnel.
    pub refuses: BTreeSet<u64>,
    /// Who listens, and what was said.
    told: Option<(Zone, Picture)>,
    version: u64,
    /// Counts the lives of the daemon.
    life: u64,
    pub epoch: u64,
}

pub struct SimHost {
    pub number: u64,
    truth: Arc<Mutex<Truth>>,
    state: Mutex<State>,
}

impl std::fmt::Debug for SimHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SimHost").field("number", &self.number).finish_non_exhaustive()
    }
}

fn problem(code: Code, detail: String) -> ClientError {
    ClientError::Problem(Box::new(Problem::new(code, detail)))
}

fn number(id: &Id) -> u64 {
    match id {
        Id::Number(number) => *number,
        Id::Text(text) => text.parse().unwrap(),
    }
}

pub fn address(host: u64) -> String {
    format!("10.{}.{}.{}", host >> 16 & 255, host >> 8 & 255, host & 255)
}

fn ok() -> Health {
    Health { state: HealthState::Ok, as_of: None, reasons: Vec::new() }
}

impl SimHost {
    pub fn new(number: u64, truth: Arc<Mutex<Truth>>) -> Arc<SimHost> {
        let state = State { address: Some(address(number)), ..State::default() };
        Arc::new(SimHost { number, truth, state: Mutex::new(state) })
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub fn host_number(&self) -> HostNumber {
        self.number.try_into().unwrap()
    }

    /// The daemon is reached: it takes the epoch, says what it has, and where its tunnels end.
    pub fn connect(self: &Arc<Self>, zone: &Zone, writers: &Writers) {
        self.state().life += 1;
        self.state().is_down = false;
        self.state().told = Some((zone.clone(), Picture::default()));
        let client: Arc<dyn HostClient> = Arc::<SimHost>::clone(self);
        writers.open_writer(self.host_number(), client);
        zone.record_lead(self.host_number(), None);
        self.tell();
        self.tell_address();
    }

    /// The daemon does not answer any more.
    pub fn silent(&self, zone: &Zone, writers: &Writers) {
        self.state().told = None;
        self.state().is_down = true;
        self.state().life += 1;
        writers.close_writer(self.host_number());
        zone.host_silent(self.host_number(), "no answer".to_owned());
    }

    pub fn is_connected(&self) -> bool {
        self.state().told.is_some()
    }

    pub fn tell_address(&self) {
        let state = self.state();
        let Some((zone, _)) = &state.told else { return };
        let found = state.address.clone().map(|ip| Interface {
            label: "sim0".into(),
            device: "sim0".into(),
            ip: Some(ip),
            netmask: Some("255.0.0.0".into()),
            ipv6: None,
            mac: None,
            mtu: 1500,
            max_guest_mtu: 1458,
        });
        zone.host_endpoint(
            self.host_number(),
            found.ok_or_else(|| EndpointFault::LabelUnknown("the label names nothing".into())),
        );
    }

    /// Says everything, true or not.
    pub fn tell(&self) {
        let mut state = self.state();
        let mut bridges: Vec<Bridge> =
            state.bridges.iter().map(|(name, bridge)| self.wire(name, bridge, state.is_blind)).collect();
        if let Some(lie) = state.lie.clone() {
            lie(&mut bridges);
        }
        state.version += 1;
        let at = (state.life.to_string(), state.version);
        let Some((zone, picture)) = &mut state.told else { return };
        *picture = Picture::new(&bridges, zone.origin()).unwrap();
        let told = Told { daemon: None, capabilities: vec![], health: ok(), watched: true };
        zone.host_connected(self.host_number(), told, picture.snapshot_at(&at.0, at.1));
    }

    /// Says what has become of one bridge.
    pub fn tell_of(&self, name: &str) {
        let mut state = self.state();
        if state.lie.is_some() {
            drop(state);
            return self.tell();
        }
        state.version += 1;
        let at = (state.life.to_string(), state.version);
        let bridge = state.bridges.get(name).map(|bridge| self.wire(name, bridge, state.is_blind));
        let Some((zone, picture)) = &mut state.told else { return };
        match bridge {
            Some(bridge) => picture.put_bridge(&bridge, zone.origin()).unwrap(),
            None => drop(picture.remove_bridge(name)),
        }
        zone.bridges_changed(self.host_number(), picture.snapshot_at(&at.0, at.1));
    }

    /// The plugin makes a network's bridge, as CloudStack has it done for the first VM.
    pub fn plugin_sets_up(&self, key: u32, says: ClaimSays) {
        let name = format!("xapi{key}");
        {
            let mut state = self.state();
            let Some((zone, _)) = &state.told else { return };
            let at = (zone.origin() + zone.now().0).format(&Rfc3339).unwrap();
            let bridge = state.bridges.entry(name.clone()).or_default();
            (bridge.key, bridge.claim) = (key, Some((says, at)));
        }
        self.tell_of(&name);
    }

    /// The plugin takes a network's bridge away.
    pub fn plugin_destroys(&self, key: u32) {
        let Some(name) = self.bridge_of(key) else { return };
        let zone = {
            let mut state = self.state();
            state.bridges.remove(&name);
            state.told.as_ref().map(|(zone, _)| zone.clone())
        };
        if let Some(zone) = zone {
            zone.destroyed_by_plugin(self.host_number(), [GreKey::try_from(i64::from(key)).unwrap()]);
        }
        self.tell_of(&name);
    }

    /// Nothing tells any more of the plugin's calls.
    pub fn forget_claims(&self) {
        self.state().bridges.values_mut().for_each(|bridge| bridge.claim = None);
        self.tell();
    }

    /// Its tunnels end elsewhere, or its label names nothing.
    pub fn address_is(&self, address: Option<String>) {
        self.state().address = address;
        self.tell_address();
    }

    /// The bridge of the network with this key.
    pub fn bridge_of(&self, key: u32) -> Option<String> {
        self.state().bridges.iter().find(|(_, bridge)| bridge.key == key).map(|(name, _)| name.clone())
    }

    /// A VM is plugged on the bridge of its network. Whether there is one.
    pub fn plug(&self, key: u32) -> bool {
        let Some(name) = self.bridge_of(key) else { return false };
        self.state().bridges.get_mut(&name).unwrap().vifs.push(true);
        self.tell_of(&name);
        true
    }

    /// A VM is unplugged.
    pub fn unplug(&self, key: u32) {
        let Some(name) = self.bridge_of(key) else { return };
        self.state().bridges.get_mut(&name).unwrap().vifs.pop();
        self.tell_of(&name);
    }

    fn wire(&self, name: &str, bridge: &SimBridge, is_blind: bool) -> Bridge {
        let (own, key) = (self.number, bridge.key);
        let tunnel = |(to, ip): (&u64, &String)| Tunnel {
            bfd: None,
            port: format!("t{key}-{own}-{to}"),
            from: own.to_string(),
            to: to.to_string(),
            remote_ip: ip.clone(),
            key,
            ofport: Some(1),
            state: TunnelState::Up,
            protected: true,
            error: None,
        };
        let vif =
            |(n, is_there): (usize, &bool)| Vif { name: format!("vif{n}.0"), ofport: is_there.then_some(2), mac: None };
        let claim = |(says, at): &(ClaimSays, String)| Claim { says: *says, at: at.clone(), peer: None };
        Bridge {
            name: name.to_owned(),
            key: Some(key),
            vpc: None,
            network_uuid: None,
            host_id: Some(own.to_string()),
            ipv6: Ipv6Policy::Drop,
            kind: TunnelKind::Gre,
            adopted: false,
            tunnels: bridge.tunnels.iter().map(tunnel).collect(),
            vifs: bridge.vifs.iter().enumerate().filter(|_| !is_blind).map(vif).collect(),
            uplink: None,
            neighbours: Vec::new(),
            second: None,
            dst_port: None,
            other_ports: vec![],
            flows: Flows { state: FlowsState::InSync, expected: 1, installed: Some(1) },
            health: ok(),
            max_guest_mtu: None,
            mtu_request: None,
            claim: bridge.claim.as_ref().map(claim),
        }
    }

    /// Carries out a request. Gives the bridge that it was about.
    fn carry_out(&self, wire: &Wire) -> Result<String, ClientError> {
        let mut state = self.state();
        let State { bridges, refuses, is_blind, .. } = &mut *state;
        let missing = |name: &str| problem(Code::NotFound, format!("there is no bridge {name}"));
        let (name, key) = match wire {
            Wire::PutBridge(name, body) => (name, self.put(bridges, refuses, name, body)?),
            Wire::PostTunnel(name, body) => {
                let bridge = bridges.get_mut(name).ok_or_else(|| missing(name))?;
                let (to, key) = (number(&body.to), bridge.key);
                if refuses.contains(&to) {
                    return Err(problem(Code::SwitchRefused, format!("no tunnel to host {to}")));
                }
                let before = bridge.tunnels.insert(to, body.remote_ip.clone());
                if before.is_some_and(|before| before != body.remote_ip) {
                    self.moves(key, to, &body.remote_ip);
                }
                (name, key)
            }
            Wire::DeleteTunnel(name, port) => {
                let bridge = bridges.get_mut(name).ok_or_else(|| missing(name))?;
                let to: u64 = port.rsplit('-').next().unwrap().parse().unwrap();
                bridge.tunnels.remove(&to);
                self.takes(bridge.key, Some(to));
                (name, bridge.key)
            }
            // Hosts in memory do not say that they can.
            Wire::ChangeKind(name, _) | Wire::PutBfd(name, _) => {
                (name, bridges.get(name).ok_or_else(|| missing(name))?.key)
            }
            Wire::DeleteBridge(name) => {
                let bridge = bridges.get(name).ok_or_else(|| missing(name))?;
                if !bridge.vifs.is_empty() && !*is_blind {
                    return Err(problem(Code::Conflict, format!("a VIF is plugged on bridge {name}")));
                }
                let key = bridge.key;
                bridges.remove(name);
                self.takes(key, None);
                (name, key)
            }
        };
        self.truth.lock().unwrap().written.entry(key).or_default().insert(self.number);
        Ok(name.clone())
    }

    /// Makes a bridge what it must be. Gives its key.
    fn put(
        &self,
        bridges: &mut BTreeMap<String, SimBridge>,
        refuses: &BTreeSet<u64>,
        name: &str,
        body: &PutBridge,
    ) -> Result<u32, ClientError> {
        let key = u32::try_from(body.key).unwrap();
        if let Some((other, _)) = bridges.iter().find(|(other, there)| there.key == key && *other != name) {
            return Err(problem(Code::Conflict, format!("bridge {other} has key {key}")));
        }
        let tunnel = |tunnel: &PutTunnel| (number(&tunnel.to), tunnel.remote_ip.clone());
        let set: Option<BTreeMap<u64, String>> = body.tunnels.as_ref().map(|set| set.iter().map(tunnel).collect());
        let there = bridges.get(name).map(|bridge| bridge.tunnels.clone()).unwrap_or_default();
        let mut new = set.iter().flat_map(|set| set.keys()).filter(|to| !there.contains_key(to));
        if let Some(to) = new.find(|to| refuses.contains(to)) {
            return Err(problem(Code::SwitchRefused, format!("no tunnel to host {to}")));
        }
        let bridge = bridges.entry(name.to_owned()).or_default();
        bridge.key = key;
        if let Some(set) = set {
            for (to, ip) in &there {
                match set.get(to) {
                    None => self.takes(key, Some(*to)),
                    Some(other) if other != ip => self.moves(key, *to, other),
                    Some(_) => {}
                }
            }
            bridge.tunnels = set;
        }
        Ok(key)
    }

    /// A tunnel goes, or the bridge with all of them.
    fn takes(&self, key: u32, to: Option<u64>) {
        let mut truth = self.truth.lock().unwrap();
        if truth.has(key, self.number) && to.is_none_or(|to| truth.has(key, to)) {
            let what = to.map_or_else(|| "its bridge".to_owned(), |to| format!("its tunnel to host {to}"));
            truth.losses.push(format!("host {} lost {what} of key {key}", self.number));
            truth.lost.extend(to.or(Some(self.number)));
        }
    }

    /// A tunnel leads to another address.
    fn moves(&self, key: u32, to: u64, ip: &str) {
        let mut truth = self.truth.lock().unwrap();
        // The address that a host has in truth is the one by its number.
        if truth.has(key, self.number) && truth.has(key, to) && ip != address(to) {
            truth.lost.insert(to);
            truth.losses.push(format!("the tunnel of key {key} from host {} to host {to} leads to {ip}", self.number));
        }
    }
}

impl HostClient for SimHost {
    fn send_request<'a>(&'a self, by: &'a By, wire: &'a Wire) -> BoxFuture<'a, Result<(), ClientError>> {
        let life = self.state().life;
        Box::pin(async move {
            tokio::time::sleep(TAKES).await;
            let broken = || problem(Code::OutcomeUnknown, "the daemon has ended".into());
            {
                let mut state = self.state();
                if by.epoch.number() < state.epoch {
                    return Err(problem(Code::StaleEpoch, format!("epoch {} is recorded", state.epoch)));
                }
                state.epoch = by.epoch.number();
                // A daemon that was killed may or may not have done it.
                if state.life != life && state.version.is_multiple_of(2) {
                    return Err(broken());
                }
            }
            let name = self.carry_out(wire)?;
            self.tell_of(&name);
            if self.state().life == life { Ok(()) } else { Err(broken()) }
        })
    }

    fn make_network<'a>(&'a self, _: &'a By, _: GreKey, _: HostNumber) -> BoxFuture<'a, Result<String, ClientError>> {
        Box::pin(async { Err(problem(Code::NotFound, "there is no xapi".into())) })
    }

    fn probe_tunnels<'a>(
        &'a self,
        _: &'a By,
        _: &'a str,
        _: &'a PostProbe,
    ) -> BoxFuture<'a, Result<ProbeAnswer, ClientError>> {
        Box::pin(async { Err(problem(Code::SwitchRefused, "this host carries no frames".into())) })
    }
}
