//! serde's errors in a caller's words: field, rule, value.
//!
//! What it does: takes apart the fixed sentences that serde makes. What it must not do: fail on a sentence it does not
//! know; that one is passed on as the rule.

use serde_json::Value;
use serde_path_to_error::{Path, Segment};

use crate::problem::ApiError;

/// An error in a JSON document that is JSON, but not what was asked for.
pub(super) fn explain_json(path: &Path, error: &serde_json::Error, document: &str) -> ApiError {
    // What is broken further on cannot be looked into; the value is left out then.
    let whole = serde_json::from_str::<Value>(document).ok();
    explain_error(path, &error_sentence(error), || {
        whole.as_ref().and_then(|whole| look_up(whole, path)).map(|found| match found {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
    })
}

/// An error in the query; `pairs` are its names and values.
pub(super) fn explain_query(path: &Path, message: &str, mut pairs: form_urlencoded::Parse<'_>) -> ApiError {
    let name = path.to_string();
    explain_error(path, message, || pairs.find(|(n, _)| *n == name).map(|(_, value)| value.into_owned()))
}

/// The sentence without the place, which serde_json adds to it.
pub(super) fn error_sentence(error: &serde_json::Error) -> String {
    let all = error.to_string();
    all.strip_suffix(&format!(" at line {} column {}", error.line(), error.column())).unwrap_or(&all).to_owned()
}

fn explain_error(path: &Path, message: &str, value: impl FnOnce() -> Option<String>) -> ApiError {
    if let Some(name) = quoted_name(message, "missing field ") {
        return ApiError::invalid(join_path(path, name), "is required", None);
    }
    if let Some(name) = quoted_name(message, "duplicate field ") {
        return ApiError::invalid(join_path(path, name), "may be given only once", None);
    }
    if let Some(name) = quoted_name(message, "unknown field ") {
        let rule = match message.split_once("expected ") {
            Some((_, known)) => format!("is not known here; known: {}", known.trim_start_matches("one of ")),
            None => "is not known here; there are no fields".to_owned(),
        };
        return ApiError::invalid(join_path(path, name), rule, None);
    }
    let rule = match message.rsplit_once("expected ") {
        Some((_, expected)) => format!("must be {}", in_words(expected)),
        None => other_message(message),
    };
    let field = match path.to_string() {
        root if root == "." => "body".to_owned(),
        field => field,
    };
    ApiError::invalid(field, rule, value().as_deref())
}

/// The name in backquotes that follows `before`, at the beginning of `message`.
fn quoted_name<'a>(message: &'a str, before: &str) -> Option<&'a str> {
    let rest = message.strip_prefix(before)?.strip_prefix('`')?;
    // A hostile name may hold backquotes; what serde puts after it does so only later.
    let end = rest.find("`, expected ").or_else(|| rest.find("`, there are no")).or_else(|| rest.rfind('`'))?;
    Some(&rest[..end])
}

/// `name` inside of what `path` leads to. serde's path to an unknown or repeated field ends with the field itself.
fn join_path(path: &Path, name: &str) -> String {
    let segments: Vec<_> = path.iter().collect();
    let parent = match segments.split_last() {
        Some((Segment::Map { key }, _)) if key == name => return path.to_string(),
        Some((Segment::Unknown, _)) | None => String::new(),
        Some(_) => path.to_string(),
    };
    if parent.is_empty() { name.to_owned() } else { format!("{parent}.{name}") }
}

/// What was expected, without Rust's names.
fn in_words(expected: &str) -> String {
    match expected {
        "i8" | "i16" | "i32" | "i64" => "a whole number".to_owned(),
        "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number, not negative".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "an object".to_owned(),
        text if text.starts_with("struct ") => "an object".to_owned(),
        text => text.trim_start_matches("one of ").to_owned(),
    }
}

fn other_message(message: &str) -> String {
    match message {
        "provided string was not `true` or `false`" => "must be true or false".to_owned(),
        // What Rust says of a text that is no number.
        "invalid digit found in string" | "cannot parse integer from empty string" => {
            "must be a whole number".to_owned()
        }
        "number too large to fit in target type" => "must be a smaller number".to_owned(),
        "number too small to fit in target type" => "must be a larger number".to_owned(),
        text => format!("is not right: {text}"),
    }
}

fn look_up<'a>(whole: &'a Value, path: &Path) -> Option<&'a Value> {
    path.iter().try_fold(whole, |at, segment| match segment {
        Segment::Seq { index } => at.get(index),
        Segment::Map { key } => at.get(key),
        Segment::Enum { .. } | Segment::Unknown => None,
    })
}
