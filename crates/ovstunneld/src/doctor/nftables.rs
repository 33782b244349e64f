//! Whether the host's own nftables drop what comes from other hosts' tunnels.
//!
//! What it does: follows a packet of a tunnel through the chains of `nft -j list ruleset` in which packets for the host itself come, rule by
//! rule. A match or a statement that is not understood may hold or not; so said is only what drops whatever it is. What it must not do: run a
//! program, or say that a packet is let in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use ovstunnel_api::Finding;
use ovstunnel_types::{Carrier, TunnelKind};
use serde_json::Value;

use super::finding::{About, ok, some_names, warn};

/// Chains that lead to chains; the kernel permits 16.
const DEPTH: usize = 17;

/// Hosts that are named in one finding.
const NAMED: usize = 5;

/// What another host's tunnels send here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TunnelPacket {
    /// IP protocol.
    pub protocol: u8,
    /// UDP port, where it is carried by that.
    pub port: Option<u16>,
    /// The other host.
    pub from: IpAddr,
}

/// What is wrong by these rules; they, nothing where there is no `nft`, or why they could not be read.
pub fn check_nftables(packets: &BTreeSet<TunnelPacket>, printed: &Result<Option<String>, String>) -> Vec<Finding> {
    let text = match printed {
        Ok(Some(text)) => text,
        Ok(None) => return Vec::new(),
        Err(why) => return vec![unread(why)],
    };
    let Ok(printed) = serde_json::from_str::<Value>(text) else { return vec![unread("what nft printed is no JSON")] };
    let rules = Rules::of(&printed);
    let mut dropped: BTreeMap<(u8, Option<u16>, Place), Vec<String>> = BTreeMap::new();
    for packet in packets {
        if let Some(place) = rules.drops(packet) {
            dropped.entry((packet.protocol, packet.port, place)).or_default().push(packet.from.to_string());
        }
    }
    dropped.iter().map(|((protocol, port, place), hosts)| of_dropped(*protocol, *port, place, hosts)).collect()
}

/// No fault: most hosts have no rule of theirs.
fn unread(why: &str) -> Finding {
    ok("firewall", format!("rules of nftables were not looked at: {why}"))
}

fn of_dropped(protocol: u8, port: Option<u16>, place: &Place, hosts: &[String]) -> Finding {
    let (what, matched, subject) = match port {
        Some(port) => (format!("to UDP port {port}"), format!("udp dport {port}"), port.to_string()),
        None => {
            (format!("of IP protocol {protocol}"), format!("meta l4proto {protocol}"), format!("protocol {protocol}"))
        }
    };
    let Place { base, by } = place;
    let reason = format!(
        "nftables drops what comes from {} {what}, as other hosts' tunnels send it: {by}, by way of {base}",
        some_names(hosts, NAMED)
    );
    let remedy = format!(
        "`nft insert rule {base} {matched} accept`, with `ip saddr` or `ip6 saddr` and the network of the hosts before it, and the same in what is loaded at boot"
    );
    warn("firewall", reason, remedy).about(subject)
}

/// Where a packet is dropped.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    /// Family, table and name of the chain by which it came in.
    base: String,
    /// What dropped it.
    by: String,
}

/// What becomes of a packet in a chain.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// It comes to the chain's end, or is sent back.
    Through,
    /// It is dropped, whatever of what was not understood holds.
    Dropped(String),
    /// It is let in, or that cannot be ruled out.
    Open,
}

/// What a statement of a rule does with a packet.
enum Does<'a> {
    /// The next statement has it.
    GoesOn,
    /// The next rule has it.
    Ends,
    /// One or the other.
    MayGoOn,
    /// This verdict.
    Decides(&'a Value),
    /// Not known.
    Unknown,
}

/// Whether a packet is what is asked for; nothing where that cannot be told.
type Holds = Option<bool>;

/// A chain as family, table and name.
type ChainName<'a> = (&'a str, &'a str, &'a str);

struct Rules<'a> {
    chains: BTreeMap<ChainName<'a>, &'a Value>,
    rules: BTreeMap<ChainName<'a>, Vec<&'a Value>>,
}

impl<'a> Rules<'a> {
    fn of(printed: &'a Value) -> Self {
        let mut rules = Rules { chains: BTreeMap::new(), rules: BTreeMap::new() };
        for item in list(printed, "nftables") {
            if let Some(chain) = item.get("chain") {
                rules.chains.insert((text(chain, "family"), text(chain, "table"), text(chain, "name")), chain);
            } else if let Some(rule) = item.get("rule") {
                let name = (text(rule, "family"), text(rule, "table"), text(rule, "chain"));
                rules.rules.entry(name).or_default().push(rule);
            }
        }
        rules
    }

