//! The change of a network's tunnel kind: which step is next on which host, by what all of its hosts say.
//!
//! What it does: a pure function of what is there, so that whoever asks may be killed at any moment and goes on where it was. What it must not
//! do: have a step begun on any host before each host of the network has done the one before.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_types::{BridgeName, GreKey, HostNumber, KindStep, TunnelKind};

use crate::observed::{Bridge, Host, Mode};
use crate::spoken::{Spoken, most_of};
use crate::{Mesh, Request, Sending};

/// How far a host's bridge is on the way to a kind, in order. Hosts of which no two are further apart than one stage all hear each other: who
/// sends by the old kind is not heard by who has finished, and who sends by the new kind is not heard by who has not prepared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stage {
    /// It sends and receives by another kind alone.
    Old,
    /// It receives by both, and sends by the other.
    Prepared,
    /// It receives by both, and sends by this kind.
    Switched,
    /// It has this kind alone.
    Done,
}

impl Stage {
    /// Where a bridge is on the way to this kind; nowhere, where it is on its way between two others.
    pub fn of_bridge(bridge: &Bridge, to: TunnelKind) -> Option<Stage> {
        match (bridge.kind == to, bridge.second) {
            (true, None) => Some(Stage::Done),
            (true, Some(_)) => Some(Stage::Switched),
            (false, None) => Some(Stage::Old),
            (false, Some(second)) => (second == to).then_some(Stage::Prepared),
        }
    }

    /// The step that leads here.
    pub fn leading_step(self) -> Option<KindStep> {
        match self {
            Stage::Old => None,
            Stage::Prepared => Some(KindStep::Prepare),
            Stage::Switched => Some(KindStep::Switch),
            Stage::Done => Some(KindStep::Finish),
        }
    }

    /// Where a step leads; nowhere, where it takes a change back.
    pub fn after_step(step: KindStep) -> Option<Stage> {
        [Stage::Prepared, Stage::Switched, Stage::Done].into_iter().find(|stage| stage.leading_step() == Some(step))
    }

    fn next_stage(self) -> Stage {
        match self {
            Stage::Old => Stage::Prepared,
            Stage::Prepared => Stage::Switched,
            Stage::Switched | Stage::Done => Stage::Done,
        }
    }

    /// How many stages it is behind another one.
    fn behind(self, other: Stage) -> u8 {
        (other as u8).saturating_sub(self as u8)
    }
}

/// Why the change waits for a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// It is not registered.
    Unregistered,
    /// It has not said yet what it has.
    Unseen,
    /// It does not answer.
    Silent,
    /// Its daemon cannot ask Open vSwitch.
    SwitchUnreachable,
    /// It is only to be looked at.
    Observed,
    /// Somebody is working on it.
    Maintenance,
    /// Its daemon cannot change a kind.
    TooOld,
    /// Several of its bridges have the network's key.
    SeveralBridges(Vec<BridgeName>),
    /// The network is a tier of a VPC there, whose flows name tunnels.
    Vpc(BridgeName),
    /// Its bridge is in the middle of a change between two other kinds.
    OtherChange(TunnelKind, TunnelKind),
    /// It receives the new kind at this UDP port, and most others at that one: it would hear none of them.
    OtherPort(u16, u16),
}

/// Beside what hosts say: those for which a change waits.
pub type Paused = BTreeMap<HostNumber, Obstacle>;

/// What hosts have answered to whoever leads: the kind, and the stage that they have then.
pub type Answered = BTreeMap<HostNumber, (TunnelKind, Stage)>;

/// How a network's change of kind stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KindChange {
    /// The kind that the network is to have.
    pub to: TunnelKind,
    /// How far each host with a bridge is.
    pub stages: BTreeMap<HostNumber, Stage>,
    /// The hosts for which the next step waits.
    pub waits_for: Vec<(HostNumber, Obstacle)>,
    /// The stage that is next, where there is one.
    pub next: Option<Stage>,
    /// The bridges that go there, and whether all who lead tunnels to each send by this kind.
    moves: BTreeMap<HostNumber, (BridgeName, bool)>,
    /// The bridges of hosts that are in the middle of the change: they have to say that they are where they are before there is another step.
    in_the_middle: BTreeMap<HostNumber, BridgeName>,
    /// The kind with which a bridge is made now, and whether it gets tunnels before it has caught up.
    newcomer: (TunnelKind, bool),
}

/// A bridge that takes part.
struct Part<'a> {
    bridge: &'a Bridge,
    stage: Stage,
    obstacle: Option<Obstacle>,
}

