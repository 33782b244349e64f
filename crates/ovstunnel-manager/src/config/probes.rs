//! `[probes]`: what the manager has hosts send each other to see whether tunnels carry frames.
//!
//! What it must not do: decide who probes whom; that is `ovstunnel-mesh`'s.

use serde::{Deserialize, Serialize};

/// `[probes]`: once the manager may act, what hosts send each other to see whether tunnels carry frames. None of it reaches a VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probes {
    /// Whether two hosts that share a network watch their underlay by BFD, on one tunnel for each two hosts. Off, it is taken away again.
    pub bfd: bool,
    /// Whether frames are sent into every tunnel, all networks in turn, and counted at the other end. They reach no VM.
    pub sweep: bool,
}

impl Default for Probes {
    fn default() -> Self {
        Probes { bfd: true, sweep: true }
    }
}
