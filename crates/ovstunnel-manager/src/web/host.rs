//! One host: what is wrong with it, its networks with its peers in and out, the work that waits for it, its tunnels, its events.
//! Must not ask the host: all is what it told last, with the age of that.

use std::collections::BTreeSet;

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_api::TunnelState;
use ovstunnel_manager_api::{Host, HostState, HostTunnel, Network, NetworkState};
use ovstunnel_server::config::Role;
use ovstunnel_server::extract::{NoQuery, ValidPath, ValidQuery};
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;
use tokio::time::Instant;

use super::frame::{Here, View, as_sentence, render_page, rich_text, same_view};
use super::marks::{Mark, state_mark as mark};
use super::networks::{network_path, state_sentence};
use super::pages::{api_query, link_to, page_links, page_number, percent_encoded};
use super::who::Who;
use super::words::{age_text, counted_noun, duration_text, grouped_number};
use super::{cloudstack, events, forms};
use crate::http::State;
use crate::http::hosts::{find_host, list_host_tunnels};
use crate::http::networks::{NetworkQuery, list_networks};
use crate::zone::Cell;

/// Networks and tunnels of a page.
const LIMIT: usize = 50;
/// Hosts of a network up to which it is looked which of its directions are not proven.
const LOOKED: u32 = 300;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shown {
    view: String,
    page: String,
    before: String,
    said: String,
}

/// What of the host is shown.
const VIEWS: [(&str, &str); 3] = [("networks", "Networks"), ("tunnels", "Tunnels"), ("events", "Events")];

pub(super) async fn show(
    Shared(state): Shared<State>,
    who: Who,
    uri: Uri,
    ValidPath(name): ValidPath<String>,
    ValidQuery(shown): ValidQuery<Shown>,
) -> Result<Response, ApiError> {
    let host = find_host(&state, &name)?;
    let view = if shown.view.is_empty() { "networks" } else { shown.view.as_str() };
    let path = format!("/hosts/{}", percent_encoded(&name));
    let body = match view {
        "networks" => network_table(&state, &host, &path, &shown.page).await?,
        "tunnels" => tunnel_table(&state, &name, &path, &shown.page).await?,
        "events" => events::events_like(&state, &[("host", &name)], &shown.before, &path, "events").await?,
        _ => return Err(ApiError::invalid("view", "must be networks, tunnels or events", Some(view))),
    };
    let content = html! {
        (forms::done_note(&state, &who, &shown.said))
        (host_summary(&host, &who, &path))
        (trouble_list(&host))
        (inability_list(&host))
        nav class="sub" aria-label="Of this host" {
            @for (word, title) in VIEWS {
                a href=(link_to(&path, &[("view", if word == "networks" { "" } else { word })])) aria-current=[(word == view).then_some("page")] { (title) }
            }
        }
        (body)
    };
    let json = format!("/v1/hosts/{}{}", percent_encoded(&name), if view == "tunnels" { "/tunnels" } else { "" });
    let view = View { here: Here::Hosts, title: &name, json: Some(json), again: same_view(&uri), form: None, content };
    Ok(render_page(&state, &who, view))
}

fn host_summary(host: &Host, who: &Who, path: &str) -> Markup {
    let name = &host.name;
    let title = match host.state {
        HostState::Ok => format!("{name} is in order."),
        HostState::Degraded => format!("{name} answers, and something is wrong with it."),
        HostState::Connecting => format!("{name} has not been heard of yet."),
        HostState::Silent => format!("{name} does not answer."),
    };
    html! {
        section class={ "say " (Mark::from(host.state).class()) } {
            p class="crumb" { a href="/hosts" { "Hosts" } " / " (name) }
            h1 { (title) }
            @if host.state == HostState::Silent { p { "What it said last is shown; it may have changed since. Its VMs and tunnels do not need its daemon." } }
            p class="facts" {
                span class="chip" { "number " (host.number) }
                span class="chip" { (host.mode.as_str()) }
                @if let Some(rack) = &host.rack { a class="chip" href=(link_to("/hosts", &[("rack", rack)])) { "rack " (rack) } }
                @if let Some(ip) = &host.ip { span class="chip" { "tunnels end at " (ip) } }
                @if let Some(mtu) = host.max_guest_mtu { span class="chip" { "guests up to " (mtu) " bytes" } }
                @if let Some(daemon) = &host.daemon { span class="chip" { "ovstunneld " (daemon) } }
                span class="chip" { (host.api) }
                span class="chip" { (counted_noun(host.bridges, "bridge", "bridges")) ", " (counted_noun(host.tunnels, "tunnel", "tunnels")) ", " (counted_noun(host.vifs, "VIF", "VIFs")) }
                span { "heard " (age_text(host.age)) }
                @if !host.cannot.is_empty() { span { "; its daemon cannot all that this manager asks of one" } }
            }
            @if let Some(known) = &host.cloudstack { (cloudstack::host_facts(known)) }
            p class="acts" { (forms::plan_link(who, Role::Operator, &format!("{path}/resync"), "Connect anew")) }
        }
    }
}

