//! Doors to the parsers of the plugin's arguments, for tests/fuzz only. Must not be used by the product.

use std::collections::BTreeMap;

use ovstunnel_plan::{BridgeName, GreKey, HostId, NetworkUuid, Policies, PortName, RemoteIp, Topology};

use super::arguments::{Arguments, NetworkKey};
use super::config;

/// The JSON of `configure_ovs_bridge_for_network_topology`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_topology(text: &str) -> Result<Topology, String> {
    config::parse_json(text).and_then(|json| config::read_topology(&json)).map_err(|error| error.to_string())
}

/// The JSON of `configure_ovs_bridge_for_routing_policies`.
///
/// # Errors
/// What is wrong with it.
pub fn parse_policies(text: &str) -> Result<Policies, String> {
    config::parse_json(text).and_then(|json| config::read_policies(&json)).map_err(|error| error.to_string())
}

/// One argument, read as what its name says; gives it as it was understood.
///
/// # Errors
/// The plugin's answer.
pub fn parse_argument(name: &str, text: &str) -> Result<String, String> {
    let given = BTreeMap::from([(name.to_owned(), text.to_owned())]);
    let arguments = Arguments::new(&given);
    let read = match name {
        "bridge" => arguments.required_value::<BridgeName>(name).map(|value| value.to_string()),
        "key" => arguments.required_value::<GreKey>(name).map(|value| value.to_string()),
        "network" => arguments.network_key(name).map(|value| match value {
            NetworkKey::Plain(key) => format!("OVSTunnel{key}"),
            NetworkKey::Vpc(id) => format!("OVS-DR-VPC-Bridge{id}"),
        }),
        "from" | "to" | "cs_host_id" => arguments.required_value::<HostId>(name).map(|value| value.to_string()),
        "remote_ip" => arguments.required_value::<RemoteIp>(name).map(|value| value.to_string()),
        "xs_nw_uuid" => arguments.required_value::<NetworkUuid>(name).map(|value| value.to_string()),
        "seq-no" => super::vpc::sequence_number(arguments).map(|value| value.to_string()),
        _ => arguments.required_value::<PortName>(name).map(|value| value.to_string()),
    };
    read.map_err(|failure| failure.to_string())
}
