//! What handlers take from a request: JSON body, query, path. Each refusal names field, rule and value.
//!
//! What it does: reads into the API's types, strictly. What it must not do: check what the types do not say; that is the
//! handlers'.

mod explain;

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::PathRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use http::header::CONTENT_TYPE;
use http::request::Parts;
use ovstunnel_api::Code;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::error::Category;

use crate::problem::ApiError;
use ovstunnel_types::text::excerpt;

/// The JSON body of a request.
#[derive(Clone, Copy, Debug)]
pub struct ValidJson<T>(pub T);

/// The JSON body of a request that may have none.
#[derive(Clone, Copy, Debug)]
pub struct OptionalJson<T>(pub Option<T>);

/// The parameters after the `?`.
#[derive(Clone, Copy, Debug)]
pub struct ValidQuery<T>(pub T);

/// That there are no parameters after the `?`: for routes that take none, so that who asks one for a dry run does not have the
/// real thing, and who mistypes a filter does not have everything.
#[derive(Clone, Copy, Debug)]
pub struct NoQuery;

/// The variable parts of the path, percent-decoded.
#[derive(Clone, Copy, Debug)]
pub struct ValidPath<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ValidJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let OptionalJson(body) = OptionalJson::from_request(request, state).await?;
        body.map(ValidJson).ok_or_else(|| ApiError::invalid("body", "must be a JSON object; it is empty", None))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let content_type = request.headers().get(CONTENT_TYPE).cloned();
        let body = Bytes::from_request(request, state)
            .await
            .map_err(|e| ApiError::new(Code::InvalidRequest, format!("the body could not be read: {e}")))?;
        if body.trim_ascii().is_empty() {
            return Ok(OptionalJson(None));
        }
        if !content_type.as_ref().is_some_and(|t| is_json(t.as_bytes())) {
            let got = content_type.map_or("there is none".to_owned(), |t| {
                format!("it is `{}`", excerpt(&String::from_utf8_lossy(t.as_bytes())))
            });
            return Err(ApiError::new(
                Code::UnsupportedMediaType,
                format!("the content-type of the body must be application/json; {got}"),
            ));
        }
        from_json(&body).map(|value| OptionalJson(Some(value)))
    }
}

/// `application/json`, with any parameters.
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|b| *b == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"application/json")
}

/// Reads a JSON object into its type.
///
/// # Errors
/// `invalid_request`, naming line and column where it is not JSON, and field, rule and value where it is.
pub fn from_json<T: DeserializeOwned>(body: &[u8]) -> Result<T, ApiError> {
    let text = std::str::from_utf8(body)
        .map_err(|e| ApiError::invalid("body", format!("must be UTF-8; byte {} is not", e.valid_up_to()), None))?;
    if !text.trim_ascii_start().starts_with('{') {
        // serde would take a list of the right values for an object too.
        serde_json::from_str::<IgnoredAny>(text).map_err(|e| broken_json(&e))?;
        return Err(ApiError::invalid("body", "must be a JSON object", Some(text)));
    }
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|e| {
        let path = e.path().clone();
        match e.inner().classify() {
            Category::Data => explain::explain_json(&path, &e.into_inner(), text),
            _ => broken_json(&e.into_inner()),
        }
    })?;
    json.end().map_err(|e| broken_json(&e))?;
    Ok(value)
}

fn broken_json(e: &serde_json::Error) -> ApiError {
    let rule = format!(
        "must be JSON; it is broken at line {}, column {}: {}",
        e.line(),
        e.column(),
        explain::error_sentence(e)
    );
    ApiError::invalid("body", rule, None)
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for ValidQuery<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        from_query(parts.uri.query().unwrap_or_default()).map(ValidQuery)
    }
}

/// Reads what follows the `?` into its type.
///
/// # Errors
/// `invalid_request`, naming parameter, rule and value.
pub fn from_query<T: DeserializeOwned>(query: &str) -> Result<T, ApiError> {
    let pairs = || form_urlencoded::parse(query.as_bytes());
    serde_path_to_error::deserialize(serde_urlencoded::Deserializer::new(pairs())).map_err(|e| {
        let path = e.path().clone();
        explain::explain_query(&path, &e.into_inner().to_string(), pairs())
    })
}

impl<S: Send + Sync> FromRequestParts<S> for NoQuery {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        match form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).next() {
            None => Ok(NoQuery),
            Some((name, _)) => Err(ApiError::invalid(name, "is not known here; there are no parameters", None)),
        }
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for ValidPath<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(ValidPath(value)),
            Err(e) if e.status().is_server_error() => Err(ApiError::internal(e.body_text())),
            Err(PathRejection::FailedToDeserializePathParams(e)) => match e.kind() {
                ErrorKind::InvalidUtf8InPathParam { key } => {
                    Err(ApiError::invalid(key, "must be UTF-8, percent-encoded", None))
                }
                _ => Err(ApiError::invalid("the path", "cannot be understood", Some(parts.uri.path()))),
            },
            Err(_) => Err(ApiError::invalid("the path", "cannot be understood", Some(parts.uri.path()))),
        }
    }
}

#[cfg(test)]
mod tests;
