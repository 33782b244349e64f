//! Cookies of our flows: the mark by which we know a flow as ours, and what it is for.
//!
//! The upper 32 bits are `ovst` in ASCII; of the lower 32, 8 say the purpose and 24 carry a number (an OpenFlow port, or a
//! part of a digest of what the flow is about; flows that happen to share a cookie are replaced together). The highest of them marks the flow of a VIF with a limit: then 15 bits carry the limit, and 16 the port.
//! What it must not do: say more than what a flow is for; flows are compared as a whole, and deleted by their cookie.

use std::fmt;

/// Temporary flows, at a take-over and of a probe, have `ovsb` in the upper half, so that nobody takes them for flows that are to stay: a repair
/// neither counts nor removes them. They end by themselves. As texts, for they are printed and never read.
pub(crate) mod temporary {
    /// Begins the cookie of all of them.
    pub(crate) const ANY: &str = "cookie=0x6f767362";
    /// Of flows that carry frames while NORMAL cannot.
    pub(crate) const CARRY: &str = "cookie=0x6f76736200000001";
    /// Of flows that keep NORMAL from learning a detour.
    pub(crate) const LEARN_NOT: &str = "cookie=0x6f76736200000002";
    /// Of flows that count and drop the frames of a probe.
    pub(crate) const PROBE: &str = "cookie=0x6f76736200000003";
    /// Of flows that the switch makes by itself: who has asked for which address.
    pub(crate) const ASKED: u64 = 0x6f76_7362_0000_0004;
}

/// What a flow is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Purpose {
    /// Drops broadcast and multicast that come from tunnels.
    Baseline,
    /// Delivers broadcast and multicast that come from tunnels, while a VIF is plugged.
    TunnelOpen,
    /// Lets a VIF's broadcast and multicast out.
    Vif,
    /// Drops IPv6; the number is the Ethernet type of what it would pass behind, such as a second VLAN tag, or 0.
    Ipv6,
    /// Forwards what no other flow has decided on.
    Forward,
    /// Keeps VMs from the ends of tunnels; the number is a part of the end's Ethernet or IP address.
    Underlay,
    /// Keeps BFD's frames from VMs, and VMs from BFD.
    Bfd,
    /// Has what comes by the second tunnel of a pair taken as come by the first, while the kind of tunnels changes.
    Second,
    /// Delivers what comes from tunnels for the moment in which their two kinds are turned around.
    Carry,
    /// Watches who says that an address is his, and hands requests on; the number is a part of the address, or 0.
    Watch,
    /// Answers for a VM; the number is a part of its address, an OpenFlow port, or 0.
    Answer,
    /// Has an address flooded for again; the number says which list of addresses it was told with.
    Withdrawn,
    /// VPC: what a table does with a frame for which it has nothing else.
    VpcEnd,
    /// VPC: classifies what comes from the tunnels of a tier.
    VpcTunnels,
    /// VPC: classifies what comes from a VIF.
    VpcVif,
    /// VPC: leads to a card by its Ethernet address.
    VpcSwitch,
    /// VPC: floods within a tier.
    VpcFlood,
    /// VPC: an item about what leaves a tier.
    VpcEgress,
    /// VPC: leads to a card from other tiers.
    VpcRoute,
    /// VPC: an item about what comes into a tier.
    VpcIngress,
}

impl Purpose {
    fn purpose_code(self) -> u64 {
        match self {
            Purpose::Baseline => 1,
            Purpose::TunnelOpen => 2,
            Purpose::Vif => 3,
            Purpose::Ipv6 => 4,
            Purpose::Forward => 5,
            Purpose::Underlay => 6,
            Purpose::Bfd => 7,
            Purpose::Second => 8,
            Purpose::Carry => 9,
            Purpose::Watch => 10,
            Purpose::Answer => 11,
            Purpose::Withdrawn => 12,
            Purpose::VpcEnd => 16,
            Purpose::VpcTunnels => 17,
            Purpose::VpcVif => 18,
            Purpose::VpcSwitch => 19,
            Purpose::VpcFlood => 20,
            Purpose::VpcEgress => 21,
            Purpose::VpcRoute => 22,
            Purpose::VpcIngress => 23,
        }
    }

