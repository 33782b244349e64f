//! Those who watch, and what they have still to read.
//!
//! What it does: takes changes in, lets each reader have those after its position, cuts one that is too far behind, and knows
//! whether anybody watches. What it must not do: find out what has changed, or wait for a reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ovstunnel_api::{Position, WatchEvent};
use ovstunnel_server::listen::Cut;
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use super::controllers::Controllers;
use super::log::{self, BEHIND, Log};
use super::reader::Reader;
use super::shared::{Shared, Snapshot, State, Waiting};
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
    controllers: Controllers,
    /// Ends the publisher once nobody can ask any more; the publisher itself has none.
    _alive: Option<Arc<DropGuard>>,
    ended: CancellationToken,
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
    pub(crate) async fn ended(&self) {
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
            let admitted = self.shared.admit(&mut state, last.version, connection);
            return Ok(Joined::Resumed(Reader::new(Arc::clone(&self.shared), admitted)));
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
        let admitted = self.shared.admit(&mut self.shared.state(), snapshot.version, connection);
        Reader::new(Arc::clone(&self.shared), admitted)
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
    pub(crate) fn take_destroyed(&self, bridge: &str) -> bool {
        self.shared.state().destroyed.remove(bridge).is_some_and(|at| at.elapsed() < REMEMBERED)
    }

    /// Ends when somebody waits for a snapshot.
    pub(crate) async fn asked(&self) {
        self.shared.asked.notified().await;
    }

    /// The publisher begins to work.
    pub(crate) fn begin(&self) {
        self.shared.state().at_work = true;
    }

    /// The publisher stops, unless somebody watches, has watched a moment ago or waits; all changes are forgotten.
    pub(crate) fn stop_if_unwatched(&self) -> bool {
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
    pub(crate) fn take_waiting(&self) -> Vec<Waiting> {
        let mut waiting = std::mem::take(&mut self.shared.state().snapshots);
        waiting.retain(|waiting| !waiting.is_closed());
        waiting
    }

    /// Gives those who wait what `make` makes.
    pub(crate) fn answer(&self, waiting: Vec<Waiting>, make: impl FnOnce() -> Result<WatchEvent, String>) {
        let mut state = self.shared.state();
        let (position, version) = (state.log.position(), state.log.version);
        state.last_left = Some(Instant::now());
        drop(state);
        // Only the publisher makes versions, and this is its task.
        let snapshot = make().map(|event| Snapshot { text: log::text(&event, &position), version });
        waiting.into_iter().for_each(|waiting| drop(waiting.send(snapshot.clone())));
    }

    /// Takes changes in, and cuts readers that were too far behind before. Where there is much to read, they are given a moment.
    pub(crate) async fn publish(&self, events: Vec<WatchEvent>) {
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
