//! The plugin's flows: cookie 0, table 0, four priorities, and nothing else about them.
//!
//! What it does: reads them from what `ovs-ofctl dump-flows` prints, and prints the match by which exactly one of them is
//! deleted. What it must not do: take a flow that has anything more, such as a time-out, another cookie or another action.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::bridge::TUNNELS;
use crate::cookie::temporary;
use crate::{ObservedBridge, ObservedInterface, Settings, transition};

/// The highest number that an OpenFlow port of a device can have.
const OFPORT_MAX: u32 = 0xff00;

const BROADCAST: &str = "ff:ff:ff:ff:ff:ff";
const LOCAL_MULTICAST: &str = "224.0.0.0/24";

/// The two kinds of destination that the plugin knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginGroup {
    /// `dl_dst=ff:ff:ff:ff:ff:ff`
    Broadcast,
    /// `ip,nw_dst=224.0.0.0/24`
    LocalMulticast,
}

/// One flow of the plugin's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PluginFlow {
    /// 65000: IPv6 is dropped.
    Ipv6,
    /// 1200: what a VIF sends is flooded by NORMAL.
    FromVif {
        /// The VIF, or one that has gone.
        port: u32,
        /// What it sends to.
        to: PluginGroup,
    },
    /// 1100: what comes from elsewhere goes to the VIFs, one by one.
    ToVifs {
        /// What it was sent to.
        to: PluginGroup,
        /// The VIFs, and ones that have gone. None is `drop`, which is what the plugin's empty list becomes.
        ports: BTreeSet<u32>,
    },
    /// 1000: what comes by a tunnel is dropped.
    FromTunnel {
        /// The tunnel, or one that has gone.
        port: u32,
        /// What it was sent to.
        to: PluginGroup,
    },
}

/// The line of a bundle's file that deletes this flow and no other, but for its first word.
impl fmt::Display for PluginFlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cookie=0x0/-1,table=0,priority={},", self.priority())?;
        match self {
            PluginFlow::Ipv6 => f.write_str("ipv6"),
            PluginFlow::ToVifs { to, .. } => to.fmt(f),
            PluginFlow::FromVif { port, to } | PluginFlow::FromTunnel { port, to } => write!(f, "in_port={port},{to}"),
        }
    }
}

impl fmt::Display for PluginGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PluginGroup::Broadcast => write!(f, "dl_dst={BROADCAST}"),
            PluginGroup::LocalMulticast => write!(f, "ip,nw_dst={LOCAL_MULTICAST}"),
        }
    }
}

/// The fields of one line, less those that only count.
#[derive(Debug, Default)]
struct Line<'a> {
    priority: Option<u16>,
    in_port: Option<u32>,
    /// All other parts of the match.
    rest: BTreeSet<&'a str>,
    actions: &'a str,
}

impl<'a> Line<'a> {
    /// Reads a line of a dump; nothing where it is no flow, is in another table, has a cookie, or more than a match.
    fn parse_line(line: &'a str) -> Option<Self> {
        let (fields, actions) = line.trim().split_once("actions=")?;
        let mut read = Line { actions: actions.trim(), ..Line::default() };
        for field in fields.split([',', ' ']).filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            match name {
                // `reset_counts` is how OpenFlow 1.0 made flows, and the plugin spoke that.
                "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" | "reset_counts" => {}
                "cookie" if matches!(value, "0x0" | "0") => {}
                "table" if value == "0" => {}
                "priority" if read.priority.is_none() => read.priority = Some(value.parse().ok()?),
                "in_port" if read.in_port.is_none() => read.in_port = Some(parse_port(value)?),
                "dl_dst" | "nw_dst" | "ip" | "ipv6" => read.rest.insert(field).then_some(())?,
                _ => return None,
            }
        }
        Some(read)
    }

    fn plugin_group(&self) -> Option<PluginGroup> {
        let has = |parts: &[&str]| self.rest.iter().copied().eq(parts.iter().copied());
        if has(&["dl_dst=ff:ff:ff:ff:ff:ff"]) {
            Some(PluginGroup::Broadcast)
        } else if has(&["ip", "nw_dst=224.0.0.0/24"]) {
            Some(PluginGroup::LocalMulticast)
        } else {
            None
        }
    }

    /// The ports of a list of outputs. A plain `drop` is the empty list.
    fn output_ports(&self) -> Option<BTreeSet<u32>> {
        match self.actions {
            "drop" => Some(BTreeSet::new()),
            list => list.split(',').map(|action| parse_port(action.strip_prefix("output:")?)).collect(),
        }
    }
}

