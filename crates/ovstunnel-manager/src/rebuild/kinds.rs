//! The kind of a network's tunnels, as its bridges tell it after the record of it was lost.
//!
//! What it does: takes the kind by which its hosts send. What it must not do: choose where hosts do not hear each other.

use std::collections::BTreeSet;
use std::fmt;

use ovstunnel_api::Bridge;
use ovstunnel_mesh::spoken::most_of;
use ovstunnel_types::{GreKey, TunnelKind};

/// What a host's bridge has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostKind {
    host: String,
    sends: TunnelKind,
    second: Option<TunnelKind>,
}

impl HostKind {
    pub(super) fn of_bridge(host: &str, bridge: &Bridge) -> HostKind {
        let second = bridge.second.as_ref().map(|second| second.kind);
        HostKind { host: host.to_owned(), sends: bridge.kind, second }
    }

    fn receives(&self, kind: TunnelKind) -> bool {
        self.sends == kind || self.second == Some(kind)
    }

    fn has_alone(&self, kind: TunnelKind) -> bool {
        self.sends == kind && self.second.is_none()
    }
}

impl fmt::Display for HostKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.second {
            None => write!(f, "host {} has {}", self.host, self.sends),
            Some(second) => write!(f, "host {} sends by {} and receives by {second} too", self.host, self.sends),
        }
    }
}

/// The kind that a network is to have: what the list says; else the one by which its hosts send, in the middle of a change most of them. As long as
/// all hear each other, all can be led to any kind of theirs without a frame lost. None where they do not.
pub(super) fn choose_kind(hosts: &[HostKind], listed: Option<TunnelKind>) -> Option<TunnelKind> {
    let sent: BTreeSet<TunnelKind> = hosts.iter().map(|host| host.sends).collect();
    let hear_all = hosts.iter().all(|host| sent.iter().all(|kind| host.receives(*kind)));
    listed.or_else(|| most_of(hosts.iter().map(|host| host.sends)).filter(|_| hear_all))
}

/// That hosts are not all where they are led.
pub(super) fn change_note(network: &str, key: GreKey, hosts: &[HostKind], kind: TunnelKind) -> Option<String> {
    if hosts.iter().all(|host| host.has_alone(kind)) {
        return None;
    }
    let there: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    Some(format!(
        "network {network} is to have tunnels of kind {kind}, which not all of its bridges have alone: {}; a manager that may act leads them \
         there, step by step. For another kind: kind in the list's [[networks]] with key {key}",
        there.join("; ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use TunnelKind::{Geneve, Gre, Vxlan};

    fn choose(hosts: &[(TunnelKind, Option<TunnelKind>)]) -> Option<TunnelKind> {
        let host = |(sends, second): &(TunnelKind, Option<TunnelKind>)| HostKind {
            host: "h".into(),
            sends: *sends,
            second: *second,
        };
        choose_kind(&hosts.iter().map(host).collect::<Vec<_>>(), None)
    }

    #[test]
    fn it_is_the_kind_by_which_most_send_where_all_hear_each_other() {
        let (gre, vxlan, both, turned) = ((Gre, None), (Vxlan, None), (Gre, Some(Vxlan)), (Vxlan, Some(Gre)));
        assert_eq!(choose(&[gre, gre]), Some(Gre));
        assert_eq!(choose(&[vxlan]), Some(Vxlan));
        assert_eq!(choose(&[gre, both, both]), Some(Gre), "some are prepared");
        assert_eq!(choose(&[both, both, turned]), Some(Gre), "one has switched");
        assert_eq!(choose(&[both, turned, turned]), Some(Vxlan), "most have switched");
        assert_eq!(choose(&[vxlan, turned, turned]), Some(Vxlan), "one has finished");
        assert_eq!(choose(&[gre, vxlan]), None, "neither hears the other");
        assert_eq!(choose(&[gre, turned]), None, "the first does not hear the second");
        assert_eq!(choose(&[both, (Gre, Some(Geneve))]), Some(Gre), "all send by it");
        assert_eq!(choose(&[turned, (Gre, Some(Geneve))]), None);
    }
}