impl KindChange {
    /// How the change of a network's tunnels to this kind stands. `hosts` are the registered ones.
    pub fn new(mesh: &Mesh, hosts: &BTreeMap<HostNumber, Host>, to: TunnelKind, paused: &Paused) -> KindChange {
        let (mut parts, mut stuck) = (BTreeMap::new(), Vec::new());
        for number in participants(mesh, hosts) {
            match look_at(number, hosts.get(&number), mesh.key, to, paused) {
                Ok(part) => parts.extend(part.map(|part| (number, part))),
                Err(obstacle) => stuck.push((number, obstacle)),
            }
        }
        let lowest = parts.values().map(|part| part.stage).min().unwrap_or(Stage::Done);
        let highest = parts.values().map(|part| part.stage).max().unwrap_or(Stage::Done);
        let next = (lowest < Stage::Done).then(|| lowest.next_stage());
        let last: Vec<_> = parts.iter().filter(|(_, part)| next.is_some() && part.stage == lowest).collect();
        stuck.extend(last.iter().filter_map(|(number, part)| Some((**number, part.obstacle.clone()?))));
        stuck.extend(other_ports(to, &parts).filter(|_| next.is_some() && lowest >= Stage::Prepared));
        stuck.sort_by_key(|(number, _)| *number);
        // Who is two stages behind somebody is not heard by him, or does not hear him: to catch up makes nothing worse, whatever those do that are known.
        let is_behind = lowest.behind(highest) >= 2 && stuck.iter().all(|(_, obstacle)| *obstacle != Obstacle::Unseen);
        let moves = last.into_iter().filter(|(_, part)| part.obstacle.is_none() && (is_behind || stuck.is_empty()));
        let has_begun = |part: &Part<'_>| next.is_some() && [Stage::Prepared, Stage::Switched].contains(&part.stage);
        let in_the_middle = parts.iter().filter(|(_, part)| part.obstacle.is_none() && has_begun(part));
        KindChange {
            to,
            stages: parts.iter().map(|(number, part)| (*number, part.stage)).collect(),
            next,
            moves: moves
                .map(|(n, part)| (*n, (part.bridge.name.clone(), part.is_sent_to_by_all(mesh, &parts))))
                .collect(),
            in_the_middle: in_the_middle.map(|(number, part)| (*number, part.bridge.name.clone())).collect(),
            newcomer: newcomer_kind(to, &parts),
            waits_for: stuck,
        }
    }

    /// Whether each host that is known to have a bridge has this kind alone, and nobody is waited for.
    pub fn is_done(&self) -> bool {
        self.next.is_none() && self.waits_for.is_empty()
    }

    /// What is to be sent now, before anything else of the network. Before a step begins, and before another host joins, each host has answered to
    /// whoever leads that it has done the one before: what it reports may be its database's word, which Open vSwitch is about to follow. One that was
    /// asked by a predecessor is asked for the same again.
    pub fn requests(&self, answered: &Answered) -> Vec<Sending> {
        // What a host has answered may be ahead of what it has reported.
        let has_answered = |host: &HostNumber, stage: &Stage| {
            answered.get(host).is_some_and(|(to, answered)| *to == self.to && answered >= stage)
        };
        let again = self.in_the_middle.iter().filter_map(|(host, bridge)| {
            let stage = self.stages.get(host).filter(|stage| !has_answered(host, stage))?;
            self.step_to(*stage, *host, bridge, false)
        });
        let again: Vec<Sending> = again.collect();
        if !again.is_empty() {
            return again;
        }
        let step = |(number, (bridge, force)): (&HostNumber, &(BridgeName, bool))| {
            self.step_to(self.next?, *number, bridge, self.next == Some(Stage::Done) && *force)
        };
        self.moves.iter().filter_map(step).collect()
    }

    fn step_to(&self, stage: Stage, host: HostNumber, bridge: &BridgeName, force: bool) -> Option<Sending> {
        let (bridge, to, step) = (bridge.clone(), self.to, stage.leading_step()?);
        Some(Sending { host, request: Request::ChangeKind { bridge, to, step, force } })
    }

    /// The kind with which a bridge of the network is made now, so that its host and the others hear each other.
    pub fn newcomer_kind(&self) -> TunnelKind {
        self.newcomer.0
    }

    /// Whether a new bridge gets its tunnels at once. While some hosts have switched and some have not, one of a single kind would not be heard
    /// by all: it is prepared first.
    pub fn newcomer_joins(&self) -> bool {
        self.newcomer.1
    }

    /// Whether nobody knows yet how far a host is.
    pub fn is_unknown(&self, host: HostNumber) -> bool {
        self.waits_for.contains(&(host, Obstacle::Unseen))
    }

