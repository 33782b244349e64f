//! One OpenFlow flow, typed: printed for `ovs-ofctl add-flows`, parsed from `ovs-ofctl dump-flows`.
//!
//! What it does: knows exactly the matches and actions that ovstunnel uses. What it must not do: guess; a flow that uses
//! anything else does not parse, and the caller treats it as one that somebody has changed.

mod action;
mod arp;
mod discovery;
mod ipv4;
mod ipv6;
mod learn;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

pub use action::{Action, Advertised, Moved};
pub use arp::ArpMatch;
pub use discovery::{DiscoveryMatch, DiscoveryOption};
pub use ipv4::{Ipv4Match, PortMask};
pub use ipv6::Ipv6Match;
pub use learn::Learn;

use crate::{Cookie, Mac, Purpose};

/// Which destination Ethernet addresses match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MacMatch {
    /// All broadcast and multicast addresses: the lowest bit of the first byte is set.
    Group,
    /// That of one card.
    Exactly(Mac),
}

/// The text of [`MacMatch::Group`] in both tools' syntax.
const GROUP: &str = "01:00:00:00:00:00/01:00:00:00:00:00";

/// The text of [`Match::untagged`].
const UNTAGGED: &str = "0x0000/0x1fff";

/// What a flow matches; what is `None` or false matches anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// OpenFlow port on which the frame came in.
    pub in_port: Option<u32>,
    /// Tunnel key; a frame from a VIF has 0.
    pub tun_id: Option<u64>,
    /// The tier that the frame is in (register 0): the tier's key.
    pub tier: Option<u32>,
    /// How far the frame has come among the flows that answer for VMs (register 1).
    pub stage: Option<u32>,
    /// Only frames without a VLAN tag.
    pub untagged: bool,
    /// Destination Ethernet address.
    pub dl_dst: Option<MacMatch>,
    /// Only ARP, and of that only this.
    pub arp: Option<ArpMatch>,
    /// Only IPv4, and of that only this.
    pub ipv4: Option<Ipv4Match>,
    /// Only IPv6, and of that only this.
    pub ipv6: Option<Ipv6Match>,
    /// Only this Ethernet type. That of a frame with a VLAN tag is what stands behind it: of two tags, the second one's own.
    pub ethertype: Option<u16>,
}

/// One flow. Its counters are not part of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Flow {
    /// Table number.
    pub table: u8,
    /// Higher wins.
    pub priority: u16,
    /// Whose it is and what for.
    pub cookie: Cookie,
    /// What it matches.
    pub matches: Match,
    /// What happens to a frame; nothing means `drop`.
    pub actions: Vec<Action>,
}

impl fmt::Display for Flow {
    /// In the syntax of a line for `ovs-ofctl add-flows`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cookie={},table={},priority={}", self.cookie, self.table, self.priority)?;
        self.matches.fmt(f)?;
        f.write_str(",actions=")?;
        match self.actions.as_slice() {
            [] => f.write_str("drop"),
            actions => actions.iter().enumerate().try_for_each(|(n, action)| {
                let comma = if n == 0 { "" } else { "," };
                write!(f, "{comma}{action}")
            }),
        }
    }
}

impl fmt::Display for Match {
    /// Each field with a comma before it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Match { in_port, tun_id, tier, stage, untagged, dl_dst, arp, ipv4, ipv6, ethertype } = self;
        arp.iter().try_for_each(|_| f.write_str(",arp"))?;
        ipv6.iter().try_for_each(|ipv6| ipv6.write_protocol(f))?;
        ethertype.iter().try_for_each(|kind| write!(f, ",dl_type={kind:#06x}"))?;
        ipv4.iter().try_for_each(|ipv4| ipv4.write_protocol(f))?;
        in_port.iter().try_for_each(|port| write!(f, ",in_port={port}"))?;
        tun_id.iter().try_for_each(|id| write!(f, ",tun_id={id:#x}"))?;
        tier.iter().try_for_each(|tier| write!(f, ",reg0={tier:#x}"))?;
        stage.iter().try_for_each(|stage| write!(f, ",reg1={stage:#x}"))?;
        untagged.then(|| write!(f, ",vlan_tci={UNTAGGED}")).transpose()?;
        match dl_dst {
            Some(MacMatch::Group) => write!(f, ",dl_dst={GROUP}")?,
            Some(MacMatch::Exactly(mac)) => write!(f, ",dl_dst={mac}")?,
            None => {}
        }
        arp.iter().try_for_each(|arp| arp.write_fields(f))?;
        ipv4.iter().try_for_each(|ipv4| ipv4.write_fields(f))?;
        ipv6.iter().try_for_each(|ipv6| ipv6.write_fields(f))
    }
}

