//! Streams of what changes, as server-sent events: in order and each change once, for readers of whom each goes at its own pace.
//!
//! What it does: `feed` keeps the last changes and knows who reads, `reader` takes them, `answer` is the HTTP around it. What it must not do: know
//! what changes, or hold more for one who does not read than for one who does.

mod answer;
mod feed;
mod log;
mod reader;
mod shared;

pub use answer::{last_event, stream_response};
pub use feed::{Feed, MOST, Snapshot, TooMany};
pub use reader::Reader;
pub use shared::Gauge;
