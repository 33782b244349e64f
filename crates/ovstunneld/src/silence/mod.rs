//! Hosts that have left: who has been silent for `[tunnel] forget_after`, and that the tunnels to such a host go
//! (docs/adr/0051-tunnels-to-hosts-that-have-left.md).
//!
//! What it does: looks at BFD and at the tunnels' counters again and again, for as long as it is configured; has the writer take away the
//! tunnels to one silent host at a time, and keeps who is silent for whoever asks. What it must not do: take time for silence in which
//! nothing could be seen, or remember a tunnel that has gone: whoever wants it asks for it again.

mod peers;
mod watcher;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use ovstunnel_ovs::Switch;
use tokio::sync::watch;

pub use peers::{Silent, Stays};
pub(crate) use watcher::watch_peers;

/// How often `ovs-vswitchd` tells its database of counters unless it is told otherwise, and at least, in milliseconds.
const COUNTED_EVERY: u32 = 5_000;

/// How old the counters of a switch may be.
pub(crate) fn counted_every(switch: &Switch) -> Duration {
    let set = switch.observer().read(|db| db.other_config("stats-update-interval")?.parse::<u32>().ok());
    Duration::from_millis(set.unwrap_or(COUNTED_EVERY).max(COUNTED_EVERY).into())
}

/// What is configured, and who is silent by it. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Silence {
    after: Arc<watch::Sender<Option<Duration>>>,
    silent: Arc<RwLock<Arc<Vec<Silent>>>>,
}

impl Silence {
    /// From now on goes by this `[tunnel] forget_after`; nothing is off.
    pub fn set_forget_after(&self, forget_after: Option<Duration>) {
        self.after.send_if_modified(|after| std::mem::replace(after, forget_after) != forget_after);
    }

    /// What is configured.
    pub fn forget_after(&self) -> Option<Duration> {
        *self.after.borrow()
    }

    /// The hosts that have been silent for so long, as of the last look.
    pub fn silent_hosts(&self) -> Arc<Vec<Silent>> {
        self.silent.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_silent(&self, silent: Vec<Silent>) {
        *self.silent.write().unwrap_or_else(PoisonError::into_inner) = silent.into();
    }
}
