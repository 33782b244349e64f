//! A VM reaches only its own network: what it addresses to the ends of tunnels reaches no other network, in whatever form, and
//! tunnels between VMs, with the hosts' own addresses too, work.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, VPC_BRIDGE, VpcCloud, key_of, our_flows, tunnel_to};
use ovstunnel_lab::{BR_PHY, Content, Delivery, Host, Kind, MacAddr6, Probe, Tunnel, Vm, VmSpec, Wrapped, wait_until};

/// How long until the flows have followed.
const SOON: Duration = Duration::from_secs(20);

/// Cookies of the flows that keep VMs from the ends of tunnels.
const GUARD: &str = "cookie=0x6f76737406000000/0xffffffffff000000";

/// The Ethernet address of a device.
fn mac(host: &Host, device: &str) -> Result<MacAddr6> {
    let shown = host.run("ip", ["-o", "link", "show", "dev", device])?;
    let words = shown.split_whitespace().skip_while(|word| *word != "link/ether").nth(1);
    Ok(words.ok_or_else(|| anyhow!("no Ethernet address: {shown}"))?.parse()?)
}

/// Carries out `ip` on a host with the words of `line`.
fn ip(host: &Host, line: &str) -> Result<()> {
    host.run("ip", line.split_whitespace()).map(drop)
}

/// Gives a device an address, and waits until the switch knows it: from then on it takes tunnels' packets apart there.
fn give_address(host: &Host, device: &str, address: &str) -> Result<()> {
    ip(host, &format!("address add {address}/32 dev {device}"))?;
    wait_until(format!("{device} to be known with {address}"), SOON, || {
        let listed = host.appctl(["tnl/ports/show", "-v"])?;
        if listed.contains(&format!("ipv4(dst={address}")) { Ok(()) } else { Err(anyhow!("{listed}")) }
    })
}

/// Waits until the flows of a bridge keep VMs from the ends of tunnels, all of them.
fn wait_for_guard(host: &Host, bridge: &str) -> Result<()> {
    wait_until(format!("the guard of {bridge} on {}", host.name()), SOON, || {
        let (underlay, own) = (mac(host, BR_PHY)?, mac(host, bridge)?);
        let flows = our_flows(host, bridge)?.join("\n");
        let to_device = format!("priority=9000,dl_dst={} ", underlay.to_string().to_lowercase());
        let group = format!("priority=9000,ip,dl_dst=01:00:00:00:00:00/01:00:00:00:00:00,nw_dst={} ", host.ip());
        let to_own = format!("priority=9000,ip,dl_dst={},nw_dst={} ", own.to_string().to_lowercase(), host.ip());
        let there = [to_device, group, to_own].iter().filter(|flow| flows.contains(flow.as_str())).count();
        // Those for other addresses of the host are about tunnels' packets alone.
        let others = ["nw_proto=47", "priority=9000,udp,"].map(|words| flows.matches(words).count());
        let all = flows.matches("priority=9000").count() - others.iter().sum::<usize>();
        if (there, all) == (3, 3) { Ok(()) } else { Err(anyhow!("{there} of {all}:\n{flows}")) }
    })
}

/// A host that a frame is made for: its end of the tunnels, and the address it would believe it from.
struct Target {
    mac: MacAddr6,
    ip: IpAddr,
    peer: IpAddr,
}

/// All forms in which a VM can send a tunnel's packet to these hosts.
fn forms(targets: &[Target], bridge: MacAddr6, tunnels: &[Tunnel]) -> Vec<Wrapped> {
    let multicast = MacAddr6::new(1, 0, 0x5e, 0, 0, 1);
    let mut all = Vec::new();
    for (target, tunnel) in targets.iter().flat_map(|target| tunnels.iter().map(move |tunnel| (target, *tunnel))) {
        let content = Content::Tunnelled(tunnel, target.peer, target.ip);
        for mac in [target.mac, bridge, MacAddr6::broadcast(), multicast] {
            let plain = Wrapped::plain(mac, content);
            for tags in [&[][..], &[(0x8100, 0)], &[(0x88a8, 0)], &[(0x8100, 5)], &[(0x88a8, 0), (0x8100, 0)]] {
                let mut wrapped = plain;
                wrapped.tags.iter_mut().zip(tags).for_each(|(place, tag)| *place = Some(*tag));
                all.push(wrapped);
            }
        }
    }
    all
}

