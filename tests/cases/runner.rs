//! Runs a case against a switch: requests through the daemon's routes, what others do meanwhile, what must then be there.
//!
//! A case is a folder with a `case.json`; README.md says what stands in it. What this must not do: know which kind of switch
//! it is on. Both runners take this file in: `crates/ovstunneld/tests/daemon/cases.rs` and `tests/e2e/tests/e2e/cases.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::Request;
use ovstunnel_api::Interface;
use ovstunnel_ovs::Switch;
use ovstunnel_plan::{Flow, FlowsSeen, MacMatch, ObservedBridge, ObservedPort, Settings, TunnelEndpoint, View};
use ovstunneld::testing::{Interfaces, assemble_routes};
use serde_json::{Value, json};
use tower::ServiceExt;

/// How long the switch may take until what must be there is there.
const PATIENCE: Duration = Duration::from_secs(20);

/// The folders of all cases.
pub fn cases() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cases").canonicalize().unwrap();
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let mut cases: Vec<PathBuf> = entries.filter(|path| path.join("case.json").exists()).collect();
    cases.sort();
    assert!(!cases.is_empty(), "there are no cases");
    cases
}

/// Fields of a step.
const FIELDS: [&str; 8] = ["what", "ask", "body", "status", "answer", "says", "others", "then"];

/// Runs one case on a switch without bridges of ours; `others` carries out what others do, `written` tells what has been written until
/// now, in lines that stay the same where nothing is.
pub async fn run(
    case: &Path,
    switch: Switch,
    settings: Settings,
    others: impl Fn(&str),
    written: impl Fn() -> BTreeSet<String>,
) {
    let text = std::fs::read_to_string(case.join("case.json")).unwrap();
    let content: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
    // Long, so that what is mended is mended at once.
    let interval = Duration::from_secs(100_000);
    let (router, _) = assemble_routes(switch.clone(), Interfaces::of_list(vec![eth0()]), settings, interval);
    eventually("ready", || async { (json!(200), json!(ask(&router, "GET /readyz", &Value::Null).await.0)) }).await;
    // Whether the daemon has followed what others did.
    let mut settled = true;
    for (n, step) in content["steps"].as_array().expect("a case has steps").iter().enumerate() {
        let place = format!("{}, step {} ({})", case.file_name().unwrap().display(), n + 1, step["what"]);
        let requests = requests(step, &place);
        let before = (settled && requests.iter().all(changes_nothing)).then(&written);
        for request in &requests {
            expect_answer(&router, request, &place).await;
        }
        if let Some(before) = before {
            let after = written();
            let (gone, new): (Vec<_>, Vec<_>) =
                (before.difference(&after).collect(), after.difference(&before).collect());
            assert!(before == after, "{place}: something was written\n  before: {gone:#?}\n  after:  {new:#?}");
        }
        for command in step["others"].as_array().into_iter().flatten() {
            others(command.as_str().unwrap());
        }
        for (bridge, expected) in step["then"].as_object().into_iter().flatten() {
            eventually(&place, || async { (expected.clone(), part(&seen(&switch, bridge).await, expected)) }).await;
        }
        settled = step["then"].is_object() || (settled && step["others"].is_null());
    }
}

/// The one device of the host, by which it is known to the others.
fn eth0() -> Interface {
    let (label, device) = ("eth0".to_owned(), "eth0".to_owned());
    let (ip, netmask) = (Some("192.0.2.1".to_owned()), Some("255.255.255.0".to_owned()));
    Interface { label, device, ip, netmask, ipv6: None, mac: None, mtu: 1500, max_guest_mtu: 1458 }
}

/// The requests of a step: one, or one for each line of `each`, which has what is different from request to request.
fn requests(step: &Value, place: &str) -> Vec<Value> {
    let lines = step["each"].as_array().cloned().unwrap_or_else(|| vec![json!({})]);
    let mut common = step.as_object().unwrap().clone();
    common.remove("each");
    let requests = lines.into_iter().map(|line| {
        let mut request = Value::Object(common.clone());
        for (field, value) in line.as_object().unwrap() {
            match (request[field].as_object_mut(), value.as_object()) {
                (Some(there), Some(more)) => there.extend(more.clone()),
                _ => request[field] = value.clone(),
            }
        }
        let unknown: Vec<&String> =
            request.as_object().unwrap().keys().filter(|field| !FIELDS.contains(&field.as_str())).collect();
        assert!(unknown.is_empty(), "{place}: {unknown:?} is not known here");
        request
    });
    requests.filter(|request| request["ask"].is_string()).collect()
}

/// Whether a request must leave the switch as it is: it only looks, or is refused, or finds all as it is to be.
fn changes_nothing(request: &Value) -> bool {
    let asked = request["ask"].as_str().unwrap();
    let only_looks = asked.starts_with("GET ") || asked.contains("dry_run=true");
    only_looks || request["status"].as_u64() >= Some(400) || request["answer"]["outcome"] == "unchanged"
}

