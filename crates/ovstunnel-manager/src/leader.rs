//! The right to change hosts: a lease in the database, whose epoch stands in every writing request.
//!
//! What it does: takes the lease, renews it, and says under which epoch may be written now. What it must not do: let anything be written when
//! it is not sure of the lease. That is by the monotonic clock, from when the last good renewal was sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_store::{LeaseRow, Store, StoreError};
use ovstunnel_types::Epoch;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

/// For how long the lease is taken, milliseconds.
const LEASE: u32 = 10_000;

/// How often it is renewed.
pub(crate) const RENEWAL: Duration = Duration::from_secs(3);

/// For how long after a renewal was sent is written under it.
const GOOD_FOR: Duration = Duration::from_secs(7);

/// The leadership of this process. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Leader(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    store: Store,
    /// This process.
    name: String,
    zone: uuid::Uuid,
    /// Whether other managers may have the database as well.
    is_shared: bool,
    led: Mutex<Led>,
    /// The number of the epoch; 0 before the first one.
    epoch: watch::Sender<u64>,
    /// The lease is to be asked for at once.
    hurry: Notify,
}

#[derive(Debug)]
struct Led {
    standing: Standing,
    good_until: Instant,
    /// A host knows this newer epoch, which is no word of the database's.
    refused: Option<(u64, String)>,
    /// Whether a host knew a newer epoch than the database, and nobody has asked for that yet.
    is_older: bool,
}

#[derive(Debug)]
enum Standing {
    Leads,
    /// It does not, for this reason.
    Follows(String),
    Ended,
}

/// What came of asking for the lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// This process has it as before.
    Renewed,
    /// This process has got it. It leads once what is recorded was read: [`Leader::record_lease`].
    Won {
        /// The lease.
        lease: LeaseRow,
        /// When it was asked for.
        sent: Instant,
    },
    /// Another manager has it.
    Other(LeaseRow),
}

