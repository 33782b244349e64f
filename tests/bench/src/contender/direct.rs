//! One JSON-RPC transaction straight into the database, with the rows that the daemon makes, on a connection that is kept.
//!
//! No process is started, but for a network's flows, which are not in the database: those take one `ovs-ofctl --bundle`.

use std::time::{Duration, Instant};

use anyhow::Result;
use ovstunnel_lab::Host;
use serde_json::{Value, json};

use super::bundle;
use crate::database::Database;
use crate::rows::{Network, Tunnel};

/// Makes tunnels in one transaction.
pub fn add(database: &mut Database, bridge: &str, tunnels: &[Tunnel]) -> Result<Duration> {
    let mut operations: Vec<Value> = tunnels.iter().enumerate().flat_map(|(n, tunnel)| rows(n, tunnel)).collect();
    let ports: Vec<Value> = (0..tunnels.len()).map(|n| json!(["named-uuid", format!("p{n}")])).collect();
    let insert = json!([["ports", "insert", ["set", ports]]]);
    operations.push(json!({"op": "mutate", "table": "Bridge", "where": [["name", "==", bridge]], "mutations": insert}));
    timed(database, operations)
}

/// Makes a bridge with all its tunnels and its first flows.
pub fn set_up(database: &mut Database, host: &Host, network: &Network) -> Result<Duration> {
    let tunnels = network.tunnels.iter().enumerate();
    let mut operations: Vec<Value> = tunnels.flat_map(|(n, tunnel)| rows(n, tunnel)).collect();
    let name = network.bridge.as_str();
    operations.push(insert("Interface", "ib", json!({"name": name, "type": "internal"})));
    let port = json!({"name": name, "interfaces": ["named-uuid", "ib"], "protected": true});
    operations.push(insert("Port", "pb", port));
    let own = std::iter::once("pb".to_owned());
    let ports: Vec<Value> =
        own.chain((0..network.tunnels.len()).map(|n| format!("p{n}"))).map(|id| json!(["named-uuid", id])).collect();
    let bridge = json!({
        "name": name, "ports": ["set", ports], "stp_enable": false, "datapath_type": "netdev",
        "external_ids": map(&network.external_ids()), "other_config": map(&network.other_config()),
    });
    operations.push(insert("Bridge", "b", bridge));
    operations.push(on_root("insert", json!(["named-uuid", "b"])));
    let start = Instant::now();
    timed(database, operations)?;
    bundle(host, network)?;
    Ok(start.elapsed())
}

/// Removes the port whose row this is.
pub fn remove(database: &mut Database, bridge: &str, uuid: &str) -> Result<Duration> {
    let delete = json!([["ports", "delete", ["uuid", uuid]]]);
    let operation = json!({"op": "mutate", "table": "Bridge", "where": [["name", "==", bridge]], "mutations": delete});
    timed(database, vec![operation])
}

/// Removes the bridge whose row this is.
pub fn remove_bridge(database: &mut Database, uuid: &str) -> Result<Duration> {
    timed(database, vec![on_root("delete", json!(["uuid", uuid]))])
}

fn timed(database: &mut Database, operations: Vec<Value>) -> Result<Duration> {
    let start = Instant::now();
    database.change(operations)?;
    Ok(start.elapsed())
}

fn rows(n: usize, tunnel: &Tunnel) -> [Value; 2] {
    let name = tunnel.port();
    let interface = json!({"name": name, "type": "gre", "options": map(&tunnel.options())});
    let port = json!({
        "name": name, "interfaces": ["named-uuid", format!("i{n}")], "protected": true, "external_ids": map(&tunnel.marks()),
    });
    [insert("Interface", &format!("i{n}"), interface), insert("Port", &format!("p{n}"), port)]
}

fn insert(table: &str, id: &str, row: Value) -> Value {
    json!({"op": "insert", "table": table, "uuid-name": id, "row": row})
}

fn on_root(how: &str, bridge: Value) -> Value {
    json!({"op": "mutate", "table": "Open_vSwitch", "where": [], "mutations": [["bridges", how, bridge]]})
}

fn map<K: AsRef<str>>(pairs: &[(K, String)]) -> Value {
    let pairs: Vec<Value> = pairs.iter().map(|(key, value)| json!([key.as_ref(), value])).collect();
    json!(["map", pairs])
}
