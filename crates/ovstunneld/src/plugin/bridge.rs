//! A plain network's bridge: set up and destroyed. Must not fail a call because xapi does not answer.

use ovstunnel_core::{BridgeName, Change, DesiredBridge, HostId, Mark, NetworkUuid, SetupBridge};

use super::arguments::NetworkKey;
use super::{Arguments, Call, Failure, Reason};
use crate::writer::Seen;

/// `setup_ovs_bridge`
pub(super) async fn setup(call: Call<'_>, arguments: Arguments<'_>) -> Result<String, Failure> {
    let bridge: BridgeName = arguments.required("bridge")?;
    let key = match arguments.network("key")? {
        NetworkKey::Plain(key) => key,
        NetworkKey::Vpc(_) => {
            let words = "key is the name of a distributed-routing VPC, which has a set-up of its own";
            return Err(Failure::new(Reason::InvalidArgument, words));
        }
    };
    let network: NetworkUuid = arguments.required("xs_nw_uuid")?;
    let host: HostId = arguments.required("cs_host_id")?;
    call.expect_no_foreign_tunnels(&bridge)?;
    let setup = SetupBridge {
        bridge: bridge.clone(),
        key,
        network_uuid: Some(network),
        host_id: Some(host),
        ipv6: None,
        tunnels: None,
    };
    let done = call.change(Change::SetupBridge(setup)).await?;
    match done.seen {
        Seen::Bridge(_) => Ok(format!("SUCCESS:{bridge}")),
        _ => Err(Failure::new(Reason::NoBridge, format!("bridge {bridge} was set up, and is gone again already"))),
    }
}

/// `destroy_ovs_bridge`: a success also where nothing of ours is left.
pub(super) async fn destroy(call: Call<'_>, arguments: Arguments<'_>) -> Result<String, Failure> {
    let bridge: BridgeName = arguments.required("bridge")?;
    let _host: Option<HostId> = arguments.optional("cs_host_id")?;
    if !is_released(call, &bridge)? {
        call.change(Change::DestroyBridge(bridge.clone())).await?;
    }
    Ok(format!("SUCCESS:{bridge}"))
}

/// Whether a bridge is there and nothing of ours is on it: xapi's own, which we left when it was destroyed before.
fn is_released(call: Call<'_>, bridge: &BridgeName) -> Result<bool, Failure> {
    call.expect_no_foreign_tunnels(bridge)?;
    Ok(call.observed(bridge).is_some_and(|observed| DesiredBridge::mark(&observed) == Mark::Foreign))
}
