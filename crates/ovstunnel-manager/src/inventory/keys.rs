//! The keys of the zone: who has which, how full the ranges are, and when a released one can be given again.
//!
//! What it does: puts together what is recorded and what is seen, for `ovstunnel-mesh` to judge. What it must not do: end a quarantine
//! because a host is silent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_manager_api::{Key, KeyState as Word, KeyUsage, Trouble};
use ovstunnel_mesh::Moment;
use ovstunnel_mesh::keys::{KeyState, Keys, Pool};
use ovstunnel_store::{KeyRow, KeyState as Recorded, PhysicalNetworkRow, StoreError};
use ovstunnel_types::{GreKey, HostNumber, NetworkNumber, TunnelKind};
use time::OffsetDateTime;

use super::physical::ranges_of;
use super::{Inventory, InventoryError};
use crate::zone::format_time;

/// How often it is looked which released keys can be given again, and how full the ranges are.
const LOOK: Duration = Duration::from_secs(5);

/// The word for ranges that are nearly used up.
const SCARCE: &str = "keys_scarce";

impl Inventory {
    /// Looks after quarantined keys and warns of ranges that are nearly used up, again and again.
    pub async fn keep_keys(self) {
        let mut tick = tokio::time::interval(LOOK);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            // Another manager does it.
            if !self.store.may_change() {
                continue;
            }
            let turn = self.turn.lock().await;
            let looked = self.look_after_keys().await;
            drop(turn);
            if let Err(error) = looked {
                tracing::warn!(%error, "released keys cannot be looked after; trying again");
            }
        }
    }

    async fn look_after_keys(&self) -> Result<(), StoreError> {
        if self.zone.is_acting() {
            self.settle_migrations().await?;
            self.shut_down().await?;
        }
        self.end_quarantines().await?;
        let (keys, mut troubles) = (self.key_register(), Vec::new());
        for row in self.store.physical_networks().await? {
            let usage = range_usage(&keys, &row);
            if usage.warned {
                let evidence = format!(
                    "{} of {} keys of the physical network {} cannot be given: {} are in use, {} wait until hosts are seen without them, \
                     {} are on hosts without a network",
                    usage.size - usage.free,
                    usage.size,
                    row.name,
                    usage.in_use,
                    usage.quarantined,
                    usage.withdrawn
                );
                let remedy = format!("widen the ranges: ovstunnelctl zone physical-network add {} --vnet", row.name);
                troubles.push(Trouble { kind: SCARCE.to_owned(), evidence, remedy });
            }
        }
        self.zone.keys_judged(troubles);
        Ok(())
    }

    /// Ends the quarantine of keys that each host was seen without since.
    pub(super) async fn end_quarantines(&self) -> Result<(), StoreError> {
        let quarantined: Vec<KeyRow> =
            self.lock_keys().values().filter(|row| row.state == Recorded::Quarantined).cloned().collect();
        if quarantined.is_empty() {
            return Ok(());
        }
        let (seen, speaking) = (self.zone.keys_seen(), self.zone.reporting_hosts());
        for row in quarantined {
            let has = seen.get(&row.key).into_iter().flatten().map(|(host, _)| *host);
            // One that is silent, or registered no more, may have it still.
            let waits = row.hosts.iter().copied().filter(|host| !speaking.contains(host));
            let hosts: BTreeSet<HostNumber> = waits.chain(has).collect();
            let hosts: Vec<HostNumber> = hosts.into_iter().collect();
            if hosts.is_empty() {
                let text = format!("key {} can be given again: each host that had it was seen without it", row.key);
                self.delete_key(row.key).await?;
                self.record_event("key_freed", None, None, None, text);
            } else if hosts != row.hosts {
                self.put_key(KeyRow { hosts, ..row }).await?;
            }
        }
        Ok(())
    }

    /// A host has no key any more and will not come back with one: somebody's word.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn record_wiped(&self, name: &str, host: HostNumber, actor: &str) -> Result<(), StoreError> {
        let _turn = self.turn.lock().await;
        let waiting: Vec<KeyRow> = self.lock_keys().values().filter(|row| row.hosts.contains(&host)).cloned().collect();
        for mut row in waiting.iter().cloned() {
            row.hosts.retain(|other| *other != host);
            self.put_key(row).await?;
        }
        let text = format!("host {name} was declared wiped: {} released keys wait for it no longer", waiting.len());
        self.record_event("host_wiped", None, Some(name), Some(actor), text);
        self.end_quarantines().await
    }

    /// Gives a host another number, also where a released key waits for it.
    ///
    /// # Errors
    /// It has NICs, another host has that number, or the database cannot be used.
    pub async fn renumber_host(
        &self,
        name: &str,
        from: HostNumber,
        to: HostNumber,
        actor: &str,
    ) -> Result<(), InventoryError> {
        let _turn = self.turn.lock().await;
        self.has_no_nics(name, from)?;
        self.store.renumber_host(name, to).await?;
        let keys = self.store.keys().await?;
        *self.lock_keys() = keys.into_iter().map(|row| (row.key, row)).collect();
        self.record_event(
            "host_changed",
            None,
            Some(name),
            Some(actor),
            format!("host {name} has number {to} and not {from}"),
        );
        Ok(())
    }

    /// That a host has no NICs, and none is moving to it.
    ///
    /// # Errors
    /// It has one: which, or the first of them.
    pub fn has_no_nics(&self, name: &str, host: HostNumber) -> Result<(), InventoryError> {
        let Some(network) = self.zone.recorded_where(|network| network.nics_on(host) > 0).pop() else { return Ok(()) };
        let (of, all) = (&network.row.name, network.nics_on(host));
        let first = network.nics.values().find(|nic| nic.is_on(host)).map_or("", |nic| nic.id.as_str());
        let more = if all > 1 { format!(" and {} more", all - 1) } else { String::new() };
        let detail = format!("host {name} has NIC {first} of network {of}{more}; release them first");
        Err(InventoryError::conflict(of, detail))
    }

    /// The keys of the zone as they are recorded and seen.
    pub(super) fn key_register(&self) -> Keys {
        let (mut keys, now) = (self.recorded_keys(), self.zone.now());
        for (key, hosts) in self.zone.keys_seen() {
            hosts.into_keys().for_each(|host| keys.may_have(host, key, now));
        }
        keys
    }

    fn recorded_keys(&self) -> Keys {
        let mut keys = Keys::new();
        for (network, key) in self.zone.recorded_keys() {
            // What is recorded twice is shown by `duplicate_troubles`; who was there first has it.
            let _ = keys.restore_key(network, key);
        }
        for row in self.lock_keys().values() {
            let hosts = || row.hosts.iter().map(|host| (*host, Moment::default()));
            let _ = match (row.state, row.network) {
                (Recorded::Allocated, Some(network)) => keys.restore_key(network, row.key),
                (Recorded::Quarantined, Some(by)) => keys.restore_quarantine(row.key, by, hosts().collect()),
                (_, None) => {
                    hosts().for_each(|(host, at)| keys.may_have(host, row.key, at));
                    Ok(())
                }
            };
        }
        keys
    }

    /// The key that a network would get, or why there is none.
    pub(super) fn next_key(
        &self,
        network: NetworkNumber,
        kind: Option<TunnelKind>,
        physical: &PhysicalNetworkRow,
    ) -> Result<GreKey, String> {
        let mut keys = self.recorded_keys();
        for (key, host) in self.zone.first_hosts() {
            keys.may_have(host, key, Moment::default());
        }
        let ranges = ranges_of(physical).up_to(*kind.unwrap_or_default().keys().end());
        let mut pool = Pool::new(&physical.name, ranges);
        keys.allocate_key(network, &mut pool).map_err(|exhausted| exhausted.to_string())
    }

    /// The keys that are not free, in order, with what is wrong with each; and the physical networks with how full their ranges are.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn keys_and_usage(&self) -> Result<(Vec<Key>, Vec<(PhysicalNetworkRow, KeyUsage)>), StoreError> {
        let physical = self.store.physical_networks().await?;
        let (keys, seen, rows) = (self.key_register(), self.zone.keys_seen(), self.lock_keys().clone());
        let (names, networks) = (self.zone.host_names(), self.zone.recorded_names());
        let host = |host: &HostNumber| names.get(host).cloned().unwrap_or_else(|| host.to_string());
        let network = |number: &NetworkNumber| networks.get(number).cloned().unwrap_or_else(|| number.to_string());
        let of_key = self.zone.recorded_keys().into_iter().map(|(network, key)| (key, network)).collect();
        let none = BTreeMap::new();
        // One that is allocated to a network which has another is nobody's, and shown all the same.
        let is_lost = |row: &&KeyRow| row.state == Recorded::Allocated && keys.key_state(row.key) == KeyState::Free;
        let lost = rows.values().filter(is_lost).filter_map(|row| Some((row.key, KeyState::InUse(row.network?))));
        let shown = keys.iter().chain(lost).map(|(key, state)| {
            let on = seen.get(&key).unwrap_or(&none);
            let row = rows.get(&key);
            let (state, of, hosts) = match state {
                KeyState::InUse(of) => (Word::Allocated, Some(of), on.keys().copied().collect()),
                KeyState::Quarantined { by, waits_for } => (Word::Quarantined, Some(by), waits_for),
                KeyState::Free => (Word::Withdrawn, None, BTreeSet::new()),
                KeyState::Withdrawn(hosts) => (Word::Withdrawn, None, hosts),
            };
            let troubles =
                leaked_trouble(key, row, &of_key, &network).into_iter().chain(duplicate_troubles(key, on, &host));
            Key {
                key: key.get(),
                state,
                network: of.as_ref().map(&network),
                since: row.and_then(|row| OffsetDateTime::from_unix_timestamp(row.since).ok()).map(format_time),
                hosts: hosts.iter().map(&host).collect(),
                troubles: troubles.collect(),
            }
        });
        let usage = physical.into_iter().map(|row| {
            let usage = range_usage(&keys, &row);
            (row, usage)
        });
        let mut shown: Vec<Key> = shown.collect();
        shown.sort_by_key(|key| key.key);
        Ok((shown, usage.collect()))
    }
}

