//! Tunnels between IPv6 addresses: what must hold of them as of those between IPv4 ones, for each kind, and which addresses are refused.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use nix::sys::signal::Signal;
use ovstunnel_api::{Code, HealthState, Id, Ipv6Policy, PutBridge, PutTunnel, TunnelKind};
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Picture, Place, Zone, key_of, our_flows, problem};
use ovstunnel_lab::{
    BR_PHY, Content, Datapath, Delivery, Host, Kind, MacAddr6, Probe, Tunnel, Vm, VmSpec, Wrapped, wait_until,
};

use crate::zone_acts::Stage;

const SOON: Duration = Duration::from_secs(60);

fn over_ipv6(tunnel: &str) -> NodeConfig {
    NodeConfig { tunnel: tunnel.to_owned(), over_ipv6: true, ..NodeConfig::default() }
}

#[test]
fn gre_over_ipv6_carries_each_frame_once_and_heals() -> Result<()> {
    a_kind_holds(TunnelKind::Gre, "", 1438)
}

#[test]
fn vxlan_over_ipv6_carries_each_frame_once_and_heals() -> Result<()> {
    a_kind_holds(TunnelKind::Vxlan, "kind = \"vxlan\"", 1430)
}

#[test]
fn geneve_over_ipv6_carries_each_frame_once_and_heals() -> Result<()> {
    a_kind_holds(TunnelKind::Geneve, "kind = \"geneve\"", 1430)
}

fn a_kind_holds(kind: TunnelKind, tunnel: &str, guests: u32) -> Result<()> {
    let place = Place::new(&format!("six{}", kind.interface_type()), over_ipv6(tunnel))?;
    expect_ends(&place, kind)?;
    expect_well(&place, guests)?;
    for harm in [
        "del-port t1001-1-2",
        "set Interface t1001-1-2 options:remote_ip=2001:db8:2::99",
        "set Interface t1001-1-3 options:remote_ip=192.0.2.3",
        "remove Port t1001-1-3 external_ids ovstunnel-remote-ip",
        "set Port t1001-1-2 external_ids:ovstunnel-remote-ip=nonsense",
    ] {
        place.host()?.vsctl(harm.split(' '))?;
        place.wait_until_healed()?;
    }
    // The switch starts anew, and then the daemon.
    place.host()?.kill_vswitchd();
    place.host()?.start_vswitchd()?;
    place.wait_until_healed()?;
    place.node()?.stop()?;
    place.node()?.start()?;
    place.cloud.wait_until_ready(1)?;
    place.wait_until_healed()?;
    expect_ends(&place, kind)?;
    // Another network between the same hosts: its frames come to its own VMs alone.
    let other = Network::numbered(2, Ipv6Policy::Allow);
    place.cloud.mesh(&other, &[1, 2, 3])?;
    let _others = (1..=3).map(|n| place.cloud.plug(&other, n.into(), 10 + n)).collect::<Result<Vec<Vm>>>()?;
    place.expect_frames_once()?;
    place.cloud.lab().expect_no_duplicates()
}

/// That every host has two tunnels of this kind on the network's bridge, to the others' IPv6 addresses.
fn expect_ends(place: &Place, kind: TunnelKind) -> Result<()> {
    for node in place.cloud.nodes() {
        let host = node.host();
        for port in host.vsctl(["list-ports", "xapi1"])?.lines().filter(|port| port.starts_with('t')) {
            let told = host.vsctl(["--bare", "--columns=type,options", "list", "Interface", port])?;
            let ends = ["2001:db8:2::1", "2001:db8:2::2", "2001:db8:2::3"];
            let to_another = ends.iter().any(|ip| told.contains(&format!("remote_ip={ip}")));
            ensure!(told.starts_with(kind.interface_type()) && to_another, "{}: {port}: {told}", host.name());
            ensure!(!told.contains(&host.ip6().to_string()), "{}: {port}: {told}", host.name());
        }
    }
    Ok(())
}

