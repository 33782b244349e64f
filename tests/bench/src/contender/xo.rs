//! The transactions of Xen Orchestra's SDN controller for a tunnel, one after another, as its `ovsdb-client` sends them.
//!
//! For each tunnel it connects anew, looks for the bridge by the network's UUID, asks for the bridge's ports, for each port by itself,
//! and for the interface of each, to see whether one leads to that address already; then one transaction makes the rows. It waits for nobody;
//! here the port's number is waited for, as for all others. Not measured: that it connects by TLS from a Node.js process.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::database::{Database, map, set};
use crate::rows::Tunnel;

/// How long the port may take to its number, in milliseconds.
const PATIENCE: u64 = 60_000;

/// Makes a tunnel, until its port has a number. Returns the port's name, too: it numbers its ports itself.
pub fn add(socket: &Path, network: &str, number: usize, tunnel: &Tunnel) -> Result<(Duration, String)> {
    let start = Instant::now();
    let mut database = Database::open(socket)?;
    let by_uuid = json!([["external_ids", "includes", ["map", [["xs-network-uuids", network]]]]]);
    let bridge = one(&mut database, "Bridge", by_uuid, &["_uuid", "name"])?;
    let same = |uuid: &Value| json!([["_uuid", "==", uuid]]);
    let ports = one(&mut database, "Bridge", same(&bridge["_uuid"]), &["ports"])?;
    for port in set(&ports["ports"]) {
        let port = one(&mut database, "Port", same(port), &["name", "interfaces"])?;
        for interface in set(&port["interfaces"]) {
            let interface = one(&mut database, "Interface", same(interface), &["name", "options"])?;
            let leads_there =
                |(name, value): (&str, &str)| name == "remote_ip" && value == tunnel.remote_ip().to_string();
            anyhow::ensure!(!map(&interface["options"]).any(leads_there), "there is such a tunnel");
        }
    }
    let name = bridge["name"].as_str().context("a bridge's name")?;
    let (port, interface) = (format!("{name}_port{number}"), format!("{name}_iface{number}"));
    let options: Vec<[String; 2]> = tunnel.options().map(|(name, value)| [name.to_owned(), value]).into();
    let other = json!(["map", [["xo:sdn-controller:private-network-uuid", network]]]);
    database.transact(vec![
        json!({"op": "insert", "table": "Interface", "uuid-name": "new_iface",
            "row": {"type": "gre", "options": ["map", options], "name": interface}}),
        json!({"op": "insert", "table": "Port", "uuid-name": "new_port",
            "row": {"name": port, "interfaces": ["named-uuid", "new_iface"], "other_config": other}}),
        json!({"op": "mutate", "table": "Bridge", "where": same(&bridge["_uuid"]),
            "mutations": [["ports", "insert", ["named-uuid", "new_port"]]]}),
    ])?;
    database.transact(vec![
        json!({"op": "wait", "table": "Interface", "where": [["name", "==", interface]], "timeout": PATIENCE,
        "columns": ["ofport"], "until": "!=", "rows": [{"ofport": ["set", []]}]}),
    ])?;
    Ok((start.elapsed(), port))
}

fn one(database: &mut Database, table: &str, condition: Value, columns: &[&str]) -> Result<Value> {
    database.select(table, condition, columns)?.into_iter().next().with_context(|| format!("no such row of {table}"))
}
