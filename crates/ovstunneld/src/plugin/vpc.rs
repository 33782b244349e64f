//! The bridge of a distributed-routing VPC. Must not be mistaken for a plain network's, nor say that an update was applied
//! which is not recorded.

use std::sync::Arc;

use ovstunnel_plan::{
    BridgeName, Change, DesiredBridge, HostFacts, HostId, NetworkUuid, SetupVpc, UpdateVpc, Vpc, VpcUpdate,
};
use ovstunnel_types::text::excerpt;
use serde_json::Value;

use super::adopt::adopt_bridge;
use super::arguments::NetworkKey;
use super::claim::Says;
use super::{Arguments, Call, Failure, Reason, config};
use crate::writer::Seen;
use crate::xapi::NetworkKind;

type Answer = Result<String, Failure>;

/// `setup_ovs_bridge_for_distributed_routing`
pub(super) async fn setup_vpc_bridge(call: Call<'_>, arguments: Arguments<'_>) -> Answer {
    let bridge: BridgeName = arguments.required_value("bridge")?;
    let NetworkKey::Vpc(id) = arguments.network_key("key")? else {
        let words = "key is that of a plain network, which has a set-up of its own";
        return Err(Failure::new(Reason::InvalidArgument, words));
    };
    let vpc = id.to_string().parse().map_err(|_| Failure::new(Reason::InvalidArgument, "key has no VPC's id"))?;
    let network: NetworkUuid = arguments.required_value("xs_nw_uuid")?;
    let host: HostId = arguments.required_value("cs_host_id")?;
    let _alone = call.state.turns.wait_alone(&bridge).await;
    call.expect_not_at_work(&bridge).await?;
    call.state.watch.plugin_destroys_not(bridge.as_str());
    let (network_uuid, host_id) = (Some(network), Some(host.clone()));
    let setup = SetupVpc { bridge: bridge.clone(), vpc, network_uuid, host_id, host: HostFacts::default() };
    if !matches!(call.make_change(Says::In.add_claim(call, Change::SetupVpc(setup))).await?.seen, Seen::Bridge(_)) {
        return Err(bridge_gone(&bridge));
    }
    if let Some(xapi) = &call.state.xapi {
        xapi.note_set_up(network, NetworkKind::Vpc, &host).await;
    }
    Ok(format!("SUCCESS:{bridge}"))
}

/// `configure_ovs_bridge_for_network_topology`
pub(super) async fn configure_topology(call: Call<'_>, arguments: Arguments<'_>) -> Answer {
    let topology = config::read_topology(&config_json(arguments)?).map_err(improper_json)?;
    let update = VpcUpdate::Topology(Arc::new(topology));
    let last = |vpc: &Vpc| vpc.topology.as_ref().map(|applied| applied.sequence);
    update_vpc(call, arguments, "topology", update, last).await
}

/// `configure_ovs_bridge_for_routing_policies`
pub(super) async fn configure_policies(call: Call<'_>, arguments: Arguments<'_>) -> Answer {
    let policies = config::read_policies(&config_json(arguments)?).map_err(improper_json)?;
    let update = VpcUpdate::Policies(Arc::new(policies));
    let last = |vpc: &Vpc| vpc.policies.as_ref().map(|applied| applied.sequence);
    update_vpc(call, arguments, "policies", update, last).await
}

/// Tells a bridge something, and answers whether it was newer than what it had been told last.
async fn update_vpc(
    call: Call<'_>,
    arguments: Arguments<'_>,
    what: &str,
    update: VpcUpdate,
    last: impl Fn(&Vpc) -> Option<u64>,
) -> Answer {
    let bridge: BridgeName = arguments.required_value("bridge")?;
    let host: Option<HostId> = arguments.optional_value("host-id")?;
    let sequence = sequence_number(arguments)?;
    let _shared = adopt_bridge(call, &bridge, None, host.as_ref()).await?;
    renumber_host(call, &bridge, host).await?;
    let done = call.make_change(Change::UpdateVpc(UpdateVpc { bridge: bridge.clone(), sequence, update })).await?;
    let Seen::Bridge(seen) = &done.seen else { return Err(bridge_gone(&bridge)) };
    let recorded = DesiredBridge::from_record(&seen.0).and_then(|bridge| last(bridge.kind.vpc()?));
    match recorded {
        Some(last) if last == sequence && done.outcome == ovstunnel_plan::Outcome::Updated => {
            Ok(format!("SUCCESS: {what} {sequence} of {bridge} was applied"))
        }
        Some(last) => Ok(format!("SUCCESS: {what} {sequence} of {bridge} was ignored, for {last} was applied before")),
        None => Err(bridge_gone(&bridge)),
    }
}

fn config_json(arguments: Arguments<'_>) -> Result<Value, Failure> {
    let text = arguments.text("config").ok_or_else(|| Failure::new(Reason::InvalidArgument, "config is required"))?;
    config::parse_json(text).map_err(improper_json)
}

/// Where this host has another id than its bridge knows, its record is rewritten.
async fn renumber_host(call: Call<'_>, bridge: &BridgeName, host: Option<HostId>) -> Result<(), Failure> {
    let record = call.observed_bridge(bridge).and_then(|observed| DesiredBridge::from_record(&observed));
    let Some(record) = record.filter(|record| host.is_some() && record.host_id != host) else { return Ok(()) };
    let Some(vpc) = record.kind.vpc() else { return Ok(()) };
    let (bridge, vpc, network_uuid) = (bridge.clone(), vpc.id.clone(), None);
    let setup = SetupVpc { bridge, vpc, network_uuid, host_id: host, host: HostFacts::default() };
    call.make_change(Change::SetupVpc(setup)).await.map(drop)
}

pub(super) fn sequence_number(arguments: Arguments<'_>) -> Result<u64, Failure> {
    let missing = || Failure::new(Reason::InvalidArgument, "seq-no is required");
    let text = arguments.text("seq-no").ok_or_else(missing)?;
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| digits).ok_or_else(|| {
        let words = format!("seq-no must be a whole number from 0 to {}; got `{}`", u64::MAX, excerpt(text));
        Failure::new(Reason::InvalidArgument, words)
    })
}

fn improper_json(error: config::BadConfig) -> Failure {
    Failure::new(Reason::ImproperJson, error.to_string())
}

fn bridge_gone(bridge: &BridgeName) -> Failure {
    Failure::new(Reason::NoBridge, format!("bridge {bridge} was there, and is gone again already"))
}
