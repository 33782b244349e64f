//! How long a simulated switch takes for a command, so that a simulation runs in the times of a real one.
//!
//! What it does: asks whoever simulates, before each command. What it must not do: know any times itself.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ovstunnel_plan::{FlowChange, Step};

/// What a command of a simulated switch is about to do.
#[derive(Clone, Copy, Debug)]
pub enum Work<'a> {
    /// One transaction, by `ovs-vsctl`.
    Transaction {
        /// What it does.
        steps: &'a [Step],
        /// Ports in the database, all of which the tool reads first.
        ports: usize,
    },
    /// One bundle, by `ovs-ofctl`.
    Bundle(&'a FlowChange),
    /// Reads our flows of one bridge, by `ovs-ofctl`.
    Dump {
        /// The bridge.
        bridge: &'a str,
    },
}

/// Says how long a command takes, which is carried out at the end of that time.
#[derive(Clone)]
pub struct Pace(Arc<Takes>);

type Takes = dyn Fn(&Work<'_>) -> Duration + Send + Sync;

impl Pace {
    /// As `takes` says, which is called once for each command.
    pub fn new(claims: impl Fn(&Work<'_>) -> Duration + Send + Sync + 'static) -> Self {
        Pace(Arc::new(claims))
    }

    pub(super) fn delay_of(&self, work: &Work<'_>) -> Duration {
        (self.0)(work)
    }
}

impl fmt::Debug for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pace")
    }
}
