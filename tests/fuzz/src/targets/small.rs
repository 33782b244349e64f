//! Short texts: names and addresses, what the tools print, certificates.

use std::fmt::{Debug, Display};
use std::str::FromStr;

use ovstunnel_ovs::fuzzing::{
    matched_flows, no_flood, parse_addresses, parse_meter, parse_states, parse_tables, parse_trace, parse_version,
    ports_told, tunnel_ends, xe_map,
};
use ovstunnel_plan::{AclId, BridgeName, Cidr, GreKey, HostId, Learnt, Mac, NetworkUuid, PortName, RemoteIp, VpcId};
use ovstunnel_server::fuzzing::peer_name;

use crate::readable;

/// A value that is valid is printed as a text that is the same value, and is safe in a command, a path and a record.
pub(crate) fn names(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    again::<BridgeName>(&text, 15);
    // The name of a tunnel of the Python plugin has the decimal key and two ids of up to 20 characters, as they are.
    again::<PortName>(&text, "t4294967295--".len() + 2 * 20);
    again::<HostId>(&text, 64);
    again::<VpcId>(&text, 64);
    again::<AclId>(&text, 64);
    again::<GreKey>(&text, 10);
    again::<RemoteIp>(&text, 39);
    again::<NetworkUuid>(&text, 36);
    again::<Mac>(&text, 17);
    again::<Cidr>(&text, 18);
    again::<ovstunnel_pki::Name>(&text, 64);
}

fn again<T: FromStr<Err: Display> + Display + PartialEq + Debug>(text: &str, longest: usize) {
    match text.parse::<T>() {
        Ok(value) => {
            let printed = value.to_string();
            let safe = |b: u8| b.is_ascii_alphanumeric() || b"._-:/".contains(&b);
            assert!((1..=longest).contains(&printed.len()) && printed.bytes().all(safe), "{printed:?}");
            assert!(!printed.starts_with(['-', '.', '/']), "{printed:?}");
            assert_eq!(printed.parse::<T>().ok().as_ref(), Some(&value), "{text:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// What `xe`, `ovs-ofctl show`, `ovs-appctl fdb/show` and `ovs-vsctl --version` print, and what the switch tells as a witness.
pub(crate) fn tools(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let map = xe_map(&text);
    let plain = |text: &String| text.trim() == text && !text.contains("; ") && !text.ends_with(';');
    if map.iter().all(|(key, value)| plain(key) && plain(value) && !key.contains(": ") && !key.ends_with(':')) {
        let printed: Vec<String> = map.iter().map(|(key, value)| format!("{key}: {value}")).collect();
        assert_eq!(xe_map(&printed.join("; ")), map, "{text:?}");
    }
    assert!(no_flood(&text).len() <= text.lines().count());
    assert!(Learnt::parse(&text).len() <= text.lines().count());
    witness(&text);
    if let Some((major, minor)) = parse_version(&text) {
        assert_eq!(parse_version(&format!("ovs-vsctl (Open vSwitch) {major}.{minor}.0\n")), Some((major, minor)));
    }
}

/// Nothing is told more often than there are lines, nothing has moved where nothing has changed, and what is kept is bounded.
fn witness(text: &str) {
    let lines = text.lines().count();
    if let Some((hidden, foreign, bare)) = parse_tables(text) {
        assert!(hidden + foreign <= lines);
        assert!(!bare || hidden + foreign == 0, "{text:?}");
    }
    assert!(ports_told(text) <= lines && tunnel_ends(text) <= lines && parse_states(text) <= lines);
    let (fixed, fullest, moved) = parse_addresses(text);
    assert!(fixed <= lines && fullest <= lines as u64);
    // One address can stand in two lines, on two ports.
    assert!(!moved || lines > 1, "{text:?}");
    if let Some(followed) = parse_trace(text) {
        assert!(followed.outs.len() <= text.len() && followed.unresolved.len() <= lines);
        assert!(followed.evidence.chars().count() <= 1_000 && !followed.evidence.contains('\n'));
    }
    assert!(matched_flows(text).len() <= lines);
    if let Some((frames, dropped)) = parse_meter(text) {
        let printed = format!("meter:1 packet_in_count:{frames} duration:1s bands:\n0: packet_count:{dropped}\n");
        assert_eq!(parse_meter(&printed), Some((frames, dropped)), "{text:?}");
    }
}

/// The owner of a certificate is one short word of a log line, whatever the certificate is.
pub(crate) fn certificate(data: &[u8]) {
    let shown = peer_name(data);
    readable(&shown, 2_000);
    assert!(shown.ends_with("@127.0.0.1:1"), "{shown}");
}
