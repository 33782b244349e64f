//! Tunnels and networks as rows of the switch's database: what each contender has to leave behind, and how it is compared.
//! Must not write anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::database::{Database, map, set};

/// Prefix of the marks on rows. For other writers than the daemon it is another word of the same length: the same bytes,
/// and the daemon does not take the rows for its own.
pub const OUR_MARK: &str = "ovstunnel";
pub const OTHER_MARK: &str = "ovsothers";

/// Id of the host on which the benchmark writes.
pub const HOST: u64 = 1;

/// A tunnel that is to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tunnel {
    pub key: u32,
    pub to: u64,
}

impl Tunnel {
    /// Name of its port, as both the daemon and the plugin have it.
    pub fn port(&self) -> String {
        format!("t{}-{HOST}-{}", self.key, self.to)
    }

    /// Address of the other host; nobody is there.
    pub fn remote_ip(&self) -> Ipv4Addr {
        let [.., a, b, c] = self.to.to_be_bytes();
        Ipv4Addr::new(10, a, b, c)
    }

    pub fn options(&self) -> [(&'static str, String); 2] {
        [("key", self.key.to_string()), ("remote_ip", self.remote_ip().to_string())]
    }

    /// The marks on its port, as the daemon sets them, under another name.
    pub fn marks(&self) -> [(String, String); 4] {
        let mark = |what: &str, value: String| (format!("{OTHER_MARK}-{what}"), value);
        [
            mark("from", HOST.to_string()),
            mark("to", self.to.to_string()),
            mark("key", self.key.to_string()),
            mark("remote-ip", self.remote_ip().to_string()),
        ]
    }
}

/// A network: a bridge with its tunnels.
#[derive(Clone, Debug)]
pub struct Network {
    pub bridge: String,
    pub key: u32,
    pub tunnels: Vec<Tunnel>,
}

impl Network {
    /// A network with tunnels to this many other hosts.
    pub fn new(bridge: &str, key: u32, tunnels: usize) -> Self {
        let tunnels = (0..tunnels).map(|n| Tunnel { key, to: 2 + n as u64 }).collect();
        Network { bridge: bridge.to_owned(), key, tunnels }
    }

    /// Marks and settings of the bridge, as the daemon has them, under another name.
    pub fn external_ids(&self) -> Vec<(String, String)> {
        let mark = |what: &str, value: &str| (format!("{OTHER_MARK}-{what}"), value.to_owned());
        let uuid = self.uuid();
        vec![
            mark("key", &self.key.to_string()),
            mark("network-uuid", &uuid),
            mark("host-id", &HOST.to_string()),
            mark("ipv6", "drop"),
            ("xs-network-uuid".into(), uuid.clone()),
        ]
    }

