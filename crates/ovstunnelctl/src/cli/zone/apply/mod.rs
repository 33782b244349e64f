//! `zone apply`: what is recorded of a zone, made what files say.
//!
//! What it does: has the manager say what it would do with each thing, shows that, asks before something is forgotten, and has it carried out. While
//! anything is refused nothing is changed. What it must not do: judge by itself what can be recorded.

mod document;
mod there;

use ovstunnel_api::{Outcome, Problem, TunnelKind};
use ovstunnel_manager_api::{PutNetwork, PutNetworkKind};
use serde::Serialize;

use super::args::ApplyArgs;
use crate::cli::show::{Page, Tone};
use crate::cli::{Failure, Report, confirm};
use crate::client::{ClientError, Manager};
use document::{Body, Entry, Kind};
use there::There;

/// The JSON of `zone apply`.
#[derive(Debug, Serialize)]
struct Applied {
    /// True where it was only planned.
    dry_run: bool,
    /// In the order in which they are carried out.
    things: Vec<Thing>,
}

#[derive(Debug, Serialize)]
struct Thing {
    kind: Kind,
    name: String,
    /// Absent where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    /// Fields that become other ones, in words.
    changes: Vec<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// What is to be done with one thing.
struct Task {
    kind: Kind,
    name: String,
    /// None where it is to be forgotten.
    entry: Option<Entry>,
    outcome: Outcome,
    changes: Vec<String>,
}

pub(super) async fn run(manager: &Manager, args: &ApplyArgs, json: bool) -> Result<Report, Failure> {
    let wanted = document::read_files(&args.files)?;
    let there = There::fetch_existing(manager, &wanted).await?;
    let pruned = if args.prune { there.unnamed_entries(&wanted) } else { Vec::new() };
    let mut tasks = Vec::new();
    // NICs and networks go first, so that their hosts and keys are free; hosts and physical networks last, when nothing needs them any more.
    let (first, last): (Vec<_>, Vec<_>) = pruned.into_iter().partition(|(kind, _)| *kind >= Kind::Network);
    tasks.extend(first.into_iter().map(removal_task));
    for entry in wanted.entries {
        tasks.push(plan_entry(manager, &there, entry).await?);
    }
    tasks.extend(last.into_iter().map(removal_task));
    let plan = Applied {
        dry_run: true,
        things: tasks.iter().map(|task| applied_thing(task, Some(task.outcome), None)).collect(),
    };
    if args.dry_run {
        return Report::new(json, &plan, plan_page);
    }
    if !json {
        Report::from_page(plan_page(&plan)).print()?;
    }
    let gone = tasks.iter().filter(|task| task.entry.is_none());
    let gone: Vec<String> = gone.map(|task| format!("{} {}", task.kind.as_str(), task.name)).collect();
    confirm::confirm_removals(&gone, args.yes)?;
    let mut things = Vec::new();
    for task in &tasks {
        things.push(carry_out(manager, task).await?);
    }
    let failed = things.iter().any(|thing| thing.problem.is_some());
    Ok(Report::new(json, &Applied { dry_run: false, things }, done_page)?.wrong_if(failed))
}

fn removal_task((kind, name): (Kind, String)) -> Task {
    Task { kind, name, entry: None, outcome: Outcome::Removed, changes: Vec::new() }
}

/// What would be done with a thing. One that needs something which is still to be recorded cannot be asked about.
async fn plan_entry(manager: &Manager, there: &There, entry: Entry) -> Result<Task, Failure> {
    let outcome = match there.has_what_it_needs(&entry) {
        true => put_entry(manager, &entry.body, &entry.name, true).await.map_err(|error| error_at(&entry, error))?,
        false => Outcome::Created,
    };
    let changes = if outcome == Outcome::Unchanged { Vec::new() } else { there.entry_changes(&entry) };
    Ok(Task { kind: entry.kind, name: entry.name.clone(), entry: Some(entry), outcome, changes })
}

/// The error of one thing among several, with its place in the file.
fn error_at(entry: &Entry, error: ClientError) -> Failure {
    match error {
        ClientError::Problem(mut problem) => {
            problem.detail = format!("{} ({}): {}; nothing was changed", entry.place, entry.name, problem.detail);
            Failure::Client(ClientError::Problem(problem))
        }
        other => Failure::Client(other),
    }
}

async fn put_entry(manager: &Manager, body: &Body, name: &str, dry_run: bool) -> Result<Outcome, ClientError> {
    Ok(match body {
        Body::PhysicalNetwork(body) => manager.put_physical_network(name, body, dry_run).await?.outcome,
        Body::Host(body) => manager.put_host(name, body, dry_run).await?.outcome,
        Body::Network { body, kind } => put_network(manager, name, body, *kind, dry_run).await?,
        Body::Nic { network, nic, body } => manager.prepare_nic(network, nic, body, dry_run).await?.recorded,
    })
}

/// A network, and then the kind of its tunnels: where that is another one, the manager changes it on its hosts from then on.
async fn put_network(
    manager: &Manager,
    name: &str,
    body: &PutNetwork,
    kind: Option<TunnelKind>,
    dry_run: bool,
) -> Result<Outcome, ClientError> {
    let recorded = manager.put_network(name, body, dry_run).await?.outcome;
    // There is no kind of a network that is still to be recorded.
    let kind = kind.filter(|_| !dry_run || recorded != Outcome::Created);
    let Some(kind) = kind else { return Ok(recorded) };
    let changed = manager.put_network_kind(name, &PutNetworkKind { kind }, dry_run).await?.outcome;
    Ok(if recorded == Outcome::Unchanged { changed } else { recorded })
}

async fn remove_entry(manager: &Manager, kind: Kind, name: &str) -> Result<Outcome, ClientError> {
    Ok(match kind {
        Kind::PhysicalNetwork => manager.delete_physical_network(name, false).await?.outcome,
        Kind::Host => manager.delete_host(name, false).await?.outcome,
        Kind::Network => manager.delete_network(name, false).await?.outcome,
        Kind::Nic => {
            let (network, nic) = name.split_once('/').unwrap_or((name, ""));
            manager.release_nic(network, nic, None, false).await?.outcome
        }
    })
}

/// # Errors
/// When the manager does not answer. What it answers is told with its thing, and the others still have their turn.
async fn carry_out(manager: &Manager, task: &Task) -> Result<Thing, ClientError> {
    let done = match &task.entry {
        Some(_) if task.outcome == Outcome::Unchanged => Ok(Outcome::Unchanged),
        Some(entry) => put_entry(manager, &entry.body, &entry.name, false).await,
        None => remove_entry(manager, task.kind, &task.name).await,
    };
    match done {
        Ok(outcome) => Ok(applied_thing(task, Some(outcome), None)),
        Err(ClientError::Problem(mut problem)) => {
            if let Some(entry) = &task.entry {
                problem.detail = format!("{}: {}", entry.place, problem.detail);
            }
            Ok(applied_thing(task, None, Some(*problem)))
        }
        Err(error) => Err(error),
    }
}

fn applied_thing(task: &Task, outcome: Option<Outcome>, problem: Option<Problem>) -> Thing {
    let Task { kind, name, changes, .. } = task;
    Thing { kind: *kind, name: name.clone(), outcome, changes: changes.clone(), problem }
}

fn plan_page(planned: &Applied) -> Page {
    let mut page = Page::new();
    let mut changed = 0_usize;
    for Thing { kind, name, outcome, changes, .. } in &planned.things {
        match outcome {
            Some(Outcome::Unchanged) | None => continue,
            Some(outcome) => page.line(format!("{} {name}: to be {}", kind.as_str(), outcome.as_str())),
        }
        changed += 1;
        changes.iter().for_each(|change| page.line(format!("  {change}")));
    }
    page.line(format!("{changed} of {} to be changed.", planned.things.len()));
    page
}

fn done_page(applied: &Applied) -> Page {
    let mut page = Page::new();
    for Thing { kind, name, outcome, problem, .. } in &applied.things {
        let what = format!("{} {name}", kind.as_str());
        match (outcome, problem) {
            (_, Some(problem)) => page.verdict(Tone::Bad, "FAILED", &format!(" {what}: {}", problem.detail)),
            (Some(outcome), None) => page.line(format!("{what}: {}", outcome.as_str())),
            (None, None) => {}
        }
    }
    page
}
