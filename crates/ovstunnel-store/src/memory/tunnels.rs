//! The specification's two tables in memory.
//!
//! What it does: their calls. What it must not do: have lock rows, which nobody could lock here.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use ovstunnel_types::{HostNumber, NetworkNumber};

use super::{MemoryStore, State};
use crate::{HostTunnels, InterfaceRow, NewInterface, Result, RowsWritten, TunnelRow};

impl MemoryStore {
    pub(crate) fn interfaces(&self) -> Result<Vec<InterfaceRow>> {
        Ok(self.working_state()?.interfaces.values().cloned().collect())
    }

    pub(crate) fn put_interface(&self, interface: &NewInterface) -> Result<InterfaceRow> {
        interface.check_fields()?;
        let mut state = self.working_state()?;
        let mut known = state.interfaces.values();
        let known = known.find(|row| row.host == interface.host && row.label == interface.label).map(|row| row.id);
        let id = known.unwrap_or(state.last_interface + 1);
        state.last_interface = state.last_interface.max(id);
        let row = interface.to_row(id);
        state.interfaces.insert(id, row.clone());
        Ok(row)
    }

    pub(crate) fn delete_interfaces(&self, host: HostNumber) -> Result<u64> {
        let mut state = self.working_state()?;
        let before = state.interfaces.len();
        state.interfaces.retain(|_, interface| interface.host != host);
        Ok((before - state.interfaces.len()) as u64)
    }

    pub(crate) fn tunnel_rows(&self, network: NetworkNumber) -> Result<Vec<TunnelRow>> {
        Ok(self.working_state()?.tunnels.range(tunnel_range(network, None)).map(|(_, row)| row.clone()).collect())
    }

    pub(crate) fn tunnel_rows_from(&self, network: NetworkNumber, from: HostNumber) -> Result<Vec<TunnelRow>> {
        Ok(self.working_state()?.tunnels.range(tunnel_range(network, Some(from))).map(|(_, row)| row.clone()).collect())
    }

    pub(crate) fn set_tunnel_rows(&self, network: NetworkNumber, from: HostNumber, rows: &[TunnelRow]) -> Result<()> {
        TunnelRow::check_all(network, from, rows)?;
        let mut state = self.working_state()?;
        state.drop_tunnels(network, Some(from));
        state.tunnels.extend(rows.iter().map(|row| ((network.get(), from.get(), row.to.get()), row.clone())));
        Ok(())
    }

    pub(crate) fn set_host_tunnels(&self, hosts: &[HostTunnels]) -> Result<RowsWritten> {
        hosts.iter().try_for_each(HostTunnels::check_fields)?;
        let mut state = self.working_state()?;
        let mut written = RowsWritten::default();
        for HostTunnels { host, rows } in hosts {
            let mut wanted: BTreeMap<_, _> =
                rows.iter().map(|row| ((row.network.get(), host.get(), row.to.get()), row)).collect();
            let known = state.tunnels.len();
            state.tunnels.retain(|place, row| row.from != *host || wanted.contains_key(place));
            written.removed += (known - state.tunnels.len()) as u64;
            wanted.retain(|place, row| state.tunnels.get(place) != Some(*row));
            for (place, row) in wanted {
                match state.tunnels.insert(place, row.clone()) {
                    Some(_) => written.changed += 1,
                    None => written.added += 1,
                }
            }
        }
        Ok(written)
    }

    pub(crate) fn hosts_with_tunnel_rows(&self) -> Result<Vec<HostNumber>> {
        let hosts: BTreeSet<HostNumber> = self.working_state()?.tunnels.values().map(|row| row.from).collect();
        Ok(hosts.into_iter().collect())
    }

    pub(crate) fn delete_tunnel_rows(&self, network: NetworkNumber) -> Result<u64> {
        Ok(self.working_state()?.drop_tunnels(network, None))
    }
}

/// The rows of a network, or those of it that start at one host.
fn tunnel_range(network: NetworkNumber, from: Option<HostNumber>) -> RangeInclusive<(u64, u64, u64)> {
    let network = network.get();
    let (first, last) = from.map_or((0, u64::MAX), |from| (from.get(), from.get()));
    (network, first, 0)..=(network, last, u64::MAX)
}

impl State {
    /// Removes these rows and answers how many there were.
    pub(super) fn drop_tunnels(&mut self, network: NetworkNumber, from: Option<HostNumber>) -> u64 {
        let keys: Vec<_> = self.tunnels.range(tunnel_range(network, from)).map(|(key, _)| *key).collect();
        keys.iter().for_each(|key| drop(self.tunnels.remove(key)));
        keys.len() as u64
    }
}
