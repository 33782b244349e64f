//! Frames that are followed through the tables, one a second in turn, and at once where something was touched.
//! Must not tell of a frame that went astray once only: the mirror may have been behind the switch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ovstunnel_ovs::{DatapathPorts, RealSwitch};
use ovstunnel_plan::{DesiredBridge, Followed, Frame, Frames, Learnt, ObservedBridge, Settings, Trace};
use uuid::Uuid;

use super::{Moved, Told, Watch};
use crate::writer::Suspicion;

/// Bridges of which in one second one broadcast of a VIF is followed, where something was touched.
const URGENT: usize = 32;

/// A bridge with more ports than this is left alone for some seconds after a frame was followed there.
const PORTS_A_SECOND: usize = 200;

/// Addresses of a bridge that are listed to follow frames to them.
const ADDRESSES: u64 = 1_000;

/// How long is waited until a bridge is had to flood again once more.
const AGAIN: Duration = Duration::from_secs(30);

/// What is remembered from second to second.
#[derive(Debug, Default)]
pub(super) struct Traces {
    /// Bridges that were touched.
    pub urgent: BTreeSet<Uuid>,
    /// Which bridge has its turn, and which of its frames.
    turn: (usize, usize),
    /// What is known behind the tunnels of the bridge that has its turn.
    learnt: Vec<Learnt>,
    /// The ports in the datapath, as long as the database stays the same.
    ports: Option<BTreeMap<String, DatapathPorts>>,
    /// What went astray when it was followed last.
    astray: HashMap<(Uuid, String), Trace>,
    /// Bridges that are left alone until this second: to follow a frame to thousands of tunnels costs.
    rests: HashMap<Uuid, u64>,
    /// When bridges were had to flood again.
    flooded: HashMap<Uuid, Instant>,
}

/// A frame that is to be followed.
pub(super) struct Due {
    uuid: Uuid,
    bridge: Arc<ObservedBridge>,
    frame: Frame,
    ports: DatapathPorts,
    /// The first one of its bridge: then what is known behind tunnels is asked for, too, for the frames to it.
    first: bool,
    learnt: bool,
}

/// What became of it, and what is known behind tunnels where that was asked for.
pub(super) type Came = (Due, Option<Followed>, Option<Vec<Learnt>>);

/// Follows a frame, on connections of its own: it shares a round of the main loop with what else is asked.
pub(super) async fn trace_due_frame(real: &RealSwitch, due: Option<Due>) -> Option<Came> {
    let due = due?;
    let (mut one, mut other) = (real.lend_questions(), due.learnt.then(|| real.lend_questions()));
    let learnt = async {
        match &mut other {
            Some(other) => Some(other.learnt_addresses(&due.bridge.name).await),
            None => None,
        }
    };
    let (followed, learnt) = tokio::join!(one.trace_frame(&due.bridge.name, &due.frame, &due.ports), learnt);
    // One that has no answer may be to a switch that has ended.
    if followed.is_some() {
        [Some(one), other].into_iter().flatten().for_each(|questions| real.give_back(questions));
    }
    Some((due, followed, learnt))
}

impl Watch {
    /// The frame that has its turn.
    pub(super) fn frame_in_turn(&mut self) -> Option<Due> {
        self.traces.rests.retain(|_, until| *until > self.seconds);
        let (bridge, number) = self.traces.turn;
        let Some(uuid) = self.bridges.get(bridge).map(|managed| managed.uuid) else {
            self.traces.turn = (0, 0);
            return None;
        };
        if number == 0 {
            self.traces.learnt.clear();
        }
        let rests = self.traces.rests.contains_key(&uuid);
        if rests && self.bridges.len() == 1 {
            return None;
        }
        let (due, last) = if rests { (None, true) } else { self.due_frame(uuid, number) };
        self.traces.turn = if last { (bridge + 1, 0) } else { (bridge, number + 1) };
        due
    }

    /// Takes in what became of it, and follows the first frame of each bridge that was touched.
    pub(super) async fn take_frames(&mut self, came: Option<Came>, moved: Moved, suspicion: &mut Suspicion) {
        if let Some(came) = came {
            self.take_frame(came, suspicion).await;
        }
        if moved.database || self.traces.ports.is_none() {
            self.traces.ports = self.questions.datapath_ports().await;
        }
        if moved.counted && !moved.database {
            self.traces.urgent.extend(self.bridges.iter().map(|bridge| bridge.uuid));
        }
        let rests = |uuid: &&Uuid| self.traces.rests.contains_key(*uuid);
        let urgent: Vec<Uuid> = self.traces.urgent.iter().filter(|uuid| !rests(uuid)).take(URGENT).copied().collect();
        for uuid in urgent {
            self.traces.urgent.remove(&uuid);
            let due = self.due_frame(uuid, 0).0.map(|due| Due { learnt: false, ..due });
            if let Some(came) = trace_due_frame(&self.real, due).await {
                self.take_frame(came, suspicion).await;
            }
        }
    }

