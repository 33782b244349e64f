//! The program as the agent runs it, beside a daemon that answers what it was told to: argument vectors of the contract, one pipe for all
//! output that is read after the end, standard input that nobody closes, five at once.
#![allow(clippy::unwrap_used)] // a test that cannot go on fails

use std::io::{Read, pipe};
use std::process::{Child, Command, Stdio};

use ovstunnel_test_support::{Canned, FakeDaemon, canned, foreign, problem, unavailable};
use serde_json::{Value, json};

/// The argument vectors that an agent makes, and what the daemon is asked then.
const CALLS: [(&str, &str); 7] = [
    (
        "setup_ovs_bridge --key OVSTunnel1001 --cs_host_id 3 --bridge OVSTunnel1001",
        r#"{"bridge": "OVSTunnel1001", "cs_host_id": "3", "key": "OVSTunnel1001"}"#,
    ),
    (
        "create_tunnel --bridge OVSTunnel1001 --remote_ip 192.0.2.2 --key 1001 --src_host 3 --dst_host 4",
        r#"{"bridge": "OVSTunnel1001", "dst_host": "4", "key": "1001", "remote_ip": "192.0.2.2", "src_host": "3"}"#,
    ),
    (
        "destroy_tunnel --bridge OVSTunnel1001 --iface_name t1001-3-4",
        r#"{"bridge": "OVSTunnel1001", "iface_name": "t1001-3-4"}"#,
    ),
    ("destroy_ovs_bridge --bridge OVSTunnel1001", r#"{"bridge": "OVSTunnel1001"}"#),
    (
        "setup_ovs_bridge_for_distributed_routing --bridge OVS-DR-VPC-Bridge7 --key OVS-DR-VPC-Bridge7 --cs_host_id 3",
        r#"{"bridge": "OVS-DR-VPC-Bridge7", "cs_host_id": "3", "key": "OVS-DR-VPC-Bridge7"}"#,
    ),
    (
        "configure_ovs_bridge_for_network_topology --bridge OVS-DR-VPC-Bridge7 --config {}",
        r#"{"bridge": "OVS-DR-VPC-Bridge7", "config": "{}"}"#,
    ),
    (
        "configure_ovs_bridge_for_routing_policies --bridge OVS-DR-VPC-Bridge7 --config {}",
        r#"{"bridge": "OVS-DR-VPC-Bridge7", "config": "{}"}"#,
    ),
];

/// A run that has begun: the agent's ends of its pipes.
struct Running {
    child: Child,
    output: std::io::PipeReader,
}

impl Running {
    /// As the agent starts it: one pipe for both outputs, and standard input a pipe that stays open.
    fn start(environment: &[(&str, &str)], line: &str) -> Self {
        let (output, both) = pipe().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnel-kvm"));
        command.env_clear().envs(environment.iter().copied()).args(line.split_whitespace());
        command.stdin(Stdio::piped()).stdout(both.try_clone().unwrap()).stderr(both);
        let child = command.spawn().unwrap();
        Running { child, output }
    }

    /// Its exit status, then all that it has said, as lines joined: what the agent judges.
    fn end(mut self) -> (i32, String) {
        let input = self.child.stdin.take();
        let status = self.child.wait().unwrap().code().unwrap();
        let mut text = String::new();
        // Ends only where no child of it holds the pipe.
        self.output.read_to_string(&mut text).unwrap();
        drop(input);
        assert!(text.ends_with('\n') && text.lines().count() == 1 && text.len() < 1000, "{text:?}");
        (status, text.trim_end().to_owned())
    }
}

fn run(daemon: &FakeDaemon, config: &str, line: &str) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ovstunneld.toml");
    std::fs::write(&file, format!("[api]\nsocket = \"{}\"\n{config}", daemon.socket.display())).unwrap();
    Running::start(&[("OVSTUNNEL_CONFIG", file.to_str().unwrap())], line).end()
}

/// The daemon's answer to a call of this line's function.
fn answer(line: &str, status: u16, body: Value) -> Canned {
    let function = line.split(' ').next().unwrap();
    canned(format!("POST /v1/kvm/{function}").leak(), status, body)
}

