//! Frames that are followed through a bridge's tables (`ofproto/trace`), and where each must come out.
//!
//! What it does: says which frames, and judges where one came out. What it must not do: find fault where what the switch says is
//! not understood.

use std::collections::{BTreeMap, BTreeSet};

use crate::{DesiredBridge, Ipv6Policy, Learnt, ObservedBridge, Settings, Trace, TunnelEndpoint};

/// Who sends the frames that are followed; no VM has it, and nothing learns it, for a trace has no side effects.
const SENDER: &str = "02:00:00:00:00:01";
/// Ethernet type for local experiments: nothing of ours matches it.
const BROADCAST: &str = "dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b5";
const FRAGMENT: &str =
    "dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x0800,nw_proto=17,nw_src=0.0.0.0,nw_dst=255.255.255.255,nw_frag=first";
const IPV6: &str = "dl_dst=33:33:00:00:00:01,dl_type=0x86dd";
/// Known addresses that are followed on one bridge.
const ADDRESSES: usize = 64;

/// Where a frame can come out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Out {
    /// By an OpenFlow port.
    Port(u32),
    /// By a tunnel that leads there.
    Tunnel(TunnelEndpoint),
}

/// A frame, and where it must come out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is, as a person says it.
    pub description: String,
    /// As `ofproto/trace` takes it.
    pub flow: String,
    /// Where it must come out, each once.
    must: Vec<(String, Out)>,
    /// Where it must not.
    must_not: Vec<(String, Out)>,
}

/// What the switch says of a frame that it followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Where it came out, as often as it did.
    pub outs: Vec<Out>,
    /// NORMAL flooded it.
    pub flooded: bool,
    /// Remote addresses whose MAC address is not known at this moment: what goes there is not in the trace.
    pub unresolved: Vec<std::net::IpAddr>,
    /// The lines that decide.
    pub evidence: String,
}

impl Frame {
    /// What is wrong with where it came out; nothing where nothing is.
    pub fn judge_trace(&self, followed: &Followed) -> Option<Trace> {
        let mut counts: BTreeMap<&Out, usize> = BTreeMap::new();
        followed.outs.iter().for_each(|out| *counts.entry(out).or_default() += 1);
        let times = |out: &Out| counts.get(out).copied().unwrap_or_default();
        let unresolved =
            |out: &Out| matches!(out, Out::Tunnel(leads) if followed.unresolved.contains(&leads.remote_ip));
        let lost = self.must.iter().filter(|(_, out)| times(out) == 0 && !unresolved(out));
        let missing: Vec<String> = lost.map(|(name, _)| name.clone()).collect();
        let twice = self.must.iter().filter(|(_, out)| times(out) > 1).map(|(name, _)| format!("{name} (twice)"));
        let astray = self.must_not.iter().filter(|(_, out)| times(out) > 0).map(|(name, _)| name.clone());
        let surplus: Vec<String> = twice.chain(astray).collect();
        let evidence = followed.evidence.clone();
        (!missing.is_empty() || !surplus.is_empty()).then(|| Trace {
            frame: self.description.clone(),
            missing,
            surplus,
            evidence,
        })
    }

    /// Whether NORMAL flooded it and it reached nobody of those whom it must reach: what a spanning tree leaves behind that was
    /// switched off while its ports did not forward.
    pub fn is_flooded_to_nobody(&self, followed: &Followed) -> bool {
        let outs: BTreeSet<&Out> = followed.outs.iter().collect();
        let reached = self.must.iter().any(|(_, out)| outs.contains(out));
        followed.flooded && followed.unresolved.is_empty() && !self.must.is_empty() && !reached
    }
}

/// The frames that are followed on a bridge, each made when it is asked for: a bridge may have thousands of tunnels.
#[derive(Clone, Debug)]
pub struct Frames<'a> {
    ends: Ends,
    ipv6: Ipv6Policy,
    learnt: &'a [Learnt],
}

impl<'a> Frames<'a> {
    /// Those of a network's bridge: from each VIF first, then from a tunnel, then to addresses that are known behind tunnels.
    /// On a VPC's bridge, whose flows decide by what they say of each VM, none are.
    pub fn for_bridge(
        bridge: &ObservedBridge,
        desired: &DesiredBridge,
        settings: &Settings,
        learnt: &'a [Learnt],
    ) -> Self {
        let ends = match desired.kind.vpc() {
            Some(_) => Ends::default(),
            None => Ends::ends_of(bridge, settings),
        };
        Frames { ends, ipv6: desired.ipv6, learnt: learnt.get(..ADDRESSES).unwrap_or(learnt) }
    }

    /// How many there are at most; those that a bridge does not have are left out.
    pub fn count(&self) -> usize {
        self.ends.vifs.len() + 3 + self.learnt.len()
    }