    /// A frame of a bridge by its number, and whether it is the last one.
    fn due_frame(&mut self, uuid: Uuid, number: usize) -> (Option<Due>, bool) {
        let Some((bridge, desired)) = self.observed_bridge(uuid) else { return (None, true) };
        let rest = u64::try_from(bridge.ports.len() / PORTS_A_SECOND).unwrap_or_default();
        if rest > 0 {
            self.traces.rests.insert(uuid, self.seconds + rest);
        }
        let few = |told: Told| told.witness.addresses.is_some_and(|table| table.entries <= ADDRESSES);
        let first = number == 0;
        let learnt = first && self.witnesses.get(uuid).is_some_and(few);
        let frames =
            Frames::for_bridge(&bridge, &desired, &self.settings(), if first { &[] } else { &self.traces.learnt });
        // How many there are is known once it is known what is behind tunnels.
        let last = number + 1 >= frames.count() && !learnt;
        let ports = self.traces.ports.as_ref().and_then(|ports| ports.get(&bridge.name)).cloned();
        let due = frames.get(number).zip(ports);
        (due.map(|(frame, ports)| Due { uuid, frame, ports, first, learnt, bridge }), last)
    }

    async fn take_frame(&mut self, (due, followed, learnt): Came, suspicion: &mut Suspicion) {
        if let Some(learnt) = learnt {
            self.traces.learnt = learnt;
        }
        let found = followed.as_ref().and_then(|followed| due.frame.judge_trace(followed));
        let confirmed = self.report_trace(due.uuid, &due.frame, found, due.first);
        if let Some(followed) = followed.filter(|_| confirmed) {
            self.mend_flooding(&due.bridge, &due.frame, &followed, suspicion).await;
        }
    }

    /// What went astray twice in the same way is told; what went right is forgotten. Says whether it is told.
    fn report_trace(&mut self, uuid: Uuid, frame: &Frame, found: Option<Trace>, first: bool) -> bool {
        let key = (uuid, frame.description.clone());
        let same = |earlier: &Trace, now: &Trace| (&earlier.missing, &earlier.surplus) == (&now.missing, &now.surplus);
        let earlier = self.traces.astray.remove(&key);
        let confirmed = found.clone().filter(|now| earlier.as_ref().is_some_and(|earlier| same(earlier, now)));
        if let Some(now) = &found {
            self.traces.astray.insert(key, now.clone());
            // The first frame is followed again at once; others have their turn.
            if first && confirmed.is_none() {
                self.traces.urgent.insert(uuid);
            }
        }
        let told = confirmed.is_some();
        self.witnesses.edit_witness(uuid, |witness| {
            witness.traces.retain(|trace| trace.frame != frame.description);
            witness.traces.extend(confirmed);
        });
        told
    }

    /// A spanning tree that was switched off while its ports did not forward leaves them so, and nothing but the way of a frame
    /// shows it. Where something else explains it, that is not touched.
    async fn mend_flooding(
        &mut self,
        bridge: &ObservedBridge,
        frame: &Frame,
        followed: &Followed,
        suspicion: &mut Suspicion,
    ) {
        let lately = self.traces.flooded.get(&bridge.uuid).is_some_and(|at| at.elapsed() < AGAIN);
        if lately || bridge.stp_enable || bridge.rstp_enable || !frame.is_flooded_to_nobody(followed) {
            return;
        }
        let Ok(told) = self.real.ports_told(&bridge.name).await else { return };
        let explained = told.ports.values().any(|port| port.no_flood || port.no_forward);
        if let (false, Ok(name)) = (explained, bridge.name.parse()) {
            self.traces.flooded.insert(bridge.uuid, Instant::now());
            suspicion.flooding.insert(name);
        }
    }
}

/// Follows all frames of a bridge, whose ports are numbered so, and says which went astray. Has no side effects.
pub async fn follow_all(
    real: &RealSwitch,
    bridge: &ObservedBridge,
    desired: &DesiredBridge,
    settings: &Settings,
    ports: &DatapathPorts,
) -> Vec<Trace> {
    let mut questions = real.lend_questions();
    let learnt = questions.learnt_addresses(&bridge.name).await;
    let mut astray = Vec::new();
    for frame in Frames::for_bridge(bridge, desired, settings, &learnt).all() {
        let followed = questions.trace_frame(&bridge.name, &frame, ports).await;
        astray.extend(followed.and_then(|followed| frame.judge_trace(&followed)));
    }
    real.give_back(questions);
    astray
}
