//! `doctor`: what is wrong, why, and what to do about it.
//!
//! What it does: asks the daemon, and where that does not answer says what can be found without it. What it must not do:
//! change anything, or judge again what the daemon has judged.

mod local;

use std::path::Path;

use ovstunnel_api::{DoctorAnswer, Finding, Level};

use super::{Failure, Report, show};
use crate::client::{Client, ClientError, Endpoint};
use local::Facts;

/// Where the daemon's files are, for when it does not answer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Files<'a> {
    pub(super) config: &'a Path,
    pub(super) log: &'a Path,
}

/// How the daemon is asked.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking<'a> {
    pub(super) client: &'a Client,
    pub(super) endpoint: &'a Endpoint,
    pub(super) files: Files<'a>,
}

pub(super) async fn run(asking: Asking<'_>, probe: bool, all: bool, json: bool) -> Result<Report, Failure> {
    let answer = examine_host(asking, probe).await?;
    let report = Report::new(json, &answer, |answer| show::doctor_page(answer, all))?;
    Ok(report.with_status(match answer.level {
        Level::Ok => 0,
        Level::Warn => 1,
        Level::Fail => 2,
    }))
}

/// What the daemon found, or what can be found without it.
///
/// # Errors
/// When the daemon answers with an error of its own.
pub(super) async fn examine_host(asking: Asking<'_>, probe: bool) -> Result<DoctorAnswer, ClientError> {
    match asking.client.doctor(probe).await {
        Ok(answer) => Ok(with_version(answer)),
        Err(ClientError::Problem(problem)) if problem.status != 404 => Err(ClientError::Problem(problem)),
        Err(error @ (ClientError::Credentials { .. } | ClientError::Setup { .. })) => Err(error),
        Err(error) => Ok(without_answer(asking, &error)),
    }
}

/// Adds that the daemon is of another version.
fn with_version(mut answer: DoctorAnswer) -> DoctorAnswer {
    let ours = env!("CARGO_PKG_VERSION");
    if answer.version != ours {
        let reason = format!("the daemon is version {}, this command {ours}", answer.version);
        let remedy = "restart the daemon after an upgrade: `systemctl restart ovstunneld`; no VM notices";
        answer.findings.push(local::new_finding("version", Level::Warn, reason, remedy));
    }
    worst_first(answer.findings, answer.version)
}

fn without_answer(asking: Asking<'_>, error: &ClientError) -> DoctorAnswer {
    let findings = match asking.endpoint {
        Endpoint::Unix(socket) => local::check_facts(&Facts::from_host(socket, asking.files), error),
        Endpoint::Https { .. } => vec![local::not_answering(error)],
    };
    worst_first(findings, "unknown".to_owned())
}

fn worst_first(mut findings: Vec<Finding>, version: String) -> DoctorAnswer {
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.level));
    let level = findings.first().map_or(Level::Ok, |finding| finding.level);
    DoctorAnswer { level, version, findings }
}
