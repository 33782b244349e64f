//! Which bridges were told other addresses to answer for than the NICs of their network have. Must not tell any.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ovstunnel_mesh::bfd::Stands;
use ovstunnel_mesh::neighbours::known_addresses;
use ovstunnel_mesh::observed::{Bridge, Carries};
use ovstunnel_types::{BridgeName, GreKey, HostNumber, Mac};

use super::{Recorded, State, Zone};

/// The word of daemons that can be told addresses.
const NEIGHBOURS: &str = "neighbours";

/// A bridge that is to be told for which addresses its switch answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToTell {
    /// The host.
    pub host: HostNumber,
    /// Its bridge.
    pub bridge: BridgeName,
    /// The network's key.
    pub key: GreKey,
    /// The complete set of addresses, each with its card.
    pub known: Arc<BTreeMap<IpAddr, Mac>>,
}

/// The addresses of networks, each worked out once for a look.
type Known = BTreeMap<GreKey, Arc<BTreeMap<IpAddr, Mac>>>;

impl Recorded {
    fn known_addresses(&self) -> BTreeMap<IpAddr, Mac> {
        known_addresses(self.nics.values().filter_map(|nic| Some((nic.ip?, nic.mac?))))
    }
}

impl State {
    /// A bridge's network where its NICs are recorded and some are on this host; otherwise nobody here knows its addresses, or it goes.
    fn network_with_nics(&self, host: HostNumber, bridge: &Bridge) -> Option<(GreKey, &Recorded)> {
        let Carries::Network(key) = bridge.carries else { return None };
        let own_id = bridge.host_id.as_ref().is_none_or(|id| HostNumber::try_from(id) == Ok(host));
        let network = self.recorded.of_key(key).filter(|_| own_id)?;
        (network.nics_on(host) > 0).then_some((key, network))
    }

    fn told_otherwise(&self, host: HostNumber, bridge: &Bridge, known: &mut Known) -> Option<ToTell> {
        let (key, network) = self.network_with_nics(host, bridge)?;
        let known = known.entry(key).or_insert_with(|| Arc::new(network.known_addresses()));
        let to_tell = || ToTell { host, bridge: bridge.name.clone(), key, known: Arc::clone(known) };
        (bridge.neighbours != **known).then(to_tell)
    }
}

impl Zone {
    /// The bridges of all hosts that can be told, and that were told other addresses than their network's NICs have.
    pub fn neighbours_to_tell(&self) -> Vec<ToTell> {
        let state = self.lock_state();
        let mut known = Known::new();
        let acting =
            state.hosts.iter().filter(|(number, host)| state.standing_to(NEIGHBOURS, **number, host) == Stands::Acts);
        let mut found = Vec::new();
        for (number, _) in acting {
            let snapshot = state.seen.get(number).and_then(|seen| seen.snapshot.as_ref());
            let bridges = snapshot.into_iter().flat_map(|snapshot| snapshot.bridges());
            found.extend(bridges.filter_map(|bridge| state.told_otherwise(*number, bridge, &mut known)));
        }
        found
    }

    /// Whether a host has NICs of the network still: the request would make a bridge that has gone since.
    pub fn has_nics_of(&self, host: HostNumber, key: GreKey) -> bool {
        self.lock_state().recorded.of_key(key).is_some_and(|network| network.nics_on(host) > 0)
    }
}
