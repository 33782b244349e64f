//! The host itself: its devices, a look at everything, and whether the daemon is alive and ready.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use axum::Json;
use axum::extract::State as Shared;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{Bridge, Health, HealthState, Interface, Problem, Ready, ReconcileAnswer, Severity};
use ovstunnel_server::audit::Effect;
use ovstunnel_server::extract::{NoQuery, ValidPath, ValidQuery};
use ovstunnel_server::problem::ApiError;
use ovstunnel_types::text::{error_chain, excerpt};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::fence::Fenced;
use super::{ChangeQuery, State, plan_response, refusals, to_wire, write_problem};
use crate::metrics::{CONTENT_TYPE, Surroundings};
use crate::writer::Run;

/// Who has been busy for so long is not ready. To delete 10,000 tunnels takes `ovs-vswitchd` 17 s.
const BUSY_FOR_LONG: Duration = Duration::from_secs(60);

/// A device, bridge or xapi network of this host, from which tunnel end points are taken.
#[utoipa::path(get, path = "/v1/interfaces/{label}", tag = "host",
    params(("label" = String, Path, description = "Name of a device or bridge, or a xapi network's name-label")),
    responses(
        (status = 200, description = "Its addresses and MTU", body = Interface),
        (status = 404, description = "`not_found`", body = Problem, content_type = "application/problem+json"),
        (status = 500, description = "`internal`", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "`switch_unavailable`: xapi does not answer", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_interface(
    Shared(state): Shared<State>,
    ValidPath(label): ValidPath<String>,
    _: NoQuery,
) -> Result<Json<Interface>, ApiError> {
    if let Some(found) = find_device(&state, &label).await? {
        return Ok(Json(found));
    }
    let shown = excerpt(&label);
    let Some(xapi) = &state.xapi else {
        return Err(ApiError::not_found(format!("there is no device or bridge {shown}")));
    };
    let asked = xapi.bridge_of_label(&label).await;
    let bridge = asked.map_err(|error| {
        refusals::unavailable_problem(format!(
            "there is no device {shown}, and xapi does not answer: {}",
            error_chain(&error)
        ))
    })?;
    match bridge {
        None => Err(ApiError::not_found(format!("there is no device, bridge or network {shown}"))),
        Some(bridge) => {
            let found = find_device(&state, &bridge).await?;
            let absent =
                || ApiError::not_found(format!("the bridge {} of network {shown} is not there", excerpt(&bridge)));
            Ok(Json(Interface { label, ..found.ok_or_else(absent)? }))
        }
    }
}

async fn find_device(state: &State, name: &str) -> Result<Option<Interface>, ApiError> {
    let settings = state.writer.settings();
    let found = state.interfaces.by_label(name, settings.local_ip).await;
    let found = found.map_err(|error| ApiError::internal(error_chain(&error)))?;
    let guests = |device: &Interface| {
        let end = device.ip.as_deref().and_then(|ip| ip.parse().ok()).unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
        device.mtu.saturating_sub(settings.tunnel_options.overhead(settings.encap.kind(), end))
    };
    Ok(found.map(|device| Interface { max_guest_mtu: guests(&device), ..device }))
}

/// Reconcile every managed bridge now.
#[utoipa::path(post, path = "/v1/reconcile", tag = "host",
    params(ChangeQuery),
    responses(
        (status = 200, description = "What was found and done; with `dry_run` a `PlanAnswer`", body = ReconcileAnswer),
        (status = 503, description = "`switch_unavailable`", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn reconcile_bridges(
    Fenced(state): Fenced,
    ValidQuery(query): ValidQuery<ChangeQuery>,
) -> Result<Response, ApiError> {
    if query.dry_run {
        return state
            .writer
            .plan_reconcile()
            .await
            .map(plan_response)
            .map_err(|error| write_problem(&state, "", error));
    }
    if let Some(reason) = state.switch.watch_health().borrow().first_trouble() {
        return Err(refusals::unavailable_problem(format!(
            "Open vSwitch cannot be reached: {reason}; nothing was changed"
        )));
    }
    let report = state.writer.reconcile().await.map_err(|error| write_problem(&state, "", error))?;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let answer = ReconcileAnswer {
        bridges: count(report.bridges),
        tunnels: count(report.tunnels),
        found: report.found,
        done: report.done,
        changes: to_wire::changes_to_wire(&report.changes),
        failed: report.failed,
    };
    let effect = format!("{} found, {} done, {} failed", answer.found.len(), answer.done.len(), answer.failed.len());
    Ok(Effect::new(&effect).with_words(&answer.done).attach_to(Json(answer).into_response()))
}

/// Whether the daemon is alive.
#[utoipa::path(get, path = "/healthz", tag = "host",
    responses((status = 200, description = "It is", body = String, content_type = "text/plain")))]
pub(super) async fn get_liveness(_: NoQuery) -> &'static str {
    "ok\n"
}

/// Whether the switch can be reached and was reconciled.
#[utoipa::path(get, path = "/readyz", tag = "host",
    responses(
        (status = 200, description = "Ready", body = Ready),
        (status = 503, description = "Not ready, with the reason", body = Ready),
    ))]
pub(super) async fn get_readiness(Shared(state): Shared<State>, _: NoQuery) -> (StatusCode, Json<Ready>) {
    let ready = ready_state(&state).await;
    let status = if ready.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(ready))
}

/// Reasons of single bridges that are told of the host.
const REASONS: usize = 20;

