//! The values of the manager's own sections that have rules of their own.
//!
//! What it does: turns one TOML value into its type, or says what was expected; the TOML reader adds the line. What it must not do:
//! know which key a value belongs to.

use std::path::PathBuf;
use std::time::Duration;

use humantime_serde::re::humantime;
use ovstunnel_server::config::values::{parse_text, path};
use ovstunnel_types::is_plain_name;
use serde::de::{Deserialize, Deserializer, Error, Unexpected};

/// Longest name of a zone, a host or a network.
pub const NAME_MAX: usize = 63;

/// Longest label of a device, bridge or network: what the specification's table takes.
pub const LABEL_MAX: usize = 45;

/// Whether a text can be a label.
pub fn is_label(text: &str) -> bool {
    (1..=LABEL_MAX).contains(&text.chars().count()) && !text.chars().any(char::is_control)
}

pub(super) fn name<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    parse_text(d, "a name: 1 to 63 characters of A-Z, a-z, 0-9, `.`, `_` and `-`", |t| {
        is_plain_name(t, NAME_MAX).then(|| t.to_owned())
    })
}

pub(super) fn label<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    parse_text(
        d,
        "the name of a device, bridge or network: 1 to 45 characters, none of them a control character",
        |t| is_label(t).then(|| t.to_owned()),
    )
}

pub(super) fn some_label<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    label(d).map(Some)
}

pub(super) fn some_path<'de, D: Deserializer<'de>>(d: D) -> Result<Option<PathBuf>, D::Error> {
    path(d).map(Some)
}

/// The value is not shown in the error: there may be a password in it.
pub(super) fn cloudstack<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(d)?;
    let good = text.split_once("://").is_some_and(|(scheme, rest)| {
        let parts = rest.split_once('/');
        ["mysql", "mariadb"].contains(&scheme) && parts.is_some_and(|(host, name)| !host.is_empty() && !name.is_empty())
    });
    let rule = "expected mysql://USER:PASSWORD@HOST/DATABASE, such as \"mysql://reader:secret@192.0.2.9/cloud\"; the value is not shown";
    if good { Ok(Some(text)) } else { Err(D::Error::custom(rule)) }
}

pub(super) fn concurrency<'de, D: Deserializer<'de>>(d: D) -> Result<usize, D::Error> {
    let number = i64::deserialize(d)?;
    let good = usize::try_from(number).ok().filter(|number| (1..=1024).contains(number));
    good.ok_or_else(|| D::Error::invalid_value(Unexpected::Signed(number), &"a whole number from 1 to 1024"))
}

pub(super) fn most_events<'de, D: Deserializer<'de>>(d: D) -> Result<u64, D::Error> {
    let number = i64::deserialize(d)?;
    let good = u64::try_from(number).ok().filter(|number| (1000..=100_000_000).contains(number));
    good.ok_or_else(|| D::Error::invalid_value(Unexpected::Signed(number), &"a whole number from 1000 to 100000000"))
}

pub(super) fn parse_duration_within(text: &str, least: Duration, most: Duration) -> Option<Duration> {
    humantime::parse_duration(text).ok().filter(|d| (least..=most).contains(d))
}

const DAY: u64 = 86_400;

pub(super) fn dead_after<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_text(d, r#"a duration from "10s" to "1d", such as "10m""#, |t| {
        parse_duration_within(t, Duration::from_secs(10), Duration::from_secs(DAY))
    })
}

pub(super) fn keep<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_text(d, r#"a duration from "1h" to "10years", such as "30d""#, |t| {
        parse_duration_within(t, Duration::from_secs(3600), Duration::from_secs(3_660 * DAY))
    })
}

pub(super) fn linger<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_text(d, r#"a duration from "0s" to "1d", such as "30s""#, |t| {
        parse_duration_within(t, Duration::ZERO, Duration::from_secs(DAY))
    })
}

pub(super) fn migration<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_text(d, r#"a duration from "1m" to "7d", such as "1h""#, |t| {
        parse_duration_within(t, Duration::from_secs(60), Duration::from_secs(7 * DAY))
    })
}

pub(super) fn session<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_text(d, r#"a duration from "5m" to "7d", such as "8h""#, |t| {
        parse_duration_within(t, Duration::from_secs(300), Duration::from_secs(7 * DAY))
    })
}

pub(super) fn gc<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_text(d, r#"a duration from "1m" to "30d", such as "20m""#, |t| {
        parse_duration_within(t, Duration::from_secs(60), Duration::from_secs(30 * DAY))
    })
}

pub(super) fn share<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
    let share = f64::deserialize(d)?;
    let good = Some(share).filter(|share| (0.0..=1.0).contains(share));
    good.ok_or_else(|| D::Error::invalid_value(Unexpected::Float(share), &"a share from 0 to 1, such as 0.1"))
}
