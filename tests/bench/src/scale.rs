//! How much is measured. Must not say how.

use ovstunnel_hollow::Size;

/// The numbers of one run.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Tunnels on the host when one more is made.
    pub host_tunnels: Vec<usize>,
    /// Tunnels of one network on the host that has those.
    pub tunnels_per_network: usize,
    /// Rounds of short work.
    pub rounds: usize,
    /// Rounds of the plugin's commands, which take long.
    pub plugin_rounds: usize,
    /// Tunnels of the whole network.
    pub network: usize,
    /// Rounds of setting it up and removing it.
    pub network_rounds: usize,
    /// Tunnels removed in each of those rounds.
    pub removals: usize,
    /// Requests at once, and rounds of them.
    pub at_once: usize,
    /// VIFs plugged one by one, and all at once.
    pub vifs: usize,
    /// Clean bridges, and tunnels on each.
    pub bridges: usize,
    pub bridge_tunnels: usize,
    /// Tunnels on the host where the daemon starts, and then has nothing to do.
    pub started_with: usize,
    /// For how long nothing happens, in seconds.
    pub idle_seconds: u64,
    /// Rounds of traffic, and how long each sends, in milliseconds.
    pub traffic_rounds: usize,
    pub traffic_millis: u64,
    /// Tunnels on the bridge to which one is added beside others who work in their own way.
    pub peer_tunnels: Vec<usize>,
    /// Logical switches, and ports of each, where that is OVN.
    pub switches: usize,
    pub switch_ports: usize,
    /// The zone that a manager watches, and how often it starts.
    pub zone: Size,
    pub zone_rounds: usize,
    /// For how long NICs come and go, in seconds.
    pub nic_seconds: u64,
    /// For how long all tunnels of the zone are probed again and again, in seconds.
    pub sweep_seconds: u64,
}

impl Scale {
    /// What the specification's zone needs at most.
    pub fn full() -> Self {
        Scale {
            host_tunnels: vec![0, 1000, 5000],
            tunnels_per_network: 1000,
            rounds: 100,
            plugin_rounds: 12,
            network: 1999,
            network_rounds: 5,
            removals: 6,
            at_once: 200,
            vifs: 100,
            bridges: 500,
            bridge_tunnels: 20,
            started_with: 2000,
            idle_seconds: 30,
            traffic_rounds: 60,
            traffic_millis: 500,
            peer_tunnels: vec![0, 100, 1000],
            switches: 20,
            switch_ports: 50,
            zone: Size::reference(),
            zone_rounds: 3,
            nic_seconds: 20,
            sweep_seconds: 150,
        }
    }

    /// The same with this share of everything that makes it long.
    #[must_use]
    pub fn percent(self, percent: u8) -> Self {
        let part = |count: usize| (count * usize::from(percent)).div_ceil(100);
        let rounds = |count: usize| part(count).max(2);
        Scale {
            host_tunnels: self.host_tunnels.into_iter().map(part).collect(),
            tunnels_per_network: part(self.tunnels_per_network),
            rounds: rounds(self.rounds),
            plugin_rounds: rounds(self.plugin_rounds),
            network: part(self.network).max(10),
            network_rounds: part(self.network_rounds),
            bridges: part(self.bridges),
            peer_tunnels: self.peer_tunnels.into_iter().map(part).collect(),
            switch_ports: part(self.switch_ports),
            started_with: part(self.started_with),
            idle_seconds: (self.idle_seconds * u64::from(percent)).div_ceil(100),
            traffic_rounds: rounds(self.traffic_rounds),
            traffic_millis: (self.traffic_millis * u64::from(percent) / 100).max(200),
            nic_seconds: (self.nic_seconds * u64::from(percent)).div_ceil(100),
            sweep_seconds: (self.sweep_seconds * u64::from(percent)).div_ceil(100),
            zone: Size {
                hosts: part(self.zone.hosts),
                networks: part(self.zone.networks),
                tunnels: part(self.zone.tunnels).next_multiple_of(2),
            },
            ..self
        }
    }

    /// The same work in tiny numbers: that everything can be measured, not how long it takes.
    pub fn quick() -> Self {
        Scale {
            host_tunnels: vec![0, 10],
            tunnels_per_network: 5,
            rounds: 2,
            plugin_rounds: 1,
            network: 12,
            network_rounds: 1,
            removals: 1,
            at_once: 8,
            vifs: 3,
            bridges: 4,
            bridge_tunnels: 3,
            started_with: 10,
            idle_seconds: 1,
            traffic_rounds: 1,
            traffic_millis: 200,
            peer_tunnels: vec![0, 5],
            switches: 2,
            switch_ports: 3,
            zone: Size::small(),
            zone_rounds: 1,
            nic_seconds: 2,
            sweep_seconds: 3,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_is_all_and_one_is_something() {
        let (full, all, little) = (Scale::full(), Scale::full().percent(100), Scale::full().percent(1));
        assert_eq!((full.host_tunnels, full.network, full.bridges), (all.host_tunnels, all.network, all.bridges));
        assert_eq!((all.rounds, all.idle_seconds), (100, 30));
        assert_eq!((little.host_tunnels, little.network, little.rounds), (vec![0, 10, 50], 20, 2));
    }
}
