//! Flow monitors: bridges whose changes of flows are told, and not asked for.
//!
//! What it does: has the switch watch each managed bridge, and hands the writer those of which it tells that a flow was changed by others.
//! What it must not do: hand a bridge over again and again because somebody undoes each repair at once.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

use futures_util::StreamExt;
use ovstunnel_ovs::CommitError;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Managed, Watch};
use crate::writer::Suspicion;

/// Bridges whose monitors are begun at the same time.
const AT_ONCE: usize = 512;

/// The first and the longest pause between two repairs of a bridge whose flows are changed again and again.
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// A bridge that was left alone for so long is repaired at once again.
const FORGIVEN: Duration = Duration::from_secs(10);

/// Seconds between two looks at all that the switch prints of each bridge: at what no monitor tells.
const ALL: u64 = 60;

/// What is remembered from second to second.
#[derive(Debug, Default)]
pub(super) struct Monitors {
    /// Bridges that no monitor watches, and how often one was asked for in vain.
    unwatched: HashMap<Uuid, u32>,
    /// When bridges were last handed over, and how long they are left alone from then on.
    handed: HashMap<Uuid, (Instant, Duration)>,
    /// Bridges that are to be handed over once they were left alone for long enough.
    waiting: BTreeSet<Uuid>,
    /// Bridges whose tables are to be asked for: flows of others changed there.
    printed: BTreeSet<Uuid>,
    /// Bridges whose monitors have ended, and why.
    ended: Vec<(Uuid, String)>,
    /// Why the last one that was asked for in vain was not given.
    reason: Option<String>,
    /// That some bridges have no monitor was said.
    said: bool,
}

impl Watch {
    /// Whether a monitor watches a bridge.
    pub(super) fn is_monitored(&self, bridge: &Managed) -> bool {
        self.real.flow_seqno(bridge.name.as_str()).is_some()
    }

    /// When something that waits is due.
    pub(super) async fn monitors_due(&self) {
        let now = Instant::now();
        match self.monitors.waiting.iter().map(|uuid| self.monitors.rest_until(*uuid, now)).min() {
            Some(at) => tokio::time::sleep_until(at).await,
            None => std::future::pending().await,
        }
    }

    /// Takes what monitors have told.
    pub(super) fn take_flow_news(&mut self) {
        let Some(news) = self.real.flow_news() else { return };
        let told = news.take_news();
        for bridge in &self.bridges {
            let Some(told) = told.get(bridge.name.as_str()) else { continue };
            if told.ours {
                self.monitors.waiting.insert(bridge.uuid);
            }
            if told.others {
                self.monitors.printed.insert(bridge.uuid);
            }
            self.monitors.ended.extend(told.ended.clone().map(|reason| (bridge.uuid, reason)));
        }
        self.hand_over();
    }

    /// Has the writer look at the bridges that were left alone for long enough and whose flows are not those that are known.
    pub(super) fn hand_over(&mut self) {
        let (now, mut suspicion) = (Instant::now(), Suspicion::default());
        for bridge in self.bridges.iter().filter(|bridge| self.monitors.waiting.contains(&bridge.uuid)) {
            if self.monitors.rest_until(bridge.uuid, now) > now {
                continue;
            }
            suspicion.flows.insert(bridge.name.clone());
        }
        for bridge in self.bridges.iter().filter(|bridge| suspicion.flows.contains(&bridge.name)) {
            self.monitors.waiting.remove(&bridge.uuid);
            self.monitors.handed_over(bridge.uuid, now);
        }
        let rows: BTreeSet<Uuid> = self.bridges.iter().map(|bridge| bridge.uuid).collect();
        self.monitors.waiting.retain(|uuid| rows.contains(uuid));
        self.watched.suspects.note_suspicion(suspicion);
    }

    /// Each second: begins monitors where there are none, and sees to it that what is known of the flows of monitored bridges is from since
    /// they are monitored. Says whether there are bridges that no monitor watches.
    pub(super) async fn keep_monitors(&mut self, at: SystemTime) -> bool {
        if self.real.flow_news().is_none() {
            return true;
        }
        self.tell_of_ended();
        self.begin_monitors().await;
        let flows = self.watched.flows.clone();
        let mut unwatched = 0;
        for bridge in &self.bridges {
            match self.real.flow_seqno(bridge.name.as_str()) {
                None => unwatched += 1,
                Some(seqno) if flows.holds_at(bridge.uuid, seqno) => flows.confirm_unchanged(bridge.uuid, at),
                Some(_) => drop(self.monitors.waiting.insert(bridge.uuid)),
            }
        }
        self.hand_over();
        self.tell_of_unwatched(unwatched);
        unwatched > 0
    }

