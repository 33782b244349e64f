//! What a zone's networks are, by the switches' own words: output of `ovs-vsctl` and `ovs-ofctl`, read by code that shares nothing with
//! the daemon or the manager. Must not ask either of them.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::Host;
use serde_json::Value;

use crate::Cloud;

/// The beginning of the cookies of the daemon's flows.
const COOKIE: &str = "cookie=0x6f767374";

/// What is wrong: a word, the host on which it is, the host at the other end of a tunnel.
pub type Fault = (String, u64, Option<u64>);

/// A network, as all its hosts' switches have it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reading {
    /// Hosts that have a bridge of it, or to which a tunnel of such a bridge leads.
    pub hosts: BTreeSet<u64>,
    /// Tunnels that a full mesh among them has, each direction for itself.
    pub wanted: u64,
    /// Those of them that are there once, to the right address, with the right key, up and protected.
    pub proven: u64,
    /// What is wrong.
    pub faults: BTreeSet<Fault>,
}

/// A bridge on one switch.
#[derive(Clone, Debug, Default)]
struct Bridge {
    tunnels: Vec<Tunnel>,
    has_baseline: bool,
}

#[derive(Clone, Debug)]
struct Tunnel {
    to: u64,
    address: String,
    key: u32,
    up: bool,
    protected: bool,
}

/// Rows of a table, as `ovs-vsctl` prints them.
fn rows(host: &Host, table: &str, columns: &[&str]) -> Result<Vec<BTreeMap<String, Value>>> {
    let text = host.vsctl(["--format=json", &format!("--columns={}", columns.join(",")), "list", table])?;
    let printed: Value = serde_json::from_str(&text).with_context(|| text.clone())?;
    let headings: Vec<&str> = printed["headings"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let data = printed["data"].as_array().context("no rows")?;
    let row = |row: &Value| {
        let values = row.as_array().into_iter().flatten().cloned();
        headings.iter().map(|heading| (*heading).to_owned()).zip(values).collect()
    };
    Ok(data.iter().map(row).collect())
}

/// The members of a set, which is printed bare where it has one.
fn set(value: &Value) -> Vec<&Value> {
    match (&value[0], &value[1]) {
        (Value::String(kind), Value::Array(members)) if kind == "set" => members.iter().collect(),
        _ => vec![value],
    }
}

fn entry<'a>(map: &'a Value, key: &str) -> Option<&'a str> {
    map[1].as_array()?.iter().find(|pair| pair[0] == key)?[1].as_str()
}

/// The managed bridges of one host, by key.
fn bridges(host: &Host) -> Result<BTreeMap<u32, Bridge>> {
    let ports = rows(host, "Port", &["_uuid", "name", "protected", "external_ids"])?;
    let interfaces = rows(host, "Interface", &["name", "type", "options", "ofport", "error"])?;
    let by_name: BTreeMap<&str, _> = interfaces.iter().filter_map(|row| Some((row["name"].as_str()?, row))).collect();
    let mut found = BTreeMap::new();
    for row in rows(host, "Bridge", &["name", "external_ids", "ports"])? {
        let Some(key) = entry(&row["external_ids"], "ovstunnel-key") else { continue };
        let (key, name) = (key.parse::<u32>()?, row["name"].as_str().context("a bridge without a name")?);
        let members = set(&row["ports"]);
        let mut bridge = Bridge { has_baseline: has_baseline(host, name, key)?, ..Bridge::default() };
        for port in ports.iter().filter(|port| members.contains(&&port["_uuid"])) {
            let name = port["name"].as_str().context("a port without a name")?;
            let interface = by_name.get(name).with_context(|| format!("{name} has no interface"))?;
            if interface["type"] != "gre" {
                continue;
            }
            let option = |key| entry(&interface["options"], key).with_context(|| format!("{name} has no {key}"));
            let to = entry(&port["external_ids"], "ovstunnel-to").with_context(|| format!("{name} leads nowhere"))?;
            bridge.tunnels.push(Tunnel {
                to: to.parse()?,
                address: option("remote_ip")?.to_owned(),
                key: option("key")?.parse()?,
                up: interface["ofport"].as_i64().is_some_and(|number| number > 0)
                    && set(&interface["error"]).is_empty(),
                protected: port["protected"] == true,
            });
        }
        ensure!(found.insert(key, bridge).is_none(), "two bridges of {} have key {key}", host.name());
    }
    Ok(found)
}

