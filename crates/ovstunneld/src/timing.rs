//! How long each part of a changing request takes, told in its answer: `Server-Timing` (W3C). Must not cost a request that changes
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::{HeaderName, HeaderValue, Method};

/// The header.
const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

tokio::task_local! {
    /// The request that this task answers.
    static REQUEST: Arc<Timing>;
}

/// What is known of a request's time.
#[derive(Debug, Default)]
pub(crate) struct Timing {
    queue_us: AtomicU64,
    switch_us: AtomicU64,
}

impl Timing {
    /// That of the request that is answered by this task; nothing where there is none, or one that changes nothing.
    pub(crate) fn of_request() -> Option<Arc<Timing>> {
        REQUEST.try_with(Arc::clone).ok()
    }

    /// So long it has waited for its turn.
    pub(crate) fn add_waited(&self, time: Duration) {
        add_micros(&self.queue_us, time);
    }

    /// So long the switch was at work, for it and what was carried out with it.
    pub(crate) fn add_worked(&self, time: Duration) {
        add_micros(&self.switch_us, time);
    }

    fn timing_header(&self, total: Duration) -> String {
        let ms = |us: &AtomicU64| Duration::from_micros(us.load(Ordering::Relaxed)).as_secs_f64() * 1000.0;
        let (queue, switch, total) = (ms(&self.queue_us), ms(&self.switch_us), total.as_secs_f64() * 1000.0);
        format!("queue;dur={queue:.1}, switch;dur={switch:.1}, total;dur={total:.1}")
    }
}

fn add_micros(sum: &AtomicU64, time: Duration) {
    sum.fetch_add(u64::try_from(time.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

/// Times a request that may change something.
pub async fn measure_request(request: Request, next: Next) -> Response {
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return next.run(request).await;
    }
    let (timing, started) = (Arc::<Timing>::default(), Instant::now());
    let mut response = REQUEST.scope(Arc::clone(&timing), next.run(request)).await;
    if let Ok(value) = HeaderValue::try_from(timing.timing_header(started.elapsed())) {
        response.headers_mut().insert(SERVER_TIMING, value);
    }
    response
}
