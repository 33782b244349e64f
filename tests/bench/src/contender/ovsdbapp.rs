//! The library under Neutron's agent, in a Python process of its own (`ovsdbapp.py`). A network's flows are not in the
//! database; those take one `ovs-ofctl --bundle`, as for the others.

use std::time::{Duration, Instant};

use anyhow::Result;
use ovstunnel_lab::Host;
use serde_json::{Map, Value, json};

use super::bundle;
use super::python::{Python, Script};
use crate::rows::{Network, Tunnel};

/// What it needs.
pub const SCRIPT: Script = Script {
    text: include_str!("ovsdbapp.py"),
    arguments: &[],
    variable: "OVSTUNNEL_BENCH_VENV",
    venv: "bench-venv",
    environment: &[],
};

pub fn add(python: &mut Python, bridge: &str, tunnels: &[Tunnel]) -> Result<Duration> {
    python.carry_out(&json!({"do": "add", "bridge": bridge, "tunnels": listed(tunnels)}))
}

pub fn set_up(python: &mut Python, host: &Host, network: &Network) -> Result<Duration> {
    let command = json!({
        "do": "set_up", "bridge": network.bridge, "tunnels": listed(&network.tunnels),
        "external_ids": map(&network.external_ids()), "other_config": map(&network.other_config()),
    });
    let start = Instant::now();
    python.carry_out(&command)?;
    bundle(host, network)?;
    Ok(start.elapsed())
}

pub fn remove(python: &mut Python, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
    python.carry_out(&json!({"do": "remove", "bridge": bridge, "port": tunnel.port()}))
}

pub fn remove_bridge(python: &mut Python, bridge: &str) -> Result<Duration> {
    python.carry_out(&json!({"do": "remove_bridge", "bridge": bridge}))
}

fn listed(tunnels: &[Tunnel]) -> Vec<Value> {
    let one = |tunnel: &Tunnel| json!({"port": tunnel.port(), "options": map(&tunnel.options()), "marks": map(&tunnel.marks())});
    tunnels.iter().map(one).collect()
}

fn map<K: AsRef<str>>(pairs: &[(K, String)]) -> Map<String, Value> {
    pairs.iter().map(|(key, value)| (key.as_ref().to_owned(), Value::from(value.as_str()))).collect()
}
