//! What each managed bridge must be, remembered while we live.
//!
//! The record in the database is all that a start knows. But while we live we also know what we have carried out, so a
//! port that somebody deletes, or a mark that somebody edits, is told from one that we removed ourselves, and is put back.
//! What it must not do: outlive its bridge, or stand against a change that we were asked for.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use crate::{BridgeName, DesiredBridge};

/// The remembered bridges, each with the row that it was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DesiredCache {
    bridges: BTreeMap<BridgeName, (Uuid, DesiredBridge)>,
    /// Rows of bridges that were there before us and that we gave back.
    released: BTreeSet<Uuid>,
}

impl DesiredCache {
    /// What a bridge must be, if it is still the row that it was.
    pub fn get(&self, name: &str, row: Uuid) -> Option<&DesiredBridge> {
        self.bridges.get(name).filter(|(then, _)| *then == row).map(|(_, desired)| desired)
    }

    /// Remembers what was carried out.
    pub fn remember_bridge(&mut self, row: Uuid, desired: DesiredBridge) {
        self.released.remove(&row);
        self.bridges.insert(desired.name.clone(), (row, desired));
    }

    /// Forgets a bridge: from now on its record counts.
    pub fn forget_bridge(&mut self, name: &str) {
        self.bridges.remove(name);
    }

    /// Remembers that a bridge was given back: to ask for that again is no mistake.
    pub fn remember_release(&mut self, row: Uuid) {
        self.released.insert(row);
    }

    /// Whether a bridge that is not ours was, and we gave it back.
    pub fn is_released(&self, row: Uuid) -> bool {
        self.released.contains(&row)
    }

    /// Names of the remembered bridges.
    pub fn names(&self) -> impl Iterator<Item = &BridgeName> {
        self.bridges.keys()
    }
}
