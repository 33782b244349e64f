//! What the ACLs of tiers have decided of a packet that Open vSwitch has followed through a VPC's tables. Must not follow it.

use std::net::Ipv4Addr;

use super::pipeline::{EGRESS, INGRESS};
use super::{AclId, Direction, Tier, Verdict, Vpc, acl_priority};
use crate::{Cookie, GreKey, Purpose};

/// What the ACL of a tier has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// Key of the tier.
    pub tier: GreKey,
    /// Whether the packet leaves it or comes into it.
    pub direction: Direction,
    /// The tier's ACL.
    pub acl: Option<AclId>,
    /// Number of the item that is about the packet; nothing where none is.
    pub item: Option<u16>,
    /// Whether the packet goes on.
    pub verdict: Verdict,
}

impl Vpc {
    /// What was decided of a packet between these addresses by flows with these cookies and priorities, in their order.
    pub fn decisions(&self, (from, to): (Ipv4Addr, Ipv4Addr), flows: &[(Cookie, u16)]) -> Vec<Decision> {
        flows.iter().filter_map(|(cookie, priority)| self.decision_of((from, to), *cookie, *priority)).collect()
    }

    fn decision_of(&self, (from, to): (Ipv4Addr, Ipv4Addr), cookie: Cookie, priority: u16) -> Option<Decision> {
        let ends = |table: u8| cookie == Cookie::new(Purpose::VpcEnd, table.into());
        let (direction, is_item) = match cookie {
            _ if cookie.is_for(Purpose::VpcEgress) => (Direction::Egress, true),
            _ if cookie.is_for(Purpose::VpcIngress) => (Direction::Ingress, true),
            _ if ends(EGRESS) => (Direction::Egress, false),
            _ if ends(INGRESS) => (Direction::Ingress, false),
            _ => return None,
        };
        let tier = match direction {
            Direction::Egress => self.tier_at(from)?,
            Direction::Ingress => self.tier_at(to)?,
        };
        let policies = self.policies.as_ref().map(|policies| &policies.value);
        let items = policies.map(|policies| policies.items_of(tier.network)).unwrap_or_default();
        let item =
            items.iter().find(|item| is_item && item.direction == direction && acl_priority(item.number) == priority);
        // What no item is about leaves a tier, and does not come into one.
        let unnamed = if direction == Direction::Egress { Verdict::Allow } else { Verdict::Deny };
        if is_item && item.is_none() {
            return None;
        }
        Some(Decision {
            tier: tier.key,
            direction,
            acl: policies.and_then(|policies| policies.tiers.get(&tier.network)?.clone()),
            item: item.map(|item| item.number),
            verdict: item.map_or(unnamed, |item| item.verdict),
        })
    }

    /// The tier that has this address.
    fn tier_at(&self, ip: Ipv4Addr) -> Option<&Tier> {
        self.topology.as_ref()?.value.tiers.iter().find(|tier| tier.cidr.contains(ip))
    }
}
