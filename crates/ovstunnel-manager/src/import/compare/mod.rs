//! What differs between CloudStack's tables, the hosts as the manager sees them, and what is registered with it.
//!
//! What it does: pure comparison, of one zone. What it must not do: I/O; change or leave out a row because it is inconvenient.

mod endpoints;
mod keys;
mod lock;
mod rows;
mod switches;
pub(crate) mod view;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use ovstunnel_manager_api::HostTunnel;
use ovstunnel_store::cloudstack::Tables;

use super::finding::{Finding, Kind};
use view::View;

/// The hosts as a running manager sees them, by number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Picture {
    /// The registered hosts.
    pub hosts: BTreeMap<u64, SeenHost>,
}

/// A registered host.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeenHost {
    /// Its name.
    pub name: String,
    /// The label by which it is asked for the address of its tunnels.
    pub label: String,
    /// That address, where it said one.
    pub ip: Option<String>,
    /// Its netmask, dotted.
    pub netmask: Option<String>,
    /// Ethernet address of the device that has it.
    pub mac: Option<String>,
    /// Its tunnels; none while it is not heard of.
    pub tunnels: Option<Vec<HostTunnel>>,
}

/// All that differs in the zone with this id, kind by kind. Without a picture the tables are compared with each other alone.
pub fn compare(tables: &Tables, zone: u64, picture: Option<&Picture>) -> Vec<Finding> {
    let missing = tables.missing.iter().map(|table| {
        let evidence = format!("there is no table {table}");
        Finding::new(Kind::TableMissing, evidence)
    });
    let mut found: Vec<Finding> = missing.chain(lock::lock_findings(tables)).collect();
    let view = View::new(tables, zone);
    found.extend(keys::key_findings(&view));
    found.extend(endpoints::endpoint_findings(&view));
    found.extend(rows::row_findings(&view, picture));
    if let Some(picture) = picture {
        found.extend(endpoints::compare_with_hosts(&view, picture));
        found.extend(switches::switch_findings(&view, picture));
    }
    found.sort();
    found
}
