//! One OpenFlow flow, typed: printed for `ovs-ofctl add-flows`, parsed from `ovs-ofctl dump-flows`.
//!
//! What it does: knows exactly the matches and actions that ovstunnel uses. What it must not do: guess; a flow that uses
//! anything else does not parse, and the caller treats it as one that somebody has changed.

use std::fmt;
use std::str::FromStr;

use crate::Cookie;

/// Which destination Ethernet addresses match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MacMatch {
    /// All broadcast and multicast addresses: the lowest bit of the first byte is set.
    Group,
}

/// The text of [`MacMatch::Group`] in both tools' syntax.
const GROUP: &str = "01:00:00:00:00:00/01:00:00:00:00:00";

/// What a flow matches; what is `None` or false matches anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Match {
    /// OpenFlow port on which the frame came in.
    pub in_port: Option<u32>,
    /// Tunnel key; a frame from a VIF has 0.
    pub tun_id: Option<u64>,
    /// Destination Ethernet address.
    pub dl_dst: Option<MacMatch>,
    /// Only IPv6.
    pub ipv6: bool,
}

/// One action. No action at all is `drop`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// The switch's own learning and forwarding, which respects `Port.protected`.
    Normal,
    /// Frames beyond the rate of this meter of the bridge are dropped here.
    Meter(u32),
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
        let Match { in_port, tun_id, dl_dst, ipv6 } = self.matches;
        if ipv6 {
            f.write_str(",ipv6")?;
        }
        if let Some(port) = in_port {
            write!(f, ",in_port={port}")?;
        }
        if let Some(id) = tun_id {
            write!(f, ",tun_id={id:#x}")?;
        }
        if let Some(MacMatch::Group) = dl_dst {
            write!(f, ",dl_dst={GROUP}")?;
        }
        f.write_str(",actions=")?;
        match self.actions.as_slice() {
            [] => f.write_str("drop"),
            actions => actions.iter().enumerate().try_for_each(|(n, action)| {
                let comma = if n == 0 { "" } else { "," };
                match action {
                    Action::Normal => write!(f, "{comma}NORMAL"),
                    Action::Meter(meter) => write!(f, "{comma}meter:{meter}"),
                }
            }),
        }
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
    fn read(&mut self, line: &str) -> Result<(), String> {
        let (fields, actions) = line.split_once("actions=").ok_or("no actions")?;
        for field in fields.split([',', ' ']).filter(|field| !field.is_empty()) {
            self.read_field(field)?;
        }
        if actions.trim() != "drop" {
            self.actions = actions.trim().split(',').map(read_action).collect::<Result<_, _>>()?;
        }
        Ok(())
    }

    fn read_field(&mut self, field: &str) -> Result<(), String> {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        let bad = || format!("cannot understand '{field}'");
        match name {
            "cookie" => self.cookie = Cookie(number(value).ok_or_else(bad)?),
            "table" => self.table = value.parse().map_err(|_| bad())?,
            "priority" => self.priority = value.parse().map_err(|_| bad())?,
            "in_port" => self.matches.in_port = Some(value.parse().map_err(|_| bad())?),
            "tun_id" => self.matches.tun_id = Some(number(value).ok_or_else(bad)?),
            "dl_dst" if value == GROUP => self.matches.dl_dst = Some(MacMatch::Group),
            "ipv6" if value.is_empty() => self.matches.ipv6 = true,
            "duration" | "n_packets" | "n_bytes" | "idle_age" | "hard_age" => {}
            _ => return Err(bad()),
        }
        Ok(())
    }
}

fn read_action(text: &str) -> Result<Action, String> {
    let meter = text.strip_prefix("meter:").and_then(|number| number.parse().ok());
    match (text, meter) {
        ("NORMAL", _) => Ok(Action::Normal),
        (_, Some(meter)) => Ok(Action::Meter(meter)),
        _ => Err(format!("cannot understand action '{text}'")),
    }
}

/// A number in decimal or, with `0x`, hexadecimal digits.
fn number(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Purpose;

    #[test]
    fn what_open_vswitch_dumps_is_understood() {
        let line = " cookie=0x6f76737403000001, duration=0.012s, table=0, n_packets=7, n_bytes=420, idle_age=3, \
                    priority=1200,in_port=1,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00 actions=NORMAL";
        let flow = Flow {
            table: 0,
            priority: 1200,
            cookie: Cookie::new(Purpose::Vif, 1),
            matches: Match { in_port: Some(1), dl_dst: Some(MacMatch::Group), ..Match::default() },
            actions: vec![Action::Normal],
        };
        assert_eq!(line.parse(), Ok(flow));
    }

    #[test]
    fn what_somebody_changed_is_not_taken_for_ours() {
        for line in [
            "cookie=0x6f76737401000000, priority=1000,tun_id=0x5,dl_vlan=7 actions=drop",
            "cookie=0x6f76737401000000, priority=1000,tun_id=0x5 actions=output:3",
            "cookie=0x6f76737401000000, priority=1000,tun_id=0x5/0xff actions=drop",
            "cookie=0x6f76737401000000, idle_timeout=10, priority=1000 actions=drop",
        ] {
            let error = line.parse::<Flow>().unwrap_err();
            assert_eq!(error.cookie, Some(Cookie::new(Purpose::Baseline, 0)), "{line}");
        }
        assert_eq!("OFPST_FLOW reply (OF1.4) (xid=0x6):".parse::<Flow>().unwrap_err().cookie, None);
    }

    fn any_flow() -> impl Strategy<Value = Flow> {
        let matches = (
            prop::option::of(1u32..0xff00),
            prop::option::of(any::<u64>()),
            prop::option::of(Just(MacMatch::Group)),
            any::<bool>(),
        )
            .prop_map(|(in_port, tun_id, dl_dst, ipv6)| Match { in_port, tun_id, dl_dst, ipv6 });
        (
            any::<u8>(),
            any::<u16>(),
            any::<u64>(),
            matches,
            prop::collection::vec(prop_oneof![Just(Action::Normal), any::<u32>().prop_map(Action::Meter)], 0..3),
        )
            .prop_map(|(table, priority, cookie, matches, actions)| Flow {
                table,
                priority,
                cookie: Cookie(cookie),
                matches,
                actions,
            })
    }

    proptest! {
        #[test]
        fn a_printed_flow_parses_to_itself(flow in any_flow()) {
            prop_assert_eq!(flow.to_string().parse(), Ok(flow));
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,200}") {
            let _ = text.parse::<Flow>();
        }
    }
}
