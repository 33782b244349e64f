//! What a bridge is for: one network, or a distributed-routing VPC; and how its marks say so.
//!
//! What it does: writes that part of the record and reads it back. What it must not do: take a bridge for one kind where its
//! marks say the other.

use std::collections::BTreeMap;

use crate::vpc::{record_chunks, recorded_policies, recorded_topology, text_of_policies, text_of_topology};
use crate::{Applied, GreKey, ObservedBridge, Vpc, VpcId, ids};

/// What a bridge is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BridgeKind {
    /// One network, with this GRE key.
    Network(GreKey),
    /// All tiers of a VPC, each with a key of its own.
    Vpc(Vpc),
}

impl BridgeKind {
    /// The GRE key of its network, where it has one.
    pub fn key(&self) -> Option<GreKey> {
        match self {
            BridgeKind::Network(key) => Some(*key),
            BridgeKind::Vpc(_) => None,
        }
    }

    /// All keys of its tunnels, as far as it is known: that of its network, or those of a VPC's tiers.
    pub fn keys(&self) -> Vec<GreKey> {
        match self {
            BridgeKind::Network(key) => vec![*key],
            BridgeKind::Vpc(vpc) => {
                let tiers = vpc.topology.iter().flat_map(|topology| &topology.value.tiers);
                tiers.map(|tier| tier.key).collect()
            }
        }
    }

    /// The VPC, where it is for one.
    pub fn vpc(&self) -> Option<&Vpc> {
        match self {
            BridgeKind::Network(_) => None,
            BridgeKind::Vpc(vpc) => Some(vpc),
        }
    }

    /// The marks that say so: each key with its value, or with none where it must not be there.
    pub(crate) fn external_ids(&self) -> Vec<(String, Option<String>)> {
        let vpc = self.vpc();
        let mut marks = vec![
            (ids::KEY.to_owned(), self.key().map(|key| key.to_string())),
            (ids::VPC.to_owned(), vpc.map(|vpc| vpc.id.to_string())),
        ];
        let topology = vpc.and_then(|vpc| vpc.topology.as_ref()).map(|applied| text_of_topology(&applied.value));
        let policies = vpc.and_then(|vpc| vpc.policies.as_ref()).map(|applied| text_of_policies(&applied.value));
        for (prefix, text) in [(ids::TOPOLOGY, topology), (ids::POLICY, policies)] {
            let chunks = text.map(|text| record_chunks(prefix, &text)).unwrap_or_default();
            marks.extend(chunks.into_iter().map(|(key, chunk)| (key, Some(chunk))));
        }
        marks
    }

    /// What `other_config` must have for it.
    pub(crate) fn other_config(&self) -> Vec<(&'static str, String)> {
        match self {
            BridgeKind::Network(key) => vec![(ids::GRE_KEY, key.to_string())],
            BridgeKind::Vpc(vpc) => {
                let topology = vpc.topology.as_ref().map(|applied| (ids::TOPOLOGY_SEQUENCE, applied.sequence));
                let policies = vpc.policies.as_ref().map(|applied| (ids::POLICY_SEQUENCE, applied.sequence));
                let numbers = topology.into_iter().chain(policies);
                numbers.map(|(key, number)| (key, number.to_string())).collect()
            }
        }
    }

    /// What a marked bridge is for; nothing where the marks cannot be read.
    pub(crate) fn from_record(bridge: &ObservedBridge) -> Option<Self> {
        match bridge.external_ids.get(ids::VPC) {
            Some(id) => Some(BridgeKind::Vpc(recorded_vpc(bridge, id.parse().ok()?))),
            None => recorded_key(bridge).map(BridgeKind::Network),
        }
    }
}

/// The key of a bridge that is marked as ours; where the mark itself cannot be read, the one for other tools.
fn recorded_key(bridge: &ObservedBridge) -> Option<GreKey> {
    let marks = [ids::KEY, ids::NETWORK_UUID, ids::HOST_ID, ids::IPV6, ids::ADOPTED];
    marks.iter().any(|id| bridge.external_ids.contains_key(*id)).then_some(())?;
    let texts = [bridge.external_ids.get(ids::KEY), bridge.other_config.get(ids::GRE_KEY)];
    texts.into_iter().flatten().find_map(|text| text.parse().ok())
}

/// A VPC as far as a bridge's marks tell of it, but for its id. A part of the record that cannot be read counts as not there,
/// its number included: any update will do.
pub(crate) fn recorded_vpc(bridge: &ObservedBridge, id: VpcId) -> Vpc {
    Vpc {
        id,
        topology: applied_record(bridge, ids::TOPOLOGY, ids::TOPOLOGY_SEQUENCE, recorded_topology),
        policies: applied_record(bridge, ids::POLICY, ids::POLICY_SEQUENCE, recorded_policies),
    }
}

fn applied_record<T>(
    bridge: &ObservedBridge,
    prefix: &str,
    number: &str,
    read: impl Fn(&BTreeMap<String, String>, &str) -> Option<T>,
) -> Option<Applied<T>> {
    let value = read(&bridge.external_ids, prefix)?.into();
    let sequence = bridge.other_config.get(number).and_then(|text| text.parse().ok()).unwrap_or_default();
    Some(Applied { sequence, value })
}
