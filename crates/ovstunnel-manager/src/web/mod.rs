//! The page: what the API says, for a person with a browser.
//!
//! What it does: asks the API's own functions, and makes HTML and pictures of their answers; an act goes through the same functions, after its
//! plan was shown. What it must not do: know anything that the API does not say, need JavaScript (it only keeps the page fresh), or load anything
//! from elsewhere.

mod acts;
mod cloudstack;
mod events;
mod faults;
mod files;
mod forms;
mod frame;
mod graph;
mod holds;
mod host;
mod hosts;
mod keys;
mod marks;
mod matrix;
mod network;
mod networks;
mod overview;
mod pages;
mod plain;
mod plan;
mod proof;
mod refusal;
mod sign_in;
mod way;
mod who;
mod words;

use axum::Router;
use axum::middleware::{from_fn, map_response};
use axum::routing::{get, post};

use crate::http::State;

/// The page's routes, beside the API's.
pub fn router(state: State) -> Router {
    Router::new()
        .route("/", get(overview::show))
        .route("/age", get(frame::show_age))
        .route("/find", get(networks::find))
        .route("/networks", get(networks::show))
        .route("/networks/{network}", get(network::show))
        .route("/networks/{network}/reconcile", get(acts::plan_reconcile).post(acts::reconcile))
        .route("/hosts", get(hosts::show))
        .route("/hosts/{host}", get(host::show))
        .route("/hosts/{host}/resync", get(acts::plan_resync).post(acts::resync))
        .route("/faults", get(faults::show))
        .route("/path", get(way::show))
        .route("/keys", get(keys::show))
        .route("/events", get(events::show))
        .route("/holds", get(holds::show))
        .route("/holds/{id}/approve", post(acts::approve))
        .route("/holds/{id}/refuse", post(acts::refuse))
        .route("/sign-in", get(sign_in::show).post(sign_in::begin_session))
        .route("/sign-out", post(sign_in::end_session))
        .route("/files/{name}", get(files::serve_file))
        .with_state(state)
}

/// Refuses changes that other sites ask for, of the page and of the API.
pub fn same_origin(routes: Router) -> Router {
    routes.layer(from_fn(refusal::same_origin))
}

/// What is around all that is answered: headers that browsers go by, and, where there is a page, refusals that a person can read.
pub fn for_people(routes: Router, with_page: bool) -> Router {
    let routes = if with_page { routes.layer(from_fn(refusal::for_people)) } else { routes };
    routes.layer(map_response(refusal::add_headers))
}
