//! What the switch itself told of each managed bridge, held for whoever judges. Must not ask the switch.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use ovstunnel_core::Witness;
use uuid::Uuid;

/// What was told last, by the bridge's row, and when. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Witnesses(Arc<RwLock<HashMap<Uuid, (Witness, SystemTime)>>>);

impl Witnesses {
    /// What the switch told of a bridge, and when; nothing where it was not asked yet.
    pub fn witness(&self, bridge: Uuid) -> Option<(Witness, SystemTime)> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(&bridge).cloned()
    }

    /// Takes in what it tells now.
    pub fn hear(&self, bridge: Uuid, witness: Witness, at: SystemTime) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(bridge, (witness, at));
    }
}