/// The number of a port that can be a device.
fn parse_port(text: &str) -> Option<u32> {
    text.parse().ok().filter(|port| (1..OFPORT_MAX).contains(port))
}

impl PluginFlow {
    /// Its priority in table 0.
    pub fn priority(&self) -> u16 {
        match self {
            PluginFlow::Ipv6 => 65000,
            PluginFlow::FromVif { .. } => 1200,
            PluginFlow::ToVifs { .. } => 1100,
            PluginFlow::FromTunnel { .. } => 1000,
        }
    }

    /// Reads a line of `ovs-ofctl dump-flows`; nothing where it is not of the plugin's form.
    pub fn parse(line: &str) -> Option<Self> {
        let line = Line::parse_line(line)?;
        match (line.priority?, line.in_port, line.actions) {
            (65000, None, "drop") => line.rest.iter().copied().eq(["ipv6"]).then_some(PluginFlow::Ipv6),
            (1200, Some(port), "NORMAL") => Some(PluginFlow::FromVif { port, to: line.plugin_group()? }),
            (1100, None, _) => Some(PluginFlow::ToVifs { to: line.plugin_group()?, ports: line.output_ports()? }),
            (1000, Some(port), "drop") => Some(PluginFlow::FromTunnel { port, to: line.plugin_group()? }),
            _ => None,
        }
    }
}

/// What a port's number is on a bridge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Vif,
    Tunnel,
    Other,
}

/// The flows of a bridge that have the plugin's form, sorted by whether they are the plugin's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PluginTable {
    /// The plugin's.
    pub flows: BTreeSet<PluginFlow>,
    /// Of its form, but about other ports than it would be: somebody else's, or about a number that was given again.
    pub doubtful: BTreeSet<PluginFlow>,
    /// All other flows of the bridge that are not ours.
    pub others: usize,
    /// Whether one of those does anything but NORMAL at a priority where temporary flows would stand before it.
    pub others_decide: bool,
}

impl PluginTable {
    /// Reads all flows of a bridge, as `ovs-ofctl dump-flows` prints them.
    pub fn parse_dump(dump: &str, bridge: &ObservedBridge, settings: &Settings) -> Self {
        let roles = port_roles(bridge, settings);
        let mut table = PluginTable::default();
        for line in dump.lines().filter(|line| line.contains("actions=") && !line.contains("table=254")) {
            match PluginFlow::parse(line) {
                Some(flow) if flow.fits_roles(&roles) => drop(table.flows.insert(flow)),
                Some(flow) => drop(table.doubtful.insert(flow)),
                None if line.contains(temporary::ANY) => {}
                None if line.parse::<crate::Flow>().is_ok_and(|flow| flow.cookie.is_ours()) => {}
                None => {
                    table.others += 1;
                    table.others_decide |= (1..=transition::PRIORITY).contains(&priority_of(line))
                        && !line.trim_end().ends_with("actions=NORMAL");
                }
            }
        }
        table
    }

    /// Whether a flow that stays would send frames from tunnel to tunnel past `protected`, which acts on NORMAL only.
    pub fn breaks_split_horizon(&self, bridge: &ObservedBridge, settings: &Settings) -> Option<u32> {
        let roles = port_roles(bridge, settings);
        let outputs = self.doubtful.iter().filter_map(|flow| match flow {
            PluginFlow::ToVifs { ports, .. } => Some(ports),
            _ => None,
        });
        outputs.flatten().copied().find(|port| roles.get(port) == Some(&Role::Tunnel))
    }

    /// Whether the plugin dropped the network's IPv6.
    pub fn drops_ipv6(&self) -> bool {
        self.flows.contains(&PluginFlow::Ipv6)
    }
}

