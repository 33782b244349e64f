//! An example of each body, for the description of the API: a value of its type, so that it cannot be of another shape.
//!
//! What it must not do: be used for anything else. All of them speak of the same host, number 1, and of its network with GRE key
//! 1001 on bridge `xapi12`, whose other host is number 2.

mod forwarding;

pub(crate) use forwarding::*;

use crate::{
    Bfd, BfdState, Bridge, BridgeAnswer, BridgeGone, BridgeList, BridgeSelection, Changed, Claim, ClaimSays, Code,
    CountersAnswer, DoctorAnswer, EpochAnswer, EpochState, Finding, Flows, FlowsState, Health, HealthState, Id,
    Interface, Ipv6Policy, KindStep, Level, LogAnswer, Neighbour, NeighbourState, Outcome, OutcomeAnswer, PlanAnswer,
    PlannedCommand, PluginAnswer, PostKind, PostProbe, PostTunnel, ProbeAction, ProbeAnswer, ProbedTunnel, Problem,
    PutBfd, PutBridge, PutEpoch, PutLog, PutNeighbour, PutTunnel, PutXapiNetwork, Ready, Reason, ReconcileAnswer,
    ReconcileRun, RefusedTunnel, SecondKind, Severity, SpanningTree, SupportAnswer, SupportPart, TakeoverAnswer,
    TakeoverBridge, TakeoverPlan, TakeoverRequest, TakeoverState, Tier, Tunnel, TunnelAnswer, TunnelCounters,
    TunnelKind, TunnelState, UnexpectedPackets, Vif, VifAnswer, Vpc, WatchSnapshot, XapiNetwork, XapiNetworkAnswer,
};

const BRIDGE: &str = "xapi12";
const KEY: u32 = 1001;
const TUNNEL: &str = "t1001-1-2";
const REMOTE: &str = "192.0.2.2";
const NETWORK: &str = "0b4c5f5e-6c0f-4d52-9d4f-9d2d6a1c7f10";
const ZONE: &str = "9d3c1b52-8a4e-4f0b-a2c7-5e6f1d0b7a31";
const AT: &str = "2026-03-01T12:00:00Z";

