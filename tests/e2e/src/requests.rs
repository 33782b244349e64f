//! Requests that tests make of one host, and what they expect of a refusal. Must not send anything.

use std::fmt::Debug;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Code, Id, PostTunnel, Problem, PutBridge, PutTunnel};
use ovstunnel_client::ClientError;

/// The bridge of host id 1 with a tunnel to each of these hosts, host `n` at 192.0.2.`n`.
pub fn tunnels_to(key: i64, hosts: &[u8]) -> PutBridge {
    let tunnel = |n: &u8| PutTunnel { to: Id::Number((*n).into()), remote_ip: format!("192.0.2.{n}"), from: None };
    PutBridge {
        key,
        network_uuid: None,
        host_id: Some(Id::Number(1)),
        ipv6: None,
        uplink: None,
        neighbours: None,
        kind: None,
        tunnels: Some(hosts.iter().map(tunnel).collect()),
    }
}

/// A tunnel from host id 1 to host `to` at 192.0.2.`to`.
pub fn tunnel_to(to: u8) -> PostTunnel {
    let remote_ip = format!("192.0.2.{to}");
    PostTunnel { from: Id::Number(1), to: Id::Number(to.into()), remote_ip, key: None, network_uuid: None }
}

/// The problem of an answer that must be one of `code`.
///
/// # Errors
/// When it is a success, another problem, or no answer.
pub fn problem<T: Debug>(answer: Result<T, ClientError>, code: Code) -> Result<Problem> {
    let error = match answer {
        Ok(answer) => anyhow::bail!("answered as a success: {answer:?}"),
        Err(error) => error,
    };
    let problem = error.problem().cloned().with_context(|| format!("no problem: {error:?}"))?;
    ensure!(problem.code == code, "not {code:?}: {problem:?}");
    Ok(problem)
}
