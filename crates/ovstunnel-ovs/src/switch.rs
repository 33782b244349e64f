//! What the daemon can do with a switch, real or simulated.
//!
//! What it does: one interface with two implementations. What it must not do: plan.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ovstunnel_plan::{
    Capabilities, EffectiveSettings, FlowChange, FlowsSeen, ObservedBridge, Plan, PluginTable, Probe, Settings,
    SpanningTree, Step, TransitionFlows,
};
use tokio::sync::watch;

use crate::commands::{Lookups, PrintedPlan};
use crate::{Command, Counted, FlowsRead, Observer, RealSwitch, Rows, SimulatedSwitch, Tables};

/// The table in which every frame begins.
const ENTRY: &str = "table=0";

/// Bridges that are read or written at the same time: each mostly waits, for a round of the main loop of `ovs-vswitchd`.
const AT_ONCE: usize = 64;
/// The same on connections that are kept.
const NATIVELY_AT_ONCE: usize = 512;

/// What a switch in memory says of probes.
const NO_FRAMES: &str = "a simulated switch carries no frames";

/// Whether the switch can be worked with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// The database is mirrored; else the reason why not.
    pub database: Result<(), String>,
    /// `ovs-vswitchd` runs; else the reason why not.
    pub vswitchd: Result<(), String>,
    /// Since when `ovsdb-server` has not answered, where that is longer than it should be.
    pub database_silent: Option<Instant>,
    /// Since when `ovs-vswitchd` has not answered, likewise.
    pub vswitchd_silent: Option<Instant>,
    /// Counts the starts of `ovs-vswitchd` that were seen: flows read under another number say nothing any more.
    pub generation: u64,
    /// The version in the database, where it is known.
    pub version: Option<String>,
    /// Why the switch takes no meters, once that is known; asked anew of each start of `ovs-vswitchd`.
    pub no_meters: Option<String>,
}

impl Health {
    /// Which daemon runs, does not answer and computes, and for how long, in words; nothing where all answer.
    pub fn busy_reason(&self) -> Option<String> {
        let (name, since) = self.busy_since()?;
        Some(format!("{name} has been busy for {} s and answers nothing meanwhile", since.elapsed().as_secs()))
    }

    /// The same: its name, and since when.
    pub fn busy_since(&self) -> Option<(&'static str, Instant)> {
        let vswitchd = self.vswitchd_silent.filter(|_| self.vswitchd.is_ok()).map(|since| ("ovs-vswitchd", since));
        let database = self.database_silent.filter(|_| self.database.is_ok()).map(|since| ("ovsdb-server", since));
        database.or(vswitchd)
    }

    /// Whether one of the daemons is there and does nothing. What it has, it still has.
    pub fn is_hanging(&self) -> bool {
        let hangs = |state: &Result<(), String>, silent: Option<Instant>| state.is_err() && silent.is_some();
        hangs(&self.database, self.database_silent) || hangs(&self.vswitchd, self.vswitchd_silent)
    }

    /// The first reason why the switch cannot be worked with, or nothing.
    pub fn first_trouble(&self) -> Option<&str> {
        let of = |part: &'static str| move |reason| (part, reason);
        let database = self.database.as_ref().err().map(of("the database of Open vSwitch"));
        database.or_else(|| self.vswitchd.as_ref().err().map(of("ovs-vswitchd"))).map(|(_, reason)| reason.as_str())
    }
}

/// Why a change of the switch did not succeed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitError {
    /// The switch cannot be reached; nothing was changed.
    Unavailable(String),
    /// The switch refused the change as a whole, in these words; nothing was changed.
    Refused(String),
    /// It did not take effect, as was found out afterwards; nothing was changed.
    Undone(String),
    /// Only a part of it took effect.
    Partly(String),
    /// It is not known what was changed: look.
    Unknown(String),
}

impl CommitError {
    /// The same, where something was changed before.
    pub fn after_change(self, what: impl fmt::Display) -> Self {
        match self {
            CommitError::Unknown(reason) => CommitError::Unknown(format!("{what}: {reason}")),
            error => CommitError::Partly(format!("{what}: {error}")),
        }
    }
}

impl fmt::Display for CommitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommitError::Unavailable(reason) => write!(f, "Open vSwitch cannot be reached: {reason}"),
            CommitError::Refused(words) => write!(f, "Open vSwitch refused: {words}"),
            CommitError::Undone(reason) => write!(f, "it did not take effect: {reason}"),
            CommitError::Partly(reason) => write!(f, "only a part of it took effect: {reason}"),
            CommitError::Unknown(reason) => write!(f, "it is not known whether this took effect: {reason}"),
        }
    }
}

