//! What brings bridges back to what they must be, as a plan. Must not carry it out.

use ovstunnel_plan::{BridgeName, ChangeSet, DesiredCache, ObservedBridge, Plan, TunnelHealth};
use uuid::Uuid;

use super::Executor;
use super::batch::Desired;

impl Executor {
    /// What brings bridges back to what they must be.
    pub(super) fn plan_repairs<'a>(&self, bridges: impl IntoIterator<Item = &'a BridgeName>) -> Repairs {
        self.repairs_of(bridges.into_iter().map(|name| (name, LookFor::Drift)))
    }

    /// The same, and what takes left-overs of ours away from bridges that are not ours.
    pub(super) fn repairs_and_left_overs(
        &self,
        managed: &[(BridgeName, Uuid)],
        foreign: &[(BridgeName, Uuid)],
    ) -> Repairs {
        let managed = managed.iter().map(|(name, _)| (name, LookFor::Drift));
        self.repairs_of(managed.chain(foreign.iter().map(|(name, _)| (name, LookFor::LeftOvers))))
    }

    /// Bridge by bridge: a repair asks nothing of other bridges, and a copy of all of them at once would be most of the
    /// memory that a host with many tunnels takes.
    fn repairs_of<'a>(&self, bridges: impl Iterator<Item = (&'a BridgeName, LookFor)>) -> Repairs {
        self.switch.observer().read(|db| {
            let (view, mut repairs) = (db.view(), Repairs::default());
            for (name, look_for) in bridges {
                let mut change_set = ChangeSet::with_cache(&self.cache);
                match look_for {
                    LookFor::Drift => change_set.touch_bridge(&view, name),
                    LookFor::LeftOvers => change_set.sweep_bridge(&view, name),
                }
                repairs.add_bridge(self.plan_change_set(&change_set), change_set, &self.cache);
            }
            repairs.plan = repairs.plan.with_switch_row(&view, &self.settings);
            repairs
        })
    }
}

/// What a bridge is looked at for.
#[derive(Clone, Copy)]
enum LookFor {
    /// What differs from its record, if it has one.
    Drift,
    /// What is left of ours on a bridge of somebody else's.
    LeftOvers,
}

/// What a look at bridges asks for.
#[derive(Default)]
pub(super) struct Repairs {
    /// What brings them back to what they must be.
    pub plan: Plan,
    /// Tunnels that were looked at.
    pub tunnels: usize,
    /// Tunnels that Open vSwitch has refused.
    pub in_error: usize,
    /// What each bridge must be; left out are those that are as they are remembered.
    pub desired: Desired,
}

impl Repairs {
    /// Adds what one bridge asks for.
    fn add_bridge(&mut self, plan: Plan, bridge: ChangeSet<'_>, cache: &DesiredCache) {
        let mut as_remembered = plan.is_empty();
        for (_, desired, observed) in bridge.touched_bridges() {
            let Some(desired) = desired else {
                as_remembered = false;
                continue;
            };
            self.tunnels += desired.tunnels.len();
            self.in_error += observed.map_or(0, tunnels_in_error);
            // What a VPC has that cannot be placed is told with each look.
            as_remembered &= desired.kind.vpc().is_none()
                && observed.is_some_and(|observed| cache.get(&observed.name, observed.uuid) == Some(desired));
        }
        self.plan.extend(plan);
        if !as_remembered {
            self.desired.extend(bridge.into_desired());
        }
    }
}

pub(super) fn tunnels_in_error(bridge: &ObservedBridge) -> usize {
    let ours = bridge.ports.values().filter(|port| port.is_tunnel_of_ours());
    let health = ours.filter_map(|port| Some(port.interface()?.health()));
    health.filter(|health| matches!(health, TunnelHealth::Refused(_))).count()
}