/// That the bridge is in good health, with so much room for guests, and that the doctor finds nothing below it.
fn expect_well(place: &Place, guests: u32) -> Result<()> {
    wait_until("a bridge in good health", SOON, || {
        let bridge = place.cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
        ensure!(bridge.max_guest_mtu == Some(guests), "{bridge:?}");
        ensure!(bridge.health.state == HealthState::Ok && bridge.health.as_of.is_some(), "{:?}", bridge.health);
        Ok(())
    })?;
    let found = place.cloud.call(1, |client| async move { client.doctor(false).await })??;
    let wrong = found.findings.iter().filter(|finding| ["peer", "tunnel_address", "flows"].contains(&&*finding.check));
    let wrong: Vec<_> = wrong.filter(|finding| finding.level != ovstunnel_api::Level::Ok).collect();
    ensure!(wrong.is_empty(), "{wrong:?}");
    Ok(())
}

/// Each with its rule, and nothing is changed.
#[test]
fn addresses_that_are_no_ends_are_refused_by_name() -> Result<()> {
    let place = Place::new("sixbad", over_ipv6(""))?;
    let before = Picture::of(place.host()?)?;
    for (ip, rule) in [
        ("fe80::2", "must not be a link-local address"),
        ("::ffff:192.0.2.2", "must not be an IPv4 address in IPv6 form"),
        ("::", "IPv6 of 2000::/3 or fc00::/7"),
        ("::1", "IPv6 of 2000::/3 or fc00::/7"),
        ("ff02::1", "IPv6 of 2000::/3 or fc00::/7"),
        ("2001:db8:2::2%br-phy", "must be an IPv4 address, four numbers with dots, or an IPv6 address"),
        ("2001:DB8:2:0::1", "this is one of this host's"),
    ] {
        let tunnel = PutTunnel { to: Id::Number(2), remote_ip: ip.to_owned(), from: None };
        let refused = put_tunnels(&place, vec![tunnel])?;
        let told = format!("{refused:?}");
        ensure!(refused.field.as_deref() == Some("tunnels[0].remote_ip"), "{ip}: {told}");
        ensure!(told.contains(rule) && told.contains(ip), "{ip}: {told}");
    }
    // One end in two texts is one end.
    let to = |to, ip: &str| PutTunnel { to: Id::Number(to), remote_ip: ip.to_owned(), from: None };
    let refused = put_tunnels(&place, vec![to(2, "2001:db8:2::2"), to(3, "2001:DB8:2:0:0::2")])?;
    ensure!(refused.field.as_deref() == Some("tunnels[1].remote_ip"), "{refused:?}");
    Picture::of(place.host()?)?.expect(&before)?;
    // And asked for in another text nothing is changed either.
    let body = place.cloud.membership(&place.network, 1, &[])?;
    let body = PutBridge { tunnels: Some(vec![to(2, "2001:DB8:2::0:2"), to(3, "2001:db8:0002::3")]), ..body };
    place.cloud.call(1, move |client| async move { client.put_bridge("xapi1", &body).await })??;
    Picture::of(place.host()?)?.expect(&before)
}

fn put_tunnels(place: &Place, tunnels: Vec<PutTunnel>) -> Result<ovstunnel_api::Problem> {
    let body = PutBridge { tunnels: Some(tunnels), ..place.cloud.membership(&place.network, 1, &[])? };
    let answer = place.cloud.call(1, move |client| async move { client.put_bridge("xapi1", &body).await })?;
    problem(answer, Code::InvalidRequest)
}

