//! What a plan is as commands, and what each single change is.
//!
//! What it does: compiles changes to commands. [`crate::RealSwitch`] runs what is compiled here and nothing else, a dry run prints
//! it, without the commands that only read. What it must not do: run anything, or leave out of what is printed what it knows to be
//! run.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_plan::{
    FlowChange, ObservedBridge, ObservedInterface, ObservedPort, Phase, Plan, PortEdit, Step, TransitionFlows, View,
};

use crate::{Tools, ofctl, vsctl};

/// One external command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Its standard input.
    pub stdin: Option<String>,
}

impl Command {
    /// The program's name without its folder.
    pub(crate) fn program_name(&self) -> &str {
        let program = self.argv.first().map(String::as_str).unwrap_or_default();
        program.rsplit_once('/').map_or(program, |(_, name)| name)
    }
}

/// A plan as commands, for a person to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrintedPlan {
    /// The commands, in order. Those of flows of different bridges, and of different ports that are flooded to again, run side by side.
    pub commands: Vec<Command>,
    /// What of them is known only once it is carried out, in words.
    pub afterwards: Vec<String>,
}

impl PrintedPlan {
    /// Adds what comes behind it.
    pub fn extend(&mut self, other: PrintedPlan) {
        self.commands.extend(other.commands);
        for words in other.afterwards {
            if !self.afterwards.contains(&words) {
                self.afterwards.push(words);
            }
        }
    }
}

/// A change of a bridge's flows as commands.
#[derive(Clone, Debug)]
pub(crate) struct FlowCommands {
    /// Make the meters that the new flows name; each goes before them.
    pub meters: Vec<(u32, Command)>,
    /// The flows.
    pub bundle: Command,
    /// Remove the meters that no flow names any more.
    pub freed: Vec<Command>,
}

/// What was looked up before a plan was printed.
#[allow(missing_debug_implementations, reason = "a view has none")]
pub(crate) struct Lookups<'a> {
    /// The bridges as they are.
    pub view: &'a dyn View,
    /// Ports that somebody has excepted from flooding, by bridge; nothing where the switch did not say.
    pub excepted: &'a BTreeMap<String, BTreeSet<u32>>,
    /// Rate of meters that are made, in frames a second.
    pub pps: u32,
}

impl Tools {
    fn tool_command(&self, name: &str, args: Vec<String>, stdin: Option<String>) -> Command {
        let program = self.program_path(name).display().to_string();
        Command { argv: std::iter::once(program).chain(args).collect(), stdin }
    }

    /// A run of `ovs-ofctl`.
    pub(crate) fn ofctl_command(&self, args: Vec<String>, stdin: Option<String>) -> Command {
        self.tool_command("ovs-ofctl", args, stdin)
    }

    /// A run of `ovs-vsctl` with its options before these arguments.
    pub(crate) fn vsctl_command(&self, args: impl IntoIterator<Item = String>) -> Command {
        self.tool_command("ovs-vsctl", self.vsctl_options().into_iter().chain(args).collect(), None)
    }

    /// One transaction: one command, but where its arguments would be too long.
    pub(crate) fn transaction_commands(&self, steps: &[Step]) -> Vec<Command> {
        let command = |args: Vec<String>| self.vsctl_command(std::iter::once("--".to_owned()).chain(args));
        vsctl::vsctl_transactions(steps).into_iter().map(command).collect()
    }

    /// A change of a bridge's flows.
    pub(crate) fn flow_commands(&self, bridge: &str, change: &FlowChange, pps: u32) -> FlowCommands {
        let meter =
            |meter| (meter, self.ofctl_command(ofctl::set_meter("add-meter", self, bridge, (meter, pps)), None));
        FlowCommands {
            meters: change.meters_needed().into_iter().map(meter).collect(),
            bundle: self.bundle_command(bridge, change.bundle_lines()),
            freed: change
                .meters_freed()
                .into_iter()
                .map(|meter| self.ofctl_command(ofctl::del_meter(self, bridge, meter), None))
                .collect(),
        }
    }

    /// A bundle of flows.
    pub(crate) fn bundle_command(&self, bridge: &str, lines: String) -> Command {
        self.ofctl_command(ofctl::bundle_args(self, bridge), Some(lines))
    }

    /// Lays temporary flows.
    pub(crate) fn lay_transition(&self, bridge: &str, transition: &TransitionFlows) -> Command {
        self.bundle_command(bridge, transition.laying_lines())
    }

    /// Teaches a bridge what it had learnt, and takes the temporary flows away.
    pub(crate) fn lift_transition(&self, bridge: &str, transition: &TransitionFlows) -> Command {
        self.ofctl_command(ofctl::bundle_with_packets(self, bridge), Some(transition.teach_and_down()))
    }

    /// How a bridge's ports are configured.
    pub(crate) fn show_command(&self, bridge: &str) -> Command {
        self.ofctl_command(ofctl::show_args(self, bridge), None)
    }

