//! The flows of a bridge, those of a network's bridge among them, and the difference between those and what the switch has.
//!
//! What it does: the table of the design, as a function. What it must not do: have a flow for each tunnel of a network; its traffic is
//! matched by its key, so that the number of flows is the same with one tunnel and with two thousand.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use crate::python_plugin::has_vpc_pipeline;
use crate::vpc::vpc_flows;
use crate::{
    Action, BridgeKind, Cookie, DesiredBridge, EffectiveSettings, Flow, GreKey, Ipv6Match, Ipv6Policy, MacMatch, Match,
    ObservedBridge, PluginFlow, Purpose, Settings,
};
use crate::{bfd, second, underlay};

/// The flows that a bridge must have, given the ports that are on it.
pub fn bridge_flows(
    desired: &DesiredBridge,
    observed: Option<&ObservedBridge>,
    settings: &EffectiveSettings,
) -> BTreeSet<Flow> {
    let mut flows = match &desired.kind {
        BridgeKind::Network(key) => network_flows(*key, desired, observed, settings),
        BridgeKind::Vpc(vpc) => vpc_flows(desired, vpc, observed, settings),
    };
    flows.extend(ipv6_drop(desired.ipv6, settings));
    flows.extend(underlay::guard_flows(desired.name.as_str(), observed, settings));
    flows.insert(bfd::guard_flow());
    flows.extend(second::flows(desired, observed));
    flows
}

/// The flows that a bridge must have, given those that were seen there: of what is not known, what is there stays.
pub fn wanted_flows(
    desired: &DesiredBridge,
    observed: &ObservedBridge,
    seen: &FlowsSeen,
    settings: &EffectiveSettings,
) -> BTreeSet<Flow> {
    let desired = &*desired.settled(observed, seen, settings);
    let mut flows = bridge_flows(desired, Some(observed), settings);
    flows.extend(underlay::kept_guards(seen, settings));
    flows
}

/// The flows of the bridge of one network.
fn network_flows(
    key: GreKey,
    desired: &DesiredBridge,
    observed: Option<&ObservedBridge>,
    settings: &EffectiveSettings,
) -> BTreeSet<Flow> {
    let from_tunnels = Match { tun_id: Some(key.get().into()), dl_dst: Some(MacMatch::Group), ..Match::default() };
    let vif_ports: BTreeSet<u32> = observed
        .into_iter()
        .flat_map(|bridge| bridge.vifs(&settings.vif_prefixes))
        .filter_map(|port| port.interface()?.openflow_port())
        .collect();

    let mut flows = BTreeSet::from([Flow::of_entry(1000, Purpose::Baseline, 0, from_tunnels, vec![])]);
    // Open vSwitch's own flow that forwards goes with `del-flows` and with `fail_mode=secure`: ours stands above it. Where the
    // Python plugin's pipeline for a VPC is, it would lead around that.
    if !observed.is_some_and(has_vpc_pipeline) {
        flows.insert(Flow::of_entry(1, Purpose::Forward, 0, Match::default(), vec![Action::Normal]));
    }
    // What is behind an uplink hears the mesh as VMs do, also where no VM is.
    if !vif_ports.is_empty() || observed.is_some_and(|bridge| desired.uplink_on(bridge)) {
        flows.insert(Flow::of_entry(1100, Purpose::TunnelOpen, 0, from_tunnels, vec![Action::Normal]));
    }
    if settings.answer_neighbours {
        let vifs = vif_ports.iter().map(|port| (*port, None));
        let datapath = observed.map_or(&settings.datapath_type, |observed| &observed.datapath_type);
        flows.extend(desired.neighbours.flows(vifs, &BTreeMap::new(), desired.answers_ipv6(datapath)));
    }
    for port in vif_ports {
        let from_vif = Match { in_port: Some(port), dl_dst: Some(MacMatch::Group), ..Match::default() };
        flows.insert(vif_flow(port, from_vif, settings.vif_broadcast_pps));
    }
    flows
}

