//! A switch as a value: carries steps out, and panics where a plan does what Open vSwitch would refuse.
//!
//! What it does: is stricter than the real one. A name or a remote address and key that is still there when a stage
//! begins cannot be taken in that stage, whatever the order inside. What it must not do: share code with the planner.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovstunnel_plan::*;
use uuid::Uuid;

/// Bridges and flows; rows are numbered.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub bridges: BTreeMap<String, ObservedBridge>,
    pub flows: BTreeMap<String, FlowsSeen>,
    /// `other_config` and `external_ids` of the switch itself.
    pub switch_config: BTreeMap<String, String>,
    pub switch_ids: BTreeMap<String, String>,
    rows: u128,
}

impl View for World {
    fn bridge(&self, name: &str) -> Option<Arc<ObservedBridge>> {
        self.bridges.get(name).cloned().map(Arc::new)
    }

    fn bare_bridge(&self, name: &str) -> Option<ObservedBridge> {
        let mut bridge = self.bridges.get(name)?.clone();
        bridge.ports.retain(|port, _| port == name);
        Some(bridge)
    }

    fn port(&self, bridge: &str, port: &str) -> Option<ObservedPort> {
        self.bridges.get(bridge)?.ports.get(port).cloned()
    }

    fn bridge_of_port(&self, port: &str) -> Option<String> {
        self.bridges.values().find(|bridge| bridge.ports.contains_key(port)).map(|bridge| bridge.name.clone())
    }

    fn endpoint_users(&self, identity: TunnelEndpoint) -> Vec<(String, String)> {
        let ports = self.bridges.values().flat_map(|bridge| bridge.ports.values().map(move |port| (bridge, port)));
        let users = ports.filter(|(_, port)| port.tunnel_endpoints().any(|used| used == identity));
        users.map(|(bridge, port)| (bridge.name.clone(), port.name.clone())).collect()
    }

    fn switch_id(&self, key: &str) -> Option<String> {
        self.switch_ids.get(key).cloned()
    }

    fn switch_config(&self, key: &str) -> Option<String> {
        self.switch_config.get(key).cloned()
    }

    fn key_users(&self, key: GreKey) -> Vec<String> {
        self.bridges
            .values()
            .filter(|bridge| DesiredBridge::recorded_keys(bridge).contains(&key))
            .map(|b| b.name.clone())
            .collect()
    }
}

impl World {
    fn row(&mut self) -> Uuid {
        self.rows += 1;
        Uuid::from_u128(self.rows)
    }

    /// A bridge that somebody else made.
    pub fn foreign_bridge(&mut self, name: &str) {
        let bridge = ObservedBridge { uuid: self.row(), name: name.into(), ..ObservedBridge::default() };
        self.bridges.insert(name.into(), bridge);
        self.device(name, name);
    }

    /// A port of somebody else's.
    pub fn device(&mut self, bridge: &str, name: &str) {
        self.add(bridge, ObservedPort { name: name.into(), ..ObservedPort::default() }, "", &[]);
    }

    /// A GRE port of somebody else's.
    pub fn foreign_gre(&mut self, bridge: &str, name: &str, remote_ip: &str, key: &str) {
        let port = ObservedPort { name: name.into(), ..ObservedPort::default() };
        self.add(bridge, port, "gre", &[("key", key.to_owned()), ("remote_ip", remote_ip.to_owned())]);
    }

    fn add(&mut self, bridge: &str, mut port: ObservedPort, kind: &str, options: &[(&str, String)]) {
        port.uuid = self.row();
        let interface = ObservedInterface {
            uuid: self.row(),
            name: port.name.clone(),
            kind: kind.into(),
            options: options.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect(),
            ofport: i64::try_from(self.rows).ok(),
            ..ObservedInterface::default()
        };
        port.interfaces = vec![interface];
        let there = self.bridges.get_mut(bridge).expect("a port needs a bridge").ports.insert(port.name.clone(), port);
        assert!(there.is_none(), "two ports of one name");
    }

    /// What a change set takes, as the daemon plans it.
    pub fn plan(&self, change_set: &ChangeSet, settings: &Settings) -> Plan {
        let settings = EffectiveSettings::for_switch(settings, Capabilities::ALL);
        change_set.build_plan(&settings, |bridge| self.flows.get(&bridge.name).cloned().unwrap_or_default())
    }

