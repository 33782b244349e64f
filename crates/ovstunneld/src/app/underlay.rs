//! Has the writer know the network that carries the tunnels, and follow its changes.
//!
//! What it does: from the mirror it takes which tunnels there are, from the kernel by which device and from which address
//! each goes; again whenever one of the two tells of a change. What it must not do: make the writer believe that something is
//! gone because it could not be asked for, or take more than a small part of the processor, however fast changes come.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ovstunnel_ovs::{Observer, TunnelAddresses};
use ovstunnel_plan::{Mac, TunnelEnd, Underlay};
use tokio::time::Instant;

use crate::host::{Device, Error, Interfaces, Monitor, Route};
use crate::writer::Tuned;

/// The shortest time between two looks, and how often longer than a look the time until the next one is.
const PAUSE: (Duration, u32) = (Duration::from_millis(50), 20);

/// How long until what could not be asked is asked again.
const AGAIN: Duration = Duration::from_secs(5);

/// What the database says of bridges and tunnels.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Wanted {
    bridges: Vec<String>,
    tunnels: TunnelAddresses,
}

impl Wanted {
    /// Nothing as long as the database is not known.
    fn from_database(observer: &Observer) -> Option<Self> {
        let known = observer.watch_health().borrow().database.is_ok();
        known.then(|| observer.read(|db| Wanted { bridges: db.bridge_names(), tunnels: db.tunnel_addresses() }))
    }
}

/// Looks once.
///
/// # Errors
/// When the kernel cannot be asked.
pub(crate) async fn read_underlay(interfaces: &Interfaces, observer: &Observer) -> Result<Option<Underlay>, Error> {
    let Some(wanted) = Wanted::from_database(observer) else { return Ok(None) };
    Ends::default().read_ends(interfaces, &wanted, true).await.map(Some)
}

/// Follows the underlay until the writer has ended.
pub(crate) async fn follow_underlay(interfaces: Arc<Interfaces>, observer: Observer, writer: Tuned) {
    if interfaces.can_change() {
        let until = writer.clone();
        tokio::select! {
            () = until.wait_ended() => {}
            () = Follower { interfaces, observer, writer, ends: Ends::default(), monitor: None, said: false }.run() => {}
        }
    }
}

struct Follower {
    interfaces: Arc<Interfaces>,
    observer: Observer,
    writer: Tuned,
    ends: Ends,
    monitor: Option<Monitor>,
    /// The log was told that the kernel cannot be asked.
    said: bool,
}

impl Follower {
    async fn run(mut self) {
        let (mut revision, mut health) = (self.observer.watch_revision(), self.observer.watch_health());
        let (mut looked_for, mut due) = (None, true);
        loop {
            revision.borrow_and_update();
            health.borrow_and_update();
            let (wanted, begun) = (Wanted::from_database(&self.observer), Instant::now());
            if let Some(wanted) = wanted.filter(|wanted| due || looked_for.as_ref() != Some(wanted)) {
                due = !self.refresh_underlay(&wanted, due).await;
                looked_for = Some(wanted);
                tokio::time::sleep(PAUSE.0.max(begun.elapsed().saturating_mul(PAUSE.1))).await;
            }
            tokio::select! {
                there = next_change(&mut self.monitor) => {
                    due = true;
                    if !there {
                        self.monitor = None;
                    }
                }
                Ok(()) = revision.changed() => {}
                Ok(()) = health.changed() => {}
                () = tokio::time::sleep(AGAIN), if due => {}
            }
        }
    }

    /// Looks, and tells the writer; false where it is to be done again. `anew`: the kernel may answer otherwise than before.
    async fn refresh_underlay(&mut self, wanted: &Wanted, anew: bool) -> bool {
        let monitor = match self.monitor.take() {
            Some(monitor) => Ok(monitor),
            // Before the look: nothing is missed between the two.
            None => self.interfaces.monitor(),
        };
        let looked = match monitor {
            Ok(monitor) => {
                self.monitor = Some(monitor);
                self.ends.read_ends(&self.interfaces, wanted, anew).await
            }
            Err(error) => Err(error),
        };
        match looked {
            Ok(underlay) => self.writer.set_underlay(underlay),
            Err(error) if !self.said => {
                self.said = true;
                let error = ovstunnel_types::text::error_chain(&error);
                tracing::warn!(%error, "the underlay cannot be followed; the flows that guard it stay as they are");
                return false;
            }
            Err(_) => return false,
        }
        if std::mem::take(&mut self.said) {
            tracing::info!("the underlay is followed again");
        }
        true
    }
}

/// The next change, or nothing for ever where there are none.
pub(super) async fn next_change(monitor: &mut Option<Monitor>) -> bool {
    match monitor {
        Some(monitor) => monitor.wait_change().await,
        None => std::future::pending().await,
    }
}

/// The end of each tunnel by the address of its other end. One whose way is gone for now keeps what it had.
#[derive(Debug, Default)]
struct Ends {
    by_remote: BTreeMap<IpAddr, TunnelEnd>,
    /// MTU of the device by which packets to each of those leave.
    mtus: BTreeMap<IpAddr, u32>,
    /// What the kernel has answered since it last told of a change.
    devices: Vec<Device>,
    routes: BTreeMap<IpAddr, Option<Route>>,
}

