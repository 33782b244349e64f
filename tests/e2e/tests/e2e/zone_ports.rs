//! Hosts of a network whose tunnels are of different kinds, or of one kind and to different UDP ports: all tunnels are up, and they do not hear each
//! other. The manager names the host, its kind and its port; and a change of kind that would end so waits before anybody sends by it.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::{Code, Ipv6Policy, KindStep, PostKind, PutBridge, TunnelKind};
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Zone, problem, tunnel_kinds};
use ovstunnel_lab::{Kind, Vm, unhurried, wait_until};
use ovstunnel_manager_api::PutNetworkKind;

use crate::zone_acts::Stage;

const NETWORK: &str = "key-1001";
const PATIENCE: Duration = Duration::from_secs(60);

/// Host 3 has other lines of `[tunnel]` than hosts 1 and 2: it is named, and neither hears nor is heard, until it has the same.
#[test]
fn a_host_of_another_kind_or_port_is_named() -> Result<()> {
    for (tag, other, words) in [
        ("zoneport", "kind = \"vxlan\"\ndst_port = 8472", "vxlan to UDP port 8472"),
        ("zoneother", "kind = \"geneve\"", "geneve to UDP port 6081"),
    ] {
        let vxlan = "kind = \"vxlan\"";
        let cloud = Cloud::with_config(tag, 3, NodeConfig { tunnel: vxlan.to_owned(), ..NodeConfig::default() })?;
        let network = Network::numbered(1, Ipv6Policy::Allow);
        configure(&cloud, vxlan, other)?;
        cloud.mesh(&network, &[1, 2, 3])?;
        let vms = (1..=3).map(|n| cloud.plug(&network, n.into(), n)).collect::<Result<Vec<_>>>()?;
        let zone = Zone::new(&cloud)?;
        zone.add_all(&cloud)?;
        // The manager may still be asking the hosts at which address their tunnels end.
        wait_until("host 3 to be all that is wrong", PATIENCE, || {
            let proof = zone.ask(&cloud, |client| async move { client.proof(NETWORK).await })?;
            let [one] = &proof.findings[..] else { return Err(anyhow!("{:?}", proof.findings)) };
            ensure!((&*one.what, &*one.host) == ("kind_mixed", "h3"), "{one:?}");
            let of_others = "those of other hosts vxlan to UDP port 4789";
            ensure!(one.evidence.contains(words) && one.evidence.contains(of_others), "{one:?}");
            Ok(())
        })?;
        let bridge = cloud.call(3, |client| async move { client.bridge("xapi1").await })??;
        ensure!(words.contains(&bridge.dst_port.unwrap_or_default().to_string()), "{bridge:?}");
        vms[0].ping(vms[1].ip(), 5)?.expect_no_loss()?;
        ensure!(vms[0].ping(vms[2].ip(), 5)?.received == 0, "they hear each other");
        the_doctor_suspects_it(&cloud, &vms[0])?;

        // The bridge is made anew with what the others have.
        vms[2].destroy()?;
        cloud.call(3, |client| async move { client.delete_bridge("xapi1").await })??;
        configure(&cloud, other, vxlan)?;
        cloud.join(&network, 3, &[1, 2, 3])?;
        cloud.plug(&network, 3, 4)?;
        zone.wait_until_whole(&cloud, NETWORK)?;
        let probes = cloud.lab().every_flooded_kind();
        cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())?;
        zone.stop()?;
    }
    Ok(())
}

/// A host by itself cannot know what another one has: its doctor says that nothing comes back from there, and what to look at.
fn the_doctor_suspects_it(cloud: &Cloud, vm: &Vm) -> Result<()> {
    let (ip, flood) = (cloud.node(3)?.host().ip().to_string(), unhurried(Duration::from_millis(10)));
    let stream = cloud.lab().stream(vm, &[Kind::Broadcast], flood)?;
    wait_until("the doctor to suspect host 3", PATIENCE, || {
        let found = cloud.call(1, |client| async move { client.doctor(false).await })??;
        let peer = found.findings.iter().find(|one| one.check == "peer" && one.subject.as_deref() == Some(&*ip));
        let remedy = peer.and_then(|one| one.remedy.clone()).unwrap_or_default();
        ensure!(remedy.contains("the same networks and kinds of tunnels"), "{peer:?}");
        Ok(())
    })?;
    stream.stop()?.expect_no_duplicates()
}

fn configure(cloud: &Cloud, from: &str, to: &str) -> Result<()> {
    let node = cloud.node(3)?;
    let text = std::fs::read_to_string(node.config_file())?;
    std::fs::write(node.config_file(), text.replace(from, to))?;
    node.stop()?;
    node.start()?;
    cloud.wait_until_ready(3)
}