    /// Applies changes as one change set and carries its plan out; says what became of each.
    pub fn change(&mut self, changes: &[Change]) -> Vec<Result<Option<PortName>, Rejected>> {
        let (mut change_set, settings) = (ChangeSet::default(), Settings::default());
        let results = changes.iter().map(|change| change_set.apply_change(self, &settings, change)).collect();
        self.carry_out(self.plan(&change_set, &settings));
        results
    }

    /// What a look at every bridge would mend.
    pub fn repairs(&self) -> Plan {
        let mut change_set = ChangeSet::default();
        self.bridges.keys().filter_map(|name| name.parse().ok()).for_each(|name| change_set.touch_bridge(self, &name));
        self.plan(&change_set, &Settings::default())
    }

    /// Carries a plan out, phase by phase.
    pub fn carry_out(&mut self, plan: Plan) {
        plan.flows_before().into_iter().for_each(|(bridge, change)| self.change_flows(bridge, change));
        self.carry_out_database(&plan);
        plan.flows_after().into_iter().for_each(|(bridge, change)| self.change_flows(bridge, change));
    }

    /// The database stage by stage, and no flow.
    pub fn carry_out_database(&mut self, plan: &Plan) {
        let stages = plan.transactions();
        assert_eq!(stages.iter().map(Vec::len).sum::<usize>(), plan.database_steps().count(), "a stage lost a step");
        for stage in stages.iter().chain([&plan.says_flooding()]) {
            self.expect_nothing_is_taken_that_is_there(stage);
            stage.iter().for_each(|step| self.step(step));
            assert!(steps_visible(stage, self), "carried out, but not seen: {stage:?}");
        }
    }

    fn change_flows(&mut self, bridge: &str, change: &FlowChange) {
        let lines = change.bundle_lines();
        let plugins = |line: &str| line.starts_with("delete_strict cookie=0x0/-1,table=0,priority=");
        let ours = |line: &str| line.contains("cookie=0x6f767374");
        let plain = |line: &str| change.plain && line == "add cookie=0x0,table=0,priority=0,actions=NORMAL";
        assert!(lines.lines().all(|line| ours(line) || plugins(line) || plain(line)), "not ours: {lines}");
        if let Some(seen) = self.flows.get_mut(bridge) {
            *seen = change.applied_to(seen);
        } else if self.bridges.contains_key(bridge) {
            self.flows.insert(bridge.to_owned(), change.applied_to(&FlowsSeen::none()));
        }
    }