impl Leader {
    /// Takes the lease of this database, as the replica of this name. Nobody else may have the database open: what its last user had of the
    /// lease ends.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn take_lease(store: Store, replica: &str) -> Result<Leader, StoreError> {
        if let Some(last) = store.lease().await? {
            store.release_lease(&last.leader).await?;
        }
        let leader = Leader::new(store, replica, false).await?;
        leader.request_lease(0).await?;
        Ok(leader)
    }

    /// Does not lead, in a database that other managers may have as well, until it has asked for the lease.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn follow_lease(store: Store, replica: &str) -> Result<Leader, StoreError> {
        let leader = Leader::new(store, replica, true).await?;
        leader.lock_led().standing = Standing::Follows("the lease was not asked for yet".to_owned());
        Ok(leader)
    }

    async fn new(store: Store, replica: &str, is_shared: bool) -> Result<Leader, StoreError> {
        let zone = store.zone().await?.uuid;
        // One that is started anew is another leader.
        let name = format!("{replica}.{}", &uuid::Uuid::new_v4().simple().to_string()[..16]);
        let led = Led { standing: Standing::Leads, good_until: Instant::now(), refused: None, is_older: false };
        let (led, epoch, hurry) = (Mutex::new(led), watch::Sender::new(0), Notify::new());
        Ok(Leader(Arc::new(Shared { store, name, zone, is_shared, led, epoch, hurry })))
    }

    /// By which this process has the lease.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Under which epoch may be written now.
    ///
    /// # Errors
    /// Under none, for this reason.
    pub fn epoch(&self) -> Result<Epoch, String> {
        let led = self.lock_led();
        match &led.standing {
            Standing::Follows(why) => return Err(why.clone()),
            Standing::Ended => return Err("the manager is ending".to_owned()),
            Standing::Leads => {}
        }
        if let Some((_, why)) = &led.refused {
            return Err(why.clone());
        }
        if led.good_until <= Instant::now() {
            return Err("the lease in the database could not be renewed".to_owned());
        }
        let number = *self.0.epoch.borrow();
        Epoch::new(self.0.zone, number).map_err(|invalid| invalid.to_string())
    }

    /// Whether another manager may lead, so that it is no fault that this one does not.
    pub fn is_following(&self) -> bool {
        self.0.is_shared && matches!(self.lock_led().standing, Standing::Follows(_))
    }

    /// The epoch's number, as it changes.
    pub fn watch_epoch(&self) -> watch::Receiver<u64> {
        self.0.epoch.subscribe()
    }

    /// Waits until the lease is to be asked for before its time.
    pub async fn early_renewal(&self) {
        self.0.hurry.notified().await;
    }

    /// Renews the lease of a database that nobody else has, again and again. Ends with the task that it runs in.
    pub async fn keep_lease(self) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            if let Err(error) = self.request_lease(0).await {
                tracing::warn!(%error, "the lease is not renewed; hosts are changed for {GOOD_FOR:?} after the last renewal");
            }
        }
    }

    /// Asks for the lease, or renews it, with an epoch above `at_least` where it is a new one.
    ///
    /// # Errors
    /// The database cannot be used; it is not known who has the lease.
    pub async fn request_lease(&self, at_least: u64) -> Result<Asked, StoreError> {
        let sent = Instant::now();
        let lease = self.0.store.take_lease(&self.0.name, LEASE, at_least).await?;
        let mut led = self.lock_led();
        if lease.leader != self.0.name {
            let why = format!("manager {} leads, with epoch {}", replica_name(&lease.leader), lease.epoch);
            if matches!(led.standing, Standing::Leads) {
                tracing::warn!(why, "another manager leads this zone; this one changes no host any more");
            }
            if !matches!(led.standing, Standing::Ended) {
                led.standing = Standing::Follows(why);
            }
            return Ok(Asked::Other(lease));
        }
        if matches!(led.standing, Standing::Leads) && *self.0.epoch.borrow() == lease.epoch {
            led.good_until = sent + GOOD_FOR;
            return Ok(Asked::Renewed);
        }
        match (&led.standing, self.0.is_shared) {
            (Standing::Leads, false) => self.begin_term(&mut led, &lease, sent),
            // Another one may have led in between, and recorded other things than are known here.
            (Standing::Leads, true) => {
                led.standing = Standing::Follows("what is recorded is being read".to_owned());
            }
            _ => {}
        }
        Ok(Asked::Won { lease, sent })
    }

    /// This process leads by this lease, which was asked for then. What is recorded has been read since.
    pub fn record_lease(&self, lease: &LeaseRow, sent: Instant) {
        let mut led = self.lock_led();
        if !matches!(led.standing, Standing::Ended) {
            self.begin_term(&mut led, lease, sent);
        }
    }

    fn begin_term(&self, led: &mut Led, lease: &LeaseRow, sent: Instant) {
        led.standing = Standing::Leads;
        led.good_until = sent + GOOD_FOR;
        led.refused.take_if(|(newer, _)| *newer < lease.epoch);
        self.0.epoch.send_if_modified(|epoch| std::mem::replace(epoch, lease.epoch) != lease.epoch);
    }

    /// A host has a newer epoch than this database has given out: one of before it was restored, for example. Leads above it from now on.
    ///
    /// # Errors
    /// The database cannot be used; nothing is written before it can.
    pub async fn raise_epoch(&self, above: u64) -> Result<(), StoreError> {
        if above < *self.0.epoch.borrow() {
            return Ok(());
        }
        self.lock_led().good_until = Instant::now();
        self.0.store.release_lease(&self.0.name).await?;
        let asked = self.request_lease(above).await;
        // Whoever keeps the lease reads what is recorded, and goes on.
        self.0.hurry.notify_one();
        let lease = match asked? {
            Asked::Other(_) => return Ok(()),
            Asked::Renewed => None,
            Asked::Won { lease, .. } => Some(lease),
        };
        self.lock_led().is_older = true;
        let epoch = lease.map_or(above, |lease| lease.epoch);
        tracing::warn!(above, epoch, "a host knows a newer epoch than the database; leading above it");
        Ok(())
    }

    /// Whether a host was found to know a newer epoch than the database since this was last asked: it was restored from an older one, or
    /// another one was used in between. What it says of who left may be wrong.
    pub fn take_older(&self) -> bool {
        std::mem::take(&mut self.lock_led().is_older)
    }

    /// A host has recorded this newer epoch than this process leads under: nothing is written any more before it leads under one that is newer
    /// still. Where nobody else has the database that is after a restart.
    pub fn record_replacement(&self, newer: u64, why: String) {
        let mut led = self.lock_led();
        if led.refused.is_none() {
            tracing::error!(why, "a host knows a newer leader of this zone; this manager changes no host any more");
            led.refused = Some((newer, why));
            self.0.hurry.notify_one();
        }
    }

    /// Gives the lease back, so that the next leader need not wait.
    pub async fn resign_lease(&self) {
        self.lock_led().standing = Standing::Ended;
        if let Err(error) = self.0.store.release_lease(&self.0.name).await {
            tracing::warn!(%error, "the lease is not given back; it ends by itself within {LEASE} ms");
        }
    }

    fn lock_led(&self) -> MutexGuard<'_, Led> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.0.led.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The replica that a leader's name begins with.