/// Ethernet types of VLAN tags. A flow that matches one of them gets frames with two tags or more: of those, Open vSwitch
/// looks behind the first only, so IPv6 behind the second is not matched as such (docs/ovs-facts.md).
const VLAN_TAGS: [u16; 2] = [0x8100, 0x88a8];

/// Ethernet types of what else can have IPv6 behind it and is opaque to Open vSwitch: MPLS, MPLS with multicast, an older VLAN
/// tag, and LLC, which Open vSwitch gives a type of its own.
const OPAQUE: [u16; 4] = [0x8847, 0x8848, 0x9100, 0x05ff];

/// Drops IPv6 where that is so, also behind VLAN tags: a Linux guest takes it from behind any number of tags with VLAN 0.
fn ipv6_drop(policy: Ipv6Policy, settings: &Settings) -> impl Iterator<Item = Flow> {
    let plain = [(0, Match { ipv6: Some(Ipv6Match::default()), ..Match::default() })];
    let opaque = OPAQUE.into_iter().filter(|_| settings.ipv6_drop_opaque);
    let behind = |kind: u16| (u32::from(kind), Match { ethertype: Some(kind), ..Match::default() });
    let drop = |(number, matches)| Flow::of_entry(1300, Purpose::Ipv6, number, matches, vec![]);
    let all = plain.into_iter().chain(VLAN_TAGS.into_iter().chain(opaque).map(behind));
    all.filter(|_| policy == Ipv6Policy::Drop).map(drop).collect::<Vec<_>>().into_iter()
}

/// Lets a VIF's broadcast and multicast out; with a limit, no more than `pps` frames a second.
fn vif_flow(port: u32, from_vif: Match, pps: u32) -> Flow {
    if pps == 0 {
        return Flow::of_entry(1200, Purpose::Vif, port, from_vif, vec![Action::Normal]);
    }
    // A flow names its meter, not the meter's rate. So the rate stands in the cookie: another one makes another flow, and
    // with it the meter is set anew.
    let cookie = Cookie::limited(port, pps);
    Flow { table: 0, priority: 1200, cookie, matches: from_vif, actions: vec![Action::Meter(port), Action::Normal] }
}

/// What is known of our flows on a bridge.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FlowsSeen {
    /// Nothing: they were not read since the switch came up.
    #[default]
    Unknown,
    /// These.
    Known {
        /// Flows of ours.
        flows: BTreeSet<Flow>,
        /// Cookies of ours on flows that somebody has changed beyond recognition.
        garbled: BTreeSet<Cookie>,
    },
}

impl FlowsSeen {
    /// A bridge that has no flow of ours.
    pub fn none() -> Self {
        FlowsSeen::Known { flows: BTreeSet::new(), garbled: BTreeSet::new() }
    }

    /// Exactly these flows.
    pub fn known_exactly(flows: BTreeSet<Flow>) -> Self {
        FlowsSeen::Known { flows, garbled: BTreeSet::new() }
    }

    /// Reads the output of `ovs-ofctl dump-flows`; lines that carry no cookie of ours are left out.
    pub fn parse_dump(dump: &str) -> Self {
        let (mut flows, mut garbled) = (BTreeSet::new(), BTreeSet::new());
        for line in dump.lines() {
            match line.parse::<Flow>() {
                Ok(flow) if flow.cookie.is_ours() => drop(flows.insert(flow)),
                Err(error) => garbled.extend(error.cookie.filter(|cookie| cookie.is_ours())),
                Ok(_) => {}
            }
        }
        FlowsSeen::Known { flows, garbled }
    }

    /// How many flows of ours there are, where that is known.
    pub fn flow_count(&self) -> Option<usize> {
        match self {
            FlowsSeen::Unknown => None,
            FlowsSeen::Known { flows, garbled } => Some(flows.len() + garbled.len()),
        }
    }
}

/// The flow that Open vSwitch gives each bridge that has no controller and is not `fail_mode=secure`.
const PLAIN: &str = "add cookie=0x0,table=0,priority=0,actions=NORMAL\n";

