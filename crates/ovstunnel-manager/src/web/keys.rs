//! Keys: how full the ranges are, and which keys cannot be given. Must not list those that are free.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_manager_api::{Key, KeyState, PhysicalNetwork};
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::{Here, View, again, page, rich, sentence};
use super::marks::{Mark, bar};
use super::networks::address;
use super::pages::{Field, at, encoded, filter, link, query, rows_of, turn};
use super::who::Who;
use super::words::{ago, number, percent};
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
    let asked: KeyQuery = query(&[("state", of_state)])?;
    let mut list = all_keys(&state, &asked).await?;
    let at = at(&wanted.page)?;
    // Those with which something is wrong, then those that wait; each in order.
    list.keys.sort_by_key(|key| (key.troubles.is_empty(), key.state == KeyState::Allocated));
    let content = html! {
        (ranges(&list.physical_networks))
        section class="card" {
            h2 { "Keys that cannot be given" }
            (rows(rows_of(&list.keys, at, LIMIT)))
            (turn(at, LIMIT, list.keys.len(), |n| link("/keys", &[("state", of_state), ("page", &n.to_string())])))
        }
    };
    let view = View {
        here: Here::Keys,
        title: "Keys",
        json: Some(link("/v1/keys", &[("state", of_state)])),
        again: again(&uri),
        form: Some(filter("Keys", "/keys", &[Field("state", "State", of_state, &STATES)])),
        content,
    };
    Ok(page(&state, &who, view))
}

const STATES: [(&str, &str); 5] = [
    ("", "all"),
    ("quarantined,withdrawn", "neither free nor a network's"),
    ("quarantined", "quarantined"),
    ("withdrawn", "withdrawn"),
    ("allocated", "allocated"),
];

fn ranges(networks: &[PhysicalNetwork]) -> Markup {
    html! {
        @if networks.is_empty() {
            section class="card" { p { "There is no physical network, so no key can be given. " code { "ovstunnelctl zone physical-network set NAME --vnet 1001-65535" } " makes one." } }
        }
        section class="tiles" aria-label="Ranges" {
            @for network in networks {
                @let keys = &network.keys;
                div class="tile" {
                    span class="l" { (network.name) ", " (network.isolation.as_str()) " " (network.vnet) }
                    span class="n" { (number(keys.free)) " " small { "of " (number(keys.size)) " free" } }
                    (bar(&[(keys.free, Mark::Ok), (keys.in_use, Mark::Half), (keys.quarantined, Mark::Idle), (keys.withdrawn, Mark::Warn)]))
                    span class="s" { (number(keys.in_use)) " in use · " (number(keys.quarantined)) " quarantined · " (number(keys.withdrawn)) " withdrawn" }
                    @if keys.warned { span class="s" { (Mark::Warn.shape()) " " (percent(keys.size.saturating_sub(keys.free), keys.size)) " cannot be given: widen the range" } }
                }
            }
        }
    }
}

fn rows(keys: &[Key]) -> Markup {
    html! {
        @if keys.is_empty() { p class="mute" { "None." } } @else {
            div class="scroll" tabindex="0" role="region" aria-label="Keys" {
                table class="rows" {
                    thead { tr { th scope="col" class="r" { "Key" } th scope="col" { "State" } th scope="col" { "Network" } th scope="col" { "Since" } th scope="col" { "Hosts" } th scope="col" { "Why, and what is wrong" } } }
                    tbody { @for key in keys { tr {
                        th scope="row" class="r" { (key.key) }
                        td { (state(key)) }
                        td { @if let Some(network) = &key.network { a href=(address(network)) { (network) } } }
                        td { @if let Some(since) = &key.since { (ago(since)) } }
                        td { @for (n, host) in key.hosts.iter().take(5).enumerate() { @if n > 0 { ", " } a href={ "/hosts/" (encoded(host)) } { (host) } }
                            @if key.hosts.len() > 5 { " and " (number((key.hosts.len() - 5) as u64)) " more" } }
                        td class="wide" { (why(key)) @for trouble in &key.troubles { " " (sentence(&trouble.evidence)) " " (rich(&trouble.remedy)) } }
                    } } }
                }
            }
        }
    }
}

fn state(key: &Key) -> Markup {
    let mark = match (key.troubles.is_empty(), key.state) {
        (false, _) => Mark::Bad,
        (true, KeyState::Allocated) => Mark::Ok,
        (true, KeyState::Quarantined) => Mark::Idle,
        (true, KeyState::Withdrawn) => Mark::Warn,
    };
    super::marks::state(mark, key.state.as_str())
}

fn why(key: &Key) -> &'static str {
    match key.state {
        KeyState::Allocated => "",
        KeyState::Quarantined => "It was released, and these hosts were not yet seen without it.",
        KeyState::Withdrawn => "Hosts have it, and no network does.",
    }
}
