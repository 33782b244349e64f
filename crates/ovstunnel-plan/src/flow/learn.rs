//! The two flows that the switch makes of frames by itself (`learn` of `ovs-actions(7)`), in the words of `ovs-ofctl`.
//!
//! What it does: prints and reads exactly these two. What it must not do: know more of `learn` than that: nothing in it is free but a number.

use std::fmt;

use crate::Cookie;
use crate::cookie::temporary;

/// A flow that is made of an ARP packet: it has whoever asks for an address flooded, and not answered here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Learn {
    /// For whoever asks for the address from which the packet comes, in table 11 and with this cookie: the address is withdrawn.
    Withdrawn(Cookie),
    /// For this port's next request for the same address, in table 12 and for two minutes.
    Asked,
}

impl Learn {
    /// For how many seconds [`Learn::Asked`] holds: longer than a Linux guest waits until it asks for an address again from which no
    /// answer comes, which is 15 to 45 seconds, and 8 more for asking the last known card alone.
    pub const ASKED_SECONDS: u16 = 120;

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
        let cookie = self.cookie();
        match self {
            Learn::Withdrawn(_) => write!(
                f,
                "learn(table=11,priority=1000,cookie={cookie},eth_type=0x806,NXM_OF_ARP_TPA[]=NXM_OF_ARP_SPA[],\
                 load:0x2->NXM_NX_REG1[])"
            ),
            Learn::Asked => write!(
                f,
                "learn(table=12,hard_timeout={},priority=1000,cookie={cookie},NXM_OF_IN_PORT[],eth_type=0x806,\
                 NXM_OF_ARP_TPA[],load:0x2->NXM_NX_REG1[])",
                Learn::ASKED_SECONDS
            ),
        }
    }
}
