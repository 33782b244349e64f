//! What `/metrics` tells, in the text format of OpenMetrics, which Prometheus reads.
//!
//! What it does: counts and times as things happen, and takes stock of the switch at each question. What it must not do:
//! have a label whose values come from outside (a bridge's name, an address): their number must stay small.

mod process;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use ovstunnel_api::{Bridge, FlowsState, HealthState, TunnelState};
use ovstunnel_ovs::{Health, RunResult};
use ovstunnel_plan::{REQUIREMENTS, Reason};
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use self::process::ProcessCollector;

/// Content type of the answer.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Upper bounds in seconds, from a flow change to a deadline.
const SECONDS: [f64; 12] = [0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 10.0, 30.0];

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CommandLabels {
    command: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ToolLabel {
    command: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabel {
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: &'static str,
}

/// A requirement that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct WhatLabel {
    what: &'static str,
}

/// A key of `[tls]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct FileLabel {
    file: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ResultLabel {
    result: &'static str,
}

/// All metrics. Cheap to clone; the clones share their numbers.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    /// What has names without our prefix.
    process: Registry,
    commands: Family<CommandLabels, Counter>,
    command_seconds: Family<ToolLabel, Histogram>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabel, Histogram>,
    batches: Counter,
    batched_changes: Counter,
    batch_seconds: Histogram,
    runs: Counter,
    last_look: Gauge<f64, std::sync::atomic::AtomicU64>,
    repairs: Family<ResultLabel, Counter>,
    connections_ended: Family<ReasonLabel, Counter>,
    watchers: Gauge,
    watchers_cut: Counter,
    silent_peers: Gauge,
    tunnels_forgotten: Counter,
    stock: Stock,
}

/// What is counted afresh at each question.
#[derive(Debug, Default)]
struct Stock {
    bridges: Gauge,
    tunnels: Family<StateLabel, Gauge>,
    vifs: Gauge,
    flows: Family<StateLabel, Gauge>,
    health: Family<StateLabel, Gauge>,
    reasons: Family<WhatLabel, Gauge>,
    database_up: Gauge,
    vswitchd_up: Gauge,
    vswitchd_starts: Gauge,
    mirror_age: Gauge<f64, std::sync::atomic::AtomicU64>,
    flow_monitors: Gauge,
    log_lines_lost: Gauge,
    certificates: Family<FileLabel, Gauge<f64, std::sync::atomic::AtomicU64>>,
}

