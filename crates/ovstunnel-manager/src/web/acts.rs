//! What an operator does on the page: each act shows its plan first, is a form that only our own page can have made, and leads to a view that
//! says what it changed. Must not do anything but by the API's own functions, nor judge a role: `http::Roles` has.

use axum::Form;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use maud::html;
use ovstunnel_server::extract::{NoQuery, ValidPath};
use ovstunnel_server::problem::ApiError;

use super::forms::{Token, decide, done};
use super::frame::{Here, View, page};
use super::marks::Mark;
use super::networks::address;
use super::pages::encoded;
use super::who::Who;
use super::{holds, plan};
use crate::http::State;
use crate::http::holds::decided;
use crate::http::hosts::{find, resynced};
use crate::http::networks::reconciled;
use crate::reconciler::Said;

pub(super) async fn plan_reconcile(
    Shared(state): Shared<State>,
    who: Who,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let planned = reconciled(&state, &name, true).await?;
    let path = address(&name);
    let content = html! {
        section class="say idle" {
            p class="crumb" { a href="/networks" { "Networks" } " / " a href=(path) { (name) } " / reconcile" }
            h1 { "What would make " (name) " whole" }
            p { "Nothing has been sent. What hosts refused before is tried again at once." }
        }
        (plan::show(&planned))
        div class="acts" {
            @if state.reconciler.is_none() {
                p class="note warn" { (Mark::Warn.shape()) " This manager changes no host: " code { "sdn.ovs.controller" } " is off. It only shows what it would do." }
                a class="btn" href=(path) { "Back" }
            } @else { (decide(&state, &who, &format!("{path}/reconcile"), &path)) }
        }
    };
    let title = format!("Reconcile {name}");
    let view = View { here: Here::Networks, title: &title, json: None, again: None, form: None, content };
    Ok(page(&state, &who, view))
}

pub(super) async fn reconcile(
    Shared(state): Shared<State>,
    who: Who,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
    Form(token): Form<Token>,
) -> Result<Response, ApiError> {
    token.check(&state, &who)?;
    let plan = reconciled(&state, &name, false).await?;
    Ok(done(&state, &who, &address(&name), plan::sentence_of(&plan), "asked for"))
}

pub(super) async fn plan_resync(
    Shared(state): Shared<State>,
    who: Who,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let host = find(&state, &name)?;
    let path = format!("/hosts/{}", encoded(&host.name));
    let content = html! {
        section class="say idle" {
            p class="crumb" { a href="/hosts" { "Hosts" } " / " a href=(path) { (host.name) } " / connect anew" }
            h1 { "Connect anew to " (host.name) }
            p { "The connection to " code { (host.api) } " ends, a new one is made, and everything that the host has is taken in again. Nothing on the host is changed; until it has answered, its networks are not proven." }
        }
        div class="acts" { (decide(&state, &who, &format!("{path}/resync"), &path)) }
    };
    let title = format!("Connect anew to {name}");
    let view = View { here: Here::Hosts, title: &title, json: None, again: None, form: None, content };
    Ok(page(&state, &who, view))
}

pub(super) async fn resync(
    Shared(state): Shared<State>,
    who: Who,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
    Form(token): Form<Token>,
) -> Result<Response, ApiError> {
    token.check(&state, &who)?;
    let host = resynced(&state, &name).await?;
    let text = format!("{} is being connected to anew. Nothing on it was changed.", host.name);
    Ok(done(&state, &who, &format!("/hosts/{}", encoded(&host.name)), text, "resync"))
}

pub(super) async fn approve(
    state: Shared<State>,
    who: Who,
    path: Path<u64>,
    query: NoQuery,
    token: Form<Token>,
) -> Result<Response, ApiError> {
    decide_hold(state, who, path, query, token, Said::Approved).await
}

pub(super) async fn refuse(
    state: Shared<State>,
    who: Who,
    path: Path<u64>,
    query: NoQuery,
    token: Form<Token>,
) -> Result<Response, ApiError> {
    decide_hold(state, who, path, query, token, Said::Refused).await
}

async fn decide_hold(
    Shared(state): Shared<State>,
    who: Who,
    Path(id): Path<u64>,
    _: NoQuery,
    Form(token): Form<Token>,
    word: Said,
) -> Result<Response, ApiError> {
    token.check(&state, &who)?;
    let hold = decided(&state, &who.peer, id, word)?;
    let (became, effect) = match word {
        Said::Approved => ("it is approved, and goes now", "approved"),
        _ => ("it is refused, and stays", "refused"),
    };
    Ok(done(&state, &who, "/holds", format!("{}: {became}.", holds::title(&hold)), effect))
}