/// Host 3 would take VXLAN at another port than hosts 1 and 2: the change waits, with all of them hearing each other, and goes on once it is mended.
#[test]
fn a_change_of_kind_waits_for_a_host_with_another_port() -> Result<()> {
    let stage = Stage::new("zoneportkind", 3, None)?;
    let vms = (1..=3).map(|n| stage.start(n, n.into())).collect::<Result<Vec<_>>>()?;
    stage.expect_mesh(&[1, 2, 3])?;
    configure(&stage.cloud, "[network]\n", "[tunnel]\nkind = \"vxlan\"\ndst_port = 8472\n[network]\n")?;
    let body = PutNetworkKind { kind: TunnelKind::Vxlan };
    stage.zone.ask(&stage.cloud, move |client| async move { client.put_network_kind("web", &body, false).await })?;
    wait_until("the change to wait for host 3", PATIENCE, || {
        let there = stage.zone.network(&stage.cloud, "web")?.kind.ok_or_else(|| anyhow!("no kind is recorded"))?;
        let [wait] = &there.waits_for[..] else { return Err(anyhow!("{there:?}")) };
        ensure!(wait.host == "h3" && wait.reason.contains("UDP port 8472, those of most hosts to 4789"), "{wait:?}");
        ensure!(there.next == Some(KindStep::Switch), "{there:?}");
        Ok(())
    })?;
    for vm in &vms[1..] {
        vms[0].ping(vm.ip(), 5)?.expect_no_loss()?;
    }
    configure(&stage.cloud, "dst_port = 8472\n", "")?;
    let (bridge, body) =
        (stage.network.bridge.clone(), PostKind { to: TunnelKind::Vxlan, step: KindStep::Abort, force: false });
    stage.cloud.call_on_host(3, move |client| async move { client.post_kind(&bridge, &body).await })??;
    for host in 1..=3 {
        wait_until(format!("host {host} to have vxlan alone"), PATIENCE, || {
            let there = tunnel_kinds(stage.cloud.node(host)?.host(), &stage.network.bridge)?;
            ensure!(there == ["vxlan", "vxlan"], "{there:?}");
            Ok(())
        })?;
    }
    stage.zone.wait_until_whole(&stage.cloud, "web")?;
    let probes = stage.cloud.lab().every_flooded_kind();
    stage.cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())?;
    stage.zone.stop()
}

/// Two tunnels on one host that differ in nothing but their UDP port are two to Open vSwitch. What somebody else has made of the kind, to the host and with the key
/// of a tunnel of ours is named and left alone, and the request refused; frames of a tunnel that is there come by it once.
#[test]
fn a_tunnel_to_another_port_of_the_same_host_is_named() -> Result<()> {
    let config = NodeConfig { tunnel: "kind = \"vxlan\"".to_owned(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("twoports", 2, config)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    let (host, ip) = (cloud.node(1)?.host(), cloud.node(2)?.host().ip());
    let add = |bridge: &str, port: &str| -> Result<()> {
        let datapath = host.datapath_type();
        let remote = format!("options:remote_ip={ip}");
        host.vsctl(["add-br", bridge, "--", "set", "Bridge", bridge, &datapath])?;
        let tunnel = ["type=vxlan", &remote, "options:key=1001", "options:dst_port=8472"];
        host.vsctl(["add-port", bridge, port, "--", "set", "Interface", port].iter().chain(&tunnel))?;
        Ok(())
    };
    add("theirs", "vx8472")?;
    let body = cloud.membership(&network, 1, &[1, 2])?;
    let put = |body: PutBridge| cloud.call(1, move |client| async move { client.put_bridge("xapi1", &body).await });
    let words = format!("{:?}", problem(put(body.clone())?, Code::Conflict)?);
    ensure!(words.contains("vx8472") && words.contains(&ip.to_string()), "{words}");
    host.vsctl(["del-br", "theirs"])?;
    cloud.mesh(&network, &[1, 2])?;
    let vms = (1..=2).map(|n| cloud.plug(&network, n.into(), n)).collect::<Result<Vec<_>>>()?;
    // Made afterwards, it is as good a tunnel to Open vSwitch as ours, and takes nothing away from it.
    add("theirs", "vx8472")?;
    let up = |port: &str| host.vsctl(["get", "Interface", port, "ofport"]);
    wait_until("both to have a number", PATIENCE, || {
        let numbers = (up("vx8472")?.trim().parse::<u32>(), up("t1001-1-2")?.trim().parse::<u32>());
        ensure!(numbers.0.is_ok() && numbers.1.is_ok(), "{numbers:?}");
        Ok(())
    })?;
    let again = put(body)??;
    ensure!(again.outcome == ovstunnel_api::Outcome::Unchanged, "{again:?}");
    vms[0].ping(vms[1].ip(), 20)?.expect_no_loss()?;
    let delivered = cloud.lab().deliver_all(&[ovstunnel_lab::Probe::new(&vms[1], Kind::Broadcast)])?;
    delivered.iter().try_for_each(|delivery| delivery.expect_once())?;
    cloud.lab().expect_no_duplicates()
}
