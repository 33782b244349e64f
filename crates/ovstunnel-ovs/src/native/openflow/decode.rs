//! Flows as the switch tells them, read back.
//!
//! What it does: reads exactly what [`super::encode`] writes. What it must not do: guess; a flow with anything else about it, a
//! time-out too, is one that somebody has changed: of that only the cookie is known.

use ipnet::Ipv6Net;
use ovstunnel_plan::{
    Action, Advertised, ArpMatch, Cidr, Cookie, DiscoveryMatch, DiscoveryOption, Flow, Ipv4Match, Ipv6Match, Mac,
    MacMatch, Match, PortMask,
};

use super::encode::{GROUP, advertised};
use super::extension::{read_learn, read_load, read_move};
use super::wire::{
    APPLY_ACTIONS, ETH_ARP, ETH_IPV4, ETH_IPV6, EXPERIMENTER, IN_PORT, LEARN, LOAD, METER, MOVE, NICIRA, NORMAL,
    NX_IN_PORT, OUTPUT, RESUBMIT_TABLE, Reader, SET_FIELD, field,
};

/// Ports above this one are no device.
const PORTS_MAX: u32 = 0xff00;

/// The flows in a part of the answer; nothing where it is none. A flow that is not understood is its cookie.
pub(super) fn decode_flows(part: &[u8]) -> Option<Vec<Result<Flow, Cookie>>> {
    let (mut reader, mut found) = (Reader(part), Vec::new());
    while !reader.0.is_empty() {
        let length = Reader(reader.0).u16()?;
        found.push(decode_flow(Reader(reader.take_bytes(length.into())?))?);
    }
    Some(found)
}

/// One entry: nothing where not even its cookie can be told.
fn decode_flow(mut entry: Reader<'_>) -> Option<Result<Flow, Cookie>> {
    entry.u16()?;
    let table = entry.u8()?;
    // How long it is there.
    entry.take_bytes(1 + 8)?;
    let (priority, idle, hard, flags, importance) =
        (entry.u16()?, entry.u16()?, entry.u16()?, entry.u16()?, entry.u16()?);
    entry.take_bytes(2)?;
    let cookie = Cookie(entry.u64()?);
    // What it has counted.
    entry.take_bytes(16)?;
    let plain = [idle, hard, flags, importance] == [0; 4];
    let read = || {
        let mut entry = entry;
        let matches = decode_match(&mut entry)?;
        let actions = decode_instructions(entry)?;
        Some(Flow { table, priority, cookie, matches, actions })
    };
    Some(plain.then(read).flatten().ok_or(cookie))
}

fn decode_match(entry: &mut Reader<'_>) -> Option<Match> {
    let (kind, length) = (entry.u16()?, usize::from(entry.u16()?));
    (kind == 1).then_some(())?;
    let mut fields = Reader(entry.take_bytes(length.checked_sub(4)?)?);
    entry.take_bytes(length.next_multiple_of(8) - length)?;
    let (mut found, mut eth_src) = (Match::default(), None);
    while !fields.0.is_empty() {
        let (class, number, size) = (fields.u16()?, fields.u8()?, usize::from(fields.u8()?));
        let value = fields.take_bytes(size)?;
        let (value, mask) = match number & 1 {
            0 => (value, None),
            _ => value.split_at_checked(size / 2).map(|(value, mask)| (value, Some(mask)))?,
        };
        take_field((&mut found, &mut eth_src), (class, number >> 1), value, mask)?;
    }
    if eth_src.is_some() {
        found.ipv6.as_mut()?.discovery.eth_src = eth_src;
    }
    Some(found)
}

