//! One who watches. Must not take more of what there is than it can pass on.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::Interval;

use super::log;
use super::shared::{Admitted, Shared};

/// How often a reader is told that the program is there.
const PING_EVERY: Duration = Duration::from_secs(2);

/// Reads the changes after a version.
#[derive(Debug)]
pub struct Reader {
    shared: Arc<Shared>,
    me: Admitted,
    ping: Interval,
}

impl Reader {
    pub(super) fn new(shared: Arc<Shared>, me: Admitted) -> Self {
        let mut ping = tokio::time::interval(PING_EVERY);
        ping.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ping.reset();
        Reader { shared, me, ping }
    }

    /// What is to be sent: `first`, then each change, and a word every 2 s. It ends where the reader is cut, or where what it lacks
    /// is not there any more.
    pub fn into_stream(self, first: Option<Bytes>) -> impl Stream<Item = Bytes> + Send + 'static {
        let changes = futures_util::stream::unfold(self, async |mut reader| Some((reader.next().await?, reader)));
        futures_util::stream::iter(first).chain(changes)
    }

    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if self.me.end.is_cancelled() {
                return None;
            }
            self.me.news.borrow_and_update();
            if let Some((text, end)) = self.shared.change_after(self.me.version).ok()? {
                self.me.version += 1;
                self.shared.has_read(&self.me.read, end);
                return Some(text);
            }
            tokio::select! {
                () = self.me.end.cancelled() => return None,
                _ = self.me.news.changed() => {}
                _ = self.ping.tick() => return Some(log::event_bytes("ping", "{}", &self.shared.position_at(self.me.version))),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.remove_reader(self.me.id);
    }
}
