//! Tells hosts for which addresses of VMs their switches may answer: those that the NICs of each network are recorded to have.
//!
//! What it does: compares what bridges were told with what is recorded, and tells what differs. What it must not do: hold up a join or a
//! leave, make a bridge, or tell a host that refuses again at once.

use std::collections::BTreeMap;

use ovstunnel_types::HostNumber;
use tokio::time::Instant;

use super::Reconciler;
use super::rounds::Rounds;
use crate::sending::Wire;
use crate::zone::neighbours::ToTell;

impl Reconciler {
    /// Keeps what switches were told of addresses as NICs are recorded. Ends with the task that it runs in.
    pub async fn keep_neighbours(self) {
        let mut rounds = Rounds::new(&self);
        loop {
            let started = Instant::now();
            let by_host = self.neighbours_by_host(&mut rounds);
            let took = started.elapsed();
            let each = by_host.iter().map(async |(host, all)| (*host, self.tell_neighbours(*host, all).await));
            for (host, result) in futures_util::future::join_all(each).await {
                if let Err(connection) = result {
                    rounds.record_refusal(host, connection);
                }
            }
            rounds.wait_after(took).await;
        }
    }

    /// What is to be told now.
    fn neighbours_by_host(&self, rounds: &mut Rounds) -> BTreeMap<HostNumber, Vec<ToTell>> {
        let mut by_host: BTreeMap<HostNumber, Vec<ToTell>> = BTreeMap::new();
        if self.0.leader.epoch().is_err() {
            return by_host;
        }
        for to_tell in self.0.zone.neighbours_to_tell() {
            by_host.entry(to_tell.host).or_default().push(to_tell);
        }
        rounds.leave_out_refused(&mut by_host, self);
        by_host
    }

    /// Tells one host. Where it refuses, on which connection.
    async fn tell_neighbours(&self, host: HostNumber, all: &[ToTell]) -> Result<(), u64> {
        let connection = self.0.writers.connection_count(host);
        let sender = self.sender_for("", host);
        let turn = self.0.writers.wait_turn(host).await.ok_or(connection)?;
        for to_tell in all {
            // Asked in the host's turn: a bridge is taken away in a turn of its own, and only once its host has no NIC of the network.
            if !self.0.zone.has_nics_of(host, to_tell.key) {
                continue;
            }
            if !sender.send_one(&turn, &Wire::tell_neighbours(to_tell)).await.is_good() {
                return Err(connection);
            }
        }
        Ok(())
    }
}
