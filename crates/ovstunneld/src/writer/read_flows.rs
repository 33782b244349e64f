//! Reads the flows of bridges, as far as they are not known. Must not change anything.

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use ovstunnel_plan::{BridgeName, FlowsSeen};
use tokio::time::Instant;
use uuid::Uuid;

use super::{Executor, Still};

impl Executor {
    /// Reads the flows of all managed bridges; says which could not be read.
    pub(super) async fn read_flows(&self, bridges: &[(BridgeName, Uuid)]) -> Vec<String> {
        self.read_flows_of_some(bridges.iter().map(|(name, uuid)| (name, uuid))).await
    }

    /// Reads the flows of some bridges; says which could not be read.
    pub(super) async fn read_flows_of_some<'a>(
        &self,
        bridges: impl IntoIterator<Item = (&'a BridgeName, &'a Uuid)>,
    ) -> Vec<String> {
        let until = Instant::now() + self.switch.timeout() / 2;
        let bridges: Vec<(&BridgeName, &Uuid)> = bridges.into_iter().collect();
        let at_once = self.switch.reads_at_once(bridges.iter().map(|(name, _)| name.as_str()));
        let dumps: Vec<BoxFuture<'_, _>> =
            bridges.into_iter().map(|(name, uuid)| self.read_flows_in_time(name, *uuid, until).boxed()).collect();
        let results: Vec<_> = futures_util::stream::iter(dumps).buffer_unordered(at_once).collect().await;
        results.into_iter().flatten().collect()
    }

    /// A switch that takes long for each answer keeps the requests waiting: what it has not been asked for until then is left
    /// for the next look, which does not ask again for what has been read.
    async fn read_flows_in_time(&self, name: &BridgeName, uuid: Uuid, until: Instant) -> Option<String> {
        if Instant::now() < until {
            return self.read_flows_of(name, uuid).await;
        }
        Some(format!(
            "flows of bridge {name} were not read: Open vSwitch takes too long; they are read at the next look"
        ))
    }

    /// Reads the flows of one bridge, if they are not those that were read last; says why they could not be read.
    async fn read_flows_of(&self, name: &BridgeName, uuid: Uuid) -> Option<String> {
        self.progress.begin_step();
        if let Some(read) = self.switch.read_monitored(name.as_str()).await {
            let (seen, seqno, failure) = match read {
                Ok(read) => (read.flows, read.seqno, None),
                Err(error) => {
                    (FlowsSeen::Unknown, None, Some(format!("flows of bridge {name} could not be read: {error}")))
                }
            };
            self.flows.set_with_seqno(uuid, seen, seqno);
            return failure;
        }
        let tables = self.switch.read_tables(name.as_str()).await;
        if let Some(tables) = &tables {
            if self.flows.compare_digest(uuid, &tables.digest) == Still::Same {
                return None;
            }
            if tables.bare {
                // None of ours can be among none: that needs no command.
                self.flows.set_with_digest(uuid, FlowsSeen::none(), Some(tables.digest));
                return None;
            }
        }
        let seen = match self.switch.dump_flows(name.as_str()).await {
            Ok(seen) => seen,
            Err(error) => {
                self.flows.set(uuid, FlowsSeen::Unknown);
                return Some(format!("flows of bridge {name} could not be read: {error}"));
            }
        };
        // The sign is that of what was read only if nothing changed meanwhile.
        let after = self.switch.read_tables(name.as_str()).await;
        let digest = tables.map(|tables| tables.digest);
        let digest = digest.filter(|before| after.is_some_and(|after| after.digest.same_as(before)));
        self.flows.set_with_digest(uuid, seen, digest);
        None
    }
}
