//! A picture of the mesh: a box for each host with its VMs, and a line for each pair of tunnels. Where hosts are many, a
//! table.

use super::page::Page;
use crate::report::{HostReport, NetworkReport, Report};

/// Boxes that fit a line of 100 characters.
const BOXES: usize = 4;

/// Characters between two boxes.
const GAP: usize = 2;

/// VMs of all networks on one host that fit a box.
const LINES: usize = 8;

/// The hosts, the networks' VMs on them, and the tunnels between them.
pub fn mesh(page: &mut Page, report: &Report) {
    for network in &report.networks {
        let ipv6 = format!("{:?}", network.ipv6).to_lowercase();
        let plural = if network.vms.len() == 1 { "" } else { "s" };
        let (name, key, bridge, vms) = (&network.name, network.key, &network.bridge, network.vms.len());
        page.line(format!("  network {name:5} bridge {bridge}, GRE key {key}, IPv6: {ipv6}, {vms} VM{plural}"));
    }
    page.blank();
    let contents: Vec<Vec<String>> = report.hosts.iter().map(|host| content(host, &report.networks)).collect();
    if report.hosts.len() <= BOXES && contents.iter().all(|lines| lines.len() <= LINES) {
        boxes(&report.hosts, &contents).iter().for_each(|line| page.line(format!("  {line}")));
        page.blank();
        page.line("  Each line is a pair of GRE tunnels of each network, one from either end.");
    } else {
        table(page, report);
    }
}

/// What is in a host's box.
fn content(host: &HostReport, networks: &[NetworkReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for network in networks {
        for (index, vm) in network.vms.iter().filter(|vm| vm.host == host.name).enumerate() {
            let name = if index == 0 { network.name.as_str() } else { "" };
            lines.push(format!("{name:4} {:3} {}", vm.name, vm.ip));
        }
    }
    lines
}

/// All boxes beside each other, with the lines below them.
fn boxes(hosts: &[HostReport], contents: &[Vec<String>]) -> Vec<String> {
    let titles: Vec<String> = hosts.iter().map(|host| format!(" {} {} ", host.name, host.ip)).collect();
    let texts = titles.iter().chain(contents.iter().flatten());
    let inner = texts.map(|text| text.chars().count()).max().unwrap_or(0) + 2;
    let height = contents.iter().map(Vec::len).max().unwrap_or(0);
    let gap = " ".repeat(GAP);
    let side_by_side = |draw: &dyn Fn(usize) -> String| (0..hosts.len()).map(draw).collect::<Vec<_>>().join(&gap);
    let mut lines = vec![side_by_side(&|host| format!("┌─{:─<width$}┐", titles[host], width = inner - 1))];
    for row in 0..height {
        let text = |host: usize| contents[host].get(row).map_or("", String::as_str);
        lines.push(side_by_side(&|host| format!("│ {:<width$}│", text(host), width = inner - 1)));
    }
    lines.push(side_by_side(&|_| format!("└{}┘", "─".repeat(inner))));
    let cables = cables(hosts.len(), inner + 2 + GAP, inner + 2);
    if let (Some(bottom), Some(first)) = (lines.last_mut(), cables.first()) {
        // Where a line begins, the box's bottom has an opening.
        let open =
            |(border, below): (char, char)| if "│└┘".contains(below) && border == '─' { '┬' } else { border };
        let below = first.chars().chain(std::iter::repeat(' '));
        *bottom = bottom.chars().zip(below).map(open).collect();
    }
    lines.extend(cables);
    lines
}

/// A line between two boxes: its ends on the boxes, and how far below them it runs.
struct Cable {
    left: usize,
    right: usize,
    row: usize,
}

/// Lines between every two of `count` boxes of this `width`, `distance` from one box's left side to the next one's.
fn cables(count: usize, distance: usize, width: usize) -> Vec<String> {
    let mut pairs: Vec<(usize, usize)> = (0..count).flat_map(|a| (a + 1..count).map(move |b| (a, b))).collect();
    pairs.sort_by_key(|(a, b)| (b - a, *a));
    // From left to right: to the nearest at the left first, then to the farthest at the right first, so that lines nest.
    let plug = |host: usize, other: usize| {
        let position = if other < host { host - 1 - other } else { host + (count - 1 - other) };
        host * distance + (position + 1) * width / count
    };
    let mut cables = Vec::new();
    for (a, b) in pairs {
        let (left, right) = (plug(a, b), plug(b, a));
        let row = free_row(&cables, left, right);
        cables.push(Cable { left, right, row });
    }
    draw(&cables, count * distance)
}

/// The first row below all lines that this one spans, where there is none beside it.
fn free_row(cables: &[Cable], left: usize, right: usize) -> usize {
    let inside = cables.iter().filter(|cable| left < cable.left && cable.right < right);
    let lowest = inside.map(|cable| cable.row + 1).max().unwrap_or(0);
    let is_free = |row: &usize| cables.iter().all(|c| c.row != *row || c.right < left || right < c.left);
    (lowest..).find(is_free).unwrap_or(lowest)
}

fn draw(cables: &[Cable], width: usize) -> Vec<String> {
    let rows = cables.iter().map(|cable| cable.row + 1).max().unwrap_or(0);
    let mut grid = vec![vec![' '; width]; rows];
    for Cable { left, right, row } in cables {
        grid[*row][left + 1..*right].fill('─');
        (grid[*row][*left], grid[*row][*right]) = ('└', '┘');
    }
    for Cable { left, right, row } in cables {
        for line in &mut grid[..*row] {
            for x in [*left, *right] {
                line[x] = if line[x] == '─' { '┼' } else { '│' };
            }
        }
    }
    grid.into_iter().map(|line| line.into_iter().collect::<String>().trim_end().to_owned()).collect()
}

fn table(page: &mut Page, report: &Report) {
    let mut header = vec!["host".to_owned(), "address".to_owned()];
    header.extend(report.networks.iter().map(|network| format!("VMs of {}", network.name)));
    header.push("tunnels of each network to".to_owned());
    let rows = report.hosts.iter().map(|host| {
        let mut row = vec![host.name.clone(), host.ip.clone()];
        for network in &report.networks {
            let mut vms = network.vms.iter().filter(|vm| vm.host == host.name).map(|vm| vm.name.as_str());
            row.push(match (vms.next(), vms.next_back()) {
                (Some(first), Some(last)) => format!("{first} to {last}"),
                (Some(only), None) => only.to_owned(),
                (None, _) => "none".to_owned(),
            });
        }
        row.push(others(host, &report.hosts));
        row
    });
    page.table(header, report.networks.len() + 3, rows.collect());
}

fn others(host: &HostReport, hosts: &[HostReport]) -> String {
    let others: Vec<&str> = hosts.iter().map(|other| other.name.as_str()).filter(|name| *name != host.name).collect();
    if others.len() > 8 { format!("all {} others", others.len()) } else { others.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_of_three_hosts_do_not_cross() {
        let lines = cables(3, 12, 10);
        assert_eq!(lines, ["   │  └────────┘  └────────┘  │", "   └──────────────────────────┘"]);
    }

    #[test]
    fn every_pair_has_a_line() {
        for count in 2..=BOXES {
            let ends: usize = cables(count, 24, 22).iter().map(|line| line.matches('└').count()).sum();
            assert_eq!(ends, count * (count - 1) / 2);
        }
    }
}
