//! What things cost, in milliseconds: the one table of times, each with its source.
//!
//! Tokio's clock counts whole milliseconds, so a time of a command is rounded up to one.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use ovstunnel_ovs::Work;
use ovstunnel_plan::{FlowChange, Step};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Times in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// One HTTPS request of the management server and its answer, without what the daemon does for it.
    pub request: f64,
    /// One call of the xapi plugin, without what the daemon does for it.
    pub plugin_call: f64,
    /// An `ovs-vsctl` that changes something, on a small database.
    pub transaction: f64,
    /// For each port in the database, all of which `ovs-vsctl` reads.
    pub port_there: f64,
    /// For each tunnel that a transaction makes.
    pub tunnel_made: f64,
    /// For each tunnel that a transaction removes, also with its bridge.
    pub tunnel_removed: f64,
    /// For each pair of tunnels that one transaction makes or removes: Open vSwitch is quadratic there.
    pub tunnel_pair: f64,
    /// For each bridge that a transaction makes.
    pub bridge_made: f64,
    /// For each bridge that a transaction removes.
    pub bridge_removed: f64,
    /// An `ovs-ofctl` with a bundle.
    pub bundle: f64,
    /// For each line of it.
    pub flow: f64,
    /// An `ovs-ofctl` that reads our flows of one bridge.
    pub dump: f64,
}

/// Where each figure comes from.
pub const SOURCES: [(&str, &str); 12] = [
    (
        "request",
        "measured: 2 ms for a new TLS connection with client certificate on one machine; assumed: 2 ms for its round trips",
    ),
    ("plugin_call", "assumed: xapi's session, its start of the plugin, and the plugin itself"),
    ("transaction", "measured: one tunnel added by the bare command, no others there (docs/BENCHMARKS.md)"),
    (
        "port_there",
        "measured: one tunnel added with 1,000 and 5,000 tunnels there, by the bare command (docs/BENCHMARKS.md)",
    ),
    ("tunnel_made", "measured: 10 and 100 tunnels in one transaction"),
    ("tunnel_removed", "measured: a bridge with 100 tunnels removed"),
    ("tunnel_pair", "measured: a bridge of 1,999 tunnels made in 0.7 s (docs/ovs-facts.md) and removed"),
    ("bridge_made", "measured: within the noise of a transaction"),
    ("bridge_removed", "measured: a bridge without tunnels removed"),
    ("bundle", "measured: a bundle with the rule of a VIF (docs/BENCHMARKS.md)"),
    ("flow", "docs/ovs-facts.md: 50,000 flows in one bundle take 0.6 s"),
    ("dump", "measured: the flows of 500 bridges, one after the other (docs/BENCHMARKS.md)"),
];

impl Default for Costs {
    fn default() -> Self {
        Costs {
            request: 4.0,
            plugin_call: 100.0,
            transaction: 6.5,
            port_there: 0.02,
            tunnel_made: 0.15,
            tunnel_removed: 0.1,
            tunnel_pair: 0.0003,
            bridge_made: 0.0,
            bridge_removed: 9.0,
            bundle: 4.5,
            flow: 0.012,
            dump: 4.0,
        }
    }
}

impl Costs {
    /// Sets one figure, told as `NAME=MILLISECONDS`.
    ///
    /// # Errors
    /// When there is no such figure, or it is not a number of milliseconds.
    pub fn set(&mut self, text: &str) -> Result<()> {
        let (name, value) = text.split_once('=').context("a cost is told as NAME=MILLISECONDS")?;
        let value: f64 = value.parse().with_context(|| format!("{name}: `{value}` is not a number of milliseconds"))?;
        if !(0.0..=3_600_000.0).contains(&value) {
            return Err(anyhow!("{name} must be from 0 to 3600000 milliseconds, not {value}"));
        }
        let mut figures = serde_json::to_value(&*self)?;
        let figure = figures.get_mut(name).with_context(|| {
            let names = SOURCES.map(|(name, _)| name).join(", ");
            format!("there is no cost `{name}`; there are {names}")
        })?;
        *figure = Value::from(value);
        *self = serde_json::from_value(figures)?;
        Ok(())
    }

    /// Time of a command of a switch.
    pub fn of(&self, work: &Work<'_>) -> Duration {
        milliseconds(match work {
            Work::Transaction { steps, ports } => self.transaction(steps, *ports),
            Work::Bundle(change) => self.bundle + self.flow * lines(change) as f64,
            Work::Dump { .. } => self.dump,
        })
    }

    fn transaction(&self, steps: &[Step], ports: usize) -> f64 {
        let Rows { bridges_made, bridges_removed, tunnels_made, tunnels_removed } = Rows::of(steps);
        let pairs = (tunnels_made * tunnels_made + tunnels_removed * tunnels_removed) as f64;
        self.transaction
            + self.port_there * ports as f64
            + self.bridge_made * bridges_made as f64
            + self.bridge_removed * bridges_removed as f64
            + self.tunnel_made * tunnels_made as f64
            + self.tunnel_removed * tunnels_removed as f64
            + self.tunnel_pair * pairs
    }
}

/// What a transaction makes and removes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rows {
    /// Bridges made.
    pub bridges_made: u64,
    /// Bridges removed.
    pub bridges_removed: u64,
    /// Tunnels made.
    pub tunnels_made: u64,
    /// Tunnels removed, those that go with their bridge among them.
    pub tunnels_removed: u64,
}

impl Rows {
    /// Counts the steps of one transaction.
    pub fn of(steps: &[Step]) -> Self {
        let mut rows = Rows::default();
        for step in steps {
            match step {
                Step::CreateBridge(_) => rows.bridges_made += 1,
                Step::DeleteBridge { releases, .. } => {
                    rows.bridges_removed += 1;
                    rows.tunnels_removed += releases.len() as u64;
                }
                Step::AddTunnel { .. } => rows.tunnels_made += 1,
                Step::RemoveTunnel { .. } => rows.tunnels_removed += 1,
                _ => {}
            }
        }
        rows
    }
}

fn lines(change: &FlowChange) -> usize {
    change.delete.as_ref().map_or(1, std::collections::BTreeSet::len) + change.add.len()
}

/// A time from its number of milliseconds.
pub fn milliseconds(ms: f64) -> Duration {
    Duration::from_micros((ms * 1000.0) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_figure_has_a_source_and_can_be_set() {
        let figures = serde_json::to_value(Costs::default()).unwrap();
        let names: Vec<&String> = figures.as_object().unwrap().keys().collect();
        assert_eq!(names.len(), SOURCES.len());
        for (name, _) in SOURCES {
            let mut costs = Costs::default();
            costs.set(&format!("{name}=77.5")).unwrap();
            assert_eq!(serde_json::to_value(costs).unwrap()[name], 77.5);
        }
    }

    #[test]
    fn a_bad_figure_is_told_with_its_name() {
        for (bad, words) in [("x=1", "no cost `x`"), ("dump", "NAME="), ("dump=a", "`a`"), ("dump=-1", "from 0 to")] {
            let error = format!("{:#}", Costs::default().set(bad).unwrap_err());
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_transaction_costs_more_the_more_is_there() {
        let costs = Costs::default();
        let few = costs.of(&Work::Transaction { steps: &[], ports: 10 });
        let many = costs.of(&Work::Transaction { steps: &[], ports: 3000 });
        assert!(many > few, "{few:?} {many:?}");
    }
}
