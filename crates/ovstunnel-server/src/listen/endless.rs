//! Answers that do not end by themselves: streams of events.
//!
//! What it does: hands such an answer on as it is made, ends it when the daemon ends, and has the connection ended whose client
//! does not read it. What it must not do: hold more of it than one piece.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};

use axum::body::Body;
use bytes::Bytes;
use hyper::body::Frame;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::reading::{CHUNK, Reading};
use super::room::Asking;

/// In a response's extensions: its body does not end by itself, and holds little at a time.
#[derive(Clone, Copy, Debug)]
pub struct Endless;

/// In a request's extensions: ends the connection that it came by. For a client that does not read an [`Endless`] answer, and so
/// cannot be told anything.
#[derive(Clone, Debug, Default)]
pub struct Cut(CancellationToken);

impl Cut {
    pub(super) fn new(token: CancellationToken) -> Self {
        Cut(token)
    }

    /// Ends it.
    pub fn cut_now(&self) {
        self.0.cancel();
    }
}

/// The body of an endless answer on its way.
pub(super) struct Streamed {
    body: Body,
    /// What is left of the last piece.
    rest: Bytes,
    stop: Pin<Box<WaitForCancellationFutureOwned>>,
    reading: Arc<Reading>,
    _asking: Option<Asking>,
}

impl Streamed {
    pub(super) fn new(body: Body, reading: Arc<Reading>, asking: Option<Asking>) -> Self {
        reading.endless.fetch_add(1, Ordering::Relaxed);
        let stop = Box::pin(reading.stop.clone().cancelled_owned());
        Streamed { body, rest: Bytes::new(), stop, reading, _asking: asking }
    }
}

impl Drop for Streamed {
    fn drop(&mut self) {
        self.reading.endless.fetch_sub(1, Ordering::Relaxed);
    }
}

impl hyper::body::Body for Streamed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            if self.stop.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => self.rest = frame.into_data().unwrap_or_default(),
                ended => return Poll::Ready(ended),
            }
        }
        let length = self.rest.len().min(CHUNK);
        let bytes = self.rest.split_to(length);
        self.reading.begin_reading();
        let chunk = Chunk { bytes, reading: Arc::clone(&self.reading) };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(chunk)))))
    }
}

/// A part of one that was handed to the connection; gone when it is written.
struct Chunk {
    bytes: Bytes,
    reading: Arc<Reading>,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.reading.end_reading();
    }
}
