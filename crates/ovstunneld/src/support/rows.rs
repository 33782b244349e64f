//! The rows of managed bridges, without what is secret in them. Must not let a row of anybody else's bridge through.

use std::collections::BTreeSet;

use ovstunnel_api::Bridge;
use ovstunnel_ovs::{Row, Rows};
use serde_json::{Map, Value, json};

/// What is in a key's name when its value is a secret: IPsec of others has such options.
const SECRETS: [&str; 6] = ["psk", "password", "passwd", "secret", "token", "private"];

/// Bridges, ports and interfaces, by the names of the bridges and their ports.
pub(super) fn of_ours(rows: &Rows, bridges: &[Bridge]) -> Value {
    let names: BTreeSet<&str> = bridges.iter().flat_map(port_names).collect();
    let is_ours = |row: &&Row| row.get("name").and_then(Value::as_str).is_some_and(|name| names.contains(name));
    let of = |rows: &[Row]| rows.iter().filter(is_ours).map(redacted_row).collect::<Vec<Value>>();
    json!({"Bridge": of(&rows.bridges), "Port": of(&rows.ports), "Interface": of(&rows.interfaces)})
}

/// The names of a bridge, which its own port has too, and of its other ports.
fn port_names(bridge: &Bridge) -> impl Iterator<Item = &str> {
    let tunnels = bridge.tunnels.iter().map(|tunnel| tunnel.port.as_str());
    let vifs = bridge.vifs.iter().map(|vif| vif.name.as_str());
    [bridge.name.as_str()].into_iter().chain(tunnels).chain(vifs).chain(bridge.other_ports.iter().map(String::as_str))
}

fn redacted_row(row: &Row) -> Value {
    row.iter().map(|(column, value)| (column.clone(), without_secrets(value))).collect::<Map<_, _>>().into()
}

fn without_secrets(value: &Value) -> Value {
    let Value::Object(pairs) = value else { return value.clone() };
    let secret = |key: &str| SECRETS.iter().any(|word| key.to_ascii_lowercase().contains(word));
    let pair = |(key, value): (&String, &Value)| match secret(key) {
        true => (key.clone(), json!("(left out)")),
        false => (key.clone(), value.clone()),
    };
    pairs.iter().map(pair).collect::<Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn only_our_bridges_rows_and_no_secret() {
        let bridge: Bridge = serde_json::from_value(json!({
            "name": "xapi1", "key": 5, "ipv6": "drop", "adopted": false, "tunnels": [], "vifs": [], "other_ports": ["g"],
            "flows": {"state": "in_sync", "expected": 2}, "health": {"state": "ok", "reasons": []}
        }))
        .unwrap();
        let row = |name: &str, options: Value| Row::from([("name".into(), json!(name)), ("options".into(), options)]);
        let rows = Rows {
            interfaces: vec![row("g", json!({"psk": "hush", "key": "5"})), row("theirs", json!({"key": "6"}))],
            ..Rows::default()
        };
        let shown = of_ours(&rows, &[bridge]);
        assert_eq!(shown["Interface"], json!([{"name": "g", "options": {"psk": "(left out)", "key": "5"}}]));
    }
}
