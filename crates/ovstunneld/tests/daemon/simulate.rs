//! `ovstunneld --simulate`: the whole program without Open vSwitch and without a right to anything.

use crate::common;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::common::{exchange, request, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, Uid, chown};
use serde_json::{Value, json};
use tokio::net::UnixStream;

/// A user that owns nothing.
const NOBODY: u32 = 65534;

/// A simulating daemon whose files are all in `dir`. Killed when dropped.
struct Simulation(Child);

impl Simulation {
    fn start(dir: &Path, user: Option<u32>) -> Self {
        let d = dir.display();
        let config = format!("[api]\nlisten = \"off\"\nsocket = \"{d}/o.sock\"\n[log]\nfile = \"{d}/log\"\n");
        std::fs::write(dir.join("o.toml"), config).unwrap();
        // A copy, since a build folder may be closed to others. Not written by this process: what another test starts at that
        // moment would hold the file open for writing for as long as it takes to start, and a program cannot be run then.
        let program = dir.join("ovstunneld");
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_ovstunneld")).arg(&program).status().unwrap();
        assert!(copied.success());
        let mut command = Command::new(program);
        command.arg("--simulate").arg("--config").arg(dir.join("o.toml")).stdin(Stdio::null());
        command.stderr(std::fs::File::create(dir.join("stderr")).unwrap());
        if let Some(user) = user {
            chown(dir, Some(Uid::from_raw(user)), None).unwrap();
            command.uid(user);
        }
        let child = command.spawn().unwrap();
        wait_for("it serves", || std::fs::read_to_string(dir.join("log")).ok()?.contains("serving").then_some(()));
        Simulation(child)
    }
}

impl Drop for Simulation {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

async fn ask(dir: &Path, line: &str, body: Option<Value>) -> (u16, Value) {
    let stream = UnixStream::connect(dir.join("o.sock")).await.unwrap();
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    let headers: &[_] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
    let answer = exchange(stream, &request(line, headers, body.as_bytes())).await.unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap_or(Value::Null))
}

async fn network_is_set_up_and_told(user: Option<u32>) {
    let dir = tempfile::tempdir().unwrap();
    let mut daemon = Simulation::start(dir.path(), user);
    let dir = dir.path();
    let ready = wait_until_ready(dir).await;
    assert!(ready["ovs_version"].as_str().unwrap().contains("simulated"), "{ready}");
    let body = json!({"key": 1001, "host_id": 1, "tunnels": [{"to": 2, "remote_ip": "192.0.2.12"}]});
    let (status, answer) = ask(dir, "PUT /v1/bridges/xapi12", Some(body)).await;
    assert_eq!((status, &answer["outcome"]), (201, &json!("created")), "{answer}");
    let (_, list) = ask(dir, "GET /v1/bridges", None).await;
    assert_eq!(list["bridges"][0]["tunnels"][0]["state"], "up", "{list}");
    let (status, device) = ask(dir, "GET /v1/interfaces/sim0", None).await;
    assert_eq!((status, &device["ip"]), (200, &json!("192.0.2.1")));
    let (status, own) =
        ask(dir, "POST /v1/bridges/xapi12/tunnels", Some(json!({"from": 1, "to": 3, "remote_ip": "192.0.2.1"}))).await;
    assert_eq!((status, &own["field"]), (400, &json!("remote_ip")), "the simulated host's own address");
    let (status, gone) = ask(dir, "DELETE /v1/bridges/xapi12", None).await;
    assert_eq!((status, &gone["outcome"]), (200, &json!("removed")), "{gone}");

    kill(Pid::from_raw(daemon.0.id().try_into().unwrap()), Signal::SIGTERM).unwrap();
    let status = wait_for("it ends", || daemon.0.try_wait().unwrap());
    assert_eq!(status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(dir.join("stderr")).unwrap(), "");
}

async fn wait_until_ready(dir: &Path) -> Value {
    let end = std::time::Instant::now() + common::PATIENCE;
    loop {
        let (status, ready) = ask(dir, "GET /readyz", None).await;
        if status == 200 {
            return ready;
        }
        assert!(std::time::Instant::now() < end, "not ready: {ready}");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn whoever_starts_it_can_set_up_networks() {
    network_is_set_up_and_told(None).await;
}

#[tokio::test]
async fn it_needs_no_right_to_anything() {
    if !nix::unistd::geteuid().is_root() {
        // Whoever runs this is no root: then the test before was this one.
        return;
    }
    network_is_set_up_and_told(Some(NOBODY)).await;
}
