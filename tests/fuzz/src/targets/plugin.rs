//! What a management server sends in the arguments of the xapi plugin.

use std::collections::BTreeMap;
use std::sync::Arc;

use ovstunnel_plan::{
    Applied, BridgeKind, DesiredBridge, FLOWS_MAX, Ipv6Policy, Policies, Settings, Topology, Vpc, fits_record,
};
use ovstunneld::testing;

use crate::{model, readable};

/// A topology is recorded as it was told, and its flows hold; an error names the place.
pub(crate) fn topology(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match testing::parse_topology(&text) {
        Ok(topology) => recorded(Some(topology), None),
        Err(error) => names_the_place(&error),
    }
}

/// Policies are recorded as they were told, and their flows hold; an error names the place.
pub(crate) fn policies(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match testing::parse_policies(&text) {
        Ok(policies) => recorded(testing::parse_topology(TIERS).ok(), Some(policies)),
        Err(error) => names_the_place(&error),
    }
}

/// Two tiers, for policies to guard.
const TIERS: &str = r#"{"vpc": {"cidr": "10.1.0.0/16", "vms": [{"hostid": 1, "nics": [{"ipaddress": "10.1.1.1",
    "macaddress": "02:00:00:00:01:01", "networkuuid": "00000000-0000-4000-8000-000000000001"}]}], "tiers": [
    {"grekey": 1001, "networkuuid": "00000000-0000-4000-8000-000000000001", "gatewayip": "10.1.1.254",
     "gatewaymac": "02:00:00:00:01:fe", "cidr": "10.1.1.0/24"},
    {"grekey": 1002, "networkuuid": "00000000-0000-4000-8000-000000000002", "gatewayip": "10.1.2.254",
     "gatewaymac": "02:00:00:00:02:fe", "cidr": "10.1.2.0/24"}]}}"#;

fn names_the_place(error: &str) {
    readable(error, 600);
    assert!(error.starts_with("config ") || error.starts_with("vpc"), "{error}");
}

fn recorded(topology: Option<Topology>, policies: Option<Policies>) {
    if topology.as_ref().is_some_and(|told| fits_record(told).is_err())
        || policies.as_ref().is_some_and(|told| fits_record(told).is_err())
    {
        return;
    }
    let few = policies.as_ref().is_none_or(|policies| policies.flow_count() <= FLOWS_MAX.min(5_000));
    let Ok(id) = "7".parse() else { return };
    let mut vpc = Vpc::new(id);
    vpc.topology = topology.map(|told| Applied { sequence: 1, value: Arc::new(told) });
    vpc.policies = policies.map(|told| Applied { sequence: 2, value: Arc::new(told) });
    let Ok(name) = "xapi1".parse() else { return };
    let desired = DesiredBridge {
        name,
        kind: BridgeKind::Vpc(vpc),
        network_uuid: None,
        host_id: None,
        ipv6: Ipv6Policy::Drop,
        adopted: false,
        uplink: None,
        claim: None,
        agent: false,
        encap: Default::default(),
        tunnels: BTreeMap::new(),
        second: None,
        neighbours: Default::default(),
    };
    let written = desired.external_ids().into_iter().filter_map(|(key, value)| Some((key, value?)));
    let mut observed = model::bridge(written.collect());
    observed.other_config = desired.other_config().into_iter().map(|(key, value)| (key.to_owned(), value)).collect();
    let read = DesiredBridge::from_record(&observed);
    assert_eq!(read.as_ref().map(|read| &read.kind), Some(&desired.kind), "the record is what was told");
    if let Some(read) = read.filter(|_| few) {
        model::flows_hold(&read, &observed, &Settings::default());
    }
}

/// The arguments of the plugin's functions; `other` stands for a tunnel's port.
const NAMES: [&str; 8] = ["bridge", "key", "network", "to", "remote_ip", "xs_nw_uuid", "seq-no", "other"];

/// What was understood of an argument is understood the same way again; an error names the argument.
pub(crate) fn arguments(data: &[u8]) {
    let Some((which, text)) = data.split_first() else { return };
    let name = NAMES[usize::from(*which) % NAMES.len()];
    let text = String::from_utf8_lossy(text);
    match testing::parse_argument(name, &text) {
        Ok(understood) => {
            assert!(understood.len() <= 64 && understood.is_ascii(), "{understood}");
            assert_eq!(testing::parse_argument(name, &understood), Ok(understood.clone()), "{name} {text:?}");
        }
        Err(error) => {
            readable(&error, 500);
            assert!(error.starts_with(&format!("FAILURE:INVALID_ARGUMENT {name} ")), "{error}");
        }
    }
}
