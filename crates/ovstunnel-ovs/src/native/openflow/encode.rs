//! Changes of flows and meters as bodies of OpenFlow messages: what `ovs-ofctl` makes of the lines of the same change.
//!
//! What it does: knows each match and action that a [`Flow`] can have. What it must not do: leave anything of one out: what is too
//! long for a message is refused.

use ovstunnel_plan::{
    Action, Advertised, ArpMatch, Cookie, DiscoveryMatch, Flow, FlowChange, Ipv4Match, Ipv6Match, MacMatch, Match,
    PluginFlow, PluginGroup, PortMask,
};

use super::extension::{learn_body, move_body};
use super::wire::{
    ANY, APPLY_ACTIONS, Bytes, ETH_ARP, ETH_IPV4, ETH_IPV6, EXPERIMENTER, IN_PORT, METER, NICIRA, NORMAL, NX_IN_PORT,
    OUTPUT, RESUBMIT_TABLE, SET_FIELD, field, openflow14_port,
};

/// What a message does to flows.
const ADD: u8 = 0;
const DELETE: u8 = 3;
const DELETE_STRICT: u8 = 4;

/// All tables.
const ALL_TABLES: u8 = 0xff;
/// No packet is waiting for this flow.
const NO_BUFFER: u32 = 0xffff_ffff;

/// The lowest bit of the first byte: all group addresses.
pub(super) const GROUP: [u8; 6] = [1, 0, 0, 0, 0, 0];

/// A flow that has no room in a message: nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("flow {0} is longer than an OpenFlow message can be")]
pub(crate) struct TooLong(String);

/// The bodies of the messages that carry a change out, in the order of its lines.
pub(crate) fn encode_changes(change: &FlowChange) -> Result<Vec<Vec<u8>>, TooLong> {
    let plain =
        Flow { table: 0, priority: 0, cookie: Cookie(0), matches: Match::default(), actions: vec![Action::Normal] };
    let mut bodies: Vec<Vec<u8>> = change.deleted_cookies().into_iter().map(encode_delete).collect();
    bodies.extend(change.plugins.iter().map(delete_plugins));
    for flow in change.add.iter().chain(change.plain.then_some(&plain)) {
        bodies.push(encode_add(flow).ok_or_else(|| TooLong(flow.to_string()))?);
    }
    Ok(bodies)
}

fn encode_delete(cookie_and_mask: (Cookie, Cookie)) -> Vec<u8> {
    with_match(flow_mod(DELETE, cookie_and_mask, (ALL_TABLES, 0)), &Fields::default()).0
}

fn delete_plugins(flow: &PluginFlow) -> Vec<u8> {
    let mut fields = Fields::default();
    let group = |fields: &mut Fields, to: &PluginGroup| match to {
        PluginGroup::Broadcast => fields.push_exact(field::ETH_DST, &[0xff; 6]),
        PluginGroup::LocalMulticast => {
            fields.push_exact(field::ETH_TYPE, &ETH_IPV4.to_be_bytes());
            fields.push_masked(field::IPV4_DST, &[224, 0, 0, 0], &[255, 255, 255, 0]);
        }
    };
    match flow {
        PluginFlow::Ipv6 => fields.push_exact(field::ETH_TYPE, &ETH_IPV6.to_be_bytes()),
        PluginFlow::ToVifs { to, .. } => group(&mut fields, to),
        PluginFlow::FromVif { port: number, to } | PluginFlow::FromTunnel { port: number, to } => {
            fields.push_exact(field::IN_PORT, &openflow14_port(*number).to_be_bytes());
            group(&mut fields, to);
        }
    }
    let head = flow_mod(DELETE_STRICT, (Cookie(0), Cookie(u64::MAX)), (0, flow.priority()));
    with_match(head, &fields).0
}

