//! Faults: what is wrong, each cause once, the worst first, with what to do. Must not localise anything: the zone has.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_manager_api::{Fault, FaultList};
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::{Here, View, as_sentence, render_page, rich_text, same_view};
use super::marks::Mark;
use super::networks::network_path;
use super::pages::{api_query, filter_subject, link_to, percent_encoded};
use super::who::Who;
use super::words::{age_text, counted_noun, grouped_number, time_ago};
use crate::http::State;
use crate::http::faults::{FaultQuery, list_faults};

/// Faults of the view.
const SHOWN: &str = "50";

/// What a form leaves empty is not given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    host: String,
    network: String,
    kind: String,
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    who: Who,
    uri: Uri,
    ValidQuery(filter): ValidQuery<Filter>,
) -> Result<Response, ApiError> {
    let filters = [("host", filter.host.trim()), ("network", filter.network.trim()), ("kind", filter.kind.trim())];
    let is_filtered = filters.iter().any(|(_, value)| !value.is_empty());
    let asked: Vec<(&str, &str)> = filters.into_iter().chain([("limit", SHOWN)]).collect();
    let wanted: FaultQuery = api_query(&asked)?;
    let list = list_faults(Shared(state.clone()), ValidQuery(wanted)).await?.0;
    let content = html! {
        section class="card" {
            h2 { "What is wrong " small { "each cause once, worst first" } }
            @if list.faults.is_empty() {
                p { (Mark::Ok.shape()) @if is_filtered { " No fault is like that. " a href="/faults" { "Show all" } } @else { " Nothing is wrong." } }
            }
            (fault_items(&list))
            p class="mute" { @let shown = list.faults.len(); @if (list.total as usize) > shown { (grouped_number(shown as u64)) " of " (grouped_number(list.total)) ". " } "Looked for " (age_text(list.age)) "." }
        }
    };
    let view = View {
        here: Here::Faults,
        title: "Faults",
        json: Some(link_to("/v1/faults", &filters)),
        again: same_view(&uri),
        form: Some(filter_subject("Faults", "/faults", &filters)),
        content,
    };
    Ok(render_page(&state, &who, view))
}

/// The faults, one below the other.
pub(super) fn fault_items(list: &FaultList) -> Markup {
    html! {
        ol class="list" { @for fault in &list.faults { li { (Mark::Bad.shape()) div { (fault_item(fault)) } span class="mute" { (time_ago(&fault.since)) } } } }
    }
}

fn fault_item(fault: &Fault) -> Markup {
    html! {
        h3 { a href=(link_to("/faults", &[("kind", &fault.kind)])) { (as_sentence(&fault.kind.replace('_', " ")).trim_end_matches('.')) } ": " (place_links(fault)) }
        p { (rich_text(&fault.evidence)) @if fault.hides > 0 { " It explains " (counted_noun(fault.hides, "finding more", "findings more")) "." } }
        p { b { "Remedy: " } (rich_text(&fault.remedy)) }
        @if !fault.commands.is_empty() {
            details {
                summary { "Commands" }
                @for command in &fault.commands {
                    pre tabindex="0" { (command.run) @if let Some(host) = &command.host { "    # on " (host) } }
                }
            }
        }
    }
}

/// Where it is, with links.
fn place_links(fault: &Fault) -> Markup {
    let place = &fault.place;
    let host = |name: &str| html! { a href={ "/hosts/" (percent_encoded(name)) } { (name) } };
    let between = if ["pair", "tunnel"].contains(&fault.kind.as_str()) { " and " } else { " to " };
    html! {
        @if let Some(name) = &place.host { (host(name)) }
        @if let Some(peer) = &place.peer { (between) (host(peer)) }
        @if !place.racks.is_empty() { " racks " (place.racks.join(" and ")) }
        @match (&place.network, fault.networks) {
            (Some(network), _) => { " in " a href=(network_path(network)) { (network) } }
            (None, 0) => {}
            (None, n) => { " in " (counted_noun(n, "network", "networks")) }
        }
    }
}
