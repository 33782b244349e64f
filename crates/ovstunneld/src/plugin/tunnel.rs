//! Tunnels, created and destroyed. Must not answer a name that the port does not have.

use ovstunnel_plan::{BridgeName, Change, CreateTunnel, DesiredBridge, GreKey, Mark, PortName, RemoteIp};

use super::adopt::adopt_bridge;
use super::arguments::port_of_long_name;
use super::claim::Says;
use super::{Arguments, Call, Failure, Reason, masters};
use crate::host::not_another_host;
use crate::writer::Seen;

/// `create_tunnel`: the same call again is a success, with the same name.
///
/// `cloudstack-network-id` is left aside: it is not the UUID that xapi knows the network by, and the key says all that a
/// tunnel needs.
pub(super) async fn create_tunnel(call: Call<'_>, arguments: Arguments<'_>) -> Result<String, Failure> {
    let bridge: BridgeName = arguments.required_value("bridge")?;
    let key: GreKey = arguments.required_value("key")?;
    let create = CreateTunnel {
        bridge: bridge.clone(),
        from: arguments.required_value("from")?,
        to: arguments.required_value("to")?,
        remote_ip: arguments.required_value("remote_ip")?,
        key: Some(key),
        network_uuid: None,
        renumbers: true,
    };
    expect_another_host(call, create.remote_ip).await?;
    let _shared = adopt_bridge(call, &bridge, Some(key), Some(&create.from)).await?;
    make_tunnel(call, create).await
}

/// Has a tunnel be there. That its bridge stays meanwhile is the caller's.
pub(super) async fn make_tunnel(call: Call<'_>, create: CreateTunnel) -> Result<String, Failure> {
    let bridge = create.bridge.clone();
    let says = Says::Tunnel(create.to.clone());
    let done = call.make_change(says.add_claim(call, Change::CreateTunnel(create))).await?;
    match done.seen {
        Seen::Tunnel(port) => Ok(format!("SUCCESS:{}", port.name)),
        _ => {
            let words = format!("the tunnel was created on bridge {bridge}, and is gone again already");
            Err(Failure::new(Reason::VerifyPortFailed, words))
        }
    }
}

pub(super) async fn expect_another_host(call: Call<'_>, remote: RemoteIp) -> Result<(), Failure> {
    let local = call.state.interfaces.local_addresses().await;
    let local = local.map_err(|error| Failure::new(Reason::Unavailable, ovstunnel_types::text::error_chain(&error)))?;
    match not_another_host(remote.get(), &local) {
        Some(rule) => Err(Failure::new(Reason::InvalidArgument, format!("remote_ip {rule}; got `{remote}`"))),
        None => Ok(()),
    }
}

/// `destroy_tunnel`: a success also where there is none.
pub(super) async fn destroy_tunnel(call: Call<'_>, arguments: Arguments<'_>) -> Result<String, Failure> {
    remove_tunnel(call, arguments.required_value("bridge")?, arguments.required_value("in_port")?).await
}

/// Has a tunnel be gone.
pub(super) async fn remove_tunnel(call: Call<'_>, bridge: BridgeName, asked: PortName) -> Result<String, Failure> {
    let _shared = call.state.turns.wait_shared(&bridge).await;
    let observed = call.observed_bridge(&bridge);
    let record = observed.as_deref().and_then(DesiredBridge::from_record);
    if let Some(epoch) = masters::left_to(call, record.as_ref()) {
        tracing::info!(%bridge, %epoch, "the plugin's removal is left to the zone's manager");
        return Ok("SUCCESS".to_owned());
    }
    let is_there = |port: &PortName| observed.as_ref().is_some_and(|bridge| bridge.ports.contains_key(port.as_str()));
    let port = if is_there(&asked) { asked } else { port_of_long_name(&asked).unwrap_or(asked) };
    let foreign = observed.as_ref().is_none_or(|bridge| DesiredBridge::bridge_mark(bridge) == Mark::Foreign);
    let gone = foreign && !is_there(&port);
    if !gone {
        call.make_change(Change::DestroyTunnel { bridge, port }).await?;
    }
    Ok("SUCCESS".to_owned())
}
