//! The examples do what they say: each is run against a daemon on the simulated switch, on the Unix socket and over HTTPS.
//!
//! What it must not do: need Ansible. Its playbook is read as YAML, and its bodies are compared with what the API takes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::common::{Daemon, wait_for};
use yaml_rust2::{Yaml, YamlLoader};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name)
}

/// A daemon that has looked at everything, and a client's files beside it.
async fn daemon() -> Daemon {
    let daemon = Daemon::simulated("");
    let client = daemon.ca.issue("cloud");
    let files = [("ca.crt", &daemon.ca.pem), ("client.crt", &client.certificate), ("client.key", &client.key)];
    files.iter().for_each(|(name, text)| std::fs::write(daemon.dir.path().join(name), text).unwrap());
    wait_for("it is ready", || {
        run(&daemon, "curl", &["-sf", "http://localhost/readyz"]).status.success().then_some(())
    });
    daemon
}

/// Runs a program; `curl` on the daemon's socket.
fn run(daemon: &Daemon, program: &str, arguments: &[&str]) -> Output {
    let mut command = Command::new(program);
    if program == "curl" {
        command.arg("--unix-socket").arg(daemon.socket());
    }
    command.args(arguments).env("OVSTUNNEL_SOCKET", daemon.socket()).output().unwrap()
}

/// What an example prints, on the socket and over HTTPS; both are the same.
#[track_caller]
fn both_ways(daemon: &Daemon, name: &str) -> String {
    let (url, dir) = (format!("https://{}", daemon.address), daemon.dir.path().display().to_string());
    let ways: [&[&str]; 2] = [&[], &[&url, &dir]];
    let [socket, https] = ways.map(|arguments| {
        let output = run(daemon, example(name).to_str().unwrap(), arguments);
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
        assert!(output.status.success() && said[1].is_empty(), "{name} {arguments:?}: {said:?}");
        said[0].clone()
    });
    // OpenFlow numbers are given anew.
    let lines = |text: &str| text.lines().count();
    assert_eq!(lines(&socket), lines(&https), "{socket}\n{https}");
    socket
}

#[tokio::test]
async fn curl() {
    let daemon = daemon().await;
    let said = both_ways(&daemon, "curl.sh");
    let outcomes: Vec<String> = said
        .lines()
        .map(|line| {
            let answer: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
            answer["outcome"].as_str().unwrap_or_else(|| answer["name"].as_str().unwrap()).to_owned()
        })
        .collect();
    assert_eq!(outcomes, ["created", "updated", "created", "example0", "removed", "removed"], "{said}");
}

#[tokio::test]
async fn a_refused_request_ends_the_script_with_its_problem() {
    let daemon = daemon().await;
    let script = std::fs::read_to_string(example("curl.sh")).unwrap();
    let bad = daemon.dir.path().join("bad.sh");
    std::fs::write(&bad, script.replace("192.0.2.3", "192.0.2")).unwrap();
    let output = run(&daemon, "sh", &[bad.to_str().unwrap()]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(!output.status.success() && said.contains("\"invalid_request\""), "{:?} {said}", output.status);
    assert_eq!(said.lines().count(), 1, "nothing is asked after it: {said}");
}

#[tokio::test]
async fn python() {
    let daemon = daemon().await;
    let said = both_ways(&daemon, "ovstunnel.py");
    let expected = [
        "set up: created",
        "would: remove tunnel t1001-1-3 from bridge example0",
        "t1001-1-2 to 192.0.2.2 is up",
        "t1001-1-3 to 192.0.2.3 is up",
        "t1001-1-4 to 192.0.2.4 is up",
        "t1001-1-4 removed",
        "refused: invalid_request remote_ip",
        "removed: removed",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), expected);
}

#[test]
fn the_playbook_asks_for_what_the_api_has() {
    let text = std::fs::read_to_string(example("ansible/network.yml")).unwrap();
    let plays = YamlLoader::load_from_str(&text).unwrap();
    let tasks = plays[0][0]["tasks"].as_vec().unwrap();
    let openapi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../openapi/ovstunneld-v1.json");
    let openapi: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(openapi).unwrap()).unwrap();
    let fields = &openapi["components"]["schemas"]["PutBridge"]["properties"];
    let mut asked = 0;
    for request in tasks.iter().map(|task| &task["ansible.builtin.uri"]) {
        let url = request["url"].as_str().unwrap();
        let path = url.strip_prefix("{{ api }}").unwrap().replace("{{ bridge }}", "{bridge}");
        let method = request["method"].as_str().unwrap_or("GET").to_lowercase();
        let route = &openapi["paths"][path.split('?').next().unwrap()][&method];
        assert!(route.is_object(), "{method} {path} is not in the API");
        if let Yaml::String(body) = &request["body"] {
            asked += 1;
            let keys = body.split('\'').skip(1).step_by(2).collect::<Vec<_>>();
            assert_eq!(keys, ["key", "host_id", "tunnels"]);
            keys.iter().for_each(|key| assert!(fields[key].is_object(), "{key} is not in PutBridge: {fields}"));
        }
    }
    assert_eq!((asked, tasks.len()), (2, 4));
}
