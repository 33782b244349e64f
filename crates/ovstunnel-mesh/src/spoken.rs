//! By which tunnels hosts of a network send and receive: the kind, and the UDP port where it has one. Must not judge whether a network is whole.

use std::collections::BTreeMap;

use ovstunnel_types::TunnelKind;

use crate::observed::Bridge;

/// By which tunnels a host sends, and by which it receives. A port that its daemon does not say is any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spoken {
    /// The kind by which it sends, and receives.
    pub sends: TunnelKind,
    /// Its UDP port.
    pub port: Option<u16>,
    /// While the kind changes, the other by which it receives, with its UDP port.
    pub hears: Option<(TunnelKind, Option<u16>)>,
}

impl Spoken {
    /// What a bridge says of its tunnels.
    pub fn of_bridge(bridge: &Bridge) -> Self {
        let [port, second] = bridge.ports;
        Spoken { sends: bridge.kind, port, hears: bridge.second.map(|kind| (kind, second)) }
    }

    /// The UDP port at which it receives this kind, where it does and says so.
    pub fn port_of(&self, kind: TunnelKind) -> Option<u16> {
        if self.sends == kind { self.port } else { self.hears.filter(|(heard, _)| *heard == kind)?.1 }
    }

    /// Whether each of the two receives what the other one sends.
    pub fn hear_each_other(&self, other: &Spoken) -> bool {
        self.receives_from(other) && other.receives_from(self)
    }

    fn receives_from(&self, other: &Spoken) -> bool {
        let same = |kind, port: Option<u16>| {
            kind == other.sends && (port == other.port || port.is_none() || other.port.is_none())
        };
        same(self.sends, self.port) || self.hears.is_some_and(|(kind, port)| same(kind, port))
    }

    /// How it sends.
    pub fn words(&self) -> String {
        match self.port {
            Some(port) => format!("{} to UDP port {port}", self.sends),
            None => self.sends.to_string(),
        }
    }
}

/// The one that occurs most often; of as many, the first in order.
pub fn most_of<T: Copy + Ord>(all: impl Iterator<Item = T>) -> Option<T> {
    let mut times: BTreeMap<T, usize> = BTreeMap::new();
    all.for_each(|one| *times.entry(one).or_default() += 1);
    let most = *times.values().max()?;
    times.into_iter().find(|(_, count)| *count == most).map(|(one, _)| one)
}