/// Whether what comes by a tunnel of this network is dropped or passed on by a flow of the daemon's.
fn has_baseline(host: &Host, bridge: &str, key: u32) -> Result<bool> {
    let flows = host.ofctl(["dump-flows", bridge])?;
    let tunnel = format!("tun_id=0x{key:x},");
    Ok(flows.lines().any(|flow| flow.contains(COOKIE) && flow.contains("priority=1000,") && flow.contains(&tunnel)))
}

/// Reads all switches of a cloud, and says of each network what is there.
///
/// # Errors
/// When a switch does not answer, or has what nobody could have meant.
pub fn read(cloud: &Cloud) -> Result<BTreeMap<u32, Reading>> {
    let mut there = BTreeMap::new();
    let mut addresses = BTreeMap::new();
    for node in cloud.nodes() {
        there.insert(node.id(), bridges(node.host())?);
        addresses.insert(node.id(), node.host().ip().to_string());
    }
    let keys: BTreeSet<u32> = there.values().flat_map(|bridges| bridges.keys().copied()).collect();
    Ok(keys.into_iter().map(|key| (key, reading(key, &there, &addresses))).collect())
}

fn reading(key: u32, there: &BTreeMap<u64, BTreeMap<u32, Bridge>>, addresses: &BTreeMap<u64, String>) -> Reading {
    let with_bridge = there.iter().filter_map(|(host, bridges)| Some((*host, bridges.get(&key)?)));
    let with_bridge: BTreeMap<u64, &Bridge> = with_bridge.collect();
    let led_to = with_bridge.values().flat_map(|bridge| bridge.tunnels.iter().map(|tunnel| tunnel.to));
    let hosts: BTreeSet<u64> = with_bridge.keys().copied().chain(led_to).collect();
    let size = hosts.len() as u64;
    let mut reading = Reading { wanted: size * (size - 1), hosts, proven: 0, faults: BTreeSet::new() };
    for own in reading.hosts.clone() {
        let mut fault = |word: &str, to| reading.faults.insert((word.to_owned(), own, to));
        let Some(bridge) = with_bridge.get(&own) else {
            fault("bridge_missing", None);
            continue;
        };
        if !bridge.has_baseline {
            fault("flows_not_in_sync", None);
        }
        for to in reading.hosts.iter().copied().filter(|to| *to != own) {
            let tunnels: Vec<&Tunnel> = bridge.tunnels.iter().filter(|tunnel| tunnel.to == to).collect();
            let word = match tunnels[..] {
                [] => Some("tunnel_missing"),
                [tunnel] if addresses.get(&to) != Some(&tunnel.address) => Some("wrong_address"),
                [tunnel] if tunnel.key != key => Some("wrong_key"),
                [tunnel] if !tunnel.up => Some("tunnel_down"),
                [tunnel] if !tunnel.protected => Some("unprotected"),
                [_] => None,
                _ => Some("tunnel_twice"),
            };
            match word {
                Some(word) => drop(fault(word, Some(to))),
                None => reading.proven += 1,
            }
        }
    }
    reading
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn bridge(to: &[u64]) -> Bridge {
        let tunnel = |to: &u64| Tunnel { to: *to, address: format!("192.0.2.{to}"), key: 7, up: true, protected: true };
        Bridge { tunnels: to.iter().map(tunnel).collect(), has_baseline: true }
    }

    #[test]
    fn each_fault_has_its_word_and_its_place() {
        let addresses = (1..=3).map(|n| (n, format!("192.0.2.{n}"))).collect();
        let mut there: BTreeMap<u64, BTreeMap<u32, Bridge>> =
            [(1, [2, 3]), (2, [1, 3])].into_iter().map(|(n, to)| (n, BTreeMap::from([(7, bridge(&to))]))).collect();
        there.get_mut(&1).unwrap().get_mut(&7).unwrap().tunnels[1].protected = false;
        there.get_mut(&2).unwrap().get_mut(&7).unwrap().tunnels.remove(0);
        let seen = reading(7, &there, &addresses);
        let faults: Vec<_> = seen.faults.iter().map(|(word, host, to)| (word.as_str(), *host, *to)).collect();
        assert_eq!(faults, [("bridge_missing", 3, None), ("tunnel_missing", 2, Some(1)), ("unprotected", 1, Some(3))]);
        assert_eq!((seen.wanted, seen.proven), (6, 2));
    }

    #[test]
    fn sets_are_printed_bare_or_not() {
        let (one, two) = (serde_json::json!(["uuid", "a"]), serde_json::json!(["set", [["uuid", "a"], ["uuid", "b"]]]));
        assert_eq!((set(&one).len(), set(&two).len(), set(&serde_json::json!(["set", []])).len()), (1, 2, 0));
        assert_eq!(entry(&serde_json::json!(["map", [["k", "v"]]]), "k"), Some("v"));
    }
}
