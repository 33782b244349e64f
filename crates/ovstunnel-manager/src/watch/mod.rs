//! What those are told who watch the zone: each network and each host that has changed, and the zone's numbers.
//!
//! What it does: lets readers in, and looks twice a second what has changed while somebody reads or has a minute ago. What it must not do: cost
//! anything while nobody watches, or hold up the zone.

mod picture;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use ovstunnel_api::Position;
use ovstunnel_manager_api::{Overview, ZoneEvent};
use ovstunnel_server::listen::Cut;
use ovstunnel_server::watch::{Feed, Gauge, MOST, Reader, TooMany};
use tokio::sync::{Mutex, Notify};

use crate::zone::Zone;
use picture::Picture;

/// Time between two looks.
const EVERY: Duration = Duration::from_millis(500);

/// Readers of this manager, counted.
#[derive(Clone, Debug, Default)]
pub struct Counts(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    now: AtomicUsize,
    cut: AtomicU64,
}

impl Counts {
    /// How many read now.
    pub fn current_readers(&self) -> usize {
        self.0.now.load(Ordering::Relaxed)
    }

    /// How many were ended since the start because they were too far behind.
    pub fn cut_readers(&self) -> u64 {
        self.0.cut.load(Ordering::Relaxed)
    }
}

impl Gauge for Counts {
    fn set_watchers(&self, count: usize) {
        self.0.now.store(count, Ordering::Relaxed);
    }

    fn watcher_cut(&self) {
        self.0.cut.fetch_add(1, Ordering::Relaxed);
    }
}

/// All who watch the zone. Clones share it.
#[derive(Clone, Debug)]
pub struct Watched(Arc<Shared>);

struct Shared {
    zone: Zone,
    overview: Box<dyn Fn() -> Overview + Send + Sync>,
    /// What was told; none while nobody watches.
    told: Mutex<Option<Picture>>,
    feed: Feed,
    counts: Counts,
    /// The first reader is there.
    asked: Notify,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watched").field("feed", &self.feed).finish_non_exhaustive()
    }
}

impl Watched {
    /// Nobody watches this zone yet. `overview` says it in numbers.
    pub fn new(zone: Zone, overview: impl Fn() -> Overview + Send + Sync + 'static) -> Watched {
        let counts = Counts::default();
        let (told, feed, asked) = (Mutex::new(None), Feed::new(counts.clone()), Notify::new());
        Watched(Arc::new(Shared { zone, overview: Box::new(overview), told, feed, counts, asked }))
    }

    /// How many read.
    pub fn counts(&self) -> &Counts {
        &self.0.counts
    }

    /// Lets a reader in that has read up to `last`; one that cannot go on from there begins with what is given beside it.
    ///
    /// # Errors
    /// Where too many watch.
    pub async fn admit_reader(
        &self,
        last: Option<&Position>,
        connection: Option<Cut>,
    ) -> Result<(Reader, Option<Bytes>), TooMany> {
        let shared = &self.0;
        let mut told = shared.told.lock().await;
        if shared.feed.readers() >= MOST {
            return Err(TooMany);
        }
        let resumed =
            last.filter(|_| told.is_some()).and_then(|last| shared.feed.resume_reader(last, connection.clone()));
        if let Some(reader) = resumed {
            return Ok((reader, None));
        }
        // It will ask for the rest by itself, and must be told of whatever changes from now on.
        shared.feed.expect_reader();
        let others_read = told.is_some();
        let (overview, changes) = shared.collect_changes(told.get_or_insert_default());
        if others_read {
            shared.publish_changes(changes).await;
        }
        let snapshot = ZoneEvent::Snapshot(Box::new(overview));
        let snapshot = shared.feed.snapshot(snapshot.name(), &snapshot.data().unwrap_or_default());
        let reader = shared.feed.join_after(&snapshot, connection);
        shared.asked.notify_one();
        Ok((reader, Some(snapshot.text)))
    }

