//! How each host stands to each network: in it, leaving it, or not of it.
//!
//! What it does: has `ovstunnel-mesh` judge what witnesses say. What it must not do: let a host leave a network of which the manager was never
//! told a NIC, unless the plugin itself has let go of it: somebody else knows of its VMs.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_mesh::membership::{
    Attachment, BridgeSeen, Call, LastCall, Says, Testimony, Witness, by_api, by_bridges, by_vifs, judge_attachment,
};
use ovstunnel_mesh::{Moment, observed};
use ovstunnel_types::{GreKey, HostNumber};

use super::{Recorded, State, Zone};

/// What is seen of a network's bridge on a host, and the plugin's last call for it; nothing before the host has spoken.
fn bridge_seen(seen: &observed::Host, key: GreKey) -> Option<(BridgeSeen, Option<LastCall>)> {
    let bridges: Vec<&observed::Bridge> = seen.snapshot.as_ref()?.bridges_of(key).collect();
    let last = bridges.iter().filter_map(|bridge| bridge.last_call).max_by_key(|last| last.at);
    let there = || BridgeSeen::There {
        vifs: bridges.iter().map(|bridge| bridge.vifs).sum(),
        live: bridges.iter().map(|bridge| bridge.live_vifs).sum(),
    };
    Some((if bridges.is_empty() { BridgeSeen::Gone } else { there() }, last))
}

/// What was judged of a network.
struct Judged {
    hosts: BTreeMap<HostNumber, Attachment>,
    /// When that is to be judged again though nothing changes.
    again: Option<Moment>,
    /// The hosts of which witnesses contradict each other.
    disagree: BTreeSet<HostNumber>,
}

impl State {
    /// How each host stands to the network with this key.
    pub(super) fn host_attachments(
        &self,
        key: GreKey,
        network: Option<&Recorded>,
        now: Moment,
    ) -> BTreeMap<HostNumber, Attachment> {
        self.judge_hosts(key, network, now).hosts
    }

    fn judge_hosts(&self, key: GreKey, network: Option<&Recorded>, now: Moment) -> Judged {
        let seen = self.sight.hosts_of(key);
        if !self.is_judged(key, network) {
            return Judged { hosts: seen, again: None, disagree: BTreeSet::new() };
        }
        let stood = self.standing.get(&key);
        let lingering = stood.into_iter().flatten().filter(|(_, attachment)| attachment.is_in_mesh());
        let told = network.map(Recorded::hosts).unwrap_or_default();
        // Of a network that is not recorded the plugin alone knows which bridge it is to have on a host that has none.
        let in_cloud = self.cloud_hosts(key).filter(|_| network.is_some());
        let known = lingering.map(|(host, _)| *host).chain(in_cloud);
        let hosts: BTreeSet<HostNumber> = seen.keys().copied().chain(told).chain(known).collect();
        let (mut found, mut again, mut disagree) = (BTreeMap::new(), None::<Moment>, BTreeSet::new());
        for host in hosts {
            let has_anything = seen.contains_key(&host);
            let before = stood.and_then(|stood| stood.get(&host)).copied();
            let before = before.unwrap_or_else(|| Attachment::from_sight(has_anything));
            let mut judgement =
                judge_attachment(before, &self.host_testimonies(key, network, host, now), &self.rules, now);
            if matches!(judgement.attachment, Attachment::Lingering { .. }) && self.is_destroyed(key, host) {
                // There is nothing left to keep for a while, and nobody who wants it made anew.
                (judgement.attachment, judgement.again_at) = (Attachment::Out, None);
            }
            again = judgement.again_at.into_iter().chain(again).min();
            disagree.extend(judgement.disagree.then_some(host));
            if judgement.attachment.is_in_mesh() || has_anything {
                found.insert(host, judgement.attachment);
            }
        }
        Judged { hosts: found, again, disagree }
    }

    /// Whether anybody has said of a host that it leaves or left the network; else it has the hosts that are seen.
    fn is_judged(&self, key: GreKey, network: Option<&Recorded>) -> bool {
        let has_nics = network.is_some_and(|network| network.had_nics);
        has_nics
            || self.is_abandoned(key, network)
            || self.destroyed.contains_key(&key)
            || self.is_let_go(key)
            || self.is_told_by_cloud(key)
    }

    /// Whether the plugin has taken the network's bridge on a host away.
    fn is_destroyed(&self, key: GreKey, host: HostNumber) -> bool {
        self.destroyed.get(&key).is_some_and(|hosts| hosts.contains_key(&host))
    }

    /// Whether the network was removed by name, and its key waits for hosts to be seen without it.
    fn is_abandoned(&self, key: GreKey, network: Option<&Recorded>) -> bool {
        self.acts && network.is_none() && self.quarantined.contains(&key)
    }

    /// Whether the plugin has let go of a bridge of the network that is there still.
    fn is_let_go(&self, key: GreKey) -> bool {
        self.sight.keys_hosts(key).any(|host| self.last_call(key, host).is_some_and(|last| last.call == Call::Destroy))
    }

    fn last_call(&self, key: GreKey, host: HostNumber) -> Option<LastCall> {
        let of_bridge = self.seen.get(&host).and_then(|seen| bridge_seen(seen, key)?.1);
        let gone = || self.destroyed.get(&key)?.get(&host).map(|at| LastCall { call: Call::Destroy, at: *at });
        of_bridge.or_else(gone)
    }

