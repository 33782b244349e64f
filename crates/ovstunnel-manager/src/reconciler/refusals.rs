//! Hosts that have refused to be told something, which are let be for a while. Must not be about joins and leaves: `attempts` is.

use std::collections::BTreeMap;
use std::time::Duration;

use ovstunnel_types::HostNumber;
use tokio::time::Instant;

use super::Reconciler;

/// After how long a host that refused is told again, where it has not connected anew.
const REFUSED: Duration = Duration::from_secs(60);

/// Hosts that refused: on which connection, and until when they are let be.
#[derive(Debug, Default)]
pub(super) struct Refusals(BTreeMap<HostNumber, (u64, Instant)>);

impl Refusals {
    /// A host has refused on this connection.
    pub(super) fn record(&mut self, host: HostNumber, connection: u64) {
        self.0.insert(host, (connection, Instant::now() + REFUSED));
    }

    /// Takes away what is for hosts that are let be still.
    pub(super) fn leave_out<T>(&mut self, by_host: &mut BTreeMap<HostNumber, T>, reconciler: &Reconciler) {
        let (now, writers) = (Instant::now(), &reconciler.0.writers);
        self.0.retain(|host, (connection, until)| *until > now && writers.connection_count(*host) == *connection);
        by_host.retain(|host, _| !self.0.contains_key(host));
    }
}