/// Copies of these frames that reached VMs of other networks than the sender's.
fn strayed(deliveries: &[Delivery], others: &[&Vm]) -> Vec<String> {
    let of = |delivery: &Delivery| {
        let copies = others.iter().map(|vm| (vm.name().to_owned(), delivery.copies_at(vm)));
        copies.filter(|(_, copies)| *copies > 0).map(|(vm, _)| format!("{delivery} -> {vm}")).collect::<Vec<_>>()
    };
    deliveries.iter().flat_map(of).collect()
}

fn send(cloud: &Cloud, from: &Vm, forms: &[Wrapped]) -> Result<Vec<Delivery>> {
    let probes: Vec<Probe> = forms.iter().map(|form| Probe::new(from, Kind::Wrapped(*form))).collect();
    cloud.lab().deliver_all(&probes)
}

/// A bridge of somebody else's with tunnels of other kinds to host 2, and a VM.
fn others_tunnels(host: &Host) -> Result<Vm> {
    host.add_bridge("theirs")?;
    let line = "add-port theirs vx1 -- set Interface vx1 type=vxlan options:remote_ip=192.0.2.2 options:key=77 \
        -- add-port theirs ge1 -- set Interface ge1 type=geneve options:remote_ip=192.0.2.2 options:key=78";
    host.vsctl(line.split_whitespace())?;
    host.wait_for_ofport("vx1")?;
    host.wait_for_ofport("ge1")?;
    host.plug_vm("theirs", "vif90.0", VmSpec::numbered(90).network("theirs"))
}

#[test]
fn no_frame_of_a_vm_gets_into_another_network_by_a_tunnels_end() -> Result<()> {
    let cloud = Cloud::new("inject", 2)?;
    let [a, b] = [1, 2].map(|n| Network::numbered(n, Ipv6Policy::Drop));
    for network in [&a, &b] {
        cloud.mesh(network, &[1, 2])?;
    }
    let from = cloud.plug(&a, 1, 11)?;
    let [a1, a2] = [cloud.plug(&a, 1, 12)?, cloud.plug(&a, 2, 13)?];
    let [b1, b2] = [cloud.plug(&b, 1, 21)?, cloud.plug(&b, 2, 22)?];
    let (h1, h2) = (cloud.node(1)?.host(), cloud.node(2)?.host());
    let others = others_tunnels(h1)?;
    for (host, vif) in [(h1, "vif12.0"), (h2, "vif13.0")] {
        give_address(host, vif, "169.254.7.1")?;
    }
    // An address of the host in the VM's own network, such as a gateway's.
    ip(h1, &format!("link set {} up", a.bridge))?;
    give_address(h1, &a.bridge, "169.254.7.9")?;
    let targets = [
        Target { mac: mac(h1, BR_PHY)?, ip: h1.ip().into(), peer: h2.ip().into() },
        Target { mac: mac(h2, BR_PHY)?, ip: h2.ip().into(), peer: h1.ip().into() },
        Target { mac: mac(h1, "vif12.0")?, ip: [169, 254, 7, 1].into(), peer: h2.ip().into() },
        Target { mac: mac(h1, &a.bridge)?, ip: [169, 254, 7, 9].into(), peer: h2.ip().into() },
    ];
    let key = u32::try_from(key_of(2))?;
    let tunnels = [Tunnel::Gre(key), Tunnel::Vxlan(77), Tunnel::Geneve(78)];
    let forms = forms(&targets, mac(h1, &a.bridge)?, &tunnels);
    let foreign = [&b1, &b2, &others];
    cloud.lab().announce_all()?;

    // Without the flows, by each kind of tunnel and on either host: so what is counted can be seen.
    for (number, host) in [(1, h1), (2, h2)] {
        wait_for_guard(host, &a.bridge)?;
        cloud.node(number)?.kill();
        host.ofctl(["del-flows", &a.bridge, GUARD])?;
    }
    let strays = strayed(&send(&cloud, &from, &forms)?, &foreign).join("\n");
    for needle in ["Gre(1002)", "Vxlan(77)", "Geneve(78)", "169.254.7.1", "169.254.7.9"] {
        ensure!(strays.contains(needle), "without flows no {needle} gets through:\n{strays}");
    }
    ensure!(strays.contains(&format!("-> {}", b2.name())), "nothing on the other host:\n{strays}");
    println!("without the flows:\n{strays}");

    for (number, host) in [(1, h1), (2, h2)] {
        cloud.node(number)?.start()?;
        cloud.wait_until_ready(number)?;
        wait_for_guard(host, &a.bridge)?;
    }
    let strays = strayed(&send(&cloud, &from, &forms)?, &foreign);
    ensure!(strays.is_empty(), "{}", strays.join("\n"));

    // The network itself is as it was.
    let plain =
        [Probe::new(&from, Kind::Broadcast), Probe::new(&b1, Kind::Broadcast), Probe::new(&from, a2.as_target())];
    cloud.lab().deliver_all(&plain)?.iter().try_for_each(Delivery::expect_once)?;
    from.ping(a1.ip(), 5)?.expect_no_loss()
}

