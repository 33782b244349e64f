//! Errors on the wire: `application/problem+json` (RFC 9457) with a stable `code`.

use std::fmt;

use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use crate::{Bridge, EpochState};

/// The stable code of an error. Programs decide by this, never by the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// 400: a field breaks a rule; nothing was changed.
    InvalidRequest,
    /// 403: the caller may not do this.
    Forbidden,
    /// 404: no such thing.
    NotFound,
    /// 405: the route has no such method.
    MethodNotAllowed,
    /// 409: another bridge or port is in the way; nothing was changed.
    Conflict,
    /// 409: the request is of a leader of the zone's manager that is not the newest any more; nothing was changed.
    StaleEpoch,
    /// 409: the manager of another zone is recorded as the one that may write here; nothing was changed.
    OtherZone,
    /// 409: the host is being drained, and takes no new NIC. No daemon sends it.
    Draining,
    /// 409: the NIC is moving between two other hosts. No daemon sends it.
    Migrating,
    /// 409: no key of the network's physical network is free. No daemon sends it.
    KeysExhausted,
    /// 409: the network has no bridge on the host, and none can be made there. No daemon sends it.
    BridgeMissing,
    /// 413: the body is too large.
    TooLarge,
    /// 415: the body is not `application/json`.
    UnsupportedMediaType,
    /// 421: another manager of the zone leads; nothing was changed. No daemon sends it.
    NotLeader,
    /// 422: Open vSwitch refused it; what it refused was taken away again.
    SwitchRefused,
    /// 424: a tunnel or the bridge of a NIC that was prepared is not there in time, and that is to fail its VM. No daemon sends it.
    TunnelMissing,
    /// 500: a fault of the daemon.
    Internal,
    /// 503: the switch cannot be reached; nothing was changed.
    SwitchUnavailable,
    /// 503: what a manager needs, its database or a host, cannot be reached; nothing was changed. No daemon sends it.
    Unavailable,
    /// 504: a deadline passed and it is not known whether the change took effect; ask again.
    OutcomeUnknown,
    /// A code of a newer daemon. Never sent: what a client makes of a word that it does not know; `status` still says
    /// of what kind it is.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl Serialize for Code {
    /// By hand, since `Unknown` is in no description and yet a client may have to pass on what it was told.
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl Code {
    /// The word in the JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Code::InvalidRequest => "invalid_request",
            Code::Forbidden => "forbidden",
            Code::NotFound => "not_found",
            Code::MethodNotAllowed => "method_not_allowed",
            Code::Conflict => "conflict",
            Code::StaleEpoch => "stale_epoch",
            Code::OtherZone => "other_zone",
            Code::Draining => "draining",
            Code::Migrating => "migrating",
            Code::KeysExhausted => "keys_exhausted",
            Code::BridgeMissing => "bridge_missing",
            Code::TunnelMissing => "tunnel_missing",
            Code::TooLarge => "too_large",
            Code::UnsupportedMediaType => "unsupported_media_type",
            Code::NotLeader => "not_leader",
            Code::SwitchRefused => "switch_refused",
            Code::Internal => "internal",
            Code::SwitchUnavailable => "switch_unavailable",
            Code::Unavailable => "unavailable",
            Code::OutcomeUnknown => "outcome_unknown",
            Code::Unknown => "unknown",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Code::InvalidRequest => 400,
            Code::Forbidden => 403,
            Code::NotFound => 404,
            Code::MethodNotAllowed => 405,
            Code::Conflict
            | Code::StaleEpoch
            | Code::OtherZone
            | Code::Draining
            | Code::Migrating
            | Code::KeysExhausted
            | Code::BridgeMissing => 409,
            Code::TunnelMissing => 424,
            Code::TooLarge => 413,
            Code::UnsupportedMediaType => 415,
            Code::NotLeader => 421,
            Code::SwitchRefused => 422,
            Code::Internal | Code::Unknown => 500,
            Code::SwitchUnavailable | Code::Unavailable => 503,
            Code::OutcomeUnknown => 504,
        }
    }

    /// A short title, the same for every error of this code.
    pub fn title(self) -> &'static str {
        match self {
            Code::InvalidRequest => "Invalid request",
            Code::Forbidden => "Forbidden",
            Code::NotFound => "Not found",
            Code::MethodNotAllowed => "Method not allowed",
            Code::Conflict => "Conflict",
            Code::StaleEpoch => "Stale epoch",
            Code::OtherZone => "Other zone",
            Code::Draining => "Host is being drained",
            Code::Migrating => "NIC is migrating",
            Code::KeysExhausted => "No key is free",
            Code::BridgeMissing => "Bridge is missing",
            Code::TunnelMissing => "Tunnel is missing",
            Code::TooLarge => "Request too large",
            Code::UnsupportedMediaType => "Unsupported media type",
            Code::NotLeader => "Another manager leads",
            Code::SwitchRefused => "Refused by Open vSwitch",
            Code::Internal => "Internal error",
            Code::SwitchUnavailable => "Open vSwitch is unavailable",
            Code::Unavailable => "Unavailable",
            Code::OutcomeUnknown => "Outcome unknown",
            Code::Unknown => "Unknown error",
        }
    }
}