/// Asks, and compares what is answered.
async fn expect_answer(router: &Router, request: &Value, place: &str) {
    let (asked, wanted) = (request["ask"].as_str().unwrap(), &request["answer"]);
    let (status, answer) = ask(router, asked, &request["body"]).await;
    let place = format!("{place}, {asked} with {}: {answer}", request["body"]);
    assert_eq!(json!(status), request["status"], "{place}");
    if !wanted.is_null() {
        assert_eq!(&part(&answer, wanted), wanted, "{place}");
    }
    for words in request["says"].as_array().into_iter().flatten() {
        assert!(answer.to_string().contains(words.as_str().unwrap()), "it does not say {words}: {place}");
    }
}

/// Looks until the second of both is like the first.
async fn eventually<F: Future<Output = (Value, Value)>>(what: &str, look: impl Fn() -> F) {
    let end = Instant::now() + PATIENCE;
    loop {
        let (expected, found) = look().await;
        if expected == found {
            return;
        }
        assert!(Instant::now() < end, "{what}\n  expected: {expected}\n  found:    {found}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn ask(router: &Router, request: &str, body: &Value) -> (u16, Value) {
    let (method, path) = request.split_once(' ').expect("METHOD /path");
    let builder = Request::builder().method(method).uri(path).header("content-type", "application/json");
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    let response = router.clone().oneshot(builder.body(body).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let bytes = to_bytes(response.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or_default())
}

/// Of `whole` what `wanted` speaks of: fields that it does not name are left out, one that it has as null may be absent, and
/// `"a number"` is any.
fn part(whole: &Value, wanted: &Value) -> Value {
    match (whole, wanted) {
        (Value::Object(fields), Value::Object(names)) => names
            .iter()
            .filter_map(|(name, wanted)| match fields.get(name) {
                Some(there) => Some((name.clone(), part(there, wanted))),
                None => wanted.is_null().then(|| (name.clone(), Value::Null)),
            })
            .collect(),
        (Value::Array(all), Value::Array(some)) if all.len() == some.len() => {
            all.iter().zip(some).map(|(whole, wanted)| part(whole, wanted)).collect()
        }
        (Value::Number(_), Value::String(words)) if words == "a number" => wanted.clone(),
        _ => whole.clone(),
    }
}

/// A bridge in the switch: `ports`, `ids` and `flows`, or null where there is none.
async fn seen(switch: &Switch, name: &str) -> Value {
    let Some(bridge) = switch.observer().read(|db| db.view().bridge(name)) else { return Value::Null };
    let flows = match switch.dump_flows(name).await {
        Ok(FlowsSeen::Known { flows, garbled }) if garbled.is_empty() => {
            flows.iter().map(|flow| flow_in_words(flow, &bridge)).collect()
        }
        other => vec![format!("{other:?}")],
    };
    let ports: BTreeMap<_, _> = bridge.ports.values().map(|port| (&port.name, port_in_words(port))).collect();
    json!({"ports": ports, "ids": bridge.external_ids, "flows": flows})
}

fn port_in_words(port: &ObservedPort) -> String {
    let tunnel = port.interface().and_then(|interface| interface.tunnel_endpoint());
    let tunnel = tunnel.map(|TunnelEndpoint { kind, remote_ip, key }| {
        format!("{} to {remote_ip} with key {key}", kind.interface_type())
    });
    let protected = port.protected.then(|| "protected".to_owned());
    tunnel.into_iter().chain(protected).collect::<Vec<_>>().join(", ")
}

/// A flow without its cookie; ports by name, since their numbers are the switch's own affair.
fn flow_in_words(flow: &Flow, bridge: &ObservedBridge) -> String {
    let number = |port: &ObservedPort| port.interface().and_then(|interface| interface.openflow_port());
    let from = flow.matches.in_port.and_then(|n| bridge.ports.values().find(|port| number(port) == Some(n)));
    let from = from.map(|port| format!("from {}", port.name));
    let key = flow.matches.tun_id.map(|id| format!("with key {id}"));
    let group = flow.matches.dl_dst.map(|to| match to {
        MacMatch::Group => "to many".to_owned(),
        MacMatch::Exactly(mac) => format!("to {mac}"),
    });
    let ipv6 = flow.matches.ipv6.map(|_| "ipv6".to_owned());
    let tagged = flow.matches.ethertype.map(|kind| format!("tagged {kind:#x}"));
    let matches = from.into_iter().chain(key).chain(ipv6).chain(tagged).chain(group).collect::<Vec<_>>().join(" ");
    let matches = if matches.is_empty() { "all" } else { &matches };
    let verdict = if flow.actions.is_empty() { "drop" } else { "pass" };
    format!("{} {matches}: {verdict}", flow.priority)
}
