//! Two masters: where a zone's manager acts, what the plugin's calls remove is left to it.
//!
//! What it does: says which removals are left; has a bridge go that was left when its network is set up on another one. What it must
//! not do: leave what a manager never removes, a VPC's bridge and its tunnels, or leave anything where no manager is seen to act.

use ovstunnel_api::ClaimSays;
use ovstunnel_plan::{BridgeName, Change, DesiredBridge, Epoch, GreKey, View};

use super::Call;
use crate::state::{recorded_epoch, to_wire};

/// The epoch of the manager to which a removal on a bridge with this record is left; nothing where the plugin carries it out.
pub(super) fn left_to(call: Call<'_>, record: Option<&DesiredBridge>) -> Option<Epoch> {
    record.filter(|record| record.kind.key().is_some() && record.kind.vpc().is_none())?;
    // Where the record cannot be read, nobody is known to lead.
    let epoch = recorded_epoch(&call.state.switch).ok().flatten()?;
    call.state.watch.controllers().controller_acts(epoch).then_some(epoch)
}

/// A set-up of this network's key on another bridge takes the place of those that the plugin has already wanted gone: without a manager
/// they would be. One that cannot go, for a VIF is on it, is in the set-up's way, as ever.
pub(super) async fn make_way(call: Call<'_>, bridge: &BridgeName, key: GreKey) {
    let others = call.state.switch.observer().read(|db| db.view().key_users(key));
    let others = others.into_iter().filter(|other| other != bridge.as_str());
    for other in others.filter_map(|other| other.parse::<BridgeName>().ok()) {
        let record = call.observed_bridge(&other).and_then(|observed| DesiredBridge::from_record(&observed));
        let Some(record) = record.filter(|record| record.kind.vpc().is_none()) else { continue };
        let claim = record.claim.as_deref().and_then(to_wire::parse_claim);
        if claim.is_none_or(|claim| claim.says != ClaimSays::Out) {
            continue;
        }
        let dead = call.state.dead_vifs(&other).await;
        call.state.watch.plugin_destroys(other.as_str());
        match call.make_change(Change::DestroyBridge(other.clone(), dead)).await {
            Ok(_) => tracing::info!(bridge = %other, by = %bridge, "a bridge that the plugin had destroyed makes way"),
            Err(error) => {
                call.state.watch.plugin_destroys_not(other.as_str());
                tracing::warn!(bridge = %other, by = %bridge, %error, "a bridge that the plugin had destroyed cannot make way");
            }
        }
    }
}