/// A tunnel that Open vSwitch refused and that was taken away again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::refused_tunnel()))]
pub struct RefusedTunnel {
    /// Name that its port had.
    pub port: String,
    /// Id of the host at the other end.
    pub to: String,
    /// Address of the other end, IPv4 or IPv6.
    pub remote_ip: String,
    /// Open vSwitch's own words.
    pub error: String,
}

/// An error.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::problem()))]
pub struct Problem {
    /// A URI that names the kind of error: `urn:ovstunnel:problem:` and the code.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every error of this code.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened, for a person.
    pub detail: String,
    /// Stable code, for a program.
    pub code: Code,
    /// The field that is wrong, for example `tunnels[3].remote_ip`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The rule that it breaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The value it had, shortened where long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The bridge or port in the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_the_way: Option<String>,
    /// Tunnels that Open vSwitch refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub refused: Vec<RefusedTunnel>,
    /// The bridge as it is now, where part of a request took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bridge: Option<Box<Bridge>>,
    /// The epoch that is recorded, where that keeps the request from being carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recorded: Option<EpochState>,
    /// By what address the manager is reached that leads, where that keeps this one from carrying out the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<String>,
    /// The id under which the log speaks of this request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl Problem {
    /// A problem with nothing but its code and an explanation.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Problem {
            kind: format!("urn:ovstunnel:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            field: None,
            rule: None,
            value: None,
            in_the_way: None,
            refused: Vec::new(),
            bridge: None,
            recorded: None,
            leader: None,
            request_id: None,
        }
    }
}

/// What happened, as for [`Problem::detail`].
impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for Problem {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn a_problem_of_a_newer_daemon_is_understood() {
        let text = r#"{"type": "urn:ovstunnel:problem:quota", "title": "Quota", "status": 429, "detail": "too many",
            "code": "quota", "field": "tunnels", "retry_after": 5}"#;
        let problem: Problem = serde_json::from_str(text).unwrap();
        assert_eq!((problem.code, problem.status, problem.title.as_str()), (Code::Unknown, 429, "Quota"));
        assert_eq!(serde_json::from_str::<Problem>(&serde_json::to_string(&problem).unwrap()).unwrap(), problem);
    }

    /// The words that are written by hand are those that are read and described.
    #[test]
    fn every_code_is_written_as_it_is_read() {
        let schema = serde_json::to_value(<Code as utoipa::PartialSchema>::schema()).unwrap();
        let words: Vec<&str> = schema["enum"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
        assert_eq!(words.len(), 20, "{words:?}");
        for word in words {
            let code: Code = serde_json::from_value(word.into()).unwrap();
            assert_eq!((code.as_str(), code == Code::Unknown), (word, false));
        }
    }

    #[test]
    fn a_problem_names_its_code_in_word_type_and_status() {
        let problem = Problem::new(Code::SwitchRefused, "x");
        let json = serde_json::to_value(&problem).unwrap();
        assert_eq!(json["type"], "urn:ovstunnel:problem:switch_refused");
        assert_eq!((&json["code"], &json["status"]), (&"switch_refused".into(), &422.into()));
        assert_eq!(json.as_object().unwrap().len(), 5, "what is absent is left out: {json}");
    }
}
