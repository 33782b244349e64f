//! Doors into the daemon for tests, benchmarks and fuzzers. Must not be used by the product.

pub use crate::app::{assemble_forgetting, assemble_routes};
pub use crate::doctor::{TunnelPacket, check_nftables};
pub use crate::host::Interfaces;
pub use crate::metrics::{Metrics, Surroundings};
pub use crate::plugin::FUNCTIONS;
pub use crate::plugin::fuzzing::{parse_argument, parse_policies, parse_topology};
pub use crate::witness::{Witnesses, follow_all, start_witnesses as start_witness};
pub use crate::writer::Writer;
pub use crate::writer::lock::WriterLock;
