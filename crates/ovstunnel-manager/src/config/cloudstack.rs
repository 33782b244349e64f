//! `[cloudstack]`: CloudStack's API, which is read beside the zone.
//!
//! What it must not do: read the keys, or ask anything.

use std::path::PathBuf;
use std::time::Duration;

use ovstunnel_server::config::values::parse_text;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::values;

/// `[cloudstack]`: CloudStack's API, of which hosts, networks and VMs are read; nothing is changed there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CloudStack {
    /// Its address, such as `"https://cloud.example.net:8443/client/api"`. Without it nothing is read.
    #[serde(deserialize_with = "url")]
    pub url: Option<String>,
    /// A file with the API key in its first line and the secret key in its second, of a user who sees the whole zone (root admin). It should be
    /// readable by root alone.
    #[serde(deserialize_with = "values::some_path")]
    pub keys: Option<PathBuf>,
    /// Certificates of the authorities that the server's certificate may come from, PEM. Without it those of the system.
    #[serde(deserialize_with = "values::some_path")]
    pub ca: Option<PathBuf>,
    /// By what requests are signed: `"sha1"`, which every CloudStack takes, `"sha256"` or `"sha512"`, where it takes that.
    pub signature: Signature,
    /// CloudStack's id of the zone; all zones where it is not set.
    #[serde(deserialize_with = "zone")]
    pub zone: Option<String>,
    /// How often it is read: from `"10s"` to `"1h"`.
    #[serde(deserialize_with = "interval", serialize_with = "humantime_serde::serialize")]
    pub interval: Duration,
    /// A file with the secret key of a webhook of CloudStack's. With it `POST /v1/cloudstack/events` takes what is signed by it as a hint to read
    /// at once, of whoever sends it; nothing of its text counts.
    #[serde(deserialize_with = "values::some_path")]
    pub webhook_secret: Option<PathBuf>,
}

/// By what requests to CloudStack are signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Signature {
    /// HMAC-SHA1.
    #[default]
    Sha1,
    /// HMAC-SHA256.
    Sha256,
    /// HMAC-SHA512.
    Sha512,
}

impl Default for CloudStack {
    fn default() -> Self {
        CloudStack {
            url: None,
            keys: None,
            ca: None,
            signature: Signature::default(),
            zone: None,
            interval: Duration::from_secs(60),
            webhook_secret: None,
        }
    }
}

impl CloudStack {
    /// What one key alone cannot tell.
    pub(super) fn check_consistency(&self, is_heard: bool) -> Result<(), String> {
        match (&self.url, &self.keys) {
            (Some(_), None) => {
                Err("cloudstack.keys: is needed too; without keys CloudStack answers nothing".to_owned())
            }
            (None, _) if is_heard => {
                Err("membership.witnesses: has \"cloudstack\", and cloudstack.url does not say where it is".to_owned())
            }
            (None, _) if self.webhook_secret.is_some() => {
                Err("cloudstack.url: is needed too; a webhook is only a hint to read there".to_owned())
            }
            _ => Ok(()),
        }
    }
}

fn url<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(d)?;
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_good = rest
        .is_some_and(|rest| rest.contains('/') && !rest.starts_with('/') && !rest.contains(['?', '#', '@']))
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    let rule = "expected https://HOST:PORT/client/api or http://HOST:PORT/client/api, without user, `?` and `#`";
    if is_good { Ok(Some(text)) } else { Err(D::Error::custom(format!("{rule}; got `{text}`"))) }
}

fn zone<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(d)?;
    let is_good =
        (1..=63).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let rule = "expected the id of a zone, such as \"1746ef10-8fa6-40c1-9c82-c3956bf75db8\"";
    if is_good { Ok(Some(text)) } else { Err(D::Error::custom(format!("{rule}; got `{text}`"))) }
}

fn interval<'de, D: Deserializer<'de>>(d: D) -> Result<Duration, D::Error> {
    parse_text(d, r#"a duration from "10s" to "1h", such as "60s""#, |t| {
        values::parse_duration_within(t, Duration::from_secs(10), Duration::from_secs(3600))
    })
}
