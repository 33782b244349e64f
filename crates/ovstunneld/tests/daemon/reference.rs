//! The pages of docs/reference, and the tables of doctor.md and manager-doctor.md, against the source: nothing is missing there, and nothing is there
//! that is not in the source any more.
//!
//! The flows are compared in `ovstunnel-plan`, the API in `routes`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::reference_source::{
    Source, code, each_place, first_arguments, log_events, read, record_keys, root, rows, sources, text, texts,
};
use crate::sim::Sim;
use ovstunnel_ovs::{RunResult, Switch};
use ovstunneld::testing::{Metrics, Surroundings};

/// What differs, so that both sides are told at once.
#[track_caller]
fn same<T: Ord + std::fmt::Debug>(page: &str, there: &BTreeSet<T>, source: &BTreeSet<T>) {
    let (missing, stale): (Vec<&T>, Vec<&T>) = (source.difference(there).collect(), there.difference(source).collect());
    assert!(
        missing.is_empty() && stale.is_empty(),
        "{page}: missing on the page: {missing:#?}\non the page, but not in the source: {stale:#?}"
    );
}

#[test]
fn each_log_event_is_on_its_page() {
    let events = log_events(&sources());
    assert!(events.len() > 80, "only {} were found in the source", events.len());
    let mut page = BTreeMap::new();
    for row in rows(&read("docs/reference/log-events.md"), &["level", "message", "fields"]) {
        let fields: BTreeSet<String> = code(&row[2]).into_iter().collect();
        for level in row[0].split(", ") {
            let message = code(&row[1]).concat();
            let before = page.insert((level.to_owned(), message.clone()), fields.clone());
            assert_eq!(before, None, "{level} {message} stands twice");
        }
        assert!(row.len() == 4, "{row:?} has another number of columns");
    }
    same("log-events.md", &page.into_iter().collect(), &events.into_iter().collect());
}

#[test]
fn each_key_of_a_record_is_on_its_page() {
    let sources = sources();
    let keys = record_keys(&sources);
    assert!(keys.len() > 25, "only {keys:?} were found in the source");
    let page = read("docs/reference/ovsdb-records.md");
    let listed: BTreeSet<String> = rows(&page, &["column", "key"])
        .into_iter()
        .chain(rows(&page, &["object", "key"]))
        .map(|r| key(&r[1]))
        .collect();
    // `ovstunnel-was-` begins several keys.
    let is_listed = |key: &String| {
        listed.iter().any(|there| there == key || (there.ends_with('-') && key.starts_with(there.as_str())))
    };
    let missing: Vec<&String> = keys.iter().filter(|key| !is_listed(key)).collect();
    let literals: BTreeSet<String> = sources.iter().flat_map(|source| texts(&source.tokens)).collect();
    let stale: Vec<&String> = listed.difference(&literals).collect();
    assert!(missing.is_empty() && stale.is_empty(), "missing on the page: {missing:?}; not in the source: {stale:?}");
}

/// The key of a cell: what begins several has `…` there.
fn key(cell: &str) -> String {
    code(cell).concat().trim_end_matches('…').to_owned()
}

/// What a daemon tells to which everything has happened that is counted, in two parts: what needs requests, and all else.
async fn metrics_text() -> [String; 2] {
    let sim = Sim::new().await;
    let ask = async || sim.ask("GET", "/metrics", None).await.body.as_str().unwrap().to_owned();
    // The second one tells of the first.
    ask().await;
    let metrics = Metrics::default();
    metrics.count_command("ovs-vsctl", RunResult::Succeeded, Duration::ZERO);
    metrics.connection_ended("handshake");
    let around = Surroundings {
        health: Switch::Simulated(sim.switch.clone()).watch_health().borrow().clone(),
        host: vec![],
        mirror_age: Duration::ZERO,
        flow_monitors: 0,
        log_lines_lost: 0,
        certificates: vec![("certificate", Some(1.0))],
    };
    [ask().await, metrics.render_text(&[], &around)]
}

