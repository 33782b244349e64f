//! The table of counts: a row for each kind of frame, a column for each VM, or for each host where VMs are many.

use ovstunnel_api::Ipv6Policy;

use super::page::{Page, plural};
use crate::report::{FrameCount, NetworkReport, Report, Round};
use crate::verdict;

/// Columns that fit a line of 80 characters.
const COLUMNS: usize = 12;

/// What a column stands for.
struct Column {
    header: String,
    vms: Vec<String>,
}

/// One frame of each kind from the first VM of each network; what the others sent is summed up below.
pub fn table(page: &mut Page, report: &Report, round: &Round) {
    let columns = columns(&report.networks);
    let mut header = vec!["sent by".to_owned()];
    header.extend(columns.iter().map(|column| column.header.clone()));
    let mut rows = Vec::new();
    for network in &report.networks {
        let Some(sender) = network.vms.first() else { continue };
        let mut frames: Vec<_> = round.frames.iter().filter(|frame| frame.from == sender.name).collect();
        frames.sort_by_key(|frame| frame.kind);
        if frames.is_empty() {
            continue;
        }
        let dropped = if network.ipv6 == Ipv6Policy::Drop { " (no IPv6)" } else { "" };
        rows.push(vec![format!("{} of {}{dropped}", sender.name, network.name)]);
        rows.extend(frames.into_iter().map(|frame| row(frame, &columns)));
    }
    page.table(header, 1, rows);
    page.blank();
    summary(page, round);
}

fn summary(page: &mut Page, round: &Round) {
    let totals = verdict::totals(round.frames.iter(), std::iter::empty());
    let senders: std::collections::BTreeSet<_> = round.frames.iter().map(|frame| &frame.from).collect();
    page.line(format!(
        "  From {}: {}, {} expected, {} counted, {} too many, {} missing.",
        if senders.len() == 1 { "one VM".to_owned() } else { format!("each of the {} VMs", senders.len()) },
        plural(totals.frames, "frame"),
        plural(totals.copies_expected, "copy"),
        totals.copies,
        totals.copies_too_many,
        totals.copies_missing
    ));
    if round.frames.iter().any(|frame| frame.lost_by_sniffers > 0) {
        page.line("  Some came too fast to be counted: the counts are lower bounds.");
    }
}

fn row(frame: &FrameCount, columns: &[Column]) -> Vec<String> {
    let mut label = format!("  {}", frame.kind.label());
    if let Some(to) = &frame.to {
        label = format!("{label} to {to}");
    }
    let mut row = vec![label];
    row.extend(columns.iter().map(|column| cell(frame, column)));
    row
}

/// The count, or the least and the most; `!` at one that is wrong, `-` at the sender.
fn cell(frame: &FrameCount, column: &Column) -> String {
    let copies = || column.vms.iter().filter_map(|vm| Some((vm, *frame.copies.get(vm)?)));
    let wrong = if copies().any(|(vm, copies)| copies != frame.expected_at(vm)) { "!" } else { "" };
    match (copies().map(|(_, n)| n).min(), copies().map(|(_, n)| n).max()) {
        (Some(min), Some(max)) if min == max => format!("{min}{wrong}"),
        (Some(min), Some(max)) => format!("{min}..{max}{wrong}"),
        _ => "-".to_owned(),
    }
}

fn columns(networks: &[NetworkReport]) -> Vec<Column> {
    let vms = networks.iter().flat_map(|network| &network.vms);
    if vms.clone().count() <= COLUMNS {
        let column = |vm: &crate::report::VmReport| Column {
            header: format!("{}\n{}", vm.name, vm.host),
            vms: vec![vm.name.clone()],
        };
        return vms.map(column).collect();
    }
    let by_host: Vec<Column> = networks.iter().flat_map(hosts_of).collect();
    if by_host.len() <= COLUMNS {
        return by_host;
    }
    let all = |network: &NetworkReport| Column {
        header: format!("all of\n{}", network.name),
        vms: network.vms.iter().map(|vm| vm.name.clone()).collect(),
    };
    networks.iter().map(all).collect()
}

/// A column for each host, with all its VMs of one network.
fn hosts_of(network: &NetworkReport) -> Vec<Column> {
    let mut columns: Vec<(&str, Column)> = Vec::new();
    for vm in &network.vms {
        match columns.last_mut().filter(|(host, _)| *host == vm.host) {
            Some((_, column)) => column.vms.push(vm.name.clone()),
            None => {
                let header = format!("{}\n{}", network.name, vm.host);
                columns.push((&vm.host, Column { header, vms: vec![vm.name.clone()] }));
            }
        }
    }
    columns.into_iter().map(|(_, column)| column).collect()
}
