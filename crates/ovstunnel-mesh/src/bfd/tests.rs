//! Where BFD is to run, and which cuts sessions tell of.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ovstunnel_types::{HealthState, Ipv6Policy, TunnelKind};

use super::*;
use crate::observed::Carries;

fn host(n: u64) -> HostNumber {
    n.try_into().unwrap()
}

fn up() -> Session {
    let diagnostic = Some("No Diagnostic".to_owned());
    Session { state: Some(BfdState::Up), remote_state: Some(BfdState::Up), diagnostic, flaps: 1 }
}

/// Of each host the bridges of these keys, with tunnels to all others that have them.
struct World {
    stands: BTreeMap<u64, Stands>,
    bridges: BTreeMap<(u64, i64), Bridge>,
}

impl World {
    fn new(networks: &[(i64, &[u64])]) -> World {
        let mut world = World { stands: BTreeMap::new(), bridges: BTreeMap::new() };
        for (key, hosts) in networks {
            for n in *hosts {
                world.stands.insert(*n, Stands::Acts);
                let others = hosts.iter().filter(|to| *to != n).map(|to| tunnel(*key, *n, *to));
                world.bridges.insert((*n, *key), bridge(*key, others.collect()));
            }
        }
        world
    }

    fn tunnel(&mut self, key: i64, from: u64, to: u64) -> &mut Tunnel {
        let bridge = self.bridges.get_mut(&(from, key)).unwrap();
        bridge.tunnels.iter_mut().find(|tunnel| tunnel.peer_number() == Some(host(to))).unwrap()
    }

    fn with_ends<T>(&self, look: impl FnOnce(&BTreeMap<HostNumber, End<'_>>) -> T) -> T {
        let of =
            |n: u64| self.bridges.iter().filter(move |((host, _), _)| *host == n).map(|(_, bridge)| bridge.clone());
        let snapshots: BTreeMap<u64, Snapshot> =
            self.stands.keys().map(|n| (*n, Snapshot::new("i", 1, of(*n).collect::<Vec<_>>()))).collect();
        let end = |(n, stands): (&u64, &Stands)| (host(*n), End { stands: *stands, snapshot: &snapshots[n] });
        look(&self.stands.iter().map(end).collect())
    }

    fn differences(&self, is_wanted: bool) -> Vec<String> {
        let told = |set: &Set| {
            let ports: Vec<&str> = set.ports.iter().map(PortName::as_str).collect();
            format!("{} {}: {}", set.host, set.bridge, ports.join(" "))
        };
        self.with_ends(|ends| bfd_differences(ends, is_wanted)).iter().map(told).collect()
    }

    /// Does what is asked for, until nothing is.
    fn settle(&mut self, is_wanted: bool) {
        for _ in 0..3 {
            for set in self.with_ends(|ends| bfd_differences(ends, is_wanted)) {
                let bridges = self.bridges.iter_mut().filter(|((n, _), _)| host(*n) == set.host);
                let bridges = bridges.filter(|(_, bridge)| bridge.name == set.bridge);
                for tunnel in bridges.flat_map(|(_, bridge)| &mut bridge.tunnels) {
                    tunnel.bfd = set.ports.contains(&tunnel.port).then(|| Box::new(up()));
                }
            }
        }
        assert_eq!(self.differences(is_wanted), [""; 0], "it does not come to rest");
    }

    fn cuts(&self) -> Vec<(u64, u64, bool)> {
        let can_be_asked = |end: &End<'_>| end.stands != Stands::Unknown;
        let said = |ends: &BTreeMap<HostNumber, End<'_>>| {
            find_cuts(ends.keys().copied(), |host| {
                ends.get(&host).filter(|end| can_be_asked(end)).map(|end| end.snapshot)
            })
        };
        self.with_ends(said).iter().map(|cut| (cut.from.get(), cut.to.get(), cut.is_certain)).collect()
    }
}

fn tunnel(key: i64, from: u64, to: u64) -> Tunnel {
    Tunnel {
        port: format!("t{key}-{from}-{to}").parse().unwrap(),
        to: to.to_string().parse().unwrap(),
        remote_ip: format!("192.0.2.{to}").parse().unwrap(),
        key: key.try_into().unwrap(),
        state: TunnelState::Up,
        protected: true,
        bfd: None,
        error: None,
    }
}

fn bridge(key: i64, tunnels: Vec<Tunnel>) -> Bridge {
    Bridge {
        name: format!("ovt{key}").parse().unwrap(),
        carries: Carries::Network(key.try_into().unwrap()),
        host_id: None,
        ipv6: Ipv6Policy::Drop,
        tunnels,
        last_call: None,
        vifs: 1,
        live_vifs: 1,
        flows: FlowsState::InSync,
        health: HealthState::Ok,
        unmet: vec![],
        kind: TunnelKind::Gre,
        second: None,
        ports: [None; 2],
        neighbours: BTreeMap::new(),
        max_guest_mtu: None,
    }
}

