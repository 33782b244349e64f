//! What a feed and its readers share: the changes that there are, and who has read how much.
//!
//! What it does: counts readers in and out, ends one that is too far behind, and waits a moment for those who read. What it
//! must not do: find out what has changed.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use ovstunnel_api::Position;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::log::{BEHIND, Log};
use crate::listen::Cut;

/// Who counts readers.
pub trait Gauge: std::fmt::Debug + Send + Sync {
    /// So many there are now.
    fn set_watchers(&self, count: usize);
    /// One was ended that was too far behind.
    fn watcher_cut(&self);
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) state: Mutex<State>,
    pub(super) version: watch::Sender<u64>,
    /// A reader has read.
    pub(super) moved: Notify,
    pub(super) gauge: Box<dyn Gauge>,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) log: Log,
    pub(super) readers: HashMap<u64, Member>,
    pub(super) joined: u64,
    pub(super) last_left: Option<Instant>,
}

#[derive(Debug)]
pub(super) struct Member {
    /// Bytes of all changes up to the last that it has read.
    read: Arc<AtomicU64>,
    /// Its stream ends.
    pub(super) end: CancellationToken,
    connection: Option<Cut>,
}

/// One who was counted in.
#[derive(Debug)]
pub(super) struct Admitted {
    pub id: u64,
    pub version: u64,
    /// Bytes of all changes up to the last that it has read.
    pub read: Arc<AtomicU64>,
    /// It is to end.
    pub end: CancellationToken,
    pub news: watch::Receiver<u64>,
}

impl Shared {
    pub(super) fn lock_state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one in who has read up to a version.
    pub(super) fn admit_reader(&self, state: &mut State, version: u64, connection: Option<Cut>) -> Admitted {
        let (read, end) = (Arc::new(AtomicU64::new(state.log.end_of(version))), CancellationToken::new());
        state.joined += 1;
        let id = state.joined;
        state.readers.insert(id, Member { read: Arc::clone(&read), end: end.clone(), connection });
        self.gauge.set_watchers(state.readers.len());
        Admitted { id, version, read, end, news: self.version.subscribe() }
    }

    /// The change after a version; an error where it is gone.
    pub(super) fn change_after(&self, version: u64) -> Result<Option<(Bytes, u64)>, Gone> {
        let state = self.lock_state();
        if !state.log.has_all_since(version) {
            return Err(Gone);
        }
        Ok(state.log.change_after(version))
    }

    /// A reader has come so far.
    pub(super) fn has_read(&self, read: &AtomicU64, end: u64) {
        read.store(end, Ordering::Relaxed);
        self.moved.notify_one();
    }

    pub(super) fn position_at(&self, version: u64) -> Position {
        self.lock_state().log.position_at(version)
    }

    pub(super) fn remove_reader(&self, id: u64) {
        let mut state = self.lock_state();
        if state.readers.remove(&id).is_some() {
            self.gauge.set_watchers(state.readers.len());
        }
        state.last_left = Some(Instant::now());
        drop(state);
        self.moved.notify_one();
    }

    pub(super) fn announce_version(&self) {
        self.version.send_replace(self.lock_state().log.version);
    }

    pub(super) fn cut_those_behind(&self, state: &mut State) {
        let end = state.log.end;
        let behind = |member: &Member| end - member.read.load(Ordering::Relaxed) > BEHIND;
        let late: Vec<u64> = state.readers.iter().filter(|(_, member)| behind(member)).map(|(id, _)| *id).collect();
        for member in late.iter().filter_map(|id| state.readers.remove(id)) {
            member.end.cancel();
            member.connection.iter().for_each(Cut::cut_now);
            self.gauge.watcher_cut();
            tracing::warn!(limit_bytes = BEHIND, "ended a watch: its reader is too far behind");
        }
        if !late.is_empty() {
            self.gauge.set_watchers(state.readers.len());
        }
    }

    /// Waits a moment for all to have read most of what there is.
    pub(super) async fn let_read(&self, end: u64) {
        let all = async {
            loop {
                let moved = self.moved.notified();
                let near = |member: &Member| end - member.read.load(Ordering::Relaxed) <= BEHIND / 2;
                if self.lock_state().readers.values().all(near) {
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
