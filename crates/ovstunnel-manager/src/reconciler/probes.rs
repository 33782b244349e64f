//! Has hosts run BFD where it is to run, and end it where not.
//!
//! What it does: tells each bridge on which of its tunnels BFD is to run, by what the hosts say at that moment. What it must not do: hold up a
//! join or a leave, or tell a host that refuses again at once.

use std::collections::BTreeMap;

use ovstunnel_mesh::bfd::{self, End, Set};
use ovstunnel_types::HostNumber;
use time::OffsetDateTime;
use tokio::time::Instant;

use super::Reconciler;
use super::rounds::Rounds;
use crate::sending::Wire;
use crate::zone::Happened;

/// Hosts that an event names.
const NAMED: usize = 8;

impl Reconciler {
    /// Keeps BFD on one tunnel for each two hosts where it `is_wanted`, else on none. Ends with the task that it runs in.
    pub async fn keep_bfd(self, is_wanted: bool) {
        let mut rounds = Rounds::new(&self);
        loop {
            let started = Instant::now();
            let sets = self.bfd_sets(is_wanted, &mut rounds);
            let took = started.elapsed();
            self.send_bfd(sets, &mut rounds).await;
            rounds.wait_after(took).await;
        }
    }

    /// What is to be told now, by host.
    fn bfd_sets(&self, is_wanted: bool, rounds: &mut Rounds) -> BTreeMap<HostNumber, Vec<Set>> {
        let mut by_host: BTreeMap<HostNumber, Vec<Set>> = BTreeMap::new();
        if self.0.leader.epoch().is_err() {
            return by_host;
        }
        let ends = self.0.zone.bfd_ends();
        let ends = ends.iter().map(|(host, stands, snapshot)| (*host, End { stands: *stands, snapshot })).collect();
        for set in bfd::bfd_differences(&ends, is_wanted) {
            by_host.entry(set.host).or_default().push(set);
        }
        rounds.leave_out_refused(&mut by_host, self);
        by_host
    }

    /// Tells all these hosts side by side.
    async fn send_bfd(&self, sets: BTreeMap<HostNumber, Vec<Set>>, rounds: &mut Rounds) {
        let each = sets.into_iter().map(|(host, sets)| async move { (host, self.send_bfd_to(host, &sets).await) });
        let done: Vec<(HostNumber, Result<String, u64>)> = futures_util::future::join_all(each).await;
        let mut told = Vec::new();
        for (host, result) in done {
            match result {
                Ok(words) => told.push(words),
                Err(connection) => rounds.record_refusal(host, connection),
            }
        }
        if told.is_empty() {
            return;
        }
        let more = told.len().checked_sub(NAMED + 1).map(|_| format!("; and {} more hosts", told.len() - NAMED));
        let named: Vec<String> = told.into_iter().take(NAMED).collect();
        let text = format!("BFD: {}{}", named.join("; "), more.unwrap_or_default());
        self.0.zone.send_event(Happened::new(OffsetDateTime::now_utc(), "reconciled", text));
    }

    /// Tells one host. Gives what it was told in words; where it refuses, on which connection.
    async fn send_bfd_to(&self, host: HostNumber, sets: &[Set]) -> Result<String, u64> {
        let connection = self.0.writers.connection_count(host);
        let sender = self.sender_for("", host);
        let turn = self.0.writers.wait_turn(host).await.ok_or(connection)?;
        for set in sets {
            if !sender.send_one(&turn, &Wire::set_bfd(set)).await.is_good() {
                return Err(connection);
            }
        }
        let each = sets.iter().map(|set| format!("{} tunnels of bridge {}", set.ports.len(), set.bridge));
        Ok(format!("{}: on {}", sender.name, each.collect::<Vec<_>>().join(", ")))
    }
}