    /// Where this packet is dropped for sure, on its way to the host itself.
    fn drops(&self, packet: &TunnelPacket) -> Option<Place> {
        let family = if packet.from.is_ipv4() { "ip" } else { "ip6" };
        let on_the_way = |(name, chain): &(&ChainName<'a>, &&Value)| {
            text(chain, "type") == "filter"
                && ["prerouting", "input"].contains(&text(chain, "hook"))
                && [family, "inet"].contains(&name.0)
        };
        self.chains.iter().filter(on_the_way).find_map(|(name, chain)| {
            let by = match self.follow(*name, packet, 0) {
                End::Dropped(by) => by,
                End::Through if text(chain, "policy") == "drop" => format!("the policy of chain {}", name.2),
                End::Through | End::Open => return None,
            };
            Some(Place { base: format!("{} {} {}", name.0, name.1, name.2), by })
        })
    }

    fn follow(&self, chain: ChainName<'a>, packet: &TunnelPacket, depth: usize) -> End {
        if depth > DEPTH {
            return End::Open;
        }
        for rule in self.rules.get(&chain).into_iter().flatten() {
            let mut sure = true;
            for statement in list(rule, "expr") {
                match does(statement, packet) {
                    Does::GoesOn => {}
                    Does::MayGoOn => sure = false,
                    Does::Ends => break,
                    Does::Unknown => return End::Open,
                    Does::Decides(verdict) => {
                        if let Some(end) = self.decided(verdict, (chain, rule), sure, packet, depth) {
                            return end;
                        }
                        break;
                    }
                }
            }
        }
        End::Through
    }

    /// What a verdict makes of a packet that surely, or perhaps, has come to it; nothing where the next rule has it.
    fn decided(
        &self,
        verdict: &Value,
        at: (ChainName<'a>, &'a Value),
        sure: bool,
        packet: &TunnelPacket,
        depth: usize,
    ) -> Option<End> {
        let (chain, rule) = at;
        let has = |word: &str| verdict.get(word).is_some();
        if has("drop") || has("reject") {
            let handle = rule.get("handle").and_then(Value::as_u64).unwrap_or_default();
            return sure.then(|| End::Dropped(format!("the rule of chain {} with handle {handle}", chain.2)));
        }
        if has("return") {
            return Some(if sure { End::Through } else { End::Open });
        }
        let target = ["jump", "goto"].into_iter().find_map(|word| verdict.get(word)?.get("target")?.as_str());
        let Some(target) = target else { return Some(End::Open) };
        let name = self.chains.keys().find(|name| (name.0, name.1, name.2) == (chain.0, chain.1, target));
        let Some(name) = name else { return Some(End::Open) };
        match self.follow(*name, packet, depth + 1) {
            End::Through if has("jump") => None,
            End::Through if !sure => Some(End::Open),
            // What may be dropped may also go on.
            End::Dropped(_) if !sure => None,
            end => Some(end),
        }
    }
}

fn text<'a>(of: &'a Value, key: &str) -> &'a str {
    of.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn list<'a>(of: &'a Value, key: &str) -> &'a [Value] {
    of.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

fn does<'a>(statement: &'a Value, packet: &TunnelPacket) -> Does<'a> {
    let is_one_of = |words: &[&str]| words.iter().any(|word| statement.get(word).is_some());
    if is_one_of(&["counter", "log"]) {
        return Does::GoesOn;
    }
    if is_one_of(&["limit", "quota", "ct count"]) || statement.get("xt").is_some_and(|xt| text(xt, "type") == "match") {
        return Does::MayGoOn;
    }
    if is_one_of(&["accept", "drop", "reject", "return", "jump", "goto"]) {
        return Does::Decides(statement);
    }
    if let Some(map) = statement.get("vmap") {
        return does_by_map(map, packet);
    }
    let Some(matched) = statement.get("match") else { return Does::Unknown };
    let sides = matched.get("left").zip(matched.get("right"));
    let held = sides.and_then(|(left, right)| is(left, right, packet));
    match (held, text(matched, "op")) {
        (Some(true), "==" | "in") | (Some(false), "!=") => Does::GoesOn,
        (Some(false), "==" | "in") | (Some(true), "!=") => Does::Ends,
        _ => Does::MayGoOn,
    }
}