    /// One of them.
    pub fn get(&self, number: usize) -> Option<Frame> {
        let (ends, vifs) = (&self.ends, self.ends.vifs.len());
        if let Some((name, port)) = ends.vifs.get(number) {
            return ends.flooded_frame(&format!("broadcast from {name}"), *port, BROADCAST);
        }
        let first = ends.vifs.first().map(|(_, port)| *port);
        match number - vifs {
            0 => ends.by_first_tunnel(),
            1 => ends.flooded_frame("an IP fragment, broadcast from a VIF", first?, FRAGMENT),
            2 if self.ipv6 == Ipv6Policy::Allow => ends.flooded_frame("IPv6 multicast from a VIF", first?, IPV6),
            2 => ends.blocked_frame("IPv6 multicast from a VIF", first?, IPV6),
            learnt => ends.unicast_frame(first?, self.learnt.get(learnt - 3)?),
        }
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Frame> {
        (0..self.count()).filter_map(|number| self.get(number))
    }
}

/// VIFs and tunnels of a bridge that carry frames.
#[derive(Clone, Debug, Default)]
struct Ends {
    vifs: Vec<(String, u32)>,
    tunnels: Vec<(String, u32, TunnelEndpoint)>,
}

impl Ends {
    fn ends_of(bridge: &ObservedBridge, settings: &Settings) -> Self {
        let vif = |port: &crate::ObservedPort| Some((port.name.clone(), port.interface()?.openflow_port()?));
        let tunnel = |port: &crate::ObservedPort| {
            let interface = port.interface().filter(|interface| interface.error.is_none())?;
            Some((port.name.clone(), interface.openflow_port()?, interface.tunnel_endpoint()?))
        };
        // Nothing is sent by a second one, and what comes by it is taken as come by the first.
        let ours = bridge.ports.values().filter(|port| port.is_tunnel_of_ours() && !port.is_second_of_ours());
        Ends {
            vifs: bridge.vifs(&settings.vif_prefixes).filter_map(vif).collect(),
            tunnels: ours.filter_map(tunnel).collect(),
        }
    }

    fn vifs_but(&self, port: u32) -> impl Iterator<Item = (String, Out)> {
        self.vifs.iter().filter(move |(_, vif)| *vif != port).map(|(name, vif)| (name.clone(), Out::Port(*vif)))
    }

    fn all_tunnels(&self) -> impl Iterator<Item = (String, Out)> {
        self.tunnels.iter().map(|(name, _, identity)| (name.clone(), Out::Tunnel(*identity)))
    }

    /// A frame from a VIF that comes to every other one and to every tunnel; nothing where there is no other.
    fn flooded_frame(&self, description: &str, vif: u32, what: &str) -> Option<Frame> {
        let must: Vec<_> = self.vifs_but(vif).chain(self.all_tunnels()).collect();
        let flow = format!("in_port={vif},dl_src={SENDER},{what}");
        (!must.is_empty()).then(|| Frame { description: description.to_owned(), flow, must, must_not: vec![] })
    }

    /// A frame from a VIF that comes to nobody.
    fn blocked_frame(&self, description: &str, vif: u32, what: &str) -> Option<Frame> {
        self.flooded_frame(description, vif, what).map(|frame| Frame { must: vec![], must_not: frame.must, ..frame })
    }

    /// A frame from the first tunnel that comes to every VIF and to no other tunnel.
    fn by_first_tunnel(&self) -> Option<Frame> {
        let (name, port, leads) = self.tunnels.first()?;
        let flow = format!("in_port={port},{},dl_src={SENDER},{BROADCAST}", leads.came_from());
        let must = self.vifs.iter().map(|(name, vif)| (name.clone(), Out::Port(*vif))).collect();
        let must_not = self.all_tunnels().collect();
        Some(Frame { description: format!("broadcast from {name}"), flow, must, must_not })
    }

