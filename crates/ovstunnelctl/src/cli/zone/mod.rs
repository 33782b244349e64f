//! `zone …`: from options to requests to the manager.
//!
//! What it must not do: judge; what is whole and what is wrong the manager says.

mod apply;
mod args;
mod certificates;
mod diff;
mod examples;
mod faults;
mod holds;
mod mesh;
mod network_args;
mod networks;
mod open;
mod show;
mod show_kinds;
mod show_networks;
mod sweep;
mod tokens;
mod top;
mod upgrade;
mod verify;
mod wait;
mod webhooks;
mod why;

use ovstunnel_api::{Code, Level, Outcome};
use ovstunnel_manager_api::{
    EventList, Host, HostAnswer, HostList, HostState, NetworkList, NetworkState, Overview, PutHost,
};
use serde::Serialize;

use super::show::doctor_page;
use super::{Failure, Report, watch};
use crate::client::{ClientError, Endpoint, EventsWanted, Manager, NetworksWanted};

use args::{AddHost, EventsArgs, HostCommand, HostsArgs, NetworksArgs};
pub(super) use args::{ProofArgs, ZoneCommand};
pub(super) use verify::verify_proof;

/// Networks and hosts that `status` lists.
const LISTED: u32 = 20;

/// Networks that are asked for at once.
const PAGE: u32 = 1000;

/// The JSON of `zone status`.
#[derive(Debug, Serialize)]
struct Status {
    /// Socket or URL of the manager.
    manager: String,
    /// The answer of `/v1/overview`.
    overview: Overview,
    /// Networks that are not whole: the worst of them.
    networks: NetworkList,
    /// Hosts with which something is wrong.
    hosts: Vec<Host>,
}

pub(super) async fn run(manager: &Manager, command: ZoneCommand, json: bool) -> Result<Report, Failure> {
    let is_check = matches!(command, ZoneCommand::Status { .. } | ZoneCommand::Doctor { .. });
    // What helps with a daemon's errors does not with a manager's.
    run_command(manager, command, json).await.map_err(|failure| match failure {
        Failure::Client(error) if is_check => Failure::StateUnknown(error),
        Failure::Client(error) => Failure::Manager(error),
        other => other,
    })
}

/// Where the manager is that leads, where another one was asked and says so. By a Unix socket nobody can go on from there: it has no certificate.
pub(super) fn leader_endpoint(failure: &Failure, asked: &Endpoint) -> Option<Endpoint> {
    let (Failure::Manager(ClientError::Problem(problem)), Endpoint::Https { identity, .. }) = (failure, asked) else {
        return None;
    };
    let leader = problem.leader.as_ref().filter(|_| problem.code == Code::NotLeader)?;
    Some(Endpoint::Https { url: Endpoint::parse_url(leader).ok()?, identity: identity.clone() })
}