fn encode_add(flow: &Flow) -> Option<Vec<u8>> {
    let fields = Fields::from_match(&flow.matches);
    let mut body = with_match(flow_mod(ADD, (flow.cookie, Cookie(0)), (flow.table, flow.priority)), &fields);
    encode_instructions(&mut body, &flow.actions)?;
    // The bundle's own head and the message's come before it.
    (body.0.len() + 2 * super::wire::HEADER + 8 <= usize::from(u16::MAX)).then_some(body.0)
}

/// A body up to the match.
fn flow_mod(command: u8, (cookie, mask): (Cookie, Cookie), (table, priority): (u8, u16)) -> Bytes {
    let mut body = Bytes::default();
    body.u64(cookie.0).u64(mask.0).u8(table).u8(command).u16(0).u16(0).u16(priority);
    body.u32(NO_BUFFER).u32(ANY).u32(ANY).u16(0).u16(0);
    body
}

fn with_match(mut body: Bytes, fields: &Fields) -> Bytes {
    fields.write_to(&mut body);
    body
}

/// The fields of a match.
#[derive(Debug, Default)]
struct Fields(Bytes);

impl Fields {
    fn from_match(matches: &Match) -> Self {
        let Match { in_port, tun_id, tier, stage, untagged, dl_dst, arp, ipv4, ipv6, ethertype } = matches;
        let mut fields = Fields::default();
        in_port.iter().for_each(|number| fields.push_exact(field::IN_PORT, &openflow14_port(*number).to_be_bytes()));
        let eth_src = ipv6.and_then(|ipv6| ipv6.discovery.eth_src);
        eth_src.iter().for_each(|mac| fields.push_exact(field::ETH_SRC, &mac.octets()));
        match dl_dst {
            Some(MacMatch::Group) => fields.push_masked(field::ETH_DST, &GROUP, &GROUP),
            Some(MacMatch::Exactly(mac)) => fields.push_exact(field::ETH_DST, &mac.octets()),
            None => {}
        }
        let kind = ethertype.or(ipv6.map(|_| ETH_IPV6)).or(ipv4.map(|_| ETH_IPV4)).or(arp.map(|_| ETH_ARP));
        kind.iter().for_each(|kind| fields.push_exact(field::ETH_TYPE, &kind.to_be_bytes()));
        if *untagged {
            fields.push_exact(field::VLAN_VID, &[0, 0]);
        }
        arp.iter().for_each(|arp| fields.push_arp(arp));
        ipv4.iter().for_each(|ipv4| fields.push_ipv4(ipv4));
        ipv6.iter().for_each(|ipv6| fields.push_ipv6(ipv6));
        tun_id.iter().for_each(|id| fields.push_exact(field::TUNNEL_ID, &id.to_be_bytes()));
        tier.iter().for_each(|tier| fields.push_exact(field::REG0, &tier.to_be_bytes()));
        stage.iter().for_each(|stage| fields.push_exact(field::REG1, &stage.to_be_bytes()));
        fields
    }

    fn push_arp(&mut self, ArpMatch { op, sender_ip, target_ip, sender_mac }: &ArpMatch) {
        op.iter().for_each(|op| self.push_exact(field::ARP_OP, &u16::from(*op).to_be_bytes()));
        sender_ip.iter().for_each(|ip| self.push_exact(field::ARP_SPA, &ip.octets()));
        target_ip.iter().for_each(|ip| self.push_exact(field::ARP_TPA, &ip.octets()));
        sender_mac.iter().for_each(|mac| self.push_exact(field::ARP_SHA, &mac.octets()));
    }

    fn push_ipv4(&mut self, Ipv4Match { proto, src, dst, dst_port }: &Ipv4Match) {
        proto.iter().for_each(|proto| self.push_exact(field::IP_PROTO, &[*proto]));
        for (field, cidr) in [(field::IPV4_SRC, src), (field::IPV4_DST, dst)] {
            let Some(cidr) = cidr else { continue };
            let mask = u32::MAX.checked_shl(32 - u32::from(cidr.prefix())).unwrap_or_default();
            match mask {
                u32::MAX => self.push_exact(field, &cidr.address().octets()),
                mask => self.push_masked(field, &cidr.address().octets(), &mask.to_be_bytes()),
            }
        }
        self.push_port(*proto, *dst_port);
    }

