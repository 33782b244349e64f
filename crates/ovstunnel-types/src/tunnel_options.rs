//! What the packets of tunnels have beyond kind, key, port and addresses: the same for all tunnels of a host. Must not know where that is
//! configured.

use std::fmt;
use std::net::IpAddr;

use crate::{Ipsec, TunnelKind};

/// The field of the outer IP header by which networks tell urgent packets from others (DSCP).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tos {
    /// That of the packet inside.
    Inherit,
    /// The whole octet, of which the two bits of ECN are 0: Open vSwitch always takes those from the packet inside.
    Octet(u8),
}

impl Tos {
    /// What a number has to be.
    pub const RULE: &'static str = "\"inherit\", or a multiple of 4 from 0 to 252: four times the DSCP";

    /// This octet, where it has no bit of ECN.
    pub fn from_number(number: i64) -> Option<Self> {
        u8::try_from(number).ok().filter(|octet| octet % 4 == 0).map(Tos::Octet)
    }
}

/// As it stands in `Interface.options:tos`.
impl fmt::Display for Tos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tos::Inherit => f.write_str("inherit"),
            Tos::Octet(octet) => write!(f, "{octet}"),
        }
    }
}

/// What all tunnels of a host have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TunnelOptions {
    /// Packets have a checksum over what is inside. One that comes in is looked at in any case.
    pub csum: bool,
    /// The TOS of packets; nothing is Open vSwitch's default, 0.
    pub tos: Option<Tos>,
    /// Packets may not be fragmented on their way.
    pub df: bool,
    /// How they are encrypted.
    pub ipsec: Ipsec,
}

/// Open vSwitch's own.
impl Default for TunnelOptions {
    fn default() -> Self {
        TunnelOptions { csum: false, tos: None, df: true, ipsec: Ipsec::Off }
    }
}

impl TunnelOptions {
    /// What of `Interface.options` is not as Open vSwitch has it by default, without what [`Ipsec::interface_options`] has.
    pub fn interface_options(&self) -> impl Iterator<Item = (&'static str, String)> + use<> {
        let csum = self.csum.then(|| ("csum", "true".to_owned()));
        let tos = self.tos.map(|tos| ("tos", tos.to_string()));
        let df = (!self.df).then(|| ("df_default", "false".to_owned()));
        csum.into_iter().chain(tos).chain(df)
    }

    /// How many bytes a tunnel of this kind to this address takes of a packet: with a checksum GRE takes 4 more (RFC 2784), UDP has the
    /// room for it; IPv6 takes 20 more than IPv4.
    pub fn overhead(&self, kind: TunnelKind, to: IpAddr) -> u32 {
        let checksum = if self.csum && kind == TunnelKind::Gre { 4 } else { 0 };
        kind.overhead() + self.ipsec.overhead() + checksum + if to.is_ipv6() { 40 - 20 } else { 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_from_the_default_is_written() {
        let options = |options: TunnelOptions| options.interface_options().collect::<Vec<_>>();
        assert_eq!(options(TunnelOptions::default()), []);
        let all = TunnelOptions { csum: true, tos: Some(Tos::Inherit), df: false, ipsec: Ipsec::Off };
        let text = |(key, value): (&'static str, &str)| (key, value.to_owned());
        assert_eq!(options(all.clone()), [("csum", "true"), ("tos", "inherit"), ("df_default", "false")].map(text));
        assert_eq!(
            options(TunnelOptions { tos: Tos::from_number(184), ..TunnelOptions::default() }),
            [text(("tos", "184"))]
        );
        assert_eq!([-4, 3, 256, 252].map(Tos::from_number), [None, None, None, Some(Tos::Octet(252))]);
        let (four, six) = ([192, 0, 2, 2].into(), [0x2001, 0xdb8, 0, 0, 0, 0, 0, 2].into());
        assert_eq!((all.overhead(TunnelKind::Gre, four), all.overhead(TunnelKind::Vxlan, four)), (46, 50));
        assert_eq!((all.overhead(TunnelKind::Gre, six), all.overhead(TunnelKind::Geneve, six)), (66, 70));
        assert_eq!(TunnelOptions::default().overhead(TunnelKind::Gre, four), 42);
    }
}
