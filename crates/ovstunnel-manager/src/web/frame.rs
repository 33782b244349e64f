//! What is around each view: the navigation, the age of what is shown, what is wrong with the manager itself, and who looks. Must not know what a
//! view shows.

use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use ovstunnel_manager_api::{Overview, Trouble};
use ovstunnel_server::extract::NoQuery;

use super::marks::{Mark, shapes};
use super::who::Who;
use super::words::span;
pub(super) use super::words::{ended, sentence};
use super::{files, plain};
use crate::http::{State, overview};

/// After so many seconds what is shown counts as old.
const OLD: f64 = 3.0;

/// The views of the navigation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Here {
    Overview,
    Networks,
    Hosts,
    Faults,
    Path,
    Keys,
    Events,
    Holds,
}

const VIEWS: [(Here, &str, &str); 8] = [
    (Here::Overview, "/", "Overview"),
    (Here::Networks, "/networks", "Networks"),
    (Here::Hosts, "/hosts", "Hosts"),
    (Here::Faults, "/faults", "Faults"),
    (Here::Path, "/path", "Path"),
    (Here::Keys, "/keys", "Keys"),
    (Here::Events, "/events", "Events"),
    (Here::Holds, "/holds", "Holds"),
];

/// One view.
pub(super) struct View<'a> {
    pub here: Here,
    /// What the window is called, without the zone.
    pub title: &'a str,
    /// The same view as the API has it.
    pub json: Option<String>,
    /// Where the view is asked for again when something changes; none for one that must stay as it is.
    pub again: Option<String>,
    /// What is searched and filtered by: stays while the rest is made anew.
    pub form: Option<Markup>,
    pub content: Markup,
}

/// A whole page.
pub(super) fn page(state: &State, who: &Who, view: View<'_>) -> Response {
    let overview = overview(state);
    let live = view.again.is_some();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(&format!("{}: {}", view.title, overview.zone))) }
            body hx-ext=[live.then_some("sse")] sse-connect=[live.then_some("/v1/watch")] {
                (shapes())
                a class="skip" href="#main" { "Skip to what is shown" }
                (header(&overview, view.here))
                main id="main" tabindex="-1" {
                    (troubles(&overview, view.here))
                    @if let Some(form) = &view.form { (form) }
                    div id="live" class="live" hx-get=[view.again.as_deref()]
                        hx-trigger=[live.then_some("sse:overview throttle:2s, sse:network throttle:2s, sse:host throttle:2s, sse:network_gone throttle:2s, sse:host_gone throttle:2s")]
                        hx-select=[live.then_some("#live")] hx-swap=[live.then_some("outerHTML")] {
                        (view.content)
                    }
                }
                (footer(&overview, who, view.json.as_deref()))
                (help())
            }
        }
    };
    respond(StatusCode::OK, &markup)
}

/// A page for one who is nobody yet, or of whom it does not matter.
pub(super) fn bare(status: StatusCode, title: &str, content: &Markup) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head { (head(title)) }
            body {
                (shapes())
                header class="top" { a class="brand" href="/" { (mark()) " ovstunnel-manager" } }
                main id="main" { (content) }
            }
        }
    };
    respond(status, &markup)
}

fn respond(status: StatusCode, markup: &Markup) -> Response {
    let mut response = (status, Html(markup.0.clone())).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width,initial-scale=1";
        meta name="color-scheme" content="light dark";
        meta name="htmx-config" content=r#"{"allowEval":false,"includeIndicatorStyles":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyCacheSize":0}"#;
        title { (title) }
        link rel="icon" href=(files::path("mark.svg")) type="image/svg+xml";
        link rel="stylesheet" href=(files::path("page.css"));
        script src=(files::path("htmx.min.js")) defer {}
        script src=(files::path("sse.min.js")) defer {}
        script src=(files::path("page.js")) defer {}
    }
}

fn mark() -> Markup {
    html! { svg class="mark" width="22" height="22" aria-hidden="true" { use href="#m-mesh" {} } }
}

fn header(overview: &Overview, here: Here) -> Markup {
    html! {
        header class="top" {
            a class="brand" href="/" { (mark()) " " b { (overview.zone) } }
            nav class="views" aria-label="Views" {
                @for (view, path, name) in VIEWS {
                    a href=(path) aria-current=[(view == here).then_some("page")] { (name) }
                }
            }
            form class="find" action="/find" role="search" {
                label class="unseen" for="find" { "Network, host or key" }
                input id="find" name="search" type="search" placeholder="Network, host, key" maxlength="63" autocomplete="off";
                kbd aria-hidden="true" { "/" }
            }
            (age_mark(overview.age))
        }
    }
}

