//! For tests of programs that ask a daemon: one that answers what it was told to and remembers what it was asked, and
//! answers as they may come. Must not know what a route does, nor be used by the product.

#![allow(missing_docs, clippy::unwrap_used, reason = "a test fails by panicking")]

pub mod config_page;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use assert_cmd::Command;
use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::UnixListener;
use tokio::runtime::Runtime;

/// What the daemon was asked: `PUT /v1/bridges/br0?dry_run=true` and the body, `null` where there was none.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub line: String,
    pub body: Value,
}

/// An answer to requests whose line without the query is `line`.
#[derive(Clone)]
pub struct Canned {
    line: &'static str,
    status: u16,
    body: String,
}

/// A JSON answer. Several to one line are given one after the other, and the last one from then on.
pub fn canned(line: &'static str, status: u16, body: Value) -> Canned {
    Canned { line, status, body: body.to_string() }
}

/// An answer that is not JSON.
pub fn foreign(line: &'static str, status: u16, body: &str) -> Canned {
    Canned { line, status, body: body.to_owned() }
}

/// Status of a [`Canned`] answer that never comes.
pub const NEVER: u16 = 0;

/// The routes and their memory, for a server of any kind.
#[derive(Clone)]
pub struct Script {
    answers: Arc<Vec<Canned>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Script {
    pub fn new(answers: Vec<Canned>) -> Self {
        Script { answers: Arc::new(answers), asked: Arc::default() }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub fn router(&self) -> Router {
        let script = self.clone();
        Router::new().fallback(move |method: Method, uri: Uri, headers: HeaderMap, body: Bytes| {
            let script = script.clone();
            async move { script.answer(method, uri, &headers, &body).await }
        })
    }

    async fn answer(&self, method: Method, uri: Uri, headers: &HeaderMap, body: &[u8]) -> Response {
        let body = if body.is_empty() {
            Value::Null
        } else {
            assert_eq!(headers[header::CONTENT_TYPE], "application/json");
            serde_json::from_slice(body).unwrap()
        };
        let line = format!("{method} {}", uri.path());
        let before = {
            let mut asked = self.asked.lock().unwrap();
            // By HTTP/2 a URI has the host, too.
            let target = uri.path_and_query().map_or("", |target| target.as_str());
            asked.push(Asked { line: format!("{method} {target}"), body });
            asked.iter().filter(|asked| asked.line.split('?').next() == Some(&line)).count() - 1
        };
        // Several answers to one line are given one after the other; the last one stays.
        let mut answers = self.answers.iter().filter(|a| a.line == line);
        let last = answers.clone().next_back();
        match answers.nth(before).or(last) {
            Some(Canned { status: NEVER, .. }) => std::future::pending().await,
            Some(canned) => (StatusCode::from_u16(canned.status).unwrap(), canned.body.clone()).into_response(),
            None => (StatusCode::NOT_IMPLEMENTED, "the test has no answer for this").into_response(),
        }
    }
}

/// The daemon on a Unix socket of its own. Ends with its value.
pub struct FakeDaemon {
    pub socket: PathBuf,
    script: Script,
    _runtime: Runtime,
    _dir: TempDir,
}

impl FakeDaemon {
    pub fn answering(answers: Vec<Canned>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("ovstunneld.sock");
        let script = Script::new(answers);
        let runtime = runtime();
        let listener = runtime.block_on(async { UnixListener::bind(&socket) }).unwrap();
        let router = script.router();
        runtime.spawn(async move { axum::serve(listener, router).await });
        FakeDaemon { socket, script, _runtime: runtime, _dir: dir }
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.script.asked()
    }
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// What a run of the command left.
pub struct Ran {
    pub status: i32,
    pub out: String,
    pub err: String,
}

pub fn run(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        status: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

pub fn tunnel() -> Value {
    json!({
        "port": "t1001-1-2", "from": "1", "to": "2", "remote_ip": "192.0.2.12", "key": 1001, "ofport": 5,
        "state": "up", "protected": true,
    })
}

pub fn bridge() -> Value {
    json!({
        "name": "xapi12", "key": 1001, "host_id": "1", "ipv6": "drop", "kind": "gre", "adopted": false, "tunnels": [tunnel()],
        "vifs": [{"name": "vif1.0", "ofport": 1}], "other_ports": [],
        "flows": {"state": "in_sync", "expected": 4, "installed": 4},
        "health": {"state": "ok", "reasons": []}
    })
}

pub fn plan() -> Value {
    json!({
        "dry_run": true, "outcome": "updated", "changes": ["create tunnel t1001-1-2 to 192.0.2.12"],
        "commands": [{"argv": ["/usr/bin/ovs-vsctl", "--", "set", "bridge", "xapi12", "external_ids:a=b c"]}]
    })
}

pub fn problem() -> Value {
    json!({
        "type": "urn:ovstunnel:problem:invalid_request", "title": "Invalid request", "status": 400,
        "detail": "the key is out of range", "code": "invalid_request", "field": "key", "rule": "1 to 2147483647",
        "value": "0", "request_id": "r-1"
    })
}

pub fn unavailable() -> Value {
    json!({
        "type": "urn:ovstunnel:problem:switch_unavailable", "title": "Open vSwitch is unavailable", "status": 503,
        "detail": "ovs-vswitchd does not answer", "code": "switch_unavailable"
    })
}

/// That a file of the repository is `text`, as it would be written today; with `UPDATE_DOCS` in the environment it is written.
/// `command` is what writes it.
///
/// # Panics
/// Where it differs, with the first line that does.
pub fn expect_file(path: &str, text: &str, command: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&file, text).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    let differs = text.lines().zip(there.lines()).enumerate().find(|(_, (new, old))| new != old);
    assert!(text == there, "{path} is out of date; first difference: {differs:?}. UPDATE_DOCS=1 {command} writes it");
}
