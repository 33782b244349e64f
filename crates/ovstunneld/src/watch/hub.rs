//! Those who watch, and what they have still to read.
//!
//! What it does: takes changes in, lets each reader have those after its position, cuts one that is too far behind, and knows
//! whether anybody watches. What it must not do: find out what has changed, or wait for a reader.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ovstunnel_api::{Position, WatchEvent};
use ovstunnel_server::listen::Cut;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::log::{self, BEHIND, Log};
use super::reader::Reader;
use crate::metrics::Metrics;

/// Readers at the same time.
const MOST: usize = 64;

/// How long changes are kept after the last reader has gone, so that it can come back.
const LINGER: Duration = Duration::from_secs(60);

/// How long it is remembered that the plugin had a bridge taken away: the change is seen long before.
const REMEMBERED: Duration = Duration::from_secs(60);

/// As many readers as there may be watch already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{MOST} readers watch already, which is as many as there may be; end one, or try again later")]
pub struct TooMany;

/// What a reader who gets everything begins with: the text, and the version that it is of.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The event as it is sent.
    pub text: Bytes,
    pub(super) version: u64,
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
    pub(super) shared: Arc<Shared>,
    /// Ends the publisher once nobody can ask any more; the publisher itself has none.
    _alive: Option<Arc<DropGuard>>,
    ended: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    version: watch::Sender<u64>,
    /// A snapshot is asked for, or the first reader is there.
    asked: Notify,
    /// A reader has read.
    moved: Notify,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    log: Log,
    /// Whether `log` is that of a publisher at work.
    at_work: bool,
    readers: HashMap<u64, Member>,
    joined: u64,
    last_left: Option<Instant>,
    snapshots: Vec<Waiting>,
    destroyed: HashMap<String, Instant>,
}

/// One who waits for a snapshot.
pub(super) type Waiting = oneshot::Sender<Result<Snapshot, String>>;

#[derive(Debug)]
struct Member {
    /// Bytes of all changes up to the last that it has read.
    read: Arc<AtomicU64>,
    /// Its stream ends.
    end: CancellationToken,
    connection: Option<Cut>,
}

impl Hub {
    /// Nobody watches.
    pub fn new(metrics: Metrics) -> Self {
        let ended = CancellationToken::new();
        let state = State {
            log: Log::new(Uuid::new_v4().simple().to_string()),
            at_work: false,
            readers: HashMap::new(),
            joined: 0,
            last_left: None,
            snapshots: Vec::new(),
            destroyed: HashMap::new(),
        };
        let (state, version) = (Mutex::new(state), watch::Sender::new(0));
        let shared = Shared { state, version, asked: Notify::new(), moved: Notify::new(), metrics };
        let _alive = Some(Arc::new(ended.clone().drop_guard()));
        Hub { shared: Arc::new(shared), _alive, ended }
    }

    /// The same for the publisher, whom it does not keep from ending.
    pub(super) fn for_publisher(&self) -> Self {
        Hub { _alive: None, ..self.clone() }
    }

