//! What the demo has seen, as types: what `--json` prints and what the tables are made from.
//!
//! Field names are stable; `--help` documents them. Nothing here judges, sends or prints.

use std::collections::BTreeMap;

use ovstunnel_api::{Bridge, Ipv6Policy, Outcome};
use serde::Serialize;

/// Everything.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub ok: bool,
    /// What was not as it should be, in words.
    pub wrong: Vec<String>,
    pub ovstunnel: String,
    pub open_vswitch: String,
    pub seconds: f64,
    /// The networks were set up through the plugin, not by HTTPS.
    pub by_plugin: bool,
    pub hosts: Vec<HostReport>,
    pub networks: Vec<NetworkReport>,
    pub requests: Vec<Request>,
    /// Each VIF that udev told of, in the order of the hosts.
    pub plugs: Vec<Plug>,
    pub rounds: Vec<Round>,
    pub restart: Option<Restart>,
    /// With `--break split-horizon`: how long the daemons took to protect all tunnels again.
    pub mended_ms: Option<f64>,
    /// What a daemon said of what was broken (`--break foreign-drop`).
    pub told: Vec<Told>,
    pub totals: Totals,
    pub bridge_show: Option<BridgeShow>,
}

#[derive(Debug, Serialize)]
pub struct HostReport {
    pub name: String,
    pub ip: String,
    pub url: String,
    pub namespace: String,
    pub rundir: String,
}

#[derive(Debug, Serialize)]
pub struct NetworkReport {
    pub name: String,
    pub key: i64,
    pub bridge: String,
    pub ipv6: Ipv6Policy,
    pub vms: Vec<VmReport>,
    /// At the end of the demo, one for each host.
    pub bridges: Vec<BridgeReport>,
}

#[derive(Clone, Debug, Serialize)]
pub struct VmReport {
    pub name: String,
    pub host: String,
    pub ip: String,
    pub mac: String,
    pub vif: String,
}

#[derive(Debug, Serialize)]
pub struct BridgeReport {
    pub host: String,
    pub bridge: Bridge,
    /// Our flows as the switch shows them.
    pub flows: Vec<String>,
}

/// A reason that a daemon gave why a bridge does not carry its network's frames.
#[derive(Clone, Debug, Serialize)]
pub struct Told {
    pub host: String,
    pub what: String,
    pub evidence: String,
    pub remedy: String,
}

/// One call of a daemon.
#[derive(Debug, Serialize)]
pub struct Request {
    pub request: String,
    pub host: String,
    pub outcome: Option<Outcome>,
    pub time_ms: f64,
}

/// A VIF that was plugged.
#[derive(Clone, Debug, Serialize)]
pub struct Plug {
    pub host: String,
    pub vif: String,
    /// From the end of the hypervisor's command to the rule that stayed.
    pub plug_to_rule_ms: f64,
}

/// All that was sent at one moment of the story.
#[derive(Debug, Serialize)]
pub struct Round {
    pub name: RoundName,
    pub what: String,
    pub pings: Vec<PingCount>,
    pub frames: Vec<FrameCount>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoundName {
    /// The networks were just set up.
    NewMesh,
    /// Split horizon is taken away (`--break split-horizon`).
    Unprotected,
    /// Flows are gone, or somebody else's drops (`--break flows`, `--break foreign-drop`).
    Broken,
    /// The daemons have given it back.
    Mended,
    /// A killed switch is back, and has no flow of ours.
    NoFlows,
    /// The daemon has put the flows back.
    FlowsBack,
}

#[derive(Debug, Serialize)]
pub struct PingCount {
    pub network: String,
    pub from: String,
    pub to: String,
    pub sent: u64,
    pub received: u64,
    pub duplicates: u64,
    pub rtt_min_ms: f64,
    pub rtt_mean_ms: f64,
    pub rtt_max_ms: f64,
}

impl PingCount {
    /// Every request was answered, once.
    pub fn is_right(&self) -> bool {
        self.sent > 0 && self.received == self.sent && self.duplicates == 0
    }
}

/// How often each VM got one frame.
#[derive(Debug, Serialize)]
pub struct FrameCount {
    pub network: String,
    pub kind: FrameKind,
    pub from: String,
    /// For known unicast: whom it was for.
    pub to: Option<String>,
    /// Copies by VM: every VM of the lab but the sender.
    pub copies: BTreeMap<String, u32>,
    pub expected_once_at: Vec<String>,
    /// Frames that sniffers could not count. If it is not 0, counts are lower bounds.
    pub lost_by_sniffers: u32,
    pub ok: bool,
}

impl FrameCount {
    /// How often this VM should have got it.
    pub fn expected_at(&self, vm: &str) -> u32 {
        u32::from(self.expected_once_at.iter().any(|expected| expected == vm))
    }
}

/// The kinds of frames that a switch treats differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FrameKind {
    Broadcast,
    LinkLocalMulticast,
    Multicast,
    Ipv6Multicast,
    UnknownUnicast,
    Ipv6UnknownUnicast,
    OtherProtocol,
    KnownUnicast,
}

impl FrameKind {
    /// All that is flooded, in the order of the tables.
    pub const FLOODED: [Self; 7] = [
        Self::Broadcast,
        Self::LinkLocalMulticast,
        Self::Multicast,
        Self::Ipv6Multicast,
        Self::UnknownUnicast,
        Self::Ipv6UnknownUnicast,
        Self::OtherProtocol,
    ];

    /// Whether a network that drops IPv6 drops it.
    pub fn is_ipv6(self) -> bool {
        matches!(self, Self::Ipv6Multicast | Self::Ipv6UnknownUnicast)
    }

    /// For a person.
    pub fn label(self) -> &'static str {
        match self {
            Self::Broadcast => "broadcast (ARP)",
            Self::LinkLocalMulticast => "multicast 224.0.0.251",
            Self::Multicast => "multicast 239.255.255.250",
            Self::Ipv6Multicast => "IPv6 multicast ff02::1",
            Self::UnknownUnicast => "unknown unicast",
            Self::Ipv6UnknownUnicast => "IPv6 unknown unicast",
            Self::OtherProtocol => "broadcast, not IP",
            Self::KnownUnicast => "known unicast",
        }
    }
}

/// A switch that was killed and came back.
#[derive(Debug, Serialize)]
pub struct Restart {
    pub host: String,
    /// Our flows of both networks on it before it was killed.
    pub flows_before: usize,
    /// Our flows when the frames of the round `no_flows` were sent: before the first and after the last one.
    pub flows_when_sent: [usize; 2],
    pub switch_back_ms: f64,
    /// From the moment the daemon could act until its flows were back.
    pub flows_back_ms: f64,
    pub flows_after: usize,
}

#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Totals {
    pub frames: u64,
    pub copies: u64,
    pub copies_expected: u64,
    pub copies_too_many: u64,
    pub copies_missing: u64,
    pub pings: u64,
    pub pings_lost: u64,
}

/// What the operator's command prints about one bridge.
#[derive(Debug, Serialize)]
pub struct BridgeShow {
    pub host: String,
    pub command: String,
    pub output: String,
}
