//! Probes of tunnels on real switches: what is sent is counted at the other end, reaches no VM and is learnt by no switch, also where a
//! daemon is killed meanwhile or a VM forges frames.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Code, FlowsState, HealthState, Ipv6Policy, PostProbe, ProbeAction, ProbeAnswer};
use ovstunnel_client::{ClientError, FaultsWanted};
use ovstunnel_e2e::{Cloud, Network, NodeConfig, VpcCloud, Zone, problem};
use ovstunnel_lab::{Daemon, MacAddr6, Vm, run, wait_until};
use ovstunnel_manager_api::{Fault, PostPath, SweptTunnel};

use crate::bfd::{TO_BFD, discriminator, forged};

const PATIENCE: Duration = Duration::from_secs(60);

/// Writes down each frame of the type for local experiments that comes to a VM.
pub(crate) const LISTEN: &str = "
import socket, sys
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.ntohs(3))
card.bind(('eth0', 0))
print('listening', flush=True)
while True:
    frame, (_, _, kind, _, _) = card.recvfrom(65535)
    if kind != 4 and frame[12:14] == b'\\x88\\xb5':
        print(frame[:14].hex(), flush=True)
";

/// Floods frames of that type, to addresses drawn by lot and to everybody.
const FLOOD: &str = "
import os, socket, time
card = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
card.bind(('eth0', 0))
print('flooding', flush=True)
own = card.getsockname()[4]
while True:
    for to in (b'\\xff' * 6, bytes([0x0a]) + os.urandom(5)):
        card.send(to + own + b'\\x88\\xb5' + bytes(46))
    time.sleep(0.005)
";