    pub(super) fn host_testimonies(
        &self,
        key: GreKey,
        network: Option<&Recorded>,
        host: HostNumber,
        now: Moment,
    ) -> Vec<Testimony> {
        let api = match network.filter(|network| network.had_nics) {
            Some(network) => {
                let since = network.since.get(&host).copied().unwrap_or_default();
                by_api(network.nics_on(host), true, since, now)
            }
            None => by_api(0, self.is_abandoned(key, network), Moment::default(), now),
        };
        let seen = self.seen.get(&host).and_then(|seen| Some((seen.heard, bridge_seen(seen, key)?.0)));
        let last = self.last_call(key, host);
        let cloud = self.cloud_testimony(key, host);
        let of_host = seen.into_iter().flat_map(|(heard, bridge)| {
            let (calls, vifs) = (by_bridges(last, bridge, heard), by_vifs(bridge, last, heard, heard));
            // A bridge without a VIF says nothing where nobody has told of its VMs: the next one may be about to start.
            let said = [Some(api), Some(calls), cloud];
            let nobody_told = said.into_iter().flatten().all(|testimony| testimony.says == Says::Unknown);
            let is_alone = self.rules.witnesses.iter().all(|witness| *witness == Witness::Vifs);
            let vifs = Some(vifs).filter(|vifs| vifs.says != Says::Out || !nobody_told || is_alone);
            std::iter::once(calls).chain(vifs)
        });
        std::iter::once(api).chain(of_host).chain(cloud).collect()
    }

    /// The hosts that left or leave the network because somebody said so: a release, a migration's end, a removal of the network, or a call
    /// of the plugin.
    pub(super) fn released_hosts(&self, key: GreKey, network: Option<&Recorded>) -> BTreeSet<HostNumber> {
        let hosts = self.sight.hosts_of(key).into_keys();
        let is_named = |host: &HostNumber| {
            self.is_abandoned(key, network)
                || network.is_some_and(|network| network.released.contains(host))
                || self.last_call(key, *host).is_some_and(|last| last.call == Call::Destroy)
        };
        hosts.filter(is_named).collect()
    }

    /// What the VIFs on a host say of its VMs of a network, as far as that is fresh.
    pub(super) fn vifs_say(&self, key: GreKey, host: HostNumber, now: Moment) -> Says {
        let found = self.seen.get(&host).filter(|seen| seen.is_connected && seen.switch_fault.is_none());
        let is_fresh = |seen: &&observed::Host| now.since(seen.heard) <= self.rules.fresh;
        let found = found.filter(is_fresh).and_then(|seen| Some((seen.heard, bridge_seen(seen, key)?.0)));
        let is_heard = self.rules.witnesses.contains(&Witness::Vifs);
        let testimony = found.map(|(heard, bridge)| by_vifs(bridge, self.last_call(key, host), heard, heard));
        testimony.filter(|_| is_heard).map_or(Says::Unknown, |testimony| testimony.says)
    }

    /// Judges a network's hosts anew, and remembers how they stand.
    pub(super) fn judge_attachments(&mut self, key: GreKey, now: Moment) -> BTreeMap<HostNumber, Attachment> {
        let network = self.recorded.of_key(key);
        let Judged { hosts: found, again, disagree } = self.judge_hosts(key, network, now);
        let is_judged = self.is_judged(key, network);
        let seen: BTreeSet<HostNumber> = self.sight.keys_hosts(key).collect();
        self.note_disagreements(key, &disagree, now);
        let everyone_spoke = !self.hosts.values().any(super::Registered::is_untried);
        if let Some(network) = self.recorded.of_key_mut(key) {
            // Before all hosts have spoken, nobody knows who has something of it still.
            if everyone_spoke {
                network.released.retain(|host| seen.contains(host));
            }
        }
        match is_judged && !found.is_empty() {
            true => drop(self.standing.insert(key, found.clone())),
            false => drop(self.standing.remove(&key)),
        }
        match again {
            Some(at) => drop(self.again.insert(key, at)),
            None => drop(self.again.remove(&key)),
        }
        found
    }
}

impl Zone {
    /// A call of the plugin has taken a bridge with these keys away.
    pub fn destroyed_by_plugin(&self, number: HostNumber, keys: impl IntoIterator<Item = GreKey>) {
        let now = self.now();
        let mut state = self.lock_state();
        for key in keys {
            state.destroyed.entry(key).or_default().insert(number, now);
            state.changed.insert(key);
        }
        drop(state);
        self.wake_prover();
    }

    /// The keys that no network has any more, and that hosts may have still.
    pub fn set_quarantined(&self, keys: BTreeSet<GreKey>) {
        let mut state = self.lock_state();
        let changed: Vec<GreKey> = state.quarantined.symmetric_difference(&keys).copied().collect();
        state.quarantined = keys;
        let there = changed.into_iter().filter(|key| state.sight.keys_hosts(*key).next().is_some());
        let there: Vec<GreKey> = there.collect();
        state.changed.extend(there);
        drop(state);
        self.wake_prover();
    }
}

#[cfg(test)]
mod tests;
