//! What a VPC's bridge was last told, as text for the database.
//!
//! What it does: a short form of JSON, cut into chunks, for an argument of a program has at most 128 KiB on Linux; and back,
//! through the same checks as at the edge. What it must not do: change its form without reading the older one.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use super::{AclItem, Direction, Nic, Policies, PortRange, Tier, Topology, Verdict};
use crate::{Cidr, GreKey, Mac};

/// Bytes of a chunk: even with each of its characters escaped, it fits into one argument.
const CHUNK: usize = 48 << 10;

/// Longest text: topology and policies must fit into the arguments of one transaction together, escaped.
const TEXT_MAX: usize = 320 << 10;

/// More was told than can be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its record would have {bytes} bytes; {TEXT_MAX} are the most")]
pub struct TooLarge {
    bytes: usize,
}

/// Whether the record of a text this long can be written.
fn check_size(text: &str) -> Result<(), TooLarge> {
    if text.len() <= TEXT_MAX { Ok(()) } else { Err(TooLarge { bytes: text.len() }) }
}

/// What can be recorded.
pub trait Recorded {
    /// Its record.
    fn record_text(&self) -> String;
}

/// Whether something is small enough to be recorded.
///
/// # Errors
/// How large it would be.
pub fn fits_record(value: &impl Recorded) -> Result<(), TooLarge> {
    check_size(&value.record_text())
}

impl Recorded for Topology {
    fn record_text(&self) -> String {
        text_of_topology(self)
    }
}

impl Recorded for Policies {
    fn record_text(&self) -> String {
        text_of_policies(self)
    }
}

#[derive(Serialize, Deserialize)]
struct TopologyRecord {
    cidr: Cidr,
    /// Key, network, gateway's address and Ethernet address, addresses.
    tiers: Vec<(u32, String, Ipv4Addr, Mac, Cidr)>,
    /// Host, address, Ethernet address, key of the tier.
    nics: Vec<(Option<String>, Option<Ipv4Addr>, Mac, u32)>,
}

pub(crate) fn text_of_topology(topology: &Topology) -> String {
    let tier = |t: &Tier| (t.key.get(), t.network.to_string(), t.gateway_ip, t.gateway_mac, t.cidr);
    let nic = |n: &Nic| (n.host.as_ref().map(ToString::to_string), n.ip, n.mac, n.tier.get());
    serialize_record(&TopologyRecord {
        cidr: topology.cidr,
        tiers: topology.tiers.iter().map(tier).collect(),
        nics: topology.nics.iter().map(nic).collect(),
    })
}

/// The topology that is recorded under keys that begin so; nothing where there is none, or it cannot be read.
pub(crate) fn recorded_topology(ids: &BTreeMap<String, String>, prefix: &str) -> Option<Topology> {
    let record: TopologyRecord = serde_json::from_str(&join_chunks(ids, prefix)?).ok()?;
    let key = |key: u32| GreKey::try_from(i64::from(key)).ok();
    let tier = |(k, network, gateway_ip, gateway_mac, cidr): (u32, String, _, _, _)| {
        Some(Tier { key: key(k)?, network: network.parse().ok()?, gateway_ip, gateway_mac, cidr })
    };
    let nic = |(host, ip, mac, tier): (Option<String>, _, _, u32)| {
        Some(Nic { host: host.map(|id| id.parse()).transpose().ok()?, ip, mac, tier: key(tier)? })
    };
    Some(Topology {
        cidr: record.cidr,
        tiers: record.tiers.into_iter().map(tier).collect::<Option<_>>()?,
        nics: record.nics.into_iter().map(nic).collect::<Option<_>>()?,
    })
}

/// Number, allowed, ingress, protocol, ports, networks.
type ItemRecord = (u16, bool, bool, Option<u8>, Option<(u16, u16)>, Vec<Cidr>);

#[derive(Serialize, Deserialize)]
struct PoliciesRecord {
    acls: BTreeMap<String, Vec<ItemRecord>>,
    tiers: BTreeMap<String, Option<String>>,
}

pub(crate) fn text_of_policies(policies: &Policies) -> String {
    let item = |i: &AclItem| -> ItemRecord {
        let ports = i.ports.map(|ports| (ports.start(), ports.end()));
        (i.number, i.verdict == Verdict::Allow, i.direction == Direction::Ingress, i.protocol, ports, i.cidrs.clone())
    };
    let acls = policies.acls.iter().map(|(id, items)| (id.to_string(), items.iter().map(item).collect()));
    let tiers =
        policies.tiers.iter().map(|(network, acl)| (network.to_string(), acl.as_ref().map(ToString::to_string)));
    serialize_record(&PoliciesRecord { acls: acls.collect(), tiers: tiers.collect() })
}

/// The policies that are recorded under keys that begin so; nothing where there are none, or they cannot be read.
pub(crate) fn recorded_policies(ids: &BTreeMap<String, String>, prefix: &str) -> Option<Policies> {
    let record: PoliciesRecord = serde_json::from_str(&join_chunks(ids, prefix)?).ok()?;
    let acl = |(id, items): (String, Vec<ItemRecord>)| {
        Some((id.parse().ok()?, items.into_iter().map(read_item).collect::<Option<_>>()?))
    };
    let tier = |(network, acl): (String, Option<String>)| {
        Some((network.parse().ok()?, acl.map(|acl| acl.parse()).transpose().ok()?))
    };
    Some(Policies {
        acls: record.acls.into_iter().map(acl).collect::<Option<_>>()?,
        tiers: record.tiers.into_iter().map(tier).collect::<Option<_>>()?,
    })
}

fn read_item((number, allow, ingress, protocol, ports, cidrs): ItemRecord) -> Option<AclItem> {
    let ports = match ports {
        Some((start, end)) => Some(PortRange::new(start, end)?),
        None => None,
    };
    let ports_apply = ports.is_none() || protocol.is_some_and(AclItem::has_ports);
    (number <= AclItem::NUMBER_MAX && ports_apply).then_some(AclItem {
        number,
        verdict: if allow { Verdict::Allow } else { Verdict::Deny },
        direction: if ingress { Direction::Ingress } else { Direction::Egress },
        protocol,
        ports,
        cidrs,
    })
}

/// No value of these types fails to be written: none has a key that is no text.
fn serialize_record(record: &impl Serialize) -> String {
    serde_json::to_string(record).unwrap_or_default()
}

/// The chunks of a text, each with its key.
pub(crate) fn record_chunks(prefix: &str, text: &str) -> Vec<(String, String)> {
    // All of it is ASCII.
    let chunks = text.as_bytes().chunks(CHUNK).map(|chunk| String::from_utf8_lossy(chunk).into_owned());
    chunks.enumerate().map(|(n, chunk)| (format!("{prefix}{n}"), chunk)).collect()
}

/// The text of which there are chunks: those from 0 on without a gap, and no other.
fn join_chunks(ids: &BTreeMap<String, String>, prefix: &str) -> Option<String> {
    let there = ids.keys().filter(|key| key.starts_with(prefix)).count();
    let chunk = |n: usize| ids.get(&format!("{prefix}{n}")).map(String::as_str);
    (there > 0).then(|| (0..there).map(chunk).collect::<Option<String>>())?
}