/// How full the ranges of a physical network are.
fn range_usage(keys: &Keys, row: &PhysicalNetworkRow) -> KeyUsage {
    let usage = keys.pool_usage(&Pool::new(&row.name, ranges_of(row)));
    KeyUsage {
        size: usage.size,
        in_use: usage.in_use,
        quarantined: usage.quarantined,
        withdrawn: usage.withdrawn,
        free: usage.free(),
        warned: usage.is_warned(),
    }
}

/// A key that is allocated to a network which is not there, or has another one, or that two networks claim.
fn leaked_trouble(
    key: GreKey,
    row: Option<&KeyRow>,
    of_key: &BTreeMap<GreKey, NetworkNumber>,
    name: &impl Fn(&NetworkNumber) -> String,
) -> Option<Trouble> {
    let row = row.filter(|row| row.state == Recorded::Allocated)?;
    let by = row.network.as_ref().map_or_else(|| "no network".to_owned(), |by| format!("network {}", name(by)));
    match of_key.get(&key) {
        Some(has) if row.network == Some(*has) => None,
        Some(has) => Some(Trouble {
            kind: "key_doubled".to_owned(),
            evidence: format!("key {key} is allocated to {by}, and network {} has it", name(has)),
            remedy: "delete one of the two networks, and record it anew with another key".to_owned(),
        }),
        None => Some(Trouble {
            kind: "key_leaked".to_owned(),
            evidence: format!("key {key} is allocated to {by}, which is not recorded with it"),
            remedy: "record the network with this key, and delete it: then the key is free once no host has it"
                .to_owned(),
        }),
    }
}

/// A key that several bridges of one host have.
fn duplicate_troubles<'a>(
    key: GreKey,
    on: &'a BTreeMap<HostNumber, usize>,
    name: &'a impl Fn(&HostNumber) -> String,
) -> impl Iterator<Item = Trouble> + 'a {
    on.iter().filter(|(_, bridges)| **bridges > 1).map(move |(host, bridges)| Trouble {
        kind: "key_doubled".to_owned(),
        evidence: format!("{bridges} bridges of host {} have key {key}", name(host)),
        remedy: "find out which of them is the network's, and destroy the other one on the host".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_key_of_two_bridges_of_a_host_is_told() {
        let on = [(1, 1), (2, 2)].map(|(host, bridges)| (HostNumber::try_from(host).unwrap(), bridges)).into();
        let name = |host: &HostNumber| format!("h{host}");
        let told: Vec<_> = duplicate_troubles("1001".parse().unwrap(), &on, &name).collect();
        assert_eq!(
            told.iter().map(|t| t.evidence.as_str()).collect::<Vec<_>>(),
            ["2 bridges of host h2 have key 1001"]
        );
        assert_eq!(told[0].kind, "key_doubled");
    }
}
