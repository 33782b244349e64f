//! What is around each view: the navigation, the age of what is shown, what is wrong with the manager itself, and who looks. Must not know what a
//! view shows.

use axum::extract::State as Shared;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use ovstunnel_manager_api::{Overview, Trouble};
use ovstunnel_server::extract::NoQuery;

use super::marks::{Mark, shape_defs};
use super::who::Who;
use super::words::duration_text;
pub(super) use super::words::{as_sentence, with_full_stop};
use super::{files, plain};
use crate::http::{State, zone_overview};

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
pub(super) fn render_page(state: &State, who: &Who, view: View<'_>) -> Response {
    let overview = zone_overview(state);
    let live = view.again.is_some();
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head { (page_head(&format!("{}: {}", view.title, overview.zone))) }
            body hx-ext=[live.then_some("sse")] sse-connect=[live.then_some("/v1/watch")] {
                (shape_defs())
                a class="skip" href="#main" { "Skip to what is shown" }
                (page_header(&overview, view.here))
                main id="main" tabindex="-1" {
                    (trouble_list(&overview, view.here))
                    @if let Some(form) = &view.form { (form) }
                    div id="live" class="live" hx-get=[view.again.as_deref()]
                        hx-trigger=[live.then_some("sse:overview throttle:2s, sse:network throttle:2s, sse:host throttle:2s, sse:network_gone throttle:2s, sse:host_gone throttle:2s")]
                        hx-select=[live.then_some("#live")] hx-swap=[live.then_some("outerHTML")] {
                        (view.content)
                    }
                }
                (page_footer(&overview, who, view.json.as_deref()))
                (key_help())
            }
        }
    };
    html_response(StatusCode::OK, &markup)
}

/// A page for one who is nobody yet, or of whom it does not matter.
pub(super) fn bare_page(status: StatusCode, title: &str, content: &Markup) -> Response {
    let markup = html! {
        (DOCTYPE)
        html lang="en" {
            head { (page_head(title)) }
            body {
                (shape_defs())
                header class="top" { a class="brand" href="/" { (logo_mark()) " ovstunnel-manager" } }
                main id="main" { (content) }
            }
        }
    };
    html_response(status, &markup)
}

fn html_response(status: StatusCode, markup: &Markup) -> Response {
    let mut response = (status, Html(markup.0.clone())).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn page_head(title: &str) -> Markup {
    html! {
        meta charset="utf-8";
        meta name="viewport" content="width=device-width,initial-scale=1";
        meta name="color-scheme" content="light dark";
        meta name="htmx-config" content=r#"{"allowEval":false,"includeIndicatorStyles":false,"allowScriptTags":false,"selfRequestsOnly":true,"historyCacheSize":0}"#;
        title { (title) }
        link rel="icon" href=(files::file_path("mark.svg")) type="image/svg+xml";
        link rel="stylesheet" href=(files::file_path("page.css"));
        script src=(files::file_path("htmx.min.js")) defer {}
        script src=(files::file_path("sse.min.js")) defer {}
        script src=(files::file_path("page.js")) defer {}
    }
}

fn logo_mark() -> Markup {
    html! { svg class="mark" width="22" height="22" aria-hidden="true" { use href="#m-mesh" {} } }
}

fn page_header(overview: &Overview, here: Here) -> Markup {
    html! {
        header class="top" {
            a class="brand" href="/" { (logo_mark()) " " b { (overview.zone) } }
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
                Some(age) => { (if is_old { Mark::Warn } else { Mark::Ok }.shape()) " " span class="n" { (duration_text(age)) " old" } }
                None => { (Mark::Idle.shape()) " " span class="n" { "no host" } }
            }
        }
    }
}

/// The age alone.
pub(super) async fn show_age(Shared(state): Shared<State>, _: NoQuery) -> Response {
    html_response(StatusCode::OK, &age_mark(state.zone.oldest_sign()))
}

/// What is wrong with the manager itself, and with what it knows.
fn trouble_list(overview: &Overview, here: Here) -> Markup {
    let old = overview.age.filter(|age| *age > OLD);
    // Holds have a view of their own, which says it better.
    let is_told = |trouble: &&Trouble| here != Here::Holds || trouble.kind != "hold";
    let troubles: Vec<&Trouble> = overview.troubles.iter().filter(is_told).collect();
    html! {
        @if old.is_some() || !troubles.is_empty() {
            section class="notes" aria-label="About this manager" {
                @if let Some(age) = old {
                    p class="note warn" { (plain::stale_note(age)) }
                }
                @for trouble in troubles {
                    p class="note bad" {
                        @if trouble.kind == "not_leading" { (plain::not_leading(&trouble.evidence)) } @else {
                            (Mark::Bad.shape()) " " b { (as_sentence(&trouble.evidence)) } " "
                            @if trouble.kind == "hold" { a href="/holds" { "Look at it and decide" } "." } @else { (rich_text(&trouble.remedy)) }
                        }
                    }
                }
            }
        }
    }
}

/// A sentence, with what is between backticks as code.
pub(super) fn rich_text(text: &str) -> Markup {
    html! {
        @for (n, part) in as_sentence(text).split('`').enumerate() {
            @if n % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

fn page_footer(overview: &Overview, who: &Who, json: Option<&str>) -> Markup {
    html! {
        footer {
            span { "You are " b { (who.name()) } ", " (who.role.as_str()) "." }
            @if who.is_guest() {
                form class="inline" method="post" action="/sign-out" { button class="plain" { "Sign out" } }
            }
            @if !overview.controller {
                span { "This manager changes no host: " code { "sdn.ovs.controller" } " is off." }
            }
            (leader_note(overview))
            span { "Version " (overview.version) "." }
            @if let Some(json) = json { a href=(json) { "As JSON" } }
            a href="/openapi.json" { "API" }
            button class="plain" type="button" data-help hidden { "Keys: ?" }
        }
    }
}

/// Who leads, where there may be several managers.
fn leader_note(overview: &Overview) -> Markup {
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
fn key_help() -> Markup {
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
pub(super) fn same_view(uri: &Uri) -> Option<String> {
    uri.path_and_query().map(ToString::to_string)
}
