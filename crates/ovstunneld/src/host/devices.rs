//! All devices of the host with their addresses, and a monitor of their changes. Must not keep what it was told.

use std::collections::HashMap;
use std::net::IpAddr;

use futures_util::{FutureExt, StreamExt, TryStreamExt};
use rtnetlink::packet_core::NetlinkMessage;
use rtnetlink::packet_route::RouteNetlinkMessage;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage};
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::{Handle, MulticastGroup};
use tokio::task::JoinHandle;

use super::{Error, Interfaces, Kernel, Source, ask_kernel, colon_hex};

/// What the way of tunnels depends on.
const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv6Rule,
];

/// A network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its name.
    pub name: String,
    /// Its Ethernet address, where it has one.
    pub mac: Option<String>,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
}

impl Interfaces {
    /// All devices with all their addresses.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn devices(&self) -> Result<Vec<Device>, Error> {
        match &self.0 {
            Source::Fixed(devices) => {
                let addresses = |ip: &Option<String>| ip.iter().filter_map(|ip| ip.parse().ok()).collect();
                let device = |d: &ovstunnel_api::Interface| Device {
                    name: d.device.clone(),
                    mac: d.mac.clone(),
                    addresses: addresses(&d.ip),
                };
                Ok(devices.iter().map(device).collect())
            }
            Source::Kernel(Kernel { connection, .. }) => {
                ask_kernel(connection, "the devices of this host", async |handle: Handle| kernel_devices(&handle).await)
                    .await
            }
        }
    }

    /// Whether what is told can change.
    pub fn can_change(&self) -> bool {
        matches!(self.0, Source::Kernel(_))
    }

    /// Tells of changes of devices, addresses and routes from now on.
    ///
    /// # Errors
    /// When the kernel cannot be asked for them.
    pub fn monitor(&self) -> Result<Monitor, Error> {
        let (connection, _, messages) = rtnetlink::new_multicast_connection(&GROUPS).map_err(Error::Open)?;
        Ok(Monitor { messages: messages.map(drop_message as fn(_)).boxed(), reader: tokio::spawn(connection) })
    }
}

fn drop_message<A>(_: (NetlinkMessage<RouteNetlinkMessage>, A)) {}

/// That something has changed; also where the kernel had more to tell than could be read.
pub struct Monitor {
    messages: futures_util::stream::BoxStream<'static, ()>,
    reader: JoinHandle<()>,
}

impl Monitor {
    /// Waits for the next, and takes all others that are there with it; false where none will come any more.
    pub async fn wait_change(&mut self) -> bool {
        let first = self.messages.next().await.is_some();
        while self.messages.next().now_or_never().flatten().is_some() {}
        first
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.reader.abort();
    }
}

async fn kernel_devices(handle: &Handle) -> Result<Vec<Device>, rtnetlink::Error> {
    let links: Vec<LinkMessage> = handle.link().get().execute().try_collect().await?;
    let messages: Vec<AddressMessage> = handle.address().get().execute().try_collect().await?;
    let mut addresses: HashMap<u32, Vec<IpAddr>> = HashMap::new();
    for message in &messages {
        addresses.entry(message.header.index).or_default().extend(local_address(message));
    }
    let device = |link: &LinkMessage| {
        let mut device = Device { name: String::new(), mac: None, addresses: Vec::new() };
        for attribute in &link.attributes {
            match attribute {
                LinkAttribute::IfName(name) => device.name.clone_from(name),
                LinkAttribute::Address(bytes) if bytes.len() == 6 => device.mac = Some(colon_hex(bytes)),
                _ => {}
            }
        }
        device.addresses = addresses.remove(&link.header.index).unwrap_or_default();
        device
    };
    Ok(links.iter().map(device).collect())
}

/// The address itself: `Local`, since on a point-to-point device `Address` is the other end's.
pub(super) fn local_address(message: &AddressMessage) -> Option<IpAddr> {
    let mut address = None;
    for attribute in &message.attributes {
        match attribute {
            AddressAttribute::Local(ip) => return Some(*ip),
            AddressAttribute::Address(ip) => address = Some(*ip),
            _ => {}
        }
    }
    address
}
