//! Hosts, the worst first: a page of them. Must not ask a host anything.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_manager_api::{Host, Mode};
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::{Here, View, as_sentence, render_page, same_view};
use super::marks::state_mark as mark;
use super::pages::{Field, api_query, filter_form, link_to, page_links, page_number, percent_encoded, rows_of};
use super::who::Who;
use super::words::{age_text, grouped_number};
use crate::http::State;
use crate::http::hosts::{HostQuery, list_hosts};

/// Hosts of a page.
const LIMIT: usize = 50;

/// What a form leaves empty is not given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    state: String,
    rack: String,
    search: String,
    page: String,
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    who: Who,
    uri: Uri,
    ValidQuery(wanted): ValidQuery<Filter>,
) -> Result<Response, ApiError> {
    let (of_state, rack, search) = (wanted.state.trim(), wanted.rack.trim(), wanted.search.trim());
    let asked: HostQuery = api_query(&[("state", of_state)])?;
    let mut hosts = list_hosts(Shared(state.clone()), ValidQuery(asked)).await.0.hosts;
    hosts.retain(|host| host.name.contains(search) && (rack.is_empty() || host.rack.as_deref() == Some(rack)));
    // Those of a state stay in the order of their names.
    hosts.sort_by_key(|host| std::cmp::Reverse(host.state));
    let page_number = page_number(&wanted.page)?;
    let filters = [("state", of_state), ("rack", rack), ("search", search)];
    let is_filtered = filters.iter().any(|(_, value)| !value.is_empty());
    let content = html! {
        section class="card" {
            (host_rows(rows_of(&hosts, page_number, LIMIT), is_filtered))
            (page_links(page_number, LIMIT, hosts.len(), |n| {
                let n = n.to_string();
                link_to("/hosts", &filters.into_iter().chain([("page", n.as_str())]).collect::<Vec<_>>())
            }))
        }
    };
    let fields = [
        Field("state", "State", of_state, &STATES),
        Field("rack", "Rack", rack, &[]),
        Field("search", "Name", search, &[]),
    ];
    let view = View {
        here: Here::Hosts,
        title: "Hosts",
        json: Some(link_to("/v1/hosts", &[("state", of_state)])),
        again: same_view(&uri),
        form: Some(filter_form("Hosts", "/hosts", &fields)),
        content,
    };
    Ok(render_page(&state, &who, view))
}

const STATES: [(&str, &str); 6] = [
    ("", "all"),
    ("silent,degraded,connecting", "not in order"),
    ("silent", "silent"),
    ("degraded", "degraded"),
    ("connecting", "connecting"),
    ("ok", "ok"),
];

fn host_rows(hosts: &[Host], is_filtered: bool) -> Markup {
    if hosts.is_empty() {
        return html! {
            @if is_filtered { p { "No host is like that. " a href="/hosts" { "Show all" } } }
            @else { p { "No host is registered yet: " code { "ovstunnelctl zone host add HOST --api https://ADDRESS:8443" } } }
        };
    }
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Hosts" {
            table class="rows" {
                thead { tr {
                    th scope="col" { "Host" } th scope="col" { "State" } th scope="col" class="r" { "Heard" } th scope="col" { "Rack" } th scope="col" { "Tunnels end at" } th scope="col" { "Daemon" }
                    th scope="col" class="r" { "Bridges" } th scope="col" class="r" { "Tunnels" } th scope="col" class="r" { "VIFs" } th scope="col" { "What is wrong" }
                } }
                tbody { @for host in hosts {
                    tr {
                        th scope="row" { a href={ "/hosts/" (percent_encoded(&host.name)) } { (host.name) } }
                        td { (mark(host.state, host.state.as_str())) @if host.mode != Mode::Manage { " " span class="chip" { (host.mode.as_str()) } } }
                        td class="r" { (age_text(host.age)) }
                        td { @if let Some(rack) = &host.rack { a href=(link_to("/hosts", &[("rack", rack)])) { (rack) } } }
                        td { @if let Some(ip) = &host.ip { code { (ip) } } @else { span class="mute" { "not known" } } }
                        td { @if let Some(daemon) = &host.daemon { (daemon) @if !host.cannot.is_empty() { " " span class="chip" { "cannot " (host.cannot.len()) } } } }
                        td class="r" { (grouped_number(host.bridges)) }
                        td class="r" { (grouped_number(host.tunnels)) }
                        td class="r" { (grouped_number(host.vifs)) }
                        td class="wide" { @if let Some(trouble) = host.troubles.first() { (as_sentence(&trouble.evidence)) } }
                    }
                } }
            }
        }
    }
}
