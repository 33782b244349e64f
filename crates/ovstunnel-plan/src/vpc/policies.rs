//! What may pass between the tiers of a VPC. Must not know of flows.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::range_masks;
use crate::{Cidr, Invalid, NetworkUuid};
use ovstunnel_types::is_plain_name;

/// Most flows that the policies of a VPC may need: `ovs-vswitchd` takes this many in about a second.
pub const FLOWS_MAX: usize = 50_000;

/// The priority of the flows of the item with this number.
pub fn acl_priority(number: u16) -> u16 {
    1000_u16.saturating_add(number)
}

/// Id of an ACL as the management server counts it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AclId(String);

impl fmt::Display for AclId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for AclId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match is_plain_name(text, 64) {
            true => Ok(AclId(text.to_owned())),
            false => Err(Invalid::new("must have 1 to 64 characters: letters, digits, '.', '_', '-'", text)),
        }
    }
}

/// What an item says of the packets that it is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// They pass.
    Allow,
    /// They are dropped.
    Deny,
}

/// Which packets of a tier an item is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Those that come into the tier.
    Ingress,
    /// Those that leave it.
    Egress,
}

/// Port numbers from one to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PortRange {
    start: u16,
    end: u16,
}

impl PortRange {
    /// The ports from `start` to `end`; nothing where that is the wrong way round.
    pub fn new(start: u16, end: u16) -> Option<Self> {
        (start <= end).then_some(PortRange { start, end })
    }

    /// The first port.
    pub fn start(self) -> u16 {
        self.start
    }

    /// The last port.
    pub fn end(self) -> u16 {
        self.end
    }
}

/// One item of an ACL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AclItem {
    /// Its number, which makes its priority; no two items of an ACL and a direction have the same.
    pub number: u16,
    /// What it says.
    pub verdict: Verdict,
    /// About which packets.
    pub direction: Direction,
    /// Of which protocol; of all where there is none.
    pub protocol: Option<u8>,
    /// To which ports; to any where there are none. Only where the protocol has ports.
    pub ports: Option<PortRange>,
    /// From where (ingress) or to where (egress).
    pub cidrs: Vec<Cidr>,
}

impl AclItem {
    /// The largest number: its priority must be one.
    pub const NUMBER_MAX: u16 = u16::MAX - 1000;

    /// Whether a protocol has ports that an item can name.
    pub fn has_ports(protocol: u8) -> bool {
        // TCP, UDP, SCTP.
        [6, 17, 132].contains(&protocol)
    }

    /// How many flows it takes.
    pub fn flow_count(&self) -> usize {
        self.cidrs.len() * self.ports.map_or(1, |ports| range_masks(ports).len())
    }
}

/// The ACLs of a VPC and who has which.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    /// The ACLs.
    pub acls: BTreeMap<AclId, Vec<AclItem>>,
    /// Each tier with its ACL, which is one of those; nothing where it has none.
    pub tiers: BTreeMap<NetworkUuid, Option<AclId>>,
}

impl Policies {
    /// The items that guard a tier.
    pub fn items_of(&self, network: NetworkUuid) -> &[AclItem] {
        let acl = self.tiers.get(&network).and_then(Option::as_ref);
        acl.and_then(|acl| self.acls.get(acl)).map(Vec::as_slice).unwrap_or_default()
    }

    /// How many flows they take.
    pub fn flow_count(&self) -> usize {
        self.tiers.keys().flat_map(|network| self.items_of(*network)).map(AclItem::flow_count).sum()
    }
}
