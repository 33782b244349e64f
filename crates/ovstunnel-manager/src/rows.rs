//! The table `ovs_tunnel_network`: made to say, by and by, what the hosts have been seen with.
//!
//! What it does: compares the rows of hosts that have said something else than before with what they say, and writes the difference; all hosts'
//! when it begins and every ten minutes. What it must not do: hold up anybody who asks or proves, or write what was not seen.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::{Duration, Instant};

use ovstunnel_store::{HostTunnels, Store, StoreError};
use ovstunnel_types::HostNumber;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::zone::{RowsDue, Zone};

/// Changes that come so close together are written together.
const TOGETHER: Duration = Duration::from_millis(200);

/// Rows that are compared in one change: others wait for its end.
const ROWS: usize = 2000;

/// How many times as long as a change the pause after it is, so that others get at the database and the processor: who compares everything has a
/// twentieth of both.
const REST: u32 = 19;

/// How long to wait before a database is tried again that did not take them.
const AGAIN: Duration = Duration::from_secs(2);

/// How often everything is compared, whoever may have written.
const ALL: Duration = Duration::from_secs(600);

/// What keeps the table.
#[derive(Debug)]
pub struct Rows {
    zone: Zone,
    store: Store,
    /// What of each host was found or written last, as a digest: who says the same again costs nothing.
    known: BTreeMap<HostNumber, u64>,
    /// Everything is still to be compared.
    is_anew: bool,
    is_failing: bool,
}

impl Rows {
    /// For this zone, in this database.
    pub fn new(zone: Zone, store: Store) -> Rows {
        Rows { zone, store, known: BTreeMap::new(), is_anew: true, is_failing: false }
    }

    /// Keeps it. Ends with the task that it runs in.
    pub async fn keep_rows(mut self) {
        let news = self.zone.rows_news();
        let mut all = interval(ALL);
        all.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = news.notified() => sleep(TOGETHER).await,
                _ = all.tick() => self.is_anew = true,
            }
            match self.store.may_change() {
                true => self.write_due().await,
                // Another manager writes them, and this one will have to look at all of them if it is the next.
                false => self.is_anew = true,
            }
        }
    }

    async fn write_due(&mut self) {
        loop {
            let started = Instant::now();
            match self.write_some().await {
                Ok(more) => {
                    if std::mem::take(&mut self.is_failing) {
                        tracing::info!("the rows of tunnels are written again");
                    }
                    if !more {
                        return;
                    }
                    sleep(started.elapsed() * REST).await;
                }
                Err(StoreError::NotLeading { .. }) => {
                    self.is_anew = true;
                    return;
                }
                Err(error) => {
                    if !std::mem::replace(&mut self.is_failing, true) {
                        tracing::warn!(%error, "the rows of tunnels cannot be written; trying again");
                    }
                    sleep(AGAIN).await;
                }
            }
        }
    }

    /// Compares and writes those of some hosts. Whether there may be more.
    async fn write_some(&mut self) -> Result<bool, StoreError> {
        if self.is_anew {
            // Rows may start at a host that nobody knows any more.
            self.zone.all_rows_due(self.store.hosts_with_tunnel_rows().await?);
            self.is_anew = false;
            self.known.clear();
        }
        let due = self.zone.take_rows_due(ROWS);
        if due.is_empty() {
            return Ok(false);
        }
        let is_new = |due: &RowsDue| due.is_anew || self.known.get(&due.rows.host) != Some(&rows_digest(&due.rows));
        let hosts: Vec<HostTunnels> = due.into_iter().filter(is_new).map(|due| due.rows).collect();
        if hosts.is_empty() {
            return Ok(true);
        }
        match self.store.set_host_tunnels(&hosts).await {
            Ok(written) => {
                tracing::debug!(?written, hosts = hosts.len(), "compared the rows of tunnels with what hosts have");
                self.known.extend(hosts.iter().map(|rows| (rows.host, rows_digest(rows))));
            }
            Err(error) if is_of_a_row(&error) => self.write_each(&hosts).await?,
            Err(error) => {
                self.zone.rows_due_again(hosts.iter().map(|rows| rows.host));
                return Err(error);
            }
        }
        Ok(true)
    }

    /// Writes host by host, so that one whose rows cannot be read or written does not stop the others. It is tried again with all.
    async fn write_each(&mut self, hosts: &[HostTunnels]) -> Result<(), StoreError> {
        for (at, rows) in hosts.iter().enumerate() {
            match self.store.set_host_tunnels(std::slice::from_ref(rows)).await {
                Ok(_) => drop(self.known.insert(rows.host, rows_digest(rows))),
                Err(error) if is_of_a_row(&error) => {
                    tracing::warn!(%error, host = %rows.host, "the rows of a host's tunnels cannot be written");
                }
                Err(error) => {
                    self.zone.rows_due_again(hosts[at..].iter().map(|rows| rows.host));
                    return Err(error);
                }
            }
        }
        Ok(())
    }
}

/// Whether one row is the reason, and not the database as a whole.
fn is_of_a_row(error: &StoreError) -> bool {
    matches!(error, StoreError::Invalid { .. } | StoreError::Conflict { .. } | StoreError::Corrupt { .. })
}

fn rows_digest(rows: &HostTunnels) -> u64 {
    let mut hasher = DefaultHasher::new();
    rows.rows.hash(&mut hasher);
    hasher.finish()
}