    /// Ends when nobody can ask any more.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Lets a reader in that has read up to `last`, or nothing that can be gone on from.
    ///
    /// # Errors
    /// Where too many watch.
    pub fn join(&self, last: Option<&Position>, connection: Option<Cut>) -> Result<Joined, TooMany> {
        let mut state = self.shared.state();
        if state.readers.len() + state.snapshots.len() >= MOST {
            return Err(TooMany);
        }
        let resumed = last.filter(|last| {
            state.at_work && last.instance == state.log.position().instance && state.log.has_all_since(last.version)
        });
        if let Some(last) = resumed {
            let reader = self.shared.admit(&mut state, last.version, connection);
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
        let mut state = self.shared.state();
        self.shared.admit(&mut state, snapshot.version, connection)
    }

    /// Ends all streams: who may still read goes on where it was.
    pub fn end_all(&self) {
        self.shared.state().readers.values().for_each(|member| member.end.cancel());
    }

    /// The plugin is about to have a bridge taken away.
    pub fn plugin_destroys(&self, bridge: &str) {
        let mut state = self.shared.state();
        if state.at_work {
            state.destroyed.retain(|_, at| at.elapsed() < REMEMBERED);
            state.destroyed.insert(bridge.to_owned(), Instant::now());
        }
    }

    /// It was not, or there is one of that name again.
    pub fn plugin_destroys_not(&self, bridge: &str) {
        self.shared.state().destroyed.remove(bridge);
    }

    /// Whether the plugin had a bridge taken away.
    pub(super) fn take_destroyed(&self, bridge: &str) -> bool {
        self.shared.state().destroyed.remove(bridge).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// Ends when somebody waits for a snapshot.
    pub(super) async fn asked(&self) {
        self.shared.asked.notified().await;
    }

    /// The publisher begins to work.
    pub(super) fn begin(&self) {
        self.shared.state().at_work = true;
    }

    /// The publisher stops, unless somebody watches, has watched a moment ago or waits; all changes are forgotten.
    pub(super) fn stop_if_unwatched(&self) -> bool {
        let mut state = self.shared.state();
        let lingers = state.last_left.is_some_and(|at| at.elapsed() < LINGER);
        if lingers || !state.readers.is_empty() || !state.snapshots.is_empty() {
            return false;
        }
        state.log.clear();
        state.at_work = false;
        state.destroyed.clear();
        true
    }

    /// Those who wait for a snapshot.
    pub(super) fn take_waiting(&self) -> Vec<Waiting> {
        let mut waiting = std::mem::take(&mut self.shared.state().snapshots);
        waiting.retain(|waiting| !waiting.is_closed());
        waiting
    }

    /// Gives those who wait what `make` makes.
    pub(super) fn answer(&self, waiting: Vec<Waiting>, make: impl FnOnce() -> Result<WatchEvent, String>) {
        let mut state = self.shared.state();
        let (position, version) = (state.log.position(), state.log.version);
        state.last_left = Some(Instant::now());
        drop(state);
        // Only the publisher makes versions, and this is its task.
        let snapshot = make().map(|event| Snapshot { text: log::text(&event, &position), version });
        waiting.into_iter().for_each(|waiting| drop(waiting.send(snapshot.clone())));
    }

    /// Takes changes in, and cuts readers that were too far behind before. Where there is much to read, they are given a moment.
    pub(super) async fn publish(&self, events: Vec<WatchEvent>) {
        let mut portion = 0;
        for event in events {
            let (before, end) = {
                let mut state = self.shared.state();
                self.shared.cut_those_behind(&mut state);
                let before = state.log.end;
                state.log.push(&event);
                (before, state.log.end)
            };
            portion += end - before;
            if portion > BEHIND / 4 {
                self.shared.tell();
                self.shared.let_read(end).await;
                portion = 0;
            }
        }
        self.shared.tell();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(self: &Arc<Self>, state: &mut State, version: u64, connection: Option<Cut>) -> Reader {
        let (read, end) = (Arc::new(AtomicU64::new(state.log.end_of(version))), CancellationToken::new());
        state.joined += 1;
        let id = state.joined;
        state.readers.insert(id, Member { read: Arc::clone(&read), end: end.clone(), connection });
        self.metrics.watchers(state.readers.len());
        Reader::new(Arc::clone(self), id, version, read, end, self.version.subscribe())
    }

    /// The change after a version; an error where it is gone.
    pub(super) fn after(&self, version: u64) -> Result<Option<(Bytes, u64)>, Gone> {
        let state = self.state();
        if !state.log.has_all_since(version) {
            return Err(Gone);
        }
        Ok(state.log.after(version))
    }

    /// A reader has come so far.
    pub(super) fn has_read(&self, read: &AtomicU64, end: u64) {
        read.store(end, Ordering::Relaxed);
        self.moved.notify_one();
    }

    pub(super) fn position(&self, version: u64) -> Position {
        self.state().log.at(version)
    }

    pub(super) fn leave(&self, id: u64) {
        let mut state = self.state();
        if state.readers.remove(&id).is_some() {
            self.metrics.watchers(state.readers.len());
        }
        state.last_left = Some(Instant::now());
        drop(state);
        self.moved.notify_one();
    }

    fn tell(&self) {
        self.version.send_replace(self.state().log.version);
    }

    fn cut_those_behind(&self, state: &mut State) {
        let end = state.log.end;
        let behind = |member: &Member| end - member.read.load(Ordering::Relaxed) > BEHIND;
        let late: Vec<u64> = state.readers.iter().filter(|(_, member)| behind(member)).map(|(id, _)| *id).collect();
        for member in late.iter().filter_map(|id| state.readers.remove(id)) {
            member.end.cancel();
            member.connection.iter().for_each(Cut::now);
            self.metrics.watcher_cut();
            tracing::warn!(limit_bytes = BEHIND, "ended a watch: its reader is too far behind");
        }
        if !late.is_empty() {
            self.metrics.watchers(state.readers.len());
        }
    }

    /// Waits a moment for all to have read most of what there is.
    async fn let_read(&self, end: u64) {
        let all = async {
            loop {
                let moved = self.moved.notified();
                let near = |member: &Member| end - member.read.load(Ordering::Relaxed) <= BEHIND / 2;
                if self.state().readers.values().all(near) {
                    return;
                }
                moved.await;
            }
        };
        drop(tokio::time::timeout(MOMENT, all).await);
    }
}

/// How long those are waited for who read, where there is much to read.
const MOMENT: Duration = Duration::from_millis(250);

/// The changes after a version are not there any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gone;
