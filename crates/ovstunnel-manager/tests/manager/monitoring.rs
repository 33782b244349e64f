//! Alert rules and dashboard of a zone: each metric and each state that they name is one that a manager has.

use std::collections::BTreeSet;
use std::path::Path;

use crate::common::bench;

/// Each metric of a manager's that a text names, with the states that it names of it.
fn named(text: &str) -> BTreeSet<(String, Vec<String>)> {
    let mut all = BTreeSet::new();
    for rest in text.split("ovstunnel_manager_").skip(1) {
        let end = rest.find(|c: char| !(c.is_ascii_lowercase() || c == '_')).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let selector = after.strip_prefix('{').and_then(|after| after.split_once('}')).map_or("", |(inside, _)| inside);
        let states = selector.split("state=\"").skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned()));
        all.insert((format!("ovstunnel_manager_{name}"), states.collect()));
    }
    all
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rules_and_dashboard_name_is_there() {
    let bench = bench().await;
    let support = bench.manager.support().await.unwrap();
    let metrics = &support.parts.iter().find(|part| part.name == "metrics.txt").unwrap().text;
    let is_there = |name: &str, state: Option<&String>| {
        let begin = state.map_or_else(|| name.to_owned(), |state| format!("{name}{{state=\"{state}\"}} "));
        metrics
            .lines()
            .any(|line| line.strip_prefix(&begin).is_some_and(|rest| state.is_some() || rest.starts_with([' ', '{'])))
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (file, least) in
        [("monitoring/ovstunnel-manager.rules.yml", 5), ("monitoring/ovstunnel-manager-dashboard.json", 10)]
    {
        let mut text = std::fs::read_to_string(root.join(file)).unwrap();
        if file.ends_with(".json") {
            let dashboard: serde_json::Value = serde_json::from_str(&text).unwrap();
            let targets =
                dashboard["panels"].as_array().unwrap().iter().flat_map(|panel| panel["targets"].as_array().unwrap());
            text = targets.map(|target| target["expr"].as_str().unwrap().to_owned() + "\n").collect();
        }
        let names = named(&text);
        assert!(names.len() >= least, "{file}: {names:?}");
        for (name, states) in &names {
            assert!(is_there(name, None), "{file}: no metric {name} in\n{metrics}");
            for state in states {
                assert!(is_there(name, Some(state)), "{file}: {name} has no state {state} in\n{metrics}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_metric_is_in_the_guide() {
    let bench = bench().await;
    let support = bench.manager.support().await.unwrap();
    let metrics = &support.parts.iter().find(|part| part.name == "metrics.txt").unwrap().text;
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators-guide/manager.md");
    let page = std::fs::read_to_string(page).unwrap();
    let types = metrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let names = types.map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() });
    let missing: Vec<String> = names.filter(|name| !page.contains(&format!("`{name}`"))).collect();
    assert_eq!(missing, Vec::<String>::new(), "metrics that manager.md does not name");
}
