//! The ACL of a tier as flows: what may leave it (table 3) and what may come into it (table 5).
//!
//! What it does: one flow for each network and port mask of an item. What it must not do: keep state; what answers a packet
//! is judged like any other, as the plugin did before.

use super::pipeline::{EGRESS, INGRESS, Pipeline, ROUTE, SWITCH, named_cookie};
use super::{AclItem, Direction, Tier, Verdict, acl_priority, range_masks};
use crate::{Action, Cidr, Ipv4Match, Match, PortMask, Purpose};

/// The flows that guard a tier. What no item is about leaves it and does not come into it: that is how the tables end.
pub(super) fn guard_tier(pipeline: &mut Pipeline, tier: &Tier, items: &[AclItem]) {
    for item in items {
        let (table, purpose, next) = match item.direction {
            Direction::Egress => (EGRESS, Purpose::VpcEgress, ROUTE),
            Direction::Ingress => (INGRESS, Purpose::VpcIngress, SWITCH),
        };
        let cookie = named_cookie(purpose, &format!("{} {}", tier.key, item.number));
        let actions = match item.verdict {
            Verdict::Allow => vec![Action::Resubmit(next)],
            Verdict::Deny => vec![],
        };
        let place = (table, acl_priority(item.number));
        for cidr in &item.cidrs {
            for ports in port_masks(item) {
                // Register 0 is the tier that a packet leaves in table 3 and the one that it comes into in table 5.
                let ipv4 = Some(packet_match(item, *cidr, ports));
                let matches = Match { tier: Some(tier.key.get()), ipv4, ..Match::default() };
                pipeline.add_flow(place, cookie, matches, actions.clone());
            }
        }
    }
}

fn port_masks(item: &AclItem) -> Vec<Option<PortMask>> {
    item.ports.map_or_else(|| vec![None], |range| range_masks(range).into_iter().map(Some).collect())
}

fn packet_match(item: &AclItem, cidr: Cidr, ports: Option<PortMask>) -> Ipv4Match {
    let other_end = cidr.unless_any();
    let dst_port = ports.filter(|ports| ports.mask != 0);
    let any = Ipv4Match { proto: item.protocol, dst_port, ..Ipv4Match::default() };
    match item.direction {
        Direction::Egress => Ipv4Match { dst: other_end, ..any },
        Direction::Ingress => Ipv4Match { src: other_end, ..any },
    }
}
