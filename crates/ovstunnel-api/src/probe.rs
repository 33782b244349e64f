//! Probes of a bridge's tunnels: frames that are sent into them at one end and counted at the other.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ProbeAction {
    /// Count the probe's frames that come by tunnels, and drop them.
    Arm,
    /// Send its frames into tunnels.
    Send,
    /// Say what has come.
    Read,
}

impl ProbeAction {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            ProbeAction::Arm => "arm",
            ProbeAction::Send => "send",
            ProbeAction::Read => "read",
        }
    }
}

/// Body of `POST /v1/bridges/{bridge}/probe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!(crate::example::post_probe()))]
pub struct PostProbe {
    /// What is done.
    pub action: ProbeAction,
    /// The address of its frames: a locally administered Ethernet address of one card, drawn by lot for each probe, so that nobody can forge
    /// its frames.
    #[schema(pattern = "^[0-9A-Fa-f][26AEae](:[0-9A-Fa-f]{2}){5}$")]
    pub nonce: String,
    /// Of `arm`: for how long, 1 to 10; 10 where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10)]
    pub seconds: Option<u32>,
    /// Of `send`: bytes of each frame, with its Ethernet header and without its checksum, 60 to 9216; 60 where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 60, maximum = 9216)]
    pub size: Option<u32>,
    /// Of `send`: frames for each tunnel, 1 to 10; 1 where it is absent. All together are at most 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 10)]
    pub count: Option<u32>,
    /// Names of the tunnels' ports; all tunnels of the bridge where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<ovstunnel_types::PortName>>, max_items = 10_000)]
    pub tunnels: Option<Vec<String>>,
}

/// A tunnel of a probe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::probed_tunnel()))]
pub struct ProbedTunnel {
    /// Name of its port.
    pub port: String,
    /// Id of the host at the other end.
    pub to: String,
    /// Address of the other end.
    pub remote_ip: String,
    /// GRE key.
    pub key: u32,
    /// Frames that came by it, after `read`; that were sent, after `send`; 0 after `arm`.
    pub frames: u64,
    /// Bytes in these, with Ethernet headers.
    pub bytes: u64,
}

/// Answer to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(example = json!(crate::example::probe_answer()))]
pub struct ProbeAnswer {
    /// The tunnels that it is of.
    pub tunnels: Vec<ProbedTunnel>,
}
