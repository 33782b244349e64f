//! `zone holds` and `zone hold …`: removals that wait for somebody's word.
//!
//! What it must not do: decide.

use clap::{Args, Subcommand};
use ovstunnel_manager_api::{Hold, HoldList, HoldScope, HoldState};

use super::examples;
use crate::cli::bridge_args::Listing;
use crate::cli::show::{Page, Row, Tone};
use crate::cli::{Failure, Report, watch};
use crate::client::Manager;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct HoldsArgs {
    #[command(flatten)]
    listing: Listing,
}

#[derive(Clone, Debug, Subcommand)]
pub(in crate::cli) enum HoldCommand {
    /// Let what a hold is about go, and nothing else.
    #[command(after_help = examples::HOLD_APPROVE)]
    Approve {
        /// Its number.
        id: u64,
    },
    /// Let what a hold is about stay.
    #[command(after_help = examples::HOLD_REFUSE)]
    Refuse {
        /// Its number.
        id: u64,
    },
}

pub(super) async fn list_holds(manager: &Manager, args: HoldsArgs, json: bool) -> Result<Report, Failure> {
    let view = args.listing.resolve_view(json)?;
    watch::repeat_report(watch::Source::Nobody, view.watch, async || {
        let list = manager.holds().await?;
        let page = |list: &HoldList, wide| hold_table(list, wide, view.headers);
        Report::for_list(view.format, &list, page, |list| list.holds.iter().map(|hold| hold.id.to_string()).collect())
    })
    .await
}

pub(super) async fn decide_hold(manager: &Manager, command: HoldCommand, json: bool) -> Result<Report, Failure> {
    let (id, approve) = match command {
        HoldCommand::Approve { id } => (id, true),
        HoldCommand::Refuse { id } => (id, false),
    };
    Report::new(json, &manager.decide_hold(id, approve).await?, |hold| {
        let mut page = Page::new();
        let word = if approve { "approved: it goes" } else { "refused: it stays" };
        page.line(format!("hold {} is {word}; {}", hold.id, hold_subject(hold)));
        page
    })
}

fn hold_subject(hold: &Hold) -> String {
    let of = match (hold.scope, &hold.network) {
        (HoldScope::FirstPass, _) => "of the first pass after the controller was switched on".to_owned(),
        (HoldScope::Network, Some(network)) => format!("of network {network} that nobody asked for by name"),
        _ => "of all networks that nobody asked for by name".to_owned(),
    };
    let gone = match hold.gone {
        0 => String::new(),
        gone => format!(" after {gone} in the ten minutes before"),
    };
    format!("{} of {} tunnels{gone}, {of}, because of {}", hold.tunnels, hold.of, hold.hosts.join(", "))
}

fn hold_table(list: &HoldList, wide: bool, headers: bool) -> Page {
    let mut page = Page::with_headers(headers);
    let row = |hold: &Hold| {
        let said = match hold.state {
            HoldState::Waiting => "waiting",
            HoldState::Approved => "approved",
            HoldState::Refused => "refused",
        };
        Row {
            cells: vec![hold.id.to_string(), said.to_owned(), hold.since.clone(), hold_subject(hold)],
            tone: Tone::Warn,
        }
    };
    page.table(&["ID", "STATE", "SINCE", "WHAT WOULD GO"], &[0], list.holds.iter().map(row).collect());
    if wide {
        for removal in list.holds.iter().flat_map(|hold| &hold.removals) {
            let moves = removal.moves_to.as_ref().map(|ip| format!(", which would lead to {ip}")).unwrap_or_default();
            let port = &removal.port;
            page.line(format!("{}: {} to host {} ({port}){moves}", removal.network, removal.from, removal.to));
        }
    }
    page
}
