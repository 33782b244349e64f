//! Pings: a matrix of times from VM to VM, or from host to host where VMs are many.

use std::collections::BTreeMap;

use super::page::{Page, milliseconds};
use crate::report::{NetworkReport, PingCount, Report, Round};

/// Columns of a matrix that fit a line.
const COLUMNS: usize = 10;

/// A matrix for each network, and what all of it comes to.
pub fn matrices(page: &mut Page, report: &Report, round: &Round) {
    for network in &report.networks {
        let pings: Vec<_> = round.pings.iter().filter(|ping| ping.network == network.name).collect();
        if network.vms.len() <= COLUMNS {
            matrix(page, network, &pings, &network.vms.iter().map(|vm| (&*vm.name, &*vm.name)).collect());
        } else if network.bridges.len() <= COLUMNS {
            matrix(page, network, &pings, &network.vms.iter().map(|vm| (&*vm.name, &*vm.host)).collect());
        }
    }
    summary(page, report, round);
}

/// One line for each network.
pub fn summary(page: &mut Page, report: &Report, round: &Round) {
    for network in &report.networks {
        let pings = || round.pings.iter().filter(|ping| ping.network == network.name);
        let (sent, received) = (pings().map(|p| p.sent).sum::<u64>(), pings().map(|p| p.received).sum::<u64>());
        let count = pings().count();
        let mean = pings().map(|p| p.rtt_mean_ms).sum::<f64>() / count.max(1) as f64;
        let least = pings().map(|p| p.rtt_min_ms).fold(f64::INFINITY, f64::min);
        let most = pings().map(|p| p.rtt_max_ms).fold(0.0, f64::max);
        page.line(format!(
            "  {}: {count} pairs, {sent} pings, {} lost; there and back in {} to {}, {} on average",
            network.name,
            sent - received,
            milliseconds(least),
            milliseconds(most),
            milliseconds(mean)
        ));
    }
}

/// Mean times between the places of VMs: `place_of` has each VM's.
fn matrix(page: &mut Page, network: &NetworkReport, pings: &[&PingCount], place_of: &BTreeMap<&str, &str>) {
    let mut places: Vec<&str> = Vec::new();
    for place in network.vms.iter().filter_map(|vm| place_of.get(&*vm.name)) {
        if !places.contains(place) {
            places.push(place);
        }
    }
    let is_at = |vm: &str, place: &str| place_of.get(vm) == Some(&place);
    let between = |from: &str, to: &str| -> Vec<&PingCount> {
        pings.iter().copied().filter(|ping| is_at(&ping.from, from) && is_at(&ping.to, to)).collect()
    };
    let mut header = vec![network.name.clone()];
    header.extend(places.iter().map(|place| (*place).to_owned()));
    let rows = places.iter().map(|from| {
        let mut row = vec![(*from).to_owned()];
        row.extend(places.iter().map(|to| cell(&between(from, to))));
        row
    });
    page.table(header, 1, rows.collect());
    page.blank();
}

fn cell(pings: &[&PingCount]) -> String {
    if pings.is_empty() {
        return "-".to_owned();
    }
    if pings.iter().any(|ping| !ping.is_right()) {
        let (sent, received): (u64, u64) = (pings.iter().map(|p| p.sent).sum(), pings.iter().map(|p| p.received).sum());
        return format!("{received}/{sent}!");
    }
    format!("{:.2}", pings.iter().map(|ping| ping.rtt_mean_ms).sum::<f64>() / pings.len() as f64)
}
