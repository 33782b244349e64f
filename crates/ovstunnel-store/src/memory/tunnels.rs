//! The specification's two tables in memory.
//!
//! What it does: their calls. What it must not do: have lock rows, which nobody could lock here.

use ovstunnel_types::{HostNumber, NetworkNumber};

use super::MemoryStore;
use crate::{InterfaceRow, NewInterface, Result, TunnelRow};

impl MemoryStore {
    pub(crate) fn interfaces(&self) -> Result<Vec<InterfaceRow>> {
        Ok(self.state()?.interfaces.values().cloned().collect())
    }

    pub(crate) fn put_interface(&self, interface: &NewInterface) -> Result<InterfaceRow> {
        interface.check()?;
        let mut state = self.state()?;
        let mut known = state.interfaces.values();
        let known = known.find(|row| row.host == interface.host && row.label == interface.label).map(|row| row.id);
        let id = known.unwrap_or(state.last_interface + 1);
        state.last_interface = state.last_interface.max(id);
        let row = interface.row(id);
        state.interfaces.insert(id, row.clone());
        Ok(row)
    }

    pub(crate) fn delete_interfaces(&self, host: HostNumber) -> Result<u64> {
        let mut state = self.state()?;
        let before = state.interfaces.len();
        state.interfaces.retain(|_, interface| interface.host != host);
        Ok((before - state.interfaces.len()) as u64)
    }

    pub(crate) fn tunnel_rows(&self, network: NetworkNumber) -> Result<Vec<TunnelRow>> {
        let state = self.state()?;
        Ok(state.tunnels.values().filter(|row| row.network == network).cloned().collect())
    }

    pub(crate) fn tunnel_rows_from(&self, network: NetworkNumber, from: HostNumber) -> Result<Vec<TunnelRow>> {
        let state = self.state()?;
        Ok(state.tunnels.values().filter(|row| row.network == network && row.from == from).cloned().collect())
    }

    pub(crate) fn set_tunnel_rows(&self, network: NetworkNumber, from: HostNumber, rows: &[TunnelRow]) -> Result<()> {
        TunnelRow::check_all(network, from, rows)?;
        let mut state = self.state()?;
        state.tunnels.retain(|_, row| row.network != network || row.from != from);
        state.tunnels.extend(rows.iter().map(|row| ((network, from, row.to), row.clone())));
        Ok(())
    }

    pub(crate) fn delete_tunnel_rows(&self, network: NetworkNumber) -> Result<u64> {
        let mut state = self.state()?;
        let before = state.tunnels.len();
        state.tunnels.retain(|_, row| row.network != network);
        Ok((before - state.tunnels.len()) as u64)
    }
}
