//! A plain network's bridge: set up and destroyed. Must not fail a call because xapi does not answer.

use ovstunnel_plan::{BridgeName, Change, DesiredBridge, HostFacts, HostId, Mark, NetworkUuid, SetupBridge};

use super::arguments::NetworkKey;
use super::claim::{self, Says};
use super::{Arguments, Call, Failure, Reason, masters};
use crate::writer::Seen;
use crate::xapi::NetworkKind;

/// `setup_ovs_bridge`
pub(super) async fn setup_bridge(call: Call<'_>, arguments: Arguments<'_>) -> Result<String, Failure> {
    let bridge: BridgeName = arguments.required_value("bridge")?;
    let key = match arguments.network_key("key")? {
        NetworkKey::Plain(key) => key,
        NetworkKey::Vpc(_) => {
            let words = "key is the name of a distributed-routing VPC, which has a set-up of its own";
            return Err(Failure::new(Reason::InvalidArgument, words));
        }
    };
    let network: NetworkUuid = arguments.required_value("xs_nw_uuid")?;
    let host: HostId = arguments.required_value("cs_host_id")?;
    let _alone = call.state.turns.wait_alone(&bridge).await;
    call.expect_not_at_work(&bridge).await?;
    let setup = SetupBridge {
        bridge: bridge.clone(),
        key,
        network_uuid: Some(network),
        host_id: Some(host.clone()),
        ipv6: None,
        uplink: None,
        neighbours: None,
        tunnel_kind: None,
        tunnels: None,
        host: HostFacts::default(),
        agent: false,
    };
    set_up(call, setup).await?;
    if let Some(xapi) = &call.state.xapi {
        xapi.note_set_up(network, NetworkKind::Plain, &host).await;
    }
    Ok(format!("SUCCESS:{bridge}"))
}

/// Sets a bridge up. The turn to do so is the caller's.
pub(super) async fn set_up(call: Call<'_>, setup: SetupBridge) -> Result<(), Failure> {
    let bridge = setup.bridge.clone();
    call.state.watch.plugin_destroys_not(bridge.as_str());
    masters::make_way(call, &bridge, setup.key).await;
    let done = call.make_change(Says::In.add_claim(call, Change::SetupBridge(setup))).await?;
    match done.seen {
        Seen::Bridge(_) => Ok(()),
        _ => Err(Failure::new(Reason::NoBridge, format!("bridge {bridge} was set up, and is gone again already"))),
    }
}

/// `destroy_ovs_bridge`: a success also where nothing of ours is left.
pub(super) async fn destroy_bridge(call: Call<'_>, arguments: Arguments<'_>) -> Result<String, Failure> {
    let bridge: BridgeName = arguments.required_value("bridge")?;
    let host: Option<HostId> = arguments.optional_value("cs_host_id")?;
    let _alone = call.state.turns.wait_alone(&bridge).await;
    // Before it goes: old servers do not say which host this is, and none says which network.
    let record = call.observed_bridge(&bridge).and_then(|observed| DesiredBridge::from_record(&observed));
    if let Some(epoch) = masters::left_to(call, record.as_ref()) {
        claim::record_left(call, &bridge).await?;
        tracing::info!(%bridge, %epoch, "the plugin's removal is left to the zone's manager");
    } else if !is_released(call, &bridge).await? {
        let dead = call.state.dead_vifs(&bridge).await;
        remove_bridge(call, Change::DestroyBridge(bridge.clone(), dead)).await?;
    }
    if let Some(xapi) = &call.state.xapi {
        xapi.note_left(&bridge, record, host, call.state.switch.observer()).await;
    }
    Ok(format!("SUCCESS:{bridge}"))
}

/// Has a bridge go; where something on it is in the way, records that nobody calls for it any more.
pub(super) async fn remove_bridge(call: Call<'_>, change: Change) -> Result<(), Failure> {
    let bridge = change.bridge().clone();
    call.state.watch.plugin_destroys(bridge.as_str());
    let Err(failure) = call.make_change(change).await else { return Ok(()) };
    call.state.watch.plugin_destroys_not(bridge.as_str());
    if failure.is_in_the_way()
        && let Err(error) = claim::record_left(call, &bridge).await
    {
        tracing::warn!(%bridge, %error, "that the plugin has no more use for the bridge is not recorded");
    }
    Err(failure)
}

/// Whether a bridge is there and nothing of ours is on it: xapi's own, which we left when it was destroyed before.
async fn is_released(call: Call<'_>, bridge: &BridgeName) -> Result<bool, Failure> {
    call.expect_not_at_work(bridge).await?;
    Ok(call.observed_bridge(bridge).is_some_and(|observed| DesiredBridge::bridge_mark(&observed) == Mark::Foreign))
}
