//! What there is to read: takes changes in and lets readers in. Must not find out what has changed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use ovstunnel_api::Position;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use uuid::Uuid;

use super::log::{self, BEHIND, Log};
use super::reader::Reader;
use super::shared::{Gauge, Shared, State};
use crate::listen::Cut;

/// Readers at the same time.
pub const MOST: usize = 64;

/// How long changes are worth keeping after the last reader has gone, so that it can come back.
const LINGER: Duration = Duration::from_secs(60);

/// As many readers as there may be watch already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("{MOST} readers watch already, which is as many as there may be; end one, or try again later")]
pub struct TooMany;

/// What a reader who gets everything begins with: the text, and the version that it is of.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The event as it is sent.
    pub text: Bytes,
    version: u64,
}

/// What there is to read. Clones share it.
#[derive(Clone, Debug)]
pub struct Feed(Arc<Shared>);

impl Feed {
    /// Nothing yet, and nobody who reads.
    pub fn new(gauge: impl Gauge + 'static) -> Feed {
        let log = Log::new(Uuid::new_v4().simple().to_string());
        let state = State { log, readers: HashMap::new(), joined: 0, last_left: None };
        let (state, version) = (Mutex::new(state), watch::Sender::new(0));
        Feed(Arc::new(Shared { state, version, moved: Notify::new(), gauge: Box::new(gauge) }))
    }

    /// How many read now.
    pub fn readers(&self) -> usize {
        self.0.lock_state().readers.len()
    }

    /// Whether somebody reads, or has a moment ago and may come back.
    pub fn is_watched(&self) -> bool {
        let state = self.0.lock_state();
        !state.readers.is_empty() || state.last_left.is_some_and(|at| at.elapsed() < LINGER)
    }

    /// Somebody is about to read.
    pub fn expect_reader(&self) {
        self.0.lock_state().last_left = Some(Instant::now());
    }

    /// Lets a reader in that has read up to `last`; none where not every change since then is still there.
    pub fn resume_reader(&self, last: &Position, connection: Option<Cut>) -> Option<Reader> {
        let mut state = self.0.lock_state();
        if last.instance != state.log.position().instance || !state.log.has_all_since(last.version) {
            return None;
        }
        let admitted = self.0.admit_reader(&mut state, last.version, connection);
        drop(state);
        Some(Reader::new(Arc::clone(&self.0), admitted))
    }

    /// What one begins with who gets everything, as of now.
    pub fn snapshot(&self, name: &str, data: &str) -> Snapshot {
        let state = self.0.lock_state();
        Snapshot { text: log::event_bytes(name, data, &state.log.position()), version: state.log.version }
    }

    /// Lets a reader in that has the snapshot.
    pub fn join_after(&self, snapshot: &Snapshot, connection: Option<Cut>) -> Reader {
        let admitted = self.0.admit_reader(&mut self.0.lock_state(), snapshot.version, connection);
        Reader::new(Arc::clone(&self.0), admitted)
    }

    /// Ends all streams: who may still read goes on where it was.
    pub fn end_all(&self) {
        self.0.lock_state().readers.values().for_each(|member| member.end.cancel());
    }

    /// Forgets all changes: from no position of before can be gone on.
    pub fn clear(&self) {
        self.0.lock_state().log.clear();
    }

    /// Takes changes in, each as its name and its data, and cuts readers that were too far behind before. Where there is much to read, they are
    /// given a moment.
    pub async fn publish_events(&self, events: impl IntoIterator<Item = (&'static str, String)>) {
        let shared = &self.0;
        let mut portion = 0;
        for (name, data) in events {
            let (before, end) = {
                let mut state = shared.lock_state();
                shared.cut_those_behind(&mut state);
                let before = state.log.end;
                state.log.push(name, &data);
                (before, state.log.end)
            };
            portion += end - before;
            if portion > BEHIND / 4 {
                shared.announce_version();
                shared.let_read(end).await;
                portion = 0;
            }
        }
        shared.announce_version();
    }
}