/// One host is reached by IPv4 and one by IPv6, and `local_ip` is that of those of its family.
#[test]
fn a_host_has_tunnels_of_both_families() -> Result<()> {
    let place = Place::new("sixboth", over_ipv6("tos = 184"))?;
    let (node, host) = (place.node()?, place.host()?);
    let text = std::fs::read_to_string(node.config_file())?;
    std::fs::write(node.config_file(), text.replace("tos = 184", "local_ip = \"2001:db8:2::1\""))?;
    node.signal(Signal::SIGHUP)?;
    let local = |port: &str| -> Result<bool> {
        Ok(host.vsctl(["get", "Interface", port, "options"])?.contains("local_ip=\"2001:db8:2::1\""))
    };
    wait_until("local_ip", SOON, || {
        if local("t1001-1-2")? && local("t1001-1-3")? { Ok(()) } else { Err(anyhow!("no local_ip")) }
    })?;
    for (number, other, ip) in [(1, 3, "192.0.2.3"), (3, 1, "192.0.2.1")] {
        let mut body = place.cloud.membership(&place.network, number, &[1, 2, 3])?;
        for tunnel in body.tunnels.iter_mut().flatten().filter(|tunnel| tunnel.to == Id::Number(other)) {
            tunnel.remote_ip = ip.to_owned();
        }
        place.cloud.call(number, move |client| async move { client.put_bridge("xapi1", &body).await })??;
    }
    ensure!(local("t1001-1-2")? && !local("t1001-1-3")?, "local_ip of the wrong family");
    // Flows that a switch has cached may still lead to the tunnels of before.
    wait_until("frames by the new tunnel", SOON, || place.expect_frames_once())?;
    place.cloud.lab().expect_no_duplicates()
}

fn mac(host: &Host, device: &str) -> Result<MacAddr6> {
    let shown = host.run("ip", ["-o", "link", "show", "dev", device])?;
    let words = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    Ok(words.ok_or_else(|| anyhow!("no Ethernet address: {shown}"))?.parse()?)
}

/// Gives a device an address, and waits until the switch knows it: from then on it takes tunnels' packets apart there.
fn give_address(host: &Host, device: &str, address: &str) -> Result<()> {
    host.run("sysctl", ["-w", &format!("net/ipv6/conf/{device}/disable_ipv6=0")])?;
    let line = format!("address add {address}/64 dev {device} nodad");
    host.run("ip", line.split(' '))?;
    wait_until(format!("{device} to be known with {address}"), SOON, || {
        let listed = host.appctl(["tnl/ports/show", "-v"])?;
        if listed.contains(&format!("ipv6(dst={address},")) { Ok(()) } else { Err(anyhow!("{listed}")) }
    })
}

/// Waits until a bridge has what keeps VMs from the ends of tunnels.
fn wait_for_guard(host: &Host, bridge: &str, more: &[&str]) -> Result<()> {
    wait_until(format!("the guard of {bridge} on {}", host.name()), SOON, || {
        let flows = our_flows(host, bridge)?.join("\n");
        let group = format!("ipv6,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,ipv6_dst={} ", host.ip6());
        let all = [group.as_str(), "ipv6,ipv6_dst=fe80::/10,nw_proto=47 "];
        let missing = all.iter().chain(more).find(|flow| !flows.contains(*flow));
        missing.map_or(Ok(()), |flow| Err(anyhow!("no {flow}:\n{flows}")))
    })
}

fn plug_vm(host: &Host, network: &Network, number: u16) -> Result<Vm> {
    host.plug_vm(&network.bridge, &format!("vif{number}.0"), VmSpec::numbered(number).network(&network.bridge))
}

/// A bridge of somebody else's with a VXLAN tunnel to host 2, and a VM.
fn others_tunnel(host: &Host) -> Result<Vm> {
    host.add_bridge("theirs")?;
    let line = "add-port theirs vx1 -- set Interface vx1 type=vxlan options:remote_ip=2001:db8:2::2 options:key=77";
    host.vsctl(line.split(' '))?;
    host.wait_for_ofport("vx1")?;
    host.plug_vm("theirs", "vif90.0", VmSpec::numbered(90).network("theirs"))
}

