//! Why one VM does not reach another one, where it is the VM's own VIF or a VPC's ACL: planted on either side, named on real switches.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, VpcCloud, Zone, address, open_policies, policies};
use ovstunnel_lab::{Kind, Payload, wait_until};
use ovstunnel_manager_api::{Isolation, Path, PathStep, PutNetwork, PutNic, PutPhysicalNetwork};

const PATIENCE: Duration = Duration::from_secs(60);

/// Frames of broadcast that a VM may send in a second.
const LIMIT: u32 = 10;

/// Records networks that hosts have, each by name and key.
fn record(cloud: &Cloud, zone: &Zone, networks: &[(&'static str, u32)]) -> Result<()> {
    let networks = networks.to_vec();
    zone.ask(cloud, |client| async move {
        let (isolation, vnet) = (Isolation::Gre, "1001-1010".to_owned());
        let physical = PutPhysicalNetwork { isolation, vnet, label: None, label_xen: None, label_kvm: None };
        client.put_physical_network("p1", &physical, false).await?;
        for (name, key) in networks {
            let (physical_network, key) = ("p1".to_owned(), Some(key));
            let body = PutNetwork { physical_network, number: None, key, adopt: true, ipv6: None, mtu: None };
            client.put_network(name, &body, false).await?;
        }
        Ok(())
    })
}

fn record_nic(cloud: &Cloud, zone: &Zone, network: &'static str, nic: PutNic) -> Result<()> {
    let id = nic.vm.clone().context("a VM")?;
    zone.ask(cloud, move |client| async move { client.prepare_nic(network, &id, &nic, false).await }).map(drop)
}

fn nic(host: &str, vm: &str, mac: String, ip: Option<String>) -> PutNic {
    let (host, vm, mac) = (host.to_owned(), Some(vm.to_owned()), Some(mac));
    PutNic { host, vm, mac, ip, bridge: None, wait: None, how: None }
}

fn why(cloud: &Cloud, zone: &Zone, packet: Option<&'static str>) -> Result<Path> {
    zone.ask(cloud, move |client| async move { client.path_of("web", "db", None, packet).await })
}

fn wait_for_way(cloud: &Cloud, zone: &Zone, packet: Option<&'static str>) -> Result<Path> {
    wait_until("the way from web to db", PATIENCE, || {
        let path = why(cloud, zone, packet)?;
        ensure!(path.reachable == Some(true), "{path:#?}");
        Ok(path)
    })
}

/// Waits until the first step that fails is this one: on which host, what was looked at, what was seen.
fn wait_for_step(
    cloud: &Cloud,
    zone: &Zone,
    packet: Option<&'static str>,
    (host, check, evidence): (&str, &str, &str),
) -> Result<PathStep> {
    wait_until(format!("{check} of {host} to fail"), PATIENCE, || {
        let path = why(cloud, zone, packet)?;
        let first = path.first_failure.with_context(|| format!("nothing fails: {path:#?}"))?;
        let step = path.steps[usize::try_from(first)?].clone();
        let is_it = step.host.as_deref() == Some(host) && step.check == check && step.evidence.contains(evidence);
        ensure!(is_it && step.remedy.is_some() && path.reachable == Some(false), "{path:#?}");
        Ok(step)
    })
}

#[test]
fn a_vm_that_floods_or_is_unplugged_is_named_at_either_end() -> Result<()> {
    let config = NodeConfig { vif_broadcast_pps: LIMIT, reconcile_interval: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("whyguest", 2, config)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2])?;
    let vms = [cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?];
    let zone = Zone::new(&cloud)?;
    zone.add_all(&cloud)?;
    record(&cloud, &zone, &[("acme", 1001)])?;
    for (vm, (host, name)) in vms.iter().zip([("h1", "web"), ("h2", "db")]) {
        record_nic(&cloud, &zone, "acme", nic(host, name, vm.mac().to_string(), None))?;
    }
    zone.wait_until_whole(&cloud, "acme")?;
    cloud.lab().announce_all()?;
    let path = wait_for_way(&cloud, &zone, None)?;
    let limits = path.steps.iter().filter(|step| step.check == "limit").count();
    ensure!(limits == 2, "each end has its limit: {path:#?}");
    for (number, host) in [(1, "h1"), (2, "h2")] {
        let (vm, vif) = (&vms[number - 1], format!("vif{number}.0"));
        let stream = cloud.lab().stream(vm, &[Kind::Broadcast], Duration::from_millis(2))?;
        let named = wait_for_step(
            &cloud,
            &zone,
            None,
            (host, "limit", &format!("{vif} sends more than its limit of {LIMIT} ")),
        );
        stream.stop()?;
        ensure!(
            named?.commands.iter().any(|command| command.run.contains("tcpdump")),
            "no command shows what it sends"
        );
        cloud.lab().announce_all()?;
        wait_for_way(&cloud, &zone, None)?;

        let node = cloud.node(number)?.host().clone();
        node.run("ip", ["link", "set", "dev", &vif, "down"])?;
        wait_for_step(&cloud, &zone, None, (host, "vif", "vif_down"))?;
        node.run("ip", ["link", "set", "dev", &vif, "up"])?;
        cloud.lab().announce_all()?;
        wait_for_way(&cloud, &zone, None)?;
    }
    zone.expect_untouched(&cloud)?;
    zone.stop()
}

#[test]
fn an_acl_between_tiers_is_named_by_its_item() -> Result<()> {
    let vpc = VpcCloud::new("whyacl", NodeConfig::default())?;
    let cloud = vpc.cloud();
    vpc.tell_all("routing_policies", 1, &open_policies())?;
    let zone = Zone::new(cloud)?;
    zone.add_all(cloud)?;
    record(cloud, &zone, &[("front", 1001), ("back", 1002)])?;
    for (network, tier, host, name) in [("front", 1, 1, "web"), ("back", 2, 2, "db")] {
        let (mac, ip) = (vpc.vm(tier, host)?.mac().to_string(), Some(address(tier, host).to_string()));
        record_nic(cloud, &zone, network, nic(&format!("h{host}"), name, mac, ip))?;
    }
    ["front", "back"].iter().try_for_each(|name| zone.wait_until_whole(cloud, name))?;
    let path = wait_for_way(cloud, &zone, None)?;
    ensure!((path.network.as_str(), path.to_network.as_deref()) == ("front", Some("back")), "{path:#?}");
    let acls: Vec<&PathStep> = path.steps.iter().filter(|step| step.check == "acl").collect();
    let hosts: Vec<_> = acls.iter().map(|step| step.host.as_deref()).collect();
    ensure!(hosts == [Some("h1"), Some("h2")], "there and back: {path:#?}");

    let open: &[&str] = &["1 allow ingress all - 0.0.0.0/0"];
    // Each is told to all hosts; what goes is judged where it is sent, and so are answers.
    let no_web: &[&str] = &["1 allow ingress all - 0.0.0.0/0", "11 deny ingress tcp 80-80 10.1.1.0/24"];
    let no_way_out: &[&str] = &["1 allow ingress all - 0.0.0.0/0", "5 deny egress icmp - 10.1.2.0/24"];
    let no_answers: &[&str] = &["1 allow ingress all - 0.0.0.0/0", "7 deny ingress icmp - 10.1.2.0/24"];
    let cases = [
        (open, no_web, Some("tcp:80"), "h1", "back: ingress item 11 of ACL acl2 does not let it in", Payload::Tcp(80)),
        (no_way_out, open, None, "h1", "front: egress item 5 of ACL acl1 does not let it out", Payload::Icmp),
        (no_answers, open, Some("icmp"), "h2", "front: ingress item 7 of ACL acl1 does not let it in", Payload::Icmp),
        (open, &[][..], Some("udp:53"), "h1", "back: no ingress item of ACL acl2 is about it", Payload::Udp(53)),
    ];
    for (sequence, (front, back, packet, host, evidence, payload)) in (2..).zip(cases) {
        vpc.tell_all("routing_policies", sequence, &policies(&[(1, front), (2, back)]))?;
        let step = wait_for_step(cloud, &zone, packet, (host, "acl", evidence))?;
        ensure!(step.commands.iter().any(|command| command.run.contains("ofproto/trace")), "{step:?}");
        // What the switches do is what is said.
        let (from, to) = if host == "h1" { ((1, 1), (2, 2)) } else { ((2, 2), (1, 1)) };
        let packet = vpc.packet(from, to, payload)?;
        cloud.lab().deliver(vpc.vm(from.0, from.1)?, packet)?.expect_nowhere()?;
    }
    vpc.tell_all("routing_policies", 6, &open_policies())?;
    wait_for_way(cloud, &zone, Some("tcp:80"))?;
    zone.expect_untouched(cloud)?;
    zone.stop()
}
