//! `[probes]`: what the manager has hosts send each other to see whether tunnels carry frames.
//!
//! What it must not do: decide who probes whom; that is `ovstunnel-mesh`'s.

use serde::{Deserialize, Serialize};

/// `[probes]`: by what it is seen whether tunnels carry frames. What hosts send each other for that, once the manager may act, reaches no
/// VM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Probes {
    /// Whether two hosts that share a network watch their underlay by BFD, on one tunnel for each two hosts. Off, it is taken away again.
    pub bfd: bool,
    /// Whether frames are sent into every tunnel, all networks in turn, and counted at the other end. They reach no VM.
    pub sweep: bool,
    /// Whether the counters of both ends of all tunnels are compared. Nothing is sent or written for that, also while the manager may
    /// not act.
    pub counters: bool,
}

impl Default for Probes {
    fn default() -> Self {
        Probes { bfd: true, sweep: true, counters: true }
    }
}