impl PluginFlow {
    /// Whether its ports are what they must be, or have gone.
    fn fits_roles(&self, roles: &BTreeMap<u32, Role>) -> bool {
        let may_be = |port: &u32, role: Role| roles.get(port).is_none_or(|there| *there == role);
        match self {
            PluginFlow::Ipv6 => true,
            PluginFlow::FromVif { port, .. } => may_be(port, Role::Vif),
            PluginFlow::ToVifs { ports, .. } => ports.iter().all(|port| may_be(port, Role::Vif)),
            PluginFlow::FromTunnel { port, .. } => may_be(port, Role::Tunnel),
        }
    }
}

fn priority_of(line: &str) -> u16 {
    let text = line.split([',', ' ']).find_map(|field| field.strip_prefix("priority="));
    // A dump leaves out what is the default.
    text.and_then(|text| text.parse().ok()).unwrap_or(0x8000)
}

fn port_roles(bridge: &ObservedBridge, settings: &Settings) -> BTreeMap<u32, Role> {
    let of =
        |port: &crate::ObservedPort| match port.interface().and_then(ObservedInterface::tunnel_kind) == Some(TUNNELS) {
            true => Role::Tunnel,
            false if bridge.is_vif(port, &settings.vif_prefixes) => Role::Vif,
            false => Role::Other,
        };
    let numbers = bridge.ports.values().flat_map(|port| {
        let role = of(port);
        port.interfaces.iter().filter_map(move |interface| Some((interface.openflow_port()?, role)))
    });
    numbers.collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_open_vswitch_prints_of_the_plugins_flows_is_read() {
        let (broadcast, local) = (PluginGroup::Broadcast, PluginGroup::LocalMulticast);
        let list = |to, ports: &[u32]| PluginFlow::ToVifs { to, ports: ports.iter().copied().collect() };
        // As printed by 3.1 in OpenFlow 1.0 and 1.4, with and without statistics.
        for head in ["cookie=0x0, duration=0.040s, table=0, n_packets=7, n_bytes=0, idle_age=0, ", "reset_counts ", ""]
        {
            for (text, flow) in [
                ("priority=65000,ipv6 actions=drop", PluginFlow::Ipv6),
                (
                    "priority=1200,in_port=1,dl_dst=ff:ff:ff:ff:ff:ff actions=NORMAL",
                    PluginFlow::FromVif { port: 1, to: broadcast },
                ),
                (
                    "priority=1200,ip,in_port=1,nw_dst=224.0.0.0/24 actions=NORMAL",
                    PluginFlow::FromVif { port: 1, to: local },
                ),
                (
                    "priority=1100,dl_dst=ff:ff:ff:ff:ff:ff actions=output:1,output:2,output:99",
                    list(broadcast, &[1, 2, 99]),
                ),
                ("priority=1100,ip,nw_dst=224.0.0.0/24 actions=output:3", list(local, &[3])),
                ("priority=1100,dl_dst=ff:ff:ff:ff:ff:ff actions=drop", list(broadcast, &[])),
                (
                    "priority=1000,in_port=4,dl_dst=ff:ff:ff:ff:ff:ff actions=drop",
                    PluginFlow::FromTunnel { port: 4, to: broadcast },
                ),
                (
                    "priority=1000,ip,in_port=4,nw_dst=224.0.0.0/24 actions=drop",
                    PluginFlow::FromTunnel { port: 4, to: local },
                ),
            ] {
                assert_eq!(PluginFlow::parse(&format!(" {head}{text}")), Some(flow), "{head}{text}");
            }
        }
    }

    #[test]
    fn what_has_anything_more_or_less_is_somebody_elses() {
        for line in [
            "priority=0 actions=NORMAL",
            "cookie=0x1, priority=65000,ipv6 actions=drop",
            "table=1, priority=65000,ipv6 actions=drop",
            "priority=65000,ipv6,in_port=1 actions=drop",
            "priority=65000,ip actions=drop",
            "priority=65000,icmp6 actions=drop",
            "priority=65000,ipv6 actions=NORMAL",
            "priority=64999,ipv6 actions=drop",
            "idle_timeout=100, priority=65000,ipv6 actions=drop",
            "send_flow_rem priority=65000,ipv6 actions=drop",
            "importance=4, priority=65000,ipv6 actions=drop",
            "priority=1200,in_port=LOCAL,dl_dst=ff:ff:ff:ff:ff:ff actions=NORMAL",
            "priority=1200,in_port=65534,dl_dst=ff:ff:ff:ff:ff:ff actions=NORMAL",
            "priority=1200,dl_dst=ff:ff:ff:ff:ff:ff actions=NORMAL",
            "priority=1200,in_port=1,dl_dst=ff:ff:ff:ff:ff:ff actions=output:3",
            "priority=1200,in_port=1,dl_dst=ff:ff:ff:ff:ff:ff,dl_vlan=7 actions=NORMAL",
            "priority=1200,ip,in_port=1,dl_dst=ff:ff:ff:ff:ff:ff,nw_dst=224.0.0.0/24 actions=NORMAL",
            "priority=1200,in_port=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=NORMAL",
            "priority=1200,ip,in_port=1,nw_dst=224.0.0.0/4 actions=NORMAL",
            "priority=1200,ip,in_port=1,nw_dst=224.0.0.1 actions=NORMAL",
            "priority=1100,dl_dst=ff:ff:ff:ff:ff:ff actions=NORMAL",
            "priority=1100,dl_dst=ff:ff:ff:ff:ff:ff actions=output:1,NORMAL",
            "priority=1100,dl_dst=ff:ff:ff:ff:ff:ff actions=output:1,LOCAL",
            "priority=1100,in_port=1,dl_dst=ff:ff:ff:ff:ff:ff actions=output:2",
            "priority=1100,ip actions=output:2",
            "priority=1000,in_port=4,dl_dst=ff:ff:ff:ff:ff:ff actions=NORMAL",
            "priority=1000,dl_dst=ff:ff:ff:ff:ff:ff actions=drop",
            "priority=5000,ip,in_port=1,dl_src=02:00:00:00:00:01,nw_src=10.1.1.1 actions=NORMAL",
            "NXST_FLOW reply (xid=0x4):",
            "",
        ] {
            assert_eq!(PluginFlow::parse(line), None, "{line}");
        }
    }

    fn any_group() -> impl Strategy<Value = PluginGroup> {
        prop::sample::select(vec![PluginGroup::Broadcast, PluginGroup::LocalMulticast])
    }

    fn any_plugin_flow() -> impl Strategy<Value = PluginFlow> {
        let port = || 1..OFPORT_MAX;
        prop_oneof![
            Just(PluginFlow::Ipv6),
            (port(), any_group()).prop_map(|(port, to)| PluginFlow::FromVif { port, to }),
            (port(), any_group()).prop_map(|(port, to)| PluginFlow::FromTunnel { port, to }),
            (prop::collection::btree_set(port(), 0..5), any_group())
                .prop_map(|(ports, to)| PluginFlow::ToVifs { to, ports }),
        ]
    }

    /// The line that a dump has for a flow of the plugin's, written without the parser's knowledge.
    fn printed(flow: &PluginFlow) -> String {
        let deleted = flow.to_string();
        let matches = deleted.strip_prefix("cookie=0x0/-1,table=0,").unwrap_or_default();
        let actions = match flow {
            PluginFlow::Ipv6 | PluginFlow::FromTunnel { .. } => "drop".to_owned(),
            PluginFlow::FromVif { .. } => "NORMAL".to_owned(),
            PluginFlow::ToVifs { ports, .. } if ports.is_empty() => "drop".to_owned(),
            PluginFlow::ToVifs { ports, .. } => {
                ports.iter().map(|port| format!("output:{port}")).collect::<Vec<_>>().join(",")
            }
        };
        format!(" cookie=0x0, duration=1.5s, table=0, n_packets=3, n_bytes=0, reset_counts {matches} actions={actions}")
    }

    proptest! {
        #[test]
        fn the_flow_that_is_deleted_is_the_one_that_was_read(flow in any_plugin_flow()) {
            prop_assert_eq!(PluginFlow::parse(&printed(&flow)), Some(flow));
        }

        #[test]
        fn any_one_thing_more_makes_it_somebody_elses(flow in any_plugin_flow(), more in prop::sample::select(vec![
            "dl_src=02:00:00:00:00:01", "tun_id=0x3e9", "dl_vlan=1", "arp", "tp_dst=80", "reg0=0x1", "idle_timeout=9", "nw_tos=4",
        ])) {
            let line = printed(&flow).replace(" actions=", &format!(",{more} actions="));
            prop_assert_eq!(PluginFlow::parse(&line), None, "{}", line);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".{0,200}") {
            let _ = PluginFlow::parse(&text);
        }
    }
}
