//! What stands beside the code: CONTRIBUTING, licences, alert rules and dashboard, the files of the checks. Each names things that must
//! be there.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::reference_source::{code, read, root, rows};
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

/// Folders and files of the top of the repository that paths in a page begin with.
const PLACES: [&str; 9] =
    ["crates/", "tests/", "docs/", "scripts/", "examples/", "monitoring/", "openapi/", ".github/", ".config/"];

#[test]
fn the_files_that_contributing_names_are_there() {
    let page = read("CONTRIBUTING.md");
    let named: BTreeSet<String> = code(&page)
        .iter()
        .flat_map(|text| text.split(char::is_whitespace).map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| PLACES.iter().any(|place| word.starts_with(place)) && !word.contains(['*', '…']))
        .collect();
    assert!(named.len() > 50, "{named:?}");
    // Of what is built there are no files in a clone.
    let missing: Vec<&String> = named.iter().filter(|path| !root().join(path).exists()).collect();
    assert_eq!(missing, Vec::<&String>::new());
    for recipe in ["a route", "a flow", "a doctor check", "a metric", "a configuration setting", "a tunnel kind"] {
        assert!(page.contains(&format!("\n### Add {recipe}\n")), "no recipe for {recipe}");
    }
}

/// Whether a licence expression of SPDX is met by these licences.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    // `/` is how it was written once. Parentheses stand around alternatives only.
    let plain = expression.replace('/', " OR ").replace(['(', ')'], " ");
    let of_all = |part: &str| part.split(" AND ").all(|one| allowed.contains(one.trim()));
    match expression.contains('(') {
        // (A OR B) AND C: each factor by itself.
        true => expression.split(" AND ").all(|factor| is_allowed(&factor.replace(['(', ')'], ""), allowed)),
        false => plain.split(" OR ").any(of_all),
    }
}

#[test]
fn each_dependency_has_a_licence_that_deny_toml_allows() {
    let deny: toml::Value = toml::from_str(&read("deny.toml")).unwrap();
    let texts = |value: &toml::Value| -> BTreeSet<String> {
        value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let allowed = texts(&deny["licenses"]["allow"]);
    let sources = texts(&deny["sources"]["allow-registry"]);
    let arguments = ["metadata", "--format-version", "1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let output = Command::new(env!("CARGO")).args(arguments).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut used = BTreeSet::new();
    for package in metadata["packages"].as_array().unwrap() {
        let (name, licence) = (&package["name"], package["license"].as_str().unwrap_or("none"));
        assert!(is_allowed(licence, &allowed), "{name}: {licence}");
        used.extend(allowed.iter().filter(|one| licence.contains(one.as_str())));
        if let Some(source) = package["source"].as_str() {
            assert!(sources.iter().any(|good| source == format!("registry+{good}")), "{name}: {source}");
        }
    }
    let unused: Vec<&String> = allowed.iter().filter(|one| !used.contains(one)).collect();
    assert_eq!(unused, Vec::<&String>::new(), "licences that nothing has");
    // The rule bites.
    for bad in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "(MIT OR Apache-2.0) AND GPL-3.0-only", "none"] {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
    for good in ["MIT OR GPL-3.0-only", "MIT/Apache-2.0", "(MIT OR GPL-3.0-only) AND Apache-2.0"] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
}

/// Names of metrics in an expression of Prometheus, as samples have them.
fn metrics_in(expression: &str) -> BTreeSet<String> {
    let words = expression.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("ovstunnel_") || word.starts_with("process_")).map(str::to_owned).collect()
}

/// The metrics of the reference page, which is compared with the daemon's answer, as samples have them.
fn known_metrics() -> BTreeSet<String> {
    let page = rows(&read("docs/reference/metrics.md"), &["name", "type", "labels"]);
    page.iter()
        .flat_map(|row| {
            let name = code(&row[0]).concat();
            match row[1].as_str() {
                "histogram" => ["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")).to_vec(),
                _ => vec![name],
            }
        })
        .collect()
}

