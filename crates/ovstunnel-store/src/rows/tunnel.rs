//! The specification's two tables: endpoints of hosts (`ovs_tunnel_interface`) and tunnels (`ovs_tunnel_network`).
//!
//! What it does: their rows, and the words for a tunnel's state. What it must not do: say which tunnels there should be.

use std::net::Ipv4Addr;

use ovstunnel_types::{GreKey, HostNumber, Mac, NetworkNumber};

use super::check::Text;
use crate::{Result, StoreError};

/// A row of `ovs_tunnel_interface`: where tunnels to a host end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceRow {
    /// The table's own number of it.
    pub id: u64,
    /// Number of the host.
    pub host: HostNumber,
    /// Label that it was asked by; at most 45 characters.
    pub label: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its netmask.
    pub netmask: Ipv4Addr,
    /// Its MAC, where the host told one.
    pub mac: Option<Mac>,
}

/// An endpoint to be added or changed: one for a host and label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewInterface {
    /// Number of the host.
    pub host: HostNumber,
    /// Label that it was asked by.
    pub label: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its netmask.
    pub netmask: Ipv4Addr,
    /// Its MAC.
    pub mac: Option<Mac>,
}

const LABEL: Text = Text {
    field: "ovs_tunnel_interface.label",
    rule: "must have 1 to 45 characters, none of control, and not be 'lock', which marks a row that is none",
    max: 45,
};

impl NewInterface {
    pub(crate) fn check_fields(&self) -> Result<()> {
        match self.label.as_str() {
            "" | "lock" => Err(StoreError::invalid(LABEL.field, LABEL.rule, &self.label)),
            label => LABEL.check_text(label),
        }
    }

    pub(crate) fn to_row(&self, id: u64) -> InterfaceRow {
        let NewInterface { host, label, ip, netmask, mac } = self.clone();
        InterfaceRow { id, host, label, ip, netmask, mac }
    }
}

/// How a tunnel is, in the direction of its row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowState {
    /// It was read back at this end.
    Success,
    /// It was not.
    Failed,
}

/// Which words are written for a tunnel's state; read are all of them, in capitals or not.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StateWords {
    /// `SUCCESS` and `FAILED`: the specification.
    #[default]
    Specification,
    /// `Established` and `Failed`: CloudStack from 4.x.
    CloudStack,
}

impl RowState {
    /// The word that is written.
    pub(crate) fn state_word(self, words: StateWords) -> &'static str {
        match (self, words) {
            (RowState::Success, StateWords::Specification) => "SUCCESS",
            (RowState::Failed, StateWords::Specification) => "FAILED",
            (RowState::Success, StateWords::CloudStack) => "Established",
            (RowState::Failed, StateWords::CloudStack) => "Failed",
        }
    }

    /// What a word says. `Created` is a tunnel that was asked for and of which nothing was heard; so is any word that is not known.
    pub fn from_word(word: &str) -> RowState {
        let good = ["SUCCESS", "Established"];
        match good.iter().any(|good| good.eq_ignore_ascii_case(word.trim())) {
            true => RowState::Success,
            false => RowState::Failed,
        }
    }
}

/// A row of `ovs_tunnel_network`: one direction of a tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TunnelRow {
    /// The network.
    pub network: NetworkNumber,
    /// The host that has the port.
    pub from: HostNumber,
    /// The host that the port leads to.
    pub to: HostNumber,
    /// The network's key on it.
    pub key: GreKey,
    /// Name of the port, at most 32 characters; none until the host has told one (the table has `[]` then).
    pub port_name: Option<String>,
    /// How it is.
    pub state: RowState,
}

const PORT: Text = Text {
    field: "ovs_tunnel_network.port_name",
    rule: "must have 1 to 32 characters, none of control, and not be '[]', which stands for none",
    max: 32,
};

impl TunnelRow {
    /// Whether these are what one host has of one network: each other host once, in ascending order of `to`.
    pub(crate) fn check_all(network: NetworkNumber, from: HostNumber, rows: &[TunnelRow]) -> Result<()> {
        for row in rows {
            if row.network != network {
                let rule = "must be that of the call for each row";
                return Err(StoreError::invalid("ovs_tunnel_network.network_id", rule, &row.network.to_string()));
            }
            row.check_fields(from)?;
        }
        TunnelRow::expect_once(rows)
    }

    fn check_fields(&self, from: HostNumber) -> Result<()> {
        if self.from != from || self.to == from {
            let rule = "must be the host of the call for each row, and not be its 'to'";
            return Err(StoreError::invalid("ovs_tunnel_network.from", rule, &self.from.to_string()));
        }
        match self.port_name.as_deref() {
            Some("" | "[]") => Err(StoreError::invalid(PORT.field, PORT.rule, "[]")),
            name => PORT.check_some(name),
        }
    }

    /// The table has one row for a network and two hosts.
    fn expect_once(rows: &[TunnelRow]) -> Result<()> {
        let mut to: Vec<(NetworkNumber, HostNumber)> = rows.iter().map(|row| (row.network, row.to)).collect();
        to.sort_unstable();
        match to.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(StoreError::conflict("ovs_tunnel_network.to", pair[0].1)),
            None => Ok(()),
        }
    }
}

/// All rows that start at one host, whatever their networks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostTunnels {
    /// The host.
    pub host: HostNumber,
    /// Its rows, in any order: each network and other host once.
    pub rows: Vec<TunnelRow>,
}

impl HostTunnels {
    pub(crate) fn check_fields(&self) -> Result<()> {
        self.rows.iter().try_for_each(|row| row.check_fields(self.host))?;
        TunnelRow::expect_once(&self.rows)
    }
}

/// How many rows were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowsWritten {
    /// Rows that were not there.
    pub added: u64,
    /// Rows that were otherwise.
    pub changed: u64,
    /// Rows that are there no more.
    pub removed: u64,
}

impl RowsWritten {
    /// All of them.
    pub fn total_written(self) -> u64 {
        self.added + self.changed + self.removed
    }
}

impl std::ops::AddAssign for RowsWritten {
    fn add_assign(&mut self, other: RowsWritten) {
        self.added += other.added;
        self.changed += other.changed;
        self.removed += other.removed;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_of_both_families_are_read_and_one_is_written() {
        for word in ["SUCCESS", "success", "Established", "ESTABLISHED"] {
            assert_eq!(RowState::from_word(word), RowState::Success, "{word}");
        }
        for word in ["FAILED", "Failed", "Created", "", "[]"] {
            assert_eq!(RowState::from_word(word), RowState::Failed, "{word}");
        }
        for words in [StateWords::Specification, StateWords::CloudStack] {
            for state in [RowState::Success, RowState::Failed] {
                assert_eq!(RowState::from_word(state.state_word(words)), state);
            }
        }
    }
}