impl std::error::Error for CommitError {}

/// Why a switch cannot be used at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Open vSwitch is too old.
    #[error(
        "Open vSwitch {found} is too old: ovstunnel needs 2.7 or newer, for older ones have no `Port.protected`, \
         without which a multicast frame storms from tunnel to tunnel"
    )]
    TooOld {
        /// The version that was found.
        found: String,
    },
}

/// A switch.
#[derive(Clone, Debug)]
pub enum Switch {
    /// Open vSwitch on this host.
    Real(RealSwitch),
    /// One in memory.
    Simulated(SimulatedSwitch),
}

impl Switch {
    /// The live mirror of its database.
    pub fn observer(&self) -> &Observer {
        match self {
            Switch::Real(real) => real.observer(),
            Switch::Simulated(simulated) => simulated.observer(),
        }
    }

    /// Whether it can be worked with, now and from now on.
    pub fn watch_health(&self) -> watch::Receiver<Health> {
        self.observer().watch_health()
    }

    /// The deadline of each command.
    pub fn timeout(&self) -> Duration {
        match self {
            Switch::Real(real) => real.tools().timeout,
            Switch::Simulated(_) => crate::Tools::default().timeout,
        }
    }

    /// Has each command keep a file open from now on: whoever waits for its lock waits for a command too that has outlived
    /// the process that started it.
    pub fn keep_open(&self, file: Arc<File>) {
        match self {
            Switch::Real(real) => real.keep_open(file),
            Switch::Simulated(_) => {}
        }
    }

    /// Gives the meters that limit VIFs another rate, in frames a second; a rule that is written makes its meter.
    pub fn limit_vifs(&self, pps: u32) {
        match self {
            Switch::Real(real) => real.limit_vifs(pps),
            Switch::Simulated(simulated) => simulated.limit_vifs(pps),
        }
    }

    /// The settings as this switch can honour them, as far as is known by now.
    pub fn effective_settings(&self, settings: &Settings) -> EffectiveSettings {
        let meters = self.watch_health().borrow().no_meters.is_none();
        EffectiveSettings::for_switch(settings, Capabilities { meters })
    }

    /// Steps as the commands that [`Switch::commit`] runs for them, for a person to read.
    pub fn print_steps(&self, steps: &[Step]) -> Vec<Command> {
        match self {
            Switch::Real(real) => real.tools().transaction_commands(steps),
            Switch::Simulated(_) => crate::Tools::default().transaction_commands(steps),
        }
    }

    /// Carries out all steps but those on flows, in one transaction, and returns once vswitchd has taken them up.
    pub async fn commit(&self, steps: &[Step]) -> Result<(), CommitError> {
        match self {
            Switch::Real(real) => real.commit(steps).await,
            Switch::Simulated(simulated) => simulated.commit(steps).await,
        }
    }

    /// That the database answers at this moment: before what must not be left half done.
    pub async fn database_answers(&self) -> Result<(), CommitError> {
        match self {
            Switch::Real(real) => real.database_answers().await,
            Switch::Simulated(simulated) => simulated.database_answers(),
        }
    }

    /// Has the mirror begin anew on a new connection to the database; gives its number, for [`Observer::has_caught_up`].
    /// What a command that is gone has written is in the first answer on that connection, or will never be.
    pub fn begin_anew(&self) -> u64 {
        let number = self.observer().ask_for_connection();
        if let Switch::Simulated(simulated) = self {
            simulated.begin_anew();
        }
        number
    }

    /// Changes flows of one bridge: all of it or nothing.
    ///
    /// Gives what was read behind it, where that was read in the same go.
    pub async fn change_flows(&self, bridge: &str, change: &FlowChange) -> Result<Option<FlowsRead>, CommitError> {
        match self {
            Switch::Real(real) => real.change_flows(bridge, change).await,
            Switch::Simulated(simulated) => simulated.change_flows(bridge, change).await.map(|()| None),
        }
    }

    /// Reads our flows of one bridge.
    pub async fn dump_flows(&self, bridge: &str) -> Result<FlowsSeen, CommitError> {
        match self {
            Switch::Real(real) => real.read_flows(bridge).await.map(|read| read.flows),
            Switch::Simulated(simulated) => simulated.dump_flows(bridge).await,
        }
    }