/// Words that its daemon does not say, with what that means.
fn inability_list(host: &Host) -> Markup {
    html! {
        @if !host.cannot.is_empty() {
            section class="card" {
                h2 { "What its daemon cannot do " small { "of what this manager asks of daemons" } }
                ul class="list" { @for lacks in &host.cannot { li { div { h3 { (lacks.capability) } p { (as_sentence(&lacks.means)) } } } } }
            }
        }
    }
}

fn trouble_list(host: &Host) -> Markup {
    html! {
        @if !host.troubles.is_empty() {
            section class="card" {
                h2 { "What is wrong " small { "as the host and its manager see it" } }
                ol class="list" { @for trouble in &host.troubles {
                    li { (Mark::from(host.state).shape()) div {
                        h3 { (as_sentence(&trouble.kind.replace('_', " ")).trim_end_matches('.')) }
                        p { (as_sentence(&trouble.evidence)) } p { "Remedy: " (rich_text(&trouble.remedy)) }
                    } }
                } }
            }
        }
    }
}

async fn network_table(state: &State, host: &Host, path: &str, page: &str) -> Result<Markup, ApiError> {
    let limit = LIMIT.to_string();
    let wanted: NetworkQuery = api_query(&[("host", &host.name), ("page", page), ("limit", &limit)])?;
    let list = list_networks(Shared(state.clone()), ValidQuery(wanted)).await?.0;
    Ok(html! {
        (pending_work(state, host, &list.networks))
        section class="card" {
            h2 { "Networks on it " small { "out: proven from it to others; in: from others to it" } }
            @if list.networks.is_empty() { p class="mute" { "It has nothing of any network." } } @else {
                div class="scroll" tabindex="0" role="region" aria-label="Networks on this host" {
                    table class="rows" {
                        thead { tr { th scope="col" { "Network" } th scope="col" { "State" } th scope="col" class="r" { "Peers" } th scope="col" class="r" { "Out" } th scope="col" class="r" { "In" } th scope="col" { "What is wrong" } } }
                        tbody { @for network in &list.networks {
                            @let (out, into) = peer_counts(state, host, network);
                            tr {
                                th scope="row" { a href=(network_path(&network.name)) { (network.name) } }
                                td { (mark(network.state, network.state.as_str())) }
                                td class="r" { (grouped_number(network.hosts.saturating_sub(1))) }
                                td class="r" { (out) }
                                td class="r" { (into) }
                                td class="wide" { (state_sentence(network)) }
                            }
                        } }
                    }
                }
            }
            (page_links(page_number(page)?, LIMIT, list.total as usize, |n| link_to(path, &[("page", &n.to_string())])))
        }
    })
}

/// How many peers it is proven to reach, and by how many it is proven to be reached.
fn peer_counts(state: &State, host: &Host, network: &Network) -> (String, String) {
    let all = grouped_number(network.hosts.saturating_sub(1));
    if network.state == NetworkState::Whole {
        return (all.clone(), all);
    }
    let pairs = || state.zone.pairs(state.zone.network_key(&network.name)?);
    let Some(pairs) = (network.hosts <= LOOKED).then(pairs).flatten() else { return ("-".into(), "-".into()) };
    let Some(own) = pairs.place_of(&host.name) else { return ("-".into(), "-".into()) };
    let others = || (0..pairs.places.len()).filter(|other| *other != own);
    let out = others().filter(|other| pairs.cell_at(own, *other) == Cell::Proven).count();
    let into = others().filter(|other| pairs.cell_at(*other, own) == Cell::Proven).count();
    (grouped_number(out as u64), grouped_number(into as u64))
}

