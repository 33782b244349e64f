//! The two flows that the switch makes of frames by itself (`learn` of `ovs-actions(7)`), in the words of `ovs-ofctl`.
//!
//! What it does: prints and reads exactly these two. What it must not do: know more of `learn` than that: nothing in it is free but a number.

use std::fmt;

use crate::Cookie;
use crate::cookie::temporary;

/// A flow that is made of an ARP packet: it has whoever asks for an address flooded, and not answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Learn {
    /// For whoever asks for the address from which the packet comes, with this cookie: the address is withdrawn.
    Withdrawn(Cookie),
    /// For this port's next request for the same address, for two minutes.
    Asked,
}

impl Learn {
    /// For how many seconds [`Learn::Asked`] holds: longer than a Linux guest waits until it asks for an address again from which no
    /// answer comes, which is 15 to 45 seconds, and 8 more for asking the last known card alone.
    pub const ASKED_SECONDS: u16 = 120;

    /// The priority of the flow that is made.
    pub const PRIORITY: u16 = 1000;

    /// What it sets register 1 to: the request goes on as if nobody answered.
    pub const GOES_ON: u32 = 2;

    /// The table of the flow that is made.
    pub const fn table(self) -> u8 {
        match self {
            Learn::Withdrawn(_) => 11,
            Learn::Asked => 12,
        }
    }

    /// The cookie of the flow that is made.
    pub fn cookie(self) -> Cookie {
        match self {
            Learn::Withdrawn(cookie) => cookie,
            Learn::Asked => Cookie(temporary::ASKED),
        }
    }

    /// Reads one as Open vSwitch prints it. Older versions say `dl_type=0x0806`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.replace("dl_type=0x0806", "eth_type=0x806");
        let cookie = text.split_once("cookie=")?.1.split(',').next()?;
        let cookie = Cookie(super::number(cookie)?);
        [Learn::Withdrawn(cookie), Learn::Asked].into_iter().find(|learn| learn.to_string() == text)
    }
}

impl fmt::Display for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (table, cookie, priority, stage) = (self.table(), self.cookie(), Learn::PRIORITY, Learn::GOES_ON);
        match self {
            Learn::Withdrawn(_) => write!(
                f,
                "learn(table={table},priority={priority},cookie={cookie},eth_type=0x806,\
                 NXM_OF_ARP_TPA[]=NXM_OF_ARP_SPA[],load:{stage:#x}->NXM_NX_REG1[])"
            ),
            Learn::Asked => write!(
                f,
                "learn(table={table},hard_timeout={},priority={priority},cookie={cookie},NXM_OF_IN_PORT[],\
                 eth_type=0x806,NXM_OF_ARP_TPA[],load:{stage:#x}->NXM_NX_REG1[])",
                Learn::ASKED_SECONDS
            ),
        }
    }
}