impl Match {
    /// Takes up a field of an ARP packet.
    fn read_arp_field(&mut self, name: &str, value: &str) -> Option<()> {
        self.arp.as_mut()?.parse_field(name, value)
    }

    /// Takes up a field of a packet: one that IPv4 and IPv6 both have is of the one that the line began with.
    fn read_packet_field(&mut self, name: &str, value: &str) -> Option<()> {
        let of_ipv4 = self.ipv6.is_none().then(|| Ipv4Match::parse_field(&mut self.ipv4, name, value)).flatten();
        let of_ipv6 = || self.ipv4.is_none().then(|| Ipv6Match::parse_field(&mut self.ipv6, name, value)).flatten();
        of_ipv4.or_else(of_ipv6)
    }
}

/// A line that is no flow of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct FlowParseError {
    /// Cookie of the flow, where the line had one.
    pub cookie: Option<Cookie>,
    /// What could not be understood.
    pub reason: String,
}

impl FromStr for Flow {
    type Err = FlowParseError;

    /// Parses a line of `ovs-ofctl dump-flows`, with or without statistics, or one that `Display` printed.
    fn from_str(line: &str) -> Result<Self, FlowParseError> {
        let mut flow =
            Flow { table: 0, priority: 0x8000, cookie: Cookie(0), matches: Match::default(), actions: Vec::new() };
        let result = flow.read(line);
        let cookie = Some(flow.cookie).filter(|cookie| cookie.0 != 0);
        result.map(|()| flow).map_err(|reason| FlowParseError { cookie, reason })
    }
}

impl Flow {
    /// A flow of the table that frames enter by.
    pub(crate) fn of_entry(priority: u16, purpose: Purpose, number: u32, matches: Match, actions: Vec<Action>) -> Self {
        Flow { table: 0, priority, cookie: Cookie::new(purpose, number), matches, actions }
    }

    fn read(&mut self, line: &str) -> Result<(), String> {
        // The fields come first: of a line that was cut off, at least the cookie is known.
        let (fields, actions) = line.split_once("actions=").map_or((line, None), |(fields, rest)| (fields, Some(rest)));
        let mut names = Vec::with_capacity(16);
        for field in fields.split(|c: char| c == ',' || c.is_whitespace()).filter(|field| !field.is_empty()) {
            let name = field.split('=').next().unwrap_or(field);
            if names.contains(&name) {
                return Err(format!("{name} stands twice"));
            }
            names.push(name);
            self.read_field(field)?;
        }
        self.actions = action::read_all(actions.ok_or("no actions")?.trim())?;
        Ok(())
    }

    fn read_field(&mut self, field: &str) -> Result<(), String> {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let bad = || format!("cannot understand '{field}'");
        match name {
            "cookie" => self.cookie = Cookie(number(value).ok_or_else(bad)?),
            // `bridge/dump-flows` calls it `table_id`.
            "table" | "table_id" => self.table = value.parse().map_err(|_| bad())?,
            "priority" => self.priority = value.parse().map_err(|_| bad())?,
            "in_port" => self.matches.in_port = Some(value.parse().map_err(|_| bad())?),
            "tun_id" => self.matches.tun_id = Some(number(value).ok_or_else(bad)?),
            "reg0" => self.matches.tier = Some(number(value).and_then(|n| n.try_into().ok()).ok_or_else(bad)?),
            "reg1" => self.matches.stage = Some(number(value).and_then(|n| n.try_into().ok()).ok_or_else(bad)?),
            "vlan_tci" if value == UNTAGGED => self.matches.untagged = true,
            "arp" if value.is_empty() => self.matches.arp = Some(ArpMatch::default()),
            "dl_dst" if value == GROUP => self.matches.dl_dst = Some(MacMatch::Group),
            "dl_dst" => self.matches.dl_dst = Some(MacMatch::Exactly(value.parse().map_err(|_| bad())?)),
            "mpls" if value.is_empty() => self.matches.ethertype = Some(0x8847),
            "mplsm" if value.is_empty() => self.matches.ethertype = Some(0x8848),
            "dl_type" => {
                self.matches.ethertype = Some(number(value).and_then(|n| n.try_into().ok()).ok_or_else(bad)?);
            }
            "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
            _ if self.matches.arp.is_some() => self.matches.read_arp_field(name, value).ok_or_else(bad)?,
            _ => self.matches.read_packet_field(name, value).ok_or_else(bad)?,
        }
        Ok(())
    }
}

/// A number in decimal or, with `0x`, hexadecimal digits.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}
