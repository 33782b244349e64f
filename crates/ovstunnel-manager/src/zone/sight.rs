//! Which hosts a network has, while the manager only looks: those that have anything of it, and those that a tunnel of it leads to.
//!
//! What it must not do: decide who must have it. That takes the words of witnesses, and the right to act on them.

use std::collections::BTreeMap;

use ovstunnel_mesh::membership::Attachment;
use ovstunnel_types::{GreKey, HostNumber};

use super::State;

impl State {
    /// The hosts of a network. Empty where no host has a bridge for it.
    pub(super) fn sighted(&self, key: GreKey) -> BTreeMap<HostNumber, Attachment> {
        let mut hosts = BTreeMap::new();
        for number in self.with_key.get(&key).into_iter().flatten() {
            hosts.insert(*number, Attachment::In);
            let snapshot = self.seen.get(number).and_then(|seen| seen.snapshot.as_ref());
            let bridges = snapshot.into_iter().flat_map(|snapshot| snapshot.bridges_of(key));
            let tunnels = bridges.flat_map(|bridge| &bridge.tunnels).filter(|tunnel| tunnel.key == key);
            hosts.extend(tunnels.filter_map(|tunnel| Some((tunnel.peer()?, Attachment::In))));
        }
        hosts
    }
}
