//! The right to change hosts: a lease in the database, whose epoch stands in every writing request.
//!
//! What it does: takes the lease, renews it, and says under which epoch may be written now. What it must not do: let anything be written when
//! it is not sure of the lease. That is by the monotonic clock, from when the last good renewal was sent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_store::{LeaseRow, Store, StoreError};
use ovstunnel_types::Epoch;
use time::OffsetDateTime;
use tokio::sync::watch;
use tokio::time::Instant;

/// For how long the lease is taken, milliseconds.
const LEASE: u32 = 10_000;

/// How often it is renewed.
const RENEWAL: Duration = Duration::from_secs(3);

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
    led: Mutex<Led>,
    /// The number of the epoch.
    epoch: watch::Sender<u64>,
}

#[derive(Debug)]
struct Led {
    good_until: Instant,
    /// Why this process does not lead any more.
    replaced: Option<String>,
    /// Whether a host knew a newer epoch than the database, and nobody has asked for that yet.
    is_older: bool,
}

impl Leader {
    /// Takes the lease of this database. Nobody else may have it open: what its last user had of the lease ends.
    ///
    /// # Errors
    /// The database cannot be used.
    pub async fn take(store: Store) -> Result<Leader, StoreError> {
        let zone = store.zone().await?.uuid;
        let name = format!("{}-{}", std::process::id(), OffsetDateTime::now_utc().unix_timestamp_nanos());
        if let Some(last) = store.lease().await? {
            store.release_lease(&last.leader).await?;
        }
        let sent = Instant::now();
        let lease = store.take_lease(&name, LEASE, 0).await?;
        let led = Mutex::new(Led { good_until: sent + GOOD_FOR, replaced: None, is_older: false });
        let epoch = watch::Sender::new(lease.epoch);
        Ok(Leader(Arc::new(Shared { store, name, zone, led, epoch })))
    }

    /// Under which epoch may be written now.
    ///
    /// # Errors
    /// Under none, for this reason.
    pub fn epoch(&self) -> Result<Epoch, String> {
        let led = self.led();
        if let Some(why) = &led.replaced {
            return Err(why.clone());
        }
        if led.good_until <= Instant::now() {
            return Err("the lease in the database could not be renewed".to_owned());
        }
        let number = *self.0.epoch.borrow();
        Epoch::new(self.0.zone, number).map_err(|invalid| invalid.to_string())
    }

    /// The epoch's number, as it changes.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.0.epoch.subscribe()
    }

    /// Renews the lease, again and again. Ends with the task that it runs in.
    pub async fn keep(self) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            if let Err(error) = self.renew(0).await {
                tracing::warn!(%error, "the lease is not renewed; hosts are changed for {GOOD_FOR:?} after the last renewal");
            }
        }
    }

    async fn renew(&self, at_least: u64) -> Result<(), StoreError> {
        let sent = Instant::now();
        let lease = self.0.store.take_lease(&self.0.name, LEASE, at_least).await?;
        self.take_in(&lease, sent);
        Ok(())
    }

    fn take_in(&self, lease: &LeaseRow, sent: Instant) {
        if lease.leader != self.0.name {
            return self.replaced(format!("manager {} leads, with epoch {}", lease.leader, lease.epoch));
        }
        self.led().good_until = sent + GOOD_FOR;
        self.0.epoch.send_if_modified(|epoch| std::mem::replace(epoch, lease.epoch) != lease.epoch);
    }

    /// A host has a newer epoch than this database has given out: one of before it was restored, for example. Leads above it from now on.
    ///
    /// # Errors
    /// The database cannot be used; nothing is written before it can.
    pub async fn raise(&self, above: u64) -> Result<(), StoreError> {
        if above < *self.0.epoch.borrow() {
            return Ok(());
        }
        {
            let mut led = self.led();
            (led.good_until, led.is_older) = (Instant::now(), true);
        }
        self.0.store.release_lease(&self.0.name).await?;
        self.renew(above).await?;
        tracing::warn!(
            above,
            epoch = *self.0.epoch.borrow(),
            "a host knows a newer epoch than the database; leading above it"
        );
        Ok(())
    }

    /// Whether a host was found to know a newer epoch than the database since this was last asked: it was restored from an older one, or
    /// another one was used in between. What it says of who left may be wrong.
    pub fn take_older(&self) -> bool {
        std::mem::take(&mut self.led().is_older)
    }

    /// Another manager writes under a newer epoch than this one's: nothing is written any more until a restart.
    pub fn replaced(&self, why: String) {
        let mut led = self.led();
        if led.replaced.is_none() {
            tracing::error!(
                why,
                "another manager leads this zone; this one changes no host any more until it is started anew"
            );
            led.replaced = Some(why);
        }
    }

    /// Gives the lease back, so that the next leader need not wait.
    pub async fn resign(&self) {
        self.replaced("the manager is ending".to_owned());
        if let Err(error) = self.0.store.release_lease(&self.0.name).await {
            tracing::warn!(%error, "the lease is not given back; it ends by itself within {LEASE} ms");
        }
    }

    fn led(&self) -> MutexGuard<'_, Led> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.0.led.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[tokio::test]
    async fn each_start_leads_under_a_newer_epoch() {
        let store = Store::memory("dc1");
        let first = Leader::take(store.clone()).await.unwrap();
        let second = Leader::take(store).await.unwrap();
        assert!(second.epoch().unwrap().number() > first.epoch().unwrap().number());
        first.renew(0).await.unwrap();
        assert!(first.epoch().unwrap_err().contains("leads, with epoch"), "{:?}", first.epoch());
    }

    #[tokio::test]
    async fn a_newer_epoch_on_a_host_is_led_above() {
        let leader = Leader::take(Store::memory("dc1")).await.unwrap();
        let mut changes = leader.watch();
        leader.raise(41).await.unwrap();
        assert_eq!(leader.epoch().unwrap().number(), 42);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        leader.raise(7).await.unwrap();
        assert_eq!((leader.epoch().unwrap().number(), changes.has_changed().unwrap()), (42, false));
    }

    #[tokio::test]
    async fn one_that_was_replaced_or_has_ended_writes_nothing() {
        let leader = Leader::take(Store::memory("dc1")).await.unwrap();
        leader.replaced("because".to_owned());
        leader.renew(0).await.unwrap();
        assert_eq!(leader.epoch(), Err("because".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_is_not_renewed_ends_before_it_runs_out() {
        let leader = Leader::take(Store::memory("dc1")).await.unwrap();
        tokio::time::advance(GOOD_FOR - Duration::from_millis(1)).await;
        assert!(leader.epoch().is_ok());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(leader.epoch().unwrap_err().contains("could not be renewed"));
        assert!(GOOD_FOR < Duration::from_millis(u64::from(LEASE)));
    }
}