    /// The cookies of all flows of ours that are for anything else, with their masks: for each bit of the purpose those that differ in
    /// it, and in none above it.
    pub(crate) fn all_others(self) -> [(Cookie, Cookie); 8] {
        std::array::from_fn(|bit| {
            let (code, bits) = (self.purpose_code() ^ 1 << bit, 0xff << bit & 0xff);
            (Cookie(Cookie::OURS.0 | (code & bits) << 24), Cookie(Cookie::MASK.0 | bits << 24))
        })
    }
}

/// The bit that marks the flow of a VIF with a limit; no purpose has it.
const LIMITED: u64 = 1 << 31;

/// An OpenFlow cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cookie(pub u64);

impl Cookie {
    /// `ovst` in the upper half.
    pub const OURS: Cookie = Cookie(0x6f76_7374_0000_0000);
    /// That of the flow that forwards what no other flow has decided on.
    pub const FORWARD: Cookie = Cookie(0x6f76_7374_0500_0000);
    /// `ovsb` in the upper half: of temporary flows, which end by themselves.
    pub const TEMPORARY: Cookie = Cookie(0x6f76_7362_0000_0000);
    /// The bits that say whose a flow is.
    pub const MASK: Cookie = Cookie(0xffff_ffff_0000_0000);

    /// The cookie for a purpose, with a number (24 bits, such as an OpenFlow port) to tell flows of one purpose apart.
    pub fn new(purpose: Purpose, number: u32) -> Self {
        Cookie(Self::OURS.0 | purpose.purpose_code() << 24 | u64::from(number & 0x00ff_ffff))
    }

    /// The cookie of a VIF's flow with a limit of `pps` frames a second. Other limits make other cookies, but from 16,384
    /// on those less than 64 apart may share one.
    pub fn limited(port: u32, pps: u32) -> Self {
        const EXACT: u32 = 1 << 14;
        let limit = if pps < EXACT { pps } else { EXACT + (pps / 64).min(EXACT - 1) };
        Cookie(Self::OURS.0 | LIMITED | u64::from(limit) << 16 | u64::from(port & 0xffff))
    }

    /// The OpenFlow port of the VIF, where the flow is a VIF's with a limit.
    pub fn limited_vif(self) -> Option<u32> {
        let limited = self.is_ours() && self.0 & LIMITED != 0;
        limited.then(|| u32::try_from(self.0 & 0xffff).ok()).flatten()
    }

    /// Whether it is the cookie of a flow of ours for this purpose.
    pub fn is_for(self, purpose: Purpose) -> bool {
        self.0 >> 24 == Cookie::new(purpose, 0).0 >> 24
    }

    /// Whether a flow with this cookie is ours.
    pub fn is_ours(self) -> bool {
        self.0 & Self::MASK.0 == Self::OURS.0
    }
}

impl fmt::Display for Cookie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_limit_and_each_port_has_its_own_cookie() {
        let limits = (1..16_384).chain((16_384..=1_000_000).step_by(64));
        let mut cookies: Vec<Cookie> = limits.map(|pps| Cookie::limited(7, pps)).collect();
        assert!(cookies.iter().all(|cookie| cookie.limited_vif() == Some(7) && cookie.is_ours()));
        let count = cookies.len();
        cookies.sort();
        cookies.dedup();
        assert_eq!(cookies.len(), count);
        assert_eq!(Cookie::limited(0xfeff, 50).limited_vif(), Some(0xfeff));
    }

    #[test]
    fn the_masks_of_all_others_leave_out_one_purpose_and_no_other() {
        let masks = Purpose::Withdrawn.all_others();
        let others = |cookie: Cookie| masks.iter().any(|(value, mask)| cookie.0 & mask.0 == value.0);
        for code in 0..=0xff_u64 {
            let cookie = Cookie(Cookie::OURS.0 | code << 24 | 0x00ab_cdef);
            assert_eq!(others(cookie), !cookie.is_for(Purpose::Withdrawn), "{cookie}");
            assert!(!others(Cookie(Cookie::TEMPORARY.0 | code << 24)));
        }
    }

    #[test]
    fn the_flow_that_forwards_has_the_cookie_of_its_purpose() {
        assert_eq!(Cookie::new(Purpose::Forward, 0), Cookie::FORWARD);
    }

    #[test]
    fn a_flow_without_a_limit_names_no_meter() {
        for purpose in [Purpose::Baseline, Purpose::TunnelOpen, Purpose::Vif, Purpose::Ipv6, Purpose::Forward] {
            assert_eq!(Cookie::new(purpose, 0x00ff_ffff).limited_vif(), None);
        }
    }
}
