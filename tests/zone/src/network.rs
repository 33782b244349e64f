//! A network as the management server sees it: on which hosts it has VMs, and what is under way for it.
//! Must not know what is on any switch.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_plan::PortName;
use serde::Serialize;
use tokio::time::Instant;

/// GRE key of the first network.
const FIRST_KEY: usize = 1001;

/// What called for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The zone's first set-up.
    SetUp,
    /// A VM started.
    Start,
    /// A VM stopped.
    Stop,
    /// A VM moved.
    Migration,
    /// A host failed, and its VMs start elsewhere.
    Failure,
    /// A host, or its daemon alone, came back.
    Return,
}

impl Cause {
    /// For a person.
    pub fn words(self) -> &'static str {
        match self {
            Cause::SetUp => "set-up",
            Cause::Start => "VM start",
            Cause::Stop => "VM stop",
            Cause::Migration => "migration",
            Cause::Failure => "host failure",
            Cause::Return => "return of a host or daemon",
        }
    }
}

/// A time in which a network was not whole.
#[derive(Clone, Copy, Debug)]
pub struct Episode {
    /// What began it; others may have followed.
    pub cause: Cause,
    /// When it began.
    pub since: Instant,
}

/// A network.
#[derive(Clone, Debug)]
pub struct Network {
    /// GRE key.
    pub key: usize,
    /// Name of its bridge on each host.
    pub bridge: String,
    /// Hosts with VMs of it, and how many.
    pub members: BTreeMap<usize, usize>,
    /// Hosts that have been told of it, in the order of calls of a plugin: only those are linked.
    pub linked: BTreeSet<usize>,
    /// Hosts that ever were members: what is left over would be there.
    pub touched: BTreeSet<usize>,
    /// Requests that are not answered yet.
    pub pending: usize,
    /// Since when it is not whole.
    pub episode: Option<Episode>,
}

impl Network {
    /// Network number `number`, without VMs.
    pub fn new(number: usize) -> Self {
        Network {
            key: FIRST_KEY + number,
            bridge: format!("xapi{number}"),
            members: BTreeMap::new(),
            linked: BTreeSet::new(),
            touched: BTreeSet::new(),
            pending: 0,
            episode: None,
        }
    }

    /// Name of the port of a tunnel, as the daemon answers it.
    pub fn port(&self, from: usize, to: usize) -> String {
        let id = |host: usize| host.to_string().parse().ok();
        let name = || Some(PortName::tunnel_port(self.key.to_string().parse().ok()?, &id(from)?, &id(to)?).to_string());
        name().unwrap_or_else(|| format!("t{}-{from}-{to}", self.key))
    }

    /// The other hosts with VMs of it.
    pub fn others(&self, host: usize) -> Vec<usize> {
        self.members.keys().copied().filter(|other| *other != host).collect()
    }

    /// Something is under way.
    pub fn begin(&mut self, cause: Cause) {
        self.pending += 1;
        self.episode.get_or_insert_with(|| Episode { cause, since: Instant::now() });
    }

    /// Something has ended; the episode, where nothing else is under way.
    pub fn end(&mut self) -> Option<(Cause, Duration)> {
        self.pending -= 1;
        let episode = (self.pending == 0).then(|| self.episode.take()).flatten()?;
        Some((episode.cause, episode.since.elapsed()))
    }
}