    fn push_ipv6(&mut self, Ipv6Match { proto, dst, dst_port, discovery }: &Ipv6Match) {
        proto.iter().for_each(|proto| self.push_exact(field::IP_PROTO, &[*proto]));
        match dst {
            Some(net) if net.prefix_len() == 128 => self.push_exact(field::IPV6_DST, &net.addr().octets()),
            Some(net) => self.push_masked(field::IPV6_DST, &net.addr().octets(), &net.netmask().octets()),
            None => {}
        }
        self.push_discovery(discovery);
        self.push_port(*proto, *dst_port);
    }

    /// All but the source Ethernet address, which is the frame's. What the others need comes before them.
    fn push_discovery(&mut self, discovery: &DiscoveryMatch) {
        let DiscoveryMatch { kind, eth_src: _, source, target, source_mac, target_mac } = discovery;
        source.iter().for_each(|ip| self.push_exact(field::IPV6_SRC, &ip.octets()));
        kind.iter().for_each(|kind| self.push_exact(field::ICMPV6_TYPE, &[*kind]));
        target.iter().for_each(|ip| self.push_exact(field::ND_TARGET, &ip.octets()));
        source_mac.iter().for_each(|mac| self.push_exact(field::ND_SLL, &mac.octets()));
        target_mac.iter().for_each(|mac| self.push_exact(field::ND_TLL, &mac.octets()));
    }

    fn push_port(&mut self, proto: Option<u8>, ports: Option<PortMask>) {
        let Some(ports) = ports else { return };
        let field = match proto {
            Some(6) => field::TCP_DST,
            Some(132) => field::SCTP_DST,
            _ => field::UDP_DST,
        };
        match ports.mask {
            u16::MAX => self.push_exact(field, &ports.value.to_be_bytes()),
            mask => self.push_masked(field, &ports.value.to_be_bytes(), &mask.to_be_bytes()),
        }
    }

    fn push_exact(&mut self, field: (u16, u8), value: &[u8]) {
        field_header(&mut self.0, field, false, value.len());
        self.0.bytes(value);
    }

    fn push_masked(&mut self, field: (u16, u8), value: &[u8], mask: &[u8]) {
        field_header(&mut self.0, field, true, 2 * value.len());
        self.0.bytes(value).bytes(mask);
    }

    fn write_to(&self, body: &mut Bytes) {
        // Of some dozen bytes each; there are at most a dozen.
        let length = 4 + u16::try_from(self.0.0.len()).unwrap_or_default();
        body.u16(1).u16(length).bytes(&self.0.0).pad_to_eight();
    }
}

/// What stands before a field's value.
fn field_header(to: &mut Bytes, (class, number): (u16, u8), masked: bool, length: usize) {
    to.u16(class).u8(number << 1 | u8::from(masked)).u8(u8::try_from(length).unwrap_or_default());
}

