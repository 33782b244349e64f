//! What a comparison came to, for people and for programs.
//!
//! What it must not do: compare.

use std::fmt::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use ovstunnel_store::cloudstack::{CloudZone, Setting, Tables};
use serde::Serialize;

use super::finding::{Finding, Kind};

/// Differences of one kind that the table shows.
const SHOWN: usize = 20;

/// What was compared, and what differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Name of CloudStack's zone.
    pub zone: String,
    /// CloudStack's `sdn.ovs.controller`: its value; absent where it has none and the default holds, which is off up to 4.0. Newer servers
    /// do not have it, and go by the provider `Ovs` of the physical network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<String>,
    /// Whether the manager answered.
    pub manager: Answered,
    /// What was read.
    pub read: Counts,
    /// What differs, kind by kind.
    pub findings: Vec<Finding>,
}

/// Whether the manager answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "answered", rename_all = "snake_case")]
pub enum Answered {
    /// It did.
    Yes {
        /// How many hosts are registered.
        hosts: usize,
        /// How many of them it has heard of.
        heard: usize,
    },
    /// It did not: the tables were compared with each other alone.
    No {
        /// Why not.
        reason: String,
    },
}

/// How much was read of CloudStack's tables, of all zones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// Hosts that are not removed.
    pub hosts: usize,
    /// Networks that are not removed.
    pub networks: usize,
    /// Keys that are given out.
    pub keys: usize,
    /// Rows of endpoints, the lock row too.
    pub endpoints: usize,
    /// Rows of tunnels, the lock row too.
    pub tunnels: usize,
}

impl Report {
    pub(super) fn new(tables: &Tables, zone: CloudZone, manager: Answered, findings: Vec<Finding>) -> Report {
        let controller = match &tables.controller {
            Setting::Value(value) => Some(value.clone()),
            Setting::Default | Setting::Absent => None,
        };
        let read = Counts {
            hosts: tables.hosts.iter().filter(|host| !host.is_removed).count(),
            networks: tables.networks.iter().filter(|network| !network.is_removed).count(),
            keys: tables.taken.len(),
            endpoints: tables.endpoints.len(),
            tunnels: tables.tunnels.len(),
        };
        Report { zone: zone.name, controller, manager, read, findings }
    }

    /// As JSON.
    ///
    /// # Errors
    /// Never in practice: all of it is texts and numbers.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// As a page for people.
    pub fn to_text(&self) -> String {
        let Counts { hosts, networks, keys, endpoints, tunnels } = self.read;
        let manager = match &self.manager {
            Answered::Yes { hosts, heard } => format!("{hosts} hosts are registered, {heard} of them are heard of"),
            Answered::No { reason } => {
                format!("does not answer ({reason}); the tables are compared with each other alone")
            }
        };
        let flag = self.controller.as_deref().unwrap_or("not set");
        let mut page = align_columns([
            ["zone:", &self.zone],
            ["sdn.ovs.controller:", &format!("{flag} in CloudStack, false here")],
            [
                "read:",
                &format!(
                    "{hosts} hosts, {networks} networks, {keys} taken keys, {endpoints} endpoints, {tunnels} tunnels"
                ),
            ],
            ["manager:", &manager],
        ]);
        page.push('\n');
        if self.findings.is_empty() {
            page.push_str("Nothing differs. Nothing was changed.\n");
            return page;
        }
        let mut rows = vec![["WHAT".to_owned(), "EVIDENCE".to_owned()]];
        let mut remedies = Vec::new();
        for kind in Kind::ALL {
            let of_kind: Vec<&Finding> = self.findings.iter().filter(|finding| finding.what == *kind).collect();
            rows.extend(of_kind.iter().take(SHOWN).map(|finding| [kind.word().to_owned(), finding.evidence.clone()]));
            if of_kind.len() > SHOWN {
                rows.push([kind.word().to_owned(), format!("… and {} more; --json has all", of_kind.len() - SHOWN)]);
            }
            if !of_kind.is_empty() {
                remedies.push([kind.word().to_owned(), kind.remedy().to_owned()]);
            }
        }
        page.push_str(&align_columns(rows));
        page.push_str("\nWhat to do:\n");
        page.push_str(&align_columns(remedies));
        let found = match self.findings.len() {
            1 => "1 difference".to_owned(),
            many => format!("{many} differences"),
        };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "\n{found}. Nothing was changed.");
        page
    }
}

/// Rows with their cells below each other.
pub(crate) fn align_columns<T: AsRef<str>, const N: usize>(rows: impl IntoIterator<Item = [T; N]>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.add_rows(rows.into_iter().map(|row| row.map(|cell| cell.as_ref().to_owned())));
    // Each cell has one space at both sides; the page begins at the first column.
    let lines = table.lines().map(|line| line.strip_prefix(' ').unwrap_or(&line).trim_end().to_owned() + "\n");
    lines.collect()
}
