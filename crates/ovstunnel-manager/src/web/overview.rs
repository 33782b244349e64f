//! Overview: the zone in one sentence, in numbers, and what is wrong with it. Must not list what is in order.

use std::collections::BTreeMap;

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_manager_api::{FaultList, Host, HostState, Network, NetworkState, Overview};
use ovstunnel_server::extract::{NoQuery, ValidQuery};
use ovstunnel_server::problem::ApiError;

use super::faults::fault_items;
use super::frame::{Here, View, render_page, same_view};
use super::marks::{Mark, share_bar, state_mark as mark};
use super::networks::{network_path, state_sentence};
use super::pages::{api_query, link_to, percent_encoded};
use super::plain;
use super::who::Who;
use super::words::{counted_noun, grouped_number, percent_text, time_ago};
use crate::http::faults::{FaultQuery, list_faults};
use crate::http::{State, zone_overview};
use crate::zone::Page;

/// Faults that are listed.
const FAULTS: usize = 5;

/// Networks and hosts that are listed.
const LISTED: usize = 8;

pub(super) async fn show(Shared(state): Shared<State>, who: Who, uri: Uri, _: NoQuery) -> Result<Response, ApiError> {
    let zone = zone_overview(&state);
    let states = Some(vec![NetworkState::Broken, NetworkState::Settling]);
    let (networks, _) = state.zone.networks(&Page { states, host: None, search: None, page: 1, limit: LISTED });
    let all = state.zone.hosts();
    let mut hosts: Vec<&Host> = all.iter().filter(|host| host.state != HostState::Ok).collect();
    hosts.sort_by_key(|host| std::cmp::Reverse(host.state));
    let wanted: FaultQuery = api_query(&[("limit", &FAULTS.to_string())])?;
    let faults = list_faults(Shared(state.clone()), ValidQuery(wanted)).await?.0;
    let database = state.records.check_database().await.err().map(|error| error.to_string());
    let content = html! {
        (zone_summary(&zone, networks.first(), hosts.first().copied()))
        @if let Some(why) = &database { (plain::database_away(why)) }
        @if zone.hosts.all == 0 { (plain::no_host(&zone.zone)) } @else {
            (overview_tiles(&zone))
            @if zone.networks.all == 0 && zone.hosts.ok > 0 { (plain::no_network(zone.controller)) }
            @if faults.total > 0 { (worst_faults(&faults)) }
            @if !networks.is_empty() || !hosts.is_empty() {
                div class="cols" {
                    (worst_networks(&networks, &zone))
                    (worst_hosts(&hosts))
                }
            }
            @if zone.hosts.all > 1 { (rack_marks(&all)) }
        }
    };
    let view = View {
        here: Here::Overview,
        title: "Overview",
        json: Some("/v1/overview".into()),
        again: same_view(&uri),
        form: None,
        content,
    };
    Ok(render_page(&state, &who, view))
}

/// The zone in a sentence: what is wrong first, and with whom.
fn zone_summary(zone: &Overview, network: Option<&Network>, host: Option<&Host>) -> Markup {
    let (networks, hosts) = (&zone.networks, &zone.hosts);
    let (mark, title) = match (networks, hosts) {
        (_, hosts) if hosts.all == 0 => (Mark::Idle, "No host is registered yet.".to_owned()),
        (networks, _) if networks.broken > 0 => (
            Mark::Bad,
            format!(
                "{} of {} not whole.",
                grouped_number(networks.broken),
                if networks.all == 1 {
                    "1 network is".to_owned()
                } else {
                    format!("{} networks are", grouped_number(networks.all))
                }
            ),
        ),
        (_, hosts) if hosts.silent > 0 => {
            (Mark::Bad, format!("{} of {} not answering.", grouped_number(hosts.silent), hosts_are(hosts.all)))
        }
        (_, hosts) if hosts.connecting > 0 => {
            (Mark::Idle, format!("{} of {} not heard of yet.", grouped_number(hosts.connecting), hosts_are(hosts.all)))
        }
        (networks, _) if networks.settling > 0 => {
            (Mark::Half, format!("{} changing just now; all others are whole.", networks_are(networks.settling)))
        }
        (_, hosts) if hosts.degraded > 0 => (
            Mark::Warn,
            format!(
                "All networks are whole; something is wrong with {}.",
                counted_noun(hosts.degraded, "host", "hosts")
            ),
        ),
        (networks, _) if networks.all == 0 => (Mark::Ok, "All hosts answer; none has a network yet.".to_owned()),
        (networks, _) => (Mark::Ok, format!("All is well: {} whole.", networks_are(networks.all))),
    };
    html! {
        section class={ "say " (mark.class()) } {
            h1 { (title) }
            @if let Some(network) = network {
                p {
                    a href=(network_path(&network.name)) { (network.name) } ": "
                    (state_sentence(network)) " Since " (time_ago(&network.since)) "."
                }
            }
            @if let Some(host) = host { p { a href={ "/hosts/" (percent_encoded(&host.name)) } { (host.name) } ": " (host_why(host)) } }
        }
    }
}

