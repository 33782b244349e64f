//! One pass: what differs, what of it may be sent now, and the sending.
//!
//! What it must not do: send to a network of which something is still on the way.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_mesh::difference::{Blocked, BridgeFate, Difference, HostDifference, Removal};
use ovstunnel_mesh::{COUNTED_TOGETHER, Earlier, Goes, Holds, Plan, Request, Sending, plan_requests};
use ovstunnel_server::{trace, traced_span};
use ovstunnel_types::{GreKey, HostId, HostNumber};
use time::OffsetDateTime;
use tokio::time::Instant;
use tracing::Instrument;

use super::attempts::{Attempts, Result};
use super::send::Sender;
use super::{AGAIN, LEASE, Reconciler, Stage, Work};
use crate::zone::Happened;

/// The next step of a change of kind.
const KINDS: &str = "kinds";

/// What makes the mesh whole.
const JOINS: &str = "joins";

/// The tunnels that go.
const LEAVES: &str = "leaves";

/// The bridges that go.
const BRIDGES: &str = "bridges";

/// Hosts that an event names.
const NAMED: usize = 8;

impl Reconciler {
    /// Looks at each network that waits, and starts to send what may be sent.
    pub(super) fn run_pass(&self, work: &mut Work) {
        let now = Instant::now();
        if self.0.leader.epoch().is_err() {
            // What differs differs still when the lease is good again.
            work.due.extend(std::mem::take(&mut work.waiting).into_iter().map(|key| (key, now + LEASE)));
            return;
        }
        let (busy, free) = std::mem::take(&mut work.waiting).into_iter().partition(|key| work.in_flight.contains(key));
        work.waiting = busy;
        let free = self.told_networks(free, work, now);
        let (pass, without_bridge) = self.network_differences(free);
        self.make_networks(without_bridge, work, now);
        let holds = self.stopped_removals(&pass);
        for (key, difference) in &pass {
            let plan = plan_requests(difference, &holds, &self.kind_answers(*key, difference));
            let (stage, later) = self.next_stage(*key, &plan, now);
            match stage {
                Some(stage) => {
                    self.note_gone(difference, &plan, &stage, now);
                    work.in_flight.insert(*key);
                    let span = traced_span!("reconcile", network = self.0.zone.network_name(*key), stage = stage.name);
                    trace::continue_in(&span, self.0.zone.cause_of(*key).as_deref());
                    let job = work.jobs.spawn(self.clone().carry_out(*key, stage).instrument(span));
                    work.of_job.insert(job.id(), *key);
                }
                None => drop(work.due.insert(*key, later.unwrap_or(now + AGAIN))),
            }
        }
    }

    /// Those of these networks whose hosts have told all that they did; the others are looked at when they have.
    fn told_networks(&self, keys: BTreeSet<GreKey>, work: &mut Work, now: Instant) -> Vec<GreKey> {
        let mut told = Vec::new();
        for key in keys {
            let shows = |host: HostNumber, requests: &[Request]| self.0.zone.shows_requests(host, requests);
            match self.lock_state().untold.waits_until(key, shows, now) {
                Some(until) => drop(work.due.insert(key, until)),
                None => told.push(key),
            }
        }
        told
    }

    /// What differs of these networks, and on which hosts one has no bridge and none can be made by name; of all others it is known from before
    /// what is to go.
    fn network_differences(
        &self,
        keys: impl IntoIterator<Item = GreKey>,
    ) -> (BTreeMap<GreKey, Difference>, Vec<(GreKey, HostNumber)>) {
        let keys = keys.into_iter();
        // What comes after it is no part of the difference.
        let with_cause = |key| (key, self.0.zone.cause_of(key));
        let found = keys
            .map(with_cause)
            .map(|(key, cause)| (key, cause, self.0.zone.network_difference(key, self.0.rules.dead_after)));
        let found: Vec<(GreKey, Option<String>, Option<Difference>)> = found.collect();
        let mut state = self.lock_state();
        let (mut pass, mut without_bridge) = (BTreeMap::new(), Vec::new());
        for (key, cause, difference) in found {
            let blocked = difference.iter().flat_map(|difference| &difference.blocked);
            let missing = blocked.filter(|(_, why)| *why == Blocked::BridgeMissing).map(|(host, _)| (key, *host));
            without_bridge.extend(missing);
            self.settle_kind(&mut state, key, difference.as_ref().and_then(|difference| difference.kind.as_ref()));
            if difference.as_ref().is_none_or(|difference| difference.hosts.is_empty()) {
                state.removing.remove(&key);
                state.attempts.forget_settled(key);
                self.0.zone.nothing_refused(key);
                if let Some(cause) = cause {
                    self.0.zone.forget_cause(key, &cause);
                }
            }
            let differs = |difference: &Difference| !difference.hosts.is_empty() || difference.changes_kind();
            let Some(difference) = difference.filter(differs) else { continue };
            match has_removals(&difference) {
                true => drop(state.removing.insert(key, difference.clone())),
                false => drop(state.removing.remove(&key)),
            }
            pass.insert(key, difference);
        }
        (pass, without_bridge)
    }

