//! Changes of flows: several bridges at once, each read back.
//!
//! What it does: writes, looks whether it is there, and remembers that. What it must not do: believe a tool that ends well,
//! or take one that was killed for one that did nothing: what is in the switch decides.

use std::collections::BTreeMap;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use ovstunnel_ovs::{CommitError, FlowsRead};
use ovstunnel_plan::{FlowChange, FlowsSeen, View};
use tokio::time::Instant;
use uuid::Uuid;

use super::Executor;

impl Executor {
    /// Changes the flows of several bridges; says for which that failed.
    pub(super) async fn change_flows(&self, changes: Vec<(&str, &FlowChange)>) -> BTreeMap<String, CommitError> {
        // Each mostly waits: a vswitchd that has just started answers all of them in one round of its main loop, and such a round takes long.
        let at_once = self.switch.writes_at_once();
        // However slow the switch is, the requests that wait must have their turn.
        let until = Instant::now() + self.switch.timeout();
        let changes: Vec<BoxFuture<'_, _>> =
            changes.into_iter().map(|(bridge, change)| self.change_flows_of(bridge, change, until).boxed()).collect();
        let results: Vec<_> = futures_util::stream::iter(changes).buffer_unordered(at_once).collect().await;
        results.into_iter().filter_map(|(bridge, result)| Some((bridge, result.err()?))).collect()
    }

    async fn change_flows_of(
        &self,
        bridge: &str,
        change: &FlowChange,
        until: Instant,
    ) -> (String, Result<(), CommitError>) {
        let name = bridge.to_owned();
        if Instant::now() >= until {
            let reason = "Open vSwitch takes too long for other bridges; not begun";
            return (name, Err(CommitError::Unavailable(reason.to_owned())));
        }
        let row = || self.switch.observer().read(|db| db.view().bare_bridge(bridge).map(|bridge| bridge.uuid));
        let Some(uuid) = row() else { return (name, Ok(())) };
        let generation = self.switch.watch_health().borrow().generation;
        self.progress.begin_step();
        let before = self.known_before(uuid, change);
        let result = self.switch.change_flows(bridge, change).await;
        let result = match result {
            Ok(Some(read)) if self.switch.watch_health().borrow().generation == generation => {
                return (name, self.take_read_back(uuid, change, &before, read));
            }
            result => self.read_back(bridge, change, &before, result.map(drop)).await,
        };
        let same_life = self.switch.watch_health().borrow().generation == generation;
        match &result {
            // A bridge that we have just made has no flows but these.
            Ok(()) if same_life => self.flows.set(uuid, change.applied_to(&before)),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(bridge, %error, "the flows could not be changed");
                self.flows.set(uuid, FlowsSeen::Unknown);
            }
        }
        (name, result)
    }

    /// Judges and remembers what was read right behind a change, with cookies.
    fn take_read_back(
        &self,
        uuid: Uuid,
        change: &FlowChange,
        before: &FlowsSeen,
        FlowsRead { flows, seqno }: FlowsRead,
    ) -> Result<(), CommitError> {
        if let Some(missing) = change.missing_among(&flows) {
            self.flows.set(uuid, FlowsSeen::Unknown);
            return Err(CommitError::Undone(format!("Open vSwitch has taken the flows, and {missing}")));
        }
        // What somebody else has changed meanwhile is looked at: without a seqno what is known does not hold.
        let expected = change.applied_to(before);
        let seqno = seqno.filter(|_| expected == FlowsSeen::Unknown || expected == flows);
        self.flows.set_with_seqno(uuid, flows, seqno);
        Ok(())
    }

    fn known_before(&self, uuid: Uuid, change: &FlowChange) -> FlowsSeen {
        match self.flows.get(uuid) {
            FlowsSeen::Unknown if change.delete.as_ref().is_some_and(|delete| delete.is_empty()) => FlowsSeen::none(),
            seen => seen,
        }
    }

    /// Whether the flows are what they were to become, whatever the tool has said. The first look after a tool was killed
    /// decides (docs/ovs-facts.md).
    async fn read_back(
        &self,
        bridge: &str,
        change: &FlowChange,
        before: &FlowsSeen,
        result: Result<(), CommitError>,
    ) -> Result<(), CommitError> {
        let said = match result {
            Ok(()) => None,
            Err(CommitError::Unknown(reason)) => Some(reason),
            Err(error) => return Err(error),
        };
        match (self.switch.printed_flows(bridge).await, said) {
            (Ok(printed), said) => match change.missing_in(&printed, before) {
                None => Ok(()),
                Some(missing) => {
                    let said = said.unwrap_or_else(|| "ovs-ofctl has ended well".to_owned());
                    Err(CommitError::Undone(format!("{said}, and {missing}")))
                }
            },
            (Err(_), Some(reason)) => Err(CommitError::Unknown(reason)),
            (Err(error), None) => Err(CommitError::Unknown(format!("the flows could not be read back: {error}"))),
        }
    }
}
