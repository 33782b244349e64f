//! IPv6 'drop' means drop: no guest takes an address by a router advertisement, behind whatever VLAN tags; what is no IPv6 passes.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, VPC_BRIDGE, VpcCloud, our_flows};
use ovstunnel_lab::{Content, DEADLINE, Delivery, Host, Kind, Probe, Vm, VmSpec, Wrapped, run, wait_until};

/// The types of a VLAN tag from behind which a Linux guest takes what it is sent.
const TAGS: [u16; 2] = [0x8100, 0x88a8];

/// Every mix of up to four tags.
fn mixes() -> Vec<Vec<u16>> {
    let mut all: Vec<Vec<u16>> = vec![vec![]];
    let mut longest = all.clone();
    for _ in 0..4 {
        longest = longest.iter().flat_map(|mix| TAGS.map(|tag| [&mix[..], &[tag]].concat())).collect();
        all.extend(longest.clone());
    }
    all
}

/// One router advertisement behind each mix of tags, each of another prefix from `first` on.
fn advertise(cloud: &Cloud, router: &Vm, first: u16) -> Result<()> {
    let wrapped = (first..).zip(mixes()).map(|(number, tags)| Wrapped::advertisement(number, &tags));
    let probes: Vec<Probe> = wrapped.map(|wrapped| Probe::new(router, Kind::Wrapped(wrapped))).collect();
    cloud.lab().deliver_all(&probes).map(drop)
}

/// Prefixes from `2001:db8::/48` of which a guest has taken an address, in hexadecimal digits.
fn taken(guest: &Vm) -> Result<Vec<String>> {
    let mut command = guest.command("ip");
    command.args(["-6", "-o", "address", "show", "dev", "eth0", "scope", "global"]);
    let shown = run(command, DEADLINE)?;
    let prefix = |line: &str| Some(line.split("2001:db8:0:").nth(1)?.split(':').next()?.to_owned());
    // Its own fixed address is none of them.
    Ok(shown.lines().filter_map(prefix).filter(|number| number != "ffff").collect())
}

/// A guest that would take any address; it has one of its own in a network of its own, so that its kernel speaks IPv6.
fn guest(number: u16) -> Result<VmSpec> {
    Ok(VmSpec::numbered(number).ipv6(format!("2001:db8:0:ffff::{number}").parse()?))
}

fn accept(guest: &Vm) -> Result<()> {
    let mut command = guest.command("sysctl");
    let each = ["accept_ra=2", "autoconf=1", "max_addresses=0"].map(|set| format!("net.ipv6.conf.eth0.{set}"));
    command.args(["-q", "-w"]).args(each);
    run(command, DEADLINE).map(drop)
}

fn vlan_limit(host: &Host, limit: u8) -> Result<()> {
    let limit = format!("other_config:vlan-limit={limit}");
    host.vsctl(["set", "Open_vSwitch", ".", &limit]).map(drop)
}

