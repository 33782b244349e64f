//! Those who watch, and what they have still to read.
//!
//! What it does: takes changes in, lets each reader have those after its position or everything, and knows whether anybody watches. What it must
//! not do: find out what has changed, or wait for a reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_api::{Position, WatchEvent};
use ovstunnel_server::listen::Cut;
use ovstunnel_server::watch::{Feed, Gauge, MOST, Reader, Snapshot, TooMany};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::controllers::Controllers;
use crate::metrics::Metrics;

/// How long it is remembered that the plugin had a bridge taken away: the change is seen long before.
const REMEMBERED: Duration = Duration::from_secs(60);

impl Gauge for Metrics {
    fn set_watchers(&self, count: usize) {
        Metrics::set_watchers(self, count);
    }

    fn watcher_cut(&self) {
        Metrics::watcher_cut(self);
    }
}

/// One who waits for a snapshot.
pub(crate) type Waiting = oneshot::Sender<Result<Snapshot, String>>;

#[derive(Debug)]
struct Shared {
    /// Held before what the feed has is asked for, never after.
    state: Mutex<State>,
    feed: Feed,
    /// A snapshot is asked for, or the first reader is there.
    asked: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Whether the feed is that of a publisher at work.
    at_work: bool,
    snapshots: Vec<Waiting>,
    destroyed: HashMap<String, Instant>,
}

impl Shared {
    fn lock_state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a reader has joined.
#[derive(Debug)]
pub enum Joined {
    /// It gets the changes after its position.
    Resumed(Reader),
    /// It gets everything first, which has been asked for; an error says why there is nothing to be had.
    Anew(oneshot::Receiver<Result<Snapshot, String>>),
}

/// All who watch. Clones share it.
#[derive(Clone, Debug)]
pub struct Hub {
    shared: Arc<Shared>,
    controllers: Controllers,
    /// Ends the publisher once nobody can ask any more; the publisher itself has none.
    _alive: Option<Arc<DropGuard>>,
    ended: CancellationToken,
}

impl Hub {
    /// Nobody watches.
    pub fn new(metrics: Metrics) -> Self {
        let ended = CancellationToken::new();
        let shared = Shared { state: Mutex::default(), feed: Feed::new(metrics), asked: Notify::new() };
        let _alive = Some(Arc::new(ended.clone().drop_guard()));
        Hub { shared: Arc::new(shared), controllers: Controllers::default(), _alive, ended }
    }

    /// Those who act, or did a moment ago.
    pub fn controllers(&self) -> &Controllers {
        &self.controllers
    }

    /// The same for the publisher, whom it does not keep from ending.
    pub(crate) fn for_publisher(&self) -> Self {
        Hub { _alive: None, ..self.clone() }
    }

    /// Ends when nobody can ask any more.
    pub(crate) async fn wait_ended(&self) {
        self.ended.cancelled().await;
    }

    /// Lets a reader in that has read up to `last`, or nothing that can be gone on from.
    ///
    /// # Errors
    /// Where too many watch.
    pub fn admit_reader(&self, last: Option<&Position>, connection: Option<Cut>) -> Result<Joined, TooMany> {
        let mut state = self.shared.lock_state();
        if self.shared.feed.readers() + state.snapshots.len() >= MOST {
            return Err(TooMany);
        }
        let resumed = last.filter(|_| state.at_work).and_then(|last| self.shared.feed.resume_reader(last, connection));
        if let Some(reader) = resumed {
            return Ok(Joined::Resumed(reader));
        }
        let (sender, receiver) = oneshot::channel();
        state.snapshots.retain(|waiting| !waiting.is_closed());
        state.snapshots.push(sender);
        drop(state);
        self.shared.asked.notify_one();
        Ok(Joined::Anew(receiver))
    }

    /// Lets a reader in that has the snapshot.
    pub fn join_after(&self, snapshot: &Snapshot, connection: Option<Cut>) -> Reader {
        self.shared.feed.join_after(snapshot, connection)
    }

    /// Ends all streams: who may still read goes on where it was.
    pub fn end_all(&self) {
        self.shared.feed.end_all();
    }

    /// The plugin is about to have a bridge taken away.
    pub fn plugin_destroys(&self, bridge: &str) {
        let mut state = self.shared.lock_state();
        if state.at_work {
            state.destroyed.retain(|_, at| at.elapsed() < REMEMBERED);
            state.destroyed.insert(bridge.to_owned(), Instant::now());
        }
    }

    /// It was not, or there is one of that name again.
    pub fn plugin_destroys_not(&self, bridge: &str) {
        self.shared.lock_state().destroyed.remove(bridge);
    }

    /// Whether the plugin had a bridge taken away.
    pub(crate) fn take_destroyed(&self, bridge: &str) -> bool {
        self.shared.lock_state().destroyed.remove(bridge).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// Ends when somebody waits for a snapshot.
    pub(crate) async fn wait_asked(&self) {
        self.shared.asked.notified().await;
    }

    /// The publisher begins to work.
    pub(crate) fn begin_publishing(&self) {
        self.shared.lock_state().at_work = true;
    }

    /// The publisher stops, unless somebody watches, has watched a moment ago or waits; all changes are forgotten.
    pub(crate) fn stop_if_unwatched(&self) -> bool {
        let mut state = self.shared.lock_state();
        if self.shared.feed.is_watched() || !state.snapshots.is_empty() {
            return false;
        }
        self.shared.feed.clear();
        state.at_work = false;
        state.destroyed.clear();
        true
    }

    /// Those who wait for a snapshot.
    pub(crate) fn take_waiting(&self) -> Vec<Waiting> {
        let mut waiting = std::mem::take(&mut self.shared.lock_state().snapshots);
        waiting.retain(|waiting| !waiting.is_closed());
        waiting
    }

    /// Gives those who wait what `make` makes.
    pub(crate) fn answer_waiting(&self, waiting: Vec<Waiting>, make: impl FnOnce() -> Result<WatchEvent, String>) {
        self.shared.feed.expect_reader();
        let snapshot = make().map(|event| self.shared.feed.snapshot(event.name(), &event.data().unwrap_or_default()));
        waiting.into_iter().for_each(|waiting| drop(waiting.send(snapshot.clone())));
    }

    /// Takes changes in, and cuts readers that were too far behind before. Where there is much to read, they are given a moment.
    pub(crate) async fn publish_events(&self, events: Vec<WatchEvent>) {
        let named = events.into_iter().map(|event: WatchEvent| (event.name(), event.data().unwrap_or_default()));
        self.shared.feed.publish_events(named).await;
    }
}