/// A script in a VM, and what it has printed.
pub(crate) struct Script(#[expect(dead_code, reason = "it runs until this goes")] Daemon, PathBuf);

impl Script {
    pub(crate) fn start(cloud: &Cloud, vm: &Vm, text: &str) -> Result<Script> {
        let at = |end: &str| cloud.lab().dir().join(format!("{}-{}.{end}", vm.name(), text.len()));
        let mut command = vm.command("sh");
        command.args(["-c", "exec python3 -c \"$1\" > \"$2\"", "sh", text]).arg(at("out"));
        let script = Script(Daemon::start("script", command, &at("err"))?, at("out"));
        let printed = || {
            ensure!(!script.printed()?.is_empty(), "nothing is printed");
            Ok(())
        };
        wait_until("a script to begin", PATIENCE, printed)?;
        Ok(script)
    }

    fn printed(&self) -> Result<String> {
        Ok(std::fs::read_to_string(&self.1)?)
    }

    /// That nothing came.
    pub(crate) fn expect_nothing(&self) -> Result<()> {
        let printed = self.printed()?;
        ensure!(printed.lines().count() == 1, "{printed}");
        Ok(())
    }
}

fn body(action: ProbeAction, nonce: &str) -> PostProbe {
    PostProbe { action, nonce: nonce.to_owned(), seconds: None, size: None, count: None, tunnels: None }
}

fn try_probe(cloud: &Cloud, host: usize, body: PostProbe) -> Result<Result<ProbeAnswer, ClientError>> {
    cloud.call(host, move |client| async move { client.probe("xapi1", &body).await })
}

fn probe(cloud: &Cloud, host: usize, body: PostProbe) -> Result<ProbeAnswer> {
    let what = format!("{body:?} on host {host}");
    try_probe(cloud, host, body)?.context(what)
}

/// Frames that came by each tunnel, by the host at its other end.
fn come(cloud: &Cloud, host: usize, nonce: &str) -> Result<Vec<(String, u64, u64)>> {
    let answer = probe(cloud, host, body(ProbeAction::Read, nonce))?;
    Ok(answer.tunnels.into_iter().map(|tunnel| (tunnel.to, tunnel.frames, tunnel.bytes)).collect())
}

fn flows_of_probes(cloud: &Cloud, host: usize) -> Result<String> {
    cloud.node(host)?.host().ofctl(["dump-flows", "xapi1", "cookie=0x6f76736200000003/-1"])
}

/// No switch has learnt an address of a probe, and no bridge is told to be other than it must be.
fn expect_unseen(cloud: &Cloud, nonces: &[&str]) -> Result<()> {
    for number in 1..=cloud.nodes().len() {
        let table = cloud.node(number)?.host().appctl(["fdb/show", "xapi1"])?;
        ensure!(!nonces.iter().any(|nonce| table.contains(nonce)), "host {number}: {table}");
        let bridge = cloud.call(number, |client| async move { client.bridge("xapi1").await })??;
        ensure!(bridge.flows.state == FlowsState::InSync && bridge.health.state == HealthState::Ok, "{bridge:?}");
    }
    Ok(())
}

#[test]
fn frames_of_a_probe_are_counted_by_tunnel_and_reach_nobody() -> Result<()> {
    const SMALL: &str = "0a:11:22:33:44:01";
    const LARGE: &str = "0a:11:22:33:44:02";
    const KILLED: &str = "0a:11:22:33:44:03";
    let cloud = Cloud::new("sweep", 3)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2, 3])?;
    let vms = (1..=3).map(|n| cloud.plug(&network, n.into(), n)).collect::<Result<Vec<_>>>()?;
    let ears = vms.iter().map(|vm| Script::start(&cloud, vm, LISTEN)).collect::<Result<Vec<_>>>()?;
    let id = |number: usize| cloud.node(number).map(|node| node.id().to_string());

    // Nothing is sent before it is armed.
    let early = try_probe(&cloud, 1, body(ProbeAction::Send, SMALL))?;
    ensure!(problem(early, Code::Conflict)?.detail.contains("not armed"));
    for host in 1..=3 {
        for nonce in [SMALL, LARGE] {
            ensure!(probe(&cloud, host, body(ProbeAction::Arm, nonce))?.tunnels.len() == 2);
        }
    }
    for host in 1..=3 {
        probe(&cloud, host, PostProbe { count: Some(3), ..body(ProbeAction::Send, SMALL) })?;
        // The underlay of the lab has room for it to the byte.
        let mtu = wait_until("the MTU to be known", PATIENCE, || {
            let bridge = cloud.call(host, |client| async move { client.bridge("xapi1").await })??;
            bridge.max_guest_mtu.context("nothing is known of it")
        })?;
        let size = mtu + 14;
        probe(&cloud, host, PostProbe { size: Some(size), ..body(ProbeAction::Send, LARGE) })?;
        let too_large = PostProbe { size: Some(size + 1), ..body(ProbeAction::Send, LARGE) };
        drop(try_probe(&cloud, host, too_large)?);
    }
    for host in 1..=3 {
        let (small, large) = (come(&cloud, host, SMALL)?, come(&cloud, host, LARGE)?);
        ensure!(small.len() == 2 && small.iter().all(|(_, frames, _)| *frames >= 1), "host {host}: {small:?}");
        ensure!(large.iter().all(|(_, frames, bytes)| *frames == 1 && *bytes > 1000), "host {host}: {large:?}");
    }
    expect_unseen(&cloud, &[SMALL, LARGE])?;

    // One tunnel alone, and what is not there.
    probe(&cloud, 1, body(ProbeAction::Arm, KILLED))?;
    probe(&cloud, 2, body(ProbeAction::Arm, KILLED))?;
    let port = format!("t1001-{}-{}", id(1)?, id(2)?);
    let sent = PostProbe { tunnels: Some(vec![port]), ..body(ProbeAction::Send, KILLED) };
    ensure!(probe(&cloud, 1, sent)?.tunnels.len() == 1);
    let came: Vec<u64> = come(&cloud, 2, KILLED)?.into_iter().map(|(_, frames, _)| frames).collect();
    ensure!(came == [1, 0], "{came:?}");
    let again = try_probe(&cloud, 1, body(ProbeAction::Arm, KILLED))?;
    ensure!(problem(again, Code::Conflict)?.detail.contains("another nonce"));
    let unknown = PostProbe { tunnels: Some(vec!["t1-2-3".to_owned()]), ..body(ProbeAction::Send, KILLED) };
    problem(try_probe(&cloud, 1, unknown)?, Code::NotFound)?;

    // Killed between: the switch takes the flows away by itself, and a probe goes on only where it is armed.
    let armed = flows_of_probes(&cloud, 2)?;
    ensure!(armed.contains(KILLED), "{armed}");
    let ends = armed.lines().filter(|flow| flow.contains(KILLED)).all(|flow| flow.contains("hard_timeout=10,"));
    ensure!(ends, "the switch ends them after 10 s: {armed}");
    cloud.node(2)?.kill();
    wait_until("the flows to be gone", PATIENCE, || {
        let flows = flows_of_probes(&cloud, 2)?;
        ensure!(!flows.contains("0a:11"), "{flows}");
        Ok(())
    })?;
    cloud.node(2)?.start()?;
    cloud.wait_until_ready(2)?;
    let after = try_probe(&cloud, 2, body(ProbeAction::Send, KILLED))?;
    ensure!(problem(after, Code::Conflict)?.detail.contains("not armed"));
    let read = try_probe(&cloud, 2, body(ProbeAction::Read, KILLED))?;
    problem(read, Code::Conflict)?;
    expect_unseen(&cloud, &[SMALL, LARGE, KILLED])?;
    ears.iter().try_for_each(Script::expect_nothing)
}