async fn run_command(manager: &Manager, command: ZoneCommand, json: bool) -> Result<Report, Failure> {
    match command {
        ZoneCommand::Status { watch } => show_status(manager, watch, json).await,
        ZoneCommand::Doctor { all } => {
            let answer = manager.doctor().await?;
            let report = Report::new(json, &answer, |answer| doctor_page(answer, all))?;
            Ok(report.with_status(match answer.level {
                Level::Ok => 0,
                Level::Warn => 1,
                Level::Fail => 2,
            }))
        }
        ZoneCommand::Hosts(args) => list_hosts(manager, args, json).await,
        ZoneCommand::Host(command) => run_host(manager, command, json).await,
        ZoneCommand::Certificates(listing) => certificates::list_certificates(manager, listing, json).await,
        ZoneCommand::Token(command) => tokens::run_tokens(manager, command, json).await,
        ZoneCommand::Networks(args) => list_networks(manager, args, json).await,
        ZoneCommand::Network(args) => networks::run_network(manager, args, json).await,
        ZoneCommand::Nics(args) => networks::list_nics(manager, args, json).await,
        ZoneCommand::Nic(command) => networks::run_nic(manager, command, json).await,
        ZoneCommand::PhysicalNetwork(command) => networks::run_physical(manager, command, json).await,
        ZoneCommand::Keys(args) => networks::list_keys(manager, args, json).await,
        ZoneCommand::Proof(ProofArgs { network: Some(network), .. }) => {
            let proof = manager.proof(&network).await?;
            Ok(Report::new(json, &proof, show::proof_page)?.wrong_if(!proof.whole))
        }
        ZoneCommand::Proof(ProofArgs { network: None, .. }) => {
            Err(Failure::Usage("the name of a network is missing".to_owned()))
        }
        ZoneCommand::Top => top::run_top(manager, json).await,
        ZoneCommand::Mesh(args) => mesh::show_mesh(manager, args, json).await,
        ZoneCommand::Plan { network } => Report::new(json, &manager.plan(&network).await?, show::plan_page),
        ZoneCommand::Reconcile { network } => Report::new(json, &manager.reconcile(&network).await?, show::plan_page),
        ZoneCommand::Holds(args) => holds::list_holds(manager, args, json).await,
        ZoneCommand::Hold(command) => holds::decide_hold(manager, command, json).await,
        ZoneCommand::Faults(args) => faults::list_faults(manager, args, json).await,
        ZoneCommand::Sweep(args) => sweep::run_sweep(manager, args, json).await,
        ZoneCommand::Wait(args) => wait::wait_whole(manager, args, json).await,
        ZoneCommand::Why(args) => why::explain_path(manager, args, json).await,
        ZoneCommand::Apply(args) => apply::run(manager, &args, json).await,
        ZoneCommand::Open(args) => open::open_page(manager, args, json).await,
        ZoneCommand::Events(args) => list_events(manager, args, json).await,
        ZoneCommand::Upgrade(upgrade::UpgradeCommand::Plan) => {
            Report::new(json, &manager.upgrade_plan().await?, upgrade::upgrade_page)
        }
        ZoneCommand::Webhooks { redeliver } => webhooks::run_webhooks(manager, redeliver, json).await,
        ZoneCommand::Diff(args) => diff::show_diff(manager, args, json).await,
    }
}

async fn show_status(manager: &Manager, watching: bool, json: bool) -> Result<Report, Failure> {
    watch::repeat_report(watch::Source::Manager(manager), watching, async || {
        let states = [NetworkState::Broken, NetworkState::Settling].map(|state| state.as_str().to_owned());
        let wanted = NetworksWanted { states: states.into(), limit: Some(LISTED), ..NetworksWanted::default() };
        let (overview, networks) = (manager.overview().await?, manager.networks(&wanted).await?);
        let mut hosts = manager.hosts().await?.hosts;
        hosts.retain(|host| host.state != HostState::Ok);
        let status = Status { manager: manager.peer().to_owned(), overview, networks, hosts };
        let Overview { networks, hosts, troubles, .. } = &status.overview;
        let own = u32::try_from(troubles.len()).unwrap_or(u32::MAX);
        let code = match (networks.broken + hosts.silent, networks.settling + hosts.degraded + hosts.connecting + own) {
            (0, 0) => 0,
            (0, _) => 1,
            _ => 2,
        };
        Ok(Report::new(json, &status, show::status_page)?.with_status(code))
    })
    .await
}

async fn list_hosts(manager: &Manager, args: HostsArgs, json: bool) -> Result<Report, Failure> {
    let view = args.listing.resolve_view(json)?;
    watch::repeat_report(watch::Source::Manager(manager), view.watch, async || {
        let mut list = manager.hosts().await?;
        list.hosts
            .retain(|host| args.state.is_empty() || args.state.iter().any(|state| state.matches_state(host.state)));
        let page = |list: &HostList, wide| show::host_list_page(&list.hosts, wide, view.headers);
        Report::for_list(view.format, &list, page, |list| list.hosts.iter().map(|host| host.name.clone()).collect())
    })
    .await
}