    /// Has a port flooded to again. Only a change of the setting has Open vSwitch look at a port, so it is switched off and on.
    pub(crate) fn flood_to(&self, bridge: &str, port: &str) -> [Command; 2] {
        ["no-flood", "flood"].map(|how| self.ofctl_command(ofctl::mod_port(self, bridge, port, how), None))
    }

    /// A plan, for a person to read.
    pub(crate) fn print_plan(&self, plan: &Plan, lookups: &Lookups<'_>) -> PrintedPlan {
        let mut printed = PrintedPlan::default();
        for phase in Phase::ORDER {
            match phase {
                Phase::FlowsBefore => self.print_flows(&plan.flows_before(), lookups, &mut printed),
                Phase::FloodsBefore => self.print_floods(plan, &plan.floods_before(), lookups, &mut printed),
                Phase::Database => {
                    printed
                        .commands
                        .extend(plan.transactions().iter().flat_map(|steps| self.transaction_commands(steps)));
                }
                Phase::FloodsAfter => {
                    self.print_floods(plan, &plan.floods_after(), lookups, &mut printed);
                    printed.commands.extend(self.transaction_commands(&plan.says_flooding()));
                }
                Phase::FlowsAfter => self.print_flows(&plan.flows_after(), lookups, &mut printed),
            }
        }
        printed
    }

    fn print_flows(&self, changes: &[(&str, &FlowChange)], lookups: &Lookups<'_>, printed: &mut PrintedPlan) {
        for (bridge, change) in changes {
            let FlowCommands { meters, bundle, freed } = self.flow_commands(bridge, change, lookups.pps);
            if !meters.is_empty() {
                let words = format!("bridge {bridge}: a meter that is there already is changed by `mod-meter`");
                printed.afterwards.push(words);
            }
            printed.commands.extend(meters.into_iter().map(|(_, command)| command).chain([bundle]).chain(freed));
        }
    }

    fn print_floods(&self, plan: &Plan, bridges: &[&str], lookups: &Lookups<'_>, printed: &mut PrintedPlan) {
        for name in bridges {
            let Some(observed) = lookups.view.bridge(name) else { continue };
            let excepted = lookups.excepted.get(*name);
            if excepted.is_none() {
                let words = "which ports somebody has excepted from flooding; those are left out";
                printed.afterwards.push(format!("bridge {name}: {words}"));
            }
            let (mut ports, later) = flooded_to(&observed, plan);
            ports.retain(|(_, number)| !excepted.is_some_and(|excepted| number.is_some_and(|n| excepted.contains(&n))));
            if !later.is_empty() {
                let words = format!("the OpenFlow numbers of {}", later.join(", "));
                printed.afterwards.push(format!("bridge {name}: {words}"));
            }
            let number = |(port, number): (String, Option<u32>)| {
                self.flood_to(name, &number.map_or_else(|| format!("<ofport of {port}>"), |number| number.to_string()))
            };
            printed.commands.extend(ports.into_iter().flat_map(number));
        }
    }
}

/// The OpenFlow numbers of a bridge's ports that can be flooded to.
pub(crate) fn flood_ports(bridge: &ObservedBridge) -> impl Iterator<Item = u32> {
    bridge.ports.values().flat_map(|port| &port.interfaces).filter_map(ObservedInterface::openflow_port)
}

/// The ports that a bridge will have once a plan's transactions are done, with their OpenFlow numbers; without one those that are
/// new or made anew, which are named once more behind it: their numbers are known only then.
fn flooded_to(bridge: &ObservedBridge, plan: &Plan) -> (Vec<(String, Option<u32>)>, Vec<String>) {
    let numbers = |port: &ObservedPort| port.interfaces.iter().filter_map(ObservedInterface::openflow_port).collect();
    let mut ports: BTreeMap<String, Vec<u32>> =
        bridge.ports.iter().map(|(name, port)| (name.clone(), numbers(port))).collect();
    let mut later = BTreeSet::new();
    for step in plan.database_steps().filter(|step| step.bridge() == bridge.name) {
        match step {
            Step::AddTunnel { tunnel, .. } => drop(later.insert(tunnel.port_name().to_string())),
            Step::RemoveTunnel { port, .. } => drop(ports.remove(port)),
            Step::EditTunnel { port, edits, .. } if edits.contains(&PortEdit::Detach) => {
                ports.remove(port.as_str());
                later.insert(port.to_string());
            }
            _ => {}
        }
    }
    let known =
        ports.into_iter().flat_map(|(name, ports)| ports.into_iter().map(move |port| (name.clone(), Some(port))));
    let mut all: Vec<(String, Option<u32>)> = known.chain(later.iter().map(|name| (name.clone(), None))).collect();
    all.sort();
    (all, later.into_iter().collect())
}
