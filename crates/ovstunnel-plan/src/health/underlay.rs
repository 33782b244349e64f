//! What is below the tunnels of all bridges: a way to each other host, the bridge and the devices that it leads by. Told once,
//! however many bridges there are. Must not ask anybody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::settings::datapath_name;
use super::{Reason, degraded_reason, failed_reason, some_names, worst_first};
use crate::{FailMode, ObservedBridge, ObservedInterface, ObservedPort};

/// Other hosts that are named each by itself; more are told together.
const NAMED: usize = 3;

/// The way of packets to another host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The device by which they leave.
    pub device: String,
    /// The address that they have as their source.
    pub source: Option<IpAddr>,
    /// The address is this host's own.
    pub local: bool,
    /// MTU of the device, bytes; 0 where it is not known.
    pub mtu: u32,
}

/// The bridge whose own device is below tunnels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BelowBridge {
    /// Its rows.
    pub observed: ObservedBridge,
    /// Flows in its first table; asked for only where its `fail_mode` is `secure`.
    pub flows: Option<usize>,
}

/// What is seen of all that is below the tunnels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Below {
    /// The way to each host to which tunnels go, or none; and how many tunnels.
    pub ways: BTreeMap<IpAddr, (Option<Way>, usize)>,
    /// Bridges by their device's name.
    pub bridges: BTreeMap<String, BelowBridge>,
    /// Whether tunnels are on a bridge in user space: there the route must lead by such a bridge, too.
    pub userspace: bool,
    /// Whether `ovs-vswitchd` is told to wait for flows.
    pub flow_restore_wait: bool,
}

/// What keeps tunnels of all bridges from carrying anything, the worst first.
pub fn host_health(underlay: &Below) -> Vec<Reason> {
    let mut reasons = address_reasons(underlay);
    let devices: BTreeSet<&str> = underlay
        .ways
        .values()
        .filter_map(|(way, _)| way.as_ref())
        .filter(|way| !way.local)
        .map(|way| way.device.as_str())
        .collect();
    for device in devices {
        match underlay.bridges.get(device) {
            Some(bridge) => reasons.extend(of_bridge(underlay, bridge)),
            None if underlay.userspace => reasons.push(no_bridge(device)),
            None => {}
        }
    }
    if underlay.flow_restore_wait {
        let evidence = "other_config:flow-restore-wait is true: an ovs-vswitchd that was started so handles no frame until it is taken away"
            .to_owned();
        let remedy = "`ovs-vsctl remove Open_vSwitch . other_config flow-restore-wait`".to_owned();
        reasons.push(failed_reason("flow_restore_wait", "Open_vSwitch", evidence, remedy));
    }
    worst_first(reasons)
}

impl Below {
    /// Whether no tunnel of this host can carry anything, by these reasons.
    pub fn all_dead(&self, reasons: &[Reason]) -> bool {
        let dead = |what: &str| reasons.iter().any(|reason| reason.what == what);
        let lost = |way: &Option<Way>| self.is_lost(way.as_ref(), reasons);
        dead("flow_restore_wait") || (!self.ways.is_empty() && self.ways.values().all(|(way, _)| lost(way)))
    }

    /// Whether a tunnel to this address cannot carry anything, by these reasons. Of an address that was not looked for, nothing is known.
    pub fn is_dead(&self, to: IpAddr, reasons: &[Reason]) -> bool {
        self.ways.get(&to).is_some_and(|(way, _)| self.is_lost(way.as_ref(), reasons))
    }

    fn is_lost(&self, way: Option<&Way>, reasons: &[Reason]) -> bool {
        let cut = |reason: &Reason, subject: &str| {
            reason.subject == subject && (reason.what == "underlay_bridge" || reason.what == "underlay_device")
        };
        let by_device = |device: &str| {
            let bridge = self.bridges.get(device).map(|bridge| bridge.observed.name.as_str());
            reasons.iter().any(|reason| cut(reason, bridge.unwrap_or(device)))
        };
        way.is_none_or(|way| way.local || by_device(&way.device))
    }

    /// The least room in packets to these addresses, in bytes, by the MTU of the devices by which they leave and what a tunnel to each
    /// takes; none where no MTU is known.
    pub fn least_room(&self, to: impl Iterator<Item = IpAddr>, overhead: impl Fn(IpAddr) -> u32) -> Option<u32> {
        let mtu = |ip| self.ways.get(&ip)?.0.as_ref().map(|way| way.mtu).filter(|mtu| *mtu > 0);
        to.filter_map(|ip| Some(mtu(ip)?.saturating_sub(overhead(ip)))).min()
    }
}

