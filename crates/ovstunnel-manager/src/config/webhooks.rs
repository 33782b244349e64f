//! `[[webhooks]]`: who is told of what happens.
//!
//! What it must not do: read the secrets, or send anything.

use std::path::PathBuf;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::values;

/// Longest name: it is a part of that of a setting.
const NAME_MAX: usize = 40;

/// A table `[[webhooks]]`: events of these kinds are sent by POST to this address, each until it is taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Its name, by which it is known where it had got to: 1 to 40 characters of A-Z, a-z, 0-9, `.`, `_` and `-`.
    #[serde(deserialize_with = "values::name")]
    pub name: String,
    /// `https://` or `http://`, host and path. It is not shown but for the host, since paths may be secrets.
    #[serde(deserialize_with = "url")]
    pub url: String,
    /// A file with the secret by which each message is signed (HMAC-SHA256): its text without blanks at its ends. Without it nothing is signed.
    #[serde(default, deserialize_with = "values::some_path", skip_serializing_if = "Option::is_none")]
    pub secret: Option<PathBuf>,
    /// Certificates of the authorities that the receiver's certificate may come from, PEM. Without it those of the system.
    #[serde(default, deserialize_with = "values::some_path", skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Kinds of events, as `ovstunnelctl zone events` has them.
    #[serde(default = "usual", deserialize_with = "kinds")]
    pub events: Vec<String>,
}

fn usual() -> Vec<String> {
    ["fault_found", "fault_gone", "hold", "database_older"].map(str::to_owned).into()
}

fn url<'de, D: Deserializer<'de>>(d: D) -> Result<String, D::Error> {
    let text = String::deserialize(d)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_good = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        && text.len() <= 2000
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    // The value may have a secret in it.
    let expected = || {
        D::Error::custom(
            "expected https://HOST/PATH or http://HOST/PATH of at most 2000 letters; the value is not shown",
        )
    };
    if is_good { Ok(text) } else { Err(expected()) }
}

fn kinds<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let all = Vec::<String>::deserialize(d)?;
    let is_kind = |kind: &String| {
        (1..=63).contains(&kind.len()) && kind.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    };
    match all.iter().find(|kind| !is_kind(kind)) {
        Some(bad) => Err(D::Error::custom(format!("expected kinds of events such as \"fault_found\"; got `{bad}`"))),
        None if all.is_empty() => Err(D::Error::custom("expected at least one kind of event")),
        None => Ok(all),
    }
}

/// Each name once.
pub(super) fn webhooks<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<Webhook>, D::Error> {
    let all = Vec::<Webhook>::deserialize(d)?;
    if let Some(long) = all.iter().find(|one| one.name.len() > NAME_MAX) {
        return Err(D::Error::custom(format!("name: expected at most {NAME_MAX} characters; got `{}`", long.name)));
    }
    match all.iter().enumerate().find(|(n, one)| all[..*n].iter().any(|other| other.name == one.name)) {
        Some((_, twice)) => Err(D::Error::custom(format!("the name `{}` is there twice", twice.name))),
        None => Ok(all),
    }
}
