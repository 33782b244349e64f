//! The effect of requests about the bridge of a VPC. Must not look at what an update says, but for its number and size.

use super::rules::{check_range, first_record, not_managed, of_another_kind};
use super::{ChangeSet, Touched, twice, uplinks};
use crate::change::invalid;
use crate::kind::recorded_vpc;
use crate::{
    Applied, BridgeKind, FLOWS_MAX, GreKey, Rejected, Settings, SetupVpc, TooLarge, UpdateVpc, View, Vpc, VpcUpdate,
    fits_record,
};

impl ChangeSet<'_> {
    pub(super) fn setup_vpc(&mut self, view: &dyn View, settings: &Settings, setup: &SetupVpc) -> Result<(), Rejected> {
        let Touched { observed, desired, .. } = self.takable_bridge(view, &setup.bridge)?.clone();
        let becomes = uplinks::becomes_ours(desired.as_ref(), observed.as_deref());
        let had = desired.as_ref().map(|desired| desired.kind.keys()).unwrap_or_default();
        // What it was told is not lost with its mark.
        let vpc = |observed| recorded_vpc(observed, setup.vpc.clone());
        let vpc = observed.as_deref().map_or_else(|| Vpc::new(setup.vpc.clone()), vpc);
        let kind = BridgeKind::Vpc(vpc);
        let mut next = desired.unwrap_or_else(|| first_record(&setup.bridge, kind, settings, observed.as_deref()));
        if next.kind.vpc().is_none_or(|vpc| vpc.id != setup.vpc) {
            return Err(of_another_kind(&next));
        }
        next.network_uuid = setup.network_uuid.or(next.network_uuid);
        if let Some(host) = setup.host_id.as_ref().filter(|host| next.host_id.as_ref() != Some(*host)) {
            next = twice::renumbered_bridge(&next, host)?;
        }
        if let Some(bridge) = becomes {
            uplinks::may_become(view, bridge, &next, settings, &setup.host)?;
        }
        self.check_keys(view, &setup.bridge, &next.kind.keys(), &had)?;
        self.claim_all(view, &next, observed.as_deref())?;
        self.touched_bridge(view, &setup.bridge).desired = Some(next);
        Ok(())
    }

    pub(super) fn update_vpc(&mut self, view: &dyn View, update: &UpdateVpc) -> Result<(), Rejected> {
        self.check_tiers(view, update)?;
        let UpdateVpc { bridge, sequence, update } = update;

        check_size(update)?;
        let touched = self.touched_bridge(view, bridge);
        let Some(observed) = &touched.observed else {
            return Err(Rejected::NotFound(format!("there is no bridge {bridge}; set it up first")));
        };
        let Some(desired) = &mut touched.desired else { return Err(not_managed(bridge, observed)) };
        let BridgeKind::Vpc(vpc) = &mut desired.kind else { return Err(of_another_kind(desired)) };
        match update {
            VpcUpdate::Topology(topology) => supersede_update(&mut vpc.topology, *sequence, topology),
            VpcUpdate::Policies(policies) => supersede_update(&mut vpc.policies, *sequence, policies),
        }
        Ok(())
    }
}

impl ChangeSet<'_> {
    /// That no other bridge has the key of a tier that is new to this one.
    fn check_tiers(&mut self, view: &dyn View, update: &UpdateVpc) -> Result<(), Rejected> {
        let UpdateVpc { bridge, sequence, update: VpcUpdate::Topology(topology) } = update else { return Ok(()) };
        let Some(desired) = &self.touched_bridge(view, bridge).desired else { return Ok(()) };
        let last = desired.kind.vpc().and_then(|vpc| vpc.topology.as_ref()).map(|applied| applied.sequence);
        if last >= Some(*sequence) {
            return Ok(());
        }
        let had = desired.kind.keys();
        let keys: Vec<GreKey> = topology.tiers.iter().map(|tier| tier.key).collect();
        for (n, key) in keys.iter().enumerate() {
            check_range(&format!("vpc.tiers[{n}].grekey"), *key, desired.encap)?;
        }
        self.check_keys(view, bridge, &keys, &had)
    }
}

/// An update that is not newer than what was applied is none.
fn supersede_update<T>(applied: &mut Option<Applied<T>>, sequence: u64, value: &std::sync::Arc<T>) {
    if applied.as_ref().is_none_or(|applied| applied.sequence < sequence) {
        *applied = Some(Applied { sequence, value: value.clone() });
    }
}

fn check_size(update: &VpcUpdate) -> Result<(), Rejected> {
    let too_large = |error: TooLarge| invalid("config", "must be small enough to be recorded", error);
    match update {
        VpcUpdate::Topology(topology) => fits_record(&**topology).map_err(too_large),
        VpcUpdate::Policies(policies) => {
            fits_record(&**policies).map_err(too_large)?;
            let flows = policies.flow_count();
            let rule = format!("must not need more than {FLOWS_MAX} flows");
            if flows > FLOWS_MAX { Err(invalid("config", rule, flows)) } else { Ok(()) }
        }
    }
}
