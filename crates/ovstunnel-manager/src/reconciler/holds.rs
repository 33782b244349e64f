//! Removals that wait until somebody approves them.
//!
//! What it does: numbers what the brakes stop, and remembers what was said of it. What it must not do: approve anything itself.

use ovstunnel_mesh::{Hold, Holds};
use time::OffsetDateTime;

/// What somebody said of a hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Said {
    /// Nothing yet.
    #[default]
    Nothing,
    /// It may go.
    Approved,
    /// It stays.
    Refused,
}

/// Removals that wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// Its number, since the manager's start.
    pub id: u64,
    /// What waits.
    pub hold: Hold,
    /// Since when.
    pub since: OffsetDateTime,
    /// What was said of it.
    pub said: Said,
}

/// All that wait, and what was approved and is not gone yet.
#[derive(Debug, Default)]
pub struct Waiting {
    last: u64,
    held: Vec<Held>,
    approved: Vec<Hold>,
}

impl Waiting {
    /// What was approved.
    pub fn approved(&self) -> &[Hold] {
        &self.approved
    }

    /// What waits or was refused.
    pub fn holds(&self) -> Vec<Hold> {
        self.held.iter().map(|held| held.hold.clone()).collect()
    }

    /// Takes in what the brakes stop now. Gives those that are new, or are about more than was shown.
    pub fn take_stopped(&mut self, stopped: &Holds, now: OffsetDateTime) -> Vec<Held> {
        let mut new = Vec::new();
        let before = std::mem::take(&mut self.held);
        for hold in stopped.iter() {
            let known = before.iter().find(|held| held.hold.scope == hold.scope);
            let is_more = |known: &&Held| !hold.removals.is_subset(&known.hold.removals);
            match known.filter(|known| !is_more(known)) {
                Some(known) => self.held.push(Held { hold: hold.clone(), ..known.clone() }),
                None => {
                    self.last += 1;
                    let held = Held { id: self.last, hold: hold.clone(), since: now, said: Said::Nothing };
                    new.push(held.clone());
                    self.held.push(held);
                }
            }
        }
        new
    }

    /// Nothing is to be removed any more: what was approved is done, and counts for nothing else.
    pub fn nothing_to_remove(&mut self) {
        self.approved.clear();
    }

    /// All that wait.
    pub fn list(&self) -> Vec<Held> {
        self.held.clone()
    }

    /// Somebody has decided. Gives the hold; none of this number waits otherwise.
    pub fn decide_hold(&mut self, id: u64, said: Said) -> Option<Held> {
        let index = self.held.iter().position(|held| held.id == id)?;
        self.held[index].said = said;
        let held = self.held[index].clone();
        if said == Said::Approved {
            self.held.remove(index);
            self.approved.push(held.hold.clone());
        }
        Some(held)
    }
}
