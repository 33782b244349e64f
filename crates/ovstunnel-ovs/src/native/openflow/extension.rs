//! The actions of Open vSwitch's own that answer for a VM, as bytes (`ovs-actions(7)`, `nicira-ext.h`): `move`, `load`, `learn`.
//!
//! What it does: the bodies behind Nicira's number, to be written and to be compared with what is read. What it must not do: more than the
//! few of each that a flow can have: nothing in them is free but a cookie.

use ovstunnel_plan::{Cookie, DiscoveryMatch, Learn, Moved};

use super::wire::{Bytes, LEARN, LOAD, MOVE, Reader};

/// Headers of fields: class, number, and length in bytes.
mod header {
    pub const IN_PORT: u32 = 0x0000_0002;
    pub const ETH_DST: u32 = 0x0000_0206;
    pub const ETH_SRC: u32 = 0x0000_0406;
    pub const ETH_TYPE: u32 = 0x0000_0602;
    pub const ARP_SPA: u32 = 0x0000_2004;
    pub const ARP_TPA: u32 = 0x0000_2204;
    pub const REG1: u32 = 0x0001_0204;
    pub const ARP_SHA: u32 = 0x0001_2206;
    pub const ARP_THA: u32 = 0x0001_2406;
    pub const IP_PROTO: u32 = 0x0000_0c01;
    pub const IPV6_SRC: u32 = 0x0001_2610;
    pub const IPV6_DST: u32 = 0x0001_2810;
    pub const ICMPV6_TYPE: u32 = 0x0001_2a01;
    pub const ND_TARGET: u32 = 0x0001_2e10;
    pub const ND_TLL: u32 = 0x0001_3206;
}

/// What `learn` takes the value of a field from, and what it does with it, beside the number of bits.
const MATCH_FIELD: u16 = 0;
const MATCH_VALUE: u16 = 1 << 13;
const LOAD_VALUE: u16 = 1 << 13 | 1 << 11;

const ARP: u16 = 0x0806;
const IPV6: u16 = 0x86dd;
const ICMPV6: u16 = 58;

/// All of the one field, into all of the other.
pub(super) fn move_body(moved: Moved) -> Vec<u8> {
    let (bits, from, to) = match moved {
        Moved::ArpMac => (48, header::ARP_SHA, header::ARP_THA),
        Moved::ArpIp => (32, header::ARP_SPA, header::ARP_TPA),
        Moved::Source => (48, header::ETH_SRC, header::ETH_DST),
        Moved::Ipv6Source => (128, header::IPV6_SRC, header::IPV6_DST),
        Moved::TargetMac => (48, header::ETH_SRC, header::ND_TLL),
    };
    let mut body = Bytes::default();
    body.u16(MOVE).u16(bits).u16(0).u16(0).u32(from).u32(to);
    body.0
}

/// The flow that `learn` makes, without its padding.
pub(super) fn learn_body(learn: Learn) -> Vec<u8> {
    let seconds = learn.seconds();
    let mut body = Bytes::default();
    body.u16(LEARN).u16(0).u16(seconds).u16(Learn::PRIORITY);
    body.u64(learn.cookie().0).u16(0).u8(learn.table()).zeros(1).zeros(4);
    let field = |body: &mut Bytes, bits: u16, from: u32, to: u32| {
        body.u16(MATCH_FIELD | bits).u32(from).u16(0).u32(to).u16(0);
    };
    if seconds > 0 {
        field(&mut body, 16, header::IN_PORT, header::IN_PORT);
    }
    let ethernet_type = if learn.is_ipv6() { IPV6 } else { ARP };
    body.u16(MATCH_VALUE | 16).u16(ethernet_type).u32(header::ETH_TYPE).u16(0);
    if learn.is_ipv6() {
        // A value of one byte has two.
        body.u16(MATCH_VALUE | 8).u16(ICMPV6).u32(header::IP_PROTO).u16(0);
        body.u16(MATCH_VALUE | 8).u16(DiscoveryMatch::SOLICITATION.into()).u32(header::ICMPV6_TYPE).u16(0);
    }
    let (bits, from, to) = match learn {
        Learn::Withdrawn(_) => (32, header::ARP_SPA, header::ARP_TPA),
        Learn::Asked => (32, header::ARP_TPA, header::ARP_TPA),
        Learn::WithdrawnSource(_) => (128, header::IPV6_SRC, header::ND_TARGET),
        Learn::WithdrawnTarget(_) | Learn::Solicited => (128, header::ND_TARGET, header::ND_TARGET),
    };
    field(&mut body, bits, from, to);
    body.u16(LOAD_VALUE | 32).u32(Learn::GOES_ON).u32(header::REG1).u16(0);
    body.0
}

/// Which value is moved, where it is one of ours.
pub(super) fn read_move(body: &[u8]) -> Option<Moved> {
    Moved::ALL.into_iter().find(|moved| move_body(*moved) == body)
}

/// What is learnt, where it is one of ours. Behind it is padding.
pub(super) fn read_learn(body: &[u8]) -> Option<Learn> {
    let cookie = Reader(body.get(8..)?).u64().map(Cookie)?;
    let same = |learn: &Learn| {
        let written = learn_body(*learn);
        body.split_at_checked(written.len())
            .is_some_and(|(start, rest)| start == written && rest.iter().all(|b| *b == 0))
    };
    Learn::all(cookie).into_iter().find(same)
}

/// The value that a learnt flow sets register 1 to.
pub(super) fn read_load(body: &[u8]) -> Option<u32> {
    let mut reader = Reader(body);
    // From bit 0 on, 32 of them.
    let whole = (reader.u16()?, reader.u16()?, reader.u32()?) == (LOAD, 31, header::REG1);
    let value = reader.u64()?;
    (whole && reader.0.is_empty()).then_some(value)?.try_into().ok()
}
