//! The network that carries the tunnels: a way to each other host, its MTU against the VMs', and whether the other host
//! answers.
//!
//! What it can know without sending a packet: routes, what the kernel remembers of next hops, and the tunnels' counters. A
//! silent network and a filter for tunnels look the same to it; only traffic of VMs tells them apart.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ovstunnel_api::{Finding, TunnelKind};
use ovstunnel_types::TunnelOptions;

use super::finding::{About, ok, or_ok, some_names, warn};
use super::traffic::Since;
use crate::host::{Neighbour, Route};

/// So many packets must have been sent before it means something that none came back.
const ENOUGH: u64 = 20;

/// So many since an earlier look: VMs can be silent for a while.
const MANY: u64 = 100;

/// Another host, as tunnels of managed bridges name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Remote {
    pub ip: IpAddr,
    /// Tunnels to it, of all bridges.
    pub tunnels: usize,
    /// Packets that came by those, and that went; none where it is not known.
    pub packets: Option<(u64, u64)>,
    /// The same since an earlier look.
    pub since: Option<Since>,
    /// Addresses of this host at which its packets come in, as far as known.
    pub arrives_at: BTreeSet<IpAddr>,
    /// The address of this host that tunnels to it send from.
    pub ours: Option<IpAddr>,
    pub route: Option<Route>,
}

impl Remote {
    /// The address of this host by which it knows us, where that is another one than ours.
    fn other_address(&self) -> Option<(IpAddr, IpAddr)> {
        let ours = self.ours?;
        let other = self.arrives_at.iter().find(|_| !self.arrives_at.contains(&ours))?;
        Some((*other, ours))
    }

    /// Whether something came as long as something went, and now nothing does.
    fn has_fallen_silent(&self) -> Option<Since> {
        self.since.filter(|since| {
            let (came, went) = since.before;
            since.came == 0 && since.went >= MANY && came >= ENOUGH && came >= went / 10
        })
    }
}

/// What is known of each other host's answering.
pub(super) fn check_peers(remotes: &[Remote]) -> Vec<Finding> {
    let findings = remotes.iter().filter_map(|remote| {
        let (ip, route) = (remote.ip, remote.route.as_ref().filter(|route| !route.local)?);
        let found = match remote.packets {
            _ if route.neighbour == Neighbour::Silent => warn(
                "peer",
                format!("{} does not answer on {}: so {ip} cannot be reached", route.next_hop, route.device),
                format!("see that the host at {ip} is up, its address is right, and the link and VLAN of {} are", route.device),
            ),
            _ if remote.other_address().is_some() => {
                let (other, ours) = remote.other_address()?;
                warn(
                    "peer",
                    format!("{ip} sends to {other}, another address of this host than {ours}, which its tunnels to {ip} send from: what comes from there is lost at {ip}"),
                    format!("`[tunnel] local_ip = \"{other}\"` and `systemctl reload ovstunneld`; or correct this host's address in the management server"),
                )
            }
            _ if remote.has_fallen_silent().is_some() => {
                let Since { ago, went, before, .. } = remote.has_fallen_silent()?;
                warn(
                    "peer",
                    format!("in the last {} s {went} packets went to {ip} by its tunnels, and none came back; before that, {} had come", ago.as_secs(), before.0),
                    format!("see what has changed: that the host at {ip} has the same networks and kinds of tunnels (`ovstunnelctl tunnel list` and `bridge show` there), and that no firewall drops tunnel packets (GRE: IP protocol 47; VXLAN, Geneve: UDP) on the way; `ovstunnelctl doctor --probe-peers` asks its daemon"),
                )
            }
            Some((0, sent)) if sent >= ENOUGH => warn(
                "peer",
                format!("{sent} packets went to {ip} by its tunnels, and none came back"),
                format!("see that the host at {ip} has the same networks and kinds of tunnels (`ovstunnelctl tunnel list` and `bridge show` there), and that no firewall drops tunnel packets (GRE: IP protocol 47; VXLAN, Geneve: UDP) on the way; `ovstunnelctl doctor --probe-peers` asks its daemon"),
            ),
            _ => return None,
        };
        Some(found.about(ip))
    });
    or_ok(findings.collect(), || ok("peer", "nothing says that another host does not answer"))
}

/// A VIF, and what it may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VifMtu {
    pub name: String,
    pub mtu: u32,
    /// The kind of its bridge's tunnels, and what else says how many bytes one takes.
    pub kind: TunnelKind,
    pub options: TunnelOptions,
    /// Where its bridge's tunnels go.
    pub remotes: Vec<IpAddr>,
}

/// A device with its MTU, and a kind of tunnel with the bytes that it takes.
type Narrow<'a> = (&'a str, u32, TunnelKind, u32);