#[test]
fn tenants_may_use_host_addresses_and_own_tunnels() -> Result<()> {
    let cloud = Cloud::new("nested", 2)?;
    let [a, b] = [1, 2].map(|n| Network::numbered(n, Ipv6Policy::Drop));
    for network in [&a, &b] {
        cloud.mesh(network, &[1, 2])?;
    }
    let (h1, h2) = (cloud.node(1)?.host(), cloud.node(2)?.host());
    let twin = |host: &Host| {
        let spec = VmSpec::new(&format!("twin-{}", host.name()), host.ip()).network(&a.bridge).prefix_length(24);
        host.plug_vm(&a.bridge, "vif1.0", spec)
    };
    let [one, two] = [twin(h1)?, twin(h2)?];
    let [b1, b2] = [cloud.plug(&b, 1, 21)?, cloud.plug(&b, 2, 22)?];
    for host in [h1, h2] {
        wait_for_guard(host, &a.bridge)?;
        wait_until("the rule of the VM", SOON, || {
            let flows = our_flows(host, &a.bridge)?.join("\n");
            if flows.contains("in_port=") { Ok(()) } else { Err(anyhow!("{flows}")) }
        })?;
    }
    cloud.lab().announce_all()?;
    // They know each other by ARP, and ping under the hosts' addresses.
    one.ping(two.ip(), 10)?;
    one.ping(two.ip(), 10)?.expect_no_loss()?;
    two.ping(one.ip(), 10)?.expect_no_loss()?;
    // Also with an address of a VIF's device on their host.
    give_address(h2, "vif1.0", "169.254.7.1")?;
    let key = u32::try_from(key_of(2))?;
    let nested = [Tunnel::Gre(key), Tunnel::Vxlan(key), Tunnel::Geneve(key)]
        .map(|tunnel| Wrapped::plain(two.mac(), Content::Tunnelled(tunnel, one.ip().into(), two.ip().into())));
    for delivery in send(&cloud, &one, &nested)? {
        delivery.expect_once_at(&[&two])?;
        ensure!(strayed(&[delivery], &[&b1, &b2]).is_empty());
    }
    Ok(())
}

#[test]
fn no_frame_gets_into_another_tier_past_its_acls() -> Result<()> {
    let vpc = VpcCloud::new("tiers", NodeConfig::default())?;
    let cloud = vpc.cloud();
    let hosts = [1, 2].map(|number| cloud.node(number).map(|node| node.host().clone()));
    let [h1, h2] = [hosts[0].as_ref(), hosts[1].as_ref()].map(|host| host.map_err(|error| anyhow!("{error}")));
    let (h1, h2) = (h1?, h2?);
    let from = vpc.vm(1, 1)?;
    for (host, vif) in [(h1, "vif1.0"), (h2, "vif1.0")] {
        give_address(host, vif, "169.254.7.1")?;
    }
    let targets = [
        Target { mac: mac(h1, BR_PHY)?, ip: h1.ip().into(), peer: h2.ip().into() },
        Target { mac: mac(h2, BR_PHY)?, ip: h2.ip().into(), peer: h1.ip().into() },
    ];
    let forms = forms(&targets, mac(h1, VPC_BRIDGE)?, &[Tunnel::Gre(1002), Tunnel::Gre(1003)]);
    let others = [(2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)].map(|(tier, host)| vpc.vm(tier, host));
    let others = others.into_iter().collect::<Result<Vec<_>>>()?;
    for host in [h1, h2] {
        wait_for_guard(host, VPC_BRIDGE)?;
    }
    let strays = strayed(&send(cloud, from, &forms)?, &others);
    ensure!(strays.is_empty(), "{}", strays.join("\n"));

    // That it is the flows that keep them from it.
    for (number, host) in [(1, h1), (2, h2)] {
        cloud.node(number)?.kill();
        host.ofctl(["del-flows", VPC_BRIDGE, GUARD])?;
    }
    let strays = strayed(&send(cloud, from, &forms)?, &others).join("\n");
    println!("without the flows:\n{strays}");
    ensure!(strays.contains("t2h2"), "without flows nothing gets through:\n{strays}");
    Ok(())
}

