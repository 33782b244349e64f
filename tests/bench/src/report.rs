//! What a run has found, as it is written to JSON. Must not know how anything was measured.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::stats::Samples;

/// All of a run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Report {
    pub machine: Machine,
    /// A smoke run with tiny numbers: its figures say nothing.
    pub quick: bool,
    /// How long all of it took.
    pub seconds: f64,
    pub lines: Vec<Line>,
    pub curves: Vec<Curve>,
}

/// What it ran on.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Machine {
    pub cores: usize,
    pub cpu: String,
    pub memory_mb: u64,
    pub kernel: String,
    pub open_vswitch: String,
    pub datapath: String,
    /// A virtual machine without acceleration, where only ratios say something.
    #[serde(default)]
    pub slow: bool,
    /// `release` or `debug`: how the programs were built.
    pub build: String,
    pub date: String,
}

/// Who does the same work on the same switch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Who {
    /// `ovstunneld` over HTTPS, with a client certificate, on a connection that is kept.
    Daemon,
    /// One bare `ovs-vsctl`, and one `ovs-ofctl --bundle` where there are flows: the floor.
    Command,
    /// One JSON-RPC transaction straight into the switch's database.
    Database,
    /// The commands that the Python plugin runs, one after another.
    Plugin,
    /// `ovsdbapp`, the library under Neutron's agent.
    Ovsdbapp,
    /// `ovs_lib` of Neutron's agent.
    Neutron,
    /// os-vif, by which Nova plugs VIFs.
    OsVif,
    /// The transactions of Xen Orchestra's SDN controller.
    Xo,
    /// OVN: northd, its databases, and a controller on each host.
    Ovn,
}

impl Who {
    /// Those that write the same rows: the table's columns.
    pub const SAME_ROWS: [Who; 5] = [Who::Daemon, Who::Command, Who::Database, Who::Plugin, Who::Ovsdbapp];

    /// For a person.
    pub fn label(self) -> &'static str {
        match self {
            Who::Daemon => "ovstunneld",
            Who::Command => "bare command",
            Who::Database => "bare JSON-RPC",
            Who::Plugin => "plugin's commands",
            Who::Ovsdbapp => "ovsdbapp",
            Who::Neutron => "Neutron's ovs_lib",
            Who::OsVif => "os-vif",
            Who::Xo => "XO's transactions",
            Who::Ovn => "OVN",
        }
    }
}

/// One line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// The part of the benchmark that it is from, for `--only`.
    pub scenario: String,
    pub what: String,
    pub unit: Unit,
    pub daemon: Reading,
    pub beside: Vec<Beside>,
    pub goals: Vec<Goal>,
}

/// One figure.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Reading {
    pub value: f64,
    /// From how many rounds.
    pub samples: usize,
    /// Between which values the middle half of the rounds lies, of a median.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spread: Option<(f64, f64)>,
}

/// The figure of somebody else, or of what it is compared with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Beside {
    pub who: Who,
    #[serde(flatten)]
    pub reading: Reading,
    /// Where it is not what its column says, or not measured in full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What figures are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    Seconds,
    Bytes,
    Percent,
    Flows,
    /// Of what the line says.
    Number,
    BitsPerSecond,
    PacketsPerSecond,
}

/// A goal, and what came of it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Goal {
    /// What the number is about, behind the number and its unit.
    pub of: String,
    pub value: f64,
    pub limit: f64,
    pub at_most: bool,
    pub unit: String,
    pub met: bool,
}

impl Goal {
    pub fn at_most(value: f64, limit: f64, unit: &str, of: &str) -> Self {
        Goal { of: of.into(), value, limit, at_most: true, unit: unit.into(), met: value <= limit }
    }

    pub fn at_least(value: f64, limit: f64, unit: &str, of: &str) -> Self {
        Goal { of: of.into(), value, limit, at_most: false, unit: unit.into(), met: value >= limit }
    }
}

