//! What the manager's `GET /v1/watch` streams: the zone in numbers, then each network and each host that changes. Must not judge.
//!
//! Server-sent events, as a daemon's: `event` is the name below, `data` the JSON of the type named, `id` is `<instance>-<version>`. `snapshot` comes
//! first, unless `Last-Event-ID` names a position from which every change is still known.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{Host, Network, Overview};

/// Event `network_gone` or `host_gone`: there is none of this name any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Gone {
    /// The name.
    pub name: String,
}

/// One event of a watch of the zone.
#[derive(Clone, Debug, PartialEq)]
pub enum ZoneEvent {
    /// The zone in numbers. What is asked for after it is as new as that, and each later change follows.
    Snapshot(Box<Overview>),
    /// The zone in numbers, which are others now.
    Overview(Box<Overview>),
    /// A network is new or has changed; with its hosts, as in the answer to one network.
    Network(Box<Network>),
    /// A network is gone.
    NetworkGone(Gone),
    /// A host is new or has changed, in more than the age of its last word.
    Host(Box<Host>),
    /// A host is not registered any more.
    HostGone(Gone),
    /// Nothing has changed: the manager is there. Every 2 seconds.
    Ping,
}

impl ZoneEvent {
    /// The event's name.
    pub fn name(&self) -> &'static str {
        match self {
            ZoneEvent::Snapshot(_) => "snapshot",
            ZoneEvent::Overview(_) => "overview",
            ZoneEvent::Network(_) => "network",
            ZoneEvent::NetworkGone(_) => "network_gone",
            ZoneEvent::Host(_) => "host",
            ZoneEvent::HostGone(_) => "host_gone",
            ZoneEvent::Ping => "ping",
        }
    }

    /// The event's data, as JSON.
    ///
    /// # Errors
    /// Where a value cannot be written, which none of these is.
    pub fn data(&self) -> Result<String, serde_json::Error> {
        match self {
            ZoneEvent::Snapshot(overview) | ZoneEvent::Overview(overview) => serde_json::to_string(overview),
            ZoneEvent::Network(network) => serde_json::to_string(network),
            ZoneEvent::Host(host) => serde_json::to_string(host),
            ZoneEvent::NetworkGone(gone) | ZoneEvent::HostGone(gone) => serde_json::to_string(gone),
            ZoneEvent::Ping => Ok("{}".to_owned()),
        }
    }

    /// An event as it was received; none where its name is not known, which a reader passes over: a newer manager may have more.
    ///
    /// # Errors
    /// Where the data is not what the name promises.
    pub fn parse_event(name: &str, data: &str) -> Result<Option<ZoneEvent>, serde_json::Error> {
        Ok(Some(match name {
            "snapshot" => ZoneEvent::Snapshot(serde_json::from_str(data)?),
            "overview" => ZoneEvent::Overview(serde_json::from_str(data)?),
            "network" => ZoneEvent::Network(serde_json::from_str(data)?),
            "network_gone" => ZoneEvent::NetworkGone(serde_json::from_str(data)?),
            "host" => ZoneEvent::Host(serde_json::from_str(data)?),
            "host_gone" => ZoneEvent::HostGone(serde_json::from_str(data)?),
            "ping" => ZoneEvent::Ping,
            _ => return Ok(None),
        }))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn an_event_reads_as_written_an_unknown_one_is_skipped() {
        for gone in [ZoneEvent::NetworkGone, ZoneEvent::HostGone].map(|event| event(Gone { name: "n1".into() })) {
            assert_eq!(ZoneEvent::parse_event(gone.name(), &gone.data().unwrap()).unwrap(), Some(gone));
        }
        assert_eq!(ZoneEvent::parse_event("ping", "{}").unwrap(), Some(ZoneEvent::Ping));
        assert_eq!(ZoneEvent::parse_event("of_tomorrow", "{}").unwrap(), None);
        assert!(ZoneEvent::parse_event("host", "{}").is_err());
    }
}
