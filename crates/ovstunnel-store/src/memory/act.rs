//! NICs, keys and the lease in memory.
//!
//! What it does: their calls. What it must not do: allocate a key; decide who should lead.

use ovstunnel_types::{GreKey, HostNumber, NetworkNumber};

use super::MemoryStore;
use crate::{KeyRow, KeyState, LeaseRow, NicRow, Result, StoreError};

impl MemoryStore {
    pub(crate) fn nics(&self, network: NetworkNumber) -> Result<Vec<NicRow>> {
        Ok(self.working_state()?.nics.values().filter(|nic| nic.network == network).cloned().collect())
    }

    pub(crate) fn nics_on(&self, host: HostNumber) -> Result<Vec<NicRow>> {
        Ok(self.working_state()?.nics.values().filter(|nic| nic.is_on(host)).cloned().collect())
    }

    pub(crate) fn every_nic(&self) -> Result<Vec<NicRow>> {
        Ok(self.working_state()?.nics.values().cloned().collect())
    }

    pub(crate) fn put_nic(&self, nic: &NicRow) -> Result<()> {
        nic.check_fields()?;
        let mut state = self.working_state()?;
        if !state.networks.contains_key(&nic.network) {
            return Err(StoreError::not_found("network", nic.network));
        }
        let mut hosts = std::iter::once(nic.host).chain(nic.moving_to);
        if let Some(host) = hosts.find(|host| !state.hosts.contains_key(host)) {
            return Err(StoreError::not_found("host", host));
        }
        state.nics.insert((nic.network, nic.id.clone()), nic.clone());
        Ok(())
    }

    pub(crate) fn delete_nic(&self, network: NetworkNumber, id: &str) -> Result<bool> {
        Ok(self.working_state()?.nics.remove(&(network, id.to_owned())).is_some())
    }

    pub(crate) fn keys(&self) -> Result<Vec<KeyRow>> {
        Ok(self.working_state()?.keys.values().cloned().collect())
    }

    pub(crate) fn put_key(&self, key: &KeyRow) -> Result<()> {
        let mut state = self.working_state()?;
        if let (KeyState::Allocated, Some(network)) = (key.state, key.network) {
            let other = |row: &&KeyRow| row.key != key.key && row.state == key.state && row.network == key.network;
            if state.keys.values().any(|row| other(&row)) {
                return Err(StoreError::conflict("key.network", network));
            }
        }
        state.keys.insert(key.key, key.with_sorted_hosts());
        Ok(())
    }

    pub(crate) fn delete_key(&self, key: GreKey) -> Result<bool> {
        Ok(self.working_state()?.keys.remove(&key).is_some())
    }

    pub(crate) fn lease(&self) -> Result<Option<LeaseRow>> {
        Ok(self.working_state()?.lease.clone())
    }

    pub(crate) fn take_lease(&self, leader: &str, milliseconds: u32, at_least: u64) -> Result<LeaseRow> {
        crate::rows::check_path_name("lease.leader", leader)?;
        let mut state = self.working_state()?;
        let lease = LeaseRow::after_request(state.lease.as_ref(), leader, (self.clock)(), milliseconds, at_least)?;
        state.lease = Some(lease.clone());
        Ok(lease)
    }

    pub(crate) fn living_lease(&self) -> Result<Option<LeaseRow>> {
        let now = (self.clock)();
        Ok(self.working_state()?.lease.clone().filter(|lease| lease.until > now))
    }

    pub(crate) fn release_lease(&self, leader: &str) -> Result<bool> {
        let now = (self.clock)();
        let mut state = self.working_state()?;
        match &mut state.lease {
            Some(lease) if lease.leader == leader && lease.until > now => lease.until = now,
            _ => return Ok(false),
        }
        Ok(true)
    }
}
