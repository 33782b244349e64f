//! This manager among those of its zone: who leads, and what is to be done when that changes.
//!
//! What it does: asks for the lease again and again; while another manager leads, takes in what that one records; before this one leads, takes in
//! everything once more. What it must not do: write anything while another one leads.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_manager_api::Leadership;
use ovstunnel_store::{Fence, LeaseRow, Store, StoreError};
use time::OffsetDateTime;
use tokio::time::{Instant, sleep, timeout};

use crate::config::PhysicalNetwork;
use crate::hosts::Hosts;
use crate::inventory::{Inventory, physical};
use crate::leader::{Asked, Leader, RENEWAL, replica_name};
use crate::reconciler::Reconciler;
use crate::records::Records;
use crate::zone::{Happened, Zone, format_time};

/// How often a manager asks for the lease that does not lead, or was not answered.
const ASKS: Duration = Duration::from_secs(1);

/// How long the database may take for it.
const ANSWER: Duration = Duration::from_secs(3);

/// How often everything is taken in that others record, whatever they tell.
const ALL: Duration = Duration::from_secs(60);

/// The setting by which a leader says who it is.
const LEADER: &str = "leader";

/// This manager among those of its zone. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Replica(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    name: String,
    address: Option<String>,
    store: Store,
    /// None where the manager may change no hosts: it never leads.
    leader: Option<Leader>,
    /// Whether other managers may have the database as well.
    is_shared: bool,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Who leads, as the database said last.
    leading: Option<Leadership>,
    /// What keeps the database from saying it.
    away: Option<String>,
    /// The newest event that was taken in, and when everything was.
    taken_in: Option<(Option<u64>, Instant)>,
}

/// Why this manager may not change anything now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotNow {
    /// Another one leads.
    Leads(Leadership),
    /// It is not known who leads, for this reason.
    Unknown(String),
}

/// What has to know of what others record.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The zone.
    pub zone: Zone,
    /// The tasks of the hosts.
    pub hosts: Hosts,
    /// Hosts and events.
    pub records: Records,
    /// Networks, keys and NICs.
    pub inventory: Inventory,
    /// What keeps meshes whole.
    pub reconciler: Option<Reconciler>,
    /// Those of the configuration.
    pub physical: Vec<PhysicalNetwork>,
}

impl Replica {
    /// Of this name, reached at this address.
    pub fn new(
        store: Store,
        leader: Option<Leader>,
        name: String,
        address: Option<String>,
        is_shared: bool,
    ) -> Replica {
        let seen = Mutex::default();
        let replica = Replica(Arc::new(Shared { name, address, store, leader, is_shared, seen }));
        if is_shared {
            replica.0.store.set_fence(Fence::Closed("it is not known yet who leads".to_owned()));
        } else if let Some(epoch) = replica.0.leader.as_ref().and_then(|leader| leader.epoch().ok()) {
            replica.lock_seen().leading = Some(replica.own_leadership(epoch.number()));
        }
        replica
    }

