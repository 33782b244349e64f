//! Keys: how full the ranges are, and which keys cannot be given. Must not list those that are free.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_manager_api::{Key, KeyState, PhysicalNetwork};
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::{Here, View, as_sentence, render_page, rich_text, same_view};
use super::marks::{Mark, share_bar};
use super::networks::network_path;
use super::pages::{Field, api_query, filter_form, link_to, page_links, page_number, percent_encoded, rows_of};
use super::who::Who;
use super::words::{grouped_number, percent_text, time_ago};
use crate::http::State;
use crate::http::physical::{KeyQuery, all_keys};

/// Keys of a page.
const LIMIT: usize = 50;

/// What a form leaves empty is not given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Filter {
    state: String,
    page: String,
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    who: Who,
    uri: Uri,
    ValidQuery(wanted): ValidQuery<Filter>,
) -> Result<Response, ApiError> {
    let of_state = wanted.state.as_str();
    let asked: KeyQuery = api_query(&[("state", of_state)])?;
    let mut list = all_keys(&state, &asked).await?;
    let at = page_number(&wanted.page)?;
    // Those with which something is wrong, then those that wait; each in order.
    list.keys.sort_by_key(|key| (key.troubles.is_empty(), key.state == KeyState::Allocated));
    let content = html! {
        (range_table(&list.physical_networks))
        section class="card" {
            h2 { "Keys that cannot be given" }
            (key_rows(rows_of(&list.keys, at, LIMIT)))
            (page_links(at, LIMIT, list.keys.len(), |n| link_to("/keys", &[("state", of_state), ("page", &n.to_string())])))
        }
    };
    let view = View {
        here: Here::Keys,
        title: "Keys",
        json: Some(link_to("/v1/keys", &[("state", of_state)])),
        again: same_view(&uri),
        form: Some(filter_form("Keys", "/keys", &[Field("state", "State", of_state, &STATES)])),
        content,
    };
    Ok(render_page(&state, &who, view))
}

const STATES: [(&str, &str); 5] = [
    ("", "all"),
    ("quarantined,withdrawn", "neither free nor a network's"),
    ("quarantined", "quarantined"),
    ("withdrawn", "withdrawn"),
    ("allocated", "allocated"),
];

fn range_table(networks: &[PhysicalNetwork]) -> Markup {
    html! {
        @if networks.is_empty() {
            section class="card" { p { "There is no physical network, so no key can be given. " code { "ovstunnelctl zone physical-network set NAME --vnet 1001-65535" } " makes one." } }
        }
        section class="tiles" aria-label="Ranges" {
            @for network in networks {
                @let keys = &network.keys;
                div class="tile" {
                    span class="l" { (network.name) ", " (network.isolation.as_str()) " " (network.vnet) }
                    span class="n" { (grouped_number(keys.free)) " " small { "of " (grouped_number(keys.size)) " free" } }
                    (share_bar(&[(keys.free, Mark::Ok), (keys.in_use, Mark::Half), (keys.quarantined, Mark::Idle), (keys.withdrawn, Mark::Warn)]))
                    span class="s" { (grouped_number(keys.in_use)) " in use · " (grouped_number(keys.quarantined)) " quarantined · " (grouped_number(keys.withdrawn)) " withdrawn" }
                    @if keys.warned { span class="s" { (Mark::Warn.shape()) " " (percent_text(keys.size.saturating_sub(keys.free), keys.size)) " cannot be given: widen the range" } }
                }
            }
        }
    }
}

fn key_rows(keys: &[Key]) -> Markup {
    html! {
        @if keys.is_empty() { p class="mute" { "None." } } @else {
            div class="scroll" tabindex="0" role="region" aria-label="Keys" {
                table class="rows" {
                    thead { tr { th scope="col" class="r" { "Key" } th scope="col" { "State" } th scope="col" { "Network" } th scope="col" { "Since" } th scope="col" { "Hosts" } th scope="col" { "Why, and what is wrong" } } }
                    tbody { @for key in keys { tr {
                        th scope="row" class="r" { (key.key) }
                        td { (key_state(key)) }
                        td { @if let Some(network) = &key.network { a href=(network_path(network)) { (network) } } }
                        td { @if let Some(since) = &key.since { (time_ago(since)) } }
                        td { @for (n, host) in key.hosts.iter().take(5).enumerate() { @if n > 0 { ", " } a href={ "/hosts/" (percent_encoded(host)) } { (host) } }
                            @if key.hosts.len() > 5 { " and " (grouped_number((key.hosts.len() - 5) as u64)) " more" } }
                        td class="wide" { (key_reason(key)) @for trouble in &key.troubles { " " (as_sentence(&trouble.evidence)) " " (rich_text(&trouble.remedy)) } }
                    } } }
                }
            }
        }
    }
}

fn key_state(key: &Key) -> Markup {
    let mark = match (key.troubles.is_empty(), key.state) {
        (false, _) => Mark::Bad,
        (true, KeyState::Allocated) => Mark::Ok,
        (true, KeyState::Quarantined) => Mark::Idle,
        (true, KeyState::Withdrawn) => Mark::Warn,
    };
    super::marks::state_mark(mark, key.state.as_str())
}

fn key_reason(key: &Key) -> &'static str {
    match key.state {
        KeyState::Allocated => "",
        KeyState::Quarantined => "It was released, and these hosts were not yet seen without it.",
        KeyState::Withdrawn => "Hosts have it, and no network does.",
    }
}
