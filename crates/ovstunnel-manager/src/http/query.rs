//! Parameters of requests that have rules of their own. Must not know what they are for.

use ovstunnel_server::problem::ApiError;
use ovstunnel_types::is_plain_name;
use serde::de::{Deserialize, Deserializer, Error};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::config::NAME_MAX;

/// Rows of a page at most.
pub(super) const LIMIT: usize = 1000;

/// The rule for names, as it reads on from the field.
const NAME: &str =
    "must be 1 to 63 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, of which the first is not `.` or `-`";

/// Checks a name.
pub(super) fn check_name<'a>(field: &str, text: &'a str) -> Result<&'a str, ApiError> {
    match is_plain_name(text, NAME_MAX) {
        true => Ok(text),
        false => Err(ApiError::invalid(field, NAME, Some(text))),
    }
}

/// A whole number from 1 to the most.
pub(super) fn parse_whole<'de, D: Deserializer<'de>>(from: D, most: u64) -> Result<u64, D::Error> {
    let text = String::deserialize(from)?;
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = Some(text).filter(|_| digits).and_then(|text| text.parse().ok());
    let expected = || D::Error::custom(format!("expected a whole number from 1 to {most}"));
    number.filter(|number| (1..=most).contains(number)).ok_or_else(expected)
}

pub(super) fn limit<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    parse_whole(from, LIMIT as u64).map(|number| usize::try_from(number).ok())
}

pub(super) fn page<'de, D: Deserializer<'de>>(from: D) -> Result<Option<usize>, D::Error> {
    parse_whole(from, 1_000_000).map(|number| usize::try_from(number).ok())
}

pub(super) fn id<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    parse_whole(from, i64::MAX as u64).map(Some)
}

/// A time.
pub(super) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<OffsetDateTime>, D::Error> {
    let text = String::deserialize(from)?;
    let expected = |_| D::Error::custom("expected a time by RFC 3339, such as 2026-01-31T13:00:00Z");
    OffsetDateTime::parse(&text, &Rfc3339).map(Some).map_err(expected)
}

/// A part of a name.
pub(super) fn search<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(from)?;
    let is_good = (1..=NAME_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    let expected = || D::Error::custom("expected 1 to 63 characters, none of them a control character");
    if is_good { Ok(Some(text)) } else { Err(expected()) }
}

/// One of several words, or more of them, separated by commas.
pub(super) fn parse_words<'de, D: Deserializer<'de>, T: Copy>(
    from: D,
    all: &[(&str, T)],
) -> Result<Option<Vec<T>>, D::Error> {
    let text = String::deserialize(from)?;
    let word = |text: &str| all.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    let names: Vec<&str> = all.iter().map(|(word, _)| *word).collect();
    let expected =
        || D::Error::custom(format!("expected {}, or several of them, separated by commas", names.join(" or ")));
    text.split(',').map(word).collect::<Option<Vec<T>>>().ok_or_else(expected).map(Some)
}
