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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use super::*;
    use crate::vpc::{AclItem, Applied, Policies, Topology};

    fn tier(n: u8) -> Tier {
        Tier {
            key: GreKey::try_from(1000 + i64::from(n)).unwrap(),
            network: format!("6f1a9c3e-0b7d-4c58-9c11-00000000100{n}").parse().unwrap(),
            gateway_ip: Ipv4Addr::new(10, 1, n, 254),
            gateway_mac: format!("02:00:00:00:0{n}:fe").parse().unwrap(),
            cidr: format!("10.1.{n}.0/24").parse().unwrap(),
        }
    }

    /// Tier 2 has an ACL with one item, which lets nothing of it in; tier 1 has none.
    fn vpc() -> Vpc {
        let (verdict, direction) = (Verdict::Deny, Direction::Ingress);
        let item = AclItem { number: 11, verdict, direction, protocol: None, ports: None, cidrs: vec![tier(1).cidr] };
        let acl: AclId = "acl2".parse().unwrap();
        let tiers = BTreeMap::from([(tier(1).network, None), (tier(2).network, Some(acl.clone()))]);
        let policies = Policies { acls: BTreeMap::from([(acl, vec![item])]), tiers };
        let topology = Topology { cidr: "10.1.0.0/16".parse().unwrap(), tiers: vec![tier(1), tier(2)], nics: vec![] };
        Vpc {
            topology: Some(Applied { sequence: 1, value: Arc::new(topology) }),
            policies: Some(Applied { sequence: 1, value: Arc::new(policies) }),
            ..Vpc::new("7".parse().unwrap())
        }
    }

    fn decided(flows: &[(Cookie, u16)]) -> Vec<(u32, Direction, Option<u16>, Verdict)> {
        let ends = (Ipv4Addr::new(10, 1, 1, 1), Ipv4Addr::new(10, 1, 2, 2));
        let all = vpc().decisions(ends, flows);
        all.into_iter().map(|one| (one.tier.get(), one.direction, one.item, one.verdict)).collect()
    }

    #[test]
    fn an_item_is_known_by_priority_and_a_tables_end_by_its_table() {
        let end = |table: u8| (Cookie::new(Purpose::VpcEnd, table.into()), 1);
        let out = (1001, Direction::Egress, None, Verdict::Allow);
        let item = (Cookie::new(Purpose::VpcIngress, 0xabcdef), 1011);
        assert_eq!(decided(&[end(EGRESS), item]), [out, (1002, Direction::Ingress, Some(11), Verdict::Deny)]);
        assert_eq!(decided(&[end(EGRESS), end(INGRESS)]), [out, (1002, Direction::Ingress, None, Verdict::Deny)]);
        let others = [(Cookie::new(Purpose::VpcVif, 5), 1000), (Cookie(0x77), 2000), end(4)];
        assert_eq!(decided(&others), [], "flows that are no ACL's");
        assert_eq!(decided(&[(item.0, 1012)]), [], "an item that is not there any more");
    }
}
