//! The whole state of a switch, to be compared before and after: rows of the database and flows of every bridge.
//! Must not leave out what anybody could have written; only what the switch itself counts and measures is left out.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use ovstunnel_lab::Host;
use serde_json::Value;

/// Columns that change by themselves.
const VOLATILE: [&str; 22] = [
    "admin_state",
    "bfd_status",
    "cfm_fault",
    "cfm_fault_status",
    "cfm_flap_count",
    "cfm_health",
    "cfm_mpid",
    "cfm_remote_mpids",
    "cfm_remote_opstate",
    "cur_cfg",
    "duplex",
    "ifindex",
    "is_connected",
    "link_resets",
    "link_speed",
    "link_state",
    "mac_in_use",
    "next_cfg",
    "rstp_statistics",
    "rstp_status",
    "statistics",
    "status",
];

/// Every row and every flow, a line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    lines: Vec<String>,
}

/// Cookies of the flows that keep VMs from the ends of tunnels: they follow the kernel's addresses and routes, a moment after
/// whatever changes them. `tests/injection.rs` looks at them.
const FOLLOWS_UNDERLAY: &str = "cookie=0x6f76737406";

impl Snapshot {
    /// Everything, but for the flows that follow the underlay.
    ///
    /// # Errors
    /// When the switch does not answer.
    pub fn of(host: &Host) -> Result<Self> {
        let mut rows = Self::of_database(host)?;
        for bridge in host.vsctl(["list-br"])?.lines() {
            let dump = flows(host, bridge)?;
            rows.lines.extend(
                dump.lines()
                    .filter(|line| line.contains("actions=") && !line.contains(FOLLOWS_UNDERLAY))
                    .map(|line| format!("{bridge} {}", line.trim())),
            );
        }
        rows.lines.sort();
        Ok(rows)
    }

    /// The database alone: for a switch that does not answer.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn of_database(host: &Host) -> Result<Self> {
        let mut lines = Vec::new();
        for table in ["Open_vSwitch", "Bridge", "Port", "Interface", "Controller"] {
            lines.extend(rows(host, table)?.into_iter().map(|row| format!("{table} {row}")));
        }
        lines.sort();
        Ok(Snapshot { lines })
    }

    /// All lines, for whoever compares by itself.
    pub fn into_lines(self) -> BTreeSet<String> {
        self.lines.into_iter().collect()
    }

    /// That nothing differs.
    ///
    /// # Errors
    /// The lines that went and those that came.
    pub fn expect_same(&self, after: &Snapshot) -> Result<()> {
        let only = |a: &Snapshot, b: &Snapshot, sign: &str| {
            let lines = a.lines.iter().filter(|line| !b.lines.contains(line));
            lines.map(|line| format!("{sign} {line}\n")).collect::<String>()
        };
        match self == after {
            true => Ok(()),
            false => bail!("the switch has changed:\n{}{}", only(self, after, "-"), only(after, self, "+")),
        }
    }
}

/// The flows of a bridge, by whatever version of OpenFlow it speaks: `Host::ofctl` speaks 1.4 only.
fn flows(host: &Host, bridge: &str) -> Result<String> {
    let mut command = host.command("ovs-ofctl");
    command.args(["-O", "OpenFlow10,OpenFlow13,OpenFlow14", "dump-flows", "--no-stats", bridge]);
    ovstunnel_lab::run(command, ovstunnel_lab::DEADLINE)
}

/// The rows of a table, each as JSON by column.
fn rows(host: &Host, table: &str) -> Result<Vec<String>> {
    let text = host.vsctl(["--format=json", "list", table])?;
    let table: Value = serde_json::from_str(&text)?;
    let headings: Vec<&str> =
        table["headings"].as_array().context("headings")?.iter().filter_map(Value::as_str).collect();
    let rows = table["data"].as_array().context("data")?.iter().map(|row| {
        let columns = headings.iter().zip(row.as_array().into_iter().flatten());
        let columns = columns.filter(|(name, _)| !VOLATILE.contains(name)).map(|(name, value)| (*name, stable(value)));
        serde_json::to_string(&columns.collect::<BTreeMap<&str, Value>>()).context("a row")
    });
    rows.collect()
}

/// A value without the number that the lab writes to see whether vswitchd follows.
fn stable(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(pairs) = value.get_mut(1).and_then(Value::as_array_mut) {
        pairs.retain(|pair| pair.get(0).and_then(Value::as_str) != Some("ovstunnel-lab"));
    }
    value
}

/// The database's file as it is: the switch itself writes nothing into it while nobody changes anything.
///
/// # Errors
/// When it cannot be read.
pub fn database_file(host: &Host) -> Result<Vec<u8>> {
    std::fs::read(host.rundir().join("conf.db")).context("the database's file")
}
