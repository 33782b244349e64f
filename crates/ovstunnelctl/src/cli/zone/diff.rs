//! `zone diff`: how networks and hosts differ from what they were at a time.
//!
//! What it does: puts the manager's events since then together, for each network the first and the last proof of them. What it must not do:
//! judge; a network of which no event tells anything has not changed.

use std::collections::BTreeMap;
use std::time::SystemTime;

use ovstunnel_manager_api::{Event, ProofSummary};
use serde::Serialize;

use super::args::DiffArgs;
use crate::cli::show::{Page, Row, Tone};
use crate::cli::{Failure, Report};
use crate::client::{EventsWanted, Manager};

/// Events that are asked for at once.
const EVENTS: u32 = 1000;

/// The JSON of `zone diff`.
#[derive(Debug, Serialize)]
struct Diff {
    /// RFC 3339, UTC.
    since: String,
    /// Networks that something has happened to, by name.
    networks: BTreeMap<String, Changed>,
    /// Hosts that something has happened to, by name.
    hosts: BTreeMap<String, Changed>,
    /// What has happened to none of them.
    zone: Vec<String>,
}

/// What has happened to one of them.
#[derive(Debug, Default, Serialize)]
struct Changed {
    /// What the last proof before said; absent where no proof was made since, or none before.
    #[serde(skip_serializing_if = "Option::is_none")]
    then: Option<ProofSummary>,
    /// What the last proof says.
    #[serde(skip_serializing_if = "Option::is_none")]
    now: Option<ProofSummary>,
    /// How often what has happened, by the kinds of events.
    events: BTreeMap<String, u32>,
    /// The last of them, in a sentence.
    last: String,
}

/// A time as the manager takes it.
pub(super) fn format_time(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

pub(super) async fn show_diff(manager: &Manager, args: DiffArgs, json: bool) -> Result<Report, Failure> {
    let DiffArgs { since, on: host, network } = args;
    let since = format_time(since);
    let mut wanted =
        EventsWanted { limit: Some(EVENTS), since: Some(since.clone()), host, network, ..EventsWanted::default() };
    let mut newest_first = Vec::new();
    loop {
        let page = manager.events(&wanted).await?;
        newest_first.extend(page.events);
        wanted.before = page.next;
        if wanted.before.is_none() {
            break;
        }
    }
    let diff = compare_events(since, newest_first.into_iter().rev());
    Report::new(json, &diff, diff_page)
}

fn compare_events(since: String, oldest_first: impl Iterator<Item = Event>) -> Diff {
    let mut diff = Diff { since, networks: BTreeMap::new(), hosts: BTreeMap::new(), zone: Vec::new() };
    for event in oldest_first {
        let Event { kind, host, network, text, before, after, at, .. } = event;
        let of = [(network.as_ref(), &mut diff.networks), (host.as_ref(), &mut diff.hosts)];
        for (name, all) in of {
            let Some(name) = name else { continue };
            let changed = all.entry(name.clone()).or_default();
            *changed.events.entry(kind.clone()).or_default() += 1;
            changed.last.clone_from(&text);
            if after.is_some() {
                let is_first = changed.now.is_none();
                changed.then = if is_first { before.clone() } else { changed.then.take() };
                changed.now.clone_from(&after);
            }
        }
        if host.is_none() && network.is_none() {
            diff.zone.push(format!("{at} {text}"));
        }
    }
    diff
}

fn proof_text(proof: Option<&ProofSummary>) -> String {
    let Some(ProofSummary { whole, wanted, proven, .. }) = proof else { return "-".to_owned() };
    if *whole { format!("whole, {proven}") } else { format!("not whole, {proven} of {wanted}") }
}

fn diff_row(name: &str, changed: &Changed, is_network: bool) -> Row {
    let events: Vec<String> = changed.events.iter().map(|(kind, n)| format!("{kind} {n}")).collect();
    let mut cells = vec![name.to_owned()];
    if is_network {
        cells.extend([proof_text(changed.then.as_ref()), proof_text(changed.now.as_ref())]);
    }
    cells.extend([events.join(", "), changed.last.clone()]);
    let is_bad = changed.now.as_ref().is_some_and(|now| !now.whole);
    Row { cells, tone: if is_bad { Tone::Bad } else { Tone::Plain } }
}

fn diff_page(diff: &Diff) -> Page {
    let mut page = Page::new();
    if diff.networks.is_empty() && diff.hosts.is_empty() && diff.zone.is_empty() {
        page.line(format!("Nothing has changed since {}.", diff.since));
        return page;
    }
    page.line(format!("Since {}:", diff.since));
    let networks: Vec<Row> = diff.networks.iter().map(|(name, changed)| diff_row(name, changed, true)).collect();
    if !networks.is_empty() {
        page.line("");
        page.table(&["NETWORK", "TUNNELS THEN", "TUNNELS NOW", "EVENTS", "LAST"], &[], networks);
    }
    let hosts: Vec<Row> = diff.hosts.iter().map(|(name, changed)| diff_row(name, changed, false)).collect();
    if !hosts.is_empty() {
        page.line("");
        page.table(&["HOST", "EVENTS", "LAST"], &[], hosts);
    }
    if !diff.zone.is_empty() {
        page.line("");
        diff.zone.iter().for_each(|line| page.line(line.clone()));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(id: u64, kind: &str, network: Option<&str>, host: Option<&str>) -> Event {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let (network, host) = (owned(network), owned(host));
        let text = format!("{kind} {id}");
        Event {
            id,
            at: format!("t{id}"),
            kind: kind.into(),
            host,
            network,
            actor: None,
            text,
            before: None,
            after: None,
        }
    }

    fn proof_of(whole: bool, wanted: u64, proven: u64) -> Option<ProofSummary> {
        Some(ProofSummary { whole, generation: 1, wanted, proven, reason: None, digest: String::new() })
    }

    #[test]
    fn a_network_is_compared_from_its_first_proof_to_its_last() {
        let mut first = event(1, "proof", Some("web"), None);
        (first.before, first.after) = (proof_of(true, 2, 2), proof_of(false, 6, 4));
        let mut second = event(3, "proof", Some("web"), None);
        (second.before, second.after) = (proof_of(false, 6, 4), proof_of(true, 6, 6));
        let others = [event(2, "nic_prepared", Some("web"), Some("h3")), event(4, "leader", None, None)];
        let [prepared, led] = others;
        let diff = compare_events("t0".into(), [first, prepared, second, led].into_iter());
        let web = &diff.networks["web"];
        assert_eq!(
            (proof_text(web.then.as_ref()), proof_text(web.now.as_ref())),
            ("whole, 2".into(), "whole, 6".into())
        );
        assert_eq!(web.events, BTreeMap::from([("nic_prepared".into(), 1), ("proof".into(), 2)]));
        assert_eq!((web.last.as_str(), diff.hosts["h3"].last.as_str()), ("proof 3", "nic_prepared 2"));
        assert_eq!(diff.zone, ["t4 leader 4"]);
        assert_eq!(diff.hosts.len(), 1);
    }

    #[test]
    fn a_network_that_is_new_since_then_has_no_proof_of_then() {
        let mut first = event(1, "proof", Some("web"), None);
        first.after = proof_of(false, 2, 0);
        let mut second = event(2, "proof", Some("web"), None);
        (second.before, second.after) = (proof_of(false, 2, 0), proof_of(false, 2, 1));
        let web = &compare_events("t0".into(), [first, second].into_iter()).networks["web"];
        assert_eq!(
            (proof_text(web.then.as_ref()), proof_text(web.now.as_ref())),
            ("-".into(), "not whole, 1 of 2".into())
        );
    }
}
