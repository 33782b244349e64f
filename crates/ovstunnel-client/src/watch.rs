//! The stream of what changes on a host or in a zone, event by event.
//!
//! What it does: says when the daemon is silent, which sends something every 2 seconds. What it must not do: connect again, or keep
//! what was told: only the caller knows what that is for.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use futures_util::StreamExt;
use hyper::body::Incoming;
use ovstunnel_api::{Position, WatchEvent};
use sse_stream::{Error, Sse, SseStream};

use crate::{Cause, ClientError, Peer};

/// How long a daemon may be silent unless told otherwise: three times as long as it is.
pub const DEFAULT_SILENCE: Duration = Duration::from_secs(6);

/// The events of a stream.
pub trait Event: Sized {
    /// An event as it was received; none where its name is not known.
    ///
    /// # Errors
    /// Where the data is not what the name promises.
    fn parse_event(name: &str, data: &str) -> Result<Option<Self>, serde_json::Error>;
}

impl Event for WatchEvent {
    fn parse_event(name: &str, data: &str) -> Result<Option<Self>, serde_json::Error> {
        WatchEvent::parse_event(name, data)
    }
}

#[cfg(feature = "manager")]
impl Event for ovstunnel_manager_api::ZoneEvent {
    fn parse_event(name: &str, data: &str) -> Result<Option<Self>, serde_json::Error> {
        ovstunnel_manager_api::ZoneEvent::parse_event(name, data)
    }
}

/// A daemon that is watched; with other events, a manager.
pub struct Watch<E = WatchEvent> {
    events: SseStream<Incoming>,
    peer: Peer,
    silence: Duration,
    reads: PhantomData<fn() -> E>,
}

impl<E> fmt::Debug for Watch<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch").field("peer", &self.peer).field("silence", &self.silence).finish_non_exhaustive()
    }
}

impl<E: Event> Watch<E> {
    pub(crate) fn new(body: Incoming, peer: &Peer) -> Self {
        Watch { events: SseStream::new(body), peer: peer.clone(), silence: DEFAULT_SILENCE, reads: PhantomData }
    }

    /// The same for a caller who takes so long a silence, and no longer, for the end.
    #[must_use]
    pub fn with_silence(self, silence: Duration) -> Self {
        Watch { silence, ..self }
    }

    /// The next event, with the position after it: whoever begins again with that lacks nothing. Nothing where the daemon, or the manager, has ended
    /// the stream, as it does when it ends or reads its configuration again. A call that is dropped loses no event.
    ///
    /// # Errors
    /// [`ClientError::Silent`] where nothing has come for too long, [`ClientError::BrokenOff`] where the connection broke,
    /// [`ClientError::Unexpected`] where what came is no event of a watch.
    pub async fn next(&mut self) -> Result<Option<(Option<Position>, E)>, ClientError> {
        loop {
            let silent = |_| ClientError::Silent { peer: self.peer.clone(), silence: self.silence };
            let came = tokio::time::timeout(self.silence, self.events.next()).await.map_err(silent)?;
            let Some(came) = came else { return Ok(None) };
            if let Some(event) = self.parse_message(came.map_err(|error| self.stream_error(&error))?)? {
                return Ok(Some(event));
            }
        }
    }

    /// An event as it came; nothing where it is of a kind that is not known here.
    fn parse_message(&self, came: Sse) -> Result<Option<(Option<Position>, E)>, ClientError> {
        let (name, data) = (came.event.unwrap_or_default(), came.data.unwrap_or_default());
        let bad = |error| ClientError::unexpected_answer(&self.peer, 200, data.as_bytes(), Some(error));
        let position = came.id.and_then(|id| id.parse().ok());
        Ok(E::parse_event(&name, &data).map_err(bad)?.map(|event| (position, event)))
    }

    fn stream_error(&self, error: &Error) -> ClientError {
        match error {
            Error::Body(error) => ClientError::from_transport(&**error, false, &self.peer),
            other => ClientError::BrokenOff { peer: self.peer.clone(), source: Cause::innermost_error(other) },
        }
    }
}