fn text(text: &str) -> String {
    text.to_owned()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

pub(crate) fn id() -> Id {
    Id::Number(1)
}

pub(crate) fn put_tunnel() -> PutTunnel {
    PutTunnel { to: Id::Number(2), remote_ip: text(REMOTE), from: None }
}

pub(crate) fn put_neighbour() -> PutNeighbour {
    PutNeighbour { ip: text("10.1.1.7"), mac: text("02:00:4c:1d:00:07") }
}

pub(crate) fn neighbour() -> Neighbour {
    let PutNeighbour { ip, mac } = put_neighbour();
    Neighbour { ip, mac, state: NeighbourState::Answered }
}

pub(crate) fn put_bridge() -> PutBridge {
    PutBridge {
        key: KEY.into(),
        network_uuid: some(NETWORK),
        host_id: Some(id()),
        ipv6: Some(Ipv6Policy::Drop),
        uplink: None,
        kind: None,
        tunnels: Some(vec![put_tunnel()]),
        neighbours: None,
    }
}

pub(crate) fn post_tunnel() -> PostTunnel {
    PostTunnel { from: id(), to: Id::Number(2), remote_ip: text(REMOTE), key: Some(KEY.into()), network_uuid: None }
}

pub(crate) fn vif() -> Vif {
    Vif { name: text("vif3.0"), ofport: Some(4), mac: some("02:00:4c:00:00:01") }
}

pub(crate) fn flows() -> Flows {
    Flows { state: FlowsState::InSync, expected: 8, installed: Some(8) }
}

pub(crate) fn tier() -> Tier {
    Tier {
        key: 1002,
        network_uuid: text(NETWORK),
        cidr: text("10.1.1.0/24"),
        gateway_mac: some("02:00:4c:5f:00:01"),
        acl: some("7"),
    }
}

pub(crate) fn vpc() -> Vpc {
    Vpc {
        id: text("vpc-7"),
        topology_sequence: Some(3),
        policies_sequence: Some(2),
        tiers: vec![tier()],
        unplaced_vifs: vec![],
    }
}

pub(crate) fn tunnel() -> Tunnel {
    Tunnel {
        port: text(TUNNEL),
        from: text("1"),
        to: text("2"),
        remote_ip: text(REMOTE),
        key: KEY,
        ofport: Some(5),
        state: TunnelState::Up,
        protected: true,
        bfd: None,
        error: None,
    }
}

pub(crate) fn put_bfd() -> PutBfd {
    PutBfd { ports: vec![text(TUNNEL)], interval: Some(1000) }
}

pub(crate) fn post_kind() -> PostKind {
    PostKind { to: TunnelKind::Vxlan, step: KindStep::Prepare, force: false }
}

pub(crate) fn second_kind() -> SecondKind {
    let tunnel = Tunnel { port: text("t9d1f4b7c02e5a3"), ofport: Some(6), ..tunnel() };
    SecondKind { kind: TunnelKind::Vxlan, dst_port: Some(4789), tunnels: vec![tunnel] }
}

pub(crate) fn bfd() -> Bfd {
    Bfd {
        interval: 1000,
        state: Some(BfdState::Up),
        remote_state: Some(BfdState::Up),
        diagnostic: some("No Diagnostic"),
        remote_diagnostic: some("No Diagnostic"),
        forwarding: true,
        flaps: 1,
    }
}

pub(crate) fn reason() -> Reason {
    Reason {
        what: text("tunnel_up"),
        subject: text(TUNNEL),
        severity: Severity::Degraded,
        evidence: text("Open vSwitch says: could not add network device t1001-1-2 to ofproto (File exists)"),
        remedy: text("find who has the tunnel: `ovs-vsctl find Interface options:remote_ip=192.0.2.2`"),
    }
}

pub(crate) fn health() -> Health {
    Health { state: HealthState::Degraded, as_of: some(AT), reasons: vec![reason()] }
}

fn healthy() -> Health {
    Health { state: HealthState::Ok, as_of: some(AT), reasons: vec![] }
}

pub(crate) fn claim() -> Claim {
    Claim { says: ClaimSays::Tunnel, at: text(AT), peer: some("2") }
}

pub(crate) fn bridge() -> Bridge {
    Bridge {
        name: text(BRIDGE),
        key: Some(KEY),
        vpc: None,
        network_uuid: some(NETWORK),
        host_id: some("1"),
        ipv6: Ipv6Policy::Drop,
        kind: TunnelKind::Gre,
        adopted: false,
        tunnels: vec![tunnel()],
        vifs: vec![vif()],
        uplink: None,
        second: None,
        dst_port: None,
        neighbours: vec![],
        other_ports: vec![],
        flows: flows(),
        health: healthy(),
        max_guest_mtu: Some(1458),
        mtu_request: None,
        claim: None,
    }
}

pub(crate) fn changed() -> Changed {
    Changed { what: text("options:remote_ip"), subject: text(TUNNEL), before: some("192.0.2.3"), after: some(REMOTE) }
}

pub(crate) fn bridge_answer() -> BridgeAnswer {
    BridgeAnswer { outcome: Outcome::Updated, changes: vec![changed()], bridge: bridge() }
}

pub(crate) fn bridge_list() -> BridgeList {
    BridgeList { bridges: vec![bridge()], next: some(BRIDGE) }
}

pub(crate) fn bridge_selection() -> BridgeSelection {
    let bridge = [("name", BRIDGE.into()), ("key", KEY.into())];
    BridgeSelection { bridges: vec![bridge.map(|(name, value)| (text(name), value)).into_iter().collect()], next: None }
}

pub(crate) fn tunnel_answer() -> TunnelAnswer {
    TunnelAnswer { outcome: Outcome::Updated, changes: vec![changed()], tunnel: tunnel() }
}

pub(crate) fn outcome_answer() -> OutcomeAnswer {
    let gone = Changed { what: text("tunnel"), subject: text(TUNNEL), before: some(REMOTE), after: None };
    OutcomeAnswer { outcome: Outcome::Removed, existed: true, changes: vec![gone] }
}

pub(crate) fn vif_answer() -> VifAnswer {
    VifAnswer { outcome: Outcome::Updated }
}

pub(crate) fn planned_command() -> PlannedCommand {
    let argv = ["/usr/bin/ovs-ofctl", "-O", "OpenFlow14", "--bundle", "add-flows", BRIDGE, "-"];
    PlannedCommand { argv: argv.map(text).into(), stdin: some("add table=0,priority=1,actions=NORMAL\n") }
}

pub(crate) fn plan_answer() -> PlanAnswer {
    PlanAnswer {
        dry_run: true,
        outcome: Outcome::Updated,
        changes: vec![text("replace the flows of xapi12")],
        commands: vec![planned_command()],
    }
}

pub(crate) fn plugin_answer() -> PluginAnswer {
    PluginAnswer { value: text("SUCCESS:xapi12"), changes: vec![] }
}

pub(crate) fn refused_tunnel() -> RefusedTunnel {
    RefusedTunnel {
        port: text(TUNNEL),
        to: text("2"),
        remote_ip: text(REMOTE),
        error: text("could not add network device t1001-1-2 to ofproto (File exists)"),
    }
}

pub(crate) fn problem() -> Problem {
    let mut problem = Problem::new(Code::InvalidRequest, "key must be a number from 1 to 2147483647; got `0`");
    problem.field = some("key");
    problem.rule = some("must be a number from 1 to 2147483647");
    problem.value = some("0");
    problem.request_id = some("3f1c0d9a7b2e");
    problem
}

pub(crate) fn epoch_state() -> EpochState {
    EpochState { zone: some(ZONE), epoch: Some(4) }
}

pub(crate) fn put_epoch() -> PutEpoch {
    PutEpoch { zone: text(ZONE), epoch: 4 }
}

pub(crate) fn epoch_answer() -> EpochAnswer {
    EpochAnswer { outcome: Outcome::Updated, zone: text(ZONE), epoch: 4 }
}

pub(crate) fn interface() -> Interface {
    Interface {
        label: text("Pool-wide network associated with eth0"),
        device: text("xenbr0"),
        ip: some("192.0.2.1"),
        netmask: some("255.255.255.0"),
        ipv6: some("2001:db8::1"),
        mac: some("02:00:00:00:00:01"),
        mtu: 1500,
        max_guest_mtu: 1458,
    }
}

pub(crate) fn log_answer() -> LogAnswer {
    LogAnswer {
        level: text("info,ovstunnel_ovs=debug"),
        configured_level: text("info"),
        file: text("/var/log/ovstunnel.log"),
        format: text("text"),
        max_size: 10_485_760,
        lines_lost: 0,
    }
}

pub(crate) fn put_log() -> PutLog {
    PutLog { level: text("info,ovstunnel_ovs=debug") }
}

pub(crate) fn reconcile_answer() -> ReconcileAnswer {
    let words = [text("1 flow of xapi12 is missing")];
    ReconcileAnswer {
        bridges: 1,
        tunnels: 1,
        found: words.into(),
        done: plan_answer().changes,
        changes: vec![],
        failed: vec![],
    }
}

pub(crate) fn reconcile_run() -> ReconcileRun {
    let words = vec![text("1 flow of xapi12 is missing")];
    ReconcileRun { at: text(AT), why: text("the interval"), found: 1, failed: 0, words }
}

pub(crate) fn ready() -> Ready {
    Ready {
        ready: true,
        reason: None,
        ovs_version: some("3.1.0"),
        version: text("0.1.0"),
        last_reconcile: Some(reconcile_run()),
        last_repair: None,
        health: Some(healthy()),
        warnings: vec![],
    }
}

pub(crate) fn finding() -> Finding {
    Finding {
        check: text("certificate"),
        level: Level::Warn,
        subject: some("/etc/ovstunnel/server.crt"),
        reason: text("expires in 12 days"),
        remedy: some("renew it"),
    }
}

pub(crate) fn doctor_answer() -> DoctorAnswer {
    DoctorAnswer { level: Level::Warn, version: text("0.1.0"), findings: vec![finding()] }
}

pub(crate) fn support_part() -> SupportPart {
    SupportPart { name: text("doctor.json"), text: text("{}") }
}

pub(crate) fn support_answer() -> SupportAnswer {
    SupportAnswer { parts: vec![support_part()] }
}

pub(crate) fn takeover_request() -> TakeoverRequest {
    TakeoverRequest { bridges: vec![text(BRIDGE)] }
}

pub(crate) fn spanning_tree() -> SpanningTree {
    SpanningTree { bridge_id: text("8000.42cd07800645"), root_id: text("8000.0a1b2c3d4e5f"), root_port: some(TUNNEL) }
}

pub(crate) fn takeover_bridge() -> TakeoverBridge {
    TakeoverBridge {
        bridge: text(BRIDGE),
        state: TakeoverState::TakenOver,
        key: Some(KEY),
        network_uuid: some(NETWORK),
        host_id: some("1"),
        ipv6: Some(Ipv6Policy::Drop),
        tunnels: vec![text(TUNNEL)],
        vifs: vec![text("vif3.0")],
        plugin_flows: 9,
        other_flows: 0,
        spanning_tree: Some(spanning_tree()),
        announced: 1,
        done: vec![text("change bridge xapi12: stp_enable=false")],
        changes: vec![Changed {
            what: text("stp_enable"),
            subject: text(BRIDGE),
            before: some("true"),
            after: some("false"),
        }],
        left: vec![],
    }
}

pub(crate) fn takeover_answer() -> TakeoverAnswer {
    TakeoverAnswer { outcome: Outcome::Updated, bridges: vec![takeover_bridge()] }
}

pub(crate) fn takeover_plan() -> TakeoverPlan {
    TakeoverPlan { plan: plan_answer(), bridges: vec![takeover_bridge()] }
}

pub(crate) fn put_xapi_network() -> PutXapiNetwork {
    PutXapiNetwork { host_id: Some(id()) }
}

pub(crate) fn xapi_network_answer() -> XapiNetworkAnswer {
    let changed = Changed {
        what: text("other-config:ovs-host-setup"),
        subject: text(NETWORK),
        before: some("2"),
        after: some("2,1"),
    };
    let (network_uuid, bridge, changes) = (text(NETWORK), text(BRIDGE), vec![changed]);
    XapiNetworkAnswer { outcome: Outcome::Updated, key: KEY, network_uuid, bridge, changes }
}

pub(crate) fn xapi_network() -> XapiNetwork {
    let (network_uuid, bridge, hosts) = (text(NETWORK), text(BRIDGE), vec![text("2"), text("1")]);
    XapiNetwork { key: KEY, network_uuid, bridge, hosts, ready: true }
}

pub(crate) fn bridge_gone() -> BridgeGone {
    BridgeGone { name: text(BRIDGE), by_plugin: true }
}

pub(crate) fn watch_snapshot() -> WatchSnapshot {
    WatchSnapshot {
        daemon: text("0.1.0"),
        capabilities: vec![text("claims")],
        host_id: some("1"),
        zone: some(ZONE),
        epoch: Some(4),
        health: healthy(),
        bridges: vec![bridge()],
    }
}

pub(crate) fn post_probe() -> PostProbe {
    let (action, nonce) = (ProbeAction::Send, text("0a:5b:1c:22:9f:07"));
    PostProbe { action, nonce, seconds: None, size: Some(1572), count: Some(1), tunnels: Some(vec![text(TUNNEL)]) }
}

pub(crate) fn probed_tunnel() -> ProbedTunnel {
    let (port, to, remote_ip) = (text(TUNNEL), text("2"), text("192.0.2.2"));
    ProbedTunnel { port, to, remote_ip, key: 1001, frames: 1, bytes: 1572 }
}

pub(crate) fn probe_answer() -> ProbeAnswer {
    ProbeAnswer { tunnels: vec![probed_tunnel()] }
}

pub(crate) fn tunnel_counters() -> TunnelCounters {
    TunnelCounters { port: text(TUNNEL), to: text("2"), key: KEY, rx_packets: 4711, tx_packets: 4802 }
}

pub(crate) fn unexpected_packets() -> UnexpectedPackets {
    UnexpectedPackets { key: 1002, remote_ip: text(REMOTE), last: text(AT), lines: 7 }
}

pub(crate) fn counters_answer() -> CountersAnswer {
    CountersAnswer { every: 5.0, tunnels: vec![tunnel_counters()], unexpected: vec![unexpected_packets()] }
}