#[test]
fn the_flows_follow_the_underlay() -> Result<()> {
    let cloud = Cloud::new("follow", 2)?;
    let a = Network::numbered(1, Ipv6Policy::Drop);
    let host = cloud.node(1)?.host().clone();
    let guards = || Ok::<_, anyhow::Error>(our_flows(&host, &a.bridge)?.join("\n").matches("priority=9000").count());
    let wait_for = |count: usize| {
        wait_until(format!("{count} flows of the guard"), SOON, || match guards()? {
            there if there == count => Ok(()),
            there => Err(anyhow!("{there}")),
        })
    };
    // Without tunnels there is nothing to guard, wherever they are on the host.
    cloud.join(&a, 1, &[1])?;
    cloud.wait_for_rules(&a, 1)?;
    ensure!(guards()? == 0);
    let b = Network::numbered(2, Ipv6Policy::Drop);
    cloud.join(&b, 1, &[1, 2])?;
    wait_for_guard(&host, &a.bridge)?;
    wait_for_guard(&host, &b.bridge)?;

    // Another Ethernet address of the device with the tunnel address, and of the bridge's own one.
    for bridge in [BR_PHY, &a.bridge] {
        let before = mac(&host, bridge)?;
        host.vsctl(["set", "Bridge", bridge, "other_config:hwaddr=\"02:00:00:00:77:01\""])?;
        wait_until("another address", SOON, || {
            match mac(&host, bridge)? {
                now if now == before => Err("still the same"),
                _ => Ok(()),
            }
            .map_err(|error: &str| anyhow!(error))
        })?;
        if bridge == BR_PHY {
            wait_for_guard(&host, &a.bridge)?;
            host.vsctl(["set", "Bridge", bridge, &format!("other_config:hwaddr=\"{before}\"")])?;
        }
        wait_for_guard(&host, &a.bridge)?;
    }
    // A second underlay device, as soon as a tunnel goes by it.
    let made = [
        "link add und0 type veth peer name und1",
        "link set und0 up",
        "link set und1 up",
        "address add 198.51.100.1/24 dev und0",
    ];
    made.iter().try_for_each(|line| ip(&host, line))?;
    let tunnel = ovstunnel_api::PostTunnel { remote_ip: "198.51.100.9".into(), ..tunnel_to(9) };
    let port = {
        let bridge = b.bridge.clone();
        let answer = cloud.call(1, move |client| async move { client.post_tunnel(&bridge, &tunnel).await })??;
        answer.tunnel.port
    };
    wait_for(6)?;
    // Another address of it.
    ip(&host, "address del 198.51.100.1/24 dev und0")?;
    ip(&host, "address add 198.51.100.2/24 dev und0")?;
    let moved = || our_flows(&host, &a.bridge).map(|flows| flows.join("\n"));
    wait_until("the other address", SOON, || match moved()? {
        flows if flows.contains("nw_dst=198.51.100.2 ") && !flows.contains("nw_dst=198.51.100.1 ") => Ok(()),
        flows => Err(anyhow!("{flows}")),
    })?;
    // While the address is gone the flows stay; once the tunnel is gone they go.
    ip(&host, "address flush dev und0")?;
    let bridge = b.bridge.clone();
    cloud.call(1, |client| async move { client.reconcile().await })??;
    ensure!(guards()? == 6, "{}", moved()?);
    cloud.call(1, move |client| async move { client.delete_tunnel(&bridge, &port).await })??;
    wait_for(3)?;
    // With the daemon away the flows are stale; its start mends them.
    cloud.node(1)?.stop()?;
    host.vsctl(["set", "Bridge", &a.bridge, "other_config:hwaddr=\"02:00:00:00:77:02\""])?;
    wait_until("another address", SOON, || match mac(&host, &a.bridge)?.to_string() {
        now if now == "02:00:00:00:77:02" => Ok(()),
        now => Err(anyhow!("{now}")),
    })?;
    cloud.node(1)?.start()?;
    cloud.wait_until_ready(1)?;
    wait_for_guard(&host, &a.bridge)
}
