//! Hosts of a zone: what is registered, and how each is.

use ovstunnel_api::{Outcome, TunnelState};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{CloudStackHost, Inability};

/// What may be done to a host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is kept as it must be, once the manager may act.
    #[default]
    Manage,
    /// It is looked at, and never written to.
    Observe,
    /// It gets no new NIC; what it has is kept as it must be.
    Drain,
}

impl Mode {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Mode::Manage => "manage",
            Mode::Observe => "observe",
            Mode::Drain => "drain",
        }
    }
}

/// Body of `PUT /v1/hosts/{host}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PutHost {
    /// Where the host's `ovstunneld` listens: `https://HOST:8443`.
    #[schema(pattern = "^https://[^/?#@]+/?$", max_length = 512, example = "https://192.0.2.11:8443")]
    pub api: String,
    /// The host's number, which stands on its bridges as `host_id` and in the tunnels to it: CloudStack's id of the host. Where it is
    /// absent, a new host gets the id that its bridges have, and one without bridges the next free number; a known one keeps its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_isize)]
    pub number: Option<u64>,
    /// The rack it is in, for pictures and for faults that concern a rack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$")]
    pub rack: Option<String>,
    /// The device, bridge or network whose address the host's tunnels end at; `sdn.ovs.default_label` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 45, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
    pub label: Option<String>,
    /// What may be done to it.
    #[serde(default)]
    pub mode: Mode,
}

/// How a host is, as far as the manager can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum HostState {
    /// It is connected, and nothing is wrong with it.
    Ok,
    /// It is connected, and something is wrong with it.
    Degraded,
    /// It was not heard of yet: the manager is connecting for the first time.
    Connecting,
    /// It does not answer; what it said last may have changed since.
    Silent,
}

impl HostState {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            HostState::Ok => "ok",
            HostState::Degraded => "degraded",
            HostState::Connecting => "connecting",
            HostState::Silent => "silent",
        }
    }
}

/// One thing that is wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Trouble {
    /// A stable word for programs, such as `host_silent`, `certificate_refused`, `certificate_expires`, `returned_empty`, `host_id_mismatch`,
    /// `label_unknown`, `address_taken`, or a word of the daemon's health.
    pub kind: String,
    /// What was seen.
    pub evidence: String,
    /// What takes it away.
    pub remedy: String,
}

/// A host of the zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Host {
    /// Its name.
    pub name: String,
    /// Its number, as it stands on bridges and in tunnels.
    pub number: u64,
    /// Where its daemon listens.
    pub api: String,
    /// The rack it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rack: Option<String>,
    /// Its own label, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What may be done to it.
    pub mode: Mode,
    /// How it is.
    pub state: HostState,
    /// Seconds since its last sign of life; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<f64>,
    /// Whether it tells of changes as they happen; otherwise it is asked every few seconds, since its daemon is too old for that.
    pub watched: bool,
    /// Version of its daemon, once it was heard of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<String>,
    /// What its daemon cannot do, being older than this manager, or on a switch that is simulated. Empty before it has told anything.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cannot: Vec<Inability>,
    /// Address at which its tunnels end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ip: Option<String>,
    /// Netmask of that address, dotted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub netmask: Option<String>,
    /// Ethernet address of the device that has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// Largest MTU of a guest whose frames cross its tunnels in one piece, bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_guest_mtu: Option<u32>,
    /// When the certificate expires that its daemon has shown last: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires: Option<String>,
    /// How many managed bridges it has.
    pub bridges: u32,
    /// How many tunnels it has.
    pub tunnels: u32,
    /// How many VIFs are on its managed bridges.
    pub vifs: u32,
    /// What CloudStack tells of it, where that is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cloudstack: Option<CloudStackHost>,
    /// Until when its faults are not told, where somebody works at it: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<String>,
    /// What is wrong with it, the worst first.
    pub troubles: Vec<Trouble>,
}

/// Body of `POST /v1/hosts/{host}/maintenance`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostMaintenance {
    /// Until when its faults are not told: RFC 3339, at most 30 days from now. Null or absent: they are told again.
    #[serde(default)]
    #[schema(format = DateTime)]
    pub until: Option<String>,
}

/// Body of `POST /v1/hosts/{host}/rename`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostName {
    /// Its new name.
    #[schema(pattern = "^[A-Za-z0-9_][A-Za-z0-9._-]{0,62}$")]
    pub name: String,
}

/// Body of `POST /v1/hosts/{host}/renumber`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PostNumber {
    /// Its new number, from 1 to 2^63-1.
    #[schema(minimum = 1, maximum = 9_223_372_036_854_775_807_isize)]
    pub number: u64,
}

/// Answer of `PUT` and `DELETE /v1/hosts/{host}`, and of a change of name or number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostAnswer {
    /// What was done.
    pub outcome: Outcome,
    /// The host as it is registered; absent once it is removed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<Host>,
}

/// Answer of `GET /v1/hosts`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostList {
    /// The hosts that were asked for, by name.
    pub hosts: Vec<Host>,
}

/// A tunnel of a host, as its daemon tells of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HostTunnel {
    /// The bridge that it is on.
    pub bridge: String,
    /// Name of its port.
    pub port: String,
    /// Its GRE key.
    pub key: u32,
    /// Id of the host at its other end, as the bridge records it: a host's number, where all is well.
    pub to: String,
    /// Address of its other end.
    pub remote_ip: String,
    /// How it is.
    pub state: TunnelState,
}

/// Answer of `GET /v1/hosts/{host}/tunnels`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct HostTunnelList {
    /// Seconds since the host's last sign of life; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age: Option<f64>,
    /// Its tunnels as it told of them last, by bridge; absent as long as it has told nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<Vec<HostTunnel>>,
}
