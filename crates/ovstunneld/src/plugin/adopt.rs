//! A bridge that is there and not ours, taken up by a call that is not its set-up.
//!
//! After a restart of the host xapi makes its bridges anew, without marks, while its network still says that this host was set
//! up; then the server does not call set-up again. What it must not do: take up a bridge at which the Python plugin is at work.

use ovstunnel_plan::{
    BridgeName, Change, DesiredBridge, GreKey, HostFacts, HostId, Mark, SetupBridge, SetupVpc, VpcId,
};

use super::arguments::NetworkKey;
use super::{Call, Failure};
use crate::state::Shared;

/// Takes up a bridge, as what its network's name says it is: that of a VPC, or else that of the plain network with `key`.
/// Without a key only a VPC's is taken up. From then on, for as long as the guard lives, nobody sets it up or takes it away.
pub(super) async fn adopt_bridge(
    call: Call<'_>,
    bridge: &BridgeName,
    key: Option<GreKey>,
    host: Option<&HostId>,
) -> Result<Shared, Failure> {
    let is_foreign =
        || call.observed_bridge(bridge).is_some_and(|observed| DesiredBridge::bridge_mark(&observed) == Mark::Foreign);
    let shared = call.state.turns.wait_shared(bridge).await;
    if !is_foreign() {
        return Ok(shared);
    }
    drop(shared);
    let alone = call.state.turns.wait_alone(bridge).await;
    if is_foreign() {
        take_up(call, bridge, key, host).await?;
    }
    Ok(alone.downgrade())
}

/// The set-up of a bridge of which nothing but what it is for is to be said: a VPC's, or else a network's.
pub(super) fn set_up(
    bridge: &BridgeName,
    vpc: Option<VpcId>,
    key: Option<GreKey>,
    host_id: Option<HostId>,
) -> Option<Change> {
    let (bridge, network_uuid, host) = (bridge.clone(), None, HostFacts::default());
    match vpc {
        Some(vpc) => Some(Change::SetupVpc(SetupVpc { bridge, vpc, network_uuid, host_id, host })),
        None => Some(Change::SetupBridge(SetupBridge {
            bridge,
            key: key?,
            network_uuid,
            host_id,
            ipv6: None,
            uplink: None,
            neighbours: None,
            tunnel_kind: None,
            tunnels: None,
            host,
            agent: false,
        })),
    }
}

async fn take_up(
    call: Call<'_>,
    bridge: &BridgeName,
    key: Option<GreKey>,
    host: Option<&HostId>,
) -> Result<(), Failure> {
    call.expect_not_at_work(bridge).await?;
    let vpc = vpc_of(call, bridge).await;
    let Some(setup) = set_up(bridge, vpc, key, host.cloned()) else { return Ok(()) };
    tracing::info!(bridge = %setup.bridge(), "the bridge is not managed and was not set up; adopting it");
    call.make_change(setup).await.map(drop)
}

/// The VPC whose bridge this is: its network has the name that a server sends as `key` when it sets the bridge up.
async fn vpc_of(call: Call<'_>, bridge: &BridgeName) -> Option<VpcId> {
    let labels = match call.state.xapi.as_ref()?.labels_of_bridge(bridge).await {
        Ok(labels) => labels,
        Err(error) => {
            tracing::warn!(%bridge, error = ovstunnel_types::text::error_chain(&error), "xapi does not tell which network this is");
            vec![]
        }
    };
    labels.iter().find_map(|label| match NetworkKey::parse(label) {
        Some(NetworkKey::Vpc(id)) => id.to_string().parse().ok(),
        _ => None,
    })
}