    async fn begin_monitors(&mut self) {
        let rows: BTreeSet<Uuid> = self.bridges.iter().map(|bridge| bridge.uuid).collect();
        self.monitors.retain(&rows);
        let seconds = self.seconds;
        let is_due = |uuid: &Uuid| {
            let failed = self.monitors.unwatched.get(uuid).copied().unwrap_or_default();
            seconds.is_multiple_of(1 << failed.min(6))
        };
        let due: Vec<Managed> =
            self.bridges.iter().filter(|bridge| !self.is_monitored(bridge) && is_due(&bridge.uuid)).cloned().collect();
        let real = &self.real;
        let begun = due.into_iter().map(|bridge| async move {
            let result = real.monitor_flows(bridge.name.as_str()).await;
            (bridge, result)
        });
        let begun: Vec<(Managed, Result<(), CommitError>)> =
            futures_util::stream::iter(begun).buffer_unordered(AT_ONCE).collect().await;
        for (bridge, result) in begun {
            match result {
                Ok(()) => {
                    self.monitors.unwatched.remove(&bridge.uuid);
                    // What it has of others', and what is hidden, is told by no monitor.
                    self.monitors.printed.insert(bridge.uuid);
                }
                Err(error) => {
                    *self.monitors.unwatched.entry(bridge.uuid).or_default() += 1;
                    tracing::debug!(bridge = %bridge.name, %error, "no flow monitor");
                    self.monitors.reason = Some(error.to_string());
                }
            }
        }
    }

    /// Says which monitors have ended. Those of a bridge that was deleted, or of a switch that has, end with it; that is told elsewhere.
    fn tell_of_ended(&mut self) {
        let ended = std::mem::take(&mut self.monitors.ended);
        let name = |uuid: &Uuid| self.bridges.iter().find(|bridge| bridge.uuid == *uuid).map(|bridge| &bridge.name);
        let ended: Vec<_> = ended.iter().filter_map(|(uuid, reason)| Some((name(uuid)?, reason))).collect();
        if let Some((bridge, reason)) = ended.first() {
            tracing::info!(bridges = ended.len(), first = %bridge, reason, "flow monitors have ended; asking for new ones");
        }
    }

    /// Says once that flows are asked for, and once that they are not any more.
    fn tell_of_unwatched(&mut self, unwatched: usize) {
        // One that was made or has ended in this second gets its monitor in the next one.
        let lasting = self.monitors.unwatched.len();
        match (lasting > 0, self.monitors.said) {
            (true, false) => {
                self.monitors.said = true;
                let reason = self.monitors.reason.take();
                tracing::warn!(
                    bridges = lasting,
                    reason,
                    "no flow monitor; flows of these bridges are asked for once a second"
                );
            }
            (false, true) if unwatched == 0 => {
                self.monitors.said = false;
                tracing::info!(bridges = self.bridges.len(), "flow monitors watch all bridges again");
            }
            _ => {}
        }
    }

    /// The monitored bridges whose tables are asked for all the same: for flows of others, and hidden ones, which no monitor tells.
    pub(super) fn printed_due(&mut self) -> Vec<Managed> {
        let all = self.seconds.is_multiple_of(ALL);
        let touched = std::mem::take(&mut *self.touched.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        let due = std::mem::take(&mut self.monitors.printed);
        let is_due = |bridge: &&Managed| {
            let uuid = bridge.uuid;
            all || due.contains(&uuid) || touched.contains(&uuid) || self.strangers.wants_look(uuid)
        };
        self.bridges.iter().filter(|bridge| self.is_monitored(bridge)).filter(is_due).cloned().collect()
    }
}

impl Monitors {
    /// `ovs-vswitchd` has started: all have ended with the old one.
    pub(super) fn begin_anew(&mut self) {
        *self = Monitors { said: self.said, ..Monitors::default() };
    }

    fn retain(&mut self, bridges: &BTreeSet<Uuid>) {
        self.unwatched.retain(|uuid, _| bridges.contains(uuid));
        self.handed.retain(|uuid, _| bridges.contains(uuid));
        self.printed.retain(|uuid| bridges.contains(uuid));
    }

    /// Until when a bridge is left alone.
    fn rest_until(&self, bridge: Uuid, now: Instant) -> Instant {
        self.handed.get(&bridge).map_or(now, |(at, pause)| *at + *pause)
    }

    /// A bridge is handed over: soon after the last time the pause grows.
    fn handed_over(&mut self, bridge: Uuid, now: Instant) {
        let pause = match self.handed.get(&bridge) {
            Some((at, pause)) if now.saturating_duration_since(*at) < FORGIVEN => (*pause * 2).min(LONGEST),
            _ => FIRST,
        };
        self.handed.insert(bridge, (now, pause));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_undoes_each_repair_is_met_once_a_second() {
        let (mut monitors, bridge) = (Monitors::default(), Uuid::from_u128(1));
        let mut times = Vec::new();
        let began = Instant::now();
        for _ in 0..8 {
            tokio::time::sleep_until(monitors.rest_until(bridge, Instant::now())).await;
            times.push(began.elapsed().as_millis());
            monitors.handed_over(bridge, Instant::now());
        }
        assert_eq!(times, [0, 100, 300, 700, 1500, 2500, 3500, 4500]);
        tokio::time::sleep(FORGIVEN).await;
        let now = Instant::now();
        assert!(monitors.rest_until(bridge, now) <= now, "at once again");
        monitors.handed_over(bridge, now);
        assert_eq!(monitors.rest_until(bridge, now), now + FIRST);
    }
}