/// A meter is an instruction of its own, before the actions. No instruction at all is `drop`.
fn encode_instructions(body: &mut Bytes, actions: &[Action]) -> Option<()> {
    let mut written = Bytes::default();
    for action in actions {
        match action {
            Action::Meter(meter) => drop(body.u16(METER).u16(8).u32(*meter)),
            Action::Normal => encode_output(&mut written, NORMAL),
            Action::Output(number) => encode_output(&mut written, openflow14_port(*number)),
            Action::Resubmit(table) => {
                written.u16(EXPERIMENTER).u16(16).u32(NICIRA).u16(RESUBMIT_TABLE).u16(NX_IN_PORT).u8(*table).zeros(3);
            }
            // The field has 16 bits: numbers of devices end at 0xff00.
            Action::SetInPort(number) => {
                set_field(&mut written, field::NX_IN_PORT, &u16::try_from(*number).ok()?.to_be_bytes());
            }
            Action::SetTier(tier) => set_field(&mut written, field::REG0, &tier.to_be_bytes()),
            Action::SetStage(stage) => set_field(&mut written, field::REG1, &stage.to_be_bytes()),
            Action::SetArpReply => set_field(&mut written, field::ARP_OP, &[0, 2]),
            Action::SetArpMac(mac) => set_field(&mut written, field::ARP_SHA, &mac.octets()),
            Action::SetArpIp(ip) => set_field(&mut written, field::ARP_SPA, &ip.octets()),
            Action::SetIpv6Source(ip) => set_field(&mut written, field::IPV6_SRC, &ip.octets()),
            Action::Advertise(what) => {
                let (name, value) = advertised(*what);
                set_field(&mut written, name, &value);
            }
            Action::Move(moved) => extension(&mut written, &move_body(*moved)),
            Action::Learn(learn) => extension(&mut written, &learn_body(*learn)),
            Action::Back => encode_output(&mut written, IN_PORT),
            Action::SetSource(mac) => set_field(&mut written, field::ETH_SRC, &mac.octets()),
            Action::SetDestination(mac) => set_field(&mut written, field::ETH_DST, &mac.octets()),
        }
    }
    if !written.0.is_empty() {
        body.u16(APPLY_ACTIONS).u16(u16::try_from(8 + written.0.len()).ok()?).zeros(4).bytes(&written.0);
    }
    Some(())
}

/// The field that is set, and to what.
pub(super) fn advertised(what: Advertised) -> ((u16, u8), Vec<u8>) {
    match what {
        Advertised::Option => (field::ND_OPTIONS_TYPE, vec![2]),
        Advertised::Flags => (field::ND_RESERVED, Advertised::FLAGS.to_be_bytes().to_vec()),
        Advertised::Type => (field::ICMPV6_TYPE, vec![DiscoveryMatch::ADVERTISEMENT]),
    }
}

fn encode_output(to: &mut Bytes, port: u32) {
    to.u16(OUTPUT).u16(16).u32(port).u16(0).zeros(6);
}

/// An action of Open vSwitch's own.
fn extension(to: &mut Bytes, body: &[u8]) {
    let length = (8 + body.len()).next_multiple_of(8);
    to.u16(EXPERIMENTER).u16(u16::try_from(length).unwrap_or_default()).u32(NICIRA);
    to.bytes(body).zeros(length - 8 - body.len());
}

fn set_field(to: &mut Bytes, field: (u16, u8), value: &[u8]) {
    let mut body = Bytes::default();
    field_header(&mut body, field, false, value.len());
    body.bytes(value);
    let length = (4 + body.0.len()).next_multiple_of(8);
    to.u16(SET_FIELD).u16(u16::try_from(length).unwrap_or_default()).bytes(&body.0).zeros(length - 4 - body.0.len());
}

/// The body that makes a meter, or with `change` sets the one that is there: it drops what is beyond `pps` frames a second. A burst of
/// one second's worth passes.
pub(crate) fn set_meter(change: bool, meter: u32, pps: u32) -> Vec<u8> {
    const PACKETS: u16 = 1 << 1;
    const BURST: u16 = 1 << 2;
    const DROP: u16 = 1;
    let mut body = Bytes::default();
    body.u16(change.into()).u16(PACKETS | BURST).u32(meter).u16(DROP).u16(16).u32(pps).u32(pps).zeros(4);
    body.0
}

/// The body that removes a meter.
pub(crate) fn delete_meter(meter: u32) -> Vec<u8> {
    let mut body = Bytes::default();
    body.u16(2).u16(0).u32(meter);
    body.0
}
