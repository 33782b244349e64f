//! What has happened, the newest first. Must not remember anything: each page is asked for.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_manager_api::Event;
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::{Here, View, as_sentence, render_page, same_view};
use super::networks::network_path;
use super::pages::{api_query, filter_subject, link_to, percent_encoded};
use super::who::Who;
use super::words::time_of_day;
use crate::http::State;
use crate::http::events::{EventQuery, list_events};

/// What a form leaves empty is not given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    host: String,
    network: String,
    kind: String,
    before: String,
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    who: Who,
    uri: Uri,
    ValidQuery(filter): ValidQuery<Filter>,
) -> Result<Response, ApiError> {
    let filters = [("host", filter.host.trim()), ("network", filter.network.trim()), ("kind", filter.kind.trim())];
    let content = events_like(&state, &filters, &filter.before, "/events", "").await?;
    let json = link_to("/v1/events", &filters);
    // An older page does not change.
    let again = filter.before.is_empty().then(|| same_view(&uri)).flatten();
    let form = Some(filter_subject("Events", "/events", &filters));
    Ok(render_page(&state, &who, View { here: Here::Events, title: "Events", json: Some(json), again, form, content }))
}

/// Events that are like this, for the view `view` at `path`.
pub(super) async fn events_like(
    state: &State,
    filters: &[(&str, &str)],
    before: &str,
    path: &str,
    view: &str,
) -> Result<Markup, ApiError> {
    let asked: Vec<(&str, &str)> = filters.iter().copied().chain([("before", before)]).collect();
    let wanted: EventQuery = api_query(&asked)?;
    let list = list_events(Shared(state.clone()), ValidQuery(wanted)).await?.0;
    let own = if view.is_empty() { filters } else { &[] };
    let to = |before: &str| {
        link_to(path, &own.iter().copied().chain([("view", view), ("before", before)]).collect::<Vec<_>>())
    };
    Ok(html! {
        section class="card" {
            @if list.events.is_empty() { p class="mute" { "Nothing of that kind is recorded. Events are kept for as long as " code { "[events] keep" } " says." } }
            @else { (event_table(&list.events)) }
            nav class="turn" aria-label="Pages" {
                @if !before.is_empty() { a class="btn" href=(to("")) { "Newest" } }
                @if let Some(next) = list.next { a class="btn" rel="next" href=(to(&next.to_string())) { "Older" } }
            }
        }
    })
}

fn event_table(events: &[Event]) -> Markup {
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Events" {
            table class="rows" {
                thead { tr { th scope="col" { "When" } th scope="col" { "What" } th scope="col" { "Network" } th scope="col" { "Host" } th scope="col" { "In words" } th scope="col" { "By" } } }
                tbody { @for event in events {
                    tr {
                        td class="when" { (time_of_day(&event.at)) }
                        td { a href=(link_to("/events", &[("kind", &event.kind)])) { (event.kind.replace('_', " ")) } }
                        td { @if let Some(network) = &event.network { a href=(network_path(network)) { (network) } } }
                        td { @if let Some(host) = &event.host { a href={ "/hosts/" (percent_encoded(host)) } { (host) } } }
                        td class="wide" { (as_sentence(&event.text)) }
                        td { @if let Some(actor) = &event.actor { (actor) } }
                    }
                } }
            }
        }
    }
}