#[test]
fn two_hosts_have_one_session_on_their_lowest_key_at_both_ends() {
    let mut world = World::new(&[(1001, &[1, 2, 3]), (1002, &[1, 2, 4])]);
    let wanted = [
        "1 ovt1001: t1001-1-2 t1001-1-3",
        "1 ovt1002: t1002-1-4",
        "2 ovt1001: t1001-2-1 t1001-2-3",
        "2 ovt1002: t1002-2-4",
        "3 ovt1001: t1001-3-1 t1001-3-2",
        "4 ovt1002: t1002-4-1 t1002-4-2",
    ];
    assert_eq!(world.differences(true), wanted);
    world.settle(true);
    assert_eq!(world.differences(false).len(), 6, "switched off, it goes from each bridge");
    world.settle(false);
}

#[test]
fn a_running_session_moves_only_when_its_tunnel_goes() {
    let mut world = World::new(&[(1002, &[1, 2])]);
    world.settle(true);
    world.bridges.extend(World::new(&[(1001, &[1, 2])]).bridges);
    assert_eq!(world.differences(true), [""; 0]);
    world.bridges.get_mut(&(1, 1002)).unwrap().tunnels.clear();
    assert_eq!(world.differences(true), ["1 ovt1001: t1001-1-2", "2 ovt1001: t1001-2-1", "2 ovt1002: "]);
}

#[test]
fn no_session_starts_where_an_end_lacks_bfd_or_its_flow() {
    let mut world = World::new(&[(1001, &[1, 2, 3])]);
    world.stands.insert(3, Stands::Never);
    assert_eq!(world.differences(true), ["1 ovt1001: t1001-1-2", "2 ovt1001: t1001-2-1"]);
    world.bridges.get_mut(&(2, 1001)).unwrap().flows = FlowsState::Drifted;
    assert_eq!(world.differences(true), [""; 0]);
    world.bridges.get_mut(&(2, 1001)).unwrap().flows = FlowsState::InSync;
    world.stands.insert(2, Stands::Unknown);
    assert_eq!(world.differences(true), [""; 0], "a host that cannot be told does not begin, so nobody else does");
}

#[test]
fn a_host_unreachable_for_a_while_changes_nothing_at_the_others() {
    let mut world = World::new(&[(1001, &[1, 2, 3])]);
    world.settle(true);
    world.stands.insert(2, Stands::Unknown);
    assert_eq!(world.differences(true), [""; 0]);
    world.bridges.get_mut(&(1, 1001)).unwrap().flows = FlowsState::Unknown;
    assert_eq!(world.differences(true), [""; 0], "nor do flows that have to be read anew");
    // Looked at only from now on: who still can be told ends it.
    world.stands.insert(2, Stands::Never);
    assert_eq!(world.differences(true), ["1 ovt1001: t1001-1-3", "3 ovt1001: t1001-3-1"]);
}

#[test]
fn a_cut_names_both_ends_and_the_direction_that_is_not_heard() {
    let mut world = World::new(&[(1001, &[1, 2, 3])]);
    world.settle(true);
    assert_eq!(world.cuts(), []);
    let state = |world: &mut World, from, to, state| {
        world.tunnel(1001, from, to).bfd.as_mut().unwrap().state = Some(state);
    };
    state(&mut world, 1, 2, BfdState::Init);
    state(&mut world, 2, 1, BfdState::Down);
    assert_eq!(world.cuts(), [(1, 2, true)], "who says `init` hears the other one");
    state(&mut world, 1, 2, BfdState::Down);
    assert_eq!(world.cuts(), [(2, 1, true), (1, 2, true)]);
    world.tunnel(1001, 1, 2).bfd.as_mut().unwrap().diagnostic = Some("Neighbor Signaled Session Down".into());
    assert_eq!(world.cuts(), [(2, 1, false), (1, 2, true)], "it has heard that just now");
    world.stands.insert(1, Stands::Unknown);
    assert_eq!(world.cuts(), [], "what it said is old");
    world.stands.insert(1, Stands::Acts);
    world.tunnel(1001, 2, 1).bfd.as_mut().unwrap().flaps = 0;
    assert_eq!(world.cuts(), [(2, 1, false), (1, 2, false)], "it never was up");
    world.bridges.get_mut(&(2, 1001)).unwrap().kind = TunnelKind::Vxlan;
    assert_eq!(world.cuts(), [], "one has switched to another kind, and the other not yet");
    world.bridges.get_mut(&(2, 1001)).unwrap().kind = TunnelKind::Gre;
    world.tunnel(1001, 2, 1).bfd = None;
    assert_eq!(world.cuts(), [], "the other end has no BFD: that is no cut");
}
