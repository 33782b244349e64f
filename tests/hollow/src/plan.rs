//! Which hosts have which network: a zone of so many hosts, networks and tunnels, by a seed. Must not know how a host is asked.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};

/// Most hosts of a network, as in the simulated zone (docs/zone.md).
const LARGEST: usize = 72;

/// GRE key of the first network.
const FIRST_KEY: u32 = 1001;

/// How large a zone is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Hosts.
    pub hosts: usize,
    /// Networks.
    pub networks: usize,
    /// Tunnels, each direction for itself.
    pub tunnels: usize,
}

impl Size {
    /// The zone that the manager's goals are about.
    pub fn reference() -> Size {
        Size { hosts: 2000, networks: 2455, tunnels: 355_806 }
    }

    /// A zone with a network too large to be drawn piece by piece, and with lists of several pages.
    pub fn large_mesh() -> Size {
        Size { hosts: 320, networks: 400, tunnels: 60_000 }
    }

    /// A zone that any machine holds.
    pub fn small() -> Size {
        Size { hosts: 50, networks: 60, tunnels: 3000 }
    }
}

/// A zone: for each network the numbers of its hosts, from 0, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// How large it is.
    pub size: Size,
    networks: Vec<Vec<usize>>,
    /// For each host its networks.
    hosts: Vec<Vec<usize>>,
}

impl Plan {
    /// The zone of this size that `seed` brings: most networks are small, some span dozens of hosts.
    ///
    /// # Errors
    /// When no networks of so few hosts have so many tunnels.
    pub fn new(size: Size, seed: u64) -> Result<Plan> {
        let mut dice = StdRng::seed_from_u64(seed);
        let mut networks = Vec::with_capacity(size.networks);
        for members in sizes(size, &mut dice)? {
            let mut chosen = index::sample(&mut dice, size.hosts, members).into_vec();
            chosen.sort_unstable();
            networks.push(chosen);
        }
        let mut hosts = vec![Vec::new(); size.hosts];
        for (network, members) in networks.iter().enumerate() {
            members.iter().for_each(|host| hosts[*host].push(network));
        }
        Ok(Plan { size, networks, hosts })
    }

    /// The hosts of a network.
    pub fn members(&self, network: usize) -> &[usize] {
        &self.networks[network]
    }

    /// The networks of a host.
    pub fn networks_of(&self, host: usize) -> &[usize] {
        &self.hosts[host]
    }

    /// GRE key of a network.
    pub fn key(network: usize) -> u32 {
        FIRST_KEY + u32::try_from(network).unwrap_or(u32::MAX - FIRST_KEY)
    }

    /// The number that a host is registered with.
    pub fn number(host: usize) -> u64 {
        host as u64 + 1
    }

    /// The address at which a host listens: each its own, as a client keeps apart what it knows of servers.
    pub fn address(host: usize) -> Ipv4Addr {
        let [.., high, low] = (host + 1).to_be_bytes();
        Ipv4Addr::new(127, 77, high, low)
    }

    /// The address at which a host's tunnels end. Nobody is there.
    pub fn tunnel_end(host: usize) -> Ipv4Addr {
        let [_, _, high, low] = Plan::address(host).octets();
        Ipv4Addr::new(10, 77, high, low)
    }
}

/// How many hosts each network has, so that all have as many tunnels as there are to be.
fn sizes(size: Size, dice: &mut StdRng) -> Result<Vec<usize>> {
    let largest = LARGEST.min(size.hosts);
    let tunnels = |members: usize| members * members.saturating_sub(1);
    let most = tunnels(largest) * size.networks;
    ensure!(
        size.networks > 1 && size.tunnels.is_multiple_of(2) && size.tunnels < most && size.hosts < 65_000,
        "{size:?}: tunnels come in pairs, and {} networks of {largest} hosts at most have {most}",
        size.networks
    );
    // Pareto's, cut off, as the simulated zone has it.
    let mut throw = || (3.0 * (1.0 - dice.random::<f64>()).powf(-1.0 / 1.5)) as usize;
    let mut sizes: Vec<usize> = (0..size.networks).map(|_| throw().clamp(1, largest)).collect();
    // The last ones only make the sum right: a network of one host can always become one of two.
    for spare in sizes.iter_mut().take(2) {
        *spare = 1;
    }
    let mut sum: usize = sizes.iter().copied().map(tunnels).sum();
    while sum != size.tunnels {
        let at = dice.random_range(0..sizes.len());
        let members = sizes[at];
        if sum < size.tunnels && members < largest && sum + 2 * members <= size.tunnels {
            sizes[at] += 1;
        } else if sum > size.tunnels && members > 1 {
            sizes[at] -= 1;
        }
        sum = sum - tunnels(members) + tunnels(sizes[at]);
    }
    Ok(sizes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_zone_has_all_that_it_must_and_a_seed_brings_the_same() {
        for size in [Size::small(), Size::reference()] {
            let plan = Plan::new(size, 1).unwrap();
            let members: Vec<usize> = (0..size.networks).map(|network| plan.members(network).len()).collect();
            assert_eq!(members.iter().map(|members| members * (members - 1)).sum::<usize>(), size.tunnels);
            assert!(members.iter().all(|members| (1..=LARGEST).contains(members)));
            let of_hosts: usize = (0..size.hosts).map(|host| plan.networks_of(host).len()).sum();
            assert_eq!(of_hosts, members.iter().sum::<usize>());
            assert_eq!(plan, Plan::new(size, 1).unwrap());
            assert_ne!(plan, Plan::new(size, 2).unwrap());
        }
    }

    #[test]
    fn a_zone_that_cannot_be_is_refused() {
        let error = Plan::new(Size { hosts: 3, networks: 2, tunnels: 100 }, 1).unwrap_err().to_string();
        assert!(error.contains("2 networks of 3 hosts at most have 12"), "{error}");
        assert!(Plan::new(Size { hosts: 3, networks: 2, tunnels: 3 }, 1).is_err(), "half a pair");
    }

    #[test]
    fn each_host_has_an_address_of_its_own() {
        assert_eq!(Plan::address(0), Ipv4Addr::new(127, 77, 0, 1));
        assert_eq!(Plan::address(299), Ipv4Addr::new(127, 77, 1, 44));
    }
}
