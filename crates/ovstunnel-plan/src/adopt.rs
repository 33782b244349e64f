//! What an adopted bridge had, before us, of what we set: kept in its marks and given back when it is released.
//!
//! What it does: edits that keep and that give back. What it must not do: give back STP, which was switched off because it
//! loses traffic (docs/adr/0005-removing-a-bridge.md).

use crate::{BridgeEdit, DesiredBridge, FailMode, Mark, NO_HOST, ObservedBridge, bridge_mtu, ids};

/// Beside the keys of `other_config` and `external_ids` themselves.
const PROTECTED: &str = "protected";
const PROTOCOLS: &str = "protocols";
const FAIL_MODE: &str = "fail-mode";
const MCAST_SNOOPING: &str = "mcast-snooping";

fn kept_value(observed: &ObservedBridge, what: &str) -> Option<String> {
    observed.external_ids.get(&format!("{}{what}", ids::WAS)).cloned()
}

/// Whether OpenFlow 1.4 must be let in, for without it there are no bundles.
pub(crate) fn lacks_openflow_14(observed: &ObservedBridge) -> bool {
    !observed.protocols.is_empty() && !observed.protocols.iter().any(|protocol| protocol == "OpenFlow14")
}

/// Edits that keep what the bridge has, at the moment when it becomes ours.
pub(crate) fn keep_edits(desired: &DesiredBridge, observed: &ObservedBridge) -> Vec<BridgeEdit> {
    let mut keep: Vec<(&str, String)> = Vec::new();
    // Also later: somebody wants it, and gets it back.
    if desired.adopted && observed.mcast_snooping && kept_value(observed, MCAST_SNOOPING).is_none() {
        keep.push((MCAST_SNOOPING, "true".to_owned()));
    }
    keep.extend(keep_first(desired, observed));
    keep.into_iter().map(|(what, value)| BridgeEdit::SetId(format!("{}{what}", ids::WAS), value)).collect()
}

fn keep_first(desired: &DesiredBridge, observed: &ObservedBridge) -> Vec<(&'static str, String)> {
    let kept_already = observed.external_ids.keys().any(|key| key.starts_with(ids::WAS));
    if !desired.adopted || kept_already || DesiredBridge::bridge_mark(observed) != Mark::Foreign {
        return vec![];
    }
    // Which host was set up is not given back: what is released has to be set up again.
    let config = desired.other_config().into_iter().filter(|(key, _)| *key != ids::HOST_SETUP);
    let config = config.filter_map(|(key, _)| Some((key, observed.other_config.get(key)?)));
    let network = observed.external_ids.get(ids::XS_NETWORK_UUID).map(|uuid| (ids::XS_NETWORK_UUID, uuid));
    let mut keep: Vec<(&'static str, String)> =
        config.chain(network).map(|(key, value)| (key, value.clone())).collect();
    keep.extend(observed.own_port().filter(|port| port.protected).map(|_| (PROTECTED, "true".to_owned())));
    keep.extend(lacks_openflow_14(observed).then(|| (PROTOCOLS, observed.protocols.join(","))));
    let standalone = observed.fail_mode.as_ref().filter(|_| desired.needs_flows());
    keep.extend(standalone.map(|mode| (FAIL_MODE, mode.clone())));
    keep
}

/// Edits that leave a bridge without our marks, and with what it had before.
pub(crate) fn give_back(observed: &ObservedBridge) -> Vec<BridgeEdit> {
    let own = [
        [ids::KEY, ids::VPC, ids::NETWORK_UUID, ids::HOST_ID, ids::IPV6, ids::ADOPTED].as_slice(),
        &[
            ids::UPLINK,
            ids::TAKEOVER,
            ids::FLOODING,
            ids::STP_ROOT_PORT,
            ids::CLAIM,
            ids::AGENT,
            ids::ENCAP,
            ids::SECOND,
            ids::MTU,
            ids::NEIGHBOURS,
            ids::WITHDRAWN,
        ],
    ]
    .concat();
    let ours = |key: &&String| own.contains(&key.as_str()) || key.starts_with(ids::WAS) || ids::is_chunk(key);
    let mut edits: Vec<BridgeEdit> =
        observed.external_ids.keys().filter(ours).map(|key| BridgeEdit::DropId(key.clone())).collect();
    let id = |key| observed.external_ids.get(key);
    // Another tool's key is ours to change only where we wrote it.
    if id(ids::XS_NETWORK_UUID).is_some() && id(ids::XS_NETWORK_UUID) == id(ids::NETWORK_UUID) {
        let key = ids::XS_NETWORK_UUID.to_owned();
        edits.push(match kept_value(observed, &key) {
            Some(value) => BridgeEdit::SetId(key, value),
            None => BridgeEdit::DropId(key),
        });
    }
    let of_the_plugins = id(ids::VPC).is_none() && kept_value(observed, ids::GRE_KEY).is_some();
    edits.extend(of_the_plugins.then(|| BridgeEdit::SetId(ids::RELEASED.to_owned(), "true".to_owned())));
    let of_kind: &[&str] = match id(ids::VPC) {
        Some(_) => &[ids::TOPOLOGY_SEQUENCE, ids::POLICY_SEQUENCE],
        None => &[ids::GRE_KEY],
    };
    let agents = DesiredBridge::recorded_as_agents(observed);
    edits.extend(agents.then(|| BridgeEdit::SetConfig(ids::HOST_SETUP.to_owned(), NO_HOST.to_owned())));
    let of_agent = agents.then_some(ids::TUNNEL_NETWORK);
    for key in of_kind
        .iter()
        .copied()
        .chain([ids::MAC_TABLE_SIZE])
        .chain(of_agent)
        .filter(|key| observed.other_config.contains_key(*key))
    {
        edits.push(match kept_value(observed, key) {
            Some(value) => BridgeEdit::SetConfig(key.to_owned(), value),
            None => BridgeEdit::DropConfig(key.to_owned()),
        });
    }
    edits.extend(bridge_mtu::given_back(observed));
    let protected = observed.own_port().is_some_and(|port| port.protected) && kept_value(observed, PROTECTED).is_none();
    edits.extend(protected.then_some(BridgeEdit::Protect(false)));
    let let_in = kept_value(observed, PROTOCOLS).is_some() && observed.protocols.iter().any(|p| p == "OpenFlow14");
    edits.extend(let_in.then_some(BridgeEdit::OpenFlow14(false)));
    edits.extend(kept_value(observed, MCAST_SNOOPING).map(|_| BridgeEdit::McastSnooping(true)));
    if observed.external_ids.contains_key(ids::VPC) && observed.fail_mode.as_deref() == Some(FailMode::Secure.as_str())
    {
        edits.extend(fail_mode_before(observed).map(BridgeEdit::FailMode));
    }
    edits
}

/// The `fail_mode` that a bridge had; nothing where that was the one that it has.
fn fail_mode_before(observed: &ObservedBridge) -> Option<Option<FailMode>> {
    match kept_value(observed, FAIL_MODE).as_deref() {
        Some("secure") => None,
        Some(_) => Some(Some(FailMode::Standalone)),
        None => Some(None),
    }
}
