//! What an import finds: a word for each kind of difference, with its remedy, and one difference with its place.
//!
//! What it must not do: look for them.

use serde::{Serialize, Serializer};

/// The kinds, from one list: name, word, what to do.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $word:literal $remedy:literal;)*) => {
        /// A kind of difference. They are shown in this order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $kind,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Kind] = &[$(Kind::$kind,)*];

            /// The stable word for it.
            pub fn word(self) -> &'static str {
                match self { $(Kind::$kind => $word,)* }
            }

            /// What takes it away.
            pub fn remedy(self) -> &'static str {
                match self { $(Kind::$kind => $remedy,)* }
            }
        }
    };
}

kinds! {
    /// A table is not in CloudStack's database.
    TableMissing "table_missing" "see whether [database] cloudstack_url names CloudStack's database; without the table nothing of it is compared";
    /// The row that CloudStack locks is not there.
    LockRowMissing "lock_row_missing" "CloudStack's server needs the row: add it as its schema does, or its OVS tunnel manager stores nothing";
    /// It is there, and is not as it must be.
    LockRowWrong "lock_row_wrong" "see whether the row was changed by hand; it is skipped here";
    /// The ranges of a physical network are none that the manager takes.
    RangeUnreadable "range_unreadable" "write the ranges as a-b,c-d, from 1 on, before they are taken over";
    /// A physical network carries networks of ours and is not isolated by GRE.
    IsolationNotGre "isolation_not_gre" "see whether the physical network is meant to carry them";
    /// A network's URI names no key.
    UriUnreadable "uri_unreadable" "correct networks.broadcast_uri, or restart the network in CloudStack";
    /// Two networks have one key: their VMs see each other's frames.
    KeyDoubled "key_doubled" "restart one of the networks in CloudStack, so that it gets another key";
    /// A network uses a key that counts as free: it may be given to another one.
    KeyNotTaken "key_not_taken" "mark the key as taken in op_dc_vnet_alloc, or restart the network in CloudStack";
    /// A network has a key outside of its physical network's ranges.
    KeyOutOfRange "key_out_of_range" "widen the range of the physical network, or restart the network in CloudStack";
    /// A key is given out and no network has it.
    KeyLeaked "key_leaked" "give the key back in op_dc_vnet_alloc, once no host has a bridge with it";
    /// A host of CloudStack's is not registered here.
    HostNotRegistered "host_not_registered" "ovstunnelctl zone host add NAME --api https://HOST:8443 --number NUMBER";
    /// A registered host is none of CloudStack's in this zone.
    HostUnknown "host_unknown" "see whether it was removed from CloudStack, or registered with another number than CloudStack's id";
    /// A registered host is not heard of, so that its tunnels are not compared.
    HostSilent "host_silent" "see ovstunnelctl zone host show NAME, and compare again";
    /// CloudStack asks a host for another label than the manager does.
    LabelDiffers "label_differs" "set the host's label, or sdn.ovs.default_label, to CloudStack's";
    /// A host and label have several endpoints.
    EndpointDoubled "endpoint_doubled" "remove the rows that are too many: CloudStack takes any one of them";
    /// An endpoint without an IPv4 address.
    EndpointEmpty "endpoint_empty" "remove the row: CloudStack asks the host again";
    /// One address is that of two hosts.
    AddressShared "address_shared" "remove the row of the host that does not have the address";
    /// An endpoint has another address than the host.
    EndpointDiffers "endpoint_differs" "remove the row, so that CloudStack asks the host again; tunnels to the old address have to be made anew";
    /// Rows of a host that CloudStack does not have any more.
    RowsOfHost "rows_of_host" "remove the rows";
    /// Rows of a network that CloudStack does not have any more, or that has no key now.
    RowsOfNetwork "rows_of_network" "remove the rows";
    /// Rows of a host that has no VM of the network.
    RowsLeft "rows_left" "remove the rows, and the host's bridge of the network";
    /// Two hosts have VMs of a network, and neither has a row of a tunnel to the other.
    RowMissing "row_missing" "see ovstunnelctl zone proof for the network: without tunnels these VMs do not reach each other";
    /// There is a row of one direction only.
    OneSided "one_sided" "see ovstunnelctl zone proof for the network; CloudStack makes the other one when a VM starts on either host";
    /// A row has another key than its network.
    RowKeyDiffers "row_key_differs" "remove the rows: tunnels of the new key are recorded when a VM starts";
    /// A tunnel could not be made.
    RowFailed "row_failed" "see ovstunnelctl zone proof for the network; CloudStack tries again when a VM starts on either host";
    /// A tunnel was asked for, and nothing was heard of it. CloudStack never tries these again.
    RowCreated "row_created" "see ovstunnelctl zone proof for the network; remove the row, so that CloudStack makes the tunnel anew";
    /// A row says that a tunnel is there, and the host does not have it.
    TunnelAbsent "tunnel_absent" "see ovstunnelctl zone plan for the network: it says what makes the tunnel";
    /// A host has a tunnel that no row knows: CloudStack will never take it away.
    TunnelUnrecorded "tunnel_unrecorded" "see whether somebody else made it; if nobody needs it: ovstunnelctl tunnel destroy on the host";
    /// A tunnel has another port than its row says: CloudStack cannot take it away.
    PortDiffers "port_differs" "correct port_name in the row";
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(self.word())
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Its kind.
    pub what: Kind,
    /// CloudStack's id of the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<u64>,
    /// The host's number: CloudStack's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<u64>,
    /// The number of the host at the other end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<u64>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<u64>,
    /// What was found, in a sentence with names.
    pub evidence: String,
    /// What takes it away.
    pub remedy: &'static str,
}

impl Finding {
    /// One without a place yet.
    pub(super) fn new(what: Kind, evidence: impl Into<String>) -> Finding {
        let (network, host, to, key) = (None, None, None, None);
        Finding { what, network, host, to, key, evidence: evidence.into(), remedy: what.remedy() }
    }

    pub(super) fn network(self, network: u64) -> Finding {
        Finding { network: Some(network), ..self }
    }

    pub(super) fn host(self, host: u64) -> Finding {
        Finding { host: Some(host), ..self }
    }

    pub(super) fn to(self, to: u64) -> Finding {
        Finding { to: Some(to), ..self }
    }

    pub(super) fn key(self, key: u64) -> Finding {
        Finding { key: Some(key), ..self }
    }
}