    /// Whether two hosts are so far apart that one would not hear the other: they get no tunnels to each other before the one that is behind has
    /// caught up.
    pub fn are_apart(&self, one: HostNumber, other: HostNumber) -> bool {
        let stages = self.stages.get(&one).zip(self.stages.get(&other));
        stages.is_some_and(|(one, other)| one.behind(*other).max(other.behind(*one)) >= 2)
    }
}

impl Part<'_> {
    /// Whether every host to which it has a tunnel is known to send by this kind.
    fn is_sent_to_by_all(&self, mesh: &Mesh, parts: &BTreeMap<HostNumber, Part<'_>>) -> bool {
        let mut of_network = self.bridge.tunnels.iter().filter(|tunnel| tunnel.key == mesh.key);
        let sends_by_it = |host: HostNumber| parts.get(&host).is_some_and(|part| part.stage >= Stage::Switched);
        of_network.all(|tunnel| tunnel.peer_number().is_some_and(sends_by_it))
    }
}

/// The hosts of the mesh, and whoever else has a bridge of the network and a tunnel from one of them.
fn participants(mesh: &Mesh, hosts: &BTreeMap<HostNumber, Host>) -> BTreeSet<HostNumber> {
    let bridges = |number: HostNumber| {
        let snapshot = hosts.get(&number).and_then(|host| host.snapshot.as_ref());
        snapshot.into_iter().flat_map(|snapshot| snapshot.bridges_of(mesh.key))
    };
    let tunnels = mesh.members().flat_map(bridges).flat_map(|bridge| &bridge.tunnels);
    let peers = tunnels.filter(|tunnel| tunnel.key == mesh.key).filter_map(|tunnel| tunnel.peer_number());
    let peers: BTreeSet<HostNumber> = peers.filter(|peer| bridges(*peer).next().is_some()).collect();
    mesh.members().chain(peers).collect()
}

/// How a host takes part; nothing, where it has no bridge yet.
fn look_at<'a>(
    number: HostNumber,
    host: Option<&'a Host>,
    key: GreKey,
    to: TunnelKind,
    paused: &Paused,
) -> Result<Option<Part<'a>>, Obstacle> {
    let host = host.ok_or(Obstacle::Unregistered)?;
    let snapshot = host.snapshot.as_ref().ok_or(Obstacle::Unseen)?;
    let bridges: Vec<&Bridge> = snapshot.bridges_of(key).collect();
    let bridge = match &bridges[..] {
        [] => return Ok(None),
        [bridge] if bridge.is_vpc() => return Err(Obstacle::Vpc(bridge.name.clone())),
        [bridge] => *bridge,
        several => return Err(Obstacle::SeveralBridges(several.iter().map(|bridge| bridge.name.clone()).collect())),
    };
    let Some(stage) = Stage::of_bridge(bridge, to) else {
        return Err(Obstacle::OtherChange(bridge.kind, bridge.second.unwrap_or(bridge.kind)));
    };
    let obstacle = match (host.is_connected, host.switch_fault.is_some(), host.mode) {
        (false, ..) => Some(Obstacle::Silent),
        (true, true, _) => Some(Obstacle::SwitchUnreachable),
        (true, false, Mode::Observe) => Some(Obstacle::Observed),
        (true, false, Mode::Manage | Mode::Drain) => paused.get(&number).cloned(),
    };
    Ok(Some(Part { bridge, stage, obstacle }))
}

/// Those who receive the new kind at another UDP port than most.
fn other_ports(to: TunnelKind, parts: &BTreeMap<HostNumber, Part<'_>>) -> impl Iterator<Item = (HostNumber, Obstacle)> {
    let port = |(number, part): (&HostNumber, &Part<'_>)| Some((*number, Spoken::of_bridge(part.bridge).port_of(to)?));
    let ports: Vec<(HostNumber, u16)> = parts.iter().filter_map(port).collect();
    let most = most_of(ports.iter().map(|(_, port)| *port)).unwrap_or_default();
    let others = ports.into_iter().filter(move |(_, port)| *port != most);
    others.map(move |(number, port)| (number, Obstacle::OtherPort(port, most)))
}

fn newcomer_kind(to: TunnelKind, parts: &BTreeMap<HostNumber, Part<'_>>) -> (TunnelKind, bool) {
    let other = parts.values().find(|part| part.stage <= Stage::Prepared).map(|part| part.bridge.kind);
    let has_switched = parts.values().any(|part| part.stage >= Stage::Switched);
    (other.unwrap_or(to), other.is_none() || !has_switched)
}
