//! This host's own addresses, link-local ones of IPv6 left out, and what they say of other addresses. Must not guess: of an address that no device has on
//! its link nothing is said.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::TryStreamExt;
use ipnet::{IpNet, Ipv4Net};
use rtnetlink::Handle;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::LinkAttribute;

use super::devices::local_address;
use super::{Error, Interfaces, Kernel, Source, ask_kernel, list_addresses};

/// An address of this host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalAddress {
    /// The address.
    pub ip: IpAddr,
    /// An address on the link: its own, or that of the other end of a point-to-point device.
    pub link: IpAddr,
    /// How many bits of it are those of the network.
    pub prefix: u8,
    /// The device that has it.
    pub device: String,
}

impl LocalAddress {
    /// The network's own address and its broadcast address, where hosts cannot have them: not of a /31 or /32, and of IPv4 only.
    fn reserved_addresses(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let IpAddr::V4(link) = self.link else { return None };
        let network = Ipv4Net::new(link, self.prefix).ok().filter(|network| network.prefix_len() < 31)?;
        Some((network.network(), network.broadcast()))
    }

    fn reaches(&self, ip: IpAddr) -> bool {
        IpNet::new(self.link, self.prefix).is_ok_and(|network| network.contains(&ip))
    }
}

/// The rule that an address breaks as that of another host; it reads on from a field's name.
pub fn not_another_host(remote: IpAddr, local: &[LocalAddress]) -> Option<String> {
    if local.iter().any(|own| own.ip == remote) {
        return Some("must be another host's address, and this is one of this host's".to_owned());
    }
    // As the kernel's routes go: the smallest network that has it.
    let on_link = local.iter().filter(|own| own.reaches(remote)).max_by_key(|own| own.prefix)?;
    let (network, broadcast) = on_link.reserved_addresses()?;
    let what =
        [(network, "network"), (broadcast, "broadcast")].into_iter().find(|(ip, _)| IpAddr::V4(*ip) == remote)?.1;
    let LocalAddress { link, prefix, device, .. } = on_link;
    Some(format!("must be another host's address, and this is the {what} address of {link}/{prefix} on {device}"))
}

impl Interfaces {
    /// Every address of this host, loopback included and link-local ones of IPv6 left out, each with its network.
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
                let question = async |handle: Handle| kernel_addresses(&handle).await;
                Ok(own.keep_addresses(ask_kernel(connection, "the addresses of this host", question).await?))
            }
        }
    }
}

fn fixed_address(device: &ovstunnel_api::Interface) -> Option<LocalAddress> {
    let ip: IpAddr = device.ip.as_deref()?.parse().ok()?;
    let mask = device.netmask.as_deref().and_then(|mask| mask.parse().ok());
    let prefix = mask.and_then(|mask| ipnet::ip_mask_to_prefix(mask).ok());
    Some(LocalAddress {
        ip,
        link: ip,
        prefix: prefix.unwrap_or(IpNet::from(ip).prefix_len()),
        device: device.device.clone(),
    })
}

async fn kernel_addresses(handle: &Handle) -> Result<Vec<LocalAddress>, rtnetlink::Error> {
    let mut found = Vec::new();
    for message in list_addresses(handle, None).await? {
        let Some(mut address) = parse_address(&message) else { continue };
        // Only those of IPv4 come with the name of their device.
        if address.device.is_empty() {
            address.device = device_name(handle, message.header.index).await?;
        }
        found.push(address);
    }
    Ok(found)
}

/// The name of a device; nothing where it is gone by now.
async fn device_name(handle: &Handle, index: u32) -> Result<String, rtnetlink::Error> {
    let answers: Result<Vec<_>, _> = handle.link().get().match_index(index).execute().try_collect().await;
    let links = match answers {
        Err(rtnetlink::Error::NetlinkError(error)) if error.raw_code() == -(nix::errno::Errno::ENODEV as i32) => vec![],
        answers => answers?,
    };
    let mut attributes = links.into_iter().flat_map(|link| link.attributes);
    let name = attributes.find_map(|one| if let LinkAttribute::IfName(name) = one { Some(name) } else { None });
    Ok(name.unwrap_or_default())
}

fn parse_address(message: &AddressMessage) -> Option<LocalAddress> {
    let (mut link, mut device) = (None, String::new());
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Address(ip) => link = Some(*ip),
            // A label may have a part of its own behind the device's name, as in `eth0:1`.
            AddressAttribute::Label(label) => label.split(':').next().unwrap_or_default().clone_into(&mut device),
            _ => {}
        }
    }
    let ip = local_address(message)?;
    let link_local = matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local());
    (!link_local).then(|| LocalAddress { ip, link: link.unwrap_or(ip), prefix: message.header.prefix_len, device })
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
        let six = [on("2001:db8::1", 64), on("10.0.0.5", 24)];
        let refused = |ip: &str| not_another_host(ip.parse().unwrap(), &six);
        assert!(refused("2001:db8:0::1").is_some_and(|rule| rule.contains("one of this host's")));
        assert_eq!([refused("2001:db8::2"), refused("2001:db8::ffff:ffff:ffff:ffff")], [None, None]);
        let all = [on("10.0.0.5", 0)];
        assert!(not_another_host([255; 4].into(), &all).is_some());
        assert_eq!(not_another_host([10, 0, 0, 255].into(), &all), None);
    }
}
