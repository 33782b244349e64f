//! News of VIFs: what udev and the hypervisor's hook tell.
//!
//! What it does: reads our flows of the bridge that a VIF is on, since somebody may have deleted some (xapi deletes all of a
//! VIF's), and repairs that bridge. What it must not do: believe the news. What is done follows from what is in the switch;
//! a VIF that is on no bridge of ours is none of our business.

use std::collections::{BTreeMap, BTreeSet};

use ovstunnel_plan::{BridgeName, DesiredBridge, Epoch, ObservedBridge, Outcome, PlanItem, PortName, View};
use tracing::Instrument;
use uuid::Uuid;

use super::repairs::Repairs;
use super::{Planned, Task, VifEvent, WriteError};

/// Key of `Interface.external_ids` in which xapi notes the VIF.
const XS_VIF_UUID: &str = "xs-vif-uuid";

/// A VIF, as the news name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vif {
    /// By its port.
    Port(PortName),
    /// By its UUID in xapi.
    Uuid(Uuid),
}

type Bridges = BTreeMap<BridgeName, Uuid>;

impl Task {
    /// Follows an event of a VIF, and all others that wait: looks at each bridge once, and answers each.
    pub(super) async fn follow_vif_events(&mut self, first: Option<VifEvent>) {
        let all: Vec<VifEvent> = first.into_iter().chain(self.queue.take_vif_events()).collect();
        if all.is_empty() {
            return;
        }
        let vifs: Vec<&Vif> = all.iter().map(|news| &news.vif).collect();
        let epochs: Vec<Option<Epoch>> = all.iter().map(|news| news.epoch).collect();
        let result = self.look_at_vifs(&vifs, &epochs).instrument(tracing::error_span!("vifs", news = all.len())).await;
        for (n, VifEvent { span, reply, .. }) in all.into_iter().enumerate() {
            let answer = result.as_ref().map_err(Clone::clone).and_then(|outcomes| outcomes[n].clone());
            match &answer {
                Ok(outcome) => tracing::debug!(parent: &span, %outcome, "looked at the VIF's bridge"),
                Err(error) => tracing::error!(parent: &span, %error, "the VIF's rules could not be put in order"),
            }
            // The helper may have been killed meanwhile; what it told was heard.
            let _ = reply.send(answer);
        }
    }

    async fn look_at_vifs(
        &mut self,
        vifs: &[&Vif],
        epochs: &[Option<Epoch>],
    ) -> Result<Vec<Result<Outcome, WriteError>>, WriteError> {
        let _turn = self.executor.ready_turn().await?;
        let admitted = self.executor.admit_all(epochs).await;
        let touched = self.take_touched();
        let of = self.bridges_of(vifs);
        let named: Bridges = of.iter().flatten().cloned().collect();
        let failures = self.executor.read_flows_of_some(&named).await;
        let names: BTreeSet<&BridgeName> = named.keys().chain(&touched).collect();
        let Repairs { plan, desired, in_error, .. } = self.executor.plan_repairs(names);
        let effect = self.follow_change(&plan, desired, in_error).await;
        let changed = |bridge: &str| plan.is_about(bridge);
        let outcome = |bridge: &Option<(BridgeName, Uuid)>| {
            let Some((bridge, _)) = bridge else {
                // It was on one of these, if it was on one of ours.
                let followed = touched.iter().any(|bridge| changed(bridge.as_str()));
                return Ok(if followed { Outcome::Updated } else { Outcome::Unchanged });
            };
            let on_it = |item: &PlanItem<'_>| item.bridge() == bridge.as_str();
            let error = plan.items().filter(on_it).find_map(|item| effect.failure_of(item));
            match (changed(bridge.as_str()), error, failures.is_empty()) {
                (true, Some(error), _) => Err(error.clone().into()),
                (true, None, _) => Ok(Outcome::Updated),
                (false, _, true) => Ok(Outcome::Unchanged),
                (false, _, false) => Err(WriteError::Unknown(failures.join("; "))),
            }
        };
        Ok(of.iter().zip(admitted).map(|(bridge, admitted)| admitted.and_then(|()| outcome(bridge))).collect())
    }

    /// What news of a VIF would have done.
    pub(super) async fn plan_vif(&self, vif: &Vif) -> Result<Planned, WriteError> {
        if let Some(reason) = self.executor.switch.watch_health().borrow().first_trouble() {
            return Err(WriteError::Unavailable(reason.to_owned()));
        }
        let named: Bridges = self.bridges_of(&[vif]).into_iter().flatten().collect();
        if let Some(failure) = self.executor.read_flows_of_some(&named).await.into_iter().next() {
            return Err(WriteError::Unavailable(failure));
        }
        Ok(self.planned_repairs(named.keys()).await)
    }

    /// For each VIF the bridge of ours that it is on, if any.
    fn bridges_of(&self, vifs: &[&Vif]) -> Vec<Option<(BridgeName, Uuid)>> {
        let prefixes = &self.executor.settings.vif_prefixes;
        self.executor.switch.observer().read(|db| {
            let view = db.view();
            let bridge_of = |vif: &&Vif| {
                let bridge = match vif {
                    Vif::Port(port) => view.bridge(&view.bridge_of_port(port.as_str())?)?,
                    Vif::Uuid(uuid) => {
                        let mut bridges = db.bridge_names().into_iter().filter_map(|name| view.bridge(&name));
                        bridges.find(|bridge| has_vif(bridge, *uuid))?
                    }
                };
                let known = match vif {
                    Vif::Port(port) => bridge.is_vif(bridge.ports.get(port.as_str())?, prefixes),
                    Vif::Uuid(_) => true,
                };
                known.then_some(())?;
                Some((DesiredBridge::from_record(&bridge)?.name, bridge.uuid))
            };
            vifs.iter().map(bridge_of).collect()
        })
    }
}

/// Whether xapi has noted this VIF at one of the bridge's interfaces.
fn has_vif(bridge: &ObservedBridge, uuid: Uuid) -> bool {
    let ids = bridge.ports.values().flat_map(|port| &port.interfaces).filter_map(|i| i.external_ids.get(XS_VIF_UUID));
    ids.into_iter().any(|id| id.parse() == Ok(uuid))
}
