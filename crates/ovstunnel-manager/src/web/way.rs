//! Path: why one VM or host does not reach another one, step by step. Must not look by itself: the API asks both hosts.

use axum::extract::State as Shared;
use axum::http::Uri;
use axum::response::Response;
use maud::{Markup, html};
use ovstunnel_manager_api::{Path, PathEnd, PathStep, StepResult};
use ovstunnel_server::extract::ValidQuery;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::frame::{Here, View, as_sentence, render_page, rich_text, same_view, with_full_stop};
use super::marks::Mark;
use super::networks::network_path;
use super::pages::{api_query, link_to, percent_encoded};
use super::who::Who;
use super::words::{duration_text, time_of_day};
use crate::http::State;
use crate::http::path::{PathQuery, get_path};

/// What a form leaves empty is not given.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Asked {
    from: String,
    to: String,
    network: String,
    packet: String,
}

pub(super) async fn show(
    Shared(state): Shared<State>,
    uri: Uri,
    who: Who,
    ValidQuery(asked): ValidQuery<Asked>,
) -> Result<Response, ApiError> {
    let ends = [
        ("from", asked.from.trim()),
        ("to", asked.to.trim()),
        ("network", asked.network.trim()),
        ("packet", asked.packet.trim()),
    ];
    let is_asked = !ends[0].1.is_empty() && !ends[1].1.is_empty();
    let content = if is_asked { path_answer(&state, &ends).await } else { start_note() };
    let view = View {
        here: Here::Path,
        title: "Path",
        json: is_asked.then(|| link_to("/v1/path", &ends)),
        // Once it was asked for, again when something changes: whoever does what a step says sees what came of it.
        again: same_view(&uri).filter(|_| is_asked),
        form: Some(path_form(&ends)),
        content,
    };
    Ok(render_page(&state, &who, view))
}

fn path_form(ends: &[(&str, &str); 4]) -> Markup {
    html! {
        form class="filter" action="/path" {
            @for (name, value) in ends {
                label { (as_sentence(name).trim_end_matches('.')) " " input name=(name) value=(value) maxlength="255" autocomplete="off" required[matches!(*name, "from" | "to")]; }
            }
            button class="btn go" { "Ask" }
        }
    }
}

fn start_note() -> Markup {
    html! {
        section class="say idle" {
            h1 { "Why does one not reach the other?" }
            p { "An end is a host, or a VM, MAC, address or id of a NIC that was told to the manager. Without a network it is the one that both are in. Between two tiers of a VPC a packet is followed: icmp, or one as tcp:443. Both hosts are asked what their switches would do; no frame is sent." }
        }
    }
}

/// What was found, or why nothing can be.
async fn path_answer(state: &State, ends: &[(&str, &str); 4]) -> Markup {
    let wanted = match api_query::<PathQuery>(ends) {
        Ok(wanted) => wanted,
        Err(error) => return refusal_note(&error),
    };
    match get_path(Shared(state.clone()), ValidQuery(wanted)).await {
        Ok(path) => path_steps(&path.0),
        Err(error) => refusal_note(&error),
    }
}

fn refusal_note(error: &ApiError) -> Markup {
    html! { section class="say warn" { h1 { "This cannot be looked at" } p { (as_sentence(&error.problem().detail)) } } }
}

fn path_steps(path: &Path) -> Markup {
    let (from, to) = (end_name(&path.from), end_name(&path.to));
    let first = path.first_failure.and_then(|at| path.steps.get(at as usize));
    let (mark, title) = match path.reachable {
        Some(true) => (Mark::Ok, format!("{from} reaches {to}, and back.")),
        Some(false) => (Mark::Bad, format!("{from} and {to} do not reach each other.")),
        None => (Mark::Idle, format!("Whether {from} reaches {to} cannot be told.")),
    };
    html! {
        section class={ "say " (mark.class()) } {
            h1 { (title) }
            @if let Some(step) = first { p { (as_sentence(&step.evidence)) } }
            p class="facts" {
                "In " a href=(network_path(&path.network)) { (path.network) }
                @if let Some(other) = &path.to_network { " and " a href=(network_path(other)) { (other) } }
                ", asked " (time_of_day(&path.asked)) ", answered in " (duration_text(path.took)) "."
            }
        }
        section class="card" {
            h2 { "Step by step" }
            ol class="list" { @for step in &path.steps { (step_item(step)) } }
        }
    }
}

fn end_name(end: &PathEnd) -> String {
    match end.vm.as_ref().or(end.nic.as_ref()) {
        Some(name) => format!("{name} on {}", end.host),
        None => end.host.clone(),
    }
}

/// What was looked at, as it is written.
fn check_label(word: &str) -> String {
    match word {
        "bfd" => "BFD".to_owned(),
        "vif" => "VIF".to_owned(),
        "mtu" => "MTU".to_owned(),
        "ipv6" => "IPv6".to_owned(),
        "acl" => "ACL".to_owned(),
        other => as_sentence(&other.replace('_', " ")).trim_end_matches('.').to_owned(),
    }
}

fn step_item(step: &PathStep) -> Markup {
    let mark = match step.result {
        StepResult::Ok => Mark::Ok,
        StepResult::Fail => Mark::Bad,
        StepResult::Unknown => Mark::Warn,
        StepResult::Skipped => Mark::Idle,
    };
    html! {
        li {
            (mark.shape())
            div {
                h3 { (check_label(&step.check)) ": " (step.result.as_str()) }
                p { (with_full_stop(&step.evidence)) }
                @if let Some(remedy) = &step.remedy { p { b { "Remedy: " } (rich_text(remedy)) } }
                @for command in &step.commands { pre tabindex="0" { (command.run) @if let Some(host) = &command.host { "    # on " (host) } } }
            }
            @if let Some(host) = &step.host { a class="chip" href={ "/hosts/" (percent_encoded(host)) } { (host) } }
        }
    }
}
