//! `apply`: several bridges as files say, and `export`, which writes such a file.
//!
//! What it does: asks the daemon for the plan of each bridge, shows it, asks before much goes, and then has it carried out. While any
//! plan is refused nothing is changed. What it must not do: judge by itself what has to be changed.

pub(super) mod document;
mod edit;

use ovstunnel_api::{Bridge, Outcome, PlanAnswer, Problem};
use serde::Serialize;

use super::apply_args::{Apply, Export};
use super::show::{Page, Tone};
use super::{Failure, Report, confirm};
use crate::client::{Client, ClientError};
use document::{Document, Entry};
pub(super) use edit::run as edit;

/// The JSON of `apply`.
#[derive(Debug, Serialize)]
struct Applied {
    /// True where it was only planned.
    dry_run: bool,
    /// Those that were removed first, the others in the order of the files.
    bridges: Vec<AppliedOne>,
    /// Bridges of VPCs that no file names: they stay.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
}

#[derive(Debug, Serialize)]
struct AppliedOne {
    bridge: String,
    /// Absent where it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    /// In words.
    changes: Vec<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    problem: Option<Problem>,
}

/// What is to be done with one bridge.
struct Task<'a> {
    bridge: &'a str,
    /// None where it is to be removed.
    entry: Option<&'a Entry>,
    plan: PlanAnswer,
}

pub(super) async fn run(client: &Client, args: &Apply, json: bool) -> Result<Report, Failure> {
    let entries = document::read_all(&args.files)?;
    apply_entries(client, &entries, args, json).await
}

/// Plans all, shows it, asks, and carries it out.
async fn apply_entries(client: &Client, entries: &[Entry], args: &Apply, json: bool) -> Result<Report, Failure> {
    let there = client.bridges().await?.bridges;
    let named = |bridge: &&Bridge| entries.iter().any(|entry| entry.name == bridge.name);
    let others: Vec<&Bridge> = there.iter().filter(|bridge| args.prune && !named(bridge)).collect();
    let (left, pruned): (Vec<&Bridge>, Vec<&Bridge>) = others.into_iter().partition(|bridge| bridge.vpc.is_some());
    let left: Vec<String> = left.into_iter().map(|bridge| bridge.name.clone()).collect();
    let tasks = plan_entries(client, entries, &pruned).await?;
    let planned = Applied { dry_run: true, bridges: tasks.iter().map(planned_entry).collect(), left: left.clone() };
    if args.dry_run {
        return Report::new(json, &planned, plan_page);
    }
    if !json {
        Report::from_page(plan_page(&planned)).print()?;
    }
    let removals = removal_words(entries, &there, &pruned);
    confirm::confirm_removals(&removals, args.yes)?;
    let mut bridges = Vec::new();
    for task in &tasks {
        bridges.push(carry_out(client, task).await?);
    }
    let failed = bridges.iter().any(|one| one.problem.is_some());
    Ok(Report::new(json, &Applied { dry_run: false, bridges, left }, done_page)?.wrong_if(failed))
}

/// The plan of each. Nothing is changed, also where one of the last is refused.
async fn plan_entries<'a>(
    client: &Client,
    entries: &'a [Entry],
    pruned: &[&'a Bridge],
) -> Result<Vec<Task<'a>>, Failure> {
    let mut tasks = Vec::new();
    for bridge in pruned {
        let plan =
            client.dry_run().delete_bridge(&bridge.name).await.map_err(|error| of_bridge(&bridge.name, error))?;
        tasks.push(Task { bridge: &bridge.name, entry: None, plan });
    }
    for entry in entries {
        let plan = client.dry_run().put_bridge(&entry.name, &entry.request_body()).await;
        let plan = plan.map_err(|error| of_bridge(&entry.name, error))?;
        tasks.push(Task { bridge: &entry.name, entry: Some(entry), plan });
    }
    Ok(tasks)
}

/// The error of one bridge among several.
fn of_bridge(bridge: &str, error: ClientError) -> Failure {
    match error {
        ClientError::Problem(mut problem) => {
            problem.detail = format!("bridge {bridge}: {}", problem.detail);
            Failure::Client(ClientError::Problem(problem))
        }
        other => Failure::Client(other),
    }
}