    /// A frame from a VIF to an address that was learnt behind a tunnel: it leaves by that one only.
    fn unicast_frame(&self, vif: u32, learnt: &Learnt) -> Option<Frame> {
        let number = learnt.port.parse::<u32>().ok()?;
        let (name, _, identity) = self.tunnels.iter().find(|(_, port, _)| *port == number)?;
        let (mac, out) = (&learnt.mac, Out::Tunnel(*identity));
        let others = self.vifs_but(vif).chain(self.all_tunnels());
        Some(Frame {
            description: format!("to {mac}, which is behind {name}"),
            flow: format!("in_port={vif},dl_src={SENDER},dl_dst={mac},dl_type=0x88b5"),
            must: vec![(name.clone(), out)],
            must_not: others.filter(|(_, other)| *other != out).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BridgeKind, ObservedInterface, ObservedPort, TunnelKind, ids};

    fn port(name: &str, ofport: i64, remote: Option<&str>) -> (String, ObservedPort) {
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        let options = remote.map(|ip| pairs(&[("remote_ip", ip), ("key", "1001")])).unwrap_or_default();
        let external_ids = remote.map(|_| pairs(&[(ids::KEY, "1001")])).unwrap_or_default();
        let kind = remote.map_or("", |_| "gre").to_owned();
        let interface =
            ObservedInterface { name: name.into(), kind, options, ofport: Some(ofport), ..Default::default() };
        (
            name.into(),
            ObservedPort { name: name.into(), external_ids, interfaces: vec![interface], ..Default::default() },
        )
    }

    fn all(ipv6: Ipv6Policy) -> Vec<Frame> {
        let ports = [
            port("vif1.0", 4, None),
            port("vif2.0", 2, None),
            port("t1001-1-2", 3, Some("192.0.2.2")),
            port("t1001-1-3", 1, Some("192.0.2.3")),
            port("eth9", 7, None),
        ];
        let bridge = ObservedBridge { name: "xapi1".into(), ports: ports.into(), ..Default::default() };
        let desired = DesiredBridge {
            name: "xapi1".parse().unwrap(),
            kind: BridgeKind::Network("1001".parse().unwrap()),
            network_uuid: None,
            host_id: None,
            ipv6,
            adopted: false,
            uplink: None,
            claim: None,
            agent: false,
            encap: Default::default(),
            tunnels: Default::default(),
            second: None,
            neighbours: Default::default(),
        };
        let learnt = Learnt::parse(" port  VLAN  MAC                Age\n    3     0  02:bb:00:00:00:09    7\n");
        Frames::for_bridge(&bridge, &desired, &Settings::default(), &learnt).all().collect()
    }

    const fn tunnel_to(host: u8) -> Out {
        let remote_ip = std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, host));
        Out::Tunnel(TunnelEndpoint { kind: TunnelKind::Gre, remote_ip, key: 1001 })
    }

    const A: Out = tunnel_to(2);
    const B: Out = tunnel_to(3);
    const LOCAL: Out = Out::Port(65534);

    fn judge(frame: &Frame, outs: &[Out]) -> Option<(Vec<String>, Vec<String>)> {
        let followed = Followed { outs: outs.to_vec(), ..Followed::default() };
        frame.judge_trace(&followed).map(|trace| (trace.missing, trace.surplus))
    }

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_broadcast_reaches_each_vif_and_tunnel_once() {
        let frames = all(Ipv6Policy::Allow);
        assert_eq!(frames.len(), 6, "{frames:#?}");
        let vif1 = &frames[0];
        assert_eq!(vif1.description, "broadcast from vif1.0");
        assert_eq!(judge(vif1, &[A, LOCAL, B, Out::Port(2), Out::Port(7)]), None);
        assert_eq!(judge(vif1, &[A, Out::Port(2)]), Some((names(&["t1001-1-3"]), vec![])));
        let twice = [A, B, Out::Port(2), A];
        assert_eq!(judge(vif1, &twice), Some((vec![], names(&["t1001-1-2 (twice)"]))));
        let unresolved = Followed {
            outs: vec![A, Out::Port(2)],
            unresolved: vec!["192.0.2.3".parse().unwrap()],
            ..Followed::default()
        };
        assert_eq!(vif1.judge_trace(&unresolved), None, "an address that is being asked for is no fault");
    }

    #[test]
    fn what_comes_from_a_tunnel_goes_to_no_tunnel() {
        let frames = all(Ipv6Policy::Allow);
        let tunnel = frames.iter().find(|frame| frame.flow.starts_with("in_port=3,tun_id=1001")).unwrap();
        assert_eq!(judge(tunnel, &[Out::Port(4), Out::Port(2), LOCAL]), None);
        assert_eq!(judge(tunnel, &[Out::Port(4), B]), Some((names(&["vif2.0"]), names(&["t1001-1-3"]))));
    }

    #[test]
    fn ipv6_and_known_addresses_go_where_they_must() {
        let (drop, allow) = (all(Ipv6Policy::Drop), all(Ipv6Policy::Allow));
        let of = |frames: &[Frame], flow: &str| frames.iter().find(|f| f.flow.contains(flow)).unwrap().clone();
        let ipv6 = of(&drop, "0x86dd");
        assert_eq!((judge(&ipv6, &[]), judge(&ipv6, &[A])), (None, Some((vec![], names(&["t1001-1-2"])))));
        assert!(judge(&of(&allow, "0x86dd"), &[]).is_some());
        let known = of(&allow, "02:bb:00:00:00:09");
        assert_eq!(judge(&known, &[A]), None);
        assert_eq!(judge(&known, &[Out::Port(2)]), Some((names(&["t1001-1-2"]), names(&["vif2.0"]))));
    }

    #[test]
    fn flooded_to_nobody_is_told_from_dropped() {
        let frame = &all(Ipv6Policy::Allow)[0];
        let followed = |outs: &[Out], flooded| Followed { outs: outs.to_vec(), flooded, ..Followed::default() };
        assert!(frame.is_flooded_to_nobody(&followed(&[LOCAL], true)));
        assert!(!frame.is_flooded_to_nobody(&followed(&[LOCAL], false)));
        assert!(!frame.is_flooded_to_nobody(&followed(&[A], true)));
    }
}
