//! `rebuild`: the manager's database made anew from what the switches record, after it was lost.
//!
//! What it does: asks each host of a list for its bridges and its epoch, says what would be recorded, and records it where that is asked for. What it
//! must not do: write to a host, or into a database in which something stands already.

mod kinds;
mod list;
mod page;
mod plan;
mod write;

use std::path::Path;
use std::time::Duration;

use futures_util::StreamExt;
use ovstunnel_client::{ClientError, Identity, Manager};
use ovstunnel_server::config::ConfigError;
use ovstunnel_store::StoreError;
use ovstunnel_types::text::error_chain;

use crate::config::Config;
use crate::hosts::{AskError, daemon_client};
pub use list::{List, Listed, Named};
pub use plan::{Heard, NewNetwork, Plan, Refused, plan_rebuild};

/// How long to wait for a manager that may run.
const PROBE: Duration = Duration::from_secs(5);

/// Why nothing was recorded.
#[derive(Debug, thiserror::Error)]
pub enum RebuildError {
    /// The list of hosts.
    #[error("{0}")]
    List(#[from] ConfigError),
    /// A host that is left out and not in the list.
    #[error("--without {0}: there is no such host in the list")]
    NotListed(String),
    /// Hosts that do not answer.
    #[error(
        "{}; nothing was recorded. Where they are gone for good, leave them out: {}",
        .0.iter().map(|(name, why)| format!("host {name} does not answer: {why}")).collect::<Vec<_>>().join("\n"),
        .0.iter().map(|(name, _)| format!("--without {name}")).collect::<Vec<_>>().join(" ")
    )]
    Silent(Vec<(String, String)>),
    /// What the hosts say contradicts itself.
    #[error("{}; nothing was recorded", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
    Refused(Vec<Refused>),
    /// There are no certificate files.
    #[error("{0}")]
    Ask(#[from] AskError),
    /// A manager has the database.
    #[error("a manager runs on this machine (it answers at {0}): end it first; nothing was recorded")]
    Runs(String),
    /// Something stands in the database.
    #[error(
        "the database at [database] url has {0} already; rebuild fills an empty one only: move it away, or name another one. Nothing was recorded"
    )]
    NotEmpty(String),
    /// The database.
    #[error("[database] url: {0}")]
    Store(#[from] StoreError),
}

/// How it is rebuilt.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// The file with the list of hosts.
    pub hosts: &'a Path,
    /// Hosts that are left out.
    pub without: &'a [String],
    /// That it is recorded.
    pub apply: bool,
}

/// Says what would be recorded, and records it where that is asked for.
///
/// # Errors
/// A host does not answer, hosts contradict each other, or something stands in the database: then nothing was recorded.
pub async fn rebuild_zone(config: &Config, wanted: Wanted<'_>) -> Result<Plan, RebuildError> {
    let mut list = List::read_file(wanted.hosts)?;
    for name in wanted.without {
        if !list.hosts.iter().any(|host| host.name == *name) {
            return Err(RebuildError::NotListed(name.clone()));
        }
    }
    let (left, asked) = list.hosts.into_iter().partition(|host| wanted.without.contains(&host.name));
    list.hosts = asked;
    let heard = ask_hosts(config, &list.hosts).await?;
    let mut plan = plan_rebuild(&list, &heard, &config.physical_networks).map_err(RebuildError::Refused)?;
    plan.left_out = Vec::into_iter(left).map(|host: Listed| host.name).collect();
    if wanted.apply {
        let socket = &config.api.socket;
        if Manager::unix(socket, PROBE).readyz().await.is_ok() {
            return Err(RebuildError::Runs(socket.display().to_string()));
        }
        write::write_plan(config, &plan).await?;
        plan.is_recorded = true;
    }
    Ok(plan)
}

/// What all hosts say, in the order of the list.
async fn ask_hosts(config: &Config, hosts: &[Listed]) -> Result<Vec<Heard>, RebuildError> {
    let files = config.identity_files().ok_or(AskError::NoIdentity)?;
    let (ca, cert, key) = (files.ca.to_owned(), files.certificate.to_owned(), files.key.to_owned());
    let identity = Identity { ca, cert, key };
    let one = |host: &Listed| {
        let (identity, api, name) = (identity.clone(), host.api.clone(), host.name.clone());
        async move { ask_one(identity, &api).await.map_err(|error| (name, error_chain(&error))) }
    };
    let answers: Vec<Result<Heard, (String, String)>> =
        futures_util::stream::iter(hosts.iter().map(one).collect::<Vec<_>>())
            .buffered(config.hosts.concurrency)
            .collect()
            .await;
    let (mut heard, mut silent) = (Vec::new(), Vec::new());
    for answer in answers {
        match answer {
            Ok(host) => heard.push(host),
            Err(error) => silent.push(error),
        }
    }
    if silent.is_empty() { Ok(heard) } else { Err(RebuildError::Silent(silent)) }
}

async fn ask_one(identity: Identity, api: &str) -> Result<Heard, AskError> {
    let client = daemon_client(identity, api)?;
    let bridges = client.bridges().await?.bridges;
    let epoch = match client.epoch().await {
        Ok(epoch) => epoch,
        // A daemon of before there were any.
        Err(ClientError::Problem(problem)) if problem.status == 404 => ovstunnel_api::EpochState::default(),
        Err(error) => return Err(error.into()),
    };
    Ok(Heard { bridges, epoch })
}