/// The health of the host: what concerns all tunnels, then the worst of the bridges.
fn host_health<'a>(state: &State, bridges: impl Iterator<Item = &'a Bridge>) -> Health {
    let survey = state.surveyor.latest();
    let as_of = state.writer.runs().last_run().map(|look| look.at);
    let mut health = crate::health::health_to_wire(&survey.reasons, as_of);
    // What is told of the host is not said again of each bridge.
    let of_bridges = bridges.flat_map(|bridge| &bridge.health.reasons);
    let mut of_bridges: Vec<_> = of_bridges.filter(|reason| reason.what != "underlay").collect();
    of_bridges.sort_by_key(|reason| std::cmp::Reverse(reason.severity));
    health.reasons.extend(of_bridges.into_iter().take(REASONS).cloned());
    health.state =
        health.reasons.iter().map(|reason| reason.severity).max().map_or(HealthState::Ok, |worst| match worst {
            Severity::Degraded => HealthState::Degraded,
            Severity::Failed => HealthState::Failed,
        });
    health
}

impl State {
    /// The health of the host with these bridges, as those are told who watch.
    pub(crate) fn health_of<'a>(&self, bridges: impl Iterator<Item = &'a Bridge>) -> Health {
        let Some(reason) = self.switch.watch_health().borrow().first_trouble().map(str::to_owned) else {
            return host_health(self, bridges);
        };
        let evidence = format!("Open vSwitch cannot be reached: {reason}");
        let remedy = "start it: `systemctl status openvswitch openvswitch-switch` says why it does not run".to_owned();
        let (what, subject, severity) = ("openvswitch".to_owned(), "host".to_owned(), Severity::Failed);
        let reasons = vec![ovstunnel_api::Reason { what, subject, severity, evidence, remedy }];
        Health { state: HealthState::Failed, as_of: None, reasons }
    }
}

/// Whether the daemon is ready, and what its last looks found.
pub(super) async fn ready_state(state: &State) -> Ready {
    let reachable = state.switch.watch_health().borrow().first_trouble().is_none();
    let told = match reachable {
        true => {
            (*state.host_health.get(async || Some(host_health(state, state.all_bridges().await.iter()))).await).clone()
        }
        false => None,
    };
    let survey = state.surveyor.latest();
    let health = state.switch.watch_health().borrow().clone();
    let reason = match health.first_trouble() {
        Some(reason) => Some(format!("Open vSwitch cannot be reached: {reason}")),
        None if state.writer.reconciled_start() != Some(health.generation) => {
            Some("the switch has not been reconciled since it came up".to_owned())
        }
        // Nobody's VM can reach another host: who sends VMs here has to know. What concerns single bridges is in `health`.
        None => state.writer.unsettled_reason().or_else(|| too_busy(&health)).or_else(|| {
            survey.all_dead().map(|dead| format!("no tunnel of this host carries anything: {}", dead.evidence))
        }),
    };
    let (ready, version) = (reason.is_none(), env!("CARGO_PKG_VERSION").to_owned());
    let runs = state.writer.runs();
    let (last_reconcile, last_repair) = (runs.last_run().map(run_to_wire), runs.last_repair().map(run_to_wire));
    let warnings = current_warnings(state, &health);
    let ovs_version = health.version;
    Ready { ready, reason, ovs_version, version, last_reconcile, last_repair, health: told, warnings }
}

/// A daemon of Open vSwitch that has been busy for longer than one can wait.
fn too_busy(health: &ovstunnel_ovs::Health) -> Option<String> {
    let (_, since) = health.busy_since()?;
    (since.elapsed() >= BUSY_FOR_LONG).then(|| health.busy_reason()).flatten()
}

/// A look on the wire.
fn run_to_wire(look: Run) -> ovstunnel_api::ReconcileRun {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    // A clock beyond the year 9999 has no such form.
    let at = OffsetDateTime::from(look.at).format(&Rfc3339).unwrap_or_default();
    ovstunnel_api::ReconcileRun {
        at,
        why: look.why.to_owned(),
        found: count(look.found),
        failed: count(look.failed),
        words: look.messages,
    }
}

/// What is configured and cannot be had of this switch, and whether it is busy.
fn current_warnings(state: &State, health: &ovstunnel_ovs::Health) -> Vec<String> {
    let pps = state.writer.settings().vif_broadcast_pps;
    let no_limit = health.no_meters.as_ref().filter(|_| pps > 0).map(|words| {
        format!("VIFs have no limit of {pps} broadcast frames a second: the switch takes no meters ({words})")
    });
    no_limit.into_iter().chain(health.busy_reason()).collect()
}

/// Counters, durations and a stock of the switch, for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "host",
    responses((status = 200, description = "OpenMetrics text", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn get_metrics(Shared(state): Shared<State>, _: NoQuery) -> Response {
    ([(axum::http::header::CONTENT_TYPE, CONTENT_TYPE)], metrics_text(&state).await).into_response()
}

pub(super) async fn metrics_text(state: &State) -> String {
    let (now, bridges) = (OffsetDateTime::now_utc(), state.all_bridges().await);
    let certificates = state.doctor.certificate_files();
    let around = Surroundings {
        health: state.switch.watch_health().borrow().clone(),
        host: state.surveyor.latest().reasons.clone(),
        mirror_age: state.switch.observer().age(),
        flow_monitors: state.switch.real_switch().map_or(0, |real| real.flows_monitored()),
        log_lines_lost: state.logging.as_ref().map_or(0, |logging| logging.lost_lines()),
        certificates: certificates.iter().map(|file| (file.key, file.expires_in(now))).collect(),
    };
    state.metrics.render_text(&bridges, &around)
}