#[test]
fn a_vm_that_forges_frames_is_counted_by_no_probe() -> Result<()> {
    const NONCE: &str = "0a:11:22:33:44:05";
    let cloud = Cloud::new("forged", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    let vms = (1..=2).map(|n| cloud.plug(&network, n.into(), n)).collect::<Result<Vec<_>>>()?;
    let ears = Script::start(&cloud, &vms[1], LISTEN)?;
    let _flood = Script::start(&cloud, &vms[0], FLOOD)?;
    // Its own frames do reach the other VM, as they did before.
    wait_until("the forged frames", PATIENCE, || {
        ensure!(ears.printed()?.contains("88b5"), "none has come");
        Ok(())
    })?;
    (1..=2).try_for_each(|host| probe(&cloud, host, body(ProbeAction::Arm, NONCE)).map(drop))?;
    let came = come(&cloud, 2, NONCE)?;
    ensure!(came.iter().all(|(_, frames, _)| *frames == 0), "{came:?}");
    probe(&cloud, 1, body(ProbeAction::Send, NONCE))?;
    wait_until("the frame of the probe", PATIENCE, || {
        let came = come(&cloud, 2, NONCE)?;
        ensure!(came.iter().all(|(_, frames, _)| *frames == 1), "{came:?}");
        Ok(())
    })?;
    ensure!(!ears.printed()?.contains(&NONCE.replace(':', "")), "a frame of the probe has reached a VM");
    Ok(())
}

/// The network below carries packets of so many bytes to and from a host, which does not know of it.
fn carry(cloud: &Cloud, number: usize, bytes: u32) -> Result<()> {
    let mut command = cloud.lab().fabric().command("ip");
    command.args(["link", "set", cloud.node(number)?.host().name(), "mtu", &bytes.to_string()]);
    run(command, PATIENCE).map(drop)
}

fn wait_for_faults(cloud: &Cloud, zone: &Zone, wanted: &[&str]) -> Result<()> {
    wait_until(format!("the faults {wanted:?}"), 3 * PATIENCE, || {
        let list = zone.ask(cloud, |client| async move { client.faults(&FaultsWanted::default()).await })?;
        let ids: Vec<&str> = list.faults.iter().map(|fault| fault.id.as_str()).collect();
        ensure!(ids == wanted, "{list:#?}");
        Ok(())
    })
}

/// A hole in one tunnel, and an underlay that carries less than it should: both are found, named and gone again, and no VM sees a frame.
#[test]
fn loss_in_one_tunnel_and_a_small_mtu_are_faults_until_mended() -> Result<()> {
    const NETWORK: &str = "key-1001";
    let cloud = Cloud::new("sweepzone", 3)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2, 3])?;
    let vms = (1..=3).map(|n| cloud.plug(&network, n.into(), n)).collect::<Result<Vec<_>>>()?;
    let ears = vms.iter().map(|vm| Script::start(&cloud, vm, LISTEN)).collect::<Result<Vec<_>>>()?;
    let zone = Zone::acting(&cloud)?;
    // BFD would see that hole, too.
    zone.set_bfd(false)?;
    zone.kill();
    zone.start(&cloud)?;
    zone.add_all(&cloud)?;
    zone.wait_until_whole(&cloud, NETWORK)?;
    let sweep = |mtu: bool| zone.ask(&cloud, move |client| async move { client.sweep(NETWORK, mtu).await });
    let all = sweep(false)?;
    ensure!((all.probed, all.passed, all.unknown, all.failures) == (6, 6, 0, 0), "{all:?}");
    let proof = zone.ask(&cloud, |client| async move { client.proof(NETWORK).await })?;
    ensure!(proof.whole && proof.probed_age.is_some(), "{proof:?}");
    wait_for_faults(&cloud, &zone, &[])?;

    // GRE packets of this one key from host 1 to host 2 get lost on the way: no switch can know.
    let (one, two) = (cloud.node(1)?.host().clone(), cloud.node(2)?.host().clone());
    let drop_it = format!("cookie=0x77,priority=65000,ip,nw_proto=47,nw_src={},actions=drop", one.ip());
    two.ofctl(["add-flow", "br-phy", &drop_it])?;
    wait_for_faults(&cloud, &zone, &["direction:key-1001:h1:h2"])?;
    let body = PostPath { from: "h1".into(), to: "h2".into(), network: None, packet: None, send: true };
    let path = zone.ask(&cloud, move |client| async move { client.post_path(&body).await })?;
    let first = path.first_failure.context("nothing fails")?;
    let step = &path.steps[usize::try_from(first)?];
    ensure!((step.check.as_str(), step.host.as_deref()) == ("send", Some("h1")), "{path:#?}");
    ensure!(step.evidence.contains("frames_lost"), "{step:?}");
    let proof = zone.ask(&cloud, |client| async move { client.proof(NETWORK).await })?;
    ensure!(proof.whole, "what the switches hold is whole: {proof:?}");
    two.ofctl(["del-flows", "br-phy", "cookie=0x77/-1"])?;
    wait_for_faults(&cloud, &zone, &[])?;

    // The way to host 3 carries less than the hosts believe.
    carry(&cloud, 3, 1400)?;
    let cut = wait_until("frames to host 3 to be cut", PATIENCE, || {
        let cut = sweep(true)?;
        ensure!(cut.failures > 0 && cut.failed.iter().all(|tunnel| tunnel.what == "frames_cut"), "{cut:?}");
        Ok(cut)
    })?;
    // To the byte: 1400 without 28 of IPv4 and GRE and 14 of Ethernet. A device takes 4 bytes more, the room of a VLAN tag, than it sends.
    let carried = |tunnel: &SweptTunnel| if tunnel.to == "h3" { 1358 } else { 1362 };
    ensure!(cut.failed.iter().all(|tunnel| tunnel.guest_mtu == Some(carried(tunnel))), "{cut:?}");
    wait_until("a fault of the MTU", PATIENCE, || {
        let list = zone.ask(&cloud, |client| async move { client.faults(&FaultsWanted::default()).await })?;
        let is_it = |fault: &Fault| fault.kind == "mtu" && fault.evidence.contains("guests' MTU can be 13");
        ensure!(list.faults.iter().any(is_it), "{list:#?}");
        Ok(())
    })?;
    carry(&cloud, 3, 1500)?;
    wait_for_faults(&cloud, &zone, &[])?;
    ears.iter().try_for_each(Script::expect_nothing)?;
    zone.stop()
}

