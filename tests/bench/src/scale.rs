//! How much is measured. Must not say how.

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
            traffic_rounds: 12,
            traffic_millis: 2000,
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
        }
    }
}
