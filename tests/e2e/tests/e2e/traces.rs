//! Traces on real switches: one trace leads from the call for a NIC to the transaction on each switch that its mesh called for.
//!
//! Needs programs that are built with the feature `otel`, and `OTEL_EXPORTER_OTLP_ENDPOINT=http://192.0.2.254:4318`, the place of the lab's
//! management server, for all that it starts: `scripts/test --long` gives both.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::wait_until;
use serde_json::Value;

use crate::zone_acts::Stage;

const PATIENCE: Duration = Duration::from_secs(60);

/// Where a collector listens.
const PORT: u16 = 4318;

/// A span that was handed to the collector.
#[derive(Clone, Debug)]
struct Span {
    service: String,
    name: String,
    trace: String,
    parent: String,
    path: String,
}

/// All spans by their ids.
type Spans = Arc<Mutex<BTreeMap<String, Span>>>;

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn attribute(of: &Value, name: &str) -> String {
    let all = of["attributes"].as_array().into_iter().flatten();
    all.filter(|one| one["key"] == name).map(|one| text(&one["value"]["stringValue"])).collect()
}

/// Takes what one connection brings.
fn collect_spans(stream: &TcpStream, spans: &Spans) -> Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Ok(());
            }
            let line = line.trim().to_ascii_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body)?;
        for resource in body["resourceSpans"].as_array().into_iter().flatten() {
            let service = attribute(&resource["resource"], "service.name");
            let scopes = resource["scopeSpans"].as_array().into_iter().flatten();
            let found = scopes.flat_map(|scope| scope["spans"].as_array().into_iter().flatten());
            let mut spans = spans.lock().unwrap_or_else(PoisonError::into_inner);
            spans.extend(found.map(|span| {
                let (trace, parent) = (text(&span["traceId"]), text(&span["parentSpanId"]));
                let (name, path) = (text(&span["name"]), attribute(span, "path"));
                (text(&span["spanId"]), Span { service: service.clone(), name, trace, parent, path })
            }));
        }
        let mut writer = stream;
        writer.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}")?;
    }
}

/// Collects spans for as long as the test's process runs.
fn collector(listener: TcpListener) -> Spans {
    let spans = Spans::default();
    let collected = Arc::clone(&spans);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let spans = Arc::clone(&spans);
            thread::spawn(move || collect_spans(&stream, &spans).err().map(|error| eprintln!("collector: {error:#}")));
        }
    });
    collected
}

/// From a span up to the first one of its trace, by names.
fn way_up(spans: &BTreeMap<String, Span>, from: &Span) -> Vec<String> {
    let mut way = vec![format!("{} {}", from.service, from.name)];
    let mut at = from;
    while let Some(parent) = spans.get(&at.parent) {
        way.push(format!(
            "{} {}{}",
            parent.service,
            parent.name,
            if parent.path.contains("/nics/") { " nic" } else { "" }
        ));
        at = parent;
    }
    way
}

/// How many spans there are of each service and name, and how many traces.
fn counts(spans: &BTreeMap<String, Span>) -> BTreeMap<String, (usize, usize)> {
    let mut counts: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for span in spans.values() {
        counts.entry(format!("{} {}", span.service, span.name)).or_default().push(&span.trace);
    }
    let traces = |all: &Vec<&str>| all.iter().collect::<std::collections::BTreeSet<_>>().len();
    counts.into_iter().map(|(name, all)| (name, (all.len(), traces(&all)))).collect()
}

#[test]
#[ignore = "takes programs with the feature otel: scripts/test --long"]
fn one_trace_leads_from_a_nic_call_to_each_switch() -> Result<()> {
    let endpoint = format!("http://192.0.2.254:{PORT}");
    let named = std::env::var("OTEL_EXPORTER_OTLP_ENDPOINT").unwrap_or_default();
    ensure!(named == endpoint, "OTEL_EXPORTER_OTLP_ENDPOINT is {named:?}; this test needs {endpoint}");
    let stage = Stage::new("traces", 3, None)?;
    let listener = stage.cloud.lab().fabric().enter(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?))?;
    let spans = collector(listener);
    for (vm, host) in [(1, 1), (2, 2), (3, 3)] {
        stage.prepare(vm, host, None)?;
    }
    // The third NIC changes all three switches.
    wait_until("the trace of the third NIC", PATIENCE, || {
        let spans = spans.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let call = spans.values().find(|span| span.path.ends_with("/nics/n3")).context("no span of the call")?;
        ensure!(call.service == "ovstunnel-manager" && call.name == "request", "{call:?}");
        let switches: Vec<Vec<String>> = spans
            .values()
            .filter(|span| span.trace == call.trace && span.name == "switch")
            .map(|span| way_up(&spans, span))
            .collect();
        let wanted = [
            "ovstunneld switch",
            "ovstunneld batch",
            "ovstunneld request",
            "ovstunnel-manager host",
            "ovstunnel-manager reconcile",
            "ovstunnel-manager request nic",
        ];
        let is_whole = switches.len() >= 3 && switches.iter().all(|way| *way == wanted);
        ensure!(is_whole, "{switches:#?} of {call:?}; {:?}", counts(&spans));
        Ok(())
    })
}
