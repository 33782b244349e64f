//! The rounds in which hosts are told things beside the mesh: when the next one is, and hosts that refused, which are let be for a while. Must
//! not be about joins and leaves: `attempts` is.

use std::collections::BTreeMap;
use std::time::Duration;

use ovstunnel_types::HostNumber;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::Reconciler;

/// How often it is looked at least.
const LOOKING: Duration = Duration::from_secs(10);

/// The time between two looks at least. What a host was told it has said within it.
const REST: Duration = Duration::from_secs(1);

/// How many times as long as a look the rest after it is.
const SHARE: u32 = 20;

/// After how long a host that refused is told again, where it has not connected anew.
const REFUSED: Duration = Duration::from_secs(60);

/// The rounds of one kind of thing.
#[derive(Debug)]
pub(super) struct Rounds {
    passes: watch::Receiver<u64>,
    /// Hosts that refused: on which connection, and until when they are let be.
    refused: BTreeMap<HostNumber, (u64, Instant)>,
}

impl Rounds {
    pub(super) fn new(reconciler: &Reconciler) -> Self {
        Rounds { passes: reconciler.0.zone.watch_passes(), refused: BTreeMap::new() }
    }

    /// Waits for the next round, after a look that took so long.
    pub(super) async fn wait_after(&mut self, took: Duration) {
        sleep(REST.max(took.saturating_mul(SHARE))).await;
        let _ = timeout(LOOKING, self.passes.changed()).await;
    }

    /// A host has refused on this connection.
    pub(super) fn record_refusal(&mut self, host: HostNumber, connection: u64) {
        self.refused.insert(host, (connection, Instant::now() + REFUSED));
    }

    /// Takes away what is for hosts that are let be still.
    pub(super) fn leave_out_refused<T>(&mut self, by_host: &mut BTreeMap<HostNumber, T>, reconciler: &Reconciler) {
        let (now, writers) = (Instant::now(), &reconciler.0.writers);
        self.refused.retain(|host, (connection, until)| *until > now && writers.connection_count(*host) == *connection);
        by_host.retain(|host, _| !self.refused.contains_key(host));
    }
}
