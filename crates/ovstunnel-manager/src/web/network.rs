//! One network: matrix, graph, table, proof and events of it. Must not judge it: all comes from its proof.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_manager_api::{Network, NetworkKind, NetworkState};
use ovstunnel_server::config::Role;
use ovstunnel_server::extract::{NoQuery, ValidPath, ValidQuery};
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::{Here, View, render_page, rich_text, same_view};
use super::marks::Mark;
use super::networks::{network_path, state_sentence};
use super::pages::{link_to, page_links, percent_encoded};
use super::who::Who;
use super::words::{counted_noun, grouped_number, time_ago};
use super::{cloudstack, events, forms, graph, matrix, proof};
use crate::http::State;
use crate::http::networks::{get_network, get_proof, network_key};

/// Hosts of a page of the table.
const LIMIT: usize = 100;

/// What of the network is shown.
const VIEWS: [(&str, &str); 5] =
    [("matrix", "Matrix"), ("graph", "Graph"), ("table", "Table"), ("proof", "Proof"), ("events", "Events")];

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Shown {
    view: String,
    /// A pair of which all is shown that is known.
    from: String,
    to: String,
    page: String,
    before: String,
    said: String,
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    who: Who,
    uri: Uri,
    ValidPath(name): ValidPath<String>,
    ValidQuery(shown): ValidQuery<Shown>,
) -> Result<Response, ApiError> {
    let network = get_network(Shared(state.clone()), ValidPath(name.clone()), NoQuery).await?.0;
    let view = if shown.view.is_empty() { "matrix" } else { shown.view.as_str() };
    if !VIEWS.iter().any(|(word, _)| *word == view) {
        let rule = "must be matrix, graph, table, proof or events";
        return Err(ApiError::invalid("view", rule, Some(view)));
    }
    let body = match view {
        _ if network.key.is_none() && view != "events" => keyless_note(&network),
        "events" => {
            events::events_like(&state, &[("network", &name)], &shown.before, &network_path(&name), "events").await?
        }
        "table" => host_table(&network, &shown.page)?,
        "proof" => proof::render_proof(&get_proof(Shared(state.clone()), ValidPath(name.clone()), NoQuery).await?.0),
        _ => network_picture(&state, &network, view, &shown)?,
    };
    let content = html! {
        (forms::done_note(&state, &who, &shown.said))
        (network_summary(&network, &who))
        nav class="sub" aria-label="Of this network" {
            @for (word, title) in VIEWS {
                a href=(link_to(&network_path(&name), &[("view", if word == "matrix" { "" } else { word })])) aria-current=[(word == view).then_some("page")] { (title) }
            }
        }
        (cloudstack::disagreement_list(&network.disagreements))
        (body)
    };
    let json = format!("/v1/networks/{}{}", percent_encoded(&name), if view == "proof" { "/proof" } else { "" });
    let view =
        View { here: Here::Networks, title: &name, json: Some(json), again: same_view(&uri), form: None, content };
    Ok(render_page(&state, &who, view))
}

/// A change of the tunnels' kind that is under way, and for whom it waits.
fn kind_progress(kind: &NetworkKind) -> Markup {
    let done = kind.hosts.iter().filter(|host| host.kind == kind.to && host.second.is_none()).count();
    html! {
        p {
            "Its tunnels change to " (kind.to) ": " (done) " of " (counted_noun(kind.hosts.len() as u64, "host", "hosts")) " have it alone"
            @if let Some(next) = kind.next { "; the next step is " (next.as_str()) }
            "."
        }
        @if let Some(held) = &kind.held { p { "No step is taken: " (held) "." } }
        @for wait in &kind.waits_for { p { "It waits for " (wait.host) ": " (wait.reason) "." } }
    }
}

