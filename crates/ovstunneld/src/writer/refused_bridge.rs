//! A new bridge whose own device Open vSwitch refused, for example because a device of the host has its name: its row is
//! there and its own port is not. It is taken away again. Must not touch a bridge that this change did not make.

use ovstunnel_core::{BridgeName, ObservedPort, Step, TunnelHealth, View};
use ovstunnel_ovs::CommitError;

use super::Task;
use super::execute::Effect;

impl Task {
    /// Takes away the new bridges that Open vSwitch refused, and notes its words.
    pub(super) async fn take_away_refused_bridges(&mut self, steps: &[Step], effect: &mut Effect) {
        let (refused, removals): (Vec<_>, Vec<_>) = self.refused_bridges(steps).into_iter().unzip();
        if removals.is_empty() {
            return;
        }
        for (bridge, words) in &refused {
            tracing::warn!(%bridge, error = words, "Open vSwitch refused a bridge");
        }
        match self.commit(&removals).await {
            Ok(_) => effect.bridges_refused.extend(refused),
            Err(error) => {
                tracing::error!(%error, "refused bridges could not be taken away");
                let what = format!("refused bridges are still there, for they could not be taken away: {error}");
                effect.failed = Some(CommitError::Unknown(what));
            }
        }
    }

    /// New bridges that Open vSwitch refused: its words, and the step that takes each away.
    fn refused_bridges(&self, steps: &[Step]) -> Vec<((BridgeName, String), Step)> {
        self.switch.observer().read(|db| {
            let view = db.view();
            let refused = steps.iter().filter_map(|step| {
                let Step::CreateBridge(spec) = step else { return None };
                let bridge = view.bridge(spec.name.as_str())?;
                match bridge.own_port().and_then(ObservedPort::interface)?.health() {
                    TunnelHealth::Refused(words) if bridge.own_port()?.interface()?.ofport == Some(-1) => {
                        let removal =
                            Step::DeleteBridge { bridge: spec.name.clone(), uuid: bridge.uuid, frees: vec![] };
                        Some(((spec.name.clone(), words), removal))
                    }
                    _ => None,
                }
            });
            refused.collect()
        })
    }
}
