//! `Expect: 100-continue` over HTTP/2, where the server that serves us cannot send a 100.
//!
//! What it does: waits a moment for the body, as most clients send it after a moment without an answer, and tells those that
//! never would. What it must not do: touch a request over HTTP/1, which hyper answers with a 100 itself.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::IntoResponse;
use bytes::Bytes;
use http::{Request, Response, StatusCode, Version};
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::problem::ApiError;

/// How long a client may wait for a 100 that does not come: most wait for a second.
const PATIENCE: Duration = Duration::from_millis(2500);

/// A body of which a part has been read.
struct Begun {
    first: Option<Frame<Bytes>>,
    rest: Incoming,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(Some(Ok(first))),
            None => Pin::new(&mut self.rest).poll_frame(cx),
        }
    }

    fn size_hint(&self) -> SizeHint {
        // What is read already is not in the rest's any more.
        if self.first.is_some() { SizeHint::default() } else { self.rest.size_hint() }
    }
}

/// The request with its body begun.
///
/// # Errors
/// The answer, where its client waits for a word before it sends it.
pub(super) async fn begin_body(request: Request<Incoming>) -> Result<Request<Body>, Response<Body>> {
    let expects = request
        .headers()
        .get(http::header::EXPECT)
        .is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if request.version() != Version::HTTP_2 || !expects || request.body().is_end_stream() {
        return Ok(request.map(Body::new));
    }
    let (head, mut rest) = request.into_parts();
    let first = std::future::poll_fn(|cx| Pin::new(&mut rest).poll_frame(cx));
    match tokio::time::timeout(PATIENCE, first).await {
        // What broke is found out again by whoever reads on.
        Ok(first) => Ok(Request::from_parts(head, Body::new(Begun { first: first.and_then(Result::ok), rest }))),
        Err(_) => {
            let rule = "cannot be met over HTTP/2: send the body without waiting for a 100";
            let mut error = ApiError::invalid("Expect", rule, Some("100-continue"));
            error.problem_mut().status = StatusCode::EXPECTATION_FAILED.as_u16();
            Err(error.into_response())
        }
    }
}