fn network_summary(network: &Network, who: &Who) -> Markup {
    let (mark, name) = (Mark::from(network.state), &network.name);
    let missing = network.wanted.saturating_sub(network.proven);
    let title = match network.state {
        NetworkState::Whole if network.hosts < 2 => {
            format!("{name} is whole: {} has it.", counted_noun(network.hosts, "host", "hosts"))
        }
        NetworkState::Whole => {
            format!("{name} is whole: {} proven.", counted_noun(network.proven, "tunnel", "tunnels"))
        }
        NetworkState::Settling => {
            format!(
                "{name} is changing: {} of {} tunnels are proven.",
                grouped_number(network.proven),
                grouped_number(network.wanted)
            )
        }
        NetworkState::Broken if missing > 0 => {
            format!(
                "{name} is not whole: {} of {} tunnels {} not proven.",
                grouped_number(missing),
                grouped_number(network.wanted),
                if missing == 1 { "is" } else { "are" }
            )
        }
        NetworkState::Broken => format!("{name} is not whole."),
    };
    html! {
        section class={ "say " (mark.class()) } {
            p class="crumb" { a href="/networks" { "Networks" } " / " (name) }
            h1 { (title) }
            @if network.reason.is_some() { p { (state_sentence(network)) } }
            @if let Some(reason) = &network.reason { p { b { "Remedy: " } (rich_text(&reason.remedy)) } }
            p class="facts" {
                @if let Some(key) = network.key { span class="chip" { "key " (key) } }
                span class="chip" { (counted_noun(network.hosts, "host", "hosts")) }
                @match &network.record {
                    Some(record) => {
                        span class="chip" { (counted_noun(record.nics, "NIC", "NICs")) }
                        span class="chip" { (record.physical_network) }
                        @if let Some(policy) = record.ipv6 { span class="chip" { "IPv6 " (policy.as_str()) } }
                        @if let Some(mtu) = record.mtu { span class="chip" { "MTU " (mtu) } }
                        @if let Some(kind) = record.kind { span class="chip" { "tunnels " (kind) } }
                    }
                    None => { span class="chip" { "only seen on hosts" } }
                }
                span { (network.state.as_str()) " since " (time_ago(&network.since)) }
            }
            @if let Some(known) = &network.cloudstack { (cloudstack::network_facts(known)) }
            @if let Some(kind) = network.kind.as_ref().filter(|kind| kind.next.is_some()) { (kind_progress(kind)) }
            @if network.state != NetworkState::Whole {
                p class="acts" { (forms::plan_link(who, Role::Operator, &format!("{}/reconcile", network_path(name)), "Reconcile: show the plan")) }
            }
        }
    }
}

fn keyless_note(network: &Network) -> Markup {
    html! {
        section class="card" {
            h2 { "It has no key yet" }
            p { "So no host can have anything of it. A key is allocated when its first NIC is prepared by a manager that may act, or given by "
                code { "ovstunnelctl zone network add " (network.name) " --key KEY" } "." }
        }
    }
}

fn network_picture(state: &State, network: &Network, view: &str, shown: &Shown) -> Result<Markup, ApiError> {
    let key = network_key(state, &network.name)?;
    let pairs = state.zone.pairs(key).ok_or_else(|| ApiError::not_found("the network has gone"))?;
    let chosen = (!shown.from.is_empty() && !shown.to.is_empty()).then_some((shown.from.as_str(), shown.to.as_str()));
    let at = |host: &str| {
        pairs.place_of(host).ok_or_else(|| ApiError::not_found(format!("host {host} is not of this network")))
    };
    let chosen = chosen.map(|(from, to)| Ok::<_, ApiError>((at(from)?, at(to)?))).transpose()?;
    let picture =
        if view == "graph" { graph::draw_graph(network, &pairs) } else { matrix::draw_matrix(network, &pairs, chosen) };
    Ok(html! {
        div class="cols pic" {
            section class="card" { (picture) }
            div class="stack" {
                @if let Some((from, to)) = chosen { (matrix::pair_details(state, (&network.name, key), &pairs, (from, to))) }
                (matrix::pattern_note(&pairs))
                (matrix::worst_directions(&network.name, &pairs))
            }
        }
    })
}

fn host_table(network: &Network, at: &str) -> Result<Markup, ApiError> {
    let members = network.members.as_deref().unwrap_or_default();
    let at = super::pages::page_number(at)?;
    let path = network_path(&network.name);
    Ok(html! {
        section class="card" {
            h2 { "Hosts of this network" }
            div class="scroll" tabindex="0" role="region" aria-label="Hosts of this network" {
                table class="rows" {
                    thead { tr { th scope="col" { "Host" } th scope="col" { "Bridge" } th scope="col" class="r" { "VIFs" } th scope="col" class="r" { "Tunnels" } th scope="col" class="r" { "Wanted" } } }
                    tbody { @for member in members.iter().skip((at - 1).saturating_mul(LIMIT)).take(LIMIT) {
                        tr {
                            th scope="row" { a href={ "/hosts/" (percent_encoded(&member.host)) } { (member.host) } }
                            td { @match &member.bridge { Some(bridge) => { code { (bridge) } } None => { (Mark::Bad.shape()) " none" } } }
                            td class="r" { (grouped_number(member.vifs)) }
                            td class="r" { (grouped_number(member.tunnels)) }
                            td class="r" { (grouped_number(network.hosts.saturating_sub(1))) }
                        }
                    } }
                }
            }
            (page_links(at, LIMIT, members.len(), |n| link_to(&path, &[("view", "table"), ("page", &n.to_string())])))
        }
        (matrix::download_links(&network.name))
    })
}