/// Facts for the stock that are not in the bridges.
#[derive(Clone, Debug)]
pub struct Surroundings {
    /// Whether the switch can be worked with.
    pub health: Health,
    /// What is wrong with what is below the tunnels of all bridges.
    pub host: Vec<Reason>,
    /// Time since the mirror last heard of a change.
    pub mirror_age: Duration,
    /// Bridges whose changes of flows the switch tells unasked.
    pub flow_monitors: usize,
    /// Lines that the log has lost since the daemon started.
    pub log_lines_lost: u64,
    /// Keys of `[tls]`, and in how many seconds the first certificate of that file expires; none where it cannot be read.
    pub certificates: Vec<(&'static str, Option<f64>)>,
}

fn new_histogram() -> Histogram {
    Histogram::new(SECONDS)
}

impl Default for Metrics {
    fn default() -> Self {
        let mut inner = Inner {
            registry: Registry::with_prefix("ovstunnel"),
            process: Registry::default(),
            commands: Family::default(),
            command_seconds: Family::new_with_constructor(new_histogram),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(new_histogram),
            batches: Counter::default(),
            batched_changes: Counter::default(),
            batch_seconds: new_histogram(),
            runs: Counter::default(),
            last_look: Gauge::default(),
            repairs: Family::default(),
            connections_ended: Family::default(),
            watchers: Gauge::default(),
            watchers_cut: Counter::default(),
            silent_peers: Gauge::default(),
            tunnels_forgotten: Counter::default(),
            stock: Stock::default(),
        };
        inner.register_all();
        Metrics(Arc::new(inner))
    }
}

impl Inner {
    fn register_all(&mut self) {
        self.process.register_collector(Box::new(ProcessCollector));
        let r = &mut self.registry;
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "Version of the running daemon", version);
        r.register("commands", "Commands run, by how they ended", self.commands.clone());
        let seconds = || Unit::Seconds;
        r.register_with_unit("command", "Duration of commands", seconds(), self.command_seconds.clone());
        r.register("requests", "Requests answered", self.requests.clone());
        r.register_with_unit("request", "Duration of requests", seconds(), self.request_seconds.clone());
        r.register("batches", "Batches of changes carried out", self.batches.clone());
        r.register("batched_changes", "Changes in those batches", self.batched_changes.clone());
        r.register_with_unit("batch", "Duration of batches", seconds(), self.batch_seconds.clone());
        r.register("reconciles", "Looks at everything", self.runs.clone());
        let last = "End of the last reconcile run, in seconds since 1970; 0 before the first";
        r.register_with_unit("last_reconcile_timestamp", last, seconds(), self.last_look.clone());
        r.register("repairs", "Steps of repair, by result", self.repairs.clone());
        let ended = "Connections that were refused or ended, by reason";
        r.register("connections_ended", ended, self.connections_ended.clone());
        r.register("watchers", "Readers of GET /v1/watch", self.watchers.clone());
        let cut = "Readers of GET /v1/watch that were ended because they were too far behind";
        r.register("watchers_cut", cut, self.watchers_cut.clone());
        let silent = "Hosts from which nothing has come by a tunnel for [tunnel] forget_after; 0 where that is off";
        r.register("silent_peers", silent, self.silent_peers.clone());
        let forgotten = "Tunnels that were removed because their host had been silent for [tunnel] forget_after";
        r.register("tunnels_forgotten", forgotten, self.tunnels_forgotten.clone());
        self.stock.register_all(r);
    }
}

impl Stock {
    fn register_all(&self, r: &mut Registry) {
        r.register("bridges", "Managed bridges", self.bridges.clone());
        r.register("tunnels", "Tunnels by state", self.tunnels.clone());
        r.register("vifs", "VM interfaces on managed bridges", self.vifs.clone());
        r.register("bridge_flows", "Managed bridges by the state of their flows", self.flows.clone());
        r.register("bridge_health", "Managed bridges by their health", self.health.clone());
        r.register("health_reasons", "Reasons why frames do not pass, by requirement", self.reasons.clone());
        r.register("database_up", "1 while the database of Open vSwitch is mirrored", self.database_up.clone());
        r.register("vswitchd_up", "1 while ovs-vswitchd runs", self.vswitchd_up.clone());
        r.register("vswitchd_generation", "Starts of ovs-vswitchd that were seen", self.vswitchd_starts.clone());
        let age = "Time since the mirror last heard of a change of the database";
        r.register_with_unit("mirror_age", age, Unit::Seconds, self.mirror_age.clone());
        let monitors = "Bridges that a flow monitor of OpenFlow watches; 0 with [ovs] writes = \"commands\"";
        r.register("flow_monitors", monitors, self.flow_monitors.clone());
        r.register("log_lines_lost", "Lines that could not be written to the log", self.log_lines_lost.clone());
        let expires = "Time until the first certificate of a file of [tls] expires; negative where one has";
        r.register_with_unit("certificate_expires_in", expires, Unit::Seconds, self.certificates.clone());
    }

