//! How packets to other hosts leave this one: route, device, source address, next hop. Asks the kernel's tables; must not
//! send a packet.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures_util::TryStreamExt;
use nix::errno::Errno;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};
use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage, NeighbourState};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};

use super::{Error, Interfaces, Kernel, Source, ask_kernel};

/// The way of packets to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Device by which they leave.
    pub device: String,
    /// MTU of that device, in bytes; 0 where it is not known.
    pub mtu: u32,
    /// The address that they have as their source.
    pub source: Option<IpAddr>,
    /// The address whose hardware address is needed: a router's, or the other end's own.
    pub next_hop: IpAddr,
    /// The address is this host's own.
    pub local: bool,
    /// What the kernel knows of the next hop.
    pub neighbour: Neighbour,
}

/// What the kernel knows of a next hop on the link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Neighbour {
    /// It has answered, now or some time ago.
    Known,
    /// Nobody has asked for it lately.
    Unknown,
    /// It was asked for and did not answer.
    Silent,
}

impl Interfaces {
    /// The way to each of these addresses; none where there is no route.
    ///
    /// # Errors
    /// When the kernel cannot be asked.
    pub async fn routes(&self, to: Vec<IpAddr>) -> Result<BTreeMap<IpAddr, Option<Route>>, Error> {
        match &self.0 {
            Source::Fixed(devices) => {
                let device = devices.first().map(|device| (device.device.clone(), device.mtu, device.ip.clone()));
                Ok(to.into_iter().map(|ip| (ip, device.clone().map(|device| fixed_route(ip, device)))).collect())
            }
            Source::Kernel(Kernel { connection, .. }) => {
                let question = async |handle: Handle| kernel_routes(&handle, to).await;
                ask_kernel(connection, "the routes to other hosts", question).await
            }
        }
    }
}

fn fixed_route(ip: IpAddr, (device, mtu, source): (String, u32, Option<String>)) -> Route {
    let source =
        source.and_then(|source| source.parse().ok()).filter(|source: &IpAddr| source.is_ipv4() == ip.is_ipv4());
    Route { device, mtu, source, next_hop: ip, local: source == Some(ip), neighbour: Neighbour::Known }
}

async fn kernel_routes(handle: &Handle, to: Vec<IpAddr>) -> Result<BTreeMap<IpAddr, Option<Route>>, rtnetlink::Error> {
    let links: HashMap<u32, (String, u32)> =
        handle.link().get().execute().map_ok(|link| (link.header.index, name_and_mtu(&link))).try_collect().await?;
    let neighbours: Vec<NeighbourMessage> = handle.neighbours().get().execute().try_collect().await?;
    let silent = neighbours.iter().filter_map(parse_neighbour).collect::<HashMap<_, _>>();
    let mut found = BTreeMap::new();
    for ip in to {
        let message = find_route(handle, ip).await?;
        found.insert(ip, message.map(|message| build_route(ip, &message, &links, &silent)));
    }
    Ok(found)
}

async fn find_route(handle: &Handle, to: IpAddr) -> Result<Option<RouteMessage>, rtnetlink::Error> {
    let question = match to {
        IpAddr::V4(to) => RouteMessageBuilder::<Ipv4Addr>::new().destination_prefix(to, 32).build(),
        IpAddr::V6(to) => RouteMessageBuilder::<Ipv6Addr>::new().destination_prefix(to, 128).build(),
    };
    let answers: Result<Vec<_>, _> = handle.route().get(question).execute().try_collect().await;
    let unreachable = [Errno::ENETUNREACH, Errno::EHOSTUNREACH, Errno::EINVAL, Errno::EACCES];
    // A kernel without IPv6.
    let no_family = [Errno::EAFNOSUPPORT, Errno::EOPNOTSUPP];
    let no_way: Vec<i32> = unreachable.into_iter().chain(no_family).map(|errno| -(errno as i32)).collect();
    match answers {
        Ok(answers) => Ok(answers.into_iter().next()),
        // What a route that is `unreachable`, `blackhole` or `prohibit` says, too.
        Err(rtnetlink::Error::NetlinkError(error)) if no_way.contains(&error.raw_code()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn name_and_mtu(link: &LinkMessage) -> (String, u32) {
    let (mut name, mut mtu) = (String::new(), 0);
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(text) => name.clone_from(text),
            LinkAttribute::Mtu(bytes) => mtu = *bytes,
            _ => {}
        }
    }
    (name, mtu)
}

/// Device and address of a neighbour, and what is known of it.
fn parse_neighbour(message: &NeighbourMessage) -> Option<((u32, IpAddr), Neighbour)> {
    let address = message.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(ip)) => Some(IpAddr::V4(*ip)),
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(ip)) => Some(IpAddr::V6(*ip)),
        _ => None,
    })?;
    let state = match message.header.state {
        NeighbourState::Failed | NeighbourState::Incomplete => Neighbour::Silent,
        NeighbourState::None => Neighbour::Unknown,
        _ => Neighbour::Known,
    };
    Some(((message.header.ifindex, address), state))
}

fn ip_address(address: &RouteAddress) -> Option<IpAddr> {
    match address {
        RouteAddress::Inet(ip) => Some(IpAddr::V4(*ip)),
        RouteAddress::Inet6(ip) => Some(IpAddr::V6(*ip)),
        _ => None,
    }
}

fn build_route(
    to: IpAddr,
    message: &RouteMessage,
    links: &HashMap<u32, (String, u32)>,
    neighbours: &HashMap<(u32, IpAddr), Neighbour>,
) -> Route {
    let (mut index, mut source, mut next_hop) = (0, None, to);
    for attribute in &message.attributes {
        match attribute {
            RouteAttribute::Oif(device) => index = *device,
            RouteAttribute::PrefSource(address) => source = ip_address(address),
            RouteAttribute::Gateway(address) => next_hop = ip_address(address).unwrap_or(next_hop),
            _ => {}
        }
    }
    let (device, mtu) = links.get(&index).cloned().unwrap_or_else(|| (format!("device {index}"), 0));
    let neighbour = neighbours.get(&(index, next_hop)).copied().unwrap_or(Neighbour::Unknown);
    Route { device, mtu, source, next_hop, local: message.header.kind == RouteType::Local, neighbour }
}
