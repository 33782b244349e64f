//! Which daemon is meant, what it is, and its log: `--host`, `version`, `logs`, and the completion of a line.

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{FakeDaemon, bridge, canned, ctl, run, tunnel};
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ovstunnelctl");

#[test]
fn a_version_is_that_of_both_sides() {
    let ready = json!({"ready": true, "ovs_version": "3.1.0", "version": "9.9.9"});
    let daemon = FakeDaemon::answering(vec![canned("GET /readyz", 200, ready)]);
    let ran = run(&mut daemon.ctl("version"));
    assert_eq!(ran.status, 0, "{}", ran.err);
    let ours = env!("CARGO_PKG_VERSION");
    for words in
        [&format!("ovstunnelctl:  {ours}\n"), "ovstunneld:    9.9.9 (", "Open vSwitch:  3.1.0\n", "they differ"]
    {
        assert!(ran.out.contains(words), "{words} is not in {}", ran.out);
    }
    let json: Value = serde_json::from_str(&run(&mut daemon.ctl("version --json")).out).unwrap();
    assert_eq!((&json["ovstunnelctl"], &json["ovstunneld"]), (&json!(ours), &json!("9.9.9")));
    let ran = run(ctl().args(["version", "--socket", "/nonexistent/o.sock"]));
    assert!(ran.status == 2 && ran.out.contains(ours) && ran.err.contains("cannot reach"), "{}", ran.err);
    let ran = run(ctl().args(["version", "--client", "--socket", "/nonexistent/o.sock"]));
    assert_eq!((ran.status, ran.out), (0, format!("ovstunnelctl:  {ours}\n")));
}

#[test]
fn a_host_is_taken_from_the_file_of_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hosts.toml");
    fs::write(&file, "ca = 'ca.crt'\ncert = 'a.crt'\nkey = 'a.key'\n[hosts.host2]\naddress = '127.0.0.1'\nport = 1\n")
        .unwrap();
    // The certificate beside the file is what is looked for first.
    let ran = run(ctl().args(["bridge", "list", "--host", "host2"]).env("OVSTUNNEL_HOSTS", &file));
    assert_eq!(ran.status, 2);
    let ca = dir.path().join("ca.crt");
    assert!(ran.err.contains(ca.to_str().unwrap()), "{}", ran.err);
    let ran = run(ctl().args(["status", "--host", "host2", "--socket", "/x"]).env("OVSTUNNEL_HOSTS", &file));
    assert!(ran.status == 2 && ran.err.contains("more than one of --socket, --url and --host"), "{}", ran.err);
    fs::write(&file, "[hosts.host2]\nport = 'x'\n").unwrap();
    let ran = run(ctl().args(["status", "--host", "host2"]).env("OVSTUNNEL_HOSTS", &file));
    assert!(ran.status == 2 && ran.err.contains("hosts.toml") && ran.err.contains("line 2"), "{}", ran.err);
}

/// A daemon whose log is `file`.
fn logging_to(file: &Path) -> FakeDaemon {
    let log = json!({
        "level": "info", "configured_level": "info", "file": file, "format": "text", "max_size": 1, "lines_lost": 0
    });
    FakeDaemon::answering(vec![canned("GET /v1/log", 200, log)])
}

#[test]
fn the_end_of_the_log_is_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("o.log");
    fs::write(&file, (1..=150).map(|n| format!("line {n}\n")).collect::<String>()).unwrap();
    let daemon = logging_to(&file);
    let out = run(&mut daemon.ctl("logs")).out;
    assert!(out.starts_with("line 51\n") && out.ends_with("line 150\n"), "{out}");
    assert_eq!(run(&mut daemon.ctl("logs -n 2")).out, "line 149\nline 150\n");
    let other = dir.path().join("none.log");
    let ran = run(daemon.ctl("logs --log").arg(&other));
    assert!(ran.status == 1 && ran.err.contains(other.to_str().unwrap()), "{}", ran.err);
    let ran = run(ctl().args("logs --url https://h --ca a --cert b --client-key c".split(' ')));
    assert_eq!((ran.status, ran.out.as_str()), (2, ""), "{}", ran.err);
}

#[test]
fn the_log_is_followed_into_the_file_that_takes_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("o.log");
    fs::write(&file, "old\n").unwrap();
    let mut command = Command::new(PROGRAM);
    command.args(["logs", "--follow", "--socket", "/nonexistent", "--log"]).arg(&file).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(|line| line.unwrap());
    assert_eq!(lines.next().unwrap(), "old");
    let mut log = OpenOptions::new().append(true).open(&file).unwrap();
    log.write_all(b"be").unwrap();
    log.write_all(b"gun\n").unwrap();
    assert_eq!(lines.next().unwrap(), "begun");
    fs::rename(&file, dir.path().join("o.log.1")).unwrap();
    fs::write(&file, "new\n").unwrap();
    assert_eq!(lines.next().unwrap(), "new");
    child.kill().unwrap();
    child.wait().unwrap();
}

/// What bash offers after these words, the last one being begun.
fn offered(daemon: &FakeDaemon, words: &[&str]) -> Vec<String> {
    let script = "source <(ovstunnelctl completion bash); COMP_WORDS=(ovstunnelctl \"$@\"); COMP_CWORD=$#; COMP_TYPE=9
        _clap_complete_ovstunnelctl ovstunnelctl \"${@: -1}\" x; printf '%s\\n' \"${COMPREPLY[@]}\"";
    let bin = Path::new(PROGRAM).parent().unwrap().to_str().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", script, "bash", "--socket"]).arg(&daemon.socket).args(words);
    let output = bash.env("PATH", format!("{bin}:{}", std::env::var("PATH").unwrap())).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn a_shell_is_offered_what_is_there_now() {
    let mut other = bridge();
    let mut third = tunnel();
    third["port"] = json!("t7-1-3");
    (other["name"], other["tunnels"]) = (json!("br7"), json!([third]));
    let daemon = FakeDaemon::answering(vec![canned("GET /v1/bridges", 200, json!({"bridges": [other, bridge()]}))]);
    assert_eq!(offered(&daemon, &["bri"]), ["bridge"]);
    assert!(offered(&daemon, &["bridge", "show", "x"]).contains(&"xapi12".to_owned()));
    assert!(!offered(&daemon, &["bridge", "show", "x"]).contains(&"br7".to_owned()));
    let ports = offered(&daemon, &["tunnel", "destroy", "br7", "t"]);
    assert_eq!(ports, ["t7-1-3"], "of the bridge that is named");
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(ctl().args(["completion", shell]));
        assert!(ran.status == 0 && ran.out.contains("OVSTUNNELCTL_COMPLETE"), "{shell}: {}", ran.out);
    }
}
