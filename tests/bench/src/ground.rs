//! A host with a switch, `ovstunneld` and whoever else writes to it, in turn.
//!
//! What it does: before each turn it freezes those whose turn it is not (what they read of others' work would cost time),
//! and lets the one whose turn it is catch up. Afterwards it checks that the rows are there. It must not judge times.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use ovstunnel_e2e::{Cloud, NodeConfig};
use ovstunnel_lab::{BR_PHY, Host, Signal};

use crate::contender::{
    command, daemon, direct, ovsdbapp, plugin,
    python::{Python, Script},
};
use crate::database::Database;
use crate::report::{Line, Unit, Who};
use crate::rows::{self, Network, Tunnel};
use crate::stats::Samples;

/// The host, and all who write to its switch.
pub struct Ground {
    // Dropped in this order: who writes, then the host.
    agents: BTreeMap<Who, Python>,
    database: Database,
    pub cloud: Cloud,
}

/// The daemon's configuration in the benchmark: as usual, but that no look of its own falls into what is measured.
pub fn config() -> NodeConfig {
    NodeConfig {
        log_level: "info".into(),
        reconcile_interval: "1h".into(),
        writes: Some("commands"),
        timeout: "120s".into(),
        ..NodeConfig::default()
    }
}

/// Gives the other hosts' addresses a way: a host none of whose tunnels has one is not ready. Nobody is there.
pub fn lead_somewhere(host: &Host) -> Result<()> {
    host.run("ip", ["route", "add", "10.0.0.0/8", "dev", BR_PHY]).map(drop)
}

/// The same of one that writes without programs.
pub fn native_config() -> NodeConfig {
    NodeConfig { writes: Some("native"), ..config() }
}

impl Ground {
    /// A host with a switch and a daemon.
    pub fn new(tag: &str) -> Result<Self> {
        Self::with_config(tag, config())
    }

    pub fn with_config(tag: &str, config: NodeConfig) -> Result<Self> {
        let cloud = Cloud::with_config(tag, 1, config)?;
        lead_somewhere(cloud.node(1)?.host())?;
        let database = Database::connect(&cloud.node(1)?.host().rundir().join("db.sock"))?;
        Ok(Ground { agents: BTreeMap::new(), database, cloud })
    }

    /// The same with ovsdbapp beside it, and a daemon that is configured so.
    pub fn with_ovsdbapp(tag: &str, config: NodeConfig) -> Result<Self> {
        let mut ground = Self::with_config(tag, config)?;
        ground.start_agent(Who::Ovsdbapp, &ovsdbapp::SCRIPT)?;
        Ok(ground)
    }

    pub fn host(&self) -> Result<Host> {
        Ok(self.cloud.node(1)?.host().clone())
    }

    pub fn database(&mut self) -> &mut Database {
        &mut self.database
    }

    /// Starts a Python process that writes to the switch, in its turn.
    pub fn start_agent(&mut self, who: Who, script: &Script) -> Result<()> {
        let agent = Python::start(&self.host()?, script).with_context(|| who.label())?;
        self.agents.insert(who, agent);
        Ok(())
    }

    pub fn agent(&mut self, who: Who) -> Result<&mut Python> {
        self.agents.get_mut(&who).with_context(|| format!("{} was not started", who.label()))
    }

    /// Lets `who` go on and catch up, and freezes the others.
    pub fn turn(&mut self, who: Who) -> Result<()> {
        let is_daemon = who == Who::Daemon;
        self.cloud.node(1)?.signal(if is_daemon { Signal::SIGCONT } else { Signal::SIGSTOP })?;
        for (name, agent) in &mut self.agents {
            agent.pause(who != *name)?;
            if who == *name {
                agent.sync()?;
            }
        }
        if is_daemon {
            // The answer also brings the connection back, should it have been closed meanwhile.
            self.cloud.wait_until_ready(1)?;
        }
        Ok(())
    }

    /// Has the daemon take in all that others wrote while it was frozen: what it writes itself comes back to it after that.
    pub fn catch_up(&mut self) -> Result<()> {
        let barrier = Network::new("xapi4999", 4999, 0);
        daemon::set_up(&self.cloud, &barrier)?;
        daemon::remove_bridge(&self.cloud, &barrier.bridge).map(drop)
    }

