//! House rules that a compiler does not check: who may depend on whom, who may run programs, how a file begins.
//!
//! The rules are those of docs/ARCHITECTURE.md. A rule that has to give way is changed there first and then here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Each crate of the product, with the crates of this workspace that it may use.
const MAY_USE: [(&str, &[&str]); 17] = [
    ("ovstunnel-types", &[]),
    ("ovstunnel-plan", &["ovstunnel-types"]),
    ("ovstunnel-mesh", &["ovstunnel-types"]),
    ("ovstunnel-store", &["ovstunnel-types"]),
    ("ovstunnel-ovs", &["ovstunnel-plan"]),
    ("ovstunnel-api", &["ovstunnel-types"]),
    ("ovstunnel-manager-api", &["ovstunnel-api", "ovstunnel-types"]),
    ("ovstunnel-client", &["ovstunnel-api", "ovstunnel-manager-api"]),
    ("ovstunnel-pki", &[]),
    ("ovstunnel-bundle", &[]),
    ("ovstunnel-server", &["ovstunnel-api", "ovstunnel-types"]),
    ("ovstunneld", &["ovstunnel-plan", "ovstunnel-ovs", "ovstunnel-api", "ovstunnel-server", "ovstunnel-types"]),
    (
        "ovstunnel-manager",
        &[
            "ovstunnel-types",
            "ovstunnel-mesh",
            "ovstunnel-pki",
            "ovstunnel-store",
            "ovstunnel-api",
            "ovstunnel-bundle",
            "ovstunnel-manager-api",
            "ovstunnel-client",
            "ovstunnel-server",
        ],
    ),
    (
        "ovstunnelctl",
        &["ovstunnel-api", "ovstunnel-bundle", "ovstunnel-client", "ovstunnel-manager-api", "ovstunnel-pki"],
    ),
    ("ovstunnel-xapi", &["ovstunnel-api", "ovstunnel-client", "ovstunnel-types"]),
    ("ovstunnel-kvm", &["ovstunnel-api", "ovstunnel-client", "ovstunnel-types"]),
    ("ovstunnel-vif", &[]),
];

/// All that types, plan and mesh may use of other people's crates: nothing that does I/O, knows the time or runs tasks.
const PURE_USES: [&str; 9] =
    ["ipnet", "macaddr", "ovstunnel-types", "serde", "serde_json", "sha2", "thiserror", "utoipa", "uuid"];

/// The crates without I/O.
const PURE: [&str; 3] = ["ovstunnel-types", "ovstunnel-plan", "ovstunnel-mesh"];

/// What must be nowhere in a crate's closure: all that it and those below it use, as the crate alone is built.
const FREE_OF: [(&str, &[&str]); 8] = [
    ("ovstunnel-client", &["clap", "axum", "ovstunnel-plan", "ovstunnel-ovs"]),
    ("ovstunnel-plan", &["tokio"]),
    ("ovstunnel-mesh", &["tokio", "ovstunnel-plan"]),
    ("ovstunnel-store", &["ovstunnel-mesh", "ovstunnel-api", "openssl-sys", "native-tls", "aws-lc-rs"]),
    ("ovstunnel-server", &["clap", "ovstunnel-plan", "ovstunnel-ovs"]),
    ("ovstunnel-manager", &["ovstunneld", "ovstunnel-plan", "ovstunnel-ovs"]),
    ("ovstunnel-xapi", &["clap", "reqwest", "rustls", "url"]),
    ("ovstunnel-kvm", &["clap", "reqwest", "rustls", "url", "dxr"]),
];

/// The files that may run programs: the one for Open vSwitch, the VIF helper, which has the daemon's program look once where no
/// daemon runs, and `edit`, which starts the operator's editor.
const RUN_PROGRAMS: [(&str, &str); 4] = [
    ("ovstunnel-ovs", "src/runner.rs"),
    ("ovstunnel-vif", "src/main.rs"),
    ("ovstunnelctl", "src/cli/apply/edit.rs"),
    ("ovstunnelctl", "src/cli/join/programs.rs"),
];

/// The file that knows what the types of Interface are called that are tunnels of ours.
const KNOWS_TUNNEL_KINDS: (&str, &str) = ("ovstunnel-types", "src/tunnel.rs");

/// Lines of a file that a reader can still hold in the head.
const LONGEST: usize = 450;

/// Letters of a function's name that still fit in one line of a test report.
const LONGEST_NAME: usize = 60;

/// How many in a hundred functions may have a name of one word. One word seldom says what is done to what.
const ONE_WORD_PERCENT: usize = 35;