pub(crate) fn replica_name(leader: &str) -> &str {
    leader.rsplit_once('.').map_or(leader, |(replica, _)| replica)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    async fn alone() -> Leader {
        Leader::take_lease(Store::in_memory("dc1"), "m1").await.unwrap()
    }

    #[tokio::test]
    async fn each_start_leads_under_a_newer_epoch() {
        let store = Store::in_memory("dc1");
        let first = Leader::take_lease(store.clone(), "m1").await.unwrap();
        let second = Leader::take_lease(store, "m1").await.unwrap();
        assert!(second.epoch().unwrap().number() > first.epoch().unwrap().number());
        assert!(matches!(first.request_lease(0).await.unwrap(), Asked::Other(_)));
        assert!(first.epoch().unwrap_err().contains("manager m1 leads, with epoch"), "{:?}", first.epoch());
        // Who is alone with its database does not come back by itself: it does not know what the other one has recorded.
        second.resign_lease().await;
        first.request_lease(0).await.unwrap();
        assert!(first.epoch().is_err());
    }

    /// It leads only once what was recorded is read; who was followed may have led in between.
    #[tokio::test]
    async fn who_follows_leads_after_the_other_and_again_after_that() {
        let store = Store::in_memory("dc1");
        let first = Leader::follow_lease(store.clone(), "m1").await.unwrap();
        let second = Leader::follow_lease(store.clone(), "m2").await.unwrap();
        let won = async |leader: &Leader| match leader.request_lease(0).await.unwrap() {
            Asked::Won { lease, sent } => {
                assert!(leader.epoch().is_err() && leader.is_following(), "before what is recorded was read");
                leader.record_lease(&lease, sent);
                lease.epoch
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(won(&first).await, 1);
        assert_eq!(first.request_lease(0).await.unwrap(), Asked::Renewed);
        assert!(
            matches!(second.request_lease(0).await.unwrap(), Asked::Other(lease) if replica_name(&lease.leader) == "m1")
        );
        assert_eq!(second.epoch().unwrap_err(), "manager m1 leads, with epoch 1");
        store.release_lease(first.name()).await.unwrap();
        assert_eq!(won(&second).await, 2);
        // A host tells the first one, and then the database does.
        first.record_replacement(2, "epoch 2 is recorded on host h1".to_owned());
        assert_eq!(first.epoch().unwrap_err(), "epoch 2 is recorded on host h1");
        assert!(matches!(first.request_lease(0).await.unwrap(), Asked::Other(_)));
        second.resign_lease().await;
        assert_eq!(won(&first).await, 3);
        assert_eq!(first.epoch().unwrap().number(), 3);
        first.raise_epoch(9).await.unwrap();
        assert!(first.is_following());
        assert_eq!(won(&first).await, 10);
    }

    #[tokio::test]
    async fn a_newer_epoch_on_a_host_is_led_above() {
        let leader = alone().await;
        let mut changes = leader.watch_epoch();
        leader.raise_epoch(41).await.unwrap();
        assert_eq!(leader.epoch().unwrap().number(), 42);
        assert!(changes.has_changed().unwrap() && leader.take_older());
        changes.mark_unchanged();
        leader.raise_epoch(7).await.unwrap();
        assert_eq!((leader.epoch().unwrap().number(), changes.has_changed().unwrap()), (42, false));
    }

    #[tokio::test]
    async fn one_that_was_replaced_or_has_ended_writes_nothing() {
        let leader = alone().await;
        leader.record_replacement(7, "because".to_owned());
        leader.request_lease(0).await.unwrap();
        assert_eq!(leader.epoch(), Err("because".to_owned()));
        leader.resign_lease().await;
        leader.request_lease(0).await.unwrap();
        assert_eq!(leader.epoch(), Err("the manager is ending".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_not_renewed_ends_before_it_runs_out() {
        let leader = alone().await;
        tokio::time::advance(GOOD_FOR - Duration::from_millis(1)).await;
        assert!(leader.epoch().is_ok());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(leader.epoch().unwrap_err().contains("could not be renewed"));
        assert!(GOOD_FOR < Duration::from_millis(u64::from(LEASE)));
    }
}
