//! The flows of a VPC's bridge, as a pipeline of six tables.
//!
//! | table | what |
//! |---|---|
//! | 0 | classifies: puts a frame's tier into register 0 and sends it on |
//! | 1 | forwards within the tier by destination Ethernet address; to 2 where it is not known |
//! | 2 | floods within the tier |
//! | 3 | what may leave the tier |
//! | 4 | routes by destination address into another tier; to 1, and so to the VPC's router, where it is not known |
//! | 5 | what may come into the tier |
//!
//! What it must not do: have a flow with a tunnel as its output that matches frames from tunnels. Each such flow matches
//! `tun_id=0`, and no flow writes the tunnel id.

use std::collections::BTreeSet;

use super::acl::guard_tier;
use super::layout::{Layout, TierPorts, Way};
use super::pipeline::{CLASSIFY, EGRESS, FLOOD, INGRESS, Pipeline, ROUTE, SWITCH, named_cookie};
use super::{Nic, Vpc};
use crate::{
    Action, Cidr, Cookie, DesiredBridge, EffectiveSettings, Flow, Ipv4Match, MacMatch, Match, ObservedBridge, Purpose,
};

/// The flows that the bridge of a VPC must have, given the ports that are on it.
pub(crate) fn vpc_flows(
    desired: &DesiredBridge,
    vpc: &Vpc,
    observed: Option<&ObservedBridge>,
    settings: &EffectiveSettings,
) -> BTreeSet<Flow> {
    let mut pipeline = Pipeline::default();
    let mut answered = BTreeSet::new();
    add_table_ends(&mut pipeline);
    if let Some(topology) = &vpc.topology {
        let layout = Layout::new(&topology.value, desired, observed, settings);
        layout.tiers.values().for_each(|tier| {
            from_tunnels(&mut pipeline, tier);
            tier.vifs.iter().for_each(|vif| from_vif(&mut pipeline, &layout, tier, *vif, settings));
            add_flood(&mut pipeline, tier);
            let items = vpc.policies.as_ref().map(|policies| policies.value.items_of(tier.tier.network));
            guard_tier(&mut pipeline, tier.tier, items.unwrap_or_default());
        });
        if settings.answer_neighbours {
            answered = answers(desired, &layout);
        }
        layout.topology.nics.iter().for_each(|nic| to_card(&mut pipeline, &layout, nic));
    }
    let mut flows = pipeline.into_flows();
    flows.append(&mut answered);
    flows
}

/// What answers for the cards of a tier to its VIFs.
fn answers(desired: &DesiredBridge, layout: &Layout<'_>) -> BTreeSet<Flow> {
    let of_tier = |tier: &TierPorts<'_>| {
        let key = tier.tier.key.get();
        tier.vifs.iter().map(|vif| (*vif, Some(key))).collect::<Vec<_>>()
    };
    desired.answered().flows(layout.tiers.values().flat_map(of_tier), &desired.tiers_by_ip(), false)
}

/// What happens to a frame for which a table has nothing else.
fn add_table_ends(pipeline: &mut Pipeline) {
    let to = |table| vec![Action::Resubmit(table)];
    let ends = [
        (CLASSIFY, vec![]),
        (SWITCH, to(FLOOD)),
        (FLOOD, vec![]),
        (EGRESS, to(ROUTE)),
        (ROUTE, to(SWITCH)),
        (INGRESS, vec![]),
    ];
    for (table, actions) in ends {
        // Above 0, where Open vSwitch has a flow of its own as long as `fail_mode` is not `secure`.
        pipeline.add_flow((table, 1), Cookie::new(Purpose::VpcEnd, table.into()), Match::default(), actions);
    }
}

fn enter_table(tier: &TierPorts<'_>, table: u8) -> Vec<Action> {
    vec![Action::SetTier(tier.tier.key.get()), Action::Resubmit(table)]
}

fn from_tunnels(pipeline: &mut Pipeline, tier: &TierPorts<'_>) {
    let key = tier.tier.key;
    let cookie = named_cookie(Purpose::VpcTunnels, &key.to_string());
    let any = Match { tun_id: Some(key.get().into()), ..Match::default() };
    pipeline.add_flow(
        (CLASSIFY, 1200),
        cookie,
        Match { dl_dst: Some(MacMatch::Group), ..any },
        enter_table(tier, FLOOD),
    );
    pipeline.add_flow((CLASSIFY, 1000), cookie, any, enter_table(tier, SWITCH));
}

