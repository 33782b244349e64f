//! Errors of the API as answers: `application/problem+json`.
//!
//! What it does: makes an [`ApiError`] for each code and turns it into an answer; shortens and escapes what came from the
//! client before it is shown again. What it must not do: decide what is an error.

use std::fmt::{self, Display};

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use ovstunnel_api::{Code, Problem, RefusedTunnel};

/// Content type of every error.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Characters of a client's value that an error shows.
const SHOWN: usize = 100;

/// An error answer. Boxed, since almost all results are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError(Box<Problem>);

impl ApiError {
    /// An error with nothing but a code and an explanation.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem::new(code, detail).into()
    }

    /// 400: `field` breaks `rule`, which reads on from the field's name: "must be …". The value is shortened and escaped
    /// here; None where there is none.
    pub fn invalid(field: impl Display, rule: impl Display, value: Option<&str>) -> Self {
        let (mut field, value) = (echo(&field.to_string()), value.map(echo));
        if field.is_empty() {
            // JSON may have a field without a name.
            field.push_str("\"\"");
        }
        let but = value.as_ref().map(|v| format!(", not `{v}`")).unwrap_or_default();
        let mut problem = Problem::new(Code::InvalidRequest, format!("{field} {rule}{but}"));
        problem.field = Some(field);
        problem.rule = Some(cut(rule.to_string()));
        problem.value = value;
        problem.into()
    }

    /// 404: there is no such thing.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(Code::NotFound, detail)
    }

    /// 403: the caller may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(Code::Forbidden, detail)
    }

    /// 409: the bridge or port `in_the_way` keeps it from being done.
    pub fn conflict(in_the_way: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Problem::new(Code::Conflict, detail);
        problem.in_the_way = Some(in_the_way.into());
        problem.into()
    }

    /// 422: Open vSwitch refused it, or these tunnels of it.
    pub fn refused(detail: impl Into<String>, tunnels: Vec<RefusedTunnel>) -> Self {
        let mut problem = Problem::new(Code::SwitchRefused, detail);
        problem.refused = tunnels;
        problem.into()
    }

    /// 503: the switch cannot be reached; nothing was changed.
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(Code::SwitchUnavailable, detail)
    }

    /// 504: a deadline passed, and it is not known whether the change took effect.
    pub fn outcome_unknown(detail: impl Into<String>) -> Self {
        Self::new(Code::OutcomeUnknown, detail)
    }

    /// 500: a fault of the daemon.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(Code::Internal, detail)
    }

    /// What will be answered.
    pub fn problem(&self) -> &Problem {
        &self.0
    }

    /// To add to what will be answered, for example the bridge as it is now.
    pub fn problem_mut(&mut self) -> &mut Problem {
        &mut self.0
    }

    /// Under which id the log speaks of the request.
    #[must_use]
    pub fn with_request_id(mut self, id: impl Into<String>) -> Self {
        self.0.request_id = Some(id.into());
        self
    }

    /// The body of the answer.
    pub fn body(&self) -> Vec<u8> {
        // A struct of text and numbers: serde_json cannot fail on it.
        serde_json::to_vec(&self.0).unwrap_or_default()
    }
}

impl From<Problem> for ApiError {
    /// Whatever others have said in it, its explanation has a bounded length.
    fn from(mut problem: Problem) -> Self {
        problem.detail = cut(problem.detail);
        ApiError(Box::new(problem))
    }
}

impl Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.detail)
    }
}

impl std::error::Error for ApiError {}

impl IntoResponse for ApiError {
    /// The answer carries the error as an extension too, so that the outermost layer can add the request id.
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, [(CONTENT_TYPE, PROBLEM_JSON)], self.body()).into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// Characters of others' words in a sentence of ours, where a value would have [`SHOWN`].
const WORDS: usize = 400;

/// Characters of an explanation.
const DETAIL: usize = 4096;

/// The beginning of a text that is too long.
fn cut(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(DETAIL) {
        text.truncate(at);
        text.push('…');
    }
    text
}