/// The VMs' MTU against what the underlay carries beside what a tunnel takes.
pub(super) fn check_mtu(vifs: &[VifMtu], remotes: &[Remote]) -> Vec<Finding> {
    let routes: BTreeMap<IpAddr, &Route> = remotes.iter().filter_map(|r| Some((r.ip, r.route.as_ref()?))).collect();
    let mut too_large: BTreeMap<Narrow<'_>, (u32, Vec<String>)> = BTreeMap::new();
    for vif in vifs {
        let way = |ip: &IpAddr| {
            let way = routes.get(ip).filter(|route| route.mtu > 0 && !route.local)?;
            Some((way, vif.options.overhead(vif.kind, *ip)))
        };
        let ways = vif.remotes.iter().filter_map(way);
        let narrow = ways.min_by_key(|(way, overhead)| way.mtu.saturating_sub(*overhead));
        let Some((way, overhead)) = narrow else { continue };
        if vif.mtu > way.mtu.saturating_sub(overhead) {
            let (largest, names) = too_large.entry((&way.device, way.mtu, vif.kind, overhead)).or_default();
            *largest = vif.mtu.max(*largest);
            names.push(vif.name.clone());
        }
    }
    let findings = too_large.into_iter().map(|((device, mtu, kind, overhead), (largest, names))| {
        let carried = mtu.saturating_sub(overhead);
        let reason = format!(
            "{device} has MTU {mtu}, and a {kind} tunnel takes {overhead} bytes: it carries guests' MTU of {carried}, and VIFs may send {largest}: {}",
            some_names(&names, 5)
        );
        let remedy = format!(
            "set the guests' MTU to {carried} or less (in the guest, or by the network's DHCP), or that of {device} and all on its way to {}",
            largest.saturating_add(overhead)
        );
        warn("mtu", reason, remedy).about(device)
    });
    or_ok(findings.collect(), || {
        ok("mtu", "no VIF has a larger MTU than the underlay carries beside what a tunnel takes")
    })
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;

    use super::*;

    fn remote(route: Option<Route>, packets: Option<(u64, u64)>) -> Remote {
        let (since, arrives_at, ours) = (None, BTreeSet::new(), Some([192, 0, 2, 1].into()));
        Remote { ip: [192, 0, 2, 2].into(), tunnels: 2, packets, since, arrives_at, ours, route }
    }

    fn route(neighbour: Neighbour) -> Route {
        let source = Some([192, 0, 2, 1].into());
        Route { device: "eth0".into(), mtu: 1500, source, next_hop: [192, 0, 2, 2].into(), local: false, neighbour }
    }

    #[test]
    fn a_peer_is_suspect_when_it_does_not_answer() {
        let level = |neighbour, packets| check_peers(&[remote(Some(route(neighbour)), packets)])[0].level;
        assert_eq!(level(Neighbour::Known, Some((5, 100))), Level::Ok);
        assert_eq!(level(Neighbour::Unknown, None), Level::Ok);
        assert_eq!(level(Neighbour::Known, Some((0, 3))), Level::Ok, "too little to say anything");
        assert_eq!(level(Neighbour::Known, Some((0, 20))), Level::Warn);
        assert_eq!(level(Neighbour::Silent, Some((5, 5))), Level::Warn);
        assert_eq!(
            check_peers(&[remote(None, Some((0, 99)))])[0].level,
            Level::Ok,
            "that there is no way is said elsewhere"
        );
    }

    #[test]
    fn one_that_worked_and_became_one_sided_is_suspect() {
        let told = |came, went, before| {
            let since = Some(Since { ago: std::time::Duration::from_secs(60), came, went, before });
            let remote = Remote { since, ..remote(Some(route(Neighbour::Known)), Some((5000, 6000))) };
            check_peers(&[remote])[0].clone()
        };
        let found = told(0, 100, (500, 600));
        assert_eq!(found.level, Level::Warn);
        assert!(found.reason.contains("in the last 60 s 100 packets went to 192.0.2.2"), "{}", found.reason);
        assert_eq!(told(1, 100, (500, 600)).level, Level::Ok, "something came");
        assert_eq!(told(0, 99, (500, 600)).level, Level::Ok, "too little to say anything");
        assert_eq!(told(0, 100, (20, 600)).level, Level::Ok, "it was one-sided all the time");
    }

    #[test]
    fn a_peer_that_knows_us_by_another_address_is_named() {
        let at = |addresses: &[[u8; 4]]| {
            let arrives_at = addresses.iter().map(|address| IpAddr::from(*address)).collect();
            check_peers(&[Remote { arrives_at, ..remote(Some(route(Neighbour::Known)), None) }])[0].clone()
        };
        let found = at(&[[192, 0, 2, 101]]);
        assert!(found.level == Level::Warn && found.reason.contains("192.0.2.2 sends to 192.0.2.101"), "{found:?}");
        assert!(found.remedy.unwrap().contains("`[tunnel] local_ip = \"192.0.2.101\"`"));
        // Flows of a moment ago may still be there.
        assert_eq!(at(&[[192, 0, 2, 1], [192, 0, 2, 101]]).level, Level::Ok);
        assert_eq!(at(&[]).level, Level::Ok);
    }

    #[test]
    fn guests_must_leave_room_for_gre() {
        let kind = TunnelKind::Gre;
        let vif = |mtu| {
            let remotes = vec![[192, 0, 2, 2].into()];
            VifMtu { name: "vif1.0".into(), mtu, kind, options: TunnelOptions::default(), remotes }
        };
        let remotes = [remote(Some(route(Neighbour::Known)), None)];
        assert_eq!(check_mtu(&[vif(1458)], &remotes)[0].level, Level::Ok);
        let found = &check_mtu(&[vif(1459), vif(1500)], &remotes)[0];
        assert_eq!((found.level, found.subject.as_deref()), (Level::Warn, Some("eth0")));
        assert!(found.reason.contains("1458") && found.remedy.as_ref().unwrap().contains("1542"), "{found:?}");
        assert_eq!(check_mtu(&[vif(9000)], &[])[0].level, Level::Ok, "a network of one host");
    }
}