fn planned_entry(task: &Task<'_>) -> AppliedOne {
    let PlanAnswer { outcome, changes, .. } = &task.plan;
    AppliedOne { bridge: task.bridge.to_owned(), outcome: Some(*outcome), changes: changes.clone(), problem: None }
}

/// What is asked about before it goes, in words.
fn removal_words(entries: &[Entry], there: &[Bridge], pruned: &[&Bridge]) -> Vec<String> {
    let mut words: Vec<String> = pruned.iter().map(|bridge| confirm::of_bridge(bridge)).collect();
    for entry in entries {
        let bridge = there.iter().find(|bridge| bridge.name == entry.name);
        let (Some(bridge), Some(tunnels)) = (bridge, entry.request_body().tunnels) else { continue };
        words.extend(confirm::lost_tunnels(bridge, &tunnels));
    }
    words
}

/// # Errors
/// When the daemon does not answer. What it answers is told with its bridge, and the others still have their turn.
async fn carry_out(client: &Client, task: &Task<'_>) -> Result<AppliedOne, ClientError> {
    let done = match task.entry {
        _ if task.plan.outcome == Outcome::Unchanged => Ok((Outcome::Unchanged, vec![])),
        None => client.delete_bridge(task.bridge).await.map(|answer| (answer.outcome, answer.changes)),
        Some(entry) => {
            client.put_bridge(task.bridge, &entry.request_body()).await.map(|answer| (answer.outcome, answer.changes))
        }
    };
    let (outcome, changes, problem) = match done {
        Ok((outcome, changes)) => (Some(outcome), changes.iter().map(ToString::to_string).collect(), None),
        Err(ClientError::Problem(problem)) => (None, vec![], Some(*problem)),
        Err(error) => return Err(error),
    };
    Ok(AppliedOne { bridge: task.bridge.to_owned(), outcome, changes, problem })
}

fn plan_page(planned: &Applied) -> Page {
    let mut page = Page::new();
    for AppliedOne { bridge, outcome, changes, .. } in &planned.bridges {
        match outcome {
            Some(Outcome::Unchanged) | None => continue,
            Some(outcome) => page.line(format!("bridge {bridge}: to be {}", outcome.as_str())),
        }
        changes.iter().for_each(|change| page.line(format!("  {change}")));
    }
    list_left_out(&mut page, &planned.left);
    let total = planned.bridges.len();
    let changed = planned.bridges.iter().filter(|one| one.outcome != Some(Outcome::Unchanged)).count();
    page.line(format!("{changed} of {total} bridges to be changed."));
    page
}

fn done_page(applied: &Applied) -> Page {
    let mut page = Page::new();
    for AppliedOne { bridge, outcome, problem, .. } in &applied.bridges {
        match (outcome, problem) {
            (_, Some(problem)) => page.verdict(Tone::Bad, "FAILED", &format!(" bridge {bridge}: {}", problem.detail)),
            (Some(outcome), None) => page.line(format!("bridge {bridge}: {}", outcome.as_str())),
            (None, None) => {}
        }
    }
    page
}

fn list_left_out(page: &mut Page, names: &[String]) {
    for name in names {
        page.line(format!("bridge {name}: stays, it is a VPC's and the management server removes it"));
    }
}

/// `export`: these bridges, or all but those of VPCs.
pub(super) async fn export_bridges(client: &Client, args: &Export, json: bool) -> Result<Report, Failure> {
    let mut all = Vec::new();
    match args.bridges.is_empty() {
        true => all.extend(client.bridges().await?.bridges),
        false => {
            for name in &args.bridges {
                all.push(client.bridge(name).await?);
            }
        }
    }
    let (entries, left) = exportable_bridges(&all);
    for name in left {
        eprintln!("bridge {name} is left out: it is a VPC's, which the management server sets up");
    }
    let document = Document { bridges: entries };
    if json { Report::new(true, &document, |_| Page::new()) } else { Report::from_yaml(&document) }
}

/// What a file can say of these bridges, and the names of those of which it can say nothing.
fn exportable_bridges(bridges: &[Bridge]) -> (Vec<Entry>, Vec<&str>) {
    let left = bridges.iter().filter(|bridge| Entry::from_bridge(bridge).is_none()).map(|bridge| bridge.name.as_str());
    (bridges.iter().filter_map(Entry::from_bridge).collect(), left.collect())
}