/// Names that the language or everyone who writes Rust gives to such a function.
const GIVEN_NAMES: [&str; 6] = ["new", "default", "fmt", "from", "drop", "main"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Name of each crate of the workspace, with its folder and the crates that it depends on, not for its tests alone.
fn crates() -> BTreeMap<String, (PathBuf, Vec<String>)> {
    let mut cargo = Command::new(env!("CARGO"));
    let output = cargo.args(["metadata", "--format-version", "1", "--no-deps"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap().iter().map(|package| {
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let real = dependencies.filter(|dependency| dependency["kind"] != "dev").map(|d| text(&d["name"])).collect();
        let folder = Path::new(package["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned();
        (text(&package["name"]), (folder, real))
    });
    packages.collect()
}

/// What of the product's crates breaks the layers.
fn breaches(crates: &BTreeMap<String, (PathBuf, Vec<String>)>) -> Vec<String> {
    let mut breaches = Vec::new();
    for (name, allowed) in MAY_USE {
        let (_, uses) = &crates[name];
        let inside = uses.iter().filter(|used| crates.contains_key(*used));
        breaches
            .extend(inside.filter(|used| !allowed.contains(&used.as_str())).map(|used| format!("{name} -> {used}")));
        let outside = uses.iter().filter(|used| PURE.contains(&name) && !PURE_USES.contains(&used.as_str()));
        breaches.extend(outside.map(|used| format!("{name} -> {used}")));
    }
    breaches
}

#[test]
fn no_crate_uses_one_that_it_must_not() {
    let mut crates = crates();
    assert_eq!(breaches(&crates), Vec::<String>::new());
    let here = root().join("crates");
    for (name, (folder, _)) in &crates {
        let known = MAY_USE.iter().any(|(known, _)| known == name);
        assert_eq!(
            folder.starts_with(&here),
            known,
            "{name}: a crate of the product is in crates/ and has a rule here"
        );
    }
    // The rule bites.
    crates.get_mut("ovstunnelctl").unwrap().1.push("ovstunnel-plan".into());
    crates.get_mut("ovstunnel-plan").unwrap().1.push("tokio".into());
    assert_eq!(breaches(&crates), ["ovstunnel-plan -> tokio", "ovstunnelctl -> ovstunnel-plan"]);
}

/// All crates that one is built with.
fn closure(name: &str) -> Vec<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--package", name, "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = cargo.current_dir(root()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    lines.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn what_is_built_for_a_crate_has_nothing_that_it_must_not() {
    for (name, free_of) in FREE_OF {
        let closure = closure(name);
        assert!(closure.contains(&name.to_owned()) && closure.len() > 3, "{name}: {closure:?}");
        for other in free_of {
            assert!(!closure.contains(&(*other).to_owned()), "{name} is built with {other}");
        }
    }
    assert_eq!(closure("ovstunnel-vif"), ["ovstunnel-vif"], "it starts for each event, on the standard library alone");
    // It would be seen.
    assert!(closure("ovstunnelctl").contains(&"clap".to_owned()));
}

/// The Rust files in and under a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return vec![] };
    let mut found = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        match path.is_dir() {
            true => found.extend(sources(&path)),
            false if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
            false => {}
        }
    }
    found
}

/// A file's text up to its unit tests; nothing of a file that is a test as a whole.
fn product_text(path: &Path) -> String {
    if path.to_str().is_some_and(|path| path.ends_with("tests.rs")) {
        return String::new();
    }
    let text = std::fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
}

/// Whether a text runs programs. `std::process::ExitCode` does not.
fn runs_programs(text: &str) -> bool {
    ["process::Command", "process::{Command", "Command::new(", "libc::fork", "::exec("]
        .iter()
        .any(|sign| text.contains(sign))
}

/// Crate and path of each file of the product of whose text something holds.
fn files_where(holds: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (name, (folder, _)) in crates().iter().filter(|(name, _)| MAY_USE.iter().any(|(known, _)| known == name)) {
        let files = sources(&folder.join("src")).into_iter().filter(|path| holds(&product_text(path)));
        found.extend(files.map(|path| (name.clone(), path.strip_prefix(folder).unwrap().display().to_string())));
    }
    found
}

/// Whether a text names a type of Interface of ours, as a value or as what is written to the database.
fn names_tunnel_type(text: &str) -> bool {
    ["gre", "vxlan", "geneve"]
        .iter()
        .any(|kind| text.contains(&format!("\"{kind}\"")) || text.contains(&format!("type={kind}")))
}

#[test]
fn a_tunnels_type_of_interface_is_named_in_one_place() {
    let (name, file) = KNOWS_TUNNEL_KINDS;
    assert_eq!(files_where(names_tunnel_type), [(name.to_owned(), file.to_owned())]);
}

/// It is part of the manager, too: the names of a program, its unit and its files are told to it.
#[test]
fn the_service_kit_does_not_know_which_program_it_is_part_of() {
    let kit = files_where(|text| {
        text.lines().any(|line| !line.trim_start().starts_with("//") && line.contains("ovstunneld"))
    });
    let kit: Vec<_> = kit.into_iter().filter(|(name, _)| name == "ovstunnel-server").collect();
    assert_eq!(kit, []);
}

#[test]
fn programs_are_run_in_one_place() {
    let mut running = files_where(runs_programs);
    let mut expected = RUN_PROGRAMS.map(|(name, file)| (name.to_owned(), file.to_owned()));
    running.sort();
    expected.sort();
    assert_eq!(running, expected);
}

#[test]
fn every_file_says_what_it_is_and_is_short() {
    let mut files = 0;
    for folder in crates().into_values().map(|(folder, _)| folder) {
        for path in ["src", "tests"].iter().flat_map(|part| sources(&folder.join(part))) {
            files += 1;
            let text = std::fs::read_to_string(&path).unwrap();
            let path = path.strip_prefix(root()).unwrap().display().to_string();
            assert!(text.starts_with("//!") || text.starts_with("// "), "{path} does not say what it is");
            let lines = text.lines().count();
            assert!(lines <= LONGEST, "{path} has {lines} lines; {LONGEST} are the most");
        }
    }
    assert!(files > 100, "only {files} files were looked at");
}

/// The name of the function that a line defines.
fn defined_function(line: &str) -> Option<&str> {
    let modifiers = ["pub ", "pub(crate) ", "pub(super) ", "const ", "async ", "unsafe ", "extern \"C\" "];
    let mut rest = line.trim_start();
    while let Some(after) = modifiers.iter().find_map(|modifier| rest.strip_prefix(modifier)) {
        rest = after;
    }
    let name = rest.strip_prefix("fn ")?;
    Some(&name[..name.find(['(', '<'])?])
}

/// The functions that a text defines and names by itself: not those whose names a trait requires.
fn chosen_names(text: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut required_until: Option<String> = None;
    for line in text.lines() {
        let indent = &line[..line.len() - line.trim_start().len()];
        match &required_until {
            Some(end) => {
                if line == end {
                    required_until = None;
                }
            }
            None if line.trim_start().starts_with("impl") && line.contains(" for ") && line.ends_with('{') => {
                required_until = Some(format!("{indent}}}"));
            }
            None => names.extend(defined_function(line).filter(|name| !GIVEN_NAMES.contains(name))),
        }
    }
    names
}

#[test]
fn no_function_has_a_name_longer_than_a_line_of_a_report() {
    let mut functions = 0;
    for folder in crates().into_values().map(|(folder, _)| folder) {
        for path in ["src", "tests"].iter().flat_map(|part| sources(&folder.join(part))) {
            let text = std::fs::read_to_string(&path).unwrap();
            for name in text.lines().filter_map(defined_function) {
                functions += 1;
                assert!(name.len() <= LONGEST_NAME, "{}: {name} has {} letters", path.display(), name.len());
            }
        }
    }
    assert!(functions > 3000, "only {functions} functions were found");
}

#[test]
fn most_functions_say_in_more_than_one_word_what_they_do() {
    let product = crates().into_iter().filter(|(name, _)| MAY_USE.iter().any(|(known, _)| known == name));
    let (mut all, mut of_one_word) = (0, 0);
    for path in product.flat_map(|(_, (folder, _))| sources(&folder.join("src"))) {
        let text = product_text(&path);
        let names = chosen_names(&text);
        all += names.len();
        of_one_word += names.iter().filter(|name| !name.contains('_')).count();
    }
    println!("{of_one_word} of {all} functions have a name of one word");
    assert!(all > 3000, "only {all} functions were found");
    assert!(of_one_word * 100 <= all * ONE_WORD_PERCENT, "{of_one_word} of {all} functions have a name of one word");
    let sample = "impl Display for X {\n    fn fmt(&self) {}\n}\nimpl X {\n    pub(crate) async fn a_b<T>() {}\n    fn c() {}\n}";
    assert_eq!(chosen_names(sample), ["a_b", "c"]);
}