    fn take_stock(&self, bridges: &[Bridge], around: &Surroundings) {
        let set = |gauge: &Gauge, n: usize| gauge.set(i64::try_from(n).unwrap_or(i64::MAX));
        let tunnels = || bridges.iter().flat_map(|bridge| &bridge.tunnels);
        set(&self.bridges, bridges.len());
        set(&self.vifs, bridges.iter().map(|bridge| bridge.vifs.len()).sum());
        for (label, state) in
            [("up", TunnelState::Up), ("error", TunnelState::Error), ("pending", TunnelState::Pending)]
        {
            let gauge = self.tunnels.get_or_create_owned(&StateLabel { state: label });
            set(&gauge, tunnels().filter(|tunnel| tunnel.state == state).count());
        }
        let flows =
            [("in_sync", FlowsState::InSync), ("drifted", FlowsState::Drifted), ("unknown", FlowsState::Unknown)];
        for (label, state) in flows {
            let gauge = self.flows.get_or_create_owned(&StateLabel { state: label });
            set(&gauge, bridges.iter().filter(|bridge| bridge.flows.state == state).count());
        }
        self.take_health(bridges, &around.host);
        self.database_up.set(i64::from(around.health.database.is_ok()));
        self.vswitchd_up.set(i64::from(around.health.vswitchd.is_ok()));
        self.vswitchd_starts.set(i64::try_from(around.health.generation).unwrap_or(i64::MAX));
        self.mirror_age.set(around.mirror_age.as_secs_f64());
        set(&self.flow_monitors, around.flow_monitors);
        self.log_lines_lost.set(i64::try_from(around.log_lines_lost).unwrap_or(i64::MAX));
        self.certificates.clear();
        for (file, seconds) in &around.certificates {
            if let Some(seconds) = seconds {
                self.certificates.get_or_create(&FileLabel { file }).set(*seconds);
            }
        }
    }
}

impl Stock {
    fn take_health(&self, bridges: &[Bridge], host: &[Reason]) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        for state in [HealthState::Ok, HealthState::Degraded, HealthState::Failed] {
            let gauge = self.health.get_or_create_owned(&StateLabel { state: state.as_str() });
            gauge.set(count(bridges.iter().filter(|bridge| bridge.health.state == state).count()));
        }
        // Each word of the list has its line, so that an alarm for it can be written before it is needed.
        for what in REQUIREMENTS.map(|requirement| requirement.what) {
            let of_bridges = bridges.iter().flat_map(|bridge| &bridge.health.reasons);
            let found = of_bridges.filter(|reason| reason.what == what).count();
            let gauge = self.reasons.get_or_create_owned(&WhatLabel { what });
            gauge.set(count(found + host.iter().filter(|reason| reason.what == what).count()));
        }
    }
}

impl Metrics {
    /// Counts a command that was run.
    pub fn count_command(&self, command: &str, result: RunResult, took: Duration) {
        let result = match result {
            RunResult::Succeeded => "succeeded",
            RunResult::Failed => "failed",
            RunResult::CutShort => "cut_short",
            RunResult::NotStarted => "not_started",
        };
        let command = command.to_owned();
        self.0.command_seconds.get_or_create(&ToolLabel { command: command.clone() }).observe(took.as_secs_f64());
        self.0.commands.get_or_create(&CommandLabels { command, result }).inc();
    }

    /// Counts a batch of changes.
    pub fn count_batch(&self, changes: usize, took: Duration) {
        self.0.batches.inc();
        self.0.batched_changes.inc_by(changes as u64);
        self.0.batch_seconds.observe(took.as_secs_f64());
    }

    /// Counts a look at everything, which ends now.
    pub fn count_run(&self) {
        self.0.runs.inc();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        self.0.last_look.set(since_1970.as_secs_f64());
    }

    /// Counts steps of repair that were done and that failed.
    pub fn count_repairs(&self, done: usize, failed: usize) {
        self.0.repairs.get_or_create(&ResultLabel { result: "done" }).inc_by(done as u64);
        self.0.repairs.get_or_create(&ResultLabel { result: "failed" }).inc_by(failed as u64);
    }