/// The bridge of a VPC has a tunnel of each tier to each other host: all of them are swept, and no VM of any tier sees a frame.
#[test]
fn the_tunnels_of_a_vpcs_tiers_are_swept_and_loss_is_one_fault() -> Result<()> {
    const TIERS: [&str; 3] = ["key-1001", "key-1002", "key-1003"];
    let vpc = VpcCloud::new("sweepvpc", NodeConfig::default())?;
    let cloud = vpc.cloud();
    let vms: Vec<&Vm> =
        (1..=3).flat_map(|t| (1..=3).map(move |h| (t, h))).map(|(t, h)| vpc.vm(t, h)).collect::<Result<_>>()?;
    let ears = vms.iter().map(|vm| Script::start(cloud, vm, LISTEN)).collect::<Result<Vec<_>>>()?;
    let flows: Vec<_> = (1..=3).map(|host| vpc.flows(host)).collect::<Result<_>>()?;
    let zone = Zone::acting(cloud)?;
    zone.set_bfd(false)?;
    zone.kill();
    zone.start(cloud)?;
    zone.add_all(cloud)?;
    for tier in TIERS {
        zone.wait_until_whole(cloud, tier)?;
        let all = zone.ask(cloud, move |client| async move { client.sweep(tier, false).await })?;
        ensure!((all.probed, all.passed, all.unknown, all.failures) == (6, 6, 0, 0), "{tier}: {all:?}");
    }
    wait_for_faults(cloud, &zone, &[])?;
    let (one, two) = (cloud.node(1)?.host(), cloud.node(2)?.host());
    two.ofctl([
        "add-flow",
        "br-phy",
        &format!("cookie=0x77,priority=65000,ip,nw_proto=47,nw_src={},actions=drop", one.ip()),
    ])?;
    wait_for_faults(cloud, &zone, &["direction:h1:h2"])?;
    two.ofctl(["del-flows", "br-phy", "cookie=0x77/-1"])?;
    wait_for_faults(cloud, &zone, &[])?;
    for host in 1..=3 {
        wait_until("the flows to be as they were", PATIENCE, || {
            let now = vpc.flows(host)?;
            ensure!(now == flows[usize::from(host) - 1], "{now:#?}");
            Ok(())
        })?;
    }
    ears.iter().try_for_each(Script::expect_nothing)?;
    zone.stop()
}