    /// What the brakes stop of all that is to go.
    fn stopped_removals(&self, pass: &BTreeMap<GreKey, Difference>) -> Holds {
        let mut state = self.lock_state();
        let removing: Vec<Difference> = state.removing.values().cloned().collect();
        state.gone.retain(|_, at| at.elapsed() < COUNTED_TOGETHER);
        let gone: BTreeSet<Goes> = state.gone.keys().cloned().collect();
        let waiting = state.waiting.holds();
        let earlier = Earlier { approved: state.waiting.approved(), waiting: &waiting, gone: &gone };
        let holds = match removing.is_empty() {
            true => Holds::default(),
            false => self.build_brakes(state.asks_for_any).hold_back(&removing, self.0.zone.tunnel_count(), &earlier),
        };
        debug_assert!(pass.iter().all(|(key, found)| !has_removals(found) || state.removing.contains_key(key)));
        let new = state.waiting.take_stopped(&holds, OffsetDateTime::now_utc());
        drop(state);
        for held in new {
            let text = format!(
                "hold {}: {}; nothing of it goes before somebody approves it: `ovstunnelctl zone holds`",
                held.id,
                self.hold_sentence(&held)
            );
            self.0.zone.send_event(Happened::new(held.since, "hold", text));
        }
        holds
    }

    /// Remembers what goes with a stage though nobody asked for it by name, or approved it.
    fn note_gone(&self, difference: &Difference, plan: &Plan, stage: &Stage, now: Instant) {
        let hosts = difference.hosts.iter().filter(|(number, _)| stage.requests.contains_key(number));
        let goes = |(number, host): (&HostNumber, &HostDifference)| -> Vec<Removal> {
            match (stage.name, host.fate) {
                (JOINS, _) => host.moves_from(*number).collect(),
                (LEAVES, BridgeFate::Stays) | (BRIDGES, BridgeFate::Goes { .. }) => host.remove.clone(),
                _ => Vec::new(),
            }
        };
        let removals = hosts.flat_map(goes);
        let unasked = |removal: &Removal| !removal.is_named && !plan.withheld.contains(removal);
        let mut state = self.lock_state();
        for removal in removals.filter(unasked) {
            let goes = (difference.network, removal);
            let is_approved = state.waiting.approved().iter().any(|hold| hold.removals.contains(&goes));
            if !is_approved {
                state.gone.insert(goes, now);
            }
        }
    }

    /// What is sent of a plan now; where nothing is, when to look again.
    fn next_stage(&self, key: GreKey, plan: &Plan, now: Instant) -> (Option<Stage>, Option<Instant>) {
        let state = self.lock_state();
        let mut later = None::<Instant>;
        let rest = [(JOINS, &plan.joins), (LEAVES, &plan.leaves), (BRIDGES, &plan.bridges)];
        for (name, sendings) in std::iter::once((KINDS, &plan.kinds)).chain(rest) {
            let attempts = if name == KINDS { &state.kind_attempts } else { &state.attempts };
            let requests = self.sendable_requests(attempts, key, sendings, now, &mut later);
            if !requests.is_empty() {
                return (Some(Stage { name, requests }), later);
            }
        }
        (None, later)
    }

    fn sendable_requests(
        &self,
        attempts: &Attempts,
        key: GreKey,
        sendings: &[Sending],
        now: Instant,
        later: &mut Option<Instant>,
    ) -> BTreeMap<HostNumber, Vec<Request>> {
        let mut by_host: BTreeMap<HostNumber, Vec<Request>> = BTreeMap::new();
        for Sending { host, request } in sendings {
            by_host.entry(*host).or_default().push(request.clone());
        }
        by_host.retain(|host, requests| {
            let wait = attempts.next_attempt(key, *host, requests, self.0.writers.connection_count(*host), now);
            *later = wait.into_iter().chain(*later).min();
            wait.is_none()
        });
        by_host
    }

