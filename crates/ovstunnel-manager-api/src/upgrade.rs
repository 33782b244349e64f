//! Which hosts have an older daemon than the manager, and in which order they are best upgraded. Must not decide that.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Something that this manager asks of daemons and a host's daemon cannot do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Inability {
    /// The word that the daemon does not say among its capabilities.
    pub capability: String,
    /// What it cannot do, and what follows from that.
    pub means: String,
}

/// A host whose daemon is to be upgraded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeHost {
    /// Its name.
    pub host: String,
    /// The version that its daemon has told last; absent before it told anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub daemon: Option<String>,
    /// How many networks it is in.
    pub networks: u32,
    /// What its daemon cannot do.
    pub cannot: Vec<Inability>,
}

/// Hosts no two of which are in one network: their daemons can be upgraded at the same time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeWave {
    /// The hosts, by name.
    pub hosts: Vec<UpgradeHost>,
}

/// A host whose daemon is not to be upgraded now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeWaiting {
    /// Its name.
    pub host: String,
    /// What it waits for.
    pub reason: String,
}

/// Answer of `GET /v1/upgrade`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UpgradePlan {
    /// The version that daemons are to have: the manager's own.
    pub version: String,
    /// One after the other: the next once all networks of the one before are whole again.
    pub waves: Vec<UpgradeWave>,
    /// Hosts that are to wait.
    pub waiting: Vec<UpgradeWaiting>,
    /// Hosts for which nothing is to be done.
    pub done: u32,
}
