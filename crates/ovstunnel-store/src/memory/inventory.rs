//! Hosts, physical networks and networks in memory.
//!
//! What it does: their calls. What it must not do: know a tunnel but to remove it with its host or network.

use ovstunnel_types::{HostNumber, NetworkNumber};

use super::{MemoryStore, State};
use crate::rows::next_free;
use crate::{HostRow, NetworkRow, NewHost, NewNetwork, NewPhysicalNetwork, PhysicalNetworkRow, Result, StoreError};

impl State {
    fn host_named(&self, name: &str) -> Option<&HostRow> {
        self.hosts.values().find(|host| host.name == name)
    }

    fn network_named(&self, name: &str) -> Option<&NetworkRow> {
        self.networks.values().find(|network| network.name == name)
    }

    fn remove_host(&mut self, host: &HostRow) -> Result<()> {
        let number = host.number;
        if let Some(nic) = self.nics.values().find(|nic| nic.is_on(number)) {
            return Err(StoreError::InUse { what: "host", name: host.name.clone(), by: nic.describe_nic() });
        }
        self.hosts.remove(&number);
        self.interfaces.retain(|_, interface| interface.host != number);
        self.tunnels.retain(|_, row| row.from != number && row.to != number);
        Ok(())
    }

    /// The number that a new host gets.
    fn host_number(&mut self, wanted: Option<HostNumber>) -> Result<HostNumber> {
        if let Some(number) = wanted {
            return match self.hosts.contains_key(&number) {
                true => Err(StoreError::conflict("host.number", number)),
                false => Ok(number),
            };
        }
        let taken = self.hosts.keys().map(|number| number.get()).filter(|number| *number > self.last_host);
        let next = next_free(self.last_host, taken);
        let number = next.try_into().map_err(|_| StoreError::conflict("host.number", next))?;
        self.last_host = next;
        Ok(number)
    }

    /// The number that a new network gets.
    fn network_number(&mut self, wanted: Option<NetworkNumber>) -> Result<NetworkNumber> {
        if let Some(number) = wanted {
            return match self.networks.contains_key(&number) {
                true => Err(StoreError::conflict("network.number", number)),
                false => Ok(number),
            };
        }
        let taken = self.networks.keys().map(|number| number.get()).filter(|number| *number > self.last_network);
        let next = next_free(self.last_network, taken);
        let number = next.try_into().map_err(|_| StoreError::conflict("network.number", next))?;
        self.last_network = next;
        Ok(number)
    }
}

impl MemoryStore {
    pub(crate) fn hosts(&self) -> Result<Vec<HostRow>> {
        Ok(self.working_state()?.hosts.values().cloned().collect())
    }

    pub(crate) fn host(&self, name: &str) -> Result<Option<HostRow>> {
        Ok(self.working_state()?.host_named(name).cloned())
    }

    pub(crate) fn put_host(&self, host: &NewHost) -> Result<HostRow> {
        host.check_fields()?;
        let mut state = self.working_state()?;
        let row = match state.host_named(&host.name) {
            Some(known) => host.merged_over(known)?,
            None => host.to_row(state.host_number(host.number)?, host.registered),
        };
        state.hosts.insert(row.number, row.clone());
        Ok(row)
    }

    pub(crate) fn delete_host(&self, name: &str) -> Result<bool> {
        let mut state = self.working_state()?;
        let Some(host) = state.host_named(name).cloned() else { return Ok(false) };
        state.remove_host(&host)?;
        Ok(true)
    }

    pub(crate) fn rename_host(&self, name: &str, to: &str) -> Result<HostRow> {
        let mut state = self.working_state()?;
        let mut row = state.host_named(name).cloned().ok_or_else(|| StoreError::not_found("host", name))?;
        if state.host_named(to).is_some_and(|other| other.number != row.number) {
            return Err(StoreError::conflict("host.name", to));
        }
        to.clone_into(&mut row.name);
        NewHost::from(row.clone()).check_fields()?;
        state.hosts.insert(row.number, row.clone());
        Ok(row)
    }

    pub(crate) fn renumber_host(&self, name: &str, to: HostNumber) -> Result<HostRow> {
        let mut state = self.working_state()?;
        let before = state.host_named(name).cloned().ok_or_else(|| StoreError::not_found("host", name))?;
        if before.number == to {
            return Ok(before);
        }
        if state.hosts.contains_key(&to) {
            return Err(StoreError::conflict("host.number", to));
        }
        state.remove_host(&before)?;
        for key in state.keys.values_mut() {
            key.hosts.iter_mut().filter(|host| **host == before.number).for_each(|host| *host = to);
            *key = key.with_sorted_hosts();
        }
        let row = HostRow { number: to, ..before };
        state.hosts.insert(to, row.clone());
        Ok(row)
    }

    pub(crate) fn physical_networks(&self) -> Result<Vec<PhysicalNetworkRow>> {
        Ok(self.working_state()?.physical_networks.values().cloned().collect())
    }

    pub(crate) fn put_physical_network(&self, network: &NewPhysicalNetwork) -> Result<()> {
        network.check_fields()?;
        self.working_state()?.physical_networks.insert(network.name.clone(), network.clone());
        Ok(())
    }

    pub(crate) fn delete_physical_network(&self, name: &str) -> Result<bool> {
        let mut state = self.working_state()?;
        if let Some(network) = state.networks.values().find(|network| network.physical_network == name) {
            let by = format!("network {:?}", network.name);
            return Err(StoreError::InUse { what: "physical network", name: name.to_owned(), by });
        }
        Ok(state.physical_networks.remove(name).is_some())
    }

    pub(crate) fn networks(&self) -> Result<Vec<NetworkRow>> {
        Ok(self.working_state()?.networks.values().cloned().collect())
    }

    pub(crate) fn network(&self, name: &str) -> Result<Option<NetworkRow>> {
        Ok(self.working_state()?.network_named(name).cloned())
    }

    pub(crate) fn put_network(&self, network: &NewNetwork) -> Result<NetworkRow> {
        network.check_fields()?;
        let mut state = self.working_state()?;
        if !state.physical_networks.contains_key(&network.physical_network) {
            return Err(StoreError::not_found("physical network", &network.physical_network));
        }
        let taken = network
            .key
            .filter(|key| state.networks.values().any(|other| other.name != network.name && other.key == Some(*key)));
        if let Some(key) = taken {
            return Err(StoreError::conflict("network.key", key));
        }
        let row = match state.network_named(&network.name) {
            Some(known) => network.merged_over(known)?,
            None => network.to_row(state.network_number(network.number)?, network.created),
        };
        state.networks.insert(row.number, row.clone());
        Ok(row)
    }

    pub(crate) fn delete_network(&self, name: &str) -> Result<bool> {
        let mut state = self.working_state()?;
        let Some(number) = state.network_named(name).map(|network| network.number) else { return Ok(false) };
        if let Some(nic) = state.nics.values().find(|nic| nic.network == number) {
            return Err(StoreError::InUse { what: "network", name: name.to_owned(), by: nic.describe_nic() });
        }
        state.networks.remove(&number);
        state.drop_tunnels(number, None);
        Ok(true)
    }
}