    /// Reads our flows of a bridge that a flow monitor watches; nothing where none does.
    pub async fn read_monitored(&self, bridge: &str) -> Option<Result<FlowsRead, CommitError>> {
        let real = self.real_switch()?;
        real.flow_seqno(bridge)?;
        Some(real.read_flows(bridge).await)
    }

    /// Bridges that are worth writing to at the same time: by commands each is a process.
    pub fn writes_at_once(&self) -> usize {
        match self.real_switch().and_then(RealSwitch::flow_news) {
            Some(_) => NATIVELY_AT_ONCE,
            None => AT_ONCE,
        }
    }

    /// Bridges that are worth reading at the same time, of these: of those that no flow monitor watches the control socket is asked,
    /// which does not take hundreds of connections at once.
    pub fn reads_at_once<'a>(&self, mut bridges: impl Iterator<Item = &'a str>) -> usize {
        match self.real_switch() {
            Some(real) if bridges.all(|bridge| real.flow_seqno(bridge).is_some()) => NATIVELY_AT_ONCE,
            _ => AT_ONCE,
        }
    }

    /// The flow tables of a bridge as `bridge/dump-flows` on the control socket prints them, without cookies.
    pub async fn printed_flows(&self, bridge: &str) -> Result<String, CommitError> {
        match self {
            Switch::Real(real) => real.printed_flows(bridge).await,
            Switch::Simulated(simulated) => simulated.printed_flows(bridge),
        }
    }

    /// What the control socket tells of a bridge's flow tables, where the switch can say it: far cheaper than to read our flows.
    pub async fn read_tables(&self, bridge: &str) -> Option<Tables> {
        match self {
            Switch::Real(real) => real.read_tables(bridge).await,
            Switch::Simulated(_) => None,
        }
    }

    /// Open vSwitch on this host, which can be asked more than a simulated one.
    pub fn real_switch(&self) -> Option<&RealSwitch> {
        match self {
            Switch::Real(real) => Some(real),
            Switch::Simulated(_) => None,
        }
    }

    /// Sets one part of a port's configuration over OpenFlow: `flood`, `up`, `receive`, `forward` or the contrary.
    pub async fn set_port(&self, bridge: &str, port: u32, how: &str) -> Result<(), CommitError> {
        match self {
            Switch::Real(real) => real.set_port(bridge, port, how).await,
            Switch::Simulated(_) => Ok(()),
        }
    }

    /// Has every port of a bridge flooded to again, after STP was switched off. Whom somebody has excepted stays so.
    pub async fn flood_again(&self, bridge: &ObservedBridge) -> Result<(), CommitError> {
        match self {
            Switch::Real(real) => real.flood_again(bridge).await,
            Switch::Simulated(simulated) => simulated.flood_again(bridge),
        }
    }

    /// Lays temporary flows over a bridge; they end by themselves after some seconds.
    pub async fn lay_transition(&self, bridge: &ObservedBridge) -> Result<TransitionFlows, CommitError> {
        match self {
            Switch::Real(real) => real.lay_transition(bridge).await,
            Switch::Simulated(simulated) => Ok(simulated.lay_transition(bridge)),
        }
    }

    /// Teaches the bridge what it had learnt, and takes the temporary flows away.
    pub async fn lift_transition(&self, bridge: &str, transition: &TransitionFlows) -> Result<(), CommitError> {
        match self {
            Switch::Real(real) => real.lift_transition(bridge, transition).await,
            Switch::Simulated(simulated) => simulated.lift_transition(bridge, transition),
        }
    }

    /// The spanning tree that a bridge is in, where STP is on and Open vSwitch can say it.
    pub async fn spanning_tree(&self, bridge: &ObservedBridge) -> Option<SpanningTree> {
        match self {
            Switch::Real(real) if bridge.stp_enable => real.spanning_tree(&bridge.name).await,
            Switch::Real(_) | Switch::Simulated(_) => None,
        }
    }

    /// Announces a bridge's VMs to the other hosts, where it was in a spanning tree; says how many addresses.
    pub async fn announce_vms(&self, bridge: &ObservedBridge, announce_only: bool) -> Result<usize, CommitError> {
        match self {
            Switch::Real(real) => real.announce_vms(bridge, announce_only).await,
            Switch::Simulated(_) => Ok(0),
        }
    }

    /// Lays the flows that count a probe's frames; they end by themselves after so many seconds.
    pub async fn arm_probe(&self, bridge: &str, probe: &Probe, seconds: u32) -> Result<(), CommitError> {
        match self {
            Switch::Real(real) => real.arm_probe(bridge, probe, seconds).await,
            Switch::Simulated(_) => Err(CommitError::Refused(NO_FRAMES.to_owned())),
        }
    }

    /// Sends frames into each tunnel of a probe: of so many bytes each, and so many.
    pub async fn send_probe(&self, bridge: &str, probe: &Probe, frames: (u32, usize)) -> Result<(), CommitError> {
        match self {
            Switch::Real(real) => real.send_probe(bridge, probe, frames).await,
            Switch::Simulated(_) => Err(CommitError::Refused(NO_FRAMES.to_owned())),
        }
    }

    /// Reads the flows of one bridge that have the form of the Python plugin's.
    pub async fn plugin_flows(&self, bridge: &ObservedBridge, settings: &Settings) -> Result<PluginTable, CommitError> {
        let dump = match self {
            Switch::Real(real) => real.dump_all_flows(&bridge.name, Some(ENTRY)).await,
            Switch::Simulated(simulated) => simulated.dump_all_flows(&bridge.name),
        };
        Ok(PluginTable::parse_dump(&dump?, bridge, settings))
    }

    /// All flows of a bridge's first table, whosever they are, as `ovs-ofctl dump-flows` prints them.
    pub async fn entry_flows(&self, bridge: &str) -> Result<String, CommitError> {
        match self {
            Switch::Real(real) => real.dump_all_flows(bridge, Some(ENTRY)).await,
            Switch::Simulated(simulated) => simulated.dump_all_flows(bridge),
        }
    }

    /// All flows of all tables of a bridge, in the same way.
    pub async fn every_flow(&self, bridge: &str) -> Result<String, CommitError> {
        match self {
            Switch::Real(real) => real.dump_all_flows(bridge, None).await,
            Switch::Simulated(simulated) => simulated.dump_all_flows(bridge),
        }
    }

    /// The rows of bridges, ports and interfaces with all columns: what the mirror does not have. Costs a command.
    pub async fn read_rows(&self) -> Result<Rows, CommitError> {
        match self {
            Switch::Real(real) => real.read_rows().await,
            Switch::Simulated(simulated) => Ok(simulated.list_rows()),
        }
    }

    /// What each tunnel has counted, by its interface's name, as of the last time that `ovs-vswitchd` told its database. One question
    /// for all bridges, and no command.
    pub async fn tunnel_counters(&self) -> Result<BTreeMap<String, Counted>, CommitError> {
        match self {
            Switch::Real(real) => real.tunnel_counters().await,
            Switch::Simulated(simulated) => Ok(Counted::of_rows(simulated.list_rows().interfaces)),
        }
    }

    /// A plan as [`Switch::print_plan`] shows it, under temporary flows over its bridge.
    pub async fn print_under_transition(&self, bridge: &ObservedBridge, plan: &Plan) -> PrintedPlan {
        let (tools, transition) = match self {
            Switch::Real(real) => (real.tools().clone(), real.transition_flows(bridge).await),
            Switch::Simulated(_) => (crate::Tools::default(), Ok(TransitionFlows::over_bridge(bridge, &[]))),
        };
        let Ok(transition) = transition else { return self.print_plan(plan).await };
        let learnt = format!("bridge {}: which addresses it has learnt when its temporary flows are laid", bridge.name);
        let mut printed =
            PrintedPlan { commands: vec![tools.lay_transition(&bridge.name, &transition)], afterwards: vec![learnt] };
        printed.extend(self.print_plan(plan).await);
        printed.commands.push(tools.lift_transition(&bridge.name, &transition));
        printed
    }

    /// A plan as commands, for a person to read; a simulated switch shows those of a real one. Changes nothing; asks the switch
    /// which ports are excepted where the plan has ports flooded to again.
    pub async fn print_plan(&self, plan: &Plan) -> PrintedPlan {
        let mut excepted = BTreeMap::new();
        for bridge in plan.floods_before().into_iter().chain(plan.floods_after()) {
            let ports = match self {
                Switch::Real(real) => real.flood_exceptions(bridge).await,
                Switch::Simulated(_) => Ok(BTreeSet::new()),
            };
            excepted.extend(ports.ok().map(|ports| (bridge.to_owned(), ports)));
        }
        let (tools, pps) = match self {
            Switch::Real(real) => (real.tools().clone(), real.meter_rate()),
            Switch::Simulated(simulated) => (crate::Tools::default(), simulated.meter_rate()),
        };
        self.observer().read(|db| tools.print_plan(plan, &Lookups { view: &db.view(), excepted: &excepted, pps }))
    }
}
