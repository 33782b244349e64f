//! The IPv4 packet in a frame that is followed, and what the ACLs of a VPC decide of it. Must not have it followed.

use std::net::Ipv4Addr;

use ovstunnel_api::{AclDecision, AclDirection};
use ovstunnel_ovs::matched_flows;
use ovstunnel_plan::{Decision, DesiredBridge, Direction, ObservedBridge, Verdict};
use ovstunnel_server::problem::ApiError;

use super::frame_query::FrameQuery;

const ADDRESS: &str = "must be an IPv4 address, such as 10.1.1.2";
const TOGETHER: &str = "must be there where the other end's address is: from_ip and to_ip go together";
const PROTOCOL: &str = "must be icmp, tcp or udp, and only with from_ip and to_ip";
const PORT: &str = "must be 1 to 65535 with tcp and udp, and absent otherwise";

/// A packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    from: Ipv4Addr,
    to: Ipv4Addr,
    protocol: Protocol,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Protocol {
    Icmp,
    Tcp(u16),
    Udp(u16),
}

impl Packet {
    /// The packet that is asked about, where there is one.
    pub fn from_query(query: &FrameQuery) -> Result<Option<Packet>, ApiError> {
        let address = |field: &str, value: &Option<String>| {
            let parse = |text: &String| text.parse().map_err(|_| ApiError::invalid(field, ADDRESS, Some(text)));
            value.as_ref().map(parse).transpose()
        };
        let (from, to) = (address("from_ip", &query.from_ip)?, address("to_ip", &query.to_ip)?);
        let port = query.to_port.map(|port| port.to_string());
        let bad_port = || ApiError::invalid("to_port", PORT, port.as_deref());
        let (from, to) = match (from, to) {
            (Some(from), Some(to)) => (from, to),
            (Some(_), None) => return Err(ApiError::invalid("to_ip", TOGETHER, None)),
            (None, Some(_)) => return Err(ApiError::invalid("from_ip", TOGETHER, None)),
            (None, None) if query.protocol.is_some() => {
                return Err(ApiError::invalid("protocol", PROTOCOL, query.protocol.as_deref()));
            }
            (None, None) if query.to_port.is_some() => return Err(bad_port()),
            (None, None) => return Ok(None),
        };
        let protocol = match (query.protocol.as_deref().unwrap_or("icmp"), query.to_port) {
            ("icmp", None) => Protocol::Icmp,
            ("tcp", Some(port @ 1..)) => Protocol::Tcp(port),
            ("udp", Some(port @ 1..)) => Protocol::Udp(port),
            ("icmp" | "tcp" | "udp", _) => return Err(bad_port()),
            (other, _) => return Err(ApiError::invalid("protocol", PROTOCOL, Some(other))),
        };
        Ok(Some(Packet { from, to, protocol }))
    }

    /// What `ofproto/trace` takes for it.
    pub fn flow_text(&self) -> String {
        let ends = format!("nw_src={},nw_dst={},nw_ttl=64", self.from, self.to);
        match self.protocol {
            Protocol::Icmp => format!("icmp,{ends},icmp_type=8,icmp_code=0"),
            Protocol::Tcp(port) => format!("tcp,{ends},tcp_dst={port}"),
            Protocol::Udp(port) => format!("udp,{ends},udp_dst={port}"),
        }
    }

    /// What ACLs have decided of it, by what was printed of it on this bridge; nothing where that is no VPC's.
    pub fn read_decisions(&self, bridge: &ObservedBridge, printed: &str) -> Vec<AclDecision> {
        let record = DesiredBridge::from_record(bridge);
        let vpc = record.as_ref().and_then(|record| record.kind.vpc());
        let decided = vpc.map(|vpc| vpc.decisions((self.from, self.to), &matched_flows(printed)));
        decided.unwrap_or_default().into_iter().map(decision_to_wire).collect()
    }
}

fn decision_to_wire(decided: Decision) -> AclDecision {
    AclDecision {
        tier: decided.tier.get(),
        direction: match decided.direction {
            Direction::Egress => AclDirection::Egress,
            Direction::Ingress => AclDirection::Ingress,
        },
        acl: decided.acl.map(|acl| acl.to_string()),
        item: decided.item,
        passes: decided.verdict == Verdict::Allow,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use serde_json::{Value, json};

    use super::*;

    fn asked(more: &Value) -> Result<Option<Packet>, String> {
        let mac = "02:00:4c:00:00:01";
        let mut all = json!({"in_port": "vif1.0", "source": mac, "destination": mac});
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let query: FrameQuery = serde_json::from_value(all).unwrap();
        Packet::from_query(&query).map_err(|error| error.problem().detail.clone())
    }

    #[test]
    fn a_packet_is_followed_as_it_is_asked_for() {
        assert_eq!(asked(&json!({})), Ok(None));
        let text = |more: Value| asked(&more).unwrap().unwrap().flow_text();
        let ends = json!({"from_ip": "10.1.1.1", "to_ip": "10.1.2.2"});
        assert_eq!(text(ends), "icmp,nw_src=10.1.1.1,nw_dst=10.1.2.2,nw_ttl=64,icmp_type=8,icmp_code=0");
        let tcp = json!({"from_ip": "10.1.1.1", "to_ip": "10.1.2.2", "protocol": "tcp", "to_port": 443});
        assert_eq!(text(tcp), "tcp,nw_src=10.1.1.1,nw_dst=10.1.2.2,nw_ttl=64,tcp_dst=443");
    }

    #[test]
    fn what_is_no_packet_is_refused_by_field_rule_and_value() {
        let with_ends = |more: Value| {
            let mut all = json!({"from_ip": "10.1.1.1", "to_ip": "10.1.2.2"});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            all
        };
        let refused = [
            (json!({"from_ip": "10.1.1.1"}), "to_ip", ""),
            (json!({"to_ip": "10.1.1.1"}), "from_ip", ""),
            (json!({"protocol": "tcp"}), "protocol", "tcp"),
            (json!({"to_port": 5}), "to_port", "5"),
            (with_ends(json!({"from_ip": "10.1.1"})), "from_ip", "10.1.1"),
            (with_ends(json!({"to_ip": "fd00::1"})), "to_ip", "fd00::1"),
            (with_ends(json!({"protocol": "sctp"})), "protocol", "sctp"),
            (with_ends(json!({"to_port": 5})), "to_port", "5"),
            (with_ends(json!({"protocol": "udp"})), "to_port", ""),
            (with_ends(json!({"protocol": "udp", "to_port": 0})), "to_port", "0"),
        ];
        for (more, field, value) in refused {
            let detail = asked(&more).unwrap_err();
            assert!(detail.contains(field) && detail.contains("must") && detail.contains(value), "{more}: {detail}");
        }
    }
}