const INVERTED: &str = "[kvm]\ncreate_tunnel_exit = \"inverted\"\n";

#[test]
fn each_hook_call_asks_once_and_exits_as_the_agent_expects() {
    for (line, asked) in CALLS {
        let inverted = i32::from(line.starts_with("create_tunnel"));
        for (value, config, status) in [
            ("SUCCESS:x", "", 0),
            ("FAILURE:NO_BRIDGE x", "", 1),
            ("SUCCESS:x", INVERTED, inverted),
            ("FAILURE:NO_BRIDGE x", INVERTED, 1 - inverted),
        ] {
            let daemon = FakeDaemon::answering(vec![answer(line, 200, json!({"value": value}))]);
            assert_eq!(run(&daemon, config, line), (status, value.to_owned()), "{config}{line}");
            let told = daemon.asked();
            assert_eq!((told.len(), &told[0].body), (1, &serde_json::from_str::<Value>(asked).unwrap()), "{line}");
        }
    }
}

#[test]
fn what_is_no_value_is_a_failure_in_one_line() {
    let not_found = json!({"type": "urn:ovstunnel:problem:not_found", "title": "x", "status": 404, "detail": "no function",
        "code": "not_found"});
    let line = CALLS[1].0;
    let post = "POST /v1/kvm/create_tunnel";
    for (answer, words) in [
        (canned(post, 503, unavailable()), "FAILURE:UNAVAILABLE ovs-vswitchd does not answer"),
        (canned(post, 400, problem()), "FAILURE:INVALID_ARGUMENT the key is out of range"),
        (canned(post, 404, not_found), "FAILURE:INVALID_ARGUMENT no function"),
        (foreign(post, 200, "ok"), "FAILURE:UNAVAILABLE the answer from "),
        (canned(post, 200, json!({"value": "SUCCESS:x\nSUCCESS"})), "SUCCESS:x\\nSUCCESS"),
    ] {
        for (config, failed) in [("", 1), (INVERTED, 0)] {
            let (status, told) = run(&FakeDaemon::answering(vec![answer.clone()]), config, line);
            let expected = if words.starts_with("SUCCESS") { 1 - failed } else { failed };
            assert!(told.starts_with(words) && status == expected, "{words}: {status} {told}");
        }
    }
}

#[test]
fn without_a_daemon_and_with_a_bad_command_line_it_has_failed() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ovstunneld.toml");
    let socket = folder.path().join("nobody");
    std::fs::write(&file, format!("[api]\nsocket = \"{}\"\n{INVERTED}", socket.display())).unwrap();
    let environment = [("OVSTUNNEL_CONFIG", file.to_str().unwrap())];
    for (line, status) in CALLS.iter().map(|(line, _)| (*line, i32::from(!line.starts_with("create_tunnel")))) {
        let (ended, told) = Running::start(&environment, line).end();
        assert!(ended == status && told.starts_with("FAILURE:UNAVAILABLE "), "{line}: {ended} {told}");
    }
    for line in
        ["", "a/b --bridge x", "setup_ovs_bridge bridge", "setup_ovs_bridge --bridge", "destroy_tunnel --a 1 --a 2"]
    {
        let (ended, told) = Running::start(&environment, line).end();
        assert!(ended == 1 && told.starts_with("FAILURE:INVALID_ARGUMENT "), "{line}: {ended} {told}");
    }
}

#[test]
fn five_run_at_once() {
    let lines = [CALLS[0].0, CALLS[1].0, CALLS[3].0];
    let answers = lines.iter().flat_map(|line| std::iter::repeat_n(answer(line, 200, json!({"value": "SUCCESS"})), 5));
    let daemon = FakeDaemon::answering(answers.collect());
    let environment = [("OVSTUNNEL_SOCKET", daemon.socket.to_str().unwrap())];
    for _ in 0..3 {
        let running: Vec<Running> = (0..5).map(|n| Running::start(&environment, lines[n % lines.len()])).collect();
        assert!(running.into_iter().all(|running| running.end() == (0, "SUCCESS".to_owned())));
    }
    assert_eq!(daemon.asked().len(), 15);
}
