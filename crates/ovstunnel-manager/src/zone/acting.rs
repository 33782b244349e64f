//! What a manager that changes hosts must know of the zone: what differs, which networks to look at again, and which hosts it may write to.
//!
//! What it must not do: change a host, or decide what is sent.

use std::collections::BTreeSet;
use std::time::Duration;

use ovstunnel_manager_api::Trouble;
use ovstunnel_mesh::difference::Difference;
use ovstunnel_mesh::observed::Mode;
use ovstunnel_types::{BridgeName, GreKey, HostNumber};
use tokio::sync::watch;

use super::{State, Zone};

/// For how long a manager that begins waits at most for hosts that were not tried yet, before it acts or tells faults.
pub const FIRST_PICTURE: Duration = Duration::from_secs(10);

impl State {
    /// What may be done to a host, by what is registered of it and by whether it has taken the manager's epoch.
    pub(super) fn may_change(&mut self, number: HostNumber) {
        let Some(host) = self.hosts.get(&number) else { return };
        let mode = if self.acts && !host.is_led() { Mode::Observe } else { host.observed_mode() };
        self.seen_as(number, |seen| seen.mode = mode);
    }
}

/// The word of daemons that can have xapi make networks.
const NETWORKS: &str = "networks";

impl State {
    /// Whether a host's daemon can have xapi make a network.
    pub(super) fn makes_networks(&self, host: HostNumber) -> bool {
        let told = self.hosts.get(&host).and_then(|host| host.daemon_facts());
        told.is_some_and(|told| told.capabilities.iter().any(|word| word == NETWORKS))
    }
}

impl Zone {
    /// Whether a host can have xapi make a network now, and may be told to.
    pub fn makes_networks(&self, host: HostNumber) -> bool {
        let state = self.lock_state();
        let may = state.seen.get(&host).is_some_and(|seen| seen.is_connected && seen.mode == Mode::Manage);
        may && state.makes_networks(host)
    }

    /// A host has had xapi make the network with this key: the bridge that it has for it.
    pub fn record_bridge(&self, key: GreKey, host: HostNumber, bridge: BridgeName) {
        let mut state = self.lock_state();
        state.made.entry(key).or_default().insert(host, bridge);
        state.changed.insert(key);
        drop(state);
        self.wake_prover();
    }

    /// How long a host stays after the last witness has let go of it.
    pub fn linger(&self) -> Duration {
        self.lock_state().rules.linger
    }

    /// Whether a host lingers in a network.
    pub fn is_anyone_leaving(&self) -> bool {
        !self.lock_state().again.is_empty()
    }

    /// The manager changes hosts from now on.
    pub fn start_acting(&self) {
        self.lock_state().acts = true;
    }

    /// Whether the manager changes hosts.
    pub fn is_acting(&self) -> bool {
        self.lock_state().acts
    }

    /// Counts the passes of proofs: whoever waits for something to become true of a network looks again at each.
    pub fn watch_passes(&self) -> watch::Receiver<u64> {
        self.0.pulse.subscribe()
    }

    /// The networks that were proven since the last time; something of each may have changed.
    pub fn take_proven(&self) -> BTreeSet<GreKey> {
        std::mem::take(&mut self.lock_state().proven)
    }

    /// What differs between the mesh that a network must have and what its hosts say they have; nothing of a network that is gone.
    pub fn network_difference(&self, key: GreKey, dead_after: Duration) -> Option<Difference> {
        let (now, state) = (self.now(), self.lock_state());
        let network = state.recorded.of_key(key);
        let hosts = state.host_attachments(key, network, now);
        if hosts.is_empty() {
            return None;
        }
        let mesh = state.network_mesh(key, network, &hosts)?;
        Some(state.mesh_difference(&mesh, network, now, dead_after))
    }

    /// How many tunnels all networks of the zone have.
    pub fn tunnel_count(&self) -> usize {
        let state = self.lock_state();
        let snapshots = state.seen.values().filter_map(|seen| seen.snapshot.as_ref());
        snapshots.flat_map(|snapshot| snapshot.bridges()).map(|bridge| bridge.tunnels.len()).sum()
    }

    /// Whether a host has taken the manager's epoch; why not, where it has not. Nothing is written to one that has not.
    pub fn record_lead(&self, number: HostNumber, refused: Option<Trouble>) {
        let mut state = self.lock_state();
        let Some(host) = state.hosts.get_mut(&number) else { return };
        let told = host.take_lead(refused);
        state.may_change(number);
        state.changed_of(number);
        drop(state);
        if let Some((name, trouble)) = told {
            self.record_event("host_not_led", &name, format!("host {name} is not changed: {}", trouble.evidence));
        }
        self.wake_prover();
    }

    /// The registered hosts that have not been reached yet, and of which nothing says that they will not be.
    pub fn untried_hosts(&self) -> usize {
        self.lock_state().hosts.values().filter(|host| host.is_untried()).count()
    }

    /// The name of a host, or its number where it is not registered.
    pub fn host_name(&self, number: HostNumber) -> String {
        self.lock_state().name_of(number)
    }

    /// The name of the network that has a key.
    pub fn network_name(&self, key: GreKey) -> String {
        self.lock_state().network_name(key)
    }
}
