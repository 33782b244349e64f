//! Doors into the daemon for tests, benchmarks and fuzzers. Must not be used by the product.

pub use crate::app::{assemble, assemble_forgetting};
pub use crate::host::Interfaces;
pub use crate::metrics::{Metrics, Surroundings};
pub use crate::plugin::FUNCTIONS;
pub use crate::plugin::fuzzing::{argument, policies, topology};
pub use crate::witness::{Witnesses, follow_all, start as start_witness};
pub use crate::writer::Writer;
pub use crate::writer::lock::WriterLock;
