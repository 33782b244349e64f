//! What today's servers really send, and hosts as CloudStack leaves them, on real switches: ACLs that tiers share, networks with
//! host bits, HVM guests, bridges of the Python plugin without tunnels, xapi's list of hosts.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::{Ipv6Policy, Outcome, TakeoverState};
use ovstunnel_e2e::{
    Cloud, Network, NodeConfig, Plugin, Pool, VPC_BRIDGE, VpcCloud, address, expect_state, flow, network_uuid,
    plugin_plugs, plugin_sets_up, tier_uuid, topology, whole_topology,
};
use ovstunnel_lab::{Kind, MacAddr6, Payload, VmSpec, wait_until};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// One ACL for all tiers, as a server sends it: once for each tier. Networks are written as users type them.
fn shared(action: &str) -> Value {
    let item = |number: u32, direction: &str, cidr: &str| json!({"number": number, "uuid": "u", "action": action, "direction": direction, "protocol": "all", "sourcecidrs": [cidr]});
    let acl = json!({"id": "default", "aclitems": [item(1, "ingress", "10.1.2.77/8"), item(2, "egress", "0.0.0.0/0")]});
    let tier = |n: u8| json!({"id": tier_uuid(n), "cidr": format!("10.1.{n}.77/24"), "aclid": "default"});
    json!({"vpc": {"cidr": "10.1.0.1/16", "id": "7", "tiers": [tier(1), tier(2), tier(3)], "acls": [acl, acl, acl]}})
}

#[test]
fn tiers_that_share_an_acl_follow_it_from_allow_to_deny() -> Result<()> {
    let vpc = VpcCloud::new("shared", NodeConfig::default())?;
    let across = [((1, 1), (2, 1)), ((1, 1), (2, 3)), ((3, 2), (1, 3))];
    let deliver = |(from, to): ((u8, u8), (u8, u8))| {
        vpc.cloud().lab().deliver(vpc.vm(from.0, from.1)?, vpc.packet(from, to, Payload::Udp(53))?)
    };
    let mut told = whole_topology();
    told["vpc"]["cidr"] = json!("10.1.0.1/16");
    told["vpc"]["tiers"][0]["cidr"] = json!("10.1.1.254/24");
    vpc.tell_all("network_topology", 2, &told)?;
    vpc.tell_all("routing_policies", 1, &shared("allow"))?;
    across.iter().try_for_each(|pair| deliver(*pair)?.expect_once())?;
    vpc.tell_all("routing_policies", 2, &shared("deny"))?;
    across.iter().try_for_each(|pair| deliver(*pair)?.expect_nowhere())?;
    vpc.cloud().lab().deliver(vpc.vm(1, 1)?, Kind::Broadcast)?.expect_once_at(&[vpc.vm(1, 2)?, vpc.vm(1, 3)?])
}

/// The guest has a real card and, until its drivers take over, an emulated one, of which xapi notes nothing.
#[test]
fn an_hvm_guests_tap_is_in_its_vifs_tier() -> Result<()> {
    let vpc = VpcCloud::new("hvm", NodeConfig::default())?;
    let mut told = whole_topology();
    let guest = topology(&[1], &[(1, 9, 1)])["vpc"]["vms"][0].clone();
    told["vpc"]["vms"].as_array_mut().ok_or_else(|| anyhow!("no list"))?.push(guest);
    vpc.tell_all("network_topology", 2, &told)?;
    let host = vpc.cloud().node(1)?.host();
    let mac = MacAddr6::new(2, 0, 0, 0, 1, 9);
    let spec = VmSpec::new("hvm", address(1, 9)).mac(mac).prefix_length(24).network("tier1");
    let guest = host.plug_vm(VPC_BRIDGE, "tap9.0", spec)?;
    host.vsctl(["remove", "Interface", "tap9.0", "external_ids", "attached-mac"])?;
    let noted = format!("external_ids:attached-mac=\"{mac}\"");
    let real = ["add-port", VPC_BRIDGE, "vif9.0", "--", "set", "Interface", "vif9.0", "type=internal", &noted];
    host.vsctl(real)?;
    wait_until("both to be in a tier", PATIENCE, || {
        let bridge = vpc.cloud().call(1, |client| async move { client.bridge(VPC_BRIDGE).await })??;
        let unplaced = bridge.vpc.map(|vpc| vpc.unplaced_vifs);
        if unplaced.as_ref().is_some_and(Vec::is_empty) { Ok(()) } else { Err(anyhow!("{unplaced:?}")) }
    })?;
    vpc.settle(1)?;
    let lab = vpc.cloud().lab();
    let tier_1 = [vpc.vm(1, 1)?, vpc.vm(1, 2)?, vpc.vm(1, 3)?];
    lab.deliver(&guest, Kind::Broadcast)?.expect_once_at(&tier_1)?;
    for from in tier_1 {
        lab.deliver(from, guest.as_target())?.expect_once()?;
    }
    Ok(())
}