impl Ends {
    /// Asks the kernel what it was not asked since it last told of a change, and `anew` for everything: each tunnel is a question of
    /// its own, and a host may have thousands.
    async fn read_ends(&mut self, interfaces: &Interfaces, wanted: &Wanted, anew: bool) -> Result<Underlay, Error> {
        if anew {
            // Where the second question fails, nothing of before is taken for an answer.
            self.routes.clear();
            self.devices = interfaces.devices().await?;
        }
        let remotes = &wanted.tunnels.remotes;
        self.routes.retain(|remote, _| remotes.contains(remote));
        let new: Vec<IpAddr> = remotes.iter().copied().filter(|remote| !self.routes.contains_key(remote)).collect();
        if !new.is_empty() {
            self.routes.extend(interfaces.routes(new).await?);
        }
        let (devices, routes) = (std::mem::take(&mut self.devices), std::mem::take(&mut self.routes));
        let underlay = self.update_ends(&devices, &routes, wanted);
        (self.devices, self.routes) = (devices, routes);
        Ok(underlay)
    }

    fn update_ends(
        &mut self,
        devices: &[Device],
        routes: &BTreeMap<IpAddr, Option<Route>>,
        wanted: &Wanted,
    ) -> Underlay {
        let mac = |device: &Device| device.mac.as_deref()?.parse::<Mac>().ok();
        let by_name: BTreeMap<&str, &Device> = devices.iter().map(|device| (device.name.as_str(), device)).collect();
        let mac_of = |name: &str| by_name.get(name).copied().and_then(mac);
        self.by_remote.retain(|remote, _| wanted.tunnels.remotes.contains(remote));
        self.mtus.retain(|remote, _| wanted.tunnels.remotes.contains(remote));
        for (remote, route) in routes.iter().filter_map(|(remote, route)| Some((remote, route.as_ref()?))) {
            let (Some(address), Some(mac)) = (route.source, mac_of(&route.device)) else { continue };
            if !route.local {
                self.mtus.extend((route.mtu > 0).then_some((*remote, route.mtu)));
                self.by_remote.insert(*remote, TunnelEnd { device: route.device.clone(), mac, address });
            }
        }
        for end in self.by_remote.values_mut() {
            end.mac = mac_of(&end.device).unwrap_or(end.mac);
        }
        let local = |address: &IpAddr| {
            let device = devices.iter().find(|device| device.addresses.contains(address))?;
            Some(TunnelEnd { device: device.name.clone(), mac: mac(device)?, address: *address })
        };
        let ends: BTreeSet<TunnelEnd> =
            self.by_remote.values().cloned().chain(wanted.tunnels.locals.iter().filter_map(local)).collect();
        // Open vSwitch takes tunnels' packets apart at each address of the host, as soon as there is one tunnel.
        let mut others = BTreeSet::new();
        if !ends.is_empty() {
            // Those of IPv6 only where a packet that came in by it would be taken for one of a tunnel; link-local ones the flows know.
            let ipv6 = ends.iter().any(|end| end.address.is_ipv6());
            let counts = move |ip: &IpAddr| match ip {
                IpAddr::V4(ip) => !ip.is_loopback(),
                IpAddr::V6(ip) => ipv6 && !ip.is_loopback() && !ip.is_unicast_link_local(),
            };
            let all = devices.iter().filter_map(|device| Some((device, mac(device)?)));
            others.extend(all.flat_map(|(device, mac)| {
                let end = move |address| TunnelEnd { device: device.name.clone(), mac, address };
                device.addresses.iter().copied().filter(counts).map(end)
            }));
        }
        let own = |name: &String| Some((name.clone(), mac_of(name)?));
        let others = others.difference(&ends).cloned().collect();
        let udp_ports = wanted.tunnels.udp_ports.clone();
        let own = wanted.bridges.iter().filter_map(own).collect();
        Underlay { ends, others, udp_ports, own, mtus: self.mtus.clone() }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::host::Neighbour;

    fn device(name: &str, mac: &str, addresses: &[&str]) -> Device {
        let addresses = addresses.iter().map(|ip| ip.parse().unwrap()).collect();
        Device { name: name.to_owned(), mac: Some(mac.to_owned()), addresses }
    }

    fn route(device: &str, source: [u8; 4]) -> Option<Route> {
        let (source, next_hop) = (Some(source.into()), IpAddr::from([127, 0, 0, 1]));
        let neighbour = Neighbour::Known;
        Some(Route { device: device.to_owned(), mtu: 1500, source, next_hop, local: false, neighbour })
    }

    const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
    const C: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 9, 0, 3));

    fn wanted(locals: &[IpAddr]) -> Wanted {
        let locals = locals.iter().copied().collect();
        let tunnels = TunnelAddresses { remotes: [B, C].into(), locals, udp_ports: BTreeSet::new() };
        Wanted { bridges: vec!["xapi1".to_owned(), "br-phy".to_owned()], tunnels }
    }

    fn told(underlay: &Underlay) -> Vec<(&str, String, String)> {
        let ends = underlay.ends.iter();
        ends.map(|end| (end.device.as_str(), end.mac.to_string(), end.address.to_string())).collect()
    }

    #[test]
    fn each_way_gives_its_device_and_address_once() {
        let devices = [device("br-phy", "0a:00:00:00:00:01", &["10.0.0.1"]), device("xapi1", "0a:00:00:00:00:07", &[])];
        let routes = [(B, route("br-phy", [10, 0, 0, 1])), (C, route("br-phy", [10, 0, 0, 1]))].into();
        let underlay = Ends::default().update_ends(&devices, &routes, &wanted(&[]));
        let end = ("br-phy", "0a:00:00:00:00:01".to_owned(), "10.0.0.1".to_owned());
        assert_eq!(told(&underlay), std::slice::from_ref(&end));
        assert_eq!(underlay.own.len(), 2);
        let more = [devices[0].clone(), device("mgmt0", "0a:00:00:00:00:09", &["198.51.100.1", "fe80::1"])];
        let all = Ends::default().update_ends(&more, &routes, &wanted(&[]));
        assert_eq!(told(&all), std::slice::from_ref(&end));
        let others: Vec<_> = all.others.iter().map(|end| (end.device.as_str(), end.address.to_string())).collect();
        assert_eq!(others, [("mgmt0", "198.51.100.1".to_owned())], "each other IPv4 address");
        assert!(
            Ends::default().update_ends(&more, &BTreeMap::new(), &wanted(&[])).ends.is_empty(),
            "no tunnel has a way"
        );
        let two = [(B, route("br-phy", [10, 0, 0, 1])), (C, route("xapi1", [10, 9, 0, 1]))].into();
        assert_eq!(Ends::default().update_ends(&devices, &two, &wanted(&[])).ends.len(), 2);
        let fixed = Ends::default().update_ends(&devices, &BTreeMap::new(), &wanted(&[[10, 0, 0, 1].into()]));
        assert_eq!(told(&fixed), [end], "options:local_ip");
    }

    #[test]
    fn a_way_that_is_gone_keeps_its_end_and_follows_the_device() {
        let mut ends = Ends::default();
        let routes = [(B, route("br-phy", [10, 0, 0, 1])), (C, None)].into();
        ends.update_ends(&[device("br-phy", "0a:00:00:00:00:01", &["10.0.0.1"])], &routes, &wanted(&[]));
        let gone = [(B, None), (C, None)].into();
        let underlay = ends.update_ends(&[device("br-phy", "0a:00:00:00:00:02", &[])], &gone, &wanted(&[]));
        assert_eq!(told(&underlay), [("br-phy", "0a:00:00:00:00:02".to_owned(), "10.0.0.1".to_owned())]);
        let underlay = ends.update_ends(&[], &gone, &wanted(&[]));
        assert_eq!(underlay.ends.len(), 1, "the device is gone for now");
        let none = Wanted { bridges: vec![], tunnels: TunnelAddresses::default() };
        assert!(ends.update_ends(&[], &BTreeMap::new(), &none).ends.is_empty(), "no tunnel goes there any more");
    }

    fn host(device: &str, ip: &str) -> Interfaces {
        let (label, mac) = (device.to_owned(), Some("0a:00:00:00:00:01".to_owned()));
        let ip = Some(ip.to_owned());
        Interfaces::of_list(vec![ovstunnel_api::Interface {
            device: label.clone(),
            label,
            ip,
            netmask: None,
            ipv6: None,
            mac,
            mtu: 1500,
            max_guest_mtu: 1458,
        }])
    }

    #[tokio::test]
    async fn only_what_is_new_is_asked_until_the_kernel_tells_of_a_change() {
        let (before, now) = (host("eth0", "10.0.0.1"), host("eth1", "10.9.0.1"));
        let of_one = Wanted {
            tunnels: TunnelAddresses { remotes: [B].into(), ..TunnelAddresses::default() },
            ..Wanted::default()
        };
        let mut ends = Ends::default();
        ends.read_ends(&before, &of_one, true).await.unwrap();
        let told_by = async |ends: &mut Ends, anew| {
            let underlay = ends.read_ends(&now, &wanted(&[]), anew).await.unwrap();
            let by_remote =
                ends.by_remote.iter().map(|(remote, end)| (*remote, end.device.clone())).collect::<Vec<_>>();
            (underlay.ends.len(), by_remote)
        };
        // The device of the second question is not among those that were there before it, so it has no end yet.
        assert_eq!(told_by(&mut ends, false).await, (1, vec![(B, "eth0".to_owned())]));
        assert_eq!(ends.routes.keys().copied().collect::<Vec<_>>(), [B, C]);
        assert_eq!(told_by(&mut ends, true).await, (1, vec![(B, "eth1".to_owned()), (C, "eth1".to_owned())]));
    }
}