fn hosts_are(all: u32) -> String {
    if all == 1 { "1 host is".to_owned() } else { format!("{} hosts are", grouped_number(all)) }
}

fn networks_are(all: u32) -> String {
    if all == 1 { "1 network is".to_owned() } else { format!("{} networks are", grouped_number(all)) }
}

fn host_why(host: &Host) -> String {
    match (host.troubles.first(), host.state) {
        (Some(trouble), _) => super::frame::as_sentence(&trouble.evidence),
        (None, HostState::Connecting) => "It is being connected to.".to_owned(),
        (None, _) => format!("It is {}.", host.state.as_str()),
    }
}

fn overview_tiles(zone: &Overview) -> Markup {
    let Overview { networks, hosts, tunnels, .. } = zone;
    let of_networks = [
        (networks.whole, Mark::Ok, "whole"),
        (networks.settling, Mark::Half, "settling"),
        (networks.broken, Mark::Bad, "broken"),
    ];
    let of_hosts = [
        (hosts.ok, Mark::Ok, "ok"),
        (hosts.connecting, Mark::Idle, "connecting"),
        (hosts.degraded, Mark::Warn, "degraded"),
        (hosts.silent, Mark::Bad, "silent"),
    ];
    let missing = tunnels.wanted.saturating_sub(tunnels.proven);
    html! {
        section class="tiles" aria-label="In numbers" {
            (overview_tile("/networks", "Networks", networks.whole, networks.all, "whole", &of_networks))
            (overview_tile("/hosts", "Hosts", hosts.ok, hosts.all, "ok", &of_hosts))
            a class="tile" href=(link_to("/networks", &[("state", if missing > 0 { "broken,settling" } else { "" })])) {
                span class="l" { "Tunnels" }
                span class="n" { (grouped_number(tunnels.proven)) " " small { "of " (grouped_number(tunnels.wanted)) " proven" } }
                (share_bar(&[(tunnels.proven, Mark::Ok), (missing, Mark::Bad)]))
                span class="s" { (percent_text(tunnels.proven, tunnels.wanted)) @if missing > 0 { " · " (grouped_number(missing)) " not proven" } }
            }
        }
    }
}

fn overview_tile(path: &str, name: &str, good: u32, all: u32, word: &str, parts: &[(u32, Mark, &str)]) -> Markup {
    let shares: Vec<(u64, Mark)> = parts.iter().map(|(n, mark, _)| (u64::from(*n), *mark)).collect();
    let others: Vec<String> = parts
        .iter()
        .skip(1)
        .filter(|(n, ..)| *n > 0)
        .map(|(n, _, word)| format!("{} {word}", grouped_number(*n)))
        .collect();
    html! {
        a class="tile" href=(path) {
            span class="l" { (name) }
            span class="n" { (grouped_number(good)) " " small { "of " (grouped_number(all)) " " (word) } }
            (share_bar(&shares))
            span class="s" { @if others.is_empty() { "no other" } @else { (others.join(" · ")) } }
        }
    }
}

fn worst_faults(list: &FaultList) -> Markup {
    let more = (list.total as usize).saturating_sub(list.faults.len());
    html! {
        section class="card" {
            h2 { "Faults " small { "each cause once, worst first" } }
            (fault_items(list))
            @if more > 0 { p { a href="/faults" { "and " (grouped_number(more as u64)) " more" } } }
        }
    }
}

