//! Has one host carry out what is planned for it.
//!
//! What it does: sends the requests in their order, by the host's turn and under the epoch; leaves out a tunnel that is refused, and sends the
//! rest at once. What it must not do: repeat a request whose outcome is not known: the host's next snapshot tells.

use std::collections::BTreeMap;

use ovstunnel_api::{Code, Problem, PutBridge, PutTunnel};
use ovstunnel_client::ClientError;
use ovstunnel_mesh::Request;
use ovstunnel_types::text::{error_chain, sanitize};
use ovstunnel_types::{HostId, HostNumber};

use super::attempts::Result;
use crate::hosts::{By, HostClient, Turn, Writers, lead};
use crate::leader::Leader;
use crate::sending::Wire;

/// Characters of a reason that are kept.
const REASON: usize = 500;

/// Who sends, and for what.
#[derive(Clone, Debug)]
pub(super) struct Sender {
    pub leader: Leader,
    pub writers: Writers,
    /// Name of the network.
    pub network: String,
    /// Name of the host.
    pub name: String,
    /// The host.
    pub host: HostNumber,
    /// The id that the requests have in both logs.
    pub request_id: String,
}

impl Sender {
    /// Sends all of it, up to the first that fails.
    pub async fn send_all(&self, requests: &[Request]) -> Result {
        let Some(turn) = self.writers.wait_turn(self.host).await else {
            return Result::all_failed("it cannot be written to now");
        };
        for request in requests {
            let wire = Wire::from_request(self.host, request);
            let result = self.send_one(&turn, &wire).await;
            if !result.is_good() {
                return result;
            }
        }
        Result::default()
    }

    /// Sends one request in the host's turn, and says in the log what came of it.
    pub async fn send_one(&self, turn: &Turn, wire: &Wire) -> Result {
        let result = self.carry_out(turn, wire).await;
        let (method, path) = wire.request_line();
        let (command, network, host, id) = (wire.command_word(), &self.network, &self.name, &self.request_id);
        match result.failure_reasons() {
            None => tracing::info!(
                event = "sent",
                command,
                network,
                host,
                request_id = id,
                "{method} {path} on host {host}"
            ),
            Some(why) => {
                tracing::warn!(
                    event = "not_sent",
                    command,
                    network,
                    host,
                    request_id = id,
                    "{method} {path} on host {host}: {why}"
                );
            }
        }
        result
    }

    async fn carry_out(&self, turn: &Turn, wire: &Wire) -> Result {
        // Asked again for each request: the lease may end between two.
        let by = match self.leader.epoch() {
            Ok(epoch) => By { epoch, request_id: self.request_id.clone() },
            Err(why) => return Result::all_failed(why),
        };
        let refused = match turn.client.send_request(&by, wire).await {
            Ok(()) => return Result::default(),
            Err(ClientError::Problem(problem)) => problem,
            Err(error) => return Result::all_failed(sanitize(&error_chain(&error), REASON)),
        };
        if refused.code == Code::StaleEpoch {
            let newer = lead::newer_epoch(&refused).unwrap_or_default();
            self.leader.record_replacement(newer, format!("epoch {newer} is recorded on host {}", self.name));
        }
        match wire {
            Wire::PutBridge(bridge, body) if may_be_one_tunnel(&refused) => {
                one_by_one(&*turn.client, &by, bridge, body).await
            }
            _ => Result::all_failed(problem_reason(&refused)),
        }
    }
}

fn problem_reason(problem: &Problem) -> String {
    sanitize(&format!("{}: {}", problem.title, problem.detail), REASON)
}

/// Whether a set may have been refused for one of its tunnels alone.
fn may_be_one_tunnel(problem: &Problem) -> bool {
    matches!(problem.code, Code::InvalidRequest | Code::Conflict | Code::SwitchRefused)
}

/// The bridge without a word about its tunnels, and then each of them for itself: one that is refused keeps no other from being there.
async fn one_by_one(client: &dyn HostClient, by: &By, bridge: &str, set: &PutBridge) -> Result {
    let bare = PutBridge { tunnels: None, ..set.clone() };
    if let Err(error) = client.send_request(by, &Wire::PutBridge(bridge.to_owned(), bare)).await {
        return Result::all_failed(error_reason(&error));
    }
    let mut left_out = BTreeMap::new();
    for tunnel in set.tunnels.iter().flatten() {
        let body = ovstunnel_api::PostTunnel {
            from: set.host_id.clone().unwrap_or_else(|| tunnel.to.clone()),
            to: tunnel.to.clone(),
            remote_ip: tunnel.remote_ip.clone(),
            key: Some(set.key),
            network_uuid: None,
        };
        match client.send_request(by, &Wire::PostTunnel(bridge.to_owned(), body)).await {
            Ok(()) => {}
            Err(error @ ClientError::Problem(_)) => {
                left_out.extend(peer_id(tunnel).map(|to| (to, error_reason(&error))))
            }
            Err(error) => return Result { failed: Some(error_reason(&error)), left_out },
        }
    }
    Result { failed: None, left_out }
}

pub(super) fn error_reason(error: &ClientError) -> String {
    error.problem().map_or_else(|| sanitize(&error_chain(error), REASON), problem_reason)
}

fn peer_id(tunnel: &PutTunnel) -> Option<HostId> {
    match &tunnel.to {
        ovstunnel_api::Id::Text(text) => text.parse().ok(),
        ovstunnel_api::Id::Number(number) => number.to_string().parse().ok(),
    }
}