async fn run_host(manager: &Manager, command: HostCommand, json: bool) -> Result<Report, Failure> {
    match command {
        HostCommand::Add(AddHost { name, api, number, rack, label, mode, dry_run }) => {
            let body = PutHost { api, number, rack, label, mode: mode.into() };
            let answer = manager.put_host(&name, &body, dry_run).await?;
            Report::new(json, &answer, |answer| show::registered_page(&name, answer, dry_run))
        }
        HostCommand::Show { name } => Report::new(json, &manager.host(&name).await?, show::host_page),
        HostCommand::Remove { name, if_exists, wiped, dry_run } => {
            let answer = match wiped {
                true => manager.delete_wiped_host(&name, dry_run).await?,
                false => manager.delete_host(&name, dry_run).await?,
            };
            if !was_there(&answer) && !if_exists {
                return Err(Failure::NotThere(format!("host {name}")));
            }
            Report::new(json, &answer, |answer| show::removed_page(&name, answer, dry_run))
        }
        HostCommand::Maintenance { name, time, end: _ } => {
            let until =
                time.map(|time| humantime::format_rfc3339_seconds(std::time::SystemTime::now() + time).to_string());
            Report::new(json, &manager.set_maintenance(&name, until).await?, show::host_page)
        }
        HostCommand::Rename { name, to, dry_run } => {
            let answer = manager.rename_host(&name, &to, dry_run).await?;
            Report::new(json, &answer, |answer| show::identified_page(&name, "name", &to, answer.outcome, dry_run))
        }
        HostCommand::Renumber { name, number, dry_run } => {
            let answer = manager.renumber_host(&name, number, dry_run).await?;
            let number = number.to_string();
            Report::new(json, &answer, |answer| {
                show::identified_page(&name, "number", &number, answer.outcome, dry_run)
            })
        }
        HostCommand::Resync { name } => Report::new(json, &manager.resync_host(&name).await?, show::host_page),
    }
}

fn was_there(answer: &HostAnswer) -> bool {
    answer.outcome == Outcome::Removed
}

/// All pages of the networks that are wanted.
async fn fetch_networks(manager: &Manager, wanted: &NetworksWanted) -> Result<NetworkList, ClientError> {
    let mut wanted = NetworksWanted { limit: Some(PAGE), ..wanted.clone() };
    let mut all = manager.networks(&wanted).await?;
    while let Some(page) = all.next.take() {
        wanted.page = Some(page);
        let more = manager.networks(&wanted).await?;
        all.networks.extend(more.networks);
        all.next = more.next;
    }
    Ok(all)
}

async fn list_networks(manager: &Manager, args: NetworksArgs, json: bool) -> Result<Report, Failure> {
    let view = args.listing.resolve_view(json)?;
    let states = args.state.iter().map(|state| state.as_str().to_owned()).collect();
    let wanted = NetworksWanted { states, host: args.on, ..NetworksWanted::default() };
    watch::repeat_report(watch::Source::Manager(manager), view.watch, async || {
        let list = fetch_networks(manager, &wanted).await?;
        let page = |list: &NetworkList, wide| show::network_list_page(&list.networks, wide, view.headers);
        let names = |list: &NetworkList| list.networks.iter().map(|network| network.name.clone()).collect();
        Report::for_list(view.format, &list, page, names)
    })
    .await
}

async fn list_events(manager: &Manager, args: EventsArgs, json: bool) -> Result<Report, Failure> {
    let view = args.listing.resolve_view(json)?;
    let EventsArgs { on: host, network, kind, since, limit, .. } = args;
    let since = since.map(diff::format_time);
    let wanted = EventsWanted { limit: Some(limit), before: None, since, host, network, kind };
    watch::repeat_report(watch::Source::Nobody, view.watch, async || {
        let list = manager.events(&wanted).await?;
        let page = |list: &EventList, wide| show::event_page(&list.events, wide, view.headers);
        Report::for_list(view.format, &list, page, |list| {
            list.events.iter().map(|event| event.id.to_string()).collect()
        })
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ovstunnel_api::Problem;

    use super::*;
    use crate::client::Identity;

    #[test]
    fn the_leader_is_asked_with_the_same_certificate_and_https_only() {
        let identity = Identity { ca: "/ca".into(), cert: "/c".into(), key: "/k".into() };
        let at = |url: &str| Endpoint::Https { url: Endpoint::parse_url(url).unwrap(), identity: identity.clone() };
        let failure = |code, leader: &str| {
            let problem = Problem { leader: Some(leader.to_owned()), ..Problem::new(code, "m2 leads") };
            Failure::Manager(ClientError::Problem(Box::new(problem)))
        };
        let (told, asked) = (failure(Code::NotLeader, "https://m2:8444"), at("https://m1:8444"));
        assert_eq!(leader_endpoint(&told, &asked), Some(at("https://m2:8444")));
        assert_eq!(leader_endpoint(&told, &Endpoint::Unix("/run/x".into())), None);
        assert_eq!(leader_endpoint(&failure(Code::Conflict, "https://m2:8444"), &asked), None);
        assert_eq!(leader_endpoint(&failure(Code::NotLeader, "http://m2"), &asked), None);
    }
}
