//! Requests and what they have led to: times, tunnels, flows.

use super::page::{Page, milliseconds};
use crate::report::{Plug, Report, Request};

/// The times of each kind of request.
pub fn requests(page: &mut Page, requests: &[Request]) {
    let mut kinds: Vec<&str> = Vec::new();
    for request in requests {
        if !kinds.contains(&&*request.request) {
            kinds.push(&request.request);
        }
    }
    let rows = kinds.into_iter().map(|kind| {
        let times = requests.iter().filter(|request| request.request == kind).map(|request| request.time_ms);
        row(kind, times.collect())
    });
    table_of_times(page, "request", rows.collect());
}

/// How long VIFs waited for their rules.
pub fn plugs(page: &mut Page, plugs: &[Plug]) {
    page.line("  The kernel makes each VM's device; udev has the hypervisor's script put it on its bridge, which then deletes");
    page.line(
        "  its flows, and has ovstunnel-vif tell the daemon. From the end of the hypervisor's command to the rule",
    );
    page.line("  that stays:");
    page.blank();
    let mut hosts: Vec<&str> = plugs.iter().map(|plug| plug.host.as_str()).collect();
    hosts.dedup();
    let rows = hosts.into_iter().map(|host| {
        let times = plugs.iter().filter(|plug| plug.host == host).map(|plug| plug.plug_to_rule_ms);
        row(host, times.collect())
    });
    table_of_times(page, "host", rows.collect());
}

fn row(what: &str, mut times: Vec<f64>) -> Vec<String> {
    times.sort_by(f64::total_cmp);
    let at = |index: usize| times.get(index).copied().map_or_else(String::new, milliseconds);
    vec![what.to_owned(), times.len().to_string(), at(0), at(times.len() / 2), at(times.len().saturating_sub(1))]
}

fn table_of_times(page: &mut Page, what: &str, rows: Vec<Vec<String>>) {
    page.table([what, "times", "fastest", "median", "slowest"].map(str::to_owned).to_vec(), 1, rows);
}

/// Each bridge in a line, then the first one as an operator sees it and its flows.
pub fn bridges(page: &mut Page, report: &Report) {
    let mut rows = Vec::new();
    for network in &report.networks {
        for at in &network.bridges {
            let state = format!("{:?}", at.bridge.flows.state);
            let words = [&network.name, &at.host, &at.bridge.name].map(String::clone);
            let numbers =
                [network.key.to_string(), at.bridge.tunnels.len().to_string(), at.bridge.vifs.len().to_string()];
            let flows = format!("{}, {}", at.flows.len(), if state == "InSync" { "in sync" } else { &state });
            rows.push([&words[..], &numbers, &[flows]].concat());
        }
    }
    let header = ["network", "host", "bridge", "key", "tunnels", "VIFs", "our flows"].map(str::to_owned).to_vec();
    page.table(header, 3, rows);
    if let Some(show) = &report.bridge_show {
        page.blank();
        page.line(format!("{}# {}", show.host, show.command));
        show.output.lines().for_each(|line| page.line(format!("  {line}")));
    }
    if let Some((network, at)) = report.networks.iter().rev().find_map(|n| Some((n, n.bridges.first()?))) {
        page.blank();
        page.line(format!("{}# ovs-ofctl --no-stats --no-names dump-flows {}", at.host, network.bridge));
        at.flows.iter().for_each(|flow| page.line(format!("  {flow}")));
    }
}