    /// Makes one tunnel, and checks that it is there.
    pub fn add(&mut self, who: Who, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
        let host = self.host()?;
        let took = match who {
            Who::Daemon => daemon::add(&self.cloud, bridge, tunnel),
            Who::Command => command::add(&host, bridge, tunnel),
            Who::Database => direct::add(&mut self.database, bridge, std::slice::from_ref(tunnel)),
            Who::Plugin => plugin::add(&host, bridge, tunnel),
            Who::Ovsdbapp => ovsdbapp::add(self.agent(who)?, bridge, std::slice::from_ref(tunnel)),
            _ => bail!("{} is measured by itself", who.label()),
        }?;
        rows::expect_one(&mut self.database, bridge, tunnel, who == Who::Plugin)?;
        Ok(took)
    }

    /// Removes one tunnel, and checks that it is gone.
    pub fn remove(&mut self, who: Who, bridge: &str, tunnel: &Tunnel) -> Result<Duration> {
        let host = self.host()?;
        let uuid = self.database.uuid("Port", &tunnel.port())?.context("no such port")?;
        let took = match who {
            Who::Daemon => daemon::remove(&self.cloud, bridge, tunnel),
            Who::Command => command::remove(&host, bridge, &uuid),
            Who::Database => direct::remove(&mut self.database, bridge, &uuid),
            Who::Plugin => plugin::remove(&host, bridge, tunnel),
            Who::Ovsdbapp => ovsdbapp::remove(self.agent(who)?, bridge, tunnel),
            _ => bail!("{} is measured by itself", who.label()),
        }?;
        rows::expect_none(&mut self.database, tunnel)?;
        Ok(took)
    }

    /// Sets a network up with all its tunnels, and checks that they are there. Not for the plugin, which cannot do it at once.
    pub fn set_up(&mut self, who: Who, network: &Network) -> Result<Duration> {
        let host = self.host()?;
        let took = match who {
            Who::Daemon => daemon::set_up(&self.cloud, network),
            Who::Command => command::set_up(&host, network),
            Who::Database => direct::set_up(&mut self.database, &host, network),
            Who::Ovsdbapp => ovsdbapp::set_up(self.agent(who)?, &host, network),
            _ => bail!("{} makes one tunnel after another", who.label()),
        }?;
        rows::expect(&mut self.database, &network.bridge, &network.tunnels, false)?;
        let flows = host.ofctl(["dump-flows", &network.bridge])?;
        let drops = flows.lines().filter(|line| line.contains("actions=drop")).count();
        // The daemon has more than the others.
        ensure!(drops >= 2, "{drops} flows in place of the 2 at least that are there before the first VIF:\n{flows}");
        Ok(took)
    }

    /// Removes a bridge, and checks that it is gone with all its ports.
    pub fn remove_bridge(&mut self, who: Who, bridge: &str) -> Result<Duration> {
        let host = self.host()?;
        let uuid = self.database.uuid("Bridge", bridge)?.context("no such bridge")?;
        let took = match who {
            Who::Daemon => daemon::remove_bridge(&self.cloud, bridge),
            Who::Command => command::remove_bridge(&host, &uuid),
            Who::Database => direct::remove_bridge(&mut self.database, &uuid),
            Who::Plugin => plugin::remove_bridge(&host, bridge),
            Who::Ovsdbapp => ovsdbapp::remove_bridge(self.agent(who)?, bridge),
            _ => bail!("{} is measured by itself", who.label()),
        }?;
        ensure!(self.database.uuid("Bridge", bridge)?.is_none(), "bridge {bridge} is still there");
        Ok(took)
    }
}

/// What several have taken for the same work.
#[derive(Debug, Default)]
pub struct Race(BTreeMap<Who, Samples>);

impl Race {
    pub fn push(&mut self, who: Who, took: Duration) {
        self.0.entry(who).or_default().push(took.as_secs_f64());
    }

    pub fn get(&self, who: Who) -> Samples {
        self.0.get(&who).cloned().unwrap_or_default()
    }

    /// A line of the table by one figure of each.
    pub fn line(&self, scenario: &str, what: &str, figure: impl Fn(&Samples) -> f64) -> Line {
        let ours = self.get(Who::Daemon);
        let line = Line::new(scenario, what, Unit::Seconds, figure(&ours), ours.len());
        let others = self.0.iter().filter(|(who, _)| **who != Who::Daemon);
        others.fold(line, |line, (who, samples)| line.beside(*who, figure(samples), samples.len(), None))
    }

    /// The same by everybody's median, with what lies around it.
    pub fn median(&self, scenario: &str, what: &str) -> Line {
        let mut line = self.line(scenario, what, Samples::median).spread(&self.get(Who::Daemon));
        for beside in &mut line.beside {
            beside.reading.spread = Some(self.get(beside.who).quartiles());
        }
        line
    }
}
