//! The tables of a VPC's pipeline by number, and the flows that are gathered for it. Must not know what the flows are for.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use crate::{Action, Cookie, Flow, Match, Purpose};

pub(super) const CLASSIFY: u8 = 0;
pub(super) const SWITCH: u8 = 1;
pub(super) const FLOOD: u8 = 2;
pub(super) const EGRESS: u8 = 3;
pub(super) const ROUTE: u8 = 4;
pub(super) const INGRESS: u8 = 5;

/// The flows so far: the first of those with the same table, priority and match counts, as only one can be there.
#[derive(Debug, Default)]
pub(super) struct Pipeline(BTreeMap<(u8, u16, Match), Flow>);

impl Pipeline {
    pub fn add_flow(&mut self, (table, priority): (u8, u16), cookie: Cookie, matches: Match, actions: Vec<Action>) {
        let flow = Flow { table, priority, cookie, matches, actions };
        self.0.entry((table, priority, matches)).or_insert(flow);
    }

    pub fn into_flows(self) -> BTreeSet<Flow> {
        self.0.into_values().collect()
    }
}

/// A cookie for what a text names. Two texts may share one; then their flows are replaced together.
pub(super) fn named_cookie(purpose: Purpose, what: &str) -> Cookie {
    let digest = Sha256::digest(what.as_bytes());
    let number = digest.iter().take(3).fold(0, |number, byte| number << 8 | u32::from(*byte));
    Cookie::new(purpose, number)
}