/// All forms in which a VM on the first host can send a tunnel's packet to an end, as if it came from the other host.
fn forged_packets(h1: &Host, h2: &Host, bridge: &str) -> Result<Vec<Wrapped>> {
    let targets = [
        (mac(h1, BR_PHY)?, h1.ip6(), h2.ip6()),
        (mac(h2, BR_PHY)?, h2.ip6(), h1.ip6()),
        (mac(h1, "vif12.0")?, "fe80::7:1".parse()?, h2.ip6()),
        (mac(h1, bridge)?, "fd00:7::9".parse()?, h2.ip6()),
    ];
    let (own, mut forms) = (mac(h1, bridge)?, Vec::new());
    for (device, ip, peer) in targets {
        for tunnel in [Tunnel::Gre(u32::try_from(key_of(2))?), Tunnel::Vxlan(77)] {
            let content = Content::Tunnelled(tunnel, IpAddr::V6(peer), IpAddr::V6(ip));
            let macs = [device, own, MacAddr6::broadcast(), MacAddr6::new(0x33, 0x33, 0, 0, 0, 1)];
            forms.extend(macs.map(|mac| Wrapped::plain(mac, content)));
        }
    }
    Ok(forms)
}

/// What of these frames of a VM reached VMs of other networks, a line for each.
fn strays_of(cloud: &Cloud, from: &Vm, forms: &[Wrapped], others: [&Vm; 3]) -> Result<String> {
    let probes: Vec<Probe> = forms.iter().map(|form| Probe::new(from, Kind::Wrapped(*form))).collect();
    let mut strays = String::new();
    for delivery in cloud.lab().deliver_all(&probes)? {
        for vm in others.into_iter().filter(|vm| delivery.copies_at(vm) > 0) {
            strays += &format!("{delivery} -> {}\n", vm.name());
        }
    }
    Ok(strays)
}

/// What a VM sends to the ends of tunnels, on its own host, at each address at which the switch takes such packets apart, and on another.
#[test]
fn no_frame_of_a_vm_gets_in_by_an_ipv6_end() -> Result<()> {
    let cloud = Cloud::with_config("sixinject", 2, over_ipv6(""))?;
    let [a, b] = [1, 2].map(|n| Network::numbered(n, Ipv6Policy::Allow));
    for network in [&a, &b] {
        cloud.mesh(network, &[1, 2])?;
    }
    let (h1, h2) = (cloud.node(1)?.host(), cloud.node(2)?.host());
    let [from, a1, _a2] = [plug_vm(h1, &a, 11)?, plug_vm(h1, &a, 12)?, plug_vm(h2, &a, 13)?];
    let [b1, b2] = [plug_vm(h1, &b, 21)?, plug_vm(h2, &b, 22)?];
    let others = others_tunnel(h1)?;
    give_address(h1, "vif12.0", "fe80::7:1")?;
    give_address(h2, "vif13.0", "fe80::7:2")?;
    give_address(h1, &a.bridge, "fd00:7::9")?;
    let forms = forged_packets(h1, h2, &a.bridge)?;
    let strays = || strays_of(&cloud, &from, &forms, [&b1, &b2, &others]);
    cloud.lab().announce_all()?;
    let more = ["ipv6_dst=fd00:7::9,nw_proto=47 ", "udp6,ipv6_dst=fe80::/10,tp_dst=4789 "];
    let guards = [(1, h1, &more[..]), (2, h2, &[])];
    // Without the flows: so what is counted can be seen.
    for (number, host, more) in guards {
        wait_for_guard(host, &a.bridge, more)?;
        cloud.node(number)?.kill();
        host.ofctl(["del-flows", &a.bridge, "cookie=0x6f76737406000000/0xffffffffff000000"])?;
    }
    let without = strays()?;
    for needle in ["Gre(1002)", "Vxlan(77)", "fe80::7:1", "fd00:7::9", b2.name()] {
        ensure!(without.contains(needle), "without flows no {needle} gets through:\n{without}");
    }
    for (number, host, more) in guards {
        cloud.node(number)?.start()?;
        cloud.wait_until_ready(number)?;
        wait_for_guard(host, &a.bridge, more)?;
    }
    let with = strays()?;
    ensure!(with.is_empty(), "{with}");
    let plain = [Probe::new(&from, Kind::Broadcast), Probe::new(&b1, Kind::Broadcast)];
    cloud.lab().deliver_all(&plain)?.iter().try_for_each(Delivery::expect_once)?;
    from.ping(a1.ip(), 5)?.expect_no_loss()
}

