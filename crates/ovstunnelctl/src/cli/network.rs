//! `network …`: a network of xapi's, on XenServer and XCP-ng.
//!
//! What it must not do: set the bridge up; that is `bridge setup`.

use ovstunnel_api::{Outcome, PutXapiNetwork, XapiNetwork, XapiNetworkAnswer};

use super::args::NetworkCommand;
use super::show::{self, Page};
use super::{Failure, Report};
use crate::client::Client;

pub(super) async fn run(client: &Client, command: NetworkCommand, json: bool) -> Result<Report, Failure> {
    match command {
        NetworkCommand::Show { key } => Report::new(json, &client.network(key).await?, network_page),
        NetworkCommand::Setup { key, host_id, dry_run } => {
            let body = PutXapiNetwork { host_id };
            match dry_run {
                true => Report::new(json, &client.dry_run().put_network(key, &body).await?, show::plan_page),
                false => Report::new(json, &client.put_network(key, &body).await?, answer_page),
            }
        }
    }
}

fn network_page(network: &XapiNetwork) -> Page {
    let mut page = Page::new();
    let hosts = if network.hosts.is_empty() { "-".to_owned() } else { network.hosts.join(", ") };
    let ready = if network.ready { "yes" } else { "no: `network setup` completes it" };
    page.pairs(&[
        ("Network", format!("OVSTunnel{}", network.key)),
        ("UUID", network.network_uuid.clone()),
        ("Bridge", network.bridge.clone()),
        ("Set up on", hosts),
        ("Ready", ready.to_owned()),
    ]);
    page
}

fn answer_page(answer: &XapiNetworkAnswer) -> Page {
    let mut page = Page::new();
    let outcome = match answer.outcome {
        Outcome::Unchanged => "unchanged (it was like that already)",
        other => other.as_str(),
    };
    page.line(format!("network OVSTunnel{}: {outcome}", answer.key));
    answer.changes.iter().for_each(|change| page.line(format!("  {change}")));
    page.line("");
    page.pairs(&[("UUID", answer.network_uuid.clone()), ("Bridge", answer.bridge.clone())]);
    page
}
