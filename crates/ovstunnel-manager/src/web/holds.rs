//! Holds: removals that wait for somebody's word. Must not decide.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_manager_api::{Hold, HoldScope, HoldState};
use ovstunnel_server::config::Role;
use ovstunnel_server::extract::{NoQuery, ValidQuery};
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::forms;
use super::frame::{Here, View, render_page, same_view};
use super::marks::Mark;
use super::networks::network_path;
use super::who::Who;
use super::words::{counted_noun, grouped_number, time_ago};
use crate::http::State;
use crate::http::holds::list_holds;

/// Removals that are listed of a hold.
const SHOWN: usize = 20;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shown {
    said: String,
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    who: Who,
    uri: Uri,
    ValidQuery(shown): ValidQuery<Shown>,
) -> Result<Response, ApiError> {
    let holds = list_holds(Shared(state.clone()), NoQuery).await.0.holds;
    let content = html! {
        (forms::done_note(&state, &who, &shown.said))
        h1 { "Holds" }
        p class="mute" { "Removals that nobody asked for by name, and that are more than is ordinary, wait here until somebody decides. Nothing of them is sent before." }
        @if holds.is_empty() {
            section class="card" { p { (Mark::Ok.shape()) " Nothing waits." @if state.reconciler.is_none() { " While " code { "sdn.ovs.controller" } " is off, nothing is removed, and nothing can wait." } } }
        }
        @for hold in &holds { (hold_item(&state, &who, hold)) }
    };
    let view = View {
        here: Here::Holds,
        title: "Holds",
        json: Some("/v1/holds".into()),
        again: same_view(&uri),
        form: None,
        content,
    };
    Ok(render_page(&state, &who, view))
}

/// A hold in a sentence.
pub(super) fn hold_title(hold: &Hold) -> String {
    let what = format!("{} of {}", grouped_number(hold.tunnels), counted_noun(hold.of, "tunnel", "tunnels"));
    match (hold.scope, &hold.network) {
        (HoldScope::FirstPass, _) => {
            format!("Hold {}: {what} would go in the first pass after sdn.ovs.controller was switched on", hold.id)
        }
        (HoldScope::Network, Some(network)) => format!("Hold {}: {what} of {network} would go", hold.id),
        _ => format!("Hold {}: {what} of the zone would go", hold.id),
    }
}

fn hold_item(state: &State, who: &Who, hold: &Hold) -> Markup {
    let (mark, word) = match hold.state {
        HoldState::Waiting => (Mark::Warn, "waits"),
        HoldState::Approved => (Mark::Ok, "approved: it goes"),
        HoldState::Refused => (Mark::Idle, "refused: it stays"),
    };
    html! {
        section class="card hold" {
            h2 { (mark.shape()) " " (hold_title(hold)) }
            p { b { (word) } ", since " (time_ago(&hold.since)) "."
                @if !hold.hosts.is_empty() { " It follows from " (hold.hosts.iter().take(10).cloned().collect::<Vec<_>>().join(", ")) @if hold.hosts.len() > 10 { " and " (hold.hosts.len() - 10) " more" } " leaving." }
            }
            details open {
                summary { "What would go" }
                div class="scroll" tabindex="0" role="region" aria-label={ "What hold " (hold.id) " is about" } {
                    table class="rows" {
                        thead { tr { th scope="col" { "Network" } th scope="col" { "On host" } th scope="col" { "Port" } th scope="col" { "To host" } th scope="col" { "Because" } } }
                        tbody { @for removal in hold.removals.iter().take(SHOWN) { tr {
                            td { a href=(network_path(&removal.network)) { (removal.network) } }
                            td { (removal.from) }
                            td { code { (removal.port) } }
                            td { (removal.to) }
                            td { @match &removal.because { Some(host) => { (host) " leaves" } None => { "it is there twice, or leads to its own host" } } }
                        } } }
                    }
                }
                @if hold.tunnels as usize > SHOWN { p class="mute" { "The first " (SHOWN) " of " (grouped_number(hold.tunnels)) "." } }
            }
            @if hold.state == HoldState::Approved { } @else if who.may_act_as(Role::Admin) {
                p { "To approve removes the tunnels above from their hosts, at once. To refuse leaves them." }
                div class="acts" {
                    (forms::button_form(state, who, &format!("/holds/{}/approve", hold.id), "Approve: let them go", true))
                    @if hold.state == HoldState::Waiting { (forms::button_form(state, who, &format!("/holds/{}/refuse", hold.id), "Refuse: let them stay", false)) }
                }
            } @else { p class="mute" { "An admin decides about it; you are " (who.role.as_str()) "." } }
        }
    }
}
