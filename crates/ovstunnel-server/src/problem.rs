//! Errors of the API as answers: `application/problem+json`.
//!
//! What it does: makes an [`ApiError`] and turns it into an answer; shortens and escapes what came from the client before it
//! is shown again. What it must not do: decide what is an error, or know what a program's own codes are for.

use std::fmt::{self, Display};

use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use ovstunnel_api::{Code, Problem};

use ovstunnel_types::text::excerpt;

/// Content type of every error.
pub const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

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
        let (mut field, value) = (excerpt(&field.to_string()), value.map(excerpt));
        if field.is_empty() {
            // JSON may have a field without a name.
            field.push_str("\"\"");
        }
        let but = value.as_ref().map(|v| format!("; got `{v}`")).unwrap_or_default();
        let mut problem = Problem::new(Code::InvalidRequest, format!("{field} {rule}{but}"));
        problem.field = Some(field);
        problem.rule = Some(cut_text(rule.to_string()));
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

    /// 409: the thing `in_the_way` keeps it from being done.
    pub fn conflict(in_the_way: impl Into<String>, detail: impl Into<String>) -> Self {
        let mut problem = Problem::new(Code::Conflict, detail);
        problem.in_the_way = Some(in_the_way.into());
        problem.into()
    }

    /// 500: a fault of this program.
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
        problem.detail = cut_text(problem.detail);
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

/// Characters of an explanation.
const DETAIL: usize = 4096;

/// The beginning of a text that is too long.
fn cut_text(mut text: String) -> String {
    if let Some((at, _)) = text.char_indices().nth(DETAIL) {
        text.truncate(at);
        text.push('…');
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn an_invalid_field_is_told_with_rule_and_value() {
        let error = ApiError::invalid("key", "must be a number from 1 to 2147483647", Some("0"));
        let problem = error.problem();
        assert_eq!(problem.detail, "key must be a number from 1 to 2147483647; got `0`");
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
            (ApiError::internal("x"), 500, "internal"),
            (ApiError::new(Code::OutcomeUnknown, "x"), 504, "outcome_unknown"),
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
    fn an_explanation_has_an_end() {
        let long = ApiError::internal("é".repeat(100_000));
        assert_eq!(long.problem().detail.chars().count(), DETAIL + 1);
    }
}
