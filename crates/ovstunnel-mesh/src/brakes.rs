//! The brakes: removals that nobody asked for by name, and that are too many to be ordinary, stop until somebody approves them.
//!
//! What it does: counts, over all networks of a pass. What it must not do: hold back what is added, or what was asked for.

use std::collections::BTreeSet;

use ovstunnel_types::{HostNumber, NetworkNumber};

use crate::difference::{Difference, Removal};

/// Fewer hosts than these are never stopped for.
const FEWEST_HOSTS: usize = 4;

/// Fewer tunnels than these are never stopped for.
const FEWEST_TUNNELS: usize = 20;

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
    /// All that a pass removes.
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
    pub removals: BTreeSet<(NetworkNumber, Removal)>,
    /// The hosts that have left and from which they follow.
    pub hosts: BTreeSet<HostNumber>,
    /// How many tunnels there are in the scope.
    pub of: usize,
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
    pub(crate) fn stops(&self, network: NetworkNumber, is_named: bool) -> bool {
        self.0.iter().any(|hold| match hold.scope {
            Scope::Pass => true,
            Scope::Zone => !is_named,
            Scope::Network(held) => held == network && !is_named,
        })
    }
}

impl Brakes {
    /// What has to wait of a pass. `zone_tunnels` is how many tunnels all networks of the zone have, those without a difference among
    /// them. A hold of which every removal was approved is none.
    pub fn holds(&self, pass: &[Difference], zone_tunnels: usize, approved: &[Hold]) -> Holds {
        if self.asks_for_any {
            let all = hold(Scope::Pass, pass, zone_tunnels, |_| true);
            let goes = !all.removals.is_empty() || pass.iter().any(Difference::removes_a_bridge);
            return Holds(Some(all).filter(|all| goes && !is_approved(all, approved)).into_iter().collect());
        }
        let unnamed = |removal: &Removal| !removal.is_named;
        let zone = hold(Scope::Zone, pass, zone_tunnels, unnamed);
        let networks = pass.iter().map(|difference| {
            let scope = Scope::Network(difference.network);
            (hold(scope, std::slice::from_ref(difference), difference.tunnels, unnamed), self.network)
        });
        let stopped = std::iter::once((zone, self.zone)).chain(networks).filter(|(hold, share)| hold.is_over(*share));
        Holds(stopped.map(|(hold, _)| hold).filter(|hold| !is_approved(hold, approved)).collect())
    }
}

impl Hold {
    fn is_over(&self, share: f64) -> bool {
        let goes = self.removals.len();
        self.hosts.len() >= FEWEST_HOSTS && goes >= FEWEST_TUNNELS && goes as f64 > self.of as f64 * share
    }
}

/// An approval is for what was shown, and for what is left of it.
fn is_approved(hold: &Hold, approved: &[Hold]) -> bool {
    approved.iter().any(|shown| hold.removals.is_subset(&shown.removals) && hold.hosts.is_subset(&shown.hosts))
}

fn hold(scope: Scope, pass: &[Difference], of: usize, is_meant: impl Fn(&Removal) -> bool) -> Hold {
    let mut hold = Hold { scope, removals: BTreeSet::new(), hosts: BTreeSet::new(), of };
    for difference in pass {
        for removal in difference.removals().filter(|removal| is_meant(removal)) {
            hold.hosts.insert(removal.because_left.unwrap_or(removal.from));
            hold.removals.insert((difference.network, removal.clone()));
        }
    }
    hold
}
