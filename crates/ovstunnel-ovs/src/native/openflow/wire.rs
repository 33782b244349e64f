//! The parts of OpenFlow 1.4's messages (Open Networking Foundation, TS-020) and of Open vSwitch's extensions (`ovs-fields(7)`) that
//! are used. Must not know what a flow of ours is.

/// OpenFlow 1.4.
pub(super) const VERSION: u8 = 5;
/// Bytes before each message's body.
pub(super) const HEADER: usize = 8;

/// Kinds of messages.
pub(super) mod kind {
    pub const HELLO: u8 = 0;
    pub const ERROR: u8 = 1;
    pub const ECHO_REQUEST: u8 = 2;
    pub const ECHO_REPLY: u8 = 3;
    pub const FLOW_MOD: u8 = 14;
    pub const MULTIPART_REQUEST: u8 = 18;
    pub const MULTIPART_REPLY: u8 = 19;
    pub const BARRIER_REQUEST: u8 = 20;
    pub const BARRIER_REPLY: u8 = 21;
    pub const METER_MOD: u8 = 29;
    pub const BUNDLE_CONTROL: u8 = 33;
    pub const BUNDLE_ADD: u8 = 34;
}

/// The classes and numbers of matched fields.
pub(super) mod field {
    pub const IN_PORT: (u16, u8) = (0x8000, 0);
    pub const ETH_DST: (u16, u8) = (0x8000, 3);
    pub const ETH_SRC: (u16, u8) = (0x8000, 4);
    pub const ETH_TYPE: (u16, u8) = (0x8000, 5);
    pub const VLAN_VID: (u16, u8) = (0x8000, 6);
    pub const IP_PROTO: (u16, u8) = (0x8000, 10);
    pub const IPV4_SRC: (u16, u8) = (0x8000, 11);
    pub const IPV4_DST: (u16, u8) = (0x8000, 12);
    pub const IPV6_SRC: (u16, u8) = (0x8000, 26);
    pub const IPV6_DST: (u16, u8) = (0x8000, 27);
    pub const ICMPV6_TYPE: (u16, u8) = (0x8000, 29);
    pub const ND_TARGET: (u16, u8) = (0x8000, 31);
    pub const ND_SLL: (u16, u8) = (0x8000, 32);
    pub const ND_TLL: (u16, u8) = (0x8000, 33);
    /// Flags and option of neighbour discovery, as `ovs-ofctl` 3.1 writes them: of Ericsson's class.
    pub const ND_RESERVED: (u16, u8) = (0x1000, 1);
    pub const ND_OPTIONS_TYPE: (u16, u8) = (0x1000, 2);
    pub const TCP_DST: (u16, u8) = (0x8000, 14);
    pub const UDP_DST: (u16, u8) = (0x8000, 16);
    pub const SCTP_DST: (u16, u8) = (0x8000, 18);
    pub const ARP_OP: (u16, u8) = (0x8000, 21);
    pub const ARP_SPA: (u16, u8) = (0x8000, 22);
    pub const ARP_TPA: (u16, u8) = (0x8000, 23);
    pub const ARP_SHA: (u16, u8) = (0x8000, 24);
    pub const TUNNEL_ID: (u16, u8) = (0x8000, 38);
    /// The port by which a frame came in, as a field that can be set.
    pub const NX_IN_PORT: (u16, u8) = (0x0000, 0);
    /// Register 0, one of Open vSwitch's own fields.
    pub const REG0: (u16, u8) = (0x0001, 0);
    pub const REG1: (u16, u8) = (0x0001, 1);
}

/// Ethernet types that flows have words for.
pub(super) const ETH_IPV4: u16 = 0x0800;
pub(super) const ETH_ARP: u16 = 0x0806;
pub(super) const ETH_IPV6: u16 = 0x86dd;

/// Kinds of instructions and actions.
pub(super) const APPLY_ACTIONS: u16 = 4;
pub(super) const METER: u16 = 6;
pub(super) const OUTPUT: u16 = 0;
pub(super) const SET_FIELD: u16 = 25;
pub(super) const EXPERIMENTER: u16 = 0xffff;
/// Nicira's number, under which Open vSwitch has its extensions, and those of `move`, `load`, `resubmit(,table)` and `learn` among them.
pub(super) const NICIRA: u32 = 0x2320;
pub(super) const MOVE: u16 = 6;
pub(super) const LOAD: u16 = 7;
pub(super) const RESUBMIT_TABLE: u16 = 14;
pub(super) const LEARN: u16 = 16;
/// In Open vSwitch's own actions: the port that the frame came in by.
pub(super) const NX_IN_PORT: u16 = 0xfff8;

/// In OpenFlow's: the same.
pub(super) const IN_PORT: u32 = 0xffff_fff8;

/// Kinds of multipart messages: of flows that are asked for, and of a flow monitor.
pub(super) const FLOWS: u16 = 1;
pub(super) const FLOW_MONITOR: u16 = 16;

/// Reserved numbers of ports and groups.
pub(super) const NORMAL: u32 = 0xffff_fffa;
pub(super) const ANY: u32 = 0xffff_ffff;
/// Ports above this one have other numbers in the database, which are of OpenFlow 1.0.
const PORTS_MAX: u32 = 0xff00;
const RESERVED: u32 = 0xffff_0000;

/// A port's number of OpenFlow 1.0, which the database and `ovs-ofctl` use, in 1.4.
pub(super) fn openflow14_port(number: u32) -> u32 {
    if (PORTS_MAX..=0xffff).contains(&number) { number | RESERVED } else { number }
}

/// Bytes that grow: all numbers are in network order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Bytes(pub Vec<u8>);

impl Bytes {
    pub fn u8(&mut self, value: u8) -> &mut Self {
        self.bytes(&[value])
    }

    pub fn u16(&mut self, value: u16) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn u32(&mut self, value: u32) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.bytes(&value.to_be_bytes())
    }

    pub fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.extend_from_slice(value);
        self
    }

    pub fn zeros(&mut self, count: usize) -> &mut Self {
        self.0.resize(self.0.len() + count, 0);
        self
    }

    /// Fills up to a whole number of eight bytes.
    pub fn pad_to_eight(&mut self) -> &mut Self {
        self.zeros(self.0.len().next_multiple_of(8) - self.0.len())
    }
}

/// A message; nothing where it would be longer than one can be.
pub(super) fn encode_message(kind: u8, xid: u32, body: &[u8]) -> Option<Vec<u8>> {
    let length = u16::try_from(HEADER + body.len()).ok()?;
    let mut message = Bytes(Vec::with_capacity(length.into()));
    message.u8(VERSION).u8(kind).u16(length).u32(xid).bytes(body);
    Some(message.0)
}

/// Bytes that are read from the front.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    pub fn take_bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn take_array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take_bytes(N)?.try_into().ok()
    }

    pub fn u8(&mut self) -> Option<u8> {
        self.take_array().map(u8::from_be_bytes)
    }

    pub fn u16(&mut self) -> Option<u16> {
        self.take_array().map(u16::from_be_bytes)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take_array().map(u32::from_be_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take_array().map(u64::from_be_bytes)
    }
}

/// The head of a message, and its body.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub version: u8,
    pub kind: u8,
    pub xid: u32,
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    pub fn parse_frame(frame: &'a [u8]) -> Option<Self> {
        let mut reader = Reader(frame);
        let (version, kind, _, xid) = (reader.u8()?, reader.u8()?, reader.u16()?, reader.u32()?);
        Some(Message { version, kind, xid, body: reader.0 })
    }
}
