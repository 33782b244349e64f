//! Networks, the worst first: a page of them, filtered and paged by the server. Must not ask for more than a page.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use ovstunnel_manager_api::{Network, NetworkList, NetworkState};
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::{Here, View, again, ended, page, sentence};
use super::marks::state as mark;
use super::pages::{Field, encoded, filter, link, query, turn};
use super::who::Who;
use super::words::{ago, number};
use crate::http::State;
use crate::http::networks::{NetworkQuery, list_networks};

/// Networks of a page.
const LIMIT: usize = 50;

/// Where one network is.
pub(super) fn address(name: &str) -> String {
    format!("/networks/{}", encoded(name))
}

/// Why a network is not whole, in a sentence; that it is, where it is.
pub(super) fn why(network: &Network) -> String {
    let Some(reason) = &network.reason else {
        return match network.state {
            NetworkState::Whole => String::new(),
            _ => format!("{} of {} tunnels are proven.", number(network.proven), number(network.wanted)),
        };
    };
    let to = reason.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    let what = reason.what.replace('_', " ");
    format!(
        "{}{to}: {}",
        sentence(&format!("{what} on {}", reason.host)).trim_end_matches('.'),
        ended(&reason.evidence)
    )
}

/// What a form leaves empty is not given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    state: String,
    host: String,
    search: String,
    page: String,
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    who: Who,
    uri: Uri,
    ValidQuery(wanted): ValidQuery<Filter>,
) -> Result<Response, ApiError> {
    let (of_state, host, search) = (wanted.state.trim(), wanted.host.trim(), wanted.search.trim());
    let filters = [("state", of_state), ("host", host), ("search", search)];
    let limit = LIMIT.to_string();
    let asked: Vec<_> = filters.into_iter().chain([("page", wanted.page.as_str()), ("limit", &limit)]).collect();
    let query: NetworkQuery = query(&asked)?;
    let at = query.page.unwrap_or(1);
    let list = list_networks(Shared(state.clone()), ValidQuery(query)).await?.0;
    let content = html! {
        section class="card" {
            (rows(&list, filters.iter().any(|(_, value)| !value.is_empty())))
            (turn(at, LIMIT, list.total as usize, |n| {
                let n = n.to_string();
                link("/networks", &filters.into_iter().chain([("page", n.as_str())]).collect::<Vec<_>>())
            }))
        }
    };
    let fields = [
        Field("state", "State", of_state, &STATES),
        Field("host", "On host", host, &[]),
        Field("search", "Name or key", search, &[]),
    ];
    let view = View {
        here: Here::Networks,
        title: "Networks",
        json: Some(link("/v1/networks", &asked)),
        again: again(&uri),
        form: Some(filter("Networks", "/networks", &fields)),
        content,
    };
    Ok(page(&state, &who, view))
}

const STATES: [(&str, &str); 5] =
    [("", "all"), ("broken,settling", "not whole"), ("broken", "broken"), ("settling", "settling"), ("whole", "whole")];

fn rows(list: &NetworkList, is_filtered: bool) -> Markup {
    if list.networks.is_empty() {
        return html! {
            @if is_filtered { p { "No network is like that. " a href="/networks" { "Show all" } } }
            @else {
                p { "There is no network yet. One comes by itself as soon as a host has a bridge of it, or by " code { "ovstunnelctl zone network add" } "." }
            }
        };
    }
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Networks" {
            table class="rows" {
                thead { tr {
                    th scope="col" { "Network" } th scope="col" { "State" } th scope="col" class="r" { "Key" } th scope="col" class="r" { "Hosts" }
                    th scope="col" class="r" { "NICs" } th scope="col" class="r" { "Proven" } th scope="col" { "Since" } th scope="col" { "What is wrong" }
                } }
                tbody {
                    @for network in &list.networks {
                        tr {
                            th scope="row" { a href=(address(&network.name)) { (network.name) } }
                            td { (mark(network.state, network.state.as_str())) }
                            td class="r" { @match network.key { Some(key) => { (key) } None => { span class="mute" { "none" } } } }
                            td class="r" { (number(network.hosts)) }
                            td class="r" { @match &network.record { Some(record) => { (number(record.nics)) } None => { span class="mute" title="Not recorded: only seen on hosts" { "-" } } } }
                            td class="r" { (number(network.proven)) span class="mute" { " of " (number(network.wanted)) } }
                            td { (ago(&network.since)) }
                            td class="wide" { (why(network)) }
                        }
                    }
                }
            }
        }
    }
}

/// What was looked for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Find {
    search: String,
}

/// The network, host or key of this name; else the networks that have it in theirs.
pub(super) async fn find(Shared(state): Shared<State>, ValidQuery(find): ValidQuery<Find>) -> Response {
    let text = find.search.trim();
    let is_network = |name: &str| state.zone.keyless(name).is_some() || state.zone.key(name).is_some();
    let of_key = text.parse::<u32>().ok().map(|key| format!("key-{key}")).filter(|name| is_network(name));
    let to = match of_key {
        _ if state.zone.host(text).is_some() => format!("/hosts/{}", encoded(text)),
        _ if is_network(text) => address(text),
        Some(name) => address(&name),
        None if hosts_have(&state, text) => link("/hosts", &[("search", text)]),
        None => link("/networks", &[("search", text)]),
    };
    Redirect::to(&to).into_response()
}

/// Whether hosts have a text in their names while no network has.
fn hosts_have(state: &State, text: &str) -> bool {
    let page = crate::zone::Page { states: None, host: None, search: Some(text.to_owned()), page: 1, limit: 1 };
    !text.is_empty()
        && state.zone.networks(&page).1 == 0
        && state.zone.host_names().values().any(|name| name.contains(text))
}