    /// Tells those who watch what changes, whenever there are any. Ends with the task that it runs in.
    pub async fn run_publisher(self) {
        let shared = &self.0;
        loop {
            shared.asked.notified().await;
            loop {
                tokio::time::sleep(EVERY).await;
                let mut told = shared.told.lock().await;
                if !shared.feed.is_watched() {
                    *told = None;
                    shared.feed.clear();
                    break;
                }
                let (_, changes) = shared.collect_changes(told.get_or_insert_default());
                shared.publish_changes(changes).await;
            }
        }
    }

    /// Ends all streams: who may still read goes on where it was.
    pub fn end_all(&self) {
        self.0.feed.end_all();
    }
}

impl Shared {
    fn collect_changes(&self, told: &mut Picture) -> (Overview, Vec<ZoneEvent>) {
        let mut changes = told.take_changes(&self.zone);
        let overview = (self.overview)();
        changes.extend(told.overview_change(overview.clone()));
        (overview, changes)
    }

    async fn publish_changes(&self, changes: Vec<ZoneEvent>) {
        let named = changes.into_iter().map(|event: ZoneEvent| (event.name(), event.data().unwrap_or_default()));
        self.feed.publish_events(named).await;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
    use futures_util::StreamExt;
    use ovstunnel_manager_api::{HostCount, Mode, NetworkCount, TunnelCount};

    use super::*;
    use crate::zone::Row;

    fn overview() -> Overview {
        let (networks, hosts, tunnels) = (NetworkCount::default(), HostCount::default(), TunnelCount::default());
        let (zone, uuid, version) = ("dc1".to_owned(), String::new(), String::new());
        Overview {
            zone,
            uuid,
            version,
            replica: "m1".to_owned(),
            leads: false,
            leader: None,
            controller: false,
            networks,
            hosts,
            tunnels,
            faults: 0,
            age: None,
            troubles: Vec::new(),
        }
    }

    /// Hosts of which each is told in more than so many bytes, so that all together are more than a reader may be behind.
    const LONG: usize = 20_000;
    const HOSTS: u64 = 120;

    #[tokio::test(start_paused = true)]
    async fn one_who_does_not_read_is_cut_and_the_others_lack_nothing() {
        let (zone, _) = Zone::new("dc1");
        for n in 1..=HOSTS {
            let number = n.try_into().unwrap();
            let (name, api) = (format!("h{n}"), format!("https://h{n}:8443"));
            zone.register_host(Row { number, name, api, rack: None, label: None, mode: Mode::Observe });
        }
        let watched = Watched::new(zone.clone(), overview);
        let telling = tokio::spawn(watched.clone().run_publisher());
        let cut = Cut::default();
        let (slow, first) = watched.admit_reader(None, Some(cut.clone())).await.unwrap();
        let mut slow = Box::pin(slow.into_stream(first));
        assert!(slow.next().await.unwrap().starts_with(b"event: snapshot\n"));
        let (quick, first) = watched.admit_reader(None, None).await.unwrap();
        let mut quick = Box::pin(quick.into_stream(first));
        for n in 1..=HOSTS {
            zone.host_silent(n.try_into().unwrap(), "x".repeat(LONG));
        }
        let mut told = 0;
        while told < HOSTS {
            let event = quick.next().await.expect("the quick one lacks something");
            told += u64::from(event.starts_with(b"event: host\n"));
        }
        assert_eq!((watched.counts().cut_readers(), watched.counts().current_readers()), (1, 1));
        assert_eq!(slow.next().await, None, "it is told no more");
        telling.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_kept_once_nobody_has_watched_for_a_while() {
        let (zone, _) = Zone::new("dc1");
        let watched = Watched::new(zone, overview);
        let telling = tokio::spawn(watched.clone().run_publisher());
        let (reader, _) = watched.admit_reader(None, None).await.unwrap();
        drop(reader);
        tokio::time::sleep(Duration::from_secs(30)).await;
        assert!(watched.0.told.lock().await.is_some(), "it may come back");
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(watched.0.told.lock().await.is_none());
        let readers: Vec<_> = (0..MOST).map(|_| watched.admit_reader(None, None)).collect();
        let readers = futures_util::future::join_all(readers).await;
        assert!(readers.iter().all(Result::is_ok));
        let error = watched.admit_reader(None, None).await.expect_err("one too many");
        assert!(error.to_string().starts_with("64 readers watch already"), "{error}");
        telling.abort();
    }
}