fn from_vif(
    pipeline: &mut Pipeline,
    layout: &Layout<'_>,
    tier: &TierPorts<'_>,
    vif: u32,
    settings: &EffectiveSettings,
) {
    let cookie = Cookie::new(Purpose::VpcVif, vif);
    let any = Match { in_port: Some(vif), ..Match::default() };
    let group = Match { dl_dst: Some(MacMatch::Group), ..any };
    match settings.vif_broadcast_pps {
        0 => pipeline.add_flow((CLASSIFY, 1200), cookie, group, enter_table(tier, FLOOD)),
        pps => {
            let limited = [vec![Action::Meter(vif)], enter_table(tier, FLOOD)].concat();
            pipeline.add_flow((CLASSIFY, 1200), Cookie::limited(vif, pps), group, limited);
        }
    }
    let to = |dst: Cidr| Ipv4Match { dst: dst.unless_any(), ..Ipv4Match::default() };
    let within = Match { ipv4: Some(to(tier.tier.cidr)), ..any };
    pipeline.add_flow((CLASSIFY, 1100), cookie, within, enter_table(tier, SWITCH));
    // Only what has a source address of the tier is routed here: with another one it would pass by the ACLs, which know
    // addresses. The VPC's router judges such packets.
    let src = tier.tier.cidr.unless_any();
    let across = Match {
        dl_dst: Some(MacMatch::Exactly(tier.tier.gateway_mac)),
        ipv4: Some(Ipv4Match { src, ..to(layout.topology.cidr) }),
        ..any
    };
    pipeline.add_flow((CLASSIFY, 1000), cookie, across, enter_table(tier, EGRESS));
    pipeline.add_flow((CLASSIFY, 900), cookie, any, enter_table(tier, SWITCH));
}

fn add_flood(pipeline: &mut Pipeline, tier: &TierPorts<'_>) {
    let key = tier.tier.key;
    let cookie = named_cookie(Purpose::VpcFlood, &key.to_string());
    let in_tier = Match { tier: Some(key.get()), ..Match::default() };
    let vifs: Vec<Action> = tier.vifs.iter().copied().map(Action::Output).collect();
    let tunnels = tier.tunnels.values().copied().map(Action::Output);
    let all = vifs.iter().copied().chain(tunnels).collect();
    // A frame never goes out by the port that it came in by.
    pipeline.add_flow((FLOOD, 1100), cookie, Match { tun_id: Some(0), ..in_tier }, all);
    pipeline.add_flow((FLOOD, 1000), cookie, in_tier, vifs);
}

/// The look-ups that lead to a card: by its Ethernet address, and from other tiers by its address.
fn to_card(pipeline: &mut Pipeline, layout: &Layout<'_>, nic: &Nic) {
    let (Some(way), Some(TierPorts { tier, .. })) = (layout.way_to(nic), layout.tiers.get(&nic.tier)) else { return };
    let matches = Match { tier: Some(nic.tier.get()), dl_dst: Some(MacMatch::Exactly(nic.mac)), ..Match::default() };
    let (matches, actions) = match way {
        Way::Here(vifs) => (matches, vifs.into_iter().map(Action::Output).collect()),
        // Only a VM's own frames: if the topology is stale, a frame from a tunnel must not go back into the mesh.
        Way::There(tunnel) => (Match { tun_id: Some(0), ..matches }, vec![Action::Output(tunnel)]),
    };
    let name = format!("{} {}", nic.tier, nic.mac);
    pipeline.add_flow((SWITCH, 1000), named_cookie(Purpose::VpcSwitch, &name), matches, actions);
    let Some(ip) = nic.ip else { return };
    let packets = Ipv4Match { dst: Some(Cidr::single_host(ip)), ..Ipv4Match::default() };
    let rewrite = vec![
        Action::SetSource(tier.gateway_mac),
        Action::SetDestination(nic.mac),
        Action::SetTier(nic.tier.get()),
        Action::Resubmit(INGRESS),
    ];
    let matches = Match { ipv4: Some(packets), ..Match::default() };
    pipeline.add_flow((ROUTE, 1000), named_cookie(Purpose::VpcRoute, &ip.to_string()), matches, rewrite);
}