    fn expect_nothing_is_taken_that_is_there(&self, stage: &[Step]) {
        let mut taken = std::collections::BTreeSet::new();
        for (name, identity) in newly_taken(self, stage) {
            let mut ports = self.bridges.values().flat_map(|bridge| bridge.ports.values());
            let user = ports.find(|port| port.interface().and_then(|i| i.tunnel_endpoint()) == Some(identity));
            let user = user.map(|port| port.name.as_str()).filter(|user| *user != name);
            assert_eq!(user, None, "{identity:?} is taken in the stage in which it is freed: {stage:?}");
            assert!(taken.insert(identity), "{identity:?} is taken twice");
        }
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::CreateBridge(spec) => {
                assert!(self.bridge_of_port(spec.name.as_str()).is_none(), "there is a port of the name {}", spec.name);
                self.foreign_bridge(spec.name.as_str());
                let bridge = self.bridges.get_mut(spec.name.as_str()).unwrap();
                bridge.external_ids = spec.external_ids.clone();
                bridge.other_config = spec.other_config.clone();
                bridge.datapath_type.clone_from(&spec.datapath_type);
                bridge.fail_mode = spec.fail_mode.map(|mode| mode.as_str().to_owned());
                let own = bridge.ports.get_mut(spec.name.as_str()).unwrap();
                (own.protected, own.interfaces[0].mtu_request) = (true, spec.mtu_request);
                self.flows.insert(spec.name.to_string(), FlowsSeen::none());
            }
            Step::EditBridge { bridge, edits } => edits.iter().for_each(|edit| self.edit_bridge(bridge.as_str(), edit)),
            Step::DeleteBridge { bridge, uuid, .. } => {
                let gone = self.bridges.remove(bridge.as_str()).expect("a bridge that is there");
                assert_eq!(gone.uuid, *uuid);
                let of_agent = gone.other_config.contains_key(ids::HOST_SETUP);
                assert!(
                    DesiredBridge::bridge_mark(&gone) == Mark::Ours || of_agent,
                    "{bridge} is neither ours nor the agent's"
                );
                self.flows.remove(bridge.as_str());
            }
            Step::AddTunnel { bridge, tunnel } => {
                let name = tunnel.port_name().to_string();
                assert!(self.bridge_of_port(&name).is_none(), "there is a port of the name {name}");
                let external_ids =
                    tunnel.external_ids().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
                let vlan = Vlan { tag: tunnel.second.then_some(NO_VLAN), ..Vlan::default() };
                let port = ObservedPort { name, protected: true, external_ids, vlan, ..ObservedPort::default() };
                self.add(bridge.as_str(), port, tunnel.encap.kind().interface_type(), &tunnel.interface_options());
                let port =
                    self.bridges.get_mut(bridge.as_str()).unwrap().ports.get_mut(tunnel.port_name().as_str()).unwrap();
                let bfd = tunnel.bfd.into_iter().flat_map(|interval| interval.bfd_column());
                port.interfaces[0].bfd = bfd.map(|(key, value)| (key.to_owned(), value)).collect();
            }
            Step::EditTunnel { bridge, port, edits, .. } => {
                let port = self.bridges.get_mut(bridge.as_str()).unwrap().ports.get_mut(port.as_str()).unwrap();
                edits.iter().for_each(|edit| edit_port(port, edit));
                // One that was not ours before is so now: it was taken over.
                assert!(port.is_tunnel_of_ours(), "{} is not ours", port.name);
            }
            Step::RemoveTunnel { bridge, port, uuid, .. } => {
                let gone = self.bridges.get_mut(bridge).unwrap().ports.remove(port).expect("a port that is there");
                assert!(gone.uuid == *uuid && gone.is_tunnel_of_ours(), "{port} is not ours");
            }
            Step::TryAgain { .. } | Step::RecordEpoch(_) => {}
            Step::EditSwitch(edits) => edits.iter().for_each(|edit| match edit {
                SwitchEdit::SetConfig(key, value) => drop(self.switch_config.insert(key.clone(), value.clone())),
                SwitchEdit::DropConfig(key) => drop(self.switch_config.remove(key)),
                SwitchEdit::SetId(key, value) => drop(self.switch_ids.insert(key.clone(), value.clone())),
                SwitchEdit::DropId(key) => drop(self.switch_ids.remove(key)),
            }),
        }
    }

    fn edit_bridge(&mut self, name: &str, edit: &BridgeEdit) {
        let bridge = self.bridges.get_mut(name).expect("a bridge that is there");
        match edit {
            BridgeEdit::SetId(key, value) => drop(bridge.external_ids.insert(key.clone(), value.clone())),
            BridgeEdit::DropId(key) => drop(bridge.external_ids.remove(key)),
            BridgeEdit::SetConfig(key, value) => drop(bridge.other_config.insert(key.clone(), value.clone())),
            BridgeEdit::DropConfig(key) => drop(bridge.other_config.remove(key)),
            BridgeEdit::StpOff => bridge.stp_enable = false,
            BridgeEdit::RstpOff => bridge.rstp_enable = false,
            BridgeEdit::OpenFlow14(true) => bridge.protocols.push("OpenFlow14".into()),
            BridgeEdit::OpenFlow14(false) => bridge.protocols.retain(|protocol| protocol != "OpenFlow14"),
            BridgeEdit::FailMode(mode) => {
                let mode = mode.map(|mode| mode.as_str().to_owned());
                if mode.as_deref().unwrap_or("standalone") != bridge.fail_mode.as_deref().unwrap_or("standalone") {
                    self.flows.insert(name.to_owned(), FlowsSeen::none());
                }
                bridge.fail_mode = mode;
            }
            BridgeEdit::McastSnooping(on) => bridge.mcast_snooping = *on,
            BridgeEdit::NoVlan => bridge.ports.get_mut(name).unwrap().vlan = Vlan::default(),
            BridgeEdit::MtuRequest(mtu) => bridge.ports.get_mut(name).unwrap().interfaces[0].mtu_request = *mtu,
            BridgeEdit::Protect(on) => bridge.ports.get_mut(name).unwrap().protected = *on,
        }
    }

    /// All but flows, which name ports by the numbers that they get anew.
    pub fn rows(&self) -> BTreeMap<String, ObservedBridge> {
        self.shape().into_iter().map(|(name, (bridge, _))| (name, bridge)).collect()
    }

    /// What is there without the numbers of rows and ports, which depend on the order in which things were made.
    pub fn shape(&self) -> BTreeMap<String, (ObservedBridge, Option<FlowsSeen>)> {
        let mut bridges = self.bridges.clone();
        for bridge in bridges.values_mut() {
            bridge.uuid = Uuid::nil();
            for port in bridge.ports.values_mut() {
                port.uuid = Uuid::nil();
                for interface in &mut port.interfaces {
                    (interface.uuid, interface.ofport) = (Uuid::nil(), None);
                }
            }
        }
        bridges.into_iter().map(|(name, bridge)| (name.clone(), (bridge, self.flows.get(&name).cloned()))).collect()
    }
}