/// By VXLAN on both datapaths, by GRE in user space only: elsewhere that is refused by name, for it would carry nothing.
#[test]
fn tunnels_lead_to_ipv6_addresses() -> Result<()> {
    let config = NodeConfig { tunnel: "kind = \"vxlan\"".to_owned(), over_ipv6: true, ..NodeConfig::default() };
    let place = Place::new("sixevery", config)?;
    place.host()?.vsctl(["del-port", "t1001-1-2"])?;
    place.wait_until_healed()?;
    let members = place.cloud.membership(&Network::numbered(2, Ipv6Policy::Allow), 1, &[1, 2, 3])?;
    let gre = PutBridge { kind: Some(TunnelKind::Gre), ..members };
    let put = place.cloud.call(1, move |client| async move { client.put_bridge("xapi2", &gre).await })?;
    if place.host()?.switch().datapath() == Datapath::Userspace {
        put?;
    } else {
        let refused = problem(put, Code::InvalidRequest)?;
        let told = format!("{refused:?}");
        ensure!(refused.field.as_deref() == Some("tunnels[0].remote_ip"), "{told}");
        ensure!(
            told.contains("must be an IPv4 address where tunnels are of kind gre") && told.contains("2001:db8:2::2")
        );
        ensure!(!place.host()?.vsctl(["list-br"])?.contains("xapi2"), "a bridge was made");
    }
    place.cloud.lab().expect_no_duplicates()
}

/// The hosts of a zone have both families, and the manager is told which one counts: NICs make meshes between IPv6 addresses, which carry what VMs
/// send and what probes do, and go again.
#[test]
fn a_manager_makes_meshes_between_ipv6_addresses() -> Result<()> {
    let config = NodeConfig { reconcile_interval: "2s".into(), ..over_ipv6("") };
    let cloud = Cloud::with_config("sixzone", 3, config)?;
    let zone = Zone::acting(&cloud)?;
    zone.configure("[network]\nfamily = \"ipv6\"\n")?;
    zone.kill();
    zone.start(&cloud)?;
    let stage = Stage::with_zone(cloud, zone)?;
    let ips: Vec<String> = stage.cloud.nodes().iter().map(|node| node.host().ip6().to_string()).collect();
    let vms = (1..=3).map(|n: u16| stage.start(n, n.into())).collect::<Result<Vec<_>>>()?;
    stage.expect_mesh_at(&[1, 2, 3], &ips)?;
    let host = stage.zone.ask(&stage.cloud, |client| async move { client.host("h2").await })?;
    ensure!(host.ip.as_deref() == Some(&*ips[1]), "{host:?}");
    let swept = stage.zone.ask(&stage.cloud, |client| async move { client.sweep("web", false).await })?;
    ensure!((swept.probed, swept.passed, swept.failures) == (6, 6, 0), "{swept:?}");
    // What the tunnels carry is known a moment after they are there.
    wait_until("the way to be good", SOON, || {
        let path = stage.zone.ask(&stage.cloud, |client| async move { client.path("h1", "h3", Some("web")).await })?;
        ensure!(path.reachable == Some(true), "{path:#?}");
        Ok(())
    })?;
    vms[2].destroy()?;
    stage.zone.ask(&stage.cloud, |client| async move { client.release_nic("web", "n3", None, false).await })?;
    stage.expect_mesh_at(&[1, 2], &ips)
}
