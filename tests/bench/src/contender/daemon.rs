//! `ovstunneld` over HTTPS, called from the management server's place on a connection that is kept.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Id, PostTunnel, PutBridge, PutTunnel, TunnelKind, TunnelState};
use ovstunnel_e2e::Cloud;

use crate::rows::{HOST, Network, Tunnel};

/// The body that asks for one tunnel.
pub fn body(tunnel: &Tunnel) -> PostTunnel {
    let remote_ip = tunnel.remote_ip().to_string();
    PostTunnel { from: Id::Number(HOST), to: Id::Number(tunnel.to), remote_ip, key: None, network_uuid: None }
}

/// The body that asks for a network with all its tunnels.
pub fn network_body(network: &Network) -> PutBridge {
    let tunnel = |tunnel: &Tunnel| PutTunnel {
        to: Id::Number(tunnel.to),
        remote_ip: tunnel.remote_ip().to_string(),
        from: None,
    };
    PutBridge {
        key: network.key.into(),
        network_uuid: Some(network.uuid()),
        host_id: Some(Id::Number(HOST)),
        ipv6: None,
        uplink: None,
        neighbours: None,
        kind: None,
        tunnels: Some(network.tunnels.iter().map(tunnel).collect()),
    }
}

/// Makes one tunnel: from the request to the answer with the number that was read back.
pub fn add(cloud: &Cloud, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
    let (bridge, body) = (bridge.to_owned(), body(tunnel));
    let (took, answer) = cloud.call(1, |client| async move {
        let start = Instant::now();
        let answer = client.post_tunnel(&bridge, &body).await;
        (start.elapsed(), answer)
    })?;
    let tunnel = answer.context("a tunnel")?.tunnel;
    ensure!(tunnel.state == TunnelState::Up && tunnel.ofport.is_some(), "it answers {tunnel:?}");
    Ok(took)
}

/// Sets a network up by one PUT.
pub fn set_up(cloud: &Cloud, network: &Network) -> Result<Duration> {
    put(cloud, network, network_body(network))
}

/// The same, with tunnels of this kind.
pub fn set_up_of_kind(cloud: &Cloud, network: &Network, kind: TunnelKind) -> Result<Duration> {
    put(cloud, network, PutBridge { kind: Some(kind), ..network_body(network) })
}

fn put(cloud: &Cloud, network: &Network, body: PutBridge) -> Result<Duration> {
    let bridge = network.bridge.clone();
    let (took, answer) = cloud.call(1, |client| async move {
        let start = Instant::now();
        let answer = client.put_bridge(&bridge, &body).await;
        (start.elapsed(), answer)
    })?;
    let tunnels = answer.context("a network")?.bridge.tunnels;
    let up = tunnels.iter().filter(|tunnel| tunnel.state == TunnelState::Up).count();
    ensure!(up == network.tunnels.len(), "{up} tunnels are up, not {}", network.tunnels.len());
    Ok(took)
}

/// Removes one tunnel.
pub fn remove(cloud: &Cloud, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
    let (bridge, port) = (bridge.to_owned(), tunnel.port());
    let (took, answer) = cloud.call(1, |client| async move {
        let start = Instant::now();
        let answer = client.delete_tunnel(&bridge, &port).await;
        (start.elapsed(), answer)
    })?;
    answer.context("removal of a tunnel")?;
    Ok(took)
}

/// Removes a bridge.
pub fn remove_bridge(cloud: &Cloud, bridge: &str) -> Result<Duration> {
    let bridge = bridge.to_owned();
    let (took, answer) = cloud.call(1, |client| async move {
        let start = Instant::now();
        let answer = client.delete_bridge(&bridge).await;
        (start.elapsed(), answer)
    })?;
    answer.context("removal of a bridge")?;
    Ok(took)
}
