//! Answers on their way to clients, which may never read them.
//!
//! What it does: keeps all of them within one budget of memory, and those of each address within a share of it. Where there is no
//! room for the answer to a look, it is thrown away and made again when there is. An answer that does not end by itself ([`Endless`]) goes out as it is made. What it must not do: ask for a
//! change twice, or look into an answer.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request, Response, response};
use hyper::body::{Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::endless::{Endless, Streamed};
use super::reading::{CHUNK, Reading};
use super::room::{Asking, counting_address};

/// Bytes that all unread answers together may take; one that is larger may go when there is no other.
const ALL: u32 = 64 << 20;

/// Bytes of them for clients of one address.
const SHARE: u32 = 16 << 20;

/// Answers of so many bytes are not counted: those that say no, say.
const NOT_COUNTED: usize = 1024;

/// Looks of one address that are made at once: how much room they take is known when they are.
const MADE_AT_ONCE: usize = 8;

/// How long an answer may wait for room.
const WAIT: Duration = Duration::from_secs(60);

/// The budget of a listener.
#[derive(Debug)]
pub(super) struct Answers {
    all: Arc<Semaphore>,
    stop: CancellationToken,
    shares: Mutex<HashMap<IpAddr, Weak<Share>>>,
}

/// What the unread answers of one address may take.
#[derive(Debug)]
struct Share {
    room: Arc<Semaphore>,
    size: u32,
    making: Semaphore,
    /// Looks whose answers wait for room. While there are some, the next ones are not even made: they take turns.
    waiting: AtomicUsize,
    turn: tokio::sync::Mutex<()>,
}

/// There was no room for an answer: its request ends without one.
#[derive(Debug, thiserror::Error)]
#[error("other answers were not read, and there is no room for more")]
pub(super) struct NoRoom;

/// The unread answers of one connection.
#[derive(Debug)]
pub(super) struct Outgoing {
    all: Arc<Semaphore>,
    share: Arc<Share>,
    /// What its client does with them.
    pub(super) reading: Arc<Reading>,
    /// The connection has ended: its looks are not made any more. hyper would go on with those that wait for room.
    pub(super) gone: CancellationToken,
}

/// The room that an answer has: of its share and of the whole, or none where it is small.
type Part = Vec<OwnedSemaphorePermit>;

/// What an answer holds until all of it is read.
#[derive(Debug)]
struct Unread {
    reading: Arc<Reading>,
    _part: Part,
    _asking: Option<Asking>,
}

/// An answer's body, or the rest of it.
struct Rest {
    bytes: Bytes,
    unread: Arc<Unread>,
}

/// A part of an answer that was handed to the connection; gone when it is written.
struct Chunk {
    bytes: Bytes,
    unread: Arc<Unread>,
}

impl Default for Answers {
    fn default() -> Self {
        Answers::new(CancellationToken::new())
    }
}

impl Answers {
    /// With `stop`, answers end that do not by themselves.
    pub(super) fn new(stop: CancellationToken) -> Self {
        Answers { all: Arc::new(Semaphore::new(ALL as usize)), stop, shares: Mutex::default() }
    }

    /// For a connection from this address, or from this host, whose share is everything.
    pub(super) fn for_address(&self, address: Option<IpAddr>) -> Arc<Outgoing> {
        let share = address.map_or_else(|| Share::of_size(ALL), |address| self.share_of(counting_address(address)));
        Outgoing {
            all: Arc::clone(&self.all),
            share,
            reading: Reading::new(self.stop.clone()).into(),
            gone: CancellationToken::new(),
        }
        .into()
    }

    fn share_of(&self, address: IpAddr) -> Arc<Share> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&address).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Share::of_size(SHARE);
        shares.insert(address, Arc::downgrade(&share));
        share
    }
}

impl Share {
    fn of_size(size: u32) -> Arc<Self> {
        let (room, making) = (Arc::new(Semaphore::new(size as usize)), Semaphore::new(MADE_AT_ONCE));
        Share { room, size, making, waiting: AtomicUsize::new(0), turn: tokio::sync::Mutex::new(()) }.into()
    }

    /// Counts one that waits, for as long as what is given lives.
    fn count_waiting(&self) -> impl Drop + '_ {
        struct Waiting<'a>(&'a AtomicUsize);
        impl Drop for Waiting<'_> {
            fn drop(&mut self) {
                self.0.fetch_sub(1, Ordering::Relaxed);
            }
        }
        self.waiting.fetch_add(1, Ordering::Relaxed);
        Waiting(&self.waiting)
    }
}

