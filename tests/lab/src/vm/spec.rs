//! What a VM is to be: its name, its addresses, its network. Nothing here makes anything.

use std::net::{Ipv4Addr, Ipv6Addr};

use macaddr::MacAddr6;

/// What a VM is to be.
#[derive(Clone, Debug)]
pub struct VmSpec {
    pub(super) name: String,
    pub(super) network: String,
    pub(super) ip: Ipv4Addr,
    pub(super) prefix_length: u8,
    pub(super) mac: MacAddr6,
    pub(super) mtu: u16,
    pub(super) ipv6: Option<Ipv6Addr>,
}

impl VmSpec {
    /// A VM of this name and address: MTU 1400, prefix length 16, a MAC address made from the address, no IPv6, in the
    /// network `net`.
    pub fn new(name: &str, ip: Ipv4Addr) -> Self {
        let [a, b, c, d] = ip.octets();
        Self {
            name: name.to_owned(),
            network: "net".to_owned(),
            ip,
            prefix_length: 16,
            mac: MacAddr6::new(0x02, 0x76, a, b, c, d),
            mtu: 1400,
            ipv6: None,
        }
    }

    /// VM number `number`: called `vm<number>`, with the address `10.1.<number / 256>.<number % 256>`.
    pub fn numbered(number: u16) -> Self {
        let [high, low] = number.to_be_bytes();
        Self::new(&format!("vm{number}"), Ipv4Addr::new(10, 1, high, low))
    }

    /// The virtual network it is in. Frames are expected only at VMs of the same one. The default is `net`.
    #[must_use]
    pub fn network(self, network: &str) -> Self {
        Self { network: network.to_owned(), ..self }
    }

    /// Its MAC address.
    #[must_use]
    pub fn mac(self, mac: MacAddr6) -> Self {
        Self { mac, ..self }
    }

    /// Its MTU in bytes.
    #[must_use]
    pub fn mtu(self, mtu: u16) -> Self {
        Self { mtu, ..self }
    }

    /// The length of its network's prefix, in bits.
    #[must_use]
    pub fn prefix_length(self, prefix_length: u8) -> Self {
        Self { prefix_length, ..self }
    }

    /// Gives it a fixed IPv6 address, in a /64. Then its kernel joins multicast groups and says so by itself.
    #[must_use]
    pub fn ipv6(self, ip: Ipv6Addr) -> Self {
        Self { ipv6: Some(ip), ..self }
    }

    /// The commands that make a VM's card, with the VIF as its other end.
    pub(super) fn card(&self, card: &str, vif: &str, host: &str) -> Vec<String> {
        let VmSpec { ip, prefix_length, mac, mtu, ipv6, .. } = self;
        let mut commands = vec![
            format!("link add {card} address {mac} mtu {mtu} type veth peer name {vif} netns {host}"),
            format!("link set {card} promisc on up"),
            format!("address add {ip}/{prefix_length} dev {card}"),
        ];
        commands.extend(ipv6.map(|ip| format!("address add {ip}/64 dev {card} nodad")));
        commands
    }
}