/// Port name and identity of what the steps of a stage take anew.
fn newly_taken(world: &World, stage: &[Step]) -> Vec<(String, TunnelEndpoint)> {
    let claims = stage.iter().filter_map(|step| match step {
        Step::AddTunnel { tunnel, .. } => Some((tunnel.port_name().to_string(), tunnel.endpoint())),
        Step::EditTunnel { bridge, port, edits, .. } => {
            let mut port = world.bridges[bridge.as_str()].ports[port.as_str()].clone();
            let before = port.interface().and_then(|i| i.tunnel_endpoint());
            edits.iter().for_each(|edit| edit_port(&mut port, edit));
            let after = port.interface().and_then(|i| i.tunnel_endpoint());
            after.filter(|_| after != before).map(|identity| (port.name, identity))
        }
        _ => None,
    });
    claims.collect()
}

fn edit_port(port: &mut ObservedPort, edit: &PortEdit) {
    match edit {
        PortEdit::SetId(key, value) => drop(port.external_ids.insert(key.clone(), value.clone())),
        PortEdit::DropId(key) => drop(port.external_ids.remove(key)),
        PortEdit::Protect => port.protected = true,
        PortEdit::NoVlan => port.vlan = Vlan::default(),
        PortEdit::ReceiveOnly => port.vlan = Vlan { tag: Some(NO_VLAN), ..Vlan::default() },
        PortEdit::Detach => port.interfaces.iter_mut().for_each(|i| i.kind = "null".into()),
        PortEdit::MakeTunnel(kind) => port.interfaces.iter_mut().for_each(|i| i.kind = kind.interface_type().into()),
        PortEdit::SetOption(key, value) => {
            port.interfaces.iter_mut().for_each(|i| drop(i.options.insert(key.clone(), value.clone())));
        }
        PortEdit::SetBfd(key, value) => {
            port.interfaces.iter_mut().for_each(|i| drop(i.bfd.insert(key.clone(), value.clone())))
        }
        PortEdit::DropBfd(key) => port.interfaces.iter_mut().for_each(|i| drop(i.bfd.remove(key))),
        PortEdit::DropOption(key) => port.interfaces.iter_mut().for_each(|i| drop(i.options.remove(key))),
    }
}

// What tests write short.

pub fn bridge_name(name: &str) -> BridgeName {
    name.parse().unwrap()
}

pub fn setup(bridge: &str, key: i64, tunnels: Option<&[(&str, &str)]>) -> Change {
    let spec =
        |(to, ip): &(&str, &str)| TunnelSpec { to: to.parse().unwrap(), remote_ip: ip.parse().unwrap(), from: None };
    Change::SetupBridge(SetupBridge {
        bridge: bridge_name(bridge),
        key: GreKey::try_from(key).unwrap(),
        network_uuid: None,
        host_id: Some("1".parse().unwrap()),
        ipv6: None,
        uplink: None,
        neighbours: None,
        host: HostFacts::default(),
        agent: false,
        tunnel_kind: None,
        tunnels: tunnels.map(|tunnels| tunnels.iter().map(spec).collect()),
    })
}

pub fn create(bridge: &str, to: &str, ip: &str) -> Change {
    Change::CreateTunnel(CreateTunnel {
        bridge: bridge_name(bridge),
        from: "1".parse().unwrap(),
        to: to.parse().unwrap(),
        remote_ip: ip.parse().unwrap(),
        key: None,
        network_uuid: None,
        renumbers: false,
    })
}

pub fn destroy_tunnel(bridge: &str, port: &str) -> Change {
    Change::DestroyTunnel { bridge: bridge_name(bridge), port: port.parse().unwrap() }
}
