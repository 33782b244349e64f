//! Which hosts a network has, while the manager only looks: those that have anything of it, and those that a tunnel of it leads to.
//!
//! What it does: counts what leads to each host, bridge by bridge as they come and go. What it must not do: decide who must have it. That
//! takes the words of witnesses, and the right to act on them.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_mesh::membership::Attachment;
use ovstunnel_mesh::observed::Bridge;
use ovstunnel_types::{GreKey, HostNumber};

/// What each network has of each host. Must be told of each bridge that comes, and of the same one when it goes.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// How many bridges and tunnels of a network say that a host is of it.
    signs: BTreeMap<GreKey, BTreeMap<HostNumber, u32>>,
    keys: BTreeMap<HostNumber, BTreeSet<GreKey>>,
}

/// Of which host of which network a bridge is a sign.
fn bridge_signs(number: HostNumber, bridge: &Bridge) -> impl Iterator<Item = (GreKey, HostNumber)> {
    let own = bridge.keys().iter().map(move |key| (*key, number));
    let tunnels = bridge.tunnels.iter().filter(|tunnel| bridge.has_key(tunnel.key));
    own.chain(tunnels.filter_map(|tunnel| Some((tunnel.key, tunnel.peer_number()?))))
}

impl Sight {
    /// The hosts of a network. Empty where no host has a bridge for it.
    pub fn hosts_of(&self, key: GreKey) -> BTreeMap<HostNumber, Attachment> {
        self.signs.get(&key).into_iter().flatten().map(|(number, _)| (*number, Attachment::In)).collect()
    }

    /// The same, one by one.
    pub fn keys_hosts(&self, key: GreKey) -> impl Iterator<Item = HostNumber> + '_ {
        self.signs.get(&key).into_iter().flatten().map(|(number, _)| *number)
    }

    /// Each key with the first of its hosts.
    pub fn first_hosts(&self) -> impl Iterator<Item = (GreKey, HostNumber)> + '_ {
        self.signs.iter().filter_map(|(key, hosts)| Some((*key, *hosts.keys().next()?)))
    }

    /// The networks of a host.
    pub fn keys_of(&self, number: HostNumber) -> impl Iterator<Item = GreKey> + '_ {
        self.keys.get(&number).into_iter().flatten().copied()
    }

    /// A host has this bridge now.
    pub fn add_bridge(&mut self, number: HostNumber, bridge: &Bridge) {
        for (key, host) in bridge_signs(number, bridge) {
            let signs = self.signs.entry(key).or_default().entry(host).or_default();
            *signs += 1;
            if *signs == 1 {
                self.keys.entry(host).or_default().insert(key);
            }
        }
    }

    /// A host does not have this bridge any more.
    pub fn remove_bridge(&mut self, number: HostNumber, bridge: &Bridge) {
        for (key, host) in bridge_signs(number, bridge) {
            let Some(hosts) = self.signs.get_mut(&key) else { continue };
            let left = hosts.get(&host).map_or(0, |signs| signs - 1);
            if left > 0 {
                hosts.insert(host, left);
                continue;
            }
            hosts.remove(&host);
            if hosts.is_empty() {
                self.signs.remove(&key);
            }
            if let Some(keys) = self.keys.get_mut(&host) {
                keys.remove(&key);
                if keys.is_empty() {
                    self.keys.remove(&host);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ovstunnel_mesh::observed::{Carries, Tunnel};
    use ovstunnel_types::{FlowsState, HealthState, Ipv6Policy, TunnelKind, TunnelState};

    use super::*;

    fn number(n: u64) -> HostNumber {
        n.try_into().unwrap()
    }

    fn key(n: i64) -> GreKey {
        n.try_into().unwrap()
    }

    /// A bridge of these keys with tunnels to these hosts, each with its key.
    fn bridge(carries: &[i64], tunnels: &[(u64, i64)]) -> Bridge {
        let tunnel = |(to, of): &(u64, i64)| Tunnel {
            port: format!("t{of}-1-{to}").parse().unwrap(),
            to: to.to_string().parse().unwrap(),
            remote_ip: "192.0.2.9".parse().unwrap(),
            key: key(*of),
            state: TunnelState::Up,
            protected: true,
            bfd: None,
            error: None,
        };
        let keys: Vec<GreKey> = carries.iter().map(|n| key(*n)).collect();
        Bridge {
            name: "xapi1".parse().unwrap(),
            carries: if let [one] = keys[..] { Carries::Network(one) } else { Carries::Vpc(keys) },
            host_id: None,
            ipv6: Ipv6Policy::Drop,
            kind: TunnelKind::Gre,
            second: None,
            ports: [None; 2],
            tunnels: tunnels.iter().map(tunnel).collect(),
            last_call: None,
            vifs: 1,
            live_vifs: 1,
            flows: FlowsState::InSync,
            health: HealthState::Ok,
            unmet: vec![],
            neighbours: BTreeMap::new(),
            max_guest_mtu: None,
        }
    }

    fn hosts(sight: &Sight, of: i64) -> Vec<u64> {
        sight.hosts_of(key(of)).into_keys().map(HostNumber::get).collect()
    }

    #[test]
    fn a_host_is_seen_until_the_last_sign_of_it_has_gone() {
        let mut sight = Sight::default();
        let (one, two) = (bridge(&[7], &[(2, 7), (3, 7), (4, 8)]), bridge(&[7], &[(1, 7)]));
        sight.add_bridge(number(1), &one);
        sight.add_bridge(number(2), &two);
        assert_eq!(hosts(&sight, 7), [1, 2, 3]);
        assert_eq!(hosts(&sight, 8), [0; 0], "a tunnel with a key that its bridge does not have is no sign");
        sight.remove_bridge(number(2), &two);
        assert_eq!(hosts(&sight, 7), [1, 2, 3], "a tunnel leads to it still");
        assert_eq!(sight.keys_of(number(3)).collect::<Vec<_>>(), [key(7)]);
        sight.remove_bridge(number(1), &one);
        assert_eq!((hosts(&sight, 7), sight.keys_of(number(3)).count()), (vec![], 0));
        assert!(sight.signs.is_empty() && sight.keys.is_empty(), "{sight:?}");
    }

    #[test]
    fn each_tier_of_a_vpc_has_its_own_hosts() {
        let mut sight = Sight::default();
        sight.add_bridge(number(1), &bridge(&[7, 8], &[(2, 7), (3, 8)]));
        assert_eq!((hosts(&sight, 7), hosts(&sight, 8)), (vec![1, 2], vec![1, 3]));
    }
}
