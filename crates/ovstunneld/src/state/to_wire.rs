//! From what is observed to the wire's types. Must not judge: states are told as they are.

use std::net::IpAddr;
use std::time::SystemTime;

use ovstunnel_api::{
    Bfd, BfdState, Bridge, Claim, ClaimSays, Flows, FlowsState, Health, Neighbour, NeighbourState, RefusedTunnel,
    SecondKind, Tier, Tunnel, TunnelState, Vif, Vpc,
};
use ovstunnel_plan::{
    BfdInterval, Changed, DesiredBridge, DesiredTunnel, EffectiveSettings, Facts, FlowChange, FlowsSeen,
    ObservedBridge, ObservedInterface, ObservedPort, TunnelHealth, Witness, bridge_health, unplaced_vifs, wanted_flows,
};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::health::Survey;
use crate::writer::Refusal;

/// What a mark says; nothing where it cannot be read.
pub(crate) fn parse_claim(text: &str) -> Option<Claim> {
    let mut words = text.split(' ');
    let (says, peer) = match words.next()? {
        "in" => (ClaimSays::In, None),
        "out" => (ClaimSays::Out, None),
        "tunnel" => (ClaimSays::Tunnel, Some(words.next()?.to_owned())),
        _ => return None,
    };
    let at = words.next().filter(|at| OffsetDateTime::parse(at, &Rfc3339).is_ok())?.to_owned();
    words.next().is_none().then_some(Claim { says, at, peer })
}

pub(crate) fn refusal_to_wire(refusal: &Refusal) -> RefusedTunnel {
    RefusedTunnel {
        port: refusal.tunnel.port_name().to_string(),
        to: refusal.tunnel.to.to_string(),
        remote_ip: refusal.tunnel.remote_ip.to_string(),
        error: refusal.message.clone(),
    }
}

/// What is known of a bridge beside its rows and flows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    /// What the switch itself told.
    pub witness: &'a Witness,
    /// What is below the tunnels.
    pub survey: &'a Survey,
    /// How old the oldest of it is.
    pub as_of: Option<SystemTime>,
}

/// A bridge of ours; nothing where it is not.
pub(crate) fn bridge_to_wire(
    observed: &ObservedBridge,
    seen: &FlowsSeen,
    settings: &EffectiveSettings,
    known: &Known<'_>,
) -> Option<Bridge> {
    let record = DesiredBridge::from_record(observed)?;
    let prefixes = &settings.vif_prefixes;
    let is_vif = |port: &ObservedPort| observed.is_vif(port, prefixes);
    let others = observed.ports.values().filter(|p| p.name != observed.name && !p.is_tunnel_of_ours() && !is_vif(p));
    Some(Bridge {
        name: observed.name.clone(),
        key: record.kind.key().map(|key| key.get()),
        vpc: record.kind.vpc().map(|told| vpc_to_wire(told, observed, settings)),
        network_uuid: record.network_uuid.map(|uuid| uuid.to_string()),
        host_id: record.host_id.as_ref().map(ToString::to_string),
        ipv6: record.ipv6,
        kind: record.encap.kind(),
        dst_port: record.encap.udp_port(),
        adopted: record.adopted,
        tunnels: tunnels(observed, false),
        second: record.second.as_ref().map(|second| SecondKind {
            kind: second.encap.kind(),
            dst_port: second.encap.udp_port(),
            tunnels: tunnels(observed, true),
        }),
        vifs: observed.vifs(prefixes).map(|port| vif_to_wire(observed, port)).collect(),
        uplink: record.uplink.as_ref().map(ToString::to_string),
        neighbours: neighbours_to_wire(&record, observed, seen, settings),
        other_ports: others.map(|port| port.name.clone()).collect(),
        flows: flows_to_wire(&record, observed, seen, settings),
        health: describe_health(&record, observed, seen, settings, known),
        max_guest_mtu: known.survey.max_guest_mtu(&record, &settings.tunnel_options),
        mtu_request: observed.own_port().and_then(|port| port.interface()?.mtu_request),
        claim: record.claim.as_deref().and_then(parse_claim),
    })
}

/// The addresses for which the switch answers, each with whether it does.
fn neighbours_to_wire(
    record: &DesiredBridge,
    observed: &ObservedBridge,
    seen: &FlowsSeen,
    settings: &EffectiveSettings,
) -> Vec<Neighbour> {
    if record.kind.vpc().is_some() && !settings.answer_neighbours {
        return Vec::new();
    }
    let told = record.answered().settled(observed, seen);
    let answers =
        |ip: &IpAddr| settings.answer_neighbours && (ip.is_ipv4() || record.answers_ipv6(&observed.datapath_type));
    let state = |ip: &IpAddr| match (answers(ip), told.withdrawn.contains(ip)) {
        (false, _) => NeighbourState::Off,
        (true, true) => NeighbourState::Withdrawn,
        (true, false) => NeighbourState::Answered,
    };
    let one = |(ip, mac): (&IpAddr, &ovstunnel_plan::Mac)| Neighbour {
        ip: ip.to_string(),
        mac: mac.to_string(),
        state: state(ip),
    };
    told.known.iter().map(one).collect()
}