/// What the manager has tried to send to it, and will try again.
fn pending_work(state: &State, host: &Host, networks: &[Network]) -> Markup {
    let Some(reconciler) = &state.reconciler else { return html! {} };
    let now = Instant::now();
    let failed: Vec<_> = networks
        .iter()
        .filter(|network| network.state != NetworkState::Whole)
        .filter_map(|network| Some((network, state.zone.network_key(&network.name)?)))
        .flat_map(|(network, key)| reconciler.failures(key).into_iter().map(move |failed| (network, failed)))
        .filter(|(_, failed)| failed.on.get() == host.number)
        .take(LIMIT)
        .collect();
    html! {
        @if !failed.is_empty() {
            section class="card" {
                h2 { "Work that waits for it" }
                ol class="list" { @for (network, failed) in &failed {
                    li { (Mark::Warn.shape()) div {
                        h3 { a href=(network_path(&network.name)) { (network.name) } @if let Some(to) = &failed.to { ", tunnel to host " (to) } }
                        p { (as_sentence(&failed.reason)) " Tried again " @let left = failed.again.saturating_duration_since(now).as_secs_f64(); @if left > 0.0 { "in " (duration_text(left)) } @else { "now" } "." }
                    } }
                } }
            }
        }
    }
}

async fn tunnel_table(state: &State, name: &str, path: &str, page: &str) -> Result<Markup, ApiError> {
    let list = list_host_tunnels(Shared(state.clone()), ValidPath(name.to_owned()), NoQuery).await?.0;
    let mut tunnels = list.tunnels.unwrap_or_default();
    tunnels.sort_by_key(|tunnel| tunnel.state == TunnelState::Up);
    let to: BTreeSet<&str> = tunnels.iter().map(|tunnel| tunnel.to.as_str()).collect();
    let at = page_number(page)?;
    Ok(html! {
        section class="card" {
            h2 { "Tunnels from it " small { (counted_noun(tunnels.len() as u64, "tunnel", "tunnels")) " to " (counted_noun(to.len() as u64, "host", "hosts")) ", as it told " (age_text(list.age)) } }
            @if tunnels.is_empty() { p class="mute" { "It has told of none." } } @else { (tunnel_rows(state, &tunnels, at)) }
            (page_links(at, LIMIT, tunnels.len(), |n| link_to(path, &[("view", "tunnels"), ("page", &n.to_string())])))
        }
    })
}

fn tunnel_rows(state: &State, tunnels: &[HostTunnel], at: usize) -> Markup {
    let names = state.zone.host_names();
    let name = |to: &str| names.iter().find(|(number, _)| number.to_string() == to).map(|(_, name)| name.clone());
    html! {
        div class="scroll" tabindex="0" role="region" aria-label="Tunnels" {
            table class="rows" {
                thead { tr { th scope="col" { "Port" } th scope="col" { "State" } th scope="col" { "Bridge" } th scope="col" class="r" { "Key" } th scope="col" { "To" } th scope="col" { "At" } } }
                tbody { @for tunnel in tunnels.iter().skip((at - 1).saturating_mul(LIMIT)).take(LIMIT) {
                    tr {
                        th scope="row" { code { (tunnel.port) } }
                        td { (mark(if tunnel.state == TunnelState::Up { Mark::Ok } else { Mark::Bad }, super::words::tunnel_state(tunnel.state))) }
                        td { code { (tunnel.bridge) } }
                        td class="r" { (tunnel.key) }
                        td { @match name(&tunnel.to) { Some(name) => { a href={ "/hosts/" (percent_encoded(&name)) } { (name) } } None => { (tunnel.to) " " span class="mute" { "not registered" } } } }
                        td { code { (tunnel.remote_ip) } }
                    }
                } }
            }
        }
    }
}
