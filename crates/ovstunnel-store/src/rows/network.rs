//! Physical networks and networks.
//!
//! What it does: their rows. What it must not do: read ranges of keys, which are a text here.

use ovstunnel_types::{GreKey, Ipv6Policy, Isolation, NetworkNumber};

use super::check::{Text, check_path_name};
use crate::{Result, StoreError};

/// A physical network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhysicalNetworkRow {
    /// Its name, unique in the zone.
    pub name: String,
    /// How its networks are told apart.
    pub isolation: Isolation,
    /// Ranges of its keys, `a-b,c-d`; at most 4096 characters.
    pub vnet: String,
    /// Label of the endpoint on a host; at most 45 characters.
    pub label: Option<String>,
    /// The same on XenServer and XCP-ng.
    pub label_xen: Option<String>,
    /// The same on KVM.
    pub label_kvm: Option<String>,
}

/// A physical network to be added or changed: the same as its row.
pub type NewPhysicalNetwork = PhysicalNetworkRow;

const VNET: Text = Text {
    field: "physical_network.vnet",
    rule: "must have at most 4096 characters, none of control; use fewer ranges",
    max: 4096,
};
const LABELS: Text =
    Text { field: "physical_network.label", rule: "must have at most 45 characters, none of control", max: 45 };

impl PhysicalNetworkRow {
    pub(crate) fn check_fields(&self) -> Result<()> {
        check_path_name("physical_network.name", &self.name)?;
        VNET.check_text(&self.vnet)?;
        let labels = [&self.label, &self.label_xen, &self.label_kvm];
        labels.into_iter().try_for_each(|label| LABELS.check_some(label.as_deref()))
    }
}

/// A network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetworkRow {
    /// Its number, unique in the zone; never changes.
    pub number: NetworkNumber,
    /// Its name, unique in the zone.
    pub name: String,
    /// Name of its physical network; never changes.
    pub physical_network: String,
    /// Its key, unique in the zone.
    pub key: Option<GreKey>,
    /// What it does with IPv6; hosts decide if there is none.
    pub ipv6: Option<Ipv6Policy>,
    /// MTU of its VMs in bytes.
    pub mtu: Option<u32>,
    /// When it was first put there, in seconds since 1970.
    pub created: i64,
}

/// A network to be added or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewNetwork {
    /// Its number; the next free one if there is none, and what it has already if it is there.
    pub number: Option<NetworkNumber>,
    /// Its name.
    pub name: String,
    /// Name of its physical network.
    pub physical_network: String,
    /// Its key.
    pub key: Option<GreKey>,
    /// What it does with IPv6.
    pub ipv6: Option<Ipv6Policy>,
    /// MTU of its VMs in bytes.
    pub mtu: Option<u32>,
    /// Now, in seconds since 1970; a network that is there keeps its own.
    pub created: i64,
}

impl NewNetwork {
    pub(crate) fn check_fields(&self) -> Result<()> {
        check_path_name("network.name", &self.name)?;
        check_path_name("network.physical_network", &self.physical_network)
    }

    /// The row of it over the one that is there.
    pub(crate) fn merged_over(&self, known: &NetworkRow) -> Result<NetworkRow> {
        let name = &self.name;
        if let Some(other) = self.number.filter(|number| *number != known.number) {
            return Err(StoreError::conflict("network.name", format!("{name}, which is not number {other}")));
        }
        if self.physical_network != known.physical_network {
            let value = format!("{name}, which is not on {}", self.physical_network);
            return Err(StoreError::conflict("network.name", value));
        }
        Ok(self.to_row(known.number, known.created))
    }

    /// The row of it.
    pub(crate) fn to_row(&self, number: NetworkNumber, created: i64) -> NetworkRow {
        let NewNetwork { number: _, name, physical_network, key, ipv6, mtu, created: _ } = self.clone();
        NetworkRow { number, name, physical_network, key, ipv6, mtu, created }
    }
}

impl From<NetworkRow> for NewNetwork {
    fn from(row: NetworkRow) -> NewNetwork {
        let NetworkRow { number, name, physical_network, key, ipv6, mtu, created } = row;
        NewNetwork { number: Some(number), name, physical_network, key, ipv6, mtu, created }
    }
}
