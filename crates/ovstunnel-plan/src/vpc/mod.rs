//! A distributed-routing VPC: all its tiers on one bridge, which also routes between them.
//!
//! What it does: the VPC as it was last told to us, and the flows that follow from it. What it must not do: rely on
//! `Port.protected`, which has no effect on flows with outputs of their own (docs/adr/0013-vpc-bridges.md).

mod acl;
mod flows;
mod followed;
mod layout;
mod pipeline;
mod policies;
mod ranges;
mod record;
mod topology;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub(crate) use flows::vpc_flows;
pub use followed::Decision;
pub use layout::{unplaced_vifs, vif_mac};
pub use policies::{AclId, AclItem, Direction, FLOWS_MAX, Policies, PortRange, Verdict, acl_priority};
pub use ranges::range_masks;
pub use record::{TooLarge, fits_record};
pub(crate) use record::{record_chunks, recorded_policies, recorded_topology, text_of_policies, text_of_topology};
pub use topology::{Nic, Tier, Topology};

use crate::Invalid;
use ovstunnel_types::is_plain_name;

/// Id of a VPC as the management server counts it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VpcId(String);

impl VpcId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for VpcId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for VpcId {
    type Err = Invalid;

    fn from_str(text: &str) -> Result<Self, Invalid> {
        match is_plain_name(text, 64) {
            true => Ok(VpcId(text.to_owned())),
            false => Err(Invalid::new("must have 1 to 64 characters: letters, digits, '.', '_', '-'", text)),
        }
    }
}

/// What was applied, with the number of the update that brought it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied<T> {
    /// Only an update with a larger number replaces it.
    pub sequence: u64,
    /// What it said.
    pub value: Arc<T>,
}

/// A VPC as far as its bridge has been told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vpc {
    /// Its id.
    pub id: VpcId,
    /// Which tiers and VMs there are; without it nothing is forwarded.
    pub topology: Option<Applied<Topology>>,
    /// What may pass between the tiers; without it nothing may come into a tier from another.
    pub policies: Option<Applied<Policies>>,
}

impl Vpc {
    /// A VPC of which nothing has been told yet.
    pub fn new(id: VpcId) -> Self {
        Vpc { id, topology: None, policies: None }
    }
}
