//! What a switch is like, told by names: rows and flows without the numbers that a port or row gets anew when it is made
//! again. Two pictures of a host that has healed are the same. Must not leave out what a fault could have changed.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_lab::Host;
use serde_json::Value;

/// The number that the lab writes to see whether vswitchd follows, and ours to have it try again.
const NUMBERS: [&str; 2] = ["ovstunnel-lab", "ovstunnel-retry"];

/// All bridges with their ports and flows, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    lines: BTreeSet<String>,
}

/// The plugin's last word, with its time.
const CLAIM: &str = "ovstunnel-claim";

type Row = BTreeMap<String, Value>;

impl Picture {
    /// The switch as it is now.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn of(host: &Host) -> Result<Self> {
        let tables = tables(host)?;
        let [bridges, ports, interfaces] = tables.as_slice() else { return Err(anyhow!("{} tables", tables.len())) };
        let mut lines = BTreeSet::new();
        // Open vSwitch gives a bridge's own device another address each time.
        let own = |row: &Row| text(row, "type") == "internal" && !text(row, "mac_in_use").is_empty();
        let macs: Vec<(String, String)> = interfaces
            .values()
            .filter(|row| own(row))
            .map(|row| (text(row, "mac_in_use"), format!("<address of {}>", text(row, "name"))))
            .collect();
        let unaddressed = |flow: String| macs.iter().fold(flow, |flow, (mac, name)| flow.replace(mac, name));
        for bridge in bridges.values() {
            let name = text(bridge, "name");
            let columns = [
                "datapath_type",
                "external_ids",
                "other_config",
                "protocols",
                "stp_enable",
                "rstp_enable",
                "mcast_snooping_enable",
            ];
            lines.insert(format!("bridge {name}: {}", told(bridge, &columns)));
            let mut ofports = BTreeMap::new();
            for port in members(bridge, "ports").iter().filter_map(|uuid| ports.get(uuid)) {
                let port_name = text(port, "name");
                lines.insert(format!(
                    "port {name}/{port_name}: {}",
                    told(port, &["external_ids", "protected", "tag", "trunks", "vlan_mode"])
                ));
                for interface in members(port, "interfaces").iter().filter_map(|uuid| interfaces.get(uuid)) {
                    ofports.insert(interface["ofport"].to_string(), port_name.clone());
                    let up = interface["ofport"].as_i64().is_some_and(|n| n > 0) && empty(&interface["error"]);
                    let columns = told(interface, &["type", "options", "mtu_request"]);
                    lines.insert(format!("interface {name}/{port_name}: up={up} {columns}"));
                }
            }
            let dump = host.ofctl(["dump-flows", "--no-stats", &name])?;
            let flows = dump.lines().filter(|line| line.contains("actions=")).map(str::trim);
            lines.extend(flows.map(|flow| format!("flow {name}: {}", unaddressed(named(flow, &ofports)))));
        }
        Ok(Picture { lines })
    }

    /// That nothing differs.
    ///
    /// # Errors
    /// The lines that went and those that came.
    pub fn expect(&self, wanted: &Picture) -> Result<()> {
        let only = |a: &Picture, b: &Picture, sign: &str| {
            a.lines.difference(&b.lines).map(|line| format!("{sign} {line}\n")).collect::<String>()
        };
        ensure!(self == wanted, "the switch differs:\n{}{}", only(wanted, self, "-"), only(self, wanted, "+"));
        Ok(())
    }

    /// The lines in which a word stands.
    pub fn with(&self, word: &str) -> Vec<&str> {
        self.lines.iter().map(String::as_str).filter(|line| line.contains(word)).collect()
    }
}

/// The three tables, each row by its UUID.
fn tables(host: &Host) -> Result<Vec<BTreeMap<String, Row>>> {
    let text = host.vsctl(["--format=json", "list", "Bridge", "--", "list", "Port", "--", "list", "Interface"])?;
    let tables = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    tables.map(|table| rows(&table.context("a table")?)).collect()
}

fn rows(table: &Value) -> Result<BTreeMap<String, Row>> {
    let headings: Vec<&str> = strings(&table["headings"]).context("headings")?;
    let rows = table["data"].as_array().context("data")?.iter().map(|row| {
        let cells = row.as_array().context("a row")?;
        let row: Row = headings.iter().map(|name| (*name).to_owned()).zip(cells.iter().cloned()).collect();
        Ok((uuid(&row["_uuid"]).context("a row's UUID")?, row))
    });
    rows.collect()
}

fn strings(value: &Value) -> Option<Vec<&str>> {
    value.as_array()?.iter().map(Value::as_str).collect()
}

fn uuid(value: &Value) -> Option<String> {
    (value.get(0)?.as_str()? == "uuid").then(|| value.get(1)?.as_str().map(str::to_owned)).flatten()
}

/// The rows that a column names: one, or a set of them.
fn members(row: &Row, column: &str) -> Vec<String> {
    let value = &row[column];
    let set = value.get(1).and_then(Value::as_array).map(|set| set.iter().filter_map(uuid).collect());
    set.unwrap_or_else(|| uuid(value).into_iter().collect())
}

fn text(row: &Row, column: &str) -> String {
    row[column].as_str().unwrap_or_default().to_owned()
}

fn empty(value: &Value) -> bool {
    value.get(1).and_then(Value::as_array).is_some_and(Vec::is_empty)
}

fn told(row: &Row, columns: &[&str]) -> String {
    let column = |name: &&str| {
        let mut value = row[*name].clone();
        if let Some(pairs) = value.get_mut(1).and_then(Value::as_array_mut) {
            // When the plugin's last call was differs from one life to the next.
            for pair in pairs.iter_mut().filter(|pair| pair.get(0).and_then(Value::as_str) == Some(CLAIM)) {
                let said = pair.get(1).and_then(Value::as_str).and_then(|text| text.rsplit_once(' '));
                *pair = serde_json::json!([CLAIM, said.map_or_else(String::new, |(said, _)| format!("{said} <time>"))]);
            }
            pairs.retain(|pair| !pair.get(0).and_then(Value::as_str).is_some_and(|key| NUMBERS.contains(&key)));
        }
        format!("{name}={value}")
    };
    columns.iter().map(column).collect::<Vec<_>>().join(" ")
}

/// A flow with the names of ports for their numbers, also in its cookie and for its meter.
fn named(flow: &str, ofports: &BTreeMap<String, String>) -> String {
    let Some(number) = flow.split("in_port=").nth(1).and_then(|rest| rest.split([',', ' ']).next()) else {
        return flow.to_owned();
    };
    let name = ofports.get(number).map_or(number, String::as_str);
    let cookie = number.parse::<u64>().map(|number| format!("{number:04x},")).unwrap_or_default();
    let flow = flow.replace(&format!("in_port={number}"), &format!("in_port={name}"));
    flow.replacen(&cookie, "<port>,", 1).replace(&format!("meter:{number}"), "meter:<port>")
}