fn take_field(
    (found, eth_src): (&mut Match, &mut Option<Mac>),
    name: (u16, u8),
    value: &[u8],
    mask: Option<&[u8]>,
) -> Option<()> {
    let exactly = || mask.is_none().then_some(Reader(value));
    match name {
        field::IN_PORT => found.in_port = Some(device_port(exactly()?.u32()?)?),
        field::TUNNEL_ID => found.tun_id = Some(exactly()?.u64()?),
        field::REG1 => found.stage = Some(exactly()?.u32()?),
        field::VLAN_VID if mask.is_none() && value == [0, 0] => found.untagged = true,
        field::REG0 => found.tier = Some(exactly()?.u32()?),
        field::ETH_DST if value == GROUP && mask == Some(&GROUP) => found.dl_dst = Some(MacMatch::Group),
        field::ETH_DST => found.dl_dst = Some(MacMatch::Exactly(decode_mac(exactly()?.0)?)),
        field::ETH_TYPE => match exactly()?.u16()? {
            ETH_IPV4 => found.ipv4 = Some(Ipv4Match::default()),
            ETH_ARP => found.arp = Some(ArpMatch::default()),
            ETH_IPV6 => found.ipv6 = Some(Ipv6Match::default()),
            kind => found.ethertype = Some(kind),
        },
        // It comes before the type of the frame; only neighbour discovery of ours has one.
        field::ETH_SRC => eth_src.replace(decode_mac(exactly()?.0)?).is_none().then_some(())?,
        _ => match (&mut found.ipv4, &mut found.ipv6, &mut found.arp) {
            (Some(ipv4), None, None) => take_ipv4_field(ipv4, name, value, mask)?,
            (None, None, Some(arp)) if mask.is_none() => take_arp_field(arp, name, value)?,
            (None, Some(ipv6), None) => take_ipv6_field(ipv6, name, value, mask)?,
            _ => return None,
        },
    }
    Some(())
}

fn take_arp_field(arp: &mut ArpMatch, name: (u16, u8), value: &[u8]) -> Option<()> {
    let address = || Reader(value).u32().map(std::net::Ipv4Addr::from);
    match name {
        field::ARP_OP => arp.op = Some(Reader(value).u16()?.try_into().ok()?),
        field::ARP_SPA => arp.sender_ip = Some(address()?),
        field::ARP_TPA => arp.target_ip = Some(address()?),
        field::ARP_SHA => arp.sender_mac = Some(decode_mac(value)?),
        _ => return None,
    }
    Some(())
}

fn take_ipv4_field(ipv4: &mut Ipv4Match, name: (u16, u8), value: &[u8], mask: Option<&[u8]>) -> Option<()> {
    match name {
        field::IP_PROTO if mask.is_none() => ipv4.proto = Some(Reader(value).u8()?),
        field::IPV4_SRC => ipv4.src = Some(decode_cidr(value, mask)?),
        field::IPV4_DST => ipv4.dst = Some(decode_cidr(value, mask)?),
        field::TCP_DST | field::UDP_DST | field::SCTP_DST => ipv4.dst_port = Some(decode_port(value, mask)?),
        _ => return None,
    }
    Some(())
}

fn take_ipv6_field(ipv6: &mut Ipv6Match, name: (u16, u8), value: &[u8], mask: Option<&[u8]>) -> Option<()> {
    match name {
        field::IP_PROTO if mask.is_none() => ipv6.proto = Some(Reader(value).u8()?),
        field::IPV6_DST => ipv6.dst = Some(decode_net(value, mask)?),
        field::TCP_DST | field::UDP_DST | field::SCTP_DST => ipv6.dst_port = Some(decode_port(value, mask)?),
        _ if mask.is_none() => take_discovery_field(&mut ipv6.discovery, name, value)?,
        _ => return None,
    }
    Some(())
}

fn take_discovery_field(discovery: &mut DiscoveryMatch, name: (u16, u8), value: &[u8]) -> Option<()> {
    match name {
        field::IPV6_SRC => discovery.source = Some(decode_ipv6(value)?),
        field::ICMPV6_TYPE => discovery.kind = Some(Reader(value).u8()?),
        field::ND_TARGET => discovery.target = Some(decode_ipv6(value)?),
        field::ND_SLL => discovery.source_mac = Some(decode_option(value)?),
        field::ND_TLL => discovery.target_mac = Some(decode_option(value)?),
        _ => return None,
    }
    Some(())
}

