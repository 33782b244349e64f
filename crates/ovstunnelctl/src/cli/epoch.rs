//! `epoch …`: which leader of a zone's manager may write to a host.
//!
//! What it must not do: record one; that is a manager's.

use ovstunnel_api::EpochState;

use super::args::EpochCommand;
use super::show::Page;
use super::{Failure, Removal, Report, confirm};
use crate::client::Client;

pub(super) async fn run(client: &Client, command: EpochCommand, json: bool) -> Result<Report, Failure> {
    match command {
        EpochCommand::Show => Report::new(json, &client.epoch().await?, epoch_page),
        EpochCommand::Clear { yes, dry_run, if_exists } => {
            let removal = Removal { what: "the recorded epoch".to_owned(), if_exists, json };
            if dry_run {
                return removal.planned_report(&client.dry_run().clear_epoch().await?);
            }
            confirm::end_of_epoch(client, yes).await?;
            removal.removed_report(&client.clear_epoch().await?)
        }
    }
}

fn epoch_page(state: &EpochState) -> Page {
    let mut page = Page::new();
    match (&state.zone, state.epoch) {
        (Some(zone), Some(epoch)) => page.pairs(&[("Zone", zone.clone()), ("Epoch", epoch.to_string())]),
        _ => page.line("no epoch is recorded: the manager of any zone may write here"),
    }
    page
}
