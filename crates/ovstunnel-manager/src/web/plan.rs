//! A plan for a person: what would be, or is, sent to whom, and what stays. Must not send anything.

use maud::{Markup, html};
use ovstunnel_manager_api::{NetworkPlan, PlannedRequest};

use super::frame::as_sentence;
use super::marks::Mark;
use super::pages::percent_encoded;
use super::words::{counted_noun, grouped_number};

/// Requests that are shown; the API has them all.
const SHOWN: usize = 50;
/// Characters of a body that are shown.
const BODY: usize = 400;

pub(super) fn render_plan(plan: &NetworkPlan) -> Markup {
    html! {
        section class="card" {
            h2 { "What " @if plan.dry_run { "would be" } @else { "is" } " sent" }
            @if plan.requests.is_empty() { p { (Mark::Ok.shape()) " Nothing: all that can be done is done." } }
            ol class="list" {
                @for request in plan.requests.iter().take(SHOWN) {
                    li { (Mark::Half.shape()) div {
                        h3 { a href={ "/hosts/" (percent_encoded(&request.host)) } { (request.host) } ": " (describe_request(request)) }
                        p { code class="long" { (request.method) " " (request.path) } @if let Some(body) = &request.body { " " code class="long" { (cut_body(body.to_string())) } } }
                    } }
                }
            }
            @if plan.requests.len() > SHOWN { p class="mute" { "and " (grouped_number((plan.requests.len() - SHOWN) as u64)) " more" } }
        }
        @if !plan.blocked.is_empty() {
            section class="card" {
                h2 { "What cannot be sent" }
                ol class="list" { @for blocked in plan.blocked.iter().take(SHOWN) {
                    li { (Mark::Warn.shape()) div { h3 { (blocked.host) } p { (as_sentence(&blocked.reason)) } } }
                } }
            }
        }
        @if plan.withheld > 0 {
            p class="note warn" { (Mark::Warn.shape()) " " (counted_noun(plan.withheld, "superfluous tunnel stays", "superfluous tunnels stay")) ": not each host has said what it has, or a hold is there. " a href="/holds" { "Holds" } }
        }
    }
}

/// A plan in a sentence, for a note of what was done.
pub(super) fn sentence_of(plan: &NetworkPlan) -> String {
    if plan.requests.is_empty() {
        return format!("Nothing had to be sent for {}.", plan.network);
    }
    let mut hosts: Vec<&str> = plan.requests.iter().map(|request| request.host.as_str()).collect();
    hosts.sort_unstable();
    hosts.dedup();
    let named = hosts.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let more = if hosts.len() > 5 { format!(" and {} more", hosts.len() - 5) } else { String::new() };
    let removals = plan.requests.iter().filter(|request| request.method == "DELETE").count();
    let removed = if removals == 0 {
        "nothing is removed".to_owned()
    } else {
        counted_noun(removals as u64, "removal", "removals")
    };
    let requests = counted_noun(plan.requests.len() as u64, "request is", "requests are");
    format!("{requests} on the way to {named}{more} for {}; {removed}. Below is what is there by now.", plan.network)
}

/// The beginning of a body; all of it is in the API.
fn cut_body(mut body: String) -> String {
    if let Some((at, _)) = body.char_indices().nth(BODY) {
        body.truncate(at);
        body.push_str(" …");
    }
    body
}

fn describe_request(request: &PlannedRequest) -> String {
    let tunnels = request.body.as_ref().and_then(|body| body.get("tunnels")?.as_array().map(Vec::len));
    match (request.method.as_str(), request.stage.as_str(), tunnels) {
        ("DELETE", "bridges", _) => "its bridge goes".to_owned(),
        ("DELETE", ..) => "a tunnel goes".to_owned(),
        ("PUT", "joins", Some(n)) => {
            format!("it gets its complete set of {}", counted_noun(n as u64, "tunnel", "tunnels"))
        }
        ("PUT", _, Some(n)) => format!("it keeps {} and no other", counted_noun(n as u64, "tunnel", "tunnels")),
        ("POST", ..) => "a tunnel is made".to_owned(),
        _ => "it is changed".to_owned(),
    }
}
