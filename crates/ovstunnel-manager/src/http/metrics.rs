//! Numbers of the zone for Prometheus. Counts only: which pair or network is in the API, never in a label.

use std::fmt::Write as _;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::State;
use crate::reconciler::Said;

/// What the text is.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InState {
    state: &'static str,
}

/// All of them, as they are now.
pub(super) fn render_metrics(state: &State) -> String {
    let (networks, hosts, tunnels) = state.zone.state_counts();
    let mut registry = Registry::with_prefix("ovstunnel_manager");
    let gauge = |registry: &mut Registry, name: &str, help: &str, values: &[(&'static str, u32)]| {
        let family = Family::<InState, Gauge>::default();
        for (state, value) in values {
            family.get_or_create(&InState { state }).set(i64::from(*value));
        }
        registry.register(name, help, family);
    };
    let of_networks = [("whole", networks.whole), ("settling", networks.settling), ("broken", networks.broken)];
    gauge(&mut registry, "networks", "Networks that hosts have bridges of, by state", &of_networks);
    let of_hosts =
        [("ok", hosts.ok), ("degraded", hosts.degraded), ("connecting", hosts.connecting), ("silent", hosts.silent)];
    gauge(&mut registry, "hosts", "Registered hosts, by state", &of_hosts);
    let (told, silenced) = state.zone.fault_counts();
    let help = "Causes of what is wrong in the zone: told, or silenced since a host is worked at";
    gauge(&mut registry, "faults", help, &[("told", told), ("silenced", silenced)]);
    register_value(
        &mut registry,
        "tunnels_wanted",
        "Tunnels that there must be, each direction for itself",
        tunnels.wanted,
    );
    register_value(
        &mut registry,
        "tunnels_proven",
        "Tunnels that are as they must be, at both ends' word",
        tunnels.proven,
    );
    let (hosts, losing) = state.zone.counted_counts();
    let help = "Hosts whose tunnels' counters were compared with those of the other ends in the last round";
    register_value(&mut registry, "hosts_counted", help, u64::from(hosts));
    let help = "Tunnels by which nothing arrives by the counters of both ends, each direction for itself";
    register_value(&mut registry, "tunnels_losing", help, u64::from(losing));
    let held = state.reconciler.as_ref().map(|reconciler| reconciler.holds()).unwrap_or_default();
    let held = held.iter().filter(|held| held.said == Said::Nothing).count();
    let help = "Removals that wait for somebody's word";
    register_value(&mut registry, "holds_waiting", help, u64::try_from(held).unwrap_or(u64::MAX));
    let waiting = u64::try_from(state.zone.rows_waiting()).unwrap_or(u64::MAX);
    let help = "Hosts whose rows of tunnels in the database are still to be compared with what they have";
    register_value(&mut registry, "hosts_with_rows_due", help, waiting);
    let help = "1 where this manager leads the zone, and may change hosts; else 0";
    register_value(&mut registry, "leads", help, u64::from(state.replica.leads()));
    let help = "Number of the leadership that the database knows of; 0 where none is known";
    register_value(
        &mut registry,
        "leader_epoch",
        help,
        state.replica.current_leadership().map_or(0, |leading| leading.epoch),
    );
    register_work(&mut registry, state);
    let mut text = String::new();
    if let Err(error) = encode(&mut text, &registry) {
        // Writing into a text does not fail.
        let _ = writeln!(text, "# {error}");
    }
    text
}

fn register_value(registry: &mut Registry, name: &str, help: &str, value: u64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
    registry.register(name, help, gauge);
}

/// What the manager has done, for whom, and how old its picture is.
fn register_work(registry: &mut Registry, state: &State) {
    let counts = state.watched.counts();
    let now = u64::try_from(counts.current_readers()).unwrap_or(u64::MAX);
    register_value(registry, "watchers", "Readers of /v1/watch now", now);
    let cut = Counter::<u64>::default();
    cut.inc_by(counts.cut_readers());
    registry.register("watchers_cut", "Readers of /v1/watch that were ended because they were too far behind", cut);
    let work = state.zone.work();
    let proofs = Counter::<u64>::default();
    proofs.inc_by(work.proofs);
    registry.register("proofs", "Proofs of a network that were made", proofs);
    let took = Counter::<f64, AtomicU64>::default();
    took.inc_by(work.took.as_secs_f64());
    registry.register("proof_seconds", "Seconds in which proofs were made", took);
    let age = Gauge::<f64, AtomicU64>::default();
    age.set(state.zone.oldest_sign().unwrap_or_default());
    let help = "Seconds since the sign of life of the connected host that was heard of longest ago";
    registry.register("oldest_host_age_seconds", help, age);
}
