//! Request and answer types of ovstunnel's HTTP API, version 1.
//!
//! What it does: gives each JSON body a type, shared by the daemon, the command and the tests, and its description for
//! `/openapi.json`. What it must not do: validate beyond JSON's own shape (the daemon does, so that each error names
//! field, rule and value), perform I/O, or know more of a value than `ovstunnel-types` does.

mod bfd;
mod bridge;
mod counters;
mod doctor;
mod epoch;
mod example;
mod forwarding;
mod health;
mod interface;
mod log;
mod null;
mod plan;
mod plugin;
mod probe;
mod problem;
mod reconcile;
mod schema;
mod takeover;
mod tunnel;
mod watch;
mod whole;
mod xapi_network;

pub use bfd::{Bfd, PutBfd};
pub use bridge::{
    Bridge, BridgeAnswer, BridgeList, BridgeSelection, Flows, Neighbour, NeighbourState, PostKind, PutBridge,
    PutNeighbour, PutTunnel, SecondKind, Tier, Vif, Vpc,
};
pub use counters::{CountersAnswer, TunnelCounters, UnexpectedPackets};
pub use doctor::{DoctorAnswer, Finding, Level, SupportAnswer, SupportPart};
pub use epoch::{CONTROLLER_HEADER, EPOCH_HEADER, EpochAnswer, EpochState, PutEpoch};
pub use forwarding::{
    AclDecision, AclDirection, AddressTable, FollowedFrame, FrameOut, KnownAddress, LimitCounted, VifLimit,
};
pub use health::{Health, Reason, Severity};
pub use interface::Interface;
pub use log::{LogAnswer, PutLog};
pub use ovstunnel_types::{
    BfdState, Epoch, FlowsState, HealthState, Ipv6Policy, KindStep, Outcome, TunnelKind, TunnelState,
};
pub use plan::{PlanAnswer, PlannedCommand};
pub use plugin::{PluginAnswer, PluginArguments};
pub use probe::{PostProbe, ProbeAction, ProbeAnswer, ProbedTunnel};
pub use problem::{Code, Problem, RefusedTunnel};
pub use reconcile::{Ready, ReconcileAnswer, ReconcileRun};
pub use takeover::{SpanningTree, TakeoverAnswer, TakeoverBridge, TakeoverPlan, TakeoverRequest, TakeoverState};
pub use tunnel::{Id, PostTunnel, Tunnel, TunnelAnswer};
pub use watch::{BridgeGone, Claim, ClaimSays, NoPosition, Position, WatchEvent, WatchSnapshot};
pub use xapi_network::{PutXapiNetwork, XapiNetwork, XapiNetworkAnswer};

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Within this the daemon answers every request, with the deadlines that it has by default, xapi's share included. Whoever waits
/// for it waits longer, so that its own explanation comes first.
pub const ANSWERED_WITHIN: Duration = Duration::from_secs(140);

/// Answer to a removal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::outcome_answer()))]
pub struct OutcomeAnswer {
    /// `removed`, or `unchanged` where nothing was there.
    pub outcome: Outcome,
    /// Whether it was there. Both are a success: whoever has typed the name wants to know, whoever repeats a request does not.
    #[serde(default)]
    pub existed: bool,
    /// What was changed, each thing with what it was and what it is.
    #[serde(default)]
    pub changes: Vec<Changed>,
}

/// Answer to a VIF event. What is mended follows from what the switch looks like, and is in the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::vif_answer()))]
pub struct VifAnswer {
    /// `updated` where rules had to be changed, or `unchanged`.
    pub outcome: Outcome,
}

/// One thing that a request changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::changed()))]
pub struct Changed {
    /// `bridge`, `tunnel` or `network` as a whole, `flows`, or a property as Open vSwitch or xapi names it, such as `options:remote_ip`.
    pub what: String,
    /// The bridge or port; of `other-config:…` the network's UUID in xapi.
    pub subject: String,
    /// What it was; null where it was not there.
    pub before: Option<String>,
    /// What it is; null where it is gone.
    pub after: Option<String>,
}

impl std::fmt::Display for Changed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Changed { what, subject, before, after } = self;
        match (before, after) {
            (None, Some(after)) => write!(f, "{what} {subject}: {after}"),
            (Some(before), None) => write!(f, "{what} {subject} removed: {before}"),
            (Some(before), Some(after)) => write!(f, "{what} {subject}: {before} -> {after}"),
            (None, None) => write!(f, "{what} {subject} removed"),
        }
    }
}
