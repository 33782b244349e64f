//! The flows that the switch makes of frames by itself (`learn` of `ovs-actions(7)`), in the words of `ovs-ofctl`.
//!
//! What it does: prints and reads exactly these. What it must not do: know more of `learn` than that: nothing in it is free but a number.

use std::fmt;

use crate::Cookie;
use crate::cookie::temporary;

/// A flow that is made of a packet of ARP or neighbour discovery: it has whoever asks for an address flooded, and not answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Learn {
    /// For whoever asks for the address from which the ARP packet comes, with this cookie: the address is withdrawn.
    Withdrawn(Cookie),
    /// For this port's next ARP request for the same address, for two minutes.
    Asked,
    /// For whoever solicits the IPv6 address from which the solicitation comes, with this cookie.
    WithdrawnSource(Cookie),
    /// For whoever solicits the IPv6 address that is advertised, with this cookie.
    WithdrawnTarget(Cookie),
    /// For this port's next solicitation of the same IPv6 address, for two minutes.
    Solicited,
}

impl Learn {
    /// For how many seconds [`Learn::Asked`] and [`Learn::Solicited`] hold: longer than a Linux guest waits until it asks for an address again from
    /// which no answer comes, which is 15 to 45 seconds, and 8 more for asking the last known card alone.
    pub const ASKED_SECONDS: u16 = 120;

    /// The priority of the flow that is made.
    pub const PRIORITY: u16 = 1000;

    /// What it sets register 1 to: the request goes on as if nobody answered.
    pub const GOES_ON: u32 = 2;

    /// All there are, those that withdraw with this cookie.
    pub fn all(cookie: Cookie) -> [Learn; 5] {
        let withdrawn = [Learn::Withdrawn, Learn::WithdrawnSource, Learn::WithdrawnTarget].map(|learn| learn(cookie));
        let [arp, source, target] = withdrawn;
        [arp, Learn::Asked, source, target, Learn::Solicited]
    }

    /// The table of the flow that is made.
    pub const fn table(self) -> u8 {
        if self.seconds() == 0 { 11 } else { 12 }
    }

    /// For how many seconds it holds; 0 for good.
    pub const fn seconds(self) -> u16 {
        match self {
            Learn::Withdrawn(_) | Learn::WithdrawnSource(_) | Learn::WithdrawnTarget(_) => 0,
            Learn::Asked | Learn::Solicited => Self::ASKED_SECONDS,
        }
    }

    /// Whether it is about IPv6.
    pub const fn is_ipv6(self) -> bool {
        !matches!(self, Learn::Withdrawn(_) | Learn::Asked)
    }

    /// The cookie of the flow that is made.
    pub fn cookie(self) -> Cookie {
        match self {
            Learn::Withdrawn(cookie) | Learn::WithdrawnSource(cookie) | Learn::WithdrawnTarget(cookie) => cookie,
            Learn::Asked | Learn::Solicited => Cookie(temporary::ASKED),
        }
    }

    /// Reads one as Open vSwitch prints it. Older versions say `dl_type=0x0806`, and write numbers otherwise.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.replace("dl_type=0x0806", "eth_type=0x806").replace("dl_type=0x86dd", "eth_type=0x86dd");
        let cookie = text.split_once("cookie=")?.1.split(',').next()?;
        let cookie = Cookie(super::number(cookie)?);
        Learn::all(cookie).into_iter().find(|learn| learn.to_string() == text)
    }
}

impl fmt::Display for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "learn(table={}", self.table())?;
        if self.seconds() > 0 {
            write!(f, ",hard_timeout={}", self.seconds())?;
        }
        write!(f, ",priority={},cookie={}", Learn::PRIORITY, self.cookie())?;
        if self.seconds() > 0 {
            f.write_str(",NXM_OF_IN_PORT[]")?;
        }
        f.write_str(match self {
            Learn::Withdrawn(_) => ",eth_type=0x806,NXM_OF_ARP_TPA[]=NXM_OF_ARP_SPA[]",
            Learn::Asked => ",eth_type=0x806,NXM_OF_ARP_TPA[]",
            Learn::WithdrawnSource(_) => {
                ",eth_type=0x86dd,nw_proto=58,icmpv6_type=135,NXM_NX_ND_TARGET[]=NXM_NX_IPV6_SRC[]"
            }
            Learn::WithdrawnTarget(_) | Learn::Solicited => {
                ",eth_type=0x86dd,nw_proto=58,icmpv6_type=135,NXM_NX_ND_TARGET[]"
            }
        })?;
        write!(f, ",load:{:#x}->NXM_NX_REG1[])", Learn::GOES_ON)
    }
}
