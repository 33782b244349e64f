//! This host's own IPv4 addresses, and what they say of other addresses. Must not guess: of an address that no device has on
//! its link nothing is said.

use std::net::{IpAddr, Ipv4Addr};

use rtnetlink::Handle;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};

use super::{Error, Interfaces, Kernel, Source, ask_kernel, list_addresses, local_ipv4};

/// An IPv4 address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub ip: Ipv4Addr,
    /// An address on the link: its own, or that of the other end of a point-to-point device.
    pub link: Ipv4Addr,
    /// How many bits of it are those of the network.
    pub prefix: u8,
    /// The device that has it.
    pub device: String,
}

impl LocalAddress {
    /// The network's own address and its broadcast address, where hosts cannot have them: not of a /31 or /32.
    fn reserved_addresses(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let hosts = u32::MAX.checked_shr(self.prefix.into()).filter(|hosts| *hosts > 1)?;
        let network = self.link.to_bits() & !hosts;
        Some((network.into(), (network | hosts).into()))
    }

    fn reaches(&self, ip: Ipv4Addr) -> bool {
        let hosts = u32::MAX.checked_shr(self.prefix.into()).unwrap_or(0);
        (self.link.to_bits() ^ ip.to_bits()) & !hosts == 0
    }
}

/// The rule that an address breaks as that of another host; it reads on from a field's name.
pub fn not_another_host(remote: Ipv4Addr, local: &[LocalAddress]) -> Option<String> {
    if local.iter().any(|own| own.ip == remote) {
        return Some("must be another host's address, and this is one of this host's".to_owned());
    }
    // As the kernel's routes go: the smallest network that has it.
    let on_link = local.iter().filter(|own| own.reaches(remote)).max_by_key(|own| own.prefix)?;
    let (network, broadcast) = on_link.reserved_addresses()?;
    let what = [(network, "network"), (broadcast, "broadcast")].into_iter().find(|(ip, _)| *ip == remote)?.1;
    let LocalAddress { link, prefix, device, .. } = on_link;
    Some(format!("must be another host's address, and this is the {what} address of {link}/{prefix} on {device}"))
}

impl Interfaces {
    /// Every IPv4 address of this host, loopback included, each with its network.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn local_addresses(&self) -> Result<Vec<LocalAddress>, Error> {
        match &self.0 {
            Source::Fixed(devices) => Ok(devices.iter().filter_map(fixed_address).collect()),
            Source::Kernel(Kernel { connection, own }) => {
                let mut own = own.lock().await;
                if let Some(known) = own.unchanged_addresses() {
                    return Ok(known);
                }
                let question = async |handle: Handle| list_addresses(&handle, None).await;
                Ok(own.keep_addresses(&ask_kernel(connection, "the addresses of this host", question).await?))
            }
        }
    }
}

fn fixed_address(device: &ovstunnel_api::Interface) -> Option<LocalAddress> {
    let ip: Ipv4Addr = device.ip.as_deref()?.parse().ok()?;
    let mask: Option<Ipv4Addr> = device.netmask.as_deref().and_then(|mask| mask.parse().ok());
    let prefix = mask.map_or(32, |mask| u8::try_from(mask.to_bits().leading_ones()).unwrap_or(32));
    Some(LocalAddress { ip, link: ip, prefix, device: device.device.clone() })
}

pub(super) fn parse_address(message: &AddressMessage) -> Option<LocalAddress> {
    let (mut link, mut device) = (None, String::new());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(IpAddr::V4(ip)) => link = Some(*ip),
            // A label may have a part of its own behind the device's name, as in `eth0:1`.
            AddressAttribute::Label(label) => label.split(':').next().unwrap_or_default().clone_into(&mut device),
            _ => {}
        }
    }
    let ip = local_ipv4(message)?;
    Some(LocalAddress { ip, link: link.unwrap_or(ip), prefix: message.header.prefix_len, device })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(ip: &str, prefix: u8) -> LocalAddress {
        let ip = ip.parse().unwrap();
        LocalAddress { ip, link: ip, prefix, device: "eth0".to_owned() }
    }

    #[test]
    fn network_and_broadcast_addresses_are_no_hosts() {
        let nested = [on("10.0.0.5", 23), on("10.0.1.77", 26), on("172.16.0.0", 31), on("192.0.2.9", 32)];
        let refused = |ip: &str| not_another_host(ip.parse().unwrap(), &nested);
        for host in ["10.0.0.255", "10.0.1.0", "172.16.0.1", "10.0.2.0", "198.51.100.255", "192.0.2.8", "10.0.1.126"] {
            assert_eq!(refused(host), None, "{host}");
        }
        for (ip, word) in [
            ("10.0.0.0", "the network address of 10.0.0.5/23 on eth0"),
            ("10.0.1.255", "the broadcast address of 10.0.0.5/23 on eth0"),
            ("10.0.1.64", "the network address of 10.0.1.77/26 on eth0"),
            ("10.0.1.127", "the broadcast address of 10.0.1.77/26 on eth0"),
            ("10.0.1.77", "one of this host's"),
            ("192.0.2.9", "one of this host's"),
        ] {
            assert!(refused(ip).is_some_and(|rule| rule.contains(word)), "{ip}: {:?}", refused(ip));
        }
        let all = [on("10.0.0.5", 0)];
        assert!(not_another_host([255; 4].into(), &all).is_some());
        assert_eq!(not_another_host([10, 0, 0, 255].into(), &all), None);
    }
}
