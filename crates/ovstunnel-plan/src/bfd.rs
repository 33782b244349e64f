//! BFD of a tunnel: two switches that tell each other again and again that their tunnel carries packets.
//!
//! What it does: says which keys of `Interface.bfd` are ours and what they must be, and which flow keeps its frames from VMs, and VMs from
//! it. What it must not do: touch another key of that column, or decide on which tunnel it runs (docs/adr/0043-bfd-on-one-tunnel-of-a-pair.md).

use std::fmt;
use std::str::FromStr;

use crate::{Flow, Mac, MacMatch, Match, ObservedInterface, Purpose};

/// Keys of column `bfd` of table Interface.
mod keys {
    pub(super) const ENABLE: &str = "enable";
    pub(super) const MIN_TX: &str = "min_tx";
    pub(super) const MIN_RX: &str = "min_rx";
    pub(super) const SENT_TO: &str = "bfd_local_dst_mac";
    /// A frame to another address is no BFD: without this key each UDP packet to port 3784 is, so that a VM could end the session.
    pub(super) const TAKEN_AT: &str = "bfd_remote_dst_mac";

    pub(super) const ALL: [&str; 5] = [ENABLE, MIN_TX, MIN_RX, SENT_TO, TAKEN_AT];
}

/// How often each end of a tunnel sends: milliseconds, 100 to 60,000. Three that do not come are a session that is down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BfdInterval(u32);

impl BfdInterval {
    /// What [`BfdInterval::new`] takes, as it reads on from a field's name.
    pub const RULE: &str = "must be from 100 to 60000 milliseconds";

    /// An interval, where it is one.
    pub fn new(milliseconds: u32) -> Option<Self> {
        (100..=60_000).contains(&milliseconds).then_some(BfdInterval(milliseconds))
    }

    /// Milliseconds.
    pub fn get(self) -> u32 {
        self.0
    }

    /// Our keys of `Interface.bfd`, and what they must be: the whole column of a new interface.
    pub fn bfd_column(self) -> [(&'static str, String); 5] {
        let interval = self.to_string();
        [
            (keys::ENABLE, "true".to_owned()),
            (keys::MIN_TX, interval.clone()),
            (keys::MIN_RX, interval),
            (keys::SENT_TO, Mac::BFD.to_string()),
            (keys::TAKEN_AT, Mac::BFD.to_string()),
        ]
    }
}

impl fmt::Display for BfdInterval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for BfdInterval {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        text.parse().ok().and_then(BfdInterval::new).ok_or(())
    }
}

/// What of an interface's column `bfd` must change: each key with its new value, or with none where it must go.
///
/// Where nothing is wanted and nothing `was`, the column is somebody else's, and stays.
pub(crate) fn bfd_edits(
    wanted: Option<BfdInterval>,
    was: bool,
    interface: &ObservedInterface,
) -> Vec<(&'static str, Option<String>)> {
    match wanted {
        Some(interval) => {
            let differs = |(key, value): &(&str, String)| interface.bfd.get(*key) != Some(value);
            interval.bfd_column().into_iter().filter(differs).map(|(key, value)| (key, Some(value))).collect()
        }
        None if was => {
            keys::ALL.into_iter().filter(|key| interface.bfd.contains_key(*key)).map(|key| (key, None)).collect()
        }
        None => Vec::new(),
    }
}

/// Drops what is sent to BFD's address, whoever sends it.
///
/// The switch itself sends and takes BFD aside from its flows (docs/ovs-facts.md). So what the flow sees is a VM's forgery, or comes by a
/// tunnel on which BFD is on at the other end alone.
pub(crate) fn guard_flow() -> Flow {
    let to_bfd = Match { dl_dst: Some(MacMatch::Exactly(Mac::BFD)), ..Match::default() };
    Flow::of_entry(9100, Purpose::Bfd, 0, to_bfd, vec![])
}