    /// Counts a connection that was refused or ended.
    pub fn connection_ended(&self, reason: &'static str) {
        self.0.connections_ended.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// So many watch now.
    pub fn set_watchers(&self, count: usize) {
        self.0.watchers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts one who watched and was too far behind.
    pub fn watcher_cut(&self) {
        self.0.watchers_cut.inc();
    }

    /// So many hosts have been silent for long.
    pub fn silent_peers(&self, count: usize) {
        self.0.silent_peers.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts a tunnel that was removed because its host had been silent.
    pub fn tunnel_forgotten(&self) {
        self.0.tunnels_forgotten.inc();
    }

    /// Everything as text, with the stock of these bridges.
    pub fn render_text(&self, bridges: &[Bridge], around: &Surroundings) -> String {
        self.0.stock.take_stock(bridges, around);
        let mut text = String::new();
        // Writing into a string does not fail.
        let _ = text::encode_registry(&mut text, &self.0.registry)
            .and_then(|()| text::encode_registry(&mut text, &self.0.process))
            .and_then(|()| text::encode_eof(&mut text));
        text
    }
}

/// Counts and times a request; around every route.
pub async fn measure_request(
    State(metrics): State<Metrics>,
    route: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let (started, method) = (Instant::now(), request.method().to_string());
    let response = next.run(request).await;
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let status = response.status().as_u16();
    metrics
        .0
        .request_seconds
        .get_or_create(&RouteLabel { route: route.clone() })
        .observe(started.elapsed().as_secs_f64());
    metrics.0.requests.get_or_create(&RequestLabels { method, route, status }).inc();
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn around() -> Surroundings {
        let health = Health {
            database: Ok(()),
            vswitchd: Err("ended".into()),
            generation: 3,
            version: None,
            database_silent: None,
            vswitchd_silent: None,
            no_meters: None,
        };
        let certificates = vec![("certificate", Some(-3.5)), ("client_ca", None)];
        let mirror_age = Duration::from_millis(1500);
        Surroundings { health, host: vec![], mirror_age, flow_monitors: 4, log_lines_lost: 7, certificates }
    }

    #[test]
    fn what_happened_and_what_is_there_are_told_in_lines() {
        let metrics = Metrics::default();
        metrics.count_command("ovs-vsctl", RunResult::CutShort, Duration::from_millis(30));
        metrics.count_batch(200, Duration::from_millis(40));
        metrics.count_repairs(2, 1);
        metrics.count_run();
        let text = metrics.render_text(&[], &around());
        for line in [
            "ovstunnel_commands_total{command=\"ovs-vsctl\",result=\"cut_short\"} 1",
            "ovstunnel_command_seconds_count{command=\"ovs-vsctl\"} 1",
            "ovstunnel_batches_total 1",
            "ovstunnel_batched_changes_total 200",
            "ovstunnel_repairs_total{result=\"done\"} 2",
            "ovstunnel_repairs_total{result=\"failed\"} 1",
            "ovstunnel_reconciles_total 1",
            "ovstunnel_tunnels{state=\"error\"} 0",
            "ovstunnel_bridge_health{state=\"failed\"} 0",
            "ovstunnel_health_reasons{what=\"fail_open\"} 0",
            "ovstunnel_database_up 1",
            "ovstunnel_vswitchd_up 0",
            "ovstunnel_vswitchd_generation 3",
            "ovstunnel_mirror_age_seconds 1.5",
            "ovstunnel_flow_monitors 4",
            "ovstunnel_log_lines_lost 7",
            "ovstunnel_certificate_expires_in_seconds{file=\"certificate\"} -3.5",
        ] {
            assert!(text.lines().any(|there| there == line), "{line} is missing in\n{text}");
        }
        let version = format!("ovstunnel_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
        assert!(text.contains(&version), "{text}");
        assert!(!text.contains("client_ca"), "a file that cannot be read has no time:\n{text}");
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn the_last_run_and_the_process_have_possible_figures() {
        let value = |text: &str, name: &str| -> f64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.unwrap_or_else(|| panic!("{name} is missing in\n{text}")).parse().unwrap()
        };
        let now = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64();
        let (metrics, began) = (Metrics::default(), now());
        let look = |text: &str| value(text, "ovstunnel_last_reconcile_timestamp_seconds");
        assert_eq!(look(&metrics.render_text(&[], &around())), 0.0, "none yet");
        metrics.count_run();
        let text = metrics.render_text(&[], &around());
        assert!((began..=now()).contains(&look(&text)), "{text}");
        let start = value(&text, "process_start_time_seconds");
        assert!((now() - 3600.0..=now() + 1.0).contains(&start), "a test runs for less than an hour: {start}");
        assert!(value(&text, "process_cpu_seconds_total") < 3600.0);
        let (resident, all) =
            (value(&text, "process_resident_memory_bytes"), value(&text, "process_virtual_memory_bytes"));
        assert!(1e6 < resident && resident < all, "{resident} of {all}");
        assert!(value(&text, "process_open_fds") >= 3.0 && value(&text, "process_threads") >= 1.0);
    }
}