/// That there is a way to each, from an address of this host.
fn address_reasons(underlay: &Below) -> Vec<Reason> {
    let without: Vec<(IpAddr, usize)> =
        underlay.ways.iter().filter(|(_, (way, _))| way.is_none()).map(|(ip, (_, tunnels))| (*ip, *tunnels)).collect();
    let mut reasons = Vec::new();
    for (ip, tunnels) in without.iter().take(if without.len() > NAMED { 0 } else { NAMED }) {
        reasons.push(no_way(&ip.to_string(), &ip.to_string(), *tunnels));
    }
    if let (true, Some((first, _))) = (without.len() > NAMED, without.first()) {
        let all: Vec<String> = without.iter().map(|(ip, _)| ip.to_string()).collect();
        let tunnels = without.iter().map(|(_, tunnels)| tunnels).sum();
        reasons.push(no_way(&first.to_string(), &some_names(&all, NAMED), tunnels));
    }
    for (ip, (way, tunnels)) in &underlay.ways {
        match way {
            Some(way) if way.local => {
                let evidence = format!("{ip}, to which {tunnels} tunnel(s) go, is an address of this host itself");
                let remedy = "correct the host's address in the management server: a tunnel leads to another host";
                reasons.push(failed_reason("tunnel_address", &ip.to_string(), evidence, remedy.to_owned()));
            }
            Some(Way { device, source: None, .. }) => {
                let evidence = format!("{ip} is reached by {device}, which has no address");
                let remedy = format!("give {device} an address of the family of {ip}");
                reasons.push(degraded_reason("tunnel_address", &ip.to_string(), evidence, remedy));
            }
            _ => {}
        }
    }
    reasons
}

fn no_way(subject: &str, to: &str, tunnels: usize) -> Reason {
    let evidence =
        format!("no way leads to {to}, to which {tunnels} tunnel(s) go: this host has no address or route for it");
    let remedy = format!(
        "set the device of the tunnel network up and give it its address (`ip route get {subject}` must answer), or correct the other \
         host's address in the management server"
    );
    failed_reason("tunnel_address", subject, evidence, remedy)
}

fn no_bridge(device: &str) -> Reason {
    let evidence = format!(
        "tunnels lead by {device}, which is no bridge of Open vSwitch's: tunnels of bridges in user space (datapath_type=netdev) cannot use it"
    );
    let remedy = format!("put {device} on a bridge with datapath_type=netdev, and its address on that bridge's device");
    failed_reason("underlay_bridge", device, evidence, remedy)
}

fn of_bridge(underlay: &Below, bridge: &BelowBridge) -> Vec<Reason> {
    let (observed, name) = (&bridge.observed, &bridge.observed.name);
    let mut reasons = Vec::new();
    let is = datapath_name(&observed.datapath_type);
    if underlay.userspace && is != "netdev" {
        let evidence = format!(
            "bridge {name} below the tunnels has datapath '{is}', and tunnels are on bridges in user space: none of them carries anything"
        );
        let remedy = format!("`ovs-vsctl set Bridge {name} datapath_type=netdev`");
        reasons.push(failed_reason("underlay_bridge", name, evidence, remedy));
    }
    let secure = observed.fail_mode.as_deref() == Some(FailMode::Secure.as_str());
    if secure && bridge.flows == Some(0) {
        let evidence = format!(
            "bridge {name} below the tunnels has fail_mode=secure and no flow: it forwards nothing, and no tunnel carries anything"
        );
        reasons.push(failed_reason("underlay_bridge", name, evidence, format!("`ovs-vsctl del-fail-mode {name}`")));
    }
    reasons.extend(device_reason(observed));
    reasons
}

/// The network cards of the bridge: where all are down, nothing gets out.
fn device_reason(bridge: &ObservedBridge) -> Option<Reason> {
    let of_system = |port: &&ObservedPort| port.name != bridge.name;
    let interfaces = bridge.ports.values().filter(of_system).flat_map(|port| &port.interfaces);
    let cards: Vec<&ObservedInterface> = interfaces.filter(|interface| interface.kind.is_empty()).collect();
    let down = |card: &&&ObservedInterface| card.admin_up == Some(false) || card.link_up == Some(false);
    let out: Vec<&&ObservedInterface> = cards.iter().filter(down).collect();
    if out.is_empty() || out.len() < cards.len() {
        return None;
    }
    let (names, name): (Vec<String>, _) = (out.iter().map(|card| card.name.clone()).collect(), &bridge.name);
    let evidence = format!(
        "every network device of bridge {name} below the tunnels is down: {}; no tunnel carries anything",
        some_names(&names, NAMED)
    );
    let remedy = match out.iter().find(|card| card.admin_up == Some(false)) {
        Some(card) => format!("`ip link set dev {} up`", card.name),
        None => "look at its cable, and at the switch at its other end".to_owned(),
    };
    Some(failed_reason("underlay_device", name, evidence, remedy))
}
