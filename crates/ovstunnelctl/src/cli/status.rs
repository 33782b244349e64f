//! `status`: is the daemon ready, and is everything that it manages well.

use ovstunnel_api::{Bridge, FlowsState, HealthState, Ready, TunnelState};
use serde::Serialize;

use super::{Failure, Report, args, show, watch};
use crate::client::{Client, ClientError};

/// The JSON of `status`: the answers of `/readyz` and `/v1/bridges` in one.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    /// Socket or URL of the daemon.
    pub(super) daemon: String,
    /// The answer of `/readyz`.
    pub(super) ready: Ready,
    /// All managed bridges; absent while the daemon cannot tell, because the switch is unavailable.
    pub(super) bridges: Option<Vec<Bridge>>,
}

impl Status {
    /// Asks for both.
    pub(super) async fn fetch_status(client: &Client) -> Result<Self, ClientError> {
        let ready = client.readyz().await?;
        let bridges = match client.bridges().await {
            Ok(list) => Some(list.bridges),
            // The reason is in `ready`; not being ready must not hide what can be said.
            Err(ClientError::Problem(_)) if !ready.ready => None,
            Err(e) => return Err(e),
        };
        Ok(Status { daemon: client.peer().to_owned(), ready, bridges })
    }

    /// Whether somebody has to look. What is only not known yet is not wrong.
    pub(super) fn needs_attention(&self) -> bool {
        let host = self.ready.health.as_ref().is_some_and(|health| health.state == HealthState::Failed);
        !self.ready.ready || host || self.bridges.as_ref().is_none_or(|all| all.iter().any(bridge_needs_attention))
    }
}

/// Whether something of a bridge is wrong.
fn bridge_needs_attention(b: &Bridge) -> bool {
    let failed = b.health.state == HealthState::Failed || b.flows.state == FlowsState::Drifted;
    failed || b.tunnels.iter().any(|t| t.state == TunnelState::Error)
}

/// Whether somebody should look at a bridge: also where it works, but not as it should.
pub(super) fn needs_attention(b: &Bridge) -> bool {
    bridge_needs_attention(b) || b.health.state != HealthState::Ok
}

pub(super) async fn run(client: &Client, args: args::Status, json: bool) -> Result<Report, Failure> {
    watch::repeat_report(watch::Source::Daemon(client), args.watch, async || {
        let status = Status::fetch_status(client).await?;
        Ok(Report::new(json, &status, |status| show::status_page(status, args.all))?.wrong_if(status.needs_attention()))
    })
    .await
}