fn describe_health(
    record: &DesiredBridge,
    observed: &ObservedBridge,
    seen: &FlowsSeen,
    settings: &EffectiveSettings,
    known: &Known<'_>,
) -> Health {
    let facts = Facts {
        desired: record,
        observed,
        flows: seen,
        witness: known.witness,
        settings,
        linux_bridges: &known.survey.linux_bridges,
        host: &known.survey.host,
    };
    let mut reasons = bridge_health(&facts);
    reasons.extend(known.survey.of_bridge(record));
    crate::health::health_to_wire(&reasons, known.as_of)
}

fn vpc_to_wire(vpc: &ovstunnel_plan::Vpc, observed: &ObservedBridge, settings: &EffectiveSettings) -> Vpc {
    let topology = vpc.topology.as_ref();
    let policies = vpc.policies.as_ref();
    let tier = |tier: &ovstunnel_plan::Tier| Tier {
        key: tier.key.get(),
        network_uuid: tier.network.to_string(),
        cidr: tier.cidr.to_string(),
        gateway_mac: Some(tier.gateway_mac.to_string()),
        acl: policies.and_then(|policies| policies.value.tiers.get(&tier.network)?.as_ref().map(ToString::to_string)),
    };
    let unplaced = unplaced_vifs(topology.map(|topology| &*topology.value), observed, settings);
    Vpc {
        id: vpc.id.to_string(),
        topology_sequence: topology.map(|topology| topology.sequence),
        policies_sequence: policies.map(|policies| policies.sequence),
        tiers: topology.map(|topology| topology.value.tiers.iter().map(tier).collect()).unwrap_or_default(),
        unplaced_vifs: unplaced.into_iter().map(str::to_owned).collect(),
    }
}

fn vif_to_wire(bridge: &ObservedBridge, port: &ObservedPort) -> Vif {
    Vif {
        name: port.name.clone(),
        ofport: port.interface().and_then(|interface| interface.openflow_port()),
        mac: ovstunnel_plan::vif_mac(bridge, port).map(|mac| mac.to_string()),
    }
}

/// The tunnels of ours by which frames are sent, or those that only receive.
fn tunnels(observed: &ObservedBridge, second: bool) -> Vec<Tunnel> {
    let asked = observed.ports.values().filter(|port| port.is_second_of_ours() == second);
    asked.filter_map(tunnel_to_wire).collect()
}

/// A tunnel of ours; nothing where the port is none.
pub(crate) fn tunnel_to_wire(port: &ObservedPort) -> Option<Tunnel> {
    let record = DesiredTunnel::from_record(port)?;
    let (state, ofport, error) = match port.interface().map(|interface| interface.health()) {
        Some(TunnelHealth::Up(ofport)) => (TunnelState::Up, Some(ofport), None),
        Some(TunnelHealth::Refused(words)) => (TunnelState::Error, None, Some(words)),
        Some(TunnelHealth::Pending) => (TunnelState::Pending, None, None),
        None => (TunnelState::Error, None, Some("the port has not exactly one interface".to_owned())),
    };
    Some(Tunnel {
        port: port.name.clone(),
        from: record.from.to_string(),
        to: record.to.to_string(),
        remote_ip: record.remote_ip.to_string(),
        key: record.key.get(),
        ofport,
        state,
        protected: port.protected,
        bfd: record.bfd.zip(port.interface()).map(|(interval, interface)| bfd_to_wire(interval, interface)),
        error,
    })
}

/// A session as Open vSwitch tells of it.
fn bfd_to_wire(interval: BfdInterval, interface: &ObservedInterface) -> Bfd {
    let told = |key: &str| interface.bfd_status.get(key);
    let state = |key| told(key).and_then(|word| BfdState::from_word(word));
    Bfd {
        interval: interval.get(),
        state: state("state"),
        remote_state: state("remote_state"),
        diagnostic: told("diagnostic").cloned(),
        remote_diagnostic: told("remote_diagnostic").cloned(),
        forwarding: told("forwarding").is_some_and(|word| word == "true"),
        flaps: told("flap_count").and_then(|count| count.parse().ok()).unwrap_or_default(),
    }
}

/// What was changed, on the wire.
pub(crate) fn changes_to_wire(changes: &[Changed]) -> Vec<ovstunnel_api::Changed> {
    let told = |Changed { what, subject, before, after, .. }: &Changed| ovstunnel_api::Changed {
        what: what.clone(),
        subject: subject.clone(),
        before: before.clone(),
        after: after.clone(),
    };
    changes.iter().map(told).collect()
}

fn flows_to_wire(
    record: &DesiredBridge,
    observed: &ObservedBridge,
    seen: &FlowsSeen,
    settings: &EffectiveSettings,
) -> Flows {
    let expected = wanted_flows(record, observed, seen, settings);
    let state = match (seen, FlowChange::between(&expected, seen)) {
        (FlowsSeen::Unknown, _) => FlowsState::Unknown,
        (FlowsSeen::Known { .. }, None) => FlowsState::InSync,
        (FlowsSeen::Known { .. }, Some(_)) => FlowsState::Drifted,
    };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Flows { state, expected: count(expected.len()), installed: seen.flow_count().map(count) }
}