fn worst_networks(networks: &[Network], zone: &Overview) -> Markup {
    let more = (zone.networks.broken + zone.networks.settling)
        .saturating_sub(u32::try_from(networks.len()).unwrap_or(u32::MAX));
    html! {
        section class="card" {
            h2 { "Networks " small { "worst first" } }
            @if networks.is_empty() { p class="mute" { "All networks are whole." } }
            ol class="list" {
                @for network in networks {
                    li {
                        (Mark::from(network.state).shape())
                        div {
                            h3 { a href=(network_path(&network.name)) { (network.name) } " is " (network.state.as_str()) }
                            p { (state_sentence(network)) }
                        }
                        span class="mute" { (time_ago(&network.since)) }
                    }
                }
            }
            @if more > 0 { p { a href="/networks?state=broken,settling" { "and " (grouped_number(more)) " more" } } }
        }
    }
}

fn worst_hosts(hosts: &[&Host]) -> Markup {
    html! {
        section class="card" {
            h2 { "Hosts " small { "worst first" } }
            @if hosts.is_empty() { p class="mute" { "All hosts are in order." } }
            ol class="list" {
                @for host in hosts.iter().take(LISTED) {
                    li {
                        (Mark::from(host.state).shape())
                        div {
                            h3 { a href={ "/hosts/" (percent_encoded(&host.name)) } { (host.name) } " is " (host.state.as_str()) }
                            p { (host_why(host)) }
                        }
                        span class="mute" { (super::words::age_text(host.age)) }
                    }
                }
            }
            @if hosts.len() > LISTED { p { a href="/hosts?state=silent,degraded,connecting" { "and " (grouped_number((hosts.len() - LISTED) as u64)) " more" } } }
        }
    }
}

/// Most racks, and hosts of a rack, that are drawn.
const RACKS: usize = 100;
const HEIGHT: usize = 60;

/// Each host as a mark: a column is a rack.
fn rack_marks(hosts: &[Host]) -> Markup {
    let mut racks: BTreeMap<&str, Vec<HostState>> = BTreeMap::new();
    for host in hosts {
        racks.entry(host.rack.as_deref().unwrap_or("")).or_default().push(host.state);
    }
    let tallest = racks.values().map(Vec::len).max().unwrap_or(0);
    if racks.len() < 2 || racks.len() > RACKS || tallest > HEIGHT {
        return html! {};
    }
    // A path for each state: thousands of hosts are still a small page.
    let mut paths: BTreeMap<HostState, String> = BTreeMap::new();
    for (x, states) in racks.values_mut().enumerate() {
        states.sort_by_key(|state| std::cmp::Reverse(*state));
        for (y, state) in states.iter().enumerate() {
            let path = paths.entry(*state).or_default();
            path.push_str(&format!("M{} {}h9v5h-9z", x * 12 + 2, y * 7 + 2));
        }
    }
    let (width, height) = (racks.len() * 12 + 2, tallest * 7 + 2);
    let wrong = hosts.iter().filter(|host| host.state != HostState::Ok).count();
    let label = format!("{} hosts in {} racks; {wrong} not in order, named under Hosts", hosts.len(), racks.len());
    let names = [racks.keys().next(), racks.keys().next_back()].map(|name| name.copied().unwrap_or_default());
    html! {
        section class="card" {
            h2 { "Racks " small { "a column each, from " (rack_name(names[0])) " to " (rack_name(names[1])) "; the worst hosts on top" } }
            div class="scroll" tabindex="0" role="region" aria-label="Racks" {
                svg class="racks" viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="img" aria-label=(label) {
                    @for (state, path) in &paths { path class=(Mark::from(*state).class()) d=(path) {} }
                }
            }
            p class="key" {
                @for state in [HostState::Ok, HostState::Degraded, HostState::Connecting, HostState::Silent] {
                    (mark(state, state.as_str()))
                }
            }
            p class="mute" { "From which to which, over all networks: " a href="/v1/zone/matrix.png?by=rack" { "a matrix of racks" } ", "
                a href="/v1/zone/matrix.png" { "of hosts" } ", " a href="/v1/zone/matrix?by=rack" { "as JSON" } "." }
        }
    }
}

fn rack_name(name: &str) -> &str {
    if name.is_empty() { "no rack" } else { name }
}
