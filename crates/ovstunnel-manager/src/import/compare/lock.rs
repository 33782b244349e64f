//! The rows that CloudStack only locks. They are known by what stands in them, never by their id.
//!
//! What it must not do: look at a row of a tunnel or an endpoint.

use ovstunnel_store::cloudstack::{Endpoint, Tables, Tunnel};

use super::{Finding, Kind};

/// The ids that the published schemas give a lock row: 5 where the endpoints' table came with the upgrade from 3.0.
const IDS: [u64; 2] = [1, 5];

/// Whether a row is or was meant as the lock row: no host has the id 0, no network either.
pub(super) fn is_like_tunnel(row: &Tunnel) -> bool {
    row.from == 0 || row.to == 0 || row.network == 0 || row.port.as_deref() == Some("lock")
}

/// The same of an endpoint.
pub(super) fn is_like_endpoint(row: &Endpoint) -> bool {
    row.host == Some(0) || row.label.as_deref() == Some("lock")
}

fn is_tunnel_lock(row: &Tunnel) -> bool {
    (row.from, row.to, row.network, row.key) == (0, 0, 0, 0) && row.port.as_deref() == Some("lock")
}

fn is_endpoint_lock(row: &Endpoint) -> bool {
    row.host == Some(0) && row.label.as_deref() == Some("lock")
}

/// What is wrong with the two lock rows.
pub(super) fn lock_findings(tables: &Tables) -> Vec<Finding> {
    let tunnels = tables.tunnels.iter().filter(|row| is_like_tunnel(row)).map(|row| (row.id, is_tunnel_lock(row)));
    let endpoints =
        tables.endpoints.iter().filter(|row| is_like_endpoint(row)).map(|row| (row.id, is_endpoint_lock(row)));
    let mut found = Vec::new();
    for (table, rows) in
        [("ovs_tunnel_network", tunnels.collect::<Vec<_>>()), ("ovs_tunnel_interface", endpoints.collect())]
    {
        if tables.missing.contains(&table) {
            continue;
        }
        found.extend(rows.iter().filter(|(_, is_good)| !is_good).map(|(id, _)| {
            Finding::new(Kind::LockRowWrong, format!("row {id} of {table} has only a part of what a lock row has"))
        }));
        let good: Vec<u64> = rows.iter().filter(|(_, is_good)| *is_good).map(|(id, _)| *id).collect();
        match good.as_slice() {
            [] => found.push(Finding::new(Kind::LockRowMissing, format!("{table} has no lock row"))),
            [id] if IDS.contains(id) => {}
            [id] => {
                let evidence = format!("the lock row of {table} has the id {id}, and not 1 or 5");
                found.push(Finding::new(Kind::LockRowWrong, evidence));
            }
            many => {
                let evidence = format!("{table} has {} lock rows", many.len());
                found.push(Finding::new(Kind::LockRowWrong, evidence));
            }
        }
    }
    found
}
