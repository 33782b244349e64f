//! The requests of the management server, in the API's own types. Must not send them.

use anyhow::Result;
use ovstunnel_api::{Id, PostTunnel, PutBridge, PutTunnel};
use serde_json::json;

use crate::host::Host;
use crate::network::Network;

/// A request.
#[derive(Clone, Debug)]
pub struct Call {
    /// What it asks for, as it is counted.
    pub kind: &'static str,
    /// Method.
    pub method: &'static str,
    /// Path.
    pub path: String,
    /// Body.
    pub body: String,
    /// Whether it takes something away.
    pub removes: bool,
    /// Whether xapi runs the plugin for it.
    pub plugin: bool,
}

fn id(host: usize) -> Id {
    Id::Number(host as u64)
}

/// The complete set of a host.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn put_bridge(network: &Network, host: usize, others: &[usize]) -> Result<Call> {
    let tunnel = |to: &usize| PutTunnel { to: id(*to), remote_ip: Host::address(*to), from: None };
    let body = PutBridge {
        key: network.key as i64,
        network_uuid: None,
        host_id: Some(id(host)),
        ipv6: None,
        uplink: None,
        neighbours: None,
        kind: None,
        tunnels: Some(others.iter().map(tunnel).collect()),
    };
    let path = format!("/v1/bridges/{}", network.bridge);
    let body = serde_json::to_string(&body)?;
    Ok(Call { kind: "PUT bridge", method: "PUT", path, body, removes: false, plugin: false })
}

/// One more tunnel.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn post_tunnel(network: &Network, host: usize, to: usize) -> Result<Call> {
    let body = PostTunnel { from: id(host), to: id(to), remote_ip: Host::address(to), key: None, network_uuid: None };
    let path = format!("/v1/bridges/{}/tunnels", network.bridge);
    let body = serde_json::to_string(&body)?;
    Ok(Call { kind: "POST tunnel", method: "POST", path, body, removes: false, plugin: false })
}

/// One tunnel less.
pub fn delete_tunnel(network: &Network, host: usize, to: usize) -> Call {
    let path = format!("/v1/bridges/{}/tunnels/{}", network.bridge, network.port(host, to));
    Call { kind: "DELETE tunnel", method: "DELETE", path, body: String::new(), removes: true, plugin: false }
}

/// No bridge any more.
pub fn delete_bridge(bridge: &str) -> Call {
    let path = format!("/v1/bridges/{bridge}");
    Call { kind: "DELETE bridge", method: "DELETE", path, body: String::new(), removes: true, plugin: false }
}

/// What is there.
pub fn get_bridges() -> Call {
    let path = "/v1/bridges".to_owned();
    Call { kind: "GET bridges", method: "GET", path, body: String::new(), removes: false, plugin: false }
}

fn plugin(kind: &'static str, removes: bool, arguments: serde_json::Value) -> Call {
    let path = format!("/v1/plugin/{kind}");
    Call { kind, method: "POST", path, body: arguments.to_string(), removes, plugin: true }
}

/// CloudStack's call for a bridge.
pub fn plugin_setup(network: &Network, host: usize) -> Call {
    let key = format!("OVSTunnel{}", network.key);
    let uuid = format!("00000000-0000-4000-8000-{:012}", network.key);
    let arguments = json!({"bridge": network.bridge, "key": key, "xs_nw_uuid": uuid, "cs_host_id": host.to_string()});
    plugin("setup_ovs_bridge", false, arguments)
}

/// CloudStack's call for a tunnel.
pub fn plugin_create(network: &Network, host: usize, to: usize) -> Call {
    let arguments = json!({
        "bridge": network.bridge, "remote_ip": Host::address(to), "key": network.key.to_string(),
        "from": host.to_string(), "to": to.to_string(),
    });
    plugin("create_tunnel", false, arguments)
}

/// CloudStack's call to take a tunnel away.
pub fn plugin_destroy(network: &Network, host: usize, to: usize) -> Call {
    let arguments = json!({"bridge": network.bridge, "in_port": network.port(host, to)});
    plugin("destroy_tunnel", true, arguments)
}

/// CloudStack's call to take a bridge away.
pub fn plugin_destroy_bridge(network: &Network, host: usize) -> Call {
    plugin("destroy_ovs_bridge", true, json!({"bridge": network.bridge, "cs_host_id": host.to_string()}))
}