/// What VMs forge of probes and of BFD changes no verdict: all is well while it is, and a tunnel that loses everything is found all the same.
#[test]
fn vms_that_forge_frames_change_no_verdict() -> Result<()> {
    const NETWORK: &str = "key-1001";
    let cloud = Cloud::new("forgers", 3)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2, 3])?;
    let vms = (1..=3).map(|n| cloud.plug(&network, n.into(), n)).collect::<Result<Vec<_>>>()?;
    let ears = Script::start(&cloud, &vms[1], LISTEN)?;
    let _floods =
        [&vms[0], &vms[2]].map(|vm| Script::start(&cloud, vm, FLOOD)).into_iter().collect::<Result<Vec<_>>>()?;
    let zone = Zone::acting(&cloud)?;
    zone.add_all(&cloud)?;
    zone.wait_until_whole(&cloud, NETWORK)?;
    let sweep = || zone.ask(&cloud, |client| async move { client.sweep(NETWORK, false).await });
    // 'I am down, and so are you', to each session, from a VM beside each end of it.
    let forge = || -> Result<()> {
        for (number, vm) in (1..=3).zip(&vms) {
            let session = discriminator(&cloud, number)?;
            [TO_BFD, MacAddr6::broadcast()]
                .iter()
                .try_for_each(|to| vms.iter().try_for_each(|from| from.send(&forged(from, *to, session))))?;
            vm.send(&forged(vm, TO_BFD, session))?;
        }
        Ok(())
    };
    wait_until("BFD to run on all hosts", PATIENCE, || (1..=3).try_for_each(|n| discriminator(&cloud, n).map(drop)))?;
    forge()?;
    let all = sweep()?;
    ensure!((all.probed, all.passed, all.unknown, all.failures) == (6, 6, 0, 0), "{all:?}");
    wait_for_faults(&cloud, &zone, &[])?;

    let (one, two) = (cloud.node(1)?.host().clone(), cloud.node(2)?.host().clone());
    let drop_it = format!("cookie=0x77,priority=65000,ip,nw_proto=47,nw_src={},actions=drop", one.ip());
    two.ofctl(["add-flow", "br-phy", &drop_it])?;
    forge()?;
    let lost = sweep()?;
    let ways: Vec<(&str, &str)> = lost.failed.iter().map(|tunnel| (&*tunnel.from, &*tunnel.to)).collect();
    ensure!(lost.passed == 5 && ways == [("h1", "h2")], "{lost:?}");
    wait_until("the one direction to be a fault", PATIENCE, || {
        forge()?;
        let list = zone.ask(&cloud, |client| async move { client.faults(&FaultsWanted::default()).await })?;
        let is_it = |fault: &Fault| fault.kind == "direction" && fault.id.ends_with("h1:h2");
        ensure!(!list.faults.is_empty() && list.faults.iter().all(is_it), "{list:#?}");
        Ok(())
    })?;
    two.ofctl(["del-flows", "br-phy", "cookie=0x77/-1"])?;
    forge()?;
    wait_for_faults(&cloud, &zone, &[])?;

    // What the VM in between has heard is theirs alone.
    let own: Vec<String> = [&vms[0], &vms[2]].map(|vm| vm.mac().to_string().replace(':', "").to_lowercase()).into();
    let printed = ears.printed()?;
    let mut heard = printed.lines().skip(1).filter(|line| line.len() == 28).map(|line| &line[12..24]);
    ensure!(printed.lines().count() > 10 && heard.all(|from| own.iter().any(|mac| mac == from)), "{own:?}: {printed}");
    zone.stop()
}