/// Labels that an expression names for a metric, and the values that the page knows must be there.
#[track_caller]
fn expect_known(what: &str, expression: &str) {
    let named = metrics_in(expression);
    let unknown: Vec<String> = named.difference(&known_metrics()).cloned().collect();
    assert!(unknown.is_empty(), "{what}: {expression}: no such metric: {unknown:?}");
    let page = rows(&read("docs/reference/metrics.md"), &["name", "type", "labels"]);
    let labels_of = |metric: &str| {
        let row = page.iter().find(|row| metric.starts_with(&code(&row[0]).concat())).unwrap();
        code(&row[2])
    };
    for metric in &named {
        let rest = expression.split_once(metric.as_str()).unwrap().1;
        let Some(selector) = rest.strip_prefix('{').and_then(|rest| rest.split_once('}')) else { continue };
        for label in selector.0.split(',') {
            let (name, values) = label.trim().split_once(['=', '!']).unwrap();
            // What Prometheus itself adds.
            if ["instance", "job"].contains(&name) {
                continue;
            }
            assert!(labels_of(metric).iter().any(|label| label == name), "{what}: {metric} has no label {name}");
            let values = values.trim_matches(['=', '~', '"']);
            if name != "route" && name != "status" {
                let unknown = values.split('|').find(|value| !labels_of(metric).iter().any(|there| there == value));
                assert_eq!(unknown, None, "{what}: {metric}{{{name}}} has no such value");
            }
        }
    }
}

/// The rules of a file, each complete, with its expression.
fn alert_rules(file: &str) -> BTreeMap<String, String> {
    let rules = YamlLoader::load_from_str(&read(file)).unwrap();
    let mut all = BTreeMap::new();
    for rule in rules[0]["groups"][0]["rules"].as_vec().unwrap() {
        let (name, expression) = (rule["alert"].as_str().unwrap(), rule["expr"].as_str().unwrap());
        assert!(matches!(rule["labels"]["severity"].as_str(), Some("critical" | "warning" | "info")), "{name}");
        for part in ["summary", "description"] {
            assert!(matches!(&rule["annotations"][part], Yaml::String(text) if text.len() > 20), "{name}: {part}");
        }
        assert!(all.insert(name.to_owned(), expression.to_owned()).is_none(), "{name} stands twice");
    }
    all
}

#[test]
fn alert_rules_go_by_metrics_that_there_are() {
    let rules = alert_rules("monitoring/ovstunnel.rules.yml");
    rules.iter().for_each(|(name, expression)| expect_known(name, expression));
    assert!(rules.len() > 12);
    // Whether a manager has the metrics of these is tested there.
    assert!(alert_rules("monitoring/ovstunnel-manager.rules.yml").len() > 5);
    let missing = std::panic::catch_unwind(|| expect_known("test", "ovstunnel_tunnels{state=\"broken\"} > 0"));
    assert!(missing.is_err(), "a value that there is not is found");
}

#[test]
fn the_dashboard_shows_metrics_that_there_are() {
    let dashboard: Value = serde_json::from_str(&read("monitoring/ovstunnel-dashboard.json")).unwrap();
    let (mut shown, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().unwrap() {
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            let expression = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
            expect_known(panel["title"].as_str().unwrap(), &expression);
            shown.extend(metrics_in(&expression));
        }
    }
    assert!(shown.len() > 15, "{shown:?}");
}

#[test]
fn the_workflow_and_the_short_names_run_scripts_that_there_are() {
    let workflow = YamlLoader::load_from_str(&read(".github/workflows/ci.yml")).unwrap();
    let jobs: Vec<&str> = workflow[0]["jobs"].as_hash().unwrap().keys().filter_map(Yaml::as_str).collect();
    for job in ["fast", "switches", "packages", "msrv"] {
        assert!(jobs.contains(&job), "{jobs:?}");
    }
    for page in [".github/workflows/ci.yml", "justfile", ".ci/run", "README.md", "CONTRIBUTING.md"] {
        let text = read(page);
        let scripts = text.split("./scripts/").skip(1).map(|rest| {
            rest.split(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c))).next().unwrap().to_owned()
        });
        let missing: Vec<String> = scripts.filter(|name| !root().join("scripts").join(name).exists()).collect();
        assert_eq!(missing, Vec::<String>::new(), "{page}");
    }
}

#[test]
fn the_packages_have_what_their_layout_names() {
    for line in read("scripts/packaging/layout").lines().filter(|line| line.starts_with('0')) {
        let source = line.split_whitespace().nth(2).unwrap();
        let built = ["bin/", "man/", "completions/"].iter().any(|folder| source.starts_with(folder));
        assert!(built || root().join(source).exists(), "{source} is not there");
    }
}
