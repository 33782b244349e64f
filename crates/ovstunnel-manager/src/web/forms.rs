//! Forms that only our own page can have made, for one person; the way to an act, and the note of what it did. Must not act.

use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::config::Role;
use ovstunnel_server::problem::ApiError;
use serde::Deserialize;

use super::marks::Mark;
use super::pages::link_to;
use super::who::Who;
use crate::http::State;

/// What each form has: what shows that our page has made it for who sends it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Token {
    token: String,
}

impl Token {
    /// That the form was made for this one, and not too long ago.
    pub fn check_form(&self, state: &State, who: &Who) -> Result<(), ApiError> {
        if state.sessions.is_token(&who.form_owner(), &self.token) {
            return Ok(());
        }
        let detail =
            "this form was not made by this manager for you, or too long ago; open the page again and try once more";
        Err(ApiError::forbidden(detail))
    }
}

/// A form of one button.
pub(super) fn button_form(state: &State, who: &Who, to: &str, button: &str, is_main: bool) -> Markup {
    html! {
        form method="post" action=(to) class="inline" {
            input type="hidden" name="token" value=(state.sessions.form_token(&who.form_owner()));
            button class=(if is_main { "btn go" } else { "btn" }) { (button) }
        }
    }
}

/// The way to an act's plan, for who may act; for others who may.
pub(super) fn plan_link(who: &Who, least: Role, to: &str, words: &str) -> Markup {
    html! {
        @if who.may_act_as(least) { a class="btn" href=(to) { (words) } }
        @else { span class="mute" { (words) ": for an " (least.as_str()) "; you are " (who.role.as_str()) "." } }
    }
}

/// Below a plan: the button for who may act, for others who may; and the way back.
pub(super) fn decision_form(state: &State, who: &Who, act: &str, back: &str) -> Markup {
    html! {
        @if who.may_act_as(Role::Operator) { (button_form(state, who, act, "Do it", true)) }
        @else { p class="mute" { "An operator may do it; you are " (who.role.as_str()) "." } }
        a class="btn" href=(back) { "Back" }
    }
}

/// What was done, where it was done a moment ago by who looks.
pub(super) fn done_note(state: &State, who: &Who, note: &str) -> Markup {
    let text = state.sessions.kept_note(&who.form_owner(), note);
    html! { @if let Some(text) = text { p class="note done" role="status" { (Mark::Ok.shape()) " " (text) } } }
}

/// To a view that says what was done; the audit gets a word of it.
pub(super) fn redirect_done(state: &State, who: &Who, to: &str, text: String, word: &str) -> Response {
    let note = state.sessions.take_note(&who.form_owner(), text);
    Effect::mark_response(word, Redirect::to(&link_to(to, &[("said", &note)])).into_response())
}