/// Each metric that a text tells: its name as in the samples, type, and labels.
fn told_metrics(told: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut metrics = BTreeMap::new();
    for line in told.lines().filter_map(|line| line.strip_prefix("# TYPE ")) {
        let (name, kind) = line.split_once(' ').unwrap();
        let suffix = match kind {
            "counter" => "_total",
            "info" => "_info",
            _ => "",
        };
        let samples = told.lines().filter_map(|line| line.strip_prefix(name)?.split_once('{'));
        let samples = samples.filter(|(rest, _)| ["", "_total", "_info", "_bucket"].contains(rest));
        let labels = samples.flat_map(|(_, rest)| {
            let inside = rest.split_once("} ").unwrap().0;
            inside.split("\",").map(|label| label.split_once('=').unwrap().0.to_owned()).collect::<Vec<_>>()
        });
        metrics.insert(format!("{name}{suffix}"), (kind.to_owned(), labels.filter(|label| label != "le").collect()));
    }
    metrics
}

#[tokio::test(start_paused = true)]
async fn each_metric_is_on_its_page() {
    let [of_requests, mut told] = metrics_text().await.map(|text| told_metrics(&text));
    told.extend(of_requests);
    let page = rows(&read("docs/reference/metrics.md"), &["name", "type", "labels", "unit", "meaning"]);
    let listed: BTreeSet<_> = page.iter().map(|row| (code(&row[0]).concat(), row[1].clone())).collect();
    same("metrics.md", &listed, &told.iter().map(|(name, (kind, _))| (name.clone(), kind.clone())).collect());
    for row in &page {
        let (name, on_page) = (code(&row[0]).concat(), code(&row[2]));
        let missing: Vec<&String> = told[&name].1.iter().filter(|label| !on_page.contains(label)).collect();
        assert!(missing.is_empty(), "{name}: labels that are not on the page: {missing:?}");
    }
}

/// The words of the checks of a doctor, whose crate's name begins so; those of the service kit are of each.
fn checks(sources: &[Source], of: &str) -> BTreeSet<String> {
    let doctors = sources.iter().filter(|source| source.path.contains("/doctor/"));
    let its = doctors.filter(|source| [of, "crates/ovstunnel-server/"].iter().any(|it| source.path.starts_with(it)));
    its.flat_map(|source| first_arguments(source, &["ok", "warn", "fail", "new_finding", "unread_finding"])).collect()
}

/// The words in the first column of the tables of a page that have these columns.
fn listed(page: &str, columns: &[&str]) -> BTreeSet<String> {
    rows(&read(page), columns).iter().flat_map(|row| code(&row[0])).filter(|word| !word.is_empty()).collect()
}

#[test]
fn each_check_and_each_reason_is_in_the_guide() {
    let sources = sources();
    let checks: BTreeSet<String> = &checks(&sources, "crates/ovstunneld/") | &checks(&sources, "crates/ovstunnelctl/");
    let reasons: BTreeSet<String> = sources.iter().flat_map(|source| first_arguments(source, &["needs"])).collect();
    assert!(checks.len() > 25 && reasons.len() > 25, "{checks:?} {reasons:?}");
    const PAGE: &str = "docs/operators-guide/doctor.md";
    let (listed_checks, listed_reasons) =
        (listed(PAGE, &["`check`", "level", "reason"]), listed(PAGE, &["`what`", "state"]));
    same("doctor.md, reasons", &listed_reasons, &reasons);
    // A reason is a check, too.
    same("doctor.md, checks", &(&listed_checks | &reasons), &(&checks | &reasons));
}

#[test]
fn each_check_of_the_manager_is_in_the_guide() {
    let checks = checks(&sources(), "crates/ovstunnel-manager/");
    assert!(checks.len() > 8, "{checks:?}");
    same(
        "manager-doctor.md",
        &listed("docs/operators-guide/manager-doctor.md", &["`check`", "level", "reason"]),
        &checks,
    );
}

#[test]
fn the_mark_of_our_cookies_stands_in_one_file() {
    let mut files = BTreeSet::new();
    for source in sources() {
        each_place(&source.tokens, &mut |here| {
            let literal = text(&here[0]).unwrap_or_else(|| here[0].to_string());
            let whole = matches!(&here[0], proc_macro2::TokenTree::Literal(_));
            if whole && literal.replace('_', "").contains("0x6f7673") {
                files.insert(source.path.rsplit('/').next().unwrap().to_owned());
            }
        });
    }
    assert_eq!(files, ["cookie.rs".to_owned()].into());
}

#[test]
fn links_of_the_reference_lead_to_files() {
    for page in std::fs::read_dir(root().join("docs/reference")).unwrap().map(|entry| entry.unwrap().path()) {
        let text = std::fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = link.split('#').next().unwrap();
            let there = file.is_empty() || file.starts_with("https://") || page.parent().unwrap().join(file).exists();
            assert!(there, "{}: {link}", page.display());
        }
    }
}
