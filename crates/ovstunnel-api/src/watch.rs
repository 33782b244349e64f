//! What `GET /v1/watch` streams: the host's managed bridges as they are, then each change. Must not judge.
//!
//! Server-sent events (WHATWG HTML, 9.2). `event` is the name below, `data` the JSON of the type named, `id` is
//! `<instance>-<version>` ([`Position`]). `snapshot` comes first, unless `Last-Event-ID` names a position from which the daemon can
//! still tell every change.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Bridge, Health};

/// How far a watch has come: which life of the daemon, and the number of the last change in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Which life of the daemon the version counts in: letters and digits.
    pub instance: String,
    /// Counts the changes.
    pub version: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.instance, self.version)
    }
}

/// A text is no position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPosition;

impl NoPosition {
    /// The rule that it breaks, as it reads on from a field's name.
    pub fn rule(self) -> &'static str {
        "must be <instance>-<version>, the id of an event of this watch"
    }
}

impl fmt::Display for NoPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.rule())
    }
}

impl std::error::Error for NoPosition {}

impl FromStr for Position {
    type Err = NoPosition;

    fn from_str(text: &str) -> Result<Self, NoPosition> {
        let (instance, version) = text.rsplit_once('-').ok_or(NoPosition)?;
        let is_word = !instance.is_empty() && instance.bytes().all(|byte| byte.is_ascii_alphanumeric());
        match version.parse() {
            Ok(version) if is_word && instance.len() <= 64 => Ok(Position { instance: instance.to_owned(), version }),
            _ => Err(NoPosition),
        }
    }
}

/// Event `snapshot`: everything, as it is at the event's position. What the reader knew before is void.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::watch_snapshot()))]
pub struct WatchSnapshot {
    /// Version of the daemon.
    pub daemon: String,
    /// What the daemon can do beyond version 1 of the API as it began: words such as `xapi`, `claims`. A reader ignores
    /// those that it does not know.
    pub capabilities: Vec<String>,
    /// The host's id, where all its managed bridges that have one have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_id: Option<String>,
    /// UUID of the zone whose manager may write here, where one is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// The number of that manager's leadership; what an older one writes is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u64>,
    /// The host's health.
    pub health: Health,
    /// All managed bridges, by name.
    pub bridges: Vec<Bridge>,
}

/// Event `bridge_gone`: a bridge is not managed any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::bridge_gone()))]
pub struct BridgeGone {
    /// Its name.
    pub name: String,
    /// Whether a call of the plugin has taken it away, which says that the host has no VM of the network any more. Else nothing is
    /// known of that: an empty switch, for example, is no such word.
    pub by_plugin: bool,
}

/// What the plugin's last call for a bridge says about whether its host has VMs of the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClaimSays {
    /// The bridge was set up: it has.
    In,
    /// The bridge was to be destroyed: it has none.
    Out,
    /// A tunnel was created: the host and the other end have, for the next minute.
    Tunnel,
}

/// The last call of the plugin for a bridge, as `external_ids:ovstunnel-claim` keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::claim()))]
pub struct Claim {
    /// What it says.
    pub says: ClaimSays,
    /// When it was made: RFC 3339, UTC.
    pub at: String,
    /// Id of the host at the other end, where a tunnel was created.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

/// One event of a watch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// Everything.
    Snapshot(Box<WatchSnapshot>),
    /// A bridge is new or has changed.
    Bridge(Box<Bridge>),
    /// A bridge is gone.
    BridgeGone(BridgeGone),
    /// The host's health has changed.
    Health(Box<Health>),
    /// Devices of the host or their addresses have changed: what `GET /v1/interfaces` says may be other. At most once a second, and only where the
    /// `capabilities` say `addresses`.
    Addresses,
    /// Nothing has: the daemon is there. Every 2 seconds.
    Ping,
}

impl WatchEvent {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            WatchEvent::Snapshot(_) => "snapshot",
            WatchEvent::Bridge(_) => "bridge",
            WatchEvent::BridgeGone(_) => "bridge_gone",
            WatchEvent::Health(_) => "health",
            WatchEvent::Addresses => "addresses",
            WatchEvent::Ping => "ping",
        }
    }

    /// The event's data, as JSON.
    ///
    /// # Errors
    /// Where a value cannot be written, which none of these is.
    pub fn data(&self) -> Result<String, serde_json::Error> {
        match self {
            WatchEvent::Snapshot(snapshot) => serde_json::to_string(snapshot),
            WatchEvent::Bridge(bridge) => serde_json::to_string(bridge),
            WatchEvent::BridgeGone(gone) => serde_json::to_string(gone),
            WatchEvent::Health(health) => serde_json::to_string(health),
            WatchEvent::Addresses | WatchEvent::Ping => Ok("{}".to_owned()),
        }
    }

    /// An event as it was received; none where its name is not known, which a reader passes over: a newer daemon may have more.
    ///
    /// # Errors
    /// Where the data is not what the name promises.
    pub fn parse_event(name: &str, data: &str) -> Result<Option<WatchEvent>, serde_json::Error> {
        Ok(Some(match name {
            "snapshot" => WatchEvent::Snapshot(serde_json::from_str(data)?),
            "bridge" => WatchEvent::Bridge(serde_json::from_str(data)?),
            "bridge_gone" => WatchEvent::BridgeGone(serde_json::from_str(data)?),
            "health" => WatchEvent::Health(serde_json::from_str(data)?),
            "addresses" => WatchEvent::Addresses,
            "ping" => WatchEvent::Ping,
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_position_is_an_instance_and_a_version() {
        let position = Position { instance: "5f3a".into(), version: 17 };
        assert_eq!("5f3a-17".parse(), Ok(position.clone()));
        assert_eq!(position.to_string(), "5f3a-17");
        for bad in ["", "-", "17", "5f3a-", "-17", "5f3a-x", "5 f-1", "5f3a-18446744073709551616"] {
            assert_eq!(bad.parse::<Position>(), Err(NoPosition), "{bad:?}");
        }
    }

    #[test]
    fn an_event_reads_as_written_an_unknown_one_is_skipped() {
        let gone = WatchEvent::BridgeGone(BridgeGone { name: "xapi3".into(), by_plugin: true });
        assert_eq!(WatchEvent::parse_event(gone.name(), &gone.data().unwrap()).unwrap(), Some(gone));
        assert_eq!(WatchEvent::parse_event("ping", "{}").unwrap(), Some(WatchEvent::Ping));
        assert_eq!(WatchEvent::parse_event("addresses", "{}").unwrap(), Some(WatchEvent::Addresses));
        assert_eq!(WatchEvent::parse_event("of_tomorrow", "{}").unwrap(), None);
        assert!(WatchEvent::parse_event("bridge", "{}").is_err());
    }
}