    pub fn other_config(&self) -> [(&'static str, String); 2] {
        [("gre_key", self.key.to_string()), ("mac-table-size", "50000".to_owned())]
    }

    pub fn uuid(&self) -> String {
        format!("00000000-0000-4000-8000-{:012}", self.key)
    }

    /// The flows before the first tunnel, as one bundle.
    pub fn bundle(&self) -> String {
        let group = "dl_dst=01:00:00:00:00:00/01:00:00:00:00:00";
        format!(
            "add cookie=0x77,priority=1000,tun_id={},{group},actions=drop\n\
             add cookie=0x78,priority=1300,ipv6,actions=drop\n",
            self.key
        )
    }
}

/// A port as it is in the switch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub kind: String,
    pub options: BTreeMap<String, String>,
    /// It has an OpenFlow number, and no error.
    pub up: bool,
    pub protected: bool,
    /// Marks, by what stands behind their prefix.
    pub marks: BTreeMap<String, String>,
}

impl Row {
    /// What must be there of a tunnel. The plugin knows neither protection nor marks.
    fn expected(tunnel: &Tunnel, by_plugin: bool) -> Self {
        let bare = |(name, value): (String, String)| (name.split_once('-').unwrap_or_default().1.to_owned(), value);
        let marks = tunnel.marks().into_iter().filter(|_| !by_plugin).map(bare).collect();
        let options = tunnel.options().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        Row { kind: "gre".to_owned(), options, up: true, protected: !by_plugin, marks }
    }
}

/// The ports of a bridge by name, without its own; of a single one that is looked for only that.
fn ports(database: &mut Database, bridge: &str, only: Option<&str>) -> Result<BTreeMap<String, Row>> {
    let found = database.select("Bridge", json!([["name", "==", bridge]]), &["ports"])?;
    let Some(found) = found.first() else { return Ok(BTreeMap::new()) };
    let members: BTreeSet<&str> = set(&found["ports"]).iter().filter_map(|id| id[1].as_str()).collect();
    let condition = only.map_or(json!([]), |name| json!([["name", "==", name]]));
    let ports = database.select("Port", condition.clone(), &["_uuid", "name", "protected", "external_ids"])?;
    let interfaces = database.select("Interface", condition, &["name", "type", "options", "ofport", "error"])?;
    let interfaces: BTreeMap<&str, &Value> =
        interfaces.iter().filter_map(|row| Some((row["name"].as_str()?, row))).collect();
    let mut rows = BTreeMap::new();
    for port in ports.iter().filter(|port| port["_uuid"][1].as_str().is_some_and(|id| members.contains(id))) {
        let name = port["name"].as_str().context("a port without a name")?;
        if name != bridge {
            let interface = interfaces.get(name).with_context(|| format!("port {name} has no interface"))?;
            rows.insert(name.to_owned(), row(port, interface));
        }
    }
    ensure!(only.is_some() || rows.len() + 1 == members.len(), "{bridge} has {} ports", members.len());
    Ok(rows)
}

fn row(port: &Value, interface: &Value) -> Row {
    let marks = map(&port["external_ids"]).filter_map(|(name, value)| {
        let rest = name.strip_prefix(OUR_MARK).or_else(|| name.strip_prefix(OTHER_MARK))?;
        Some((rest.trim_start_matches('-').to_owned(), value.to_owned()))
    });
    let options = map(&interface["options"]).filter(|(name, _)| *name != "cloudstack-network-id");
    Row {
        kind: interface["type"].as_str().unwrap_or_default().to_owned(),
        options: options.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        up: interface["ofport"].as_i64().is_some_and(|ofport| ofport > 0) && set(&interface["error"]).is_empty(),
        protected: port["protected"] == true,
        marks: marks.collect(),
    }
}

/// That a bridge has these tunnels, all up, and nothing else.
pub fn expect(database: &mut Database, bridge: &str, tunnels: &[Tunnel], by_plugin: bool) -> Result<()> {
    let found = ports(database, bridge, None)?;
    ensure!(found.len() == tunnels.len(), "{bridge} has {} ports, not {}", found.len(), tunnels.len());
    tunnels.iter().try_for_each(|tunnel| compare(&found, bridge, tunnel, by_plugin))
}

/// That a bridge has this tunnel, up.
pub fn expect_one(database: &mut Database, bridge: &str, tunnel: &Tunnel, by_plugin: bool) -> Result<()> {
    let found = ports(database, bridge, Some(&tunnel.port()))?;
    compare(&found, bridge, tunnel, by_plugin)
}

/// That no bridge has this tunnel.
pub fn expect_none(database: &mut Database, tunnel: &Tunnel) -> Result<()> {
    let there = database.uuid("Port", &tunnel.port())?;
    ensure!(there.is_none(), "port {} is still there", tunnel.port());
    Ok(())
}

fn compare(found: &BTreeMap<String, Row>, bridge: &str, tunnel: &Tunnel, by_plugin: bool) -> Result<()> {
    let (name, expected) = (tunnel.port(), Row::expected(tunnel, by_plugin));
    let row = found.get(&name).with_context(|| format!("{bridge} has no port {name}"))?;
    ensure!(*row == expected, "{name} on {bridge} is {row:?}, not {expected:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_marks_have_the_same_length() {
        assert_eq!(OUR_MARK.len(), OTHER_MARK.len());
    }

    #[test]
    fn a_row_that_differs_is_told() {
        let tunnel = Tunnel { key: 7, to: 300 };
        let expected = Row::expected(&tunnel, false);
        assert_eq!(expected.options["remote_ip"], "10.0.1.44");
        assert_eq!(expected.marks["remote-ip"], "10.0.1.44");
        assert_ne!(expected, Row::expected(&tunnel, true));
    }
}
