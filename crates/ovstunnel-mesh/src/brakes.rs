//! The brakes: removals that nobody asked for by name, and tunnels that are to lead elsewhere, stop until somebody approves them where they are
//! too many to be ordinary.
//!
//! What it does: counts, over all networks of a pass, and over what went in the passes just before it. What it must not do: hold back what is
//! added, or what was asked for.

use std::collections::BTreeSet;
use std::time::Duration;

use ovstunnel_types::{HostNumber, NetworkNumber};

use crate::difference::{Difference, Removal};

/// Fewer hosts than these are never stopped for.
const FEWEST_HOSTS: usize = 4;

/// Fewer tunnels than these are never stopped for.
const FEWEST_TUNNELS: usize = 20;

/// Removals that nobody asked for by name are counted together where no more time than this is between them: what goes little by little
/// stops as what goes at once.
pub const COUNTED_TOGETHER: Duration = Duration::from_secs(600);

/// A tunnel that goes or went, from a host or from an address, with its network.
pub type Goes = (NetworkNumber, Removal);

/// What was before a pass.
#[derive(Clone, Copy, Debug)]
pub struct Earlier<'a> {
    /// Holds that were approved.
    pub approved: &'a [Hold],
    /// Holds that wait, or were refused.
    pub waiting: &'a [Hold],
    /// What went within [`COUNTED_TOGETHER`] though nobody asked for it by name, and nobody was asked.
    pub gone: &'a BTreeSet<Goes>,
}

impl Default for Earlier<'_> {
    /// Nothing was.
    fn default() -> Self {
        Earlier { approved: &[], waiting: &[], gone: const { &BTreeSet::new() } }
    }
}

/// When a pass stops.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Brakes {
    /// The largest share of the zone's tunnels that goes in a pass without a question, 0 to 1.
    pub zone: f64,
    /// The largest share of one network's tunnels.
    pub network: f64,
    /// Whether any removal, named or not, is asked for first: in the first pass after the controller was switched on.
    pub asks_for_any: bool,
}

impl Default for Brakes {
    fn default() -> Self {
        Brakes { zone: 0.1, network: 0.5, asks_for_any: false }
    }
}

/// Which removals a hold is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// All that a pass removes, or leads elsewhere.
    Pass,
    /// All that nobody asked for by name.
    Zone,
    /// Those of one network that nobody asked for by name.
    Network(NetworkNumber),
}

/// Removals that wait for an approval.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hold {
    /// Which.
    pub scope: Scope,
    /// Every one of them.
    pub removals: BTreeSet<Goes>,
    /// The hosts that have left and from which they follow.
    pub hosts: BTreeSet<HostNumber>,
    /// How many tunnels there are in the scope.
    pub of: usize,
    /// How many tunnels of the scope went shortly before, though nobody asked for it by name: they count, too.
    pub gone: usize,
}

/// The holds of a pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holds(Vec<Hold>);

impl Holds {
    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &Hold> {
        self.0.iter()
    }

    /// Whether something that goes from this network has to wait.
    pub(crate) fn stops_removal(&self, network: NetworkNumber, is_named: bool) -> bool {
        self.0.iter().any(|hold| match hold.scope {
            Scope::Pass => true,
            Scope::Zone => !is_named,
            Scope::Network(held) => held == network && !is_named,
        })
    }
}

impl Brakes {
    /// What has to wait of a pass. `zone_tunnels` is how many tunnels all networks of the zone have, those without a difference among
    /// them. What was stopped stays so until it is approved, however few of it are left; a hold of which every removal was approved is none.
    pub fn hold_back(&self, pass: &[Difference], zone_tunnels: usize, earlier: &Earlier<'_>) -> Holds {
        let is_approved = |hold: &Hold| is_approved(hold, earlier.approved);
        if self.asks_for_any {
            let all = new_hold(Scope::Pass, pass, zone_tunnels, |_| true);
            let goes = !all.removals.is_empty() || pass.iter().any(Difference::removes_a_bridge);
            return Holds(Some(all).filter(|all| goes && !is_approved(all)).into_iter().collect());
        }
        let unnamed = |removal: &Removal| !removal.is_named;
        let zone = new_hold(Scope::Zone, pass, zone_tunnels, unnamed);
        let networks = pass.iter().map(|difference| {
            let scope = Scope::Network(difference.network);
            (new_hold(scope, std::slice::from_ref(difference), difference.tunnels, unnamed), self.network)
        });
        let all = std::iter::once((zone, self.zone)).chain(networks);
        let stopped = all.filter_map(|(mut hold, share)| {
            let is_over = hold.is_over(share, earlier.gone) || hold.is_known(earlier.waiting);
            (is_over && !is_approved(&hold)).then_some(hold)
        });
        Holds(stopped.collect())
    }
}

impl Hold {
    /// Whether that is too much, with what is gone already.
    fn is_over(&mut self, share: f64, gone: &BTreeSet<Goes>) -> bool {
        if self.removals.is_empty() {
            return false;
        }
        let scope = self.scope;
        let in_scope = |(network, _): &&Goes| scope == Scope::Zone || scope == Scope::Network(*network);
        // One that was made anew and is to go again counts once.
        let gone: Vec<&Goes> = gone.iter().filter(in_scope).filter(|gone| !self.removals.contains(gone)).collect();
        self.gone = gone.len();
        let hosts: BTreeSet<HostNumber> =
            gone.iter().map(|(_, removal)| removal.causing_host()).chain(self.hosts.iter().copied()).collect();
        let goes = self.removals.len() + self.gone;
        hosts.len() >= FEWEST_HOSTS && goes >= FEWEST_TUNNELS && goes as f64 > (self.of + self.gone) as f64 * share
    }

    /// Whether something of it was stopped before, and nobody has approved it.
    fn is_known(&self, waiting: &[Hold]) -> bool {
        waiting.iter().any(|known| known.scope == self.scope && !known.removals.is_disjoint(&self.removals))
    }
}

/// An approval is for what was shown, and for what is left of it.
fn is_approved(hold: &Hold, approved: &[Hold]) -> bool {
    approved.iter().any(|shown| hold.removals.is_subset(&shown.removals) && hold.hosts.is_subset(&shown.hosts))
}

fn new_hold(scope: Scope, pass: &[Difference], of: usize, is_meant: impl Fn(&Removal) -> bool) -> Hold {
    let mut hold = Hold { scope, removals: BTreeSet::new(), hosts: BTreeSet::new(), of, gone: 0 };
    for difference in pass {
        let goes = difference.removals().cloned().chain(difference.moves());
        for removal in goes.filter(|removal| is_meant(removal)) {
            hold.hosts.insert(removal.causing_host());
            hold.removals.insert((difference.network, removal));
        }
    }
    hold
}
