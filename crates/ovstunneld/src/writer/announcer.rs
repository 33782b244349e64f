//! Goes on to tell the other hosts where VMs are, for some minutes after their bridge was taken over.
//!
//! Two hosts of a mesh without STP may have learnt each other's VMs by way of a third, and frames on their way teach them so anew. When
//! that one is taken over, later than they, nobody tells them. So each tells the others again and again, until all will have
//! been taken over. What it must not do: change anything, or outlive the writer (docs/adr/0028-names-stay-and-vms-are-told-by-each-tunnel.md).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ovstunnel_ovs::Switch;
use ovstunnel_plan::{DesiredBridge, View, ids};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tracing::Instrument;

/// How long it goes on: hosts are taken over one right after the other.
const LIFETIME: Duration = Duration::from_secs(180);

/// Between two times at first, and for how long so.
const OFTEN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Between two times later.
const SELDOM: Duration = Duration::from_secs(5);

/// The bridges of which VMs are told.
#[derive(Debug)]
pub(super) struct Announcer {
    /// One bridge at a time: with many of them each comes later, and Open vSwitch has other things to do.
    turn: Arc<Semaphore>,
    running: HashMap<String, AbortHandle>,
}

impl Default for Announcer {
    fn default() -> Self {
        Announcer { turn: Arc::new(Semaphore::new(1)), running: HashMap::new() }
    }
}

impl Drop for Announcer {
    fn drop(&mut self) {
        self.running.values().for_each(AbortHandle::abort);
    }
}

impl Announcer {
    /// Tells of a bridge's VMs from now on, for as long as it goes on.
    pub fn begin_announcing(&mut self, switch: &Switch, bridge: &str) {
        let telling = announce_repeatedly(switch.clone(), bridge.to_owned(), Arc::clone(&self.turn)).in_current_span();
        let begun = tokio::spawn(telling).abort_handle();
        if let Some(before) = self.running.insert(bridge.to_owned(), begun) {
            before.abort();
        }
    }
}

async fn announce_repeatedly(switch: Switch, name: String, turn: Arc<Semaphore>) {
    let begun = Instant::now();
    while begun.elapsed() < LIFETIME {
        tokio::time::sleep(if begun.elapsed() < OFTEN.1 { OFTEN.0 } else { SELDOM }).await;
        let Some(bridge) = switch.observer().read(|db| db.view().bridge(&name)) else { return };
        let in_a_tree = bridge.external_ids.contains_key(ids::STP_ROOT_PORT);
        if DesiredBridge::from_record(&bridge).is_none() || in_a_tree {
            return;
        }
        let Ok(_turn) = turn.acquire().await else { return };
        if let Err(error) = switch.announce_vms(&bridge, true).await {
            tracing::debug!(%error, "the VMs were not announced; it is tried again");
        }
    }
}