impl Outgoing {
    /// Has a request answered.
    ///
    /// # Errors
    /// When there is no room for the answer to a look for too long.
    pub(super) async fn answer_request(
        self: &Arc<Self>,
        mut app: Router,
        request: Request<Body>,
        asking: Option<Asking>,
    ) -> Result<Response<Body>, NoRoom> {
        let made = match *request.method() {
            Method::GET | Method::HEAD => {
                let look = self.gone.run_until_cancelled(self.answer_read(&mut app, request));
                tokio::time::timeout(WAIT, look).await.ok().flatten().flatten().ok_or(NoRoom)?
            }
            // Without room it is told all the same: what it tells of is done, and its client is one that may do it.
            _ => match make_answer(&mut app, request).await {
                Made::Whole(head, bytes, _) => {
                    let part = self.take_now(bytes.len()).unwrap_or_default();
                    Made::Whole(head, bytes, part)
                }
                endless => endless,
            },
        };
        Ok(match made {
            Made::Whole(head, bytes, part) => self.hold_room(head, bytes, part, asking),
            Made::Endless(response) => {
                response.map(|body| Body::new(Streamed::new(body, Arc::clone(&self.reading), asking)))
            }
        })
    }

    /// The answer to a look, with the room for it.
    async fn answer_read(&self, app: &mut Router, request: Request<Body>) -> Option<Made> {
        let (parts, body) = request.into_parts();
        // The semaphore is never closed.
        let mut making = self.share.making.acquire().await.ok()?;
        let _turn = match self.share.waiting.load(Ordering::Relaxed) {
            0 => None,
            _ => {
                drop(making);
                let turn = self.share.turn.lock().await;
                making = self.share.making.acquire().await.ok()?;
                Some(turn)
            }
        };
        let (head, bytes) = match make_answer(app, Request::from_parts(parts.clone(), body)).await {
            Made::Whole(head, bytes, _) => (head, bytes),
            endless => return Some(endless),
        };
        if let Some(part) = self.take_now(bytes.len()) {
            return Some(Made::Whole(head, bytes, part));
        }
        let size = bytes.len();
        drop((head, bytes));
        let _waiting = self.share.count_waiting();
        drop(making);
        let part = self.take_room(size).await?;
        Some(match make_answer(app, Request::from_parts(parts, Body::empty())).await {
            Made::Whole(head, bytes, _) => Made::Whole(head, bytes, part),
            endless => endless,
        })
    }

    /// How much of the share and of the whole an answer takes.
    fn answer_sizes(&self, bytes: usize) -> (u32, u32) {
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        (bytes.min(self.share.size), bytes.min(ALL))
    }

    fn take_now(&self, bytes: usize) -> Option<Part> {
        if bytes <= NOT_COUNTED {
            return Some(Part::new());
        }
        let (of_share, of_all) = self.answer_sizes(bytes);
        let share = Arc::clone(&self.share.room).try_acquire_many_owned(of_share).ok()?;
        Some(vec![share, Arc::clone(&self.all).try_acquire_many_owned(of_all).ok()?])
    }

    /// In the order of asking. The semaphores are never closed.
    async fn take_room(&self, bytes: usize) -> Option<Part> {
        let (of_share, of_all) = self.answer_sizes(bytes);
        let share = Arc::clone(&self.share.room).acquire_many_owned(of_share).await.ok()?;
        Some(vec![share, Arc::clone(&self.all).acquire_many_owned(of_all).await.ok()?])
    }

    fn hold_room(
        self: &Arc<Self>,
        head: response::Parts,
        bytes: Bytes,
        part: Part,
        asking: Option<Asking>,
    ) -> Response<Body> {
        if bytes.is_empty() {
            return Response::from_parts(head, Body::empty());
        }
        self.reading.begin_reading();
        let unread = Arc::new(Unread { reading: Arc::clone(&self.reading), _part: part, _asking: asking });
        Response::from_parts(head, Body::new(Rest { bytes, unread }))
    }
}

/// An answer that was made.
enum Made {
    Whole(response::Parts, Bytes, Part),
    Endless(Response<Body>),
}

/// An answer, without room as yet. But for the endless ones, bodies are whole when they are made: reading one waits for nothing.
async fn make_answer(app: &mut Router, request: Request<Body>) -> Made {
    let Ok(response) = app.call(request).await;
    if response.extensions().get::<Endless>().is_some() {
        return Made::Endless(response);
    }
    let (head, body) = response.into_parts();
    Made::Whole(head, axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default(), Part::new())
}

impl hyper::body::Body for Rest {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.bytes.len().min(CHUNK);
        let bytes = self.bytes.split_to(length);
        let chunk = Chunk { bytes, unread: Arc::clone(&self.unread) };
        chunk.unread.reading.note_progress();
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(chunk)))))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.unread.reading.note_progress();
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        self.reading.end_reading();
    }
}
