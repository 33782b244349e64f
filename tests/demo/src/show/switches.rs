//! Requests and what they have led to: times, tunnels, flows.

use super::page::{Page, milliseconds};
use crate::report::{Report, Request};

/// The times of each kind of request.
pub fn requests(page: &mut Page, requests: &[Request]) {
    let mut kinds: Vec<&str> = Vec::new();
    for request in requests {
        if !kinds.contains(&&*request.request) {
            kinds.push(&request.request);
        }
    }
    let rows = kinds.into_iter().map(|kind| {
        let mut times: Vec<f64> = requests.iter().filter(|r| r.request == kind).map(|r| r.time_ms).collect();
        times.sort_by(f64::total_cmp);
        let at = |index: usize| times.get(index).copied().map_or_else(String::new, milliseconds);
        vec![kind.to_owned(), times.len().to_string(), at(0), at(times.len() / 2), at(times.len() - 1)]
    });
    let header = ["request", "times", "fastest", "median", "slowest"].map(str::to_owned).to_vec();
    page.table(header, 1, rows.collect());
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