    /// Its leadership, where it may change hosts.
    pub fn leader(&self) -> Option<Leader> {
        self.0.leader.clone()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether this manager leads now, and may change hosts.
    pub fn leads(&self) -> bool {
        self.0.leader.as_ref().is_some_and(|leader| leader.epoch().is_ok())
    }

    /// Who leads, as the database said last.
    pub fn current_leadership(&self) -> Option<Leadership> {
        self.lock_seen().leading.clone()
    }

    /// That this manager may change what is recorded now.
    ///
    /// # Errors
    /// Another one leads, or that is not known.
    pub fn may_change(&self) -> Result<(), NotNow> {
        let is_good = !self.0.is_shared || self.leads() || (self.0.leader.is_none() && self.0.store.may_change());
        if is_good {
            return Ok(());
        }
        let seen = self.lock_seen();
        let other = seen.leading.clone().filter(|leading| leading.name != self.0.name);
        let why = || seen.away.clone().unwrap_or_else(|| "it is not known yet which manager leads".to_owned());
        Err(other.map_or_else(|| NotNow::Unknown(why()), NotNow::Leads))
    }

    fn own_leadership(&self, epoch: u64) -> Leadership {
        let since = format_time(OffsetDateTime::now_utc());
        Leadership { name: self.0.name.clone(), address: self.0.address.clone(), epoch, since: Some(since) }
    }

    fn lock_seen(&self) -> MutexGuard<'_, Seen> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps it. Ends with the task that it runs in.
    pub async fn run_election(self, parts: Parts) {
        match self.0.leader.clone() {
            None if !self.0.is_shared => {}
            Some(leader) if !self.0.is_shared => leader.keep_lease().await,
            leader => {
                let leader = leader.as_ref();
                keep_asking(|| self.ask_for_lease(leader, &parts), || early_renewal(leader)).await;
            }
        }
    }

    /// Asks for the lease, or who has it. True where this manager has it.
    async fn ask_for_lease(&self, leader: Option<&Leader>, parts: &Parts) -> bool {
        let done = match leader {
            Some(leader) => self.renew_lease(leader, parts).await,
            None => self.poll_leader(parts).await,
        };
        let has_lease = done.is_ok() && self.leads();
        self.record_database(done.err());
        has_lease
    }

    /// What keeps the database from being asked, if anything does.
    fn record_database(&self, error: Option<StoreError>) {
        let why = error.map(|error| error.to_string());
        let before = std::mem::replace(&mut self.lock_seen().away, why.clone());
        match (before, why) {
            (None, Some(error)) => {
                tracing::warn!(error, "the database does not say who leads; hosts are changed until the lease ends");
            }
            (Some(_), None) => tracing::info!("the database says who leads again"),
            _ => {}
        }
    }

    /// Asks for the lease, and does what follows.
    async fn renew_lease(&self, leader: &Leader, parts: &Parts) -> Result<(), StoreError> {
        match in_time(leader.request_lease(0)).await? {
            Asked::Renewed => Ok(()),
            Asked::Won { lease, sent } => self.begin_leading(leader, lease, sent, parts).await,
            Asked::Other(lease) => self.follow_leader(&lease, parts).await,
        }
    }

    /// Takes in what is recorded, and leads. The lease is renewed meanwhile.
    async fn begin_leading(
        &self,
        leader: &Leader,
        lease: LeaseRow,
        mut sent: Instant,
        parts: &Parts,
    ) -> Result<(), StoreError> {
        self.0.store.set_fence(Fence::Held(leader.name().to_owned()));
        let taking_in = self.take_in(parts, true);
        tokio::pin!(taking_in);
        loop {
            tokio::select! {
                done = &mut taking_in => break done?,
                () = sleep(RENEWAL) => match in_time(leader.request_lease(0)).await? {
                    Asked::Won { lease: again, sent: later } if again.epoch == lease.epoch => sent = later,
                    // It is begun anew.
                    _ => return Ok(()),
                },
            }
        }
        if let Some(reconciler) = &parts.reconciler {
            reconciler.begins_to_lead().await?;
        }
        let own = self.own_leadership(lease.epoch);
        // A struct of texts and a number: serde_json cannot fail on it.
        let told = serde_json::to_string(&own).unwrap_or_default();
        self.0.store.set_setting(LEADER, Some(&told)).await?;
        self.lock_seen().leading = Some(own);
        leader.record_lease(&lease, sent);
        parts.zone.rows_news().notify_one();
        let text = format!("manager {} leads this zone, with epoch {}", self.0.name, lease.epoch);
        tracing::info!(epoch = lease.epoch, "this manager leads the zone");
        parts.zone.send_event(Happened::new(OffsetDateTime::now_utc(), "leader", text));
        Ok(())
    }

    /// Another manager leads: takes in what it records.
    async fn follow_leader(&self, lease: &LeaseRow, parts: &Parts) -> Result<(), StoreError> {
        let name = replica_name(&lease.leader).to_owned();
        self.0.store.set_fence(Fence::Closed(name.clone()));
        let known = self
            .lock_seen()
            .leading
            .as_ref()
            .is_some_and(|leading| leading.epoch == lease.epoch && leading.since.is_some());
        if !known {
            let told = self.0.store.setting(LEADER).await?;
            let told = told.and_then(|told| serde_json::from_str::<Leadership>(&told).ok());
            // One that has just begun may not have said it yet.
            let told = told.filter(|told| told.epoch == lease.epoch);
            let leading = told.unwrap_or(Leadership { name, address: None, epoch: lease.epoch, since: None });
            tracing::info!(
                leader = leading.name,
                epoch = leading.epoch,
                "another manager leads the zone; this one follows"
            );
            self.lock_seen().leading = Some(leading);
        }
        self.take_in_news(parts).await
    }

    /// Of a manager that never leads: looks who does. While nobody does, it records what it is told.
    async fn poll_leader(&self, parts: &Parts) -> Result<(), StoreError> {
        if let Some(lease) = in_time(self.0.store.living_lease()).await? {
            return self.follow_leader(&lease, parts).await;
        }
        self.lock_seen().leading = None;
        let began = !self.0.store.may_change();
        self.0.store.set_fence(Fence::Unled);
        if !began {
            return self.take_in_news(parts).await;
        }
        let begun = self.begin_to_record(parts).await;
        if begun.is_err() {
            self.0.store.set_fence(Fence::Closed("what is recorded could not be read".to_owned()));
        }
        begun
    }

    async fn begin_to_record(&self, parts: &Parts) -> Result<(), StoreError> {
        self.take_in(parts, true).await?;
        Reconciler::is_off(&self.0.store).await
    }

    async fn take_in_news(&self, parts: &Parts) -> Result<(), StoreError> {
        let newest = parts.records.newest_event().await?;
        let is_known = self.lock_seen().taken_in.is_some_and(|(known, at)| known == newest && at.elapsed() < ALL);
        if is_known { Ok(()) } else { self.take_in(parts, false).await }
    }

    /// Takes in all that is recorded; where this manager writes from now on, completes what is half done.
    async fn take_in(&self, parts: &Parts, completes: bool) -> Result<(), StoreError> {
        let newest = parts.records.newest_event().await?;
        {
            let _turn = parts.records.wait_turn().await;
            parts.hosts.replace_registered(parts.records.hosts().await?);
            let mut silenced = parts.records.hosts_in_maintenance().await?;
            for number in parts.zone.registered_numbers() {
                let until = silenced.iter().position(|(of, _)| *of == number).map(|at| silenced.swap_remove(at).1);
                parts.zone.set_maintenance(number, until);
            }
        }
        if completes {
            physical::sync_physical(&self.0.store, &parts.physical).await?;
        }
        parts.inventory.reload_records(completes).await?;
        self.lock_seen().taken_in = Some((newest, Instant::now()));
        Ok(())
    }
}

/// Asks for the lease again and again, and before its time where it is to hurry. `ask` says whether this manager has it.
async fn keep_asking<A, H>(ask: impl Fn() -> A, hurry: impl Fn() -> H)
where
    A: Future<Output = bool>,
    H: Future<Output = ()>,
{
    loop {
        // A lease lives for two renewals: after one that did not come, the next is not waited for as long.
        let pause = if ask().await { RENEWAL } else { ASKS };
        tokio::select! {
            () = sleep(pause) => {}
            () = hurry() => {}
        }
    }
}

async fn early_renewal(leader: Option<&Leader>) {
    match leader {
        Some(leader) => leader.early_renewal().await,
        None => std::future::pending().await,
    }
}

async fn in_time<T>(asked: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    let late = || StoreError::Unavailable { reason: format!("it did not answer within {ANSWER:?}") };
    timeout(ANSWER, asked).await.unwrap_or_else(|_| Err(late()))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_database_that_did_not_answer_is_asked_again_after_a_second() {
        let answers = [true, false, false, true, true];
        let (asked, hurry) = (RefCell::new(Vec::new()), Notify::new());
        let began = Instant::now();
        let ask = async || {
            let mut asked = asked.borrow_mut();
            asked.push(began.elapsed().as_secs());
            if asked.len() == answers.len() {
                hurry.notify_one();
            }
            answers.get(asked.len() - 1).copied().unwrap_or(true)
        };
        let _ = timeout(Duration::from_secs(12), keep_asking(&ask, || hurry.notified())).await;
        // The fifth was followed at once by one that was in a hurry.
        assert_eq!(*asked.borrow(), [0, 3, 4, 5, 8, 8, 11]);
    }
}