fn pool_of(hosts: usize, tag: &str) -> Result<(Pool, Cloud)> {
    let pool = Pool::new(hosts, 2, "lo")?;
    let config = NodeConfig { pool: Some(pool.path().to_owned()), ..NodeConfig::default() };
    Ok((pool, Cloud::with_config(tag, hosts, config)?))
}

/// What a server calls before a VM starts on a host: the network's set-up there, and a tunnel.
fn calls<'a>(
    from: &'a str,
    to: &'a str,
    remote: &'a str,
    uuid: &'a str,
) -> [(&'static str, Vec<(&'a str, &'a str)>); 2] {
    let setup = vec![("bridge", "xapi1"), ("key", "OVSTunnel1001"), ("xs_nw_uuid", uuid), ("cs_host_id", from)];
    let tunnel = vec![("bridge", "xapi1"), ("remote_ip", remote), ("key", "1001"), ("from", from), ("to", to)];
    [("setup_ovs_bridge", setup), ("create_tunnel", tunnel)]
}

#[test]
fn a_plugin_network_on_one_host_waits_for_takeover() -> Result<()> {
    let (_pool, cloud) = pool_of(2, "onehost")?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    plugin_sets_up(&cloud, &network, 1, &[1], false)?;
    let old_vm = plugin_plugs(&cloud, &network, 1, 10)?;
    let (uuid, ips) = (network_uuid(1), [1, 2].map(|n| cloud.node(n).map(|node| node.host().ip().to_string())));
    let [ip_1, ip_2] = ips;
    let (ip_1, ip_2, plugin) = (ip_1?, ip_2?, Plugin::on(cloud.node(1)?)?);
    for (function, arguments) in calls("1", "2", &ip_2, &uuid) {
        let told = plugin.call(function, &arguments)?;
        ensure!(told.starts_with("FAILURE:IN_THE_WAY ") && told.contains("takeover xapi1"), "{function}: {told}");
    }
    let answer = cloud.call(1, |client| async move { client.takeover(&[]).await })??;
    expect_state(&answer, Outcome::Updated, TakeoverState::TakenOver)?;
    for (number, [from, to], remote) in [(1, ["1", "2"], &ip_2), (2, ["2", "1"], &ip_1)] {
        let plugin = Plugin::on(cloud.node(number)?)?;
        for (function, arguments) in calls(from, to, remote, &uuid) {
            let told = plugin.call(function, &arguments)?;
            ensure!(told.starts_with("SUCCESS:"), "{function}: {told}");
        }
    }
    // VIFs that come later on the taken host hear what comes from the other one, and the other way round.
    let new_vm = cloud.plug(&network, 1, 11)?;
    let far = cloud.plug(&network, 2, 20)?;
    cloud.lab().deliver(&far, Kind::Broadcast)?.expect_once_at(&[&old_vm, &new_vm])?;
    cloud.lab().deliver(&new_vm, Kind::Broadcast)?.expect_once_at(&[&old_vm, &far])?;
    cloud.lab().expect_no_duplicates()
}

#[test]
fn xapis_list_is_left_empty_and_a_release_is_noted_there() -> Result<()> {
    let (pool, cloud) = pool_of(2, "xslist")?;
    let (uuid, ip_2) = (network_uuid(1), cloud.node(2)?.host().ip().to_string());
    let plugin = Plugin::on(cloud.node(1)?)?;
    let list = || Ok::<_, anyhow::Error>(pool.other_config(1)?.get("ovs-host-setup").cloned());
    let set_up = || {
        calls("1", "2", &ip_2, &uuid).iter().try_for_each(|(function, arguments)| {
            let told = plugin.call(function, arguments)?;
            ensure!(told.starts_with("SUCCESS:"), "{function}: {told}");
            Ok(())
        })
    };
    let destroy = [("bridge", "xapi1"), ("cs_host_id", "1")];
    set_up()?;
    assert_eq!(list()?.as_deref(), Some("1"));
    plugin.expect("destroy_ovs_bridge", &destroy, "SUCCESS:xapi1")?;
    assert_eq!(list()?.as_deref(), Some(""), "the Python plugin fails without the key");

    // A release: as if it had never been set up here.
    set_up()?;
    let answer = cloud.call(1, |client| async move { client.release_bridge("xapi1").await })??;
    assert_eq!((answer.outcome, list()?.as_deref()), (Outcome::Removed, Some("")));
    pool.write(1, "ovs-host-setup", "1,2")?;
    let again = cloud.call(1, |client| async move { client.release_bridge("xapi1").await })??;
    assert_eq!((again.outcome, list()?.as_deref()), (Outcome::Unchanged, Some("1,2")), "it is not ours any more");

    // One of the plugin's, whose host has no tunnel that says its id: another network knows it.
    pool.write(2, "ovs-host-setup", "1,2")?;
    let second = Network::numbered(2, Ipv6Policy::Drop);
    cloud.node(1)?.host().vsctl(["del-br", "xapi1"])?;
    set_up()?;
    plugin_sets_up(&cloud, &second, 1, &[1], false)?;
    let uuid_2 = format!("external_ids:xs-network-uuid={}", network_uuid(2));
    cloud.node(1)?.host().vsctl(["set", "Bridge", "xapi2", &uuid_2])?;
    let answer = cloud.call(1, |client| async move { client.takeover(&["xapi2".to_owned()]).await })??;
    expect_state(&answer, Outcome::Updated, TakeoverState::TakenOver)?;
    cloud.call(1, |client| async move { client.release_bridge("xapi2").await })??;
    assert_eq!(pool.hosts(2)?, ["2"]);
    // And nobody takes it over again by accident.
    let answer = cloud.call(1, |client| async move { client.takeover(&[]).await })??;
    let left: Vec<_> = answer.bridges.iter().filter(|bridge| bridge.state == TakeoverState::Left).collect();
    let told = left.first().map(|bridge| (bridge.bridge.as_str(), bridge.left.join(" "))).unwrap_or_default();
    ensure!(left.len() == 1 && told.0 == "xapi2" && told.1.contains("it was released"), "{answer:#?}");
    Ok(())
}

/// The commands of takeover.md that look for flows without a cookie and take them away: they mean no flow of Open vSwitch's own.
#[test]
fn the_pages_commands_for_flows_without_cookie_work() -> Result<()> {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operators-guide/takeover.md");
    let page = std::fs::read_to_string(file)?;
    let spans: Vec<&str> = page.split('`').skip(1).step_by(2).collect();
    let of = |start: &str| -> Vec<String> {
        spans.iter().filter(|span| span.starts_with(start)).map(|span| span.replace("BRIDGE", "xapi1")).collect()
    };
    let (looks, removals) = (of("ovs-ofctl dump-flows"), of("for table"));
    ensure!(looks.len() >= 2 && removals.len() == 1, "{looks:?} {removals:?}");
    let cloud = Cloud::new("pagecmds", 1)?;
    let host = cloud.node(1)?.host();
    cloud.join(&Network::numbered(1, Ipv6Policy::Drop), 1, &[1])?;
    let run = |command: &str| host.run("bash", ["-c", command]);
    for table in 0..6 {
        host.ofctl(["add-flow", "xapi1", &format!("table={table},priority=7,ip,actions=drop")])?;
    }
    let shown = run(&looks[0])?;
    ensure!(shown.contains("priority=7,ip") && !shown.contains("table=254"), "{shown}");
    // Again where there is nothing: as an operator does who is not sure.
    for _ in 0..2 {
        run(&removals[0])?;
        for look in &looks {
            let shown = run(look)?;
            ensure!(!shown.contains("actions="), "{look}: {shown}");
        }
    }
    let ours = host.ofctl(["dump-flows", "xapi1", "cookie=0x6f76737400000000/0xffffffff00000000"])?;
    ensure!(ours.contains("actions="), "those of ovstunnel stay: {ours}");
    // And this is why a table is named.
    ensure!(run("ovs-ofctl dump-flows xapi1 cookie=0/-1")?.contains("table=254"));
    ensure!(run("ovs-ofctl del-flows xapi1 cookie=0/-1").is_err_and(|error| format!("{error:#}").contains("EPERM")));
    Ok(())
}

/// Ids of servers that have run for years: the Python plugin's names of tunnels have more than 15 characters.
#[test]
fn long_named_tunnels_are_taken_over_and_removed() -> Result<()> {
    let (_pool, cloud) = pool_of(2, "longname")?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    let name = |from: usize, to: usize| format!("t1001-1234{from}-1234{to}");
    let ip = |number: usize| cloud.node(number).map(|node| node.host().ip().to_string());
    let mut vms = Vec::new();
    for (number, other) in [(1, 2), (2, 1)] {
        let host = cloud.node(number)?.host();
        plugin_sets_up(&cloud, &network, number, &[number], false)?;
        let (name, remote) = (name(number, other), format!("options:remote_ip={}", ip(other)?));
        let options = ["type=gre", "options:key=1001", &remote];
        host.vsctl(["add-port", "xapi1", &name, "--", "set", "Interface", &name].into_iter().chain(options))?;
        let port = host.wait_for_ofport(&name)?;
        flow(host, "xapi1", &format!("priority=1000,in_port={port},dl_dst=ff:ff:ff:ff:ff:ff,actions=drop"))?;
        vms.push(plugin_plugs(&cloud, &network, number, u16::try_from(number)? * 10)?);
    }
    wait_until("an answer", PATIENCE, || vms[0].ping(vms[1].ip(), 2)?.expect_no_loss())?;
    let pinger = vms[0].start_ping(vms[1].ip(), Duration::from_millis(2))?;
    for number in [1, 2] {
        let answer = cloud.call(number, |client| async move { client.takeover(&[]).await })??;
        expect_state(&answer, Outcome::Updated, TakeoverState::TakenOver)?;
        assert_eq!(answer.bridges[0].tunnels, [name(number, 3 - number)]);
    }
    pinger.stop()?.expect_no_loss()?;
    let (plugin, host) = (Plugin::on(cloud.node(1)?)?, cloud.node(1)?.host());
    assert_eq!(host.vsctl(["get", "Port", &name(1, 2), "protected"])?.trim(), "true");
    let remote = ip(2)?;
    let [_, (_, create)] = calls("12341", "12342", &remote, "");
    plugin.expect("create_tunnel", &create, &format!("SUCCESS:{}", name(1, 2)))?;
    cloud.lab().deliver(&vms[0], Kind::Broadcast)?.expect_once()?;
    let tunnels =
        || Ok::<_, anyhow::Error>(host.vsctl(["list-ports", "xapi1"])?.lines().filter(|p| p.starts_with('t')).count());
    assert_eq!(tunnels()?, 1);
    plugin.expect("destroy_tunnel", &[("bridge", "xapi1"), ("in_port", &name(1, 2))], "SUCCESS")?;
    assert_eq!(tunnels()?, 0, "it says that it is gone, and it is");
    cloud.lab().expect_no_duplicates()
}

/// A host was removed from the server and added again: it has a new id and its old address.
#[test]
fn a_host_with_a_new_id_keeps_its_port_without_a_gap() -> Result<()> {
    let (_pool, cloud) = pool_of(2, "newid")?;
    let (uuid, network) = (network_uuid(1), Network::numbered(1, Ipv6Policy::Drop));
    let ips = [cloud.node(1)?.host().ip().to_string(), cloud.node(2)?.host().ip().to_string()];
    let mut vms = Vec::new();
    for (number, [from, to], remote) in [(1, ["1", "2"], &ips[1]), (2, ["2", "1"], &ips[0])] {
        for (function, arguments) in calls(from, to, remote, &uuid) {
            let told = Plugin::on(cloud.node(number)?)?.call(function, &arguments)?;
            ensure!(told.starts_with("SUCCESS:"), "{function}: {told}");
        }
        vms.push(cloud.plug(&network, number, u16::try_from(number)? * 10)?);
    }
    let (plugin, host) = (Plugin::on(cloud.node(1)?)?, cloud.node(1)?.host());
    wait_until("an answer", PATIENCE, || vms[0].ping(vms[1].ip(), 2)?.expect_no_loss())?;
    let before = host.vsctl(["get", "Interface", "t1001-1-2", "ofport", "_uuid"])?;
    let pinger = vms[0].start_ping(vms[1].ip(), Duration::from_millis(2))?;
    let [_, (_, again)] = calls("1", "9", &ips[1], &uuid);
    for _ in 0..2 {
        plugin.expect("create_tunnel", &again, "SUCCESS:t1001-1-2")?;
    }
    pinger.stop()?.expect_no_loss()?;
    assert_eq!(host.vsctl(["get", "Interface", "t1001-1-2", "ofport", "_uuid"])?, before);
    assert_eq!(host.vsctl(["get", "Port", "t1001-1-2", "external_ids:ovstunnel-to"])?.trim().trim_matches('"'), "9");
    // What is recorded is what counts after a restart, too.
    cloud.node(1)?.stop()?;
    cloud.node(1)?.start()?;
    cloud.wait_until_ready(1)?;
    plugin.expect("create_tunnel", &again, "SUCCESS:t1001-1-2")?;
    plugin.expect("destroy_tunnel", &[("bridge", "xapi1"), ("in_port", "t1001-1-2")], "SUCCESS")?;
    ensure!(!host.vsctl(["list-ports", "xapi1"])?.contains("t1001"));
    Ok(())
}