/// The age of what is known; where the page is fresh by itself, it is asked for with each sign of life of the manager.
fn age_mark(age: Option<f64>) -> Markup {
    let is_old = age.is_some_and(|age| age > OLD);
    html! {
        span id="age" class=(if is_old { "age old" } else { "age" }) data-age=[age] hx-get="/age" hx-trigger="sse:ping" hx-swap="outerHTML"
            title="Since the sign of life of the connected host that was heard of longest ago" {
            @match age {
                Some(age) => { (if is_old { Mark::Warn } else { Mark::Ok }.shape()) " " span class="n" { (span(age)) " old" } }
                None => { (Mark::Idle.shape()) " " span class="n" { "no host" } }
            }
        }
    }
}

/// The age alone.
pub(super) async fn age(Shared(state): Shared<State>, _: NoQuery) -> Response {
    respond(StatusCode::OK, &age_mark(state.zone.age()))
}

/// What is wrong with the manager itself, and with what it knows.
fn troubles(overview: &Overview, here: Here) -> Markup {
    let old = overview.age.filter(|age| *age > OLD);
    // Holds have a view of their own, which says it better.
    let is_told = |trouble: &&Trouble| here != Here::Holds || trouble.kind != "hold";
    let troubles: Vec<&Trouble> = overview.troubles.iter().filter(is_told).collect();
    html! {
        @if old.is_some() || !troubles.is_empty() {
            section class="notes" aria-label="About this manager" {
                @if let Some(age) = old {
                    p class="note warn" { (plain::old(age)) }
                }
                @for trouble in troubles {
                    p class="note bad" {
                        @if trouble.kind == "not_leading" { (plain::not_leading(&trouble.evidence)) } @else {
                            (Mark::Bad.shape()) " " b { (sentence(&trouble.evidence)) } " "
                            @if trouble.kind == "hold" { a href="/holds" { "Look at it and decide" } "." } @else { (rich(&trouble.remedy)) }
                        }
                    }
                }
            }
        }
    }
}

/// A sentence, with what is between backticks as code.
pub(super) fn rich(text: &str) -> Markup {
    html! {
        @for (n, part) in sentence(text).split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn footer(overview: &Overview, who: &Who, json: Option<&str>) -> Markup {
    html! {
        footer {
            span { "You are " b { (who.name()) } ", " (who.role.as_str()) "." }
            @if who.is_guest() {
                form class="inline" method="post" action="/sign-out" { button class="plain" { "Sign out" } }
            }
            @if !overview.controller {
                span { "This manager changes no host: " code { "sdn.ovs.controller" } " is off." }
            }
            (leading(overview))
            span { "Version " (overview.version) "." }
            @if let Some(json) = json { a href=(json) { "As JSON" } }
            a href="/openapi.json" { "API" }
            button class="plain" type="button" data-help hidden { "Keys: ?" }
        }
    }
}

/// Who leads, where there may be several managers.
fn leading(overview: &Overview) -> Markup {
    html! {
        @match &overview.leader {
            Some(leader) if leader.name == overview.replica && overview.leads => {
                span { "This manager, " (leader.name) ", leads the zone" @if let Some(since) = &leader.since { " since " (since) } "." }
            }
            Some(leader) if leader.name != overview.replica => {
                span {
                    "Manager "
                    @match &leader.address { Some(address) => a href=(address) { (leader.name) }, None => (leader.name) }
                    " leads the zone" @if let Some(since) = &leader.since { " since " (since) } "; this one, " (overview.replica) ", follows."
                }
            }
            _ => @if overview.controller { span { "No manager is known to lead the zone now." } }
        }
    }
}

/// What the keys do; shown by the script.
fn help() -> Markup {
    let keys = [
        ("/", "find a network, host or key"),
        ("j, k", "next and previous row"),
        ("Enter", "open it"),
        ("arrows", "from cell to cell of a matrix"),
        ("g, then o n h f p k e d", "overview, networks, hosts, faults, path, keys, events, holds"),
        ("?", "show or hide this"),
        ("Esc", "leave a field, hide this"),
    ];
    html! {
        dialog id="help" aria-labelledby="help-title" {
            h2 id="help-title" { "Keys" }
            dl { @for (key, what) in keys { dt { kbd { (key) } } dd { (what) } } }
            form method="dialog" { button class="btn" { "Close" } }
        }
    }
}

/// The path of a request with its parameters, for a view that is asked for again.
pub(super) fn again(uri: &Uri) -> Option<String> {
    uri.path_and_query().map(ToString::to_string)
}