/// A change of a bridge's flows, applied as one: no frame sees half of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowChange {
    /// Cookies whose flows go; nothing means every flow of ours, but for those that say what the switch has withdrawn where the new ones
    /// answer for addresses: what is not known of them would be lost.
    pub delete: Option<BTreeSet<Cookie>>,
    /// Flows of the Python plugin that go with them, when its bridge is taken over.
    pub plugins: BTreeSet<PluginFlow>,
    /// Flows that come.
    pub add: Vec<Flow>,
    /// Whether Open vSwitch's own flow that forwards is put back beside them: the bridge is to be a plain one.
    pub plain: bool,
}

impl FlowChange {
    /// The difference, or nothing where there is none.
    pub fn between(desired: &BTreeSet<Flow>, seen: &FlowsSeen) -> Option<Self> {
        let FlowsSeen::Known { flows, garbled } = seen else {
            let add = desired.iter().cloned().collect();
            return Some(FlowChange { delete: None, plugins: BTreeSet::new(), add, plain: false });
        };
        let (want, have) = (by_cookie(desired), by_cookie(flows));
        let mut delete = garbled.clone();
        delete.extend(have.iter().filter(|(cookie, flows)| want.get(cookie) != Some(flows)).map(|(cookie, _)| *cookie));
        let missing = |flow: &&Flow| delete.contains(&flow.cookie) || !flows.contains(*flow);
        let add: Vec<Flow> = desired.iter().filter(missing).cloned().collect();
        let plugins = BTreeSet::new();
        (!delete.is_empty() || !add.is_empty()).then_some(FlowChange {
            delete: Some(delete),
            plugins,
            add,
            plain: false,
        })
    }

    /// A change that only takes flows of the Python plugin away.
    pub fn of_plugin(plugins: BTreeSet<PluginFlow>) -> Self {
        FlowChange { delete: Some(BTreeSet::new()), plugins, add: vec![], plain: false }
    }

    /// Whether flows of ours go and nothing takes their place.
    pub fn only_removes(&self) -> bool {
        self.add.is_empty() && self.plugins.is_empty()
    }

    /// Meters that the new flows need; each must be there before them.
    pub fn meters_needed(&self) -> BTreeSet<u32> {
        let actions = self.add.iter().flat_map(|flow| &flow.actions);
        actions.filter_map(|action| if let Action::Meter(meter) = action { Some(*meter) } else { None }).collect()
    }

    /// Meters that nothing uses once the change is made.
    pub fn meters_freed(&self) -> BTreeSet<u32> {
        let needed = self.meters_needed();
        let going = self.delete.iter().flatten().filter_map(|cookie| cookie.limited_vif());
        going.filter(|meter| !needed.contains(meter)).collect()
    }

    /// What is deleted, as cookies with their masks.
    pub fn deleted_cookies(&self) -> Vec<(Cookie, Cookie)> {
        match &self.delete {
            None if self.keeps_withdrawn() => Purpose::Withdrawn.all_others().to_vec(),
            None => vec![(Cookie::OURS, Cookie::MASK)],
            Some(cookies) => cookies.iter().map(|cookie| (*cookie, Cookie(u64::MAX))).collect(),
        }
    }

    /// Whether flows of ours with this cookie go.
    fn deletes(&self, cookie: Cookie) -> bool {
        match &self.delete {
            None => !(cookie.is_for(Purpose::Withdrawn) && self.keeps_withdrawn()),
            Some(cookies) => cookies.contains(&cookie),
        }
    }

    /// Whether flows come that have the switch withdraw addresses by itself.
    fn keeps_withdrawn(&self) -> bool {
        self.add.iter().any(|flow| flow.cookie.is_for(Purpose::Watch))
    }

    /// The lines for `ovs-ofctl --bundle add-flows`.
    pub fn bundle_lines(&self) -> String {
        let mut lines = String::new();
        for (cookie, mask) in self.deleted_cookies() {
            let mask = if mask.0 == u64::MAX { "-1".to_owned() } else { mask.to_string() };
            lines.push_str(&format!("delete cookie={cookie}/{mask}\n"));
        }
        self.plugins.iter().for_each(|flow| lines.push_str(&format!("delete_strict {flow}\n")));
        self.add.iter().for_each(|flow| lines.push_str(&format!("add {flow}\n")));
        if self.plain {
            lines.push_str(PLAIN);
        }
        lines
    }

