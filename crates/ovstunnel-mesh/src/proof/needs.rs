//! What the tunnels alone do not tell: the needs of forwarding, and what all hosts of a network must have in common. Must not know
//! how a daemon finds out.

use std::collections::BTreeMap;

use ovstunnel_types::{HostNumber, Ipv6Policy, TunnelKind};

use super::{Finding, What};
use crate::observed::{Bridge, Unmet};
use crate::spoken::{Spoken, most_of};

/// Words of requirements without which each frame still reaches each host once, as long as they are no more than degraded: something
/// is not as it should be and may break later, or a VM's own device is not there to take anything. Each other word counts, one that is not
/// known here too.
pub const HARMLESS: [&str; 9] = [
    "controller",
    "fail_mode",
    "flow_limit",
    "address_table_full",
    "fragments",
    "port_error",
    "drift",
    "vif_down",
    "vif_without_device",
];

/// The smallest MTU that IPv6 permits (RFC 8200, 5): guests have no smaller one.
const SMALLEST_MTU: u32 = 1280;

/// What of a requirement that is not met is to be told of the network; nothing where it is harmless, or is judged by the tunnels and
/// flows themselves.
pub(super) fn unmet_finding(bridge: &Bridge, unmet: &Unmet) -> Option<(What, String)> {
    let of_tunnel = || bridge.tunnels.iter().any(|tunnel| tunnel.port.as_str() == unmet.subject);
    match unmet.what.as_str() {
        "stp" => Some((What::SpanningTree, unmet_sentence(bridge, unmet))),
        "tunnel_error" | "protected" if of_tunnel() => None,
        "flows_unknown" => None,
        word if !unmet.is_failure && HARMLESS.contains(&word) => None,
        _ => Some((What::Unhealthy, unmet_sentence(bridge, unmet))),
    }
}

fn unmet_sentence(bridge: &Bridge, unmet: &Unmet) -> String {
    let Unmet { subject, evidence, .. } = unmet;
    match subject == bridge.name.as_str() {
        true => format!("bridge {}: {evidence}", bridge.name),
        false => format!("bridge {}, {subject}: {evidence}", bridge.name),
    }
}

/// Hosts whose policy is not the network's, or, where it says nothing, not the one that most hosts have.
pub(super) fn ipv6_findings(said: Option<Ipv6Policy>, policies: &[(HostNumber, Ipv6Policy)]) -> Vec<Finding> {
    let having = |policy| policies.iter().filter(|(_, other)| *other == policy).count();
    let common = match having(Ipv6Policy::Allow) > having(Ipv6Policy::Drop) {
        true => Ipv6Policy::Allow,
        false => Ipv6Policy::Drop,
    };
    let right = said.unwrap_or(common);
    let says = if said.is_some() { "the network says" } else { "the other hosts have" };
    let others = policies.iter().filter(|(_, policy)| *policy != right).map(|(host, _)| *host);
    let finding = |host| {
        let is = if right == Ipv6Policy::Drop { Ipv6Policy::Allow } else { Ipv6Policy::Drop };
        Finding {
            what: What::Ipv6Mixed,
            host,
            to: None,
            evidence: format!("the bridge has the IPv6 policy {}; {says} {}", is.as_str(), right.as_str()),
            remedy: "set `ipv6` of the network to the policy that is meant, drop or allow".to_owned(),
        }
    };
    others.map(finding).collect()
}

/// Hosts that do not hear those who send as most do, or are not heard by them. While a kind is recorded, all hosts are led there, and what
/// they say of it comes one after the other: then only ports are judged.
pub(super) fn kind_findings(recorded: Option<TunnelKind>, spoken: &[(HostNumber, Spoken)]) -> Vec<Finding> {
    let Some(most) = most_of(spoken.iter().map(|(_, spoken)| *spoken)) else { return Vec::new() };
    let finding = |(host, one): &(HostNumber, Spoken)| {
        let remedy = match one.sends == most.sends {
            true => {
                "give all hosts the same `[tunnel] dst_port`, and make this one's bridge anew, or have the network's kind change to another one and back: a \
                 bridge keeps the port that it has"
            }
            false => "record the kind that the network is to have, and all hosts change to it",
        };
        let (own, others) = (one.words(), most.words());
        Finding {
            what: What::KindMixed,
            host: *host,
            to: None,
            evidence: format!("its tunnels are {own}, those of other hosts {others}: they do not hear each other"),
            remedy: remedy.to_owned(),
        }
    };
    let counts = |one: &Spoken| recorded.is_none() || one.sends == most.sends;
    spoken.iter().filter(|(_, one)| counts(one) && !one.hear_each_other(&most)).map(finding).collect()
}

/// Hosts whose tunnels carry less than the network's guests send: what the network says, or, where it says nothing, what most hosts
/// can carry; of as many for either, the larger.
pub(super) fn mtu_findings(said: Option<u32>, mtus: &[(HostNumber, u32)]) -> Vec<Finding> {
    let mut hosts_with: BTreeMap<u32, usize> = BTreeMap::new();
    mtus.iter().for_each(|(_, mtu)| *hosts_with.entry(*mtu).or_default() += 1);
    let common = hosts_with.iter().max_by_key(|(mtu, hosts)| (**hosts, **mtu)).map_or(0, |(mtu, _)| *mtu);
    let (least, common) = (said.unwrap_or(SMALLEST_MTU), said.unwrap_or(common));
    let judge = |(host, mtu): &(HostNumber, u32)| {
        let (what, than) = match *mtu {
            mtu if mtu < least && said.is_some() => (What::MtuSmall, format!("the network's guests have {least}")),
            mtu if mtu < least => (What::MtuSmall, format!("guests have {least} at least")),
            mtu if mtu < common => (What::MtuMixed, format!("those of other hosts carry {common}")),
            _ => return None,
        };
        let more = least.max(common) - mtu;
        Some(Finding {
            what,
            host: *host,
            to: None,
            evidence: format!("its tunnels carry frames of guests with an MTU of {mtu} at most; {than}"),
            remedy: format!(
                "raise the MTU of the device below the host's tunnels by {more}, or give the guests of the network an MTU of {mtu}"
            ),
        })
    };
    mtus.iter().filter_map(judge).collect()
}
