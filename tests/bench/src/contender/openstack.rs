//! What OpenStack's own agents call: `ovs_lib` of Neutron's agent for tunnels, os-vif for VIFs, each in a Python process of
//! its own (`openstack.py`).
//!
//! Their rows are their own: a tunnel of Neutron's is of a pair of hosts, for all networks, and its key is set by flows.

use std::time::Duration;

use anyhow::Result;
use ovstunnel_lab::Host;
use serde_json::json;

use super::python::{Python, Script};
use crate::rows::Tunnel;

const ENVIRONMENT: &[(&str, &str)] = &[("PYTHONWARNINGS", "ignore")];

/// Neutron's library, for tunnels.
pub const NEUTRON: Script = Script {
    text: include_str!("openstack.py"),
    arguments: &["neutron"],
    variable: "OVSTUNNEL_BENCH_OPENSTACK",
    venv: "bench-openstack",
    environment: ENVIRONMENT,
};

/// os-vif, for VIFs.
pub const OS_VIF: Script = Script { arguments: &["os-vif"], ..NEUTRON };

/// Makes a tunnel, until it has its number.
pub fn add(python: &mut Python, host: &Host, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
    python.carry_out(&json!({
        "do": "add", "bridge": bridge, "port": tunnel.port(), "remote_ip": tunnel.remote_ip(), "local_ip": host.ip(),
    }))
}

/// Removes it.
pub fn remove(python: &mut Python, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
    python.carry_out(&json!({"do": "remove", "bridge": bridge, "port": tunnel.port()}))
}

/// Plugs a VIF, until `ovs-vswitchd` has taken it up. It has no rules for it.
pub fn plug(python: &mut Python, bridge: &str, vif: &str) -> Result<Duration> {
    let (mac, vm) = ("02:00:00:00:00:01", "00000000-0000-4000-8000-000000000001");
    python.carry_out(&json!({
        "do": "plug", "bridge": bridge, "vif": vif, "iface_id": format!("iface-{vif}"), "mac": mac, "vm": vm,
    }))
}

/// Unplugs it.
pub fn unplug(python: &mut Python, bridge: &str, vif: &str) -> Result<Duration> {
    python.carry_out(&json!({"do": "unplug", "bridge": bridge, "vif": vif}))
}
