//! Networks, the worst first: a page of them, filtered and paged by the server. Must not ask for more than a page.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use ovstunnel_manager_api::{Network, NetworkList, NetworkState};
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::{Here, View, as_sentence, render_page, same_view, with_full_stop};
use super::marks::state_mark as mark;
use super::pages::{Field, api_query, filter_form, link_to, page_links, percent_encoded};
use super::who::Who;
use super::words::{grouped_number, time_ago};
use crate::http::State;
use crate::http::networks::{NetworkQuery, list_networks};

/// Networks of a page.
const LIMIT: usize = 50;

/// Where one network is.
pub(super) fn network_path(name: &str) -> String {
    format!("/networks/{}", percent_encoded(name))
}

/// Why a network is not whole, in a sentence; that it is, where it is.
pub(super) fn state_sentence(network: &Network) -> String {
    let Some(reason) = &network.reason else {
        return match network.state {
            NetworkState::Whole => String::new(),
            _ => {
                format!("{} of {} tunnels are proven.", grouped_number(network.proven), grouped_number(network.wanted))
            }
        };
    };
    let to = reason.to.as_ref().map(|to| format!(" to {to}")).unwrap_or_default();
    let what = reason.what.replace('_', " ");
    format!(
        "{}{to}: {}",
        as_sentence(&format!("{what} on {}", reason.host)).trim_end_matches('.'),
        with_full_stop(&reason.evidence)
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
    let query: NetworkQuery = api_query(&asked)?;
    let at = query.page.unwrap_or(1);
    let list = list_networks(Shared(state.clone()), ValidQuery(query)).await?.0;
    let content = html! {
        section class="card" {
            (network_rows(&list, filters.iter().any(|(_, value)| !value.is_empty())))
            (page_links(at, LIMIT, list.total as usize, |n| {
                let n = n.to_string();
                link_to("/networks", &filters.into_iter().chain([("page", n.as_str())]).collect::<Vec<_>>())
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
        json: Some(link_to("/v1/networks", &asked)),
        again: same_view(&uri),
        form: Some(filter_form("Networks", "/networks", &fields)),
        content,
    };
    Ok(render_page(&state, &who, view))
}

const STATES: [(&str, &str); 5] =
    [("", "all"), ("broken,settling", "not whole"), ("broken", "broken"), ("settling", "settling"), ("whole", "whole")];

fn network_rows(list: &NetworkList, is_filtered: bool) -> Markup {
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
                            th scope="row" { a href=(network_path(&network.name)) { (network.name) } }
                            td { (mark(network.state, network.state.as_str())) }
                            td class="r" { @match network.key { Some(key) => { (key) } None => { span class="mute" { "none" } } } }
                            td class="r" { (grouped_number(network.hosts)) }
                            td class="r" { @match &network.record { Some(record) => { (grouped_number(record.nics)) } None => { span class="mute" title="Not recorded: only seen on hosts" { "-" } } } }
                            td class="r" { (grouped_number(network.proven)) span class="mute" { " of " (grouped_number(network.wanted)) } }
                            td { (time_ago(&network.since)) }
                            td class="wide" { (state_sentence(network)) }
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
    let is_network = |name: &str| state.zone.keyless_network(name).is_some() || state.zone.network_key(name).is_some();
    let of_key = text.parse::<u32>().ok().map(|key| format!("key-{key}")).filter(|name| is_network(name));
    let to = match of_key {
        _ if state.zone.host(text).is_some() => format!("/hosts/{}", percent_encoded(text)),
        _ if is_network(text) => network_path(text),
        Some(name) => network_path(&name),
        None if hosts_have(&state, text) => link_to("/hosts", &[("search", text)]),
        None => link_to("/networks", &[("search", text)]),
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
