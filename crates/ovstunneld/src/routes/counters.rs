//! What the host's tunnels have counted, for whoever compares both ends. Must not keep anything, or ask each bridge.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State as Shared;
use ovstunnel_api::{CountersAnswer, Problem, TunnelCounters, UnexpectedPackets};
use ovstunnel_ovs::Counted;
use ovstunnel_plan::{DesiredTunnel, View};
use ovstunnel_server::extract::NoQuery;
use ovstunnel_server::problem::ApiError;
use time::UtcOffset;
use time::format_description::well_known::Rfc3339;

use super::{State, refusals};
use crate::health;
use crate::silence::counted_every;

/// What each tunnel of this host has counted, in one question for all bridges; and which keys come in that it has no tunnel for.
#[utoipa::path(get, path = "/v1/counters", tag = "host",
    responses(
        (status = 200, description = "The counters", body = CountersAnswer),
        (status = 503, description = "`switch_unavailable`: also where a daemon of Open vSwitch is busy, for its counters stand still then", body = Problem, content_type = "application/problem+json"),
    ))]
pub(super) async fn get_counters(Shared(state): Shared<State>, _: NoQuery) -> Result<Json<CountersAnswer>, ApiError> {
    expect_counting(&state)?;
    let counted =
        state.switch.tunnel_counters().await.map_err(|error| refusals::unavailable_problem(error.to_string()))?;
    // What was read while it began to hang is no better.
    expect_counting(&state)?;
    Ok(Json(CountersAnswer {
        every: counted_every(&state.switch).as_secs_f64(),
        tunnels: tunnel_counters(&state, &counted),
        unexpected: unexpected_packets(&state).await,
    }))
}

/// That what is read is not a memory: a switch that does not answer may forward, and counts nothing.
fn expect_counting(state: &State) -> Result<(), ApiError> {
    let health = state.switch.watch_health().borrow().clone();
    let why = health
        .first_trouble()
        .map(|reason| format!("Open vSwitch cannot be reached: {reason}"))
        .or_else(|| health.busy_reason());
    why.map_or(Ok(()), |why| Err(refusals::unavailable_problem(why)))
}

fn tunnel_counters(state: &State, counted: &BTreeMap<String, Counted>) -> Vec<TunnelCounters> {
    let all: Vec<DesiredTunnel> = state.switch.observer().read(|db| {
        let view = db.view();
        let bridges = db.bridge_names().into_iter().filter_map(|name| view.bridge(&name));
        bridges
            .flat_map(|bridge| bridge.ports.values().filter_map(DesiredTunnel::from_record).collect::<Vec<_>>())
            .collect()
    });
    let told = |tunnel: DesiredTunnel| {
        let Counted { rx_packets, tx_packets } = *counted.get(tunnel.name.as_str())?;
        let (port, to, key) = (tunnel.name.to_string(), tunnel.to.to_string(), tunnel.key.get());
        Some(TunnelCounters { port, to, key, rx_packets, tx_packets })
    };
    // Of a pair whose kind changes, the one by which frames are sent: that is what the other end counts against.
    all.into_iter().filter(|tunnel| !tunnel.second).filter_map(told).collect()
}

/// What came in lately and has no tunnel by now.
async fn unexpected_packets(state: &State) -> Vec<UnexpectedPackets> {
    let all = health::unexpected_now(state.doctor.root(), &state.switch).await;
    let told = |one: health::Unexpected| UnexpectedPackets {
        key: one.key,
        remote_ip: one.from.to_string(),
        // A clock beyond the year 9999 has no such form.
        last: one.last.to_offset(UtcOffset::UTC).format(&Rfc3339).unwrap_or_default(),
        lines: one.lines,
    };
    all.into_iter().map(told).collect()
}