#[test]
fn no_guest_of_a_network_takes_an_address_behind_any_tags() -> Result<()> {
    let cloud = Cloud::new("tags", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    let open = Network::numbered(2, Ipv6Policy::Allow);
    let (mut routers, mut guests) = (Vec::new(), Vec::new());
    for (n, network) in [(10, &network), (20, &open)] {
        cloud.mesh(network, &[1, 2])?;
        routers.push(cloud.plug(network, 1, n)?);
        for (host, number) in [(1, n + 1), (2, n + 2)] {
            let spec = guest(number)?.network(&network.bridge);
            let vm = cloud.node(host)?.host().plug_vm(&network.bridge, &format!("vif{number}.0"), spec)?;
            accept(&vm)?;
            cloud.wait_for_rules(network, host)?;
            guests.push(vm);
        }
    }
    for limit in [1, 2, 0] {
        cloud.nodes().iter().try_for_each(|node| vlan_limit(node.host(), limit))?;
        let first = u16::from(limit) * 0x100 + 1;
        routers.iter().try_for_each(|router| advertise(&cloud, router, first))?;
        // Where IPv6 is allowed they take them, on both hosts: the advertisements are good ones.
        for guest in &guests[2..] {
            wait_until(format!("{guest} to take an address"), Duration::from_secs(20), || match taken(guest)? {
                taken if taken.iter().any(|prefix| *prefix == format!("{first:x}")) => Ok(()),
                taken => Err(anyhow!("{taken:?}")),
            })?;
        }
        println!("vlan-limit={limit}, allow: {:?}, {:?}", taken(&guests[2])?, taken(&guests[3])?);
        for guest in &guests[..2] {
            let taken = taken(guest)?;
            ensure!(taken.is_empty(), "vlan-limit={limit}: {guest} has taken {taken:?}");
        }
    }
    ensure!(taken(&guests[2])?.len() > 3, "behind tags none is taken anywhere: {:?}", taken(&guests[2])?);
    Ok(())
}

#[test]
fn no_guest_of_a_vpc_takes_an_address_behind_any_tags() -> Result<()> {
    let vpc = VpcCloud::new("tagsvpc", NodeConfig::default())?;
    let cloud = vpc.cloud();
    let guests = [vpc.vm(1, 2)?, vpc.vm(1, 3)?, vpc.vm(2, 1)?];
    for guest in guests {
        let mut command = guest.command("sysctl");
        command.args(["-q", "-w", "net.ipv6.conf.all.disable_ipv6=0", "net.ipv6.conf.eth0.disable_ipv6=0"]);
        run(command, DEADLINE)?;
        accept(guest)?;
    }
    let router = vpc.vm(1, 1)?;
    for limit in [1, 2, 0] {
        cloud.nodes().iter().try_for_each(|node| vlan_limit(node.host(), limit))?;
        advertise(cloud, router, u16::from(limit) * 0x100 + 1)?;
    }
    for guest in guests {
        ensure!(taken(guest)?.is_empty(), "{guest} has taken {:?}", taken(guest)?);
    }
    // That it is these flows that keep it from them.
    for node in cloud.nodes() {
        node.kill();
        node.host().ofctl(["del-flows", VPC_BRIDGE, "cookie=0x6f76737404000000/0xffffffffff000000"])?;
    }
    advertise(cloud, router, 0x401)?;
    wait_until("a guest to take an address without the flows", Duration::from_secs(20), || match taken(guests[0])? {
        taken if taken.len() > 3 => Ok(()),
        taken => Err(anyhow!("{taken:?}")),
    })
}

/// What is sent, and whether it arrives.
fn passes(cloud: &Cloud, from: &Vm, to: &Vm, tags: &[(u16, u16)], content: Content) -> Result<bool> {
    let mut wrapped = Wrapped::plain(to.mac(), content);
    wrapped.tags.iter_mut().zip(tags).for_each(|(place, tag)| *place = Some(*tag));
    let delivery: Delivery = cloud.lab().deliver(from, Kind::Wrapped(wrapped))?;
    Ok(delivery.copies_at(to) == 1)
}

/// Types of Ethernet that are opaque to Open vSwitch, as guests use them: MPLS (two kinds), an older VLAN tag, IS-IS over LLC.
const OPAQUE: [Content; 4] = [
    Content::Type(0x8847, &[0, 1, 1, 64]),
    Content::Type(0x8848, &[0, 1, 1, 64]),
    Content::Type(0x9100, &[0, 5, 8, 0]),
    Content::Type(55, &[0xfe, 0xfe, 0x03]),
];

#[test]
fn what_is_no_ipv6_passes_as_far_as_the_guide_says() -> Result<()> {
    let cloud = Cloud::with_config("qinq", 2, NodeConfig { ipv6_drop_opaque: false, ..NodeConfig::default() })?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    let [from, here, there] = [cloud.plug(&network, 1, 1)?, cloud.plug(&network, 1, 2)?, cloud.plug(&network, 2, 3)?];
    cloud.lab().announce_all()?;
    let ip = Content::Ipv4(Ipv4Addr::new(10, 1, 0, 99));
    for (limit, qinq) in [(1, false), (2, true)] {
        cloud.nodes().iter().try_for_each(|node| vlan_limit(node.host(), limit))?;
        for to in [&here, &there] {
            for tag in TAGS {
                ensure!(passes(&cloud, &from, to, &[(tag, 5)], ip)?, "vlan-limit={limit}: one tag {tag:#x} to {to}");
            }
            for tags in [[(0x88a8, 5), (0x8100, 6)], [(0x8100, 5), (0x8100, 6)]] {
                let passed = passes(&cloud, &from, to, &tags, ip)?;
                ensure!(passed == qinq, "vlan-limit={limit}: {tags:?} to {to}: {passed}");
            }
            ensure!(!passes(&cloud, &from, to, &[(0x88a8, 5), (0x8100, 6), (0x8100, 7)], ip)?, "three tags");
            for content in OPAQUE {
                ensure!(passes(&cloud, &from, to, &[], content)?, "vlan-limit={limit}: {content:?} to {to}");
            }
        }
    }
    Ok(())
}

#[test]
fn what_is_opaque_is_dropped_where_that_is_asked_for() -> Result<()> {
    let cloud = Cloud::with_config("opaque", 2, NodeConfig { ipv6_drop_opaque: true, ..NodeConfig::default() })?;
    let networks = [Network::numbered(1, Ipv6Policy::Drop), Network::numbered(2, Ipv6Policy::Allow)];
    for (n, network) in (1..).zip(&networks) {
        cloud.mesh(network, &[1, 2])?;
        let plug = |host, vm: u16| {
            let spec = VmSpec::numbered(vm).network(&network.bridge);
            cloud.node(host)?.host().plug_vm(&network.bridge, &format!("vif{vm}.0"), spec)
        };
        let [from, here, there] = [plug(1, n * 10)?, plug(1, n * 10 + 1)?, plug(2, n * 10 + 2)?];
        let host = cloud.node(1)?.host();
        wait_until("the rules of both VMs", Duration::from_secs(20), || {
            let flows = our_flows(host, &network.bridge)?.join("\n");
            if flows.matches("in_port=").count() == 2 { Ok(()) } else { Err(anyhow!("{flows}")) }
        })?;
        cloud.lab().announce_all()?;
        for to in [&here, &there] {
            for content in OPAQUE {
                let (passed, drops) = (passes(&cloud, &from, to, &[], content)?, network.ipv6 == Ipv6Policy::Drop);
                ensure!(passed != drops, "{content:?} to {to}: {passed}");
            }
            let ip = Content::Ipv4(Ipv4Addr::new(10, 1, 0, 99));
            ensure!(passes(&cloud, &from, to, &[], ip)? && passes(&cloud, &from, to, &[(0x8100, 5)], ip)?);
        }
        // What is read back is what was written.
        let reconciled = cloud.call(1, |client| async move { client.reconcile().await })??;
        ensure!(reconciled.found.is_empty(), "{reconciled:?}");
    }
    Ok(())
}