fn decode_option(value: &[u8]) -> Option<DiscoveryOption> {
    if value == [0; 6] { Some(DiscoveryOption::Missing) } else { decode_mac(value).map(DiscoveryOption::Is) }
}

fn decode_ipv6(value: &[u8]) -> Option<std::net::Ipv6Addr> {
    <[u8; 16]>::try_from(value).ok().map(std::net::Ipv6Addr::from)
}

fn decode_port(value: &[u8], mask: Option<&[u8]>) -> Option<PortMask> {
    let mask = mask.map_or(Some(u16::MAX), |mask| Reader(mask).u16())?;
    Some(PortMask { value: Reader(value).u16()?, mask })
}

fn decode_net(value: &[u8], mask: Option<&[u8]>) -> Option<Ipv6Net> {
    let mask = mask.map_or(Some(std::net::Ipv6Addr::from_bits(u128::MAX)), decode_ipv6)?;
    Ipv6Net::with_netmask(decode_ipv6(value)?, mask).ok()
}

fn decode_cidr(value: &[u8], mask: Option<&[u8]>) -> Option<Cidr> {
    let address = std::net::Ipv4Addr::from(Reader(value).u32()?);
    let mask = mask.map_or(Some(u32::MAX), |mask| Reader(mask).u32())?;
    let prefix = mask.leading_ones();
    (mask.count_ones() == prefix).then(|| format!("{address}/{prefix}").parse().ok()).flatten()
}

fn decode_mac(value: &[u8]) -> Option<Mac> {
    let octets: Vec<String> = value.iter().map(|octet| format!("{octet:02x}")).collect();
    octets.join(":").parse().ok()
}

fn device_port(port: u32) -> Option<u32> {
    (port < PORTS_MAX).then_some(port)
}

fn decode_instructions(mut rest: Reader<'_>) -> Option<Vec<Action>> {
    let (mut meter, mut found) = (None, Vec::new());
    while !rest.0.is_empty() {
        let (kind, length) = (rest.u16()?, usize::from(rest.u16()?));
        let mut body = Reader(rest.take_bytes(length.checked_sub(4)?)?);
        match kind {
            METER => meter = Some(Action::Meter(body.u32()?)),
            APPLY_ACTIONS => {
                body.take_bytes(4)?;
                while !body.0.is_empty() {
                    found.push(decode_action(&mut body)?);
                }
            }
            _ => return None,
        }
    }
    Some(meter.into_iter().chain(found).collect())
}

fn decode_action(rest: &mut Reader<'_>) -> Option<Action> {
    let (kind, length) = (rest.u16()?, usize::from(rest.u16()?));
    let mut body = Reader(rest.take_bytes(length.checked_sub(4)?)?);
    match kind {
        OUTPUT => match body.u32()? {
            NORMAL => Some(Action::Normal),
            IN_PORT => Some(Action::Back),
            port => device_port(port).map(Action::Output),
        },
        EXPERIMENTER => {
            (body.u32()? == NICIRA).then_some(())?;
            decode_extension(body)
        }
        SET_FIELD => {
            let (class, number, size) = (body.u16()?, body.u8()?, body.u8()?);
            let value = body.take_bytes(size.into())?;
            match (class, number >> 1) {
                _ if number & 1 == 1 => None,
                field::NX_IN_PORT => Reader(value).u16().map(u32::from).and_then(device_port).map(Action::SetInPort),
                field::REG0 => Reader(value).u32().map(Action::SetTier),
                field::REG1 => Reader(value).u32().map(Action::SetStage),
                field::ARP_OP if value == [0, 2] => Some(Action::SetArpReply),
                field::ARP_SHA => decode_mac(value).map(Action::SetArpMac),
                field::ARP_SPA => Reader(value).u32().map(|ip| Action::SetArpIp(ip.into())),
                field::IPV6_SRC => decode_ipv6(value).map(Action::SetIpv6Source),
                field::ETH_SRC => decode_mac(value).map(Action::SetSource),
                field::ETH_DST => decode_mac(value).map(Action::SetDestination),
                name => {
                    let is_set = |what: &Advertised| advertised(*what) == (name, value.to_vec());
                    Advertised::ALL.into_iter().find(is_set).map(Action::Advertise)
                }
            }
        }
        _ => None,
    }
}

