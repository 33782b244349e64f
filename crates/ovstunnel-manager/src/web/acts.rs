//! What an operator does on the page: each act shows its plan first, is a form that only our own page can have made, and leads to a view that
//! says what it changed. Must not do anything but by the API's own functions, nor judge a role: `http::Roles` has.

use axum::Form;
use axum::extract::{Path, State as Shared};
use axum::response::Response;
use maud::html;
use ovstunnel_server::extract::{NoQuery, ValidPath};
use ovstunnel_server::problem::ApiError;

use super::forms::{Token, decision_form, redirect_done};
use super::frame::{Here, View, render_page};
use super::marks::Mark;
use super::networks::network_path;
use super::pages::percent_encoded;
use super::who::Who;
use super::{holds, plan};
use crate::http::State;
use crate::http::holds::record_decision;
use crate::http::hosts::{find_host, request_resync};
use crate::http::networks::request_reconcile;
use crate::reconciler::Said;

pub(super) async fn plan_reconcile(
    Shared(state): Shared<State>,
    who: Who,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let planned = request_reconcile(&state, &name, true).await?;
    let path = network_path(&name);
    let content = html! {
        section class="say idle" {
            p class="crumb" { a href="/networks" { "Networks" } " / " a href=(path) { (name) } " / reconcile" }
            h1 { "What would make " (name) " whole" }
            p { "Nothing has been sent. What hosts refused before is tried again at once." }
        }
        (plan::render_plan(&planned))
        div class="acts" {
            @if state.reconciler.is_none() {
                p class="note warn" { (Mark::Warn.shape()) " This manager changes no host: " code { "sdn.ovs.controller" } " is off. It only shows what it would do." }
                a class="btn" href=(path) { "Back" }
            } @else { (decision_form(&state, &who, &format!("{path}/reconcile"), &path)) }
        }
    };
    let title = format!("Reconcile {name}");
    let view = View { here: Here::Networks, title: &title, json: None, again: None, form: None, content };
    Ok(render_page(&state, &who, view))
}

pub(super) async fn reconcile(
    Shared(state): Shared<State>,
    who: Who,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
    Form(token): Form<Token>,
) -> Result<Response, ApiError> {
    token.check_form(&state, &who)?;
    let plan = request_reconcile(&state, &name, false).await?;
    Ok(redirect_done(&state, &who, &network_path(&name), plan::sentence_of(&plan), "asked for"))
}

pub(super) async fn plan_resync(
    Shared(state): Shared<State>,
    who: Who,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
) -> Result<Response, ApiError> {
    let host = find_host(&state, &name)?;
    let path = format!("/hosts/{}", percent_encoded(&host.name));
    let content = html! {
        section class="say idle" {
            p class="crumb" { a href="/hosts" { "Hosts" } " / " a href=(path) { (host.name) } " / connect anew" }
            h1 { "Connect anew to " (host.name) }
            p { "The connection to " code { (host.api) } " ends, a new one is made, and everything that the host has is taken in again. Nothing on the host is changed; until it has answered, its networks are not proven." }
        }
        div class="acts" { (decision_form(&state, &who, &format!("{path}/resync"), &path)) }
    };
    let title = format!("Connect anew to {name}");
    let view = View { here: Here::Hosts, title: &title, json: None, again: None, form: None, content };
    Ok(render_page(&state, &who, view))
}

pub(super) async fn resync(
    Shared(state): Shared<State>,
    who: Who,
    ValidPath(name): ValidPath<String>,
    _: NoQuery,
    Form(token): Form<Token>,
) -> Result<Response, ApiError> {
    token.check_form(&state, &who)?;
    let host = request_resync(&state, &name).await?;
    let text = format!("{} is being connected to anew. Nothing on it was changed.", host.name);
    Ok(redirect_done(&state, &who, &format!("/hosts/{}", percent_encoded(&host.name)), text, "resync"))
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
    token.check_form(&state, &who)?;
    let hold = record_decision(&state, &who.peer, id, word)?;
    let (became, effect) = match word {
        Said::Approved => ("it is approved, and goes now", "approved"),
        _ => ("it is refused, and stays", "refused"),
    };
    Ok(redirect_done(&state, &who, "/holds", format!("{}: {became}.", holds::hold_title(&hold)), effect))
}