/// A map from what a packet is to verdicts. For what is not in it the next statement has it.
fn does_by_map<'a>(map: &'a Value, packet: &TunnelPacket) -> Does<'a> {
    let (Some(key), Some(data)) = (map.get("key"), map.get("data")) else { return Does::Unknown };
    let pairs: Vec<&[Value]> = list(data, "set").iter().filter_map(|pair| pair.as_array().map(Vec::as_slice)).collect();
    let mut goes_on = !pairs.is_empty();
    for pair in pairs {
        let [value, verdict] = pair else { return Does::Unknown };
        match is(key, value, packet) {
            Some(true) => return Does::Decides(verdict),
            Some(false) => {}
            // What may be dropped may also go on.
            None if verdict.get("drop").is_some() => goes_on = true,
            None => return Does::Unknown,
        }
    }
    if goes_on { Does::GoesOn } else { Does::Unknown }
}

/// Whether this of the packet is that value, or one of those.
fn is(left: &Value, right: &Value, packet: &TunnelPacket) -> Holds {
    if let Some(payload) = left.get("payload") {
        return is_payload(text(payload, "protocol"), text(payload, "field"), right, packet);
    }
    let key = |of: &str| left.get(of).map(|of| text(of, "key"));
    match (key("meta"), key("ct")) {
        (Some("l4proto"), _) => any_of(right, |value| is_protocol(value, packet.protocol)),
        (Some("nfproto"), _) => any_of(right, |value| Some((value.as_str()? == "ipv4") == packet.from.is_ipv4())),
        // Nothing of another host comes in by it.
        (Some("iifname" | "iif"), _) => any_of(right, |value| (value.as_str()? == "lo").then_some(false)),
        // Each end sends to the same port from another one, so of UDP none answers another; of what has no ports one may.
        (_, Some("state")) => any_of(right, |value| match value.as_str()? {
            "established" | "related" if packet.port.is_some() => Some(false),
            _ => None,
        }),
        _ => None,
    }
}

fn is_payload(protocol: &str, field: &str, right: &Value, packet: &TunnelPacket) -> Holds {
    match (protocol, field) {
        ("ip", _) if packet.from.is_ipv6() => Some(false),
        ("ip6", _) if packet.from.is_ipv4() => Some(false),
        ("ip" | "ip6", "saddr") => any_of(right, |value| covers(value, packet.from)),
        ("ip", "protocol") | ("ip6", "nexthdr") => any_of(right, |value| is_protocol(value, packet.protocol)),
        ("udp", _) if packet.port.is_none() => Some(false),
        ("udp" | "th", "dport") => any_of(right, |value| is_number(value, packet.port?.into())),
        ("tcp" | "icmp" | "icmpv6" | "igmp" | "sctp" | "dccp" | "esp" | "ah" | "comp" | "udplite", _) => Some(false),
        _ => None,
    }
}

/// Whether one of the values is it: a value by itself, or those of a list or of a set without a name.
fn any_of(right: &Value, is: impl Fn(&Value) -> Holds) -> Holds {
    let list = right.get("set").unwrap_or(right);
    let Some(values) = list.as_array() else { return is(list) };
    let all: Vec<Holds> = values.iter().map(is).collect();
    if all.contains(&Some(true)) {
        return Some(true);
    }
    all.iter().all(|holds| *holds == Some(false)).then_some(false)
}

fn is_protocol(value: &Value, protocol: u8) -> Holds {
    if let Some(number) = value.as_u64() {
        return Some(number == u64::from(protocol));
    }
    // Where IP itself carries a kind, the protocol has its name.
    let carried = TunnelKind::of_interface_type(value.as_str()?).map(TunnelKind::carrier);
    match (value.as_str()?, carried) {
        (_, Some(Carrier::Ip(number))) => Some(number == protocol),
        ("udp", _) => Some(protocol == 17),
        ("tcp" | "icmp" | "icmpv6" | "ipv6-icmp" | "igmp" | "sctp" | "dccp" | "esp" | "ah" | "ospf" | "vrrp", _) => {
            Some(false)
        }
        _ => None,
    }
}

fn is_number(value: &Value, wanted: u64) -> Holds {
    if let Some(range) = value.get("range") {
        let bound = |n: usize| range.get(n).and_then(Value::as_u64);
        return Some((bound(0)?..=bound(1)?).contains(&wanted));
    }
    Some(value.as_u64()? == wanted)
}

/// Whether an address, a network or a range has this address.
fn covers(value: &Value, ip: IpAddr) -> Holds {
    if let Some(prefix) = value.get("prefix") {
        let length = u8::try_from(prefix.get("len")?.as_u64()?).ok()?;
        return Some(IpNet::new(text(prefix, "addr").parse().ok()?, length).ok()?.contains(&ip));
    }
    if let Some(range) = value.get("range") {
        let bound = |n: usize| range.get(n).and_then(Value::as_str)?.parse::<IpAddr>().ok();
        return Some((bound(0)?..=bound(1)?).contains(&ip));
    }
    Some(value.as_str()?.parse::<IpAddr>().ok()? == ip)
}
