//! `zone faults`: what is wrong, each cause once. Must not judge: the manager does.

use clap::Args;
use ovstunnel_manager_api::{Fault, FaultCommand, FaultList};

use crate::cli::bridge_args::Listing;
use crate::cli::show::Page;
use crate::cli::{Failure, Report, values, watch};
use crate::client::{FaultsWanted, Manager};

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct FaultsArgs {
    /// Only those at this host, or at its tunnels.
    #[arg(long, value_name = "HOST", value_parser = values::zone_name)]
    on: Option<String>,
    /// Only those that concern this network.
    #[arg(long, value_parser = values::zone_name)]
    network: Option<String>,
    /// Only those of this kind, such as `host_silent`.
    #[arg(long, value_parser = values::zone_name)]
    kind: Option<String>,
    /// So many at most.
    #[arg(short = 'n', long, value_name = "COUNT", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    limit: u32,
    #[command(flatten)]
    listing: Listing,
}

pub(super) async fn list_faults(manager: &Manager, args: FaultsArgs, json: bool) -> Result<Report, Failure> {
    let view = args.listing.resolve_view(json)?;
    let FaultsArgs { on: host, network, kind, limit, .. } = args;
    let wanted = FaultsWanted { host, network, kind, limit: Some(limit) };
    watch::repeat_report(watch::Source::Manager(manager), view.watch, async || {
        let list = manager.faults(&wanted).await?;
        let page = |list: &FaultList, wide| fault_page(list, wide, view.headers);
        let ids = |list: &FaultList| list.faults.iter().map(|fault| fault.id.clone()).collect();
        Ok(Report::for_list(view.format, &list, page, ids)?.wrong_if(list.total > 0))
    })
    .await
}

/// `h1 -> h2, network acme`
fn fault_place(fault: &Fault) -> String {
    let place = &fault.place;
    let hosts = match (&place.host, &place.peer, fault.kind.as_str()) {
        (Some(one), Some(other), "pair" | "tunnel") => Some(format!("{one} and {other}")),
        (Some(from), Some(to), _) => Some(format!("{from} to {to}")),
        (Some(host), None, _) => Some(host.clone()),
        _ => None,
    };
    let racks = (!place.racks.is_empty()).then(|| format!("racks {}", place.racks.join(" and ")));
    let networks = match (&place.network, fault.networks) {
        (Some(network), _) => Some(format!("network {network}")),
        (None, 0) => None,
        (None, n) => Some(format!("{n} networks")),
    };
    hosts.into_iter().chain(racks).chain(networks).collect::<Vec<_>>().join(", ")
}

fn command_line(command: &FaultCommand) -> String {
    let FaultCommand { host, run } = command;
    host.as_ref().map_or_else(|| format!("    {run}"), |host| format!("    {run}    (on {host})"))
}

fn fault_page(list: &FaultList, wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    for fault in &list.faults {
        let since = page.time(&fault.since);
        let hides = if fault.hides == 0 { String::new() } else { format!(" (and {} findings more)", fault.hides) };
        page.line(format!("{}: {}, since {since}", fault.kind, fault_place(fault)));
        page.line(format!("  seen: {}{hides}", fault.evidence));
        page.line(format!("  do:   {}", fault.remedy));
        fault.commands.iter().for_each(|line| page.line(command_line(line)));
        if wide {
            page.line(format!("  id:   {}", fault.id));
        }
    }
    let more = (list.total as usize).saturating_sub(list.faults.len());
    if more > 0 {
        page.line(format!("and {more} more: --limit"));
    }
    if list.total == 0 {
        page.line("no faults");
    }
    page
}
