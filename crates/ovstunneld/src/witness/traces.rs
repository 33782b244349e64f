//! Frames that are followed through the tables, one a second in turn, and at once where something was touched.
//! Must not tell of a frame that went astray once only: the mirror may have been behind the switch.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use ovstunnel_core::{DesiredBridge, Followed, Frame, ObservedBridge, Settings, Trace, frames};
use ovstunnel_ovs::{DatapathPorts, RealSwitch};
use uuid::Uuid;

use super::{Managed, Moved, Watch};
use crate::writer::Suspicion;

/// Bridges of which in one second one broadcast of a VIF is followed, where something was touched.
const URGENT: usize = 32;

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
    /// When bridges were had to flood again.
    flooded: HashMap<Uuid, Instant>,
}

impl Watch {
    pub(super) async fn follow_frames(&mut self, moved: Moved, suspicion: &mut Suspicion) {
        if moved.database || self.traces.ports.is_none() {
            self.traces.ports = self.questions.datapath_ports().await;
        }
        if moved.configuration && !moved.database {
            self.traces.urgent.extend(self.bridges.iter().map(|bridge| bridge.uuid));
        }
        let urgent: Vec<Uuid> = self.traces.urgent.iter().take(URGENT).copied().collect();
        for uuid in urgent {
            self.traces.urgent.remove(&uuid);
            self.follow_one(uuid, 0, suspicion).await;
        }
        let Some(Managed { uuid, .. }) = self.bridges.get(self.traces.turn.0).cloned() else {
            self.traces.turn = (0, 0);
            return;
        };
        self.traces.turn.1 += 1;
        if self.follow_one(uuid, self.traces.turn.1 - 1, suspicion).await.is_none() {
            self.traces.turn = (self.traces.turn.0 + 1, 0);
        }
    }

    /// Follows one frame of a bridge; nothing where it has no such frame.
    async fn follow_one(&mut self, uuid: Uuid, number: usize, suspicion: &mut Suspicion) -> Option<()> {
        let (observed, desired) = self.observed(uuid)?;
        // What is known behind tunnels is asked for only where the frames to it have their turn.
        let mut all = frames(&observed, &desired, &self.settings(), &[]);
        if number >= all.len() {
            let learnt = self.questions.learnt(&observed.name).await;
            all = frames(&observed, &desired, &self.settings(), &learnt);
        }
        let frame = all.get(number)?;
        let ports = self.traces.ports.as_ref()?.get(&observed.name)?;
        let followed = self.questions.follow(&observed.name, frame, ports).await;
        let found = followed.as_ref().and_then(|followed| frame.judge(followed));
        if let Some(followed) = followed.filter(|_| found.is_some()) {
            self.mend_flooding(&observed, frame, &followed, suspicion).await;
        }
        self.tell(uuid, frame, found);
        Some(())
    }

    /// What went astray twice in the same way is told; what went right is forgotten.
    fn tell(&mut self, uuid: Uuid, frame: &Frame, found: Option<Trace>) {
        let key = (uuid, frame.words.clone());
        let same = |earlier: &Trace, now: &Trace| (&earlier.missing, &earlier.surplus) == (&now.missing, &now.surplus);
        let earlier = self.traces.astray.remove(&key);
        let confirmed = found.clone().filter(|now| earlier.as_ref().is_some_and(|earlier| same(earlier, now)));
        if let Some(now) = &found {
            self.traces.astray.insert(key, now.clone());
            if confirmed.is_none() {
                // It is the first frame that is followed again at once; others have their turn.
                self.traces.urgent.insert(uuid);
            }
        }
        self.witnesses.edit(uuid, |witness| {
            witness.traces.retain(|trace| trace.frame != frame.words);
            witness.traces.extend(confirmed);
        });
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

/// Follows all frames of a bridge, and says which went astray. Has no side effects.
pub async fn follow_all(
    real: &RealSwitch,
    bridge: &ObservedBridge,
    desired: &DesiredBridge,
    settings: &Settings,
) -> Vec<Trace> {
    let mut questions = real.questions();
    let Some(ports) = questions.datapath_ports().await.and_then(|mut ports| ports.remove(&bridge.name)) else {
        return vec![];
    };
    let learnt = questions.learnt(&bridge.name).await;
    let mut astray = Vec::new();
    for frame in frames(bridge, desired, settings, &learnt) {
        let followed = questions.follow(&bridge.name, &frame, &ports).await;
        astray.extend(followed.and_then(|followed| frame.judge(&followed)));
    }
    astray
}