    /// What of the change is not to be seen in what `bridge/dump-flows` prints, in most versions without cookies: the first flow
    /// that has not come, or not gone, in words. `before` is what was known of our flows.
    pub fn missing_in(&self, printed: &str, before: &FlowsSeen) -> Option<String> {
        let nobodys = |flow: &Flow| Flow { cookie: Cookie(0), ..flow.clone() };
        // What does not parse is of others.
        let there: HashSet<Flow> = printed.lines().filter_map(|line| Some(nobodys(&line.parse().ok()?))).collect();
        let come: HashSet<Flow> = self.add.iter().map(nobodys).collect();
        if let Some(flow) = self.add.iter().find(|flow| !there.contains(&nobodys(flow))) {
            return Some(format!("flow {flow} is not there"));
        }
        let FlowsSeen::Known { flows, .. } = before else { return None };
        let left = flows.iter().filter(|flow| self.deletes(flow.cookie)).find(|flow| {
            let flow = nobodys(flow);
            there.contains(&flow) && !come.contains(&flow)
        });
        left.map(|flow| format!("flow {flow} is still there"))
    }

    /// The same of what was read with cookies behind the change.
    pub fn missing_among(&self, after: &FlowsSeen) -> Option<String> {
        let FlowsSeen::Known { flows, garbled } = after else { return None };
        let come: BTreeSet<&Flow> = self.add.iter().collect();
        if let Some(flow) = come.iter().find(|flow| !flows.contains(**flow)) {
            return Some(format!("flow {flow} is not there"));
        }
        let left = flows.iter().find(|flow| self.deletes(flow.cookie) && !come.contains(flow));
        let left = left.map(|flow| format!("flow {flow} is still there"));
        left.or_else(|| {
            Some(format!("a flow with cookie {} is still there", garbled.iter().find(|cookie| self.deletes(**cookie))?))
        })
    }

    /// What the switch has after the change.
    pub fn applied_to(&self, seen: &FlowsSeen) -> FlowsSeen {
        let mut flows: BTreeSet<Flow> = match (&self.delete, seen) {
            (_, FlowsSeen::Known { flows, .. }) => {
                flows.iter().filter(|flow| !self.deletes(flow.cookie)).cloned().collect()
            }
            (None, FlowsSeen::Unknown) => BTreeSet::new(),
            (Some(_), FlowsSeen::Unknown) => return FlowsSeen::Unknown,
        };
        flows.extend(self.add.iter().cloned());
        FlowsSeen::known_exactly(flows)
    }
}

impl fmt::Display for FlowChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = |verb: &str, count: usize, one: &str, more: &str| match count {
            0 => None,
            1 => Some(format!("{verb} {one}")),
            _ => Some(format!("{verb} {count} {more}")),
        };
        let ours = match &self.delete {
            None => [Some(format!("replace all flows of ours by {}", self.add.len())), None],
            Some(delete) => [
                counted("delete the flows of", delete.len(), "1 cookie", "cookies"),
                counted("add", self.add.len(), "1 flow", "flows"),
            ],
        };
        let plugins =
            counted("delete", self.plugins.len(), "1 flow of the Python plugin", "flows of the Python plugin");
        let plain = self.plain.then(|| "put Open vSwitch's own flow back".to_owned());
        let parts: Vec<String> = ours.into_iter().chain([plugins, plain]).flatten().collect();
        f.write_str(&parts.join(", "))
    }
}

fn by_cookie(flows: &BTreeSet<Flow>) -> BTreeMap<Cookie, Vec<&Flow>> {
    let mut map: BTreeMap<Cookie, Vec<&Flow>> = BTreeMap::new();
    flows.iter().for_each(|flow| map.entry(flow.cookie).or_default().push(flow));
    map
}