/// What somebody else says, such as a library of a client's bytes or a program on standard error: as [`echo`], but a
/// sentence. What is beyond its end is not even put together.
pub fn words(said: &dyn Display) -> String {
    /// Takes text until there is enough.
    struct Beginning(String);
    impl fmt::Write for Beginning {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.extend(text.chars().take(WORDS + 1));
            // No character has more than four bytes.
            if self.0.len() > WORDS * 4 { Err(fmt::Error) } else { Ok(()) }
        }
    }
    let mut beginning = Beginning(String::new());
    // It fails where there is enough.
    let _ = fmt::Write::write_fmt(&mut beginning, format_args!("{said}"));
    harmless(&beginning.0, WORDS)
}

/// An error with its sources.
pub fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}

/// Text of a client as it may be shown: at most about 100 characters, control characters and those that change the
/// direction of writing escaped.
pub fn echo(text: &str) -> String {
    harmless(text, SHOWN)
}

/// Text of others with at most `longest` characters, escapes counted, and `…` where more was cut off.
pub(crate) fn harmless(text: &str, longest: usize) -> String {
    let (mut shown, mut left) = (String::new(), longest);
    for c in text.chars() {
        let reorders =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}');
        let escaped = if c.is_control() || reorders { c.escape_default().to_string() } else { c.to_string() };
        match left.checked_sub(escaped.chars().count()) {
            Some(rest) => left = rest,
            None => {
                shown.push('…');
                break;
            }
        }
        shown.push_str(&escaped);
    }
    shown
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn an_invalid_field_is_told_with_rule_and_value() {
        let error = ApiError::invalid("key", "must be a number from 1 to 2147483647", Some("0"));
        let problem = error.problem();
        assert_eq!(problem.detail, "key must be a number from 1 to 2147483647, not `0`");
        assert_eq!((problem.field.as_deref(), problem.value.as_deref()), (Some("key"), Some("0")));
        assert_eq!(error.into_response().status(), 400);
        assert_eq!(ApiError::invalid("", "is not known here", None).problem().detail, "\"\" is not known here");
    }

    #[test]
    fn every_code_answers_with_its_status_and_type() {
        let all = [
            (ApiError::not_found("x"), 404, "not_found"),
            (ApiError::forbidden("x"), 403, "forbidden"),
            (ApiError::conflict("br0", "x"), 409, "conflict"),
            (ApiError::refused("x", vec![]), 422, "switch_refused"),
            (ApiError::unavailable("x"), 503, "switch_unavailable"),
            (ApiError::outcome_unknown("x"), 504, "outcome_unknown"),
            (ApiError::internal("x"), 500, "internal"),
        ];
        for (error, status, code) in all {
            let body: serde_json::Value = serde_json::from_slice(&error.body()).unwrap();
            assert_eq!((&body["code"], &body["status"]), (&code.into(), &status.into()));
            let response = error.into_response();
            assert_eq!(response.status().as_u16(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        }
    }

    #[test]
    fn what_others_say_is_cut_while_it_is_put_together() {
        struct Endless;
        impl Display for Endless {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                loop {
                    f.write_str("é, ")?;
                }
            }
        }
        let said = words(&Endless);
        assert!(said.ends_with('…') && said.chars().count() == WORDS + 1, "{said}");
        assert_eq!(words(&"x".repeat(100_000)).chars().count(), WORDS + 1);
        let long = ApiError::unavailable("é".repeat(100_000));
        assert_eq!(long.problem().detail.chars().count(), DETAIL + 1);
        assert_eq!(words(&"short\x1b"), "short\\u{1b}");
    }

    #[test]
    fn a_clients_text_is_cut_and_escaped() {
        assert_eq!(echo("a\nb\u{1b}[31m\u{202e}ü"), r"a\nb\u{1b}[31m\u{202e}ü");
        assert_eq!(echo(&"é".repeat(101)), format!("{}…", "é".repeat(100)));
        assert_eq!(echo(&"x".repeat(100)), "x".repeat(100));
        // Found by tests/fuzz: escapes made it six times as long.
        assert_eq!(echo(&"\u{7f}".repeat(20)), format!("{}…", r"\u{7f}".repeat(16)));
    }
}