/// An action of Open vSwitch's own.
fn decode_extension(body: Reader<'_>) -> Option<Action> {
    let (mut rest, whole) = (body, body.0);
    match rest.u16()? {
        MOVE => read_move(whole).map(Action::Move),
        LOAD => read_load(whole).map(Action::SetStage),
        LEARN => read_learn(whole).map(Action::Learn),
        RESUBMIT_TABLE => {
            let from_here = rest.u16()? == NX_IN_PORT;
            let table = rest.u8()?;
            // Tables end at 254: 255 is the one that the frame is in.
            (from_here && table != u8::MAX).then_some(Action::Resubmit(table))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use ovstunnel_plan::FlowChange;
    use proptest::prelude::*;

    use super::super::{encode_changes, wire::Bytes};
    use super::*;

    /// One of each match and action.
    const LINES: [&str; 17] = [
        "cookie=0x6f76737400000001,table=0,priority=1000,tun_id=0x3e9,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,actions=drop",
        "cookie=0x6f76737400000002,table=0,priority=1200,in_port=7,actions=meter:7,NORMAL",
        "cookie=0x6f76737400000003,table=2,priority=1100,reg0=0x3e9,tun_id=0,actions=output:1,output:65534,output:4",
        "cookie=0x6f76737400000004,table=0,priority=1300,ipv6,actions=drop",
        "cookie=0x6f76737400000005,table=0,priority=1300,dl_type=0x88a8,actions=drop",
        "cookie=0x6f76737400000006,table=3,priority=9,tcp,nw_src=10.1.0.0/16,nw_dst=10.1.2.3,tp_dst=0x1f00/0xff00,actions=resubmit(,4)",
        "cookie=0x6f76737400000007,table=3,priority=9,ip,nw_proto=47,dl_dst=02:00:00:00:00:01,actions=drop",
        "cookie=0x6f76737406000001,table=0,priority=9000,udp6,dl_dst=02:00:00:00:00:01,ipv6_dst=2001:db8::1,tp_dst=4789,actions=drop",
        "cookie=0x6f76737406000002,table=0,priority=9000,ipv6,nw_proto=47,ipv6_dst=fe80::/10,actions=drop",
        "cookie=0x6f76737408000007,table=0,priority=9200,in_port=7,actions=set_field:5->in_port,resubmit(,0)",
        "cookie=0x6f7673740a000000,table=0,priority=1260,arp,reg1=0,vlan_tci=0x0000/0x1fff,actions=set_field:1->reg1,resubmit(,10)",
        "cookie=0x6f7673740a010102,table=10,priority=1000,arp,arp_spa=10.1.1.2,arp_sha=02:00:00:00:00:02,actions=\
         learn(table=11,priority=1000,cookie=0x6f7673740c000007,eth_type=0x806,NXM_OF_ARP_TPA[]=NXM_OF_ARP_SPA[],load:0x2->NXM_NX_REG1[])",
        "cookie=0x6f7673740b010102,table=13,priority=1000,arp,arp_tpa=10.1.1.2,arp_op=1,actions=\
         learn(table=12,hard_timeout=120,priority=1000,cookie=0x6f76736200000004,NXM_OF_IN_PORT[],eth_type=0x806,NXM_OF_ARP_TPA[],load:0x2->NXM_NX_REG1[]),\
         move:NXM_NX_ARP_SHA[]->NXM_NX_ARP_THA[],move:NXM_OF_ARP_SPA[]->NXM_OF_ARP_TPA[],set_field:2->arp_op,set_field:02:00:00:00:00:02->arp_sha,\
         set_field:10.1.1.2->arp_spa,move:NXM_OF_ETH_SRC[]->NXM_OF_ETH_DST[],IN_PORT",
        "cookie=0x6f7673740a000007,table=10,priority=1000,icmp6,dl_src=02:00:00:00:00:01,ipv6_src=fd00::7,icmp_type=135,nd_sll=00:00:00:00:00:00,actions=\
         learn(table=11,priority=1000,cookie=0x6f7673740c000007,eth_type=0x86dd,nw_proto=58,icmpv6_type=135,NXM_NX_ND_TARGET[]=NXM_NX_IPV6_SRC[],load:0x2->NXM_NX_REG1[])",
        "cookie=0x6f7673740a000007,table=10,priority=1000,icmp6,icmp_type=136,nd_target=fd00::7,nd_tll=02:00:00:00:00:01,actions=\
         learn(table=11,priority=1000,cookie=0x6f7673740c000007,eth_type=0x86dd,nw_proto=58,icmpv6_type=135,NXM_NX_ND_TARGET[],load:0x2->NXM_NX_REG1[])",
        "cookie=0x6f7673740b000007,table=13,priority=1000,icmp6,icmp_type=135,nd_target=fd00::7,actions=\
         learn(table=12,hard_timeout=120,priority=1000,cookie=0x6f76736200000004,NXM_OF_IN_PORT[],eth_type=0x86dd,nw_proto=58,icmpv6_type=135,NXM_NX_ND_TARGET[],load:0x2->NXM_NX_REG1[]),\
         move:NXM_NX_IPV6_SRC[]->NXM_NX_IPV6_DST[],set_field:fd00::7->ipv6_src,set_field:2->nd_options_type,set_field:1610612736->nd_reserved,\
         set_field:136->icmpv6_type,move:NXM_OF_ETH_SRC[]->NXM_NX_ND_TLL[]",
        "cookie=0x6f76737400000008,table=4,priority=1000,ip,actions=set_field:02:00:00:00:00:01->eth_src,\
         set_field:02:00:00:00:00:02->eth_dst,set_field:0x3e9->reg0,resubmit(,5)",
    ];

    /// A flow as the switch tells it, once it has got what is written for it.
    fn told(flow: &Flow, hard_timeout: u16) -> Vec<u8> {
        let change = FlowChange {
            delete: Some(BTreeSet::new()),
            add: vec![flow.clone()],
            ..FlowChange::of_plugin(BTreeSet::new())
        };
        let body = encode_changes(&change).unwrap().concat();
        let mut told = Bytes::default();
        told.u16(u16::try_from(48 + body.len() - 40).unwrap()).u8(flow.table).zeros(9).u16(flow.priority).u16(0);
        told.u16(hard_timeout).zeros(6).u64(flow.cookie.0).zeros(16).bytes(&body[40..]);
        told.0
    }

    #[test]
    fn what_is_written_is_read_back() {
        let read: Vec<Flow> = LINES.iter().map(|line| line.parse().unwrap()).collect();
        let part: Vec<u8> = read.iter().flat_map(|flow| told(flow, 0)).collect();
        let mut expected: Vec<Result<Flow, Cookie>> = read.iter().cloned().map(Ok).collect();
        // The bridge's own port has no number of a device: `ovs-ofctl` prints its name there, which no flow of ours has.
        expected[2] = Err(read[2].cookie);
        assert_eq!(decode_flows(&part), Some(expected));
        assert_eq!(decode_flows(&told(&read[0], 5)), Some(vec![Err(read[0].cookie)]), "ours have no time-out");
        assert_eq!(decode_flows(&part[..part.len() - 1]), None, "cut off");
    }

    proptest! {
        #[test]
        fn nothing_that_is_told_panics(flow in 0usize..LINES.len(), at in 0usize..200, byte in any::<u8>(), cut in 0usize..200) {
            let mut part = told(&LINES[flow].parse().unwrap(), 0);
            let length = part.len();
            part[at % length] = byte;
            let _ = decode_flows(&part);
            let _ = decode_flows(&part[..cut.min(length)]);
        }
    }
}
