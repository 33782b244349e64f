//! What all requests share, by whatever way they come in, and what it tells of the host's bridges.
//!
//! What it does: leads to the switch's mirror, its writer and whatever else answers a request; has a bridge told as the API tells
//! it. What it must not do: know a route or a function of the plugin.

mod host;
pub(crate) mod to_wire;
mod turns;

use std::collections::BTreeSet;
use std::sync::Arc;

use ovstunnel_api::Health;
use ovstunnel_ovs::Switch;
use ovstunnel_plan::{BridgeName, EffectiveSettings, FlowsSeen, ObservedBridge, ObservedPort, View};
use ovstunnel_server::logging::Logging;

use crate::doctor::Doctor;
use crate::health::{Kept, Surveyor};
use crate::host::Interfaces;
use crate::metrics::Metrics;
use crate::silence::Silence;
use crate::watch::Hub;
use crate::witness::Witnesses;
use crate::writer::Writer;
use crate::xapi::Xapi;

pub(crate) use crate::writer::recorded_epoch;
pub(crate) use turns::Shared;
pub use turns::Turns;

/// What all handlers share.
#[derive(Clone, Debug)]
pub struct State {
    /// The switch, for reading its mirror.
    pub switch: Switch,
    /// The one that changes it.
    pub writer: Writer,
    /// What the switch itself says of its bridges.
    pub witnesses: Witnesses,
    /// Devices of this host.
    pub interfaces: Arc<Interfaces>,
    /// Whose turn it is among calls of the plugin.
    pub turns: Arc<Turns>,
    /// xapi, where it is used.
    pub xapi: Option<Arc<Xapi>>,
    /// What is counted.
    pub metrics: Metrics,
    /// The log; none in tests of the routes alone.
    pub logging: Option<Arc<Logging>>,
    /// What finds out what is wrong.
    pub doctor: Arc<Doctor>,
    /// What is seen below the tunnels.
    pub surveyor: Surveyor,
    /// The health of the host as it was last told.
    pub host_health: Kept<Option<Health>>,
    /// Those who watch.
    pub watch: Hub,
    /// Which hosts have been silent for long.
    pub silence: Silence,
}

impl State {
    /// A managed bridge as it is now.
    pub(crate) fn managed_bridge(&self, name: &str) -> Option<ovstunnel_api::Bridge> {
        let observed = self.switch.observer().read(|db| db.view().bridge(name))?;
        self.to_wire(&observed)
    }

    /// VIFs of a bridge whose devices the kernel does not have any more. Open vSwitch keeps their rows, and on a datapath in user
    /// space also their numbers (docs/ovs-facts.md), so this is asked where it matters: before a bridge goes.
    pub(crate) async fn dead_vifs(&self, bridge: &BridgeName) -> BTreeSet<String> {
        let settings = self.writer.settings();
        let vifs: Vec<String> = self.switch.observer().read(|db| {
            let observed = db.view().bridge(bridge.as_str());
            let of_system = |port: &&ObservedPort| port.interface().is_some_and(|interface| interface.kind.is_empty());
            let names = |observed: Arc<ObservedBridge>| {
                observed.vifs(&settings.vif_prefixes).filter(of_system).map(|port| port.name.clone()).collect()
            };
            observed.map(names).unwrap_or_default()
        });
        if vifs.is_empty() {
            return BTreeSet::new();
        }
        // What the kernel does not tell keeps nobody's VIF from being in the way.
        let Ok(Some(devices)) = self.interfaces.links().await else { return BTreeSet::new() };
        let dead: BTreeSet<String> = vifs.into_iter().filter(|vif| !devices.names.contains(vif)).collect();
        if !dead.is_empty() {
            tracing::warn!(%bridge, ?dead, "these VIFs have no device any more: their rows do not keep the bridge from going");
        }
        dead
    }

    /// A bridge of ours on the wire; nothing where it is not.
    pub(crate) fn to_wire(&self, observed: &ObservedBridge) -> Option<ovstunnel_api::Bridge> {
        // With vswitchd its flows are gone: what was read of them before says nothing.
        let seen = match self.switch.watch_health().borrow().vswitchd {
            Ok(()) => self.writer.flow_table().get(observed.uuid),
            Err(_) => FlowsSeen::Unknown,
        };
        self.to_wire_with(observed, &seen, &self.switch.effective_settings(&self.writer.settings()))
    }

    /// The same, where it was just read what its flows are, by these settings.
    pub(crate) fn to_wire_with(
        &self,
        observed: &ObservedBridge,
        seen: &FlowsSeen,
        settings: &EffectiveSettings,
    ) -> Option<ovstunnel_api::Bridge> {
        let told = self.witnesses.get(observed.uuid);
        let as_of = told.as_ref().map(|told| told.as_of).or_else(|| self.writer.runs().last_run().map(|look| look.at));
        let (witness, survey) = (told.map(|told| told.witness).unwrap_or_default(), self.surveyor.latest());
        let known = to_wire::Known { witness: &witness, survey: &survey, as_of };
        to_wire::bridge_to_wire(observed, seen, settings, &known)
    }

    /// What this daemon can do beyond version 1 of the API as it began.
    pub(crate) fn capabilities(&self) -> Vec<String> {
        let of_xapi = self.xapi.iter().flat_map(|_| ["xapi", "networks"]);
        let of_switch = self.switch.real_switch().into_iter().flat_map(|_| ["probe", "packets"]);
        let of_kernel = self.interfaces.can_change().then_some("addresses");
        ["watch", "claims", "epoch", "bfd", "counters", "kind", "neighbours"]
            .into_iter()
            .chain(of_kernel)
            .chain(of_switch)
            .chain(of_xapi)
            .map(str::to_owned)
            .collect()
    }
}
