//! Answers are compressed for who asks for it (`accept-encoding`), with zstd or gzip.
//!
//! What it must not do: hold an answer back. A stream of events goes out as it is, event by event.

use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};

/// Bytes up to which an answer goes out as it is: it fits one packet in any case.
const TINY: u16 = 1024;

/// The layer that compresses. It is the outermost: what is inside changes bodies.
pub(super) fn compression_layer() -> CompressionLayer<impl Predicate> {
    let worth_it = SizeAbove::new(TINY).and(NotForContentType::SSE);
    // The default levels take several times as long for a few per cent.
    CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_it)
}
