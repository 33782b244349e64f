//! Tunnels on the wire. Must not know how a port name is made.

use std::fmt;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use crate::whole::whole_number;
use crate::{Bfd, Changed, Outcome, TunnelState};

/// A host's id as the management server counts it: text, or a number, which means its decimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(untagged)]
#[schema(example = json!(crate::example::id()))]
pub enum Id {
    /// A number, as CloudStack uses.
    #[schema(value_type = crate::schema::HostNumber)]
    Number(u64),
    /// Any short text.
    #[schema(value_type = ovstunnel_types::HostId)]
    Text(String),
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Id::Number(n) => write!(f, "{n}"),
            Id::Text(t) => f.write_str(t),
        }
    }
}

impl<'de> Deserialize<'de> for Id {
    /// By hand, so that the error says what is expected; a derived one speaks of variants.
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(IdVisitor)
    }
}

struct IdVisitor;

impl Visitor<'_> for IdVisitor {
    type Value = Id;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a whole number, not negative")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Id, E> {
        Ok(Id::Number(number))
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Id, E> {
        u64::try_from(number).map(Id::Number).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Id, E> {
        match whole_number(number) {
            Some(number) => self.visit_i64(number),
            None => Err(E::invalid_type(Unexpected::Float(number), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Id, E> {
        Ok(Id::Text(text.to_owned()))
    }
}

/// Body of `POST /v1/bridges/{bridge}/tunnels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::post_tunnel()))]
pub struct PostTunnel {
    /// Id of the host on which this runs.
    pub from: Id,
    /// Id of the host at the other end.
    pub to: Id,
    /// Address of the other end, IPv4 or IPv6.
    #[schema(value_type = ovstunnel_types::RemoteIp)]
    pub remote_ip: String,
    /// GRE key, 1 to 2147483647; the bridge's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "crate::whole::optional")]
    #[schema(minimum = 1, maximum = 2_147_483_647)]
    pub key: Option<i64>,
    /// The network's UUID; must be the bridge's when both are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ovstunnel_types::NetworkUuid>)]
    pub network_uuid: Option<String>,
}

/// One GRE tunnel of a bridge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::tunnel()))]
pub struct Tunnel {
    /// Name of the port in Open vSwitch.
    pub port: String,
    /// Id of this host.
    pub from: String,
    /// Id of the host at the other end.
    pub to: String,
    /// Address of the other end, IPv4 or IPv6.
    pub remote_ip: String,
    /// GRE key.
    pub key: u32,
    /// OpenFlow port number, once the tunnel is up.
    pub ofport: Option<u32>,
    /// Up, in error, or not looked at yet.
    pub state: TunnelState,
    /// Whether its port is protected: what comes in by a tunnel does not leave by it. A daemon that does not say so here says it in
    /// the bridge's health.
    #[serde(default = "protected")]
    pub protected: bool,
    /// Its BFD session; absent where none is to run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bfd: Option<Bfd>,
    /// Open vSwitch's own words, when `state` is `error`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

fn protected() -> bool {
    true
}

/// Answer of `POST /v1/bridges/{bridge}/tunnels`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::tunnel_answer()))]
pub struct TunnelAnswer {
    /// What was done.
    pub outcome: Outcome,
    /// What was changed, each thing with what it was and what it is.
    #[serde(default)]
    pub changes: Vec<Changed>,
    /// The tunnel as read back.
    pub tunnel: Tunnel,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn an_id_is_text_or_a_number_and_stays_what_it_is() {
        assert_eq!(serde_json::from_str::<Id>("7.0").unwrap(), Id::Number(7));
        for (json, id) in [("7", Id::Number(7)), ("\"7\"", Id::Text("7".into())), ("\"\"", Id::Text(String::new()))] {
            assert_eq!(serde_json::from_str::<Id>(json).unwrap(), id);
            assert_eq!(serde_json::to_string(&id).unwrap(), json);
        }
        for json in ["-1", "1.5", "true", "null", "[]", "{}", "18446744073709551616"] {
            let error = serde_json::from_str::<Id>(json).unwrap_err().to_string();
            assert!(error.contains("expected a text or a whole number, not negative"), "{json}: {error}");
        }
    }
}