    /// Sends a stage to all its hosts side by side, and tells what came of it.
    async fn carry_out(self, key: GreKey, stage: Stage) {
        let network = self.0.zone.network_name(key);
        let each = stage.requests.into_iter().map(|(host, requests)| {
            let sender = self.sender_for(&network, host);
            let reconciler = self.clone();
            async move {
                let connection = reconciler.0.writers.connection_count(host);
                let result = sender.send_all(&requests).await;
                let is_news = match stage.name {
                    KINDS => reconciler.record_step(key, host, requests.clone(), connection, result.clone()),
                    _ => {
                        reconciler.0.zone.record_refused(key, host, not_made(&requests, &result));
                        let mut state = reconciler.lock_state();
                        if result.is_good() {
                            state.untold.carried_out(key, host, requests.clone(), Instant::now());
                        }
                        state.attempts.record_result(key, host, requests.clone(), connection, result.clone())
                    }
                };
                is_news.then(|| result_sentence(&sender.name, &requests, &result))
            }
            .instrument(traced_span!("host", host = host.get()))
        });
        let told: Vec<String> = futures_util::future::join_all(each).await.into_iter().flatten().collect();
        if told.is_empty() {
            return;
        }
        let more = told.len().checked_sub(NAMED + 1).map(|_| format!("; and {} more hosts", told.len() - NAMED));
        let named: Vec<String> = told.into_iter().take(NAMED).collect();
        let text = format!("{}: {}{}", stage.name, named.join("; "), more.unwrap_or_default());
        let happened = Happened::new(OffsetDateTime::now_utc(), "reconciled", text);
        self.0.zone.send_event(Happened { network: Some(network), ..happened });
    }

    pub(super) fn sender_for(&self, network: &str, host: HostNumber) -> Sender {
        let sent = {
            let mut state = self.lock_state();
            state.sent += 1;
            state.sent
        };
        let epoch = *self.0.leader.watch_epoch().borrow();
        Sender {
            leader: self.0.leader.clone(),
            writers: self.0.writers.clone(),
            network: network.to_owned(),
            name: self.0.zone.host_name(host),
            host,
            request_id: format!("manager-{epoch}-{sent}"),
        }
    }
}

fn has_removals(difference: &Difference) -> bool {
    let goes = |host: &ovstunnel_mesh::difference::HostDifference| host.fate != BridgeFate::Stays;
    difference.removals().next().is_some() || difference.moves().next().is_some() || difference.hosts.values().any(goes)
}

/// The other ends of the tunnels that were to be there and were refused, or of which that is not known.
fn not_made(requests: &[Request], result: &Result) -> BTreeSet<HostNumber> {
    let wanted = requests.iter().filter(|_| result.failed.is_some()).flat_map(|request| match request {
        Request::PutBridge { tunnels, .. } => tunnels.keys().cloned().collect(),
        Request::PostTunnel { to, .. } => vec![HostId::from(*to)],
        Request::DeleteTunnel { .. } | Request::DeleteBridge { .. } | Request::ChangeKind { .. } => Vec::new(),
    });
    wanted.chain(result.left_out.keys().cloned()).filter_map(|to| HostNumber::try_from(&to).ok()).collect()
}

/// What came of a host's requests, in words.
fn result_sentence(host: &str, requests: &[Request], result: &Result) -> String {
    let what: Vec<String> = requests.iter().map(describe_request).collect();
    match result.failure_reasons() {
        None => format!("{host}: {}", what.join(", ")),
        Some(why) => format!("{host}: not {}: {why}", what.join(", ")),
    }
}

fn describe_request(request: &Request) -> String {
    match request {
        Request::PutBridge { bridge, tunnels, .. } => format!("bridge {bridge} with {} tunnels", tunnels.len()),
        Request::PostTunnel { to, remote_ip, .. } => format!("tunnel to host {to} at {remote_ip}"),
        Request::DeleteTunnel { port, .. } => format!("tunnel {port} taken away"),
        Request::DeleteBridge { bridge } => format!("bridge {bridge} taken away"),
        Request::ChangeKind { bridge, to, step, .. } => format!("bridge {bridge}: {step} for {to}"),
    }
}
