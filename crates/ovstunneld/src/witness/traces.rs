//! Frames that are followed through the tables, one a second in turn, and at once where something was touched.
//! Must not tell of a frame that went astray once only: the mirror may have been behind the switch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use ovstunnel_core::{DesiredBridge, Followed, Frame, Frames, ObservedBridge, Settings, Trace};
use ovstunnel_ovs::{DatapathPorts, RealSwitch};
use uuid::Uuid;

use super::{Managed, Moved, Told, Watch};
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
    /// The ports in the datapath, as long as the database stays the same.
    ports: Option<BTreeMap<String, DatapathPorts>>,
    /// What went astray when it was followed last.
    astray: HashMap<(Uuid, String), Trace>,
    /// Bridges that are left alone until this second: to follow a frame to thousands of tunnels costs.
    rests: HashMap<Uuid, u64>,
    /// When bridges were had to flood again.
    flooded: HashMap<Uuid, Instant>,
}

impl Watch {
    pub(super) async fn follow_frames(&mut self, moved: Moved, suspicion: &mut Suspicion) {
        if moved.database || self.traces.ports.is_none() {
            self.traces.ports = self.questions.datapath_ports().await;
        }
        if moved.counted && !moved.database {
            self.traces.urgent.extend(self.bridges.iter().map(|bridge| bridge.uuid));
        }
        self.traces.rests.retain(|_, until| *until > self.seconds);
        let rests = |uuid: &&Uuid| self.traces.rests.contains_key(*uuid);
        let urgent: Vec<Uuid> = self.traces.urgent.iter().filter(|uuid| !rests(uuid)).take(URGENT).copied().collect();
        for uuid in urgent {
            self.traces.urgent.remove(&uuid);
            self.follow_one(uuid, 0, suspicion).await;
        }
        let (bridge, frame) = self.traces.turn;
        let Some(Managed { uuid, .. }) = self.bridges.get(bridge).cloned() else {
            self.traces.turn = (0, 0);
            return;
        };
        if self.traces.rests.contains_key(&uuid) && self.bridges.len() == 1 {
            return;
        }
        let last = self.traces.rests.contains_key(&uuid) || self.follow_one(uuid, frame, suspicion).await;
        self.traces.turn = if last { (bridge + 1, 0) } else { (bridge, frame + 1) };
    }

    /// Follows one frame of a bridge; says whether it was the last one.
    async fn follow_one(&mut self, uuid: Uuid, number: usize, suspicion: &mut Suspicion) -> bool {
        let Some((observed, desired)) = self.observed(uuid) else { return true };
        let settings = self.settings();
        let rest = u64::try_from(observed.ports.len() / PORTS_A_SECOND).unwrap_or_default();
        if rest > 0 {
            self.traces.rests.insert(uuid, self.seconds + rest);
        }
        let few = |witness: Told| witness.witness.addresses.is_some_and(|table| table.entries <= ADDRESSES);
        // What is known behind tunnels is asked for only where the frames to it have their turn.
        let learnt = match number > 0 && self.witnesses.get(uuid).is_some_and(few) {
            true => self.questions.learnt(&observed.name).await,
            false => vec![],
        };
        let frames = Frames::of(&observed, &desired, &settings, &learnt);
        let last = number + 1 >= frames.count();
        let ports = self.traces.ports.as_ref().and_then(|ports| ports.get(&observed.name));
        let (Some(frame), Some(ports)) = (frames.get(number), ports) else { return last };
        let followed = self.questions.follow(&observed.name, &frame, ports).await;
        let found = followed.as_ref().and_then(|followed| frame.judge(followed));
        let confirmed = self.tell(uuid, &frame, found, number == 0);
        if let Some(followed) = followed.filter(|_| confirmed) {
            self.mend_flooding(&observed, &frame, &followed, suspicion).await;
        }
        last
    }

    /// What went astray twice in the same way is told; what went right is forgotten. Says whether it is told.
    fn tell(&mut self, uuid: Uuid, frame: &Frame, found: Option<Trace>, first: bool) -> bool {
        let key = (uuid, frame.words.clone());
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
        self.witnesses.edit(uuid, |witness| {
            witness.traces.retain(|trace| trace.frame != frame.words);
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

/// Follows all frames of a bridge, and says which went astray; nothing where the switch does not say how its ports are numbered.
/// Has no side effects.
pub async fn follow_all(
    real: &RealSwitch,
    bridge: &ObservedBridge,
    desired: &DesiredBridge,
    settings: &Settings,
) -> Option<Vec<Trace>> {
    let mut questions = real.lend();
    let ports = questions.datapath_ports().await?.remove(&bridge.name)?;
    let learnt = questions.learnt(&bridge.name).await;
    let mut astray = Vec::new();
    for frame in Frames::of(bridge, desired, settings, &learnt).all() {
        let followed = questions.follow(&bridge.name, &frame, &ports).await;
        astray.extend(followed.and_then(|followed| frame.judge(&followed)));
    }
    real.give_back(questions);
    Some(astray)
}
