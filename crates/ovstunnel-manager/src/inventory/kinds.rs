//! The kind that a network's tunnels are to have.
//!
//! What it must not do: change one on a host; the reconciler does, host by host.

use ovstunnel_api::{Changed, Outcome};
use ovstunnel_types::{GreKey, NetworkNumber, TunnelKind};

use super::{Asked, Inventory, InventoryError, changes_sentence, field_changes};

/// The setting with the kind of a network's tunnels.
pub fn kind_setting(network: NetworkNumber) -> String {
    format!("kind.{network}")
}

/// That a network of this kind can have this key.
///
/// # Errors
/// The key is larger than the kind can carry.
pub(super) fn check_key(key: GreKey, kind: TunnelKind) -> Result<(), InventoryError> {
    match kind.keys().contains(&key.get()) {
        true => Ok(()),
        false => Err(InventoryError::Invalid { field: "key", rule: kind.key_rule(), value: key.to_string() }),
    }
}

impl Inventory {
    /// Records the kind that a network's tunnels are to have on all hosts.
    ///
    /// # Errors
    /// No such network is recorded, its key is too large for the kind, or a host has something that cannot change.
    pub async fn put_kind(
        &self,
        name: &str,
        kind: TunnelKind,
        by: Asked<'_>,
    ) -> Result<(Outcome, Vec<Changed>), InventoryError> {
        let _turn = self.turn.lock().await;
        let not_found = || InventoryError::NotFound(format!("no network {name} is recorded: see `zone network add`"));
        let network = self.zone.recorded_network(name).ok_or_else(not_found)?;
        if network.kind == Some(kind) {
            return Ok((Outcome::Unchanged, Vec::new()));
        }
        if let Some(key) = network.row.key {
            check_key(key, kind)?;
            if let Some((host, why)) = self.zone.kind_refusal(key, kind) {
                let detail = format!("the tunnels of network {name} cannot become {kind} on host {host}: {why}");
                return Err(InventoryError::conflict(host, detail));
            }
        }
        let text = |kind: TunnelKind| kind.to_string();
        let changes = field_changes(name, Some([network.kind.map(text)]), [("kind", Some(text(kind)))]);
        if !by.dry_run {
            let number = network.row.number;
            self.store.set_setting(&kind_setting(number), Some(&kind.to_string())).await?;
            let sentence = format!("network {name} is to change its tunnels: {}", changes_sentence(&changes));
            self.record_event("network_kind", Some(name), None, Some(by.actor), sentence);
            self.zone.set_kind(number, kind);
        }
        Ok((Outcome::Updated, changes))
    }
}