impl fmt::Display for Goal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.at_most { "≤" } else { "≥" };
        let number = |value: f64| match value.abs() {
            value if value >= 100.0 => format!("{value:.0}"),
            value if value >= 10.0 => format!("{value:.1}"),
            _ => format!("{value:.2}"),
        };
        let limit = self.limit;
        let unit = if self.unit.is_empty() { String::new() } else { format!(" {}", self.unit) };
        write!(f, "{}{unit} {} ({sign} {limit}{unit})", number(self.value), self.of)
    }
}

/// Points of a plot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Curve {
    /// Which plot it belongs to.
    pub plot: Plot,
    pub name: String,
    pub points: Vec<(f64, f64)>,
}

/// The plots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Plot {
    /// Time for one tunnel against tunnels on the host.
    OneTunnel,
    /// Flows of a bridge against its tunnels.
    Flows,
}

/// What a scenario has found.
#[derive(Debug, Default)]
pub struct Found {
    pub lines: Vec<Line>,
    pub curves: Vec<Curve>,
}

impl Line {
    /// A line about something that only the daemon does.
    pub fn new(scenario: &str, what: impl Into<String>, unit: Unit, value: f64, samples: usize) -> Self {
        let daemon = Reading { value, samples, spread: None };
        Line { scenario: scenario.into(), what: what.into(), unit, daemon, beside: vec![], goals: vec![] }
    }

    #[must_use]
    pub fn beside(mut self, who: Who, value: f64, samples: usize, note: Option<&str>) -> Self {
        let reading = Reading { value, samples, spread: None };
        self.beside.push(Beside { who, reading, note: note.map(str::to_owned) });
        self
    }

    /// Tells between which values the middle half of the daemon's rounds lies.
    #[must_use]
    pub fn spread(mut self, samples: &Samples) -> Self {
        self.daemon.spread = Some(samples.quartiles());
        self
    }

    #[must_use]
    pub fn goal(mut self, goal: Goal) -> Self {
        self.goals.push(goal);
        self
    }

    /// How many times as long as `who` the daemon takes; infinite where `who` was not measured, which no goal allows.
    pub fn times(&self, who: Who) -> f64 {
        let other = self.beside.iter().find(|beside| beside.who == who);
        other.map_or(f64::INFINITY, |other| self.daemon.value / other.reading.value)
    }

    /// The goal that the daemon takes at most `limit` times as long as `who`.
    #[must_use]
    pub fn at_most_times(self, who: Who, limit: f64, of: &str) -> Self {
        let goal = Goal::at_most(self.times(who), limit, "×", of);
        self.goal(goal)
    }

    /// The goal that the daemon is at least `limit` times as fast as `who`.
    #[must_use]
    pub fn faster_than(self, who: Who, limit: f64) -> Self {
        let goal = Goal::at_least(1.0 / self.times(who), limit, "×", &format!("as fast as the {}", who.label()));
        self.goal(goal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_told_with_its_number_and_judged() {
        let line = Line::new("x", "y", Unit::Seconds, 2.0, 1).beside(Who::Command, 1.6, 1, None);
        let line = line.beside(Who::Plugin, 30.0, 1, None);
        let line = line.at_most_times(Who::Command, 1.3, "the bare command").faster_than(Who::Plugin, 16.0);
        let told: Vec<_> = line.goals.iter().map(|goal| (goal.to_string(), goal.met)).collect();
        assert_eq!(told[0], ("1.25 × the bare command (≤ 1.3 ×)".to_owned(), true));
        assert_eq!(told[1], ("15.0 × as fast as the plugin's commands (≥ 16 ×)".to_owned(), false));
    }

    #[test]
    fn what_was_not_measured_meets_no_goal() {
        let line = Line::new("x", "y", Unit::Seconds, 2.0, 1);
        assert!(!line.clone().at_most_times(Who::Command, 9e9, "").goals[0].met);
        assert!(!line.faster_than(Who::Ovsdbapp, 0.1).goals[0].met);
    }
}
