//! BFD on tunnels, on real switches: two hosts hear each other by it, no VM hears of it or can disturb it, and a cut is a fault while it lasts.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Bfd, BfdState, Ipv6Policy, Outcome, PutBfd};
use ovstunnel_client::FaultsWanted;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Zone, program};
use ovstunnel_lab::{BR_PHY, DEADLINE, MacAddr6, Vm, run, wait_until};
use ovstunnel_manager_api::StepResult;

const PATIENCE: Duration = Duration::from_secs(60);

/// The Ethernet address to which Open vSwitch sends BFD.
pub(crate) const TO_BFD: MacAddr6 = MacAddr6::new(0x00, 0x23, 0x20, 0x00, 0x00, 0x01);

const BRIDGE: &str = "xapi1";

/// How long a session that is disturbed would need to show it: a state that changes is written at once, and it sends once a second.
const WHILE: Duration = Duration::from_secs(4);

/// Has BFD run on these ports of a host's bridge, and on no other.
fn put(cloud: &Cloud, number: usize, ports: &[&str]) -> Result<Outcome> {
    let body = PutBfd { ports: ports.iter().map(|port| (*port).to_owned()).collect(), interval: None };
    let answer = cloud.call(number, move |client| async move { client.put_bfd(BRIDGE, &body).await })??;
    Ok(answer.outcome)
}

/// The same and more by the command on a host; what it prints.
fn by_hand(cloud: &Cloud, number: usize, arguments: &[&str]) -> Result<String> {
    let node = cloud.node(number)?;
    let mut command = node.host().command(program("ovstunnelctl")?);
    command.arg("--socket").arg(node.socket()).args(arguments);
    run(command, DEADLINE)
}

/// The sessions of a host's bridge that are to be there, by port.
fn sessions(cloud: &Cloud, number: usize) -> Result<Vec<(String, Bfd)>> {
    let bridge = cloud.call(number, |client| async move { client.bridge(BRIDGE).await })??;
    Ok(bridge.tunnels.into_iter().filter_map(|tunnel| Some((tunnel.port, tunnel.bfd?))).collect())
}

/// Waits until a host has sessions on exactly these ports, and all are up, or none is.
fn wait_for(cloud: &Cloud, number: usize, ports: &[&str], up: bool) -> Result<()> {
    wait_until(format!("BFD on {ports:?} of host {number}"), PATIENCE, || {
        let there = sessions(cloud, number)?;
        let names: Vec<&str> = there.iter().map(|(port, _)| port.as_str()).collect();
        let as_wanted = |(_, bfd): &(String, Bfd)| bfd.forwarding == up && (bfd.state == Some(BfdState::Up)) == up;
        ensure!(names == ports && there.iter().all(as_wanted), "{there:?}");
        Ok(())
    })
}

fn column(cloud: &Cloud, number: usize, port: &str) -> Result<String> {
    Ok(cloud.node(number)?.host().vsctl(["get", "Interface", port, "bfd"])?.trim().to_owned())
}

/// No VM has heard a frame of BFD, whatever was going on.
fn expect_unheard(cloud: &Cloud) -> Result<()> {
    for vm in cloud.lab().vms() {
        let heard = vm.heard();
        ensure!(heard.to_bfd == 0 && heard.failure.is_none(), "{vm} heard {heard:?}");
    }
    Ok(())
}

/// A frame that Open vSwitch would take for BFD, were it sent by another switch: 'I am down, and so are you', to this session.
pub(crate) fn forged(from: &Vm, to: MacAddr6, session: u32) -> Vec<u8> {
    // Version 1, state AdminDown, multiplier 3, length 24, discriminators, intervals in microseconds.
    let numbers = [0x0666_0666, session, 1_000_000, 1_000_000, 0];
    let bfd: Vec<u8> =
        [0x20, 0, 3, 24].into_iter().chain(numbers.iter().flat_map(|number| number.to_be_bytes())).collect();
    let udp = [&49152_u16.to_be_bytes()[..], &3784_u16.to_be_bytes(), &32_u16.to_be_bytes(), &[0, 0], &bfd].concat();
    // Time to live 255, UDP; the checksum is filled in.
    let mut ip = vec![0x45, 0xc0, 0, 52, 0, 0, 0, 0, 255, 17, 0, 0, 169, 254, 1, 1, 169, 254, 1, 0];
    let sum = ip.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(two[1])).sum::<u32>();
    let sum = !(sum % 0xffff) as u16;
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    [to.as_bytes(), from.mac().as_bytes(), &[0x08, 0x00], &ip, &udp].concat()
}

/// The number by which a host's switch knows a session.
pub(crate) fn discriminator(cloud: &Cloud, number: usize) -> Result<u32> {
    let shown = cloud.node(number)?.host().appctl(["bfd/show"])?;
    let line = shown.lines().find_map(|line| line.trim().strip_prefix("Local Discriminator: 0x")).context("none")?;
    Ok(u32::from_str_radix(line.trim(), 16)?)
}

#[test]
fn two_switches_hear_each_other_and_no_vm_hears_or_disturbs_it() -> Result<()> {
    let config = NodeConfig { reconcile_interval: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("bfd", 2, config)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2])?;
    let (web, db) = (cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?);
    cloud.lab().announce_all()?;

    // One end alone is no session, and what it sends reaches nobody.
    ensure!(put(&cloud, 1, &["t1001-1-2"])? == Outcome::Updated);
    ensure!(put(&cloud, 1, &["t1001-1-2"])? == Outcome::Unchanged);
    std::thread::sleep(WHILE);
    let (_, alone) = sessions(&cloud, 1)?.pop().context("no session")?;
    ensure!(alone.state == Some(BfdState::Down) && alone.flaps == 0 && !alone.forwarding, "{alone:?}");
    expect_unheard(&cloud)?;
    let dropped = cloud.node(2)?.host().ofctl(["dump-flows", BRIDGE, &format!("dl_dst={TO_BFD}")])?;
    ensure!(
        dropped.contains("drop") && !dropped.contains("n_packets=0,"),
        "nothing came, so nothing is seen: {dropped}"
    );

    by_hand(&cloud, 2, &["bridge", "bfd", BRIDGE, "--port", "t1001-2-1"])?;
    (1..=2).try_for_each(|n| wait_for(&cloud, n, &[["t1001-1-2", "t1001-2-1"][n - 1]], true))?;
    let listed = by_hand(&cloud, 2, &["tunnel", "list", BRIDGE])?;
    let last: Vec<&str> = listed.lines().filter_map(|line| line.split_whitespace().last()).collect();
    ensure!(last == ["BFD", "up"], "{listed}");

    // Tunnels that are set as a whole say nothing of BFD, and so change nothing of it.
    (1..=2).try_for_each(|n| cloud.join(&network, n, &[1, 2]).map(drop))?;
    // What somebody changes is put back.
    let host = cloud.node(1)?.host().clone();
    host.vsctl(["set", "Interface", "t1001-1-2", "bfd:enable=false", "bfd:oam=false"])?;
    wait_until("BFD to be put back", PATIENCE, || {
        let column = column(&cloud, 1, "t1001-1-2")?;
        ensure!(column.contains("enable=\"true\"") && column.contains("oam"), "{column}");
        Ok(())
    })?;
    (1..=2).try_for_each(|n| wait_for(&cloud, n, &[["t1001-1-2", "t1001-2-1"][n - 1]], true))?;

    // Forged frames: what is sent to BFD's address goes nowhere, all else is the VMs' own.
    let before: Vec<u32> = (1..=2).map(|n| Ok(sessions(&cloud, n)?[0].1.flaps)).collect::<Result<_>>()?;
    let session = discriminator(&cloud, 2)?;
    for to in [TO_BFD, db.mac(), MacAddr6::broadcast()] {
        (0..5).try_for_each(|_| web.send(&forged(&web, to, session)))?;
    }
    wait_until("the VMs' own frames to pass", PATIENCE, || {
        let heard = db.heard();
        ensure!(heard.bfd == 10, "{heard:?}");
        Ok(())
    })?;
    std::thread::sleep(WHILE);
    let after: Vec<u32> = (1..=2).map(|n| Ok(sessions(&cloud, n)?[0].1.flaps)).collect::<Result<_>>()?;
    ensure!(before == after, "sessions were disturbed: {before:?}, then {after:?}");

    // Daemons and switches that are killed.
    cloud.node(1)?.kill();
    host.kill_vswitchd();
    host.start_vswitchd()?;
    cloud.node(1)?.start()?;
    cloud.wait_until_ready(1)?;
    (1..=2).try_for_each(|n| wait_for(&cloud, n, &[["t1001-1-2", "t1001-2-1"][n - 1]], true))?;
    expect_unheard(&cloud)?;

    // Taken away at one end, then at the other; what is not ours stays.
    put(&cloud, 2, &[])?;
    wait_for(&cloud, 1, &["t1001-1-2"], false)?;
    put(&cloud, 1, &[])?;
    ensure!(column(&cloud, 2, "t1001-2-1")? == "{}" && column(&cloud, 1, "t1001-1-2")? == "{oam=\"false\"}");
    expect_unheard(&cloud)?;
    cloud.lab().deliver_all(&cloud.lab().every_flooded_kind())?.iter().try_for_each(|d| d.expect_once())
}

fn faults(zone: &Zone, cloud: &Cloud) -> Result<Vec<String>> {
    let list = zone.ask(cloud, |client| async move { client.faults(&FaultsWanted::default()).await })?;
    Ok(list
        .faults
        .into_iter()
        .filter(|fault| fault.what.as_deref() == Some("bfd_down"))
        .map(|fault| fault.id)
        .collect())
}

fn wait_for_faults(zone: &Zone, cloud: &Cloud, wanted: &[&str]) -> Result<()> {
    wait_until(format!("the faults {wanted:?}"), PATIENCE, || {
        let there = faults(zone, cloud)?;
        ensure!(there == wanted, "{there:?}");
        Ok(())
    })
}

/// What of GRE a host's underlay drops.
fn cut(cloud: &Cloud, number: usize, to: usize) -> Result<()> {
    let to = cloud.node(to)?.host().ip();
    let flow = format!("priority=500,ip,nw_proto=47,nw_dst={to},actions=drop");
    cloud.node(number)?.host().ofctl(["add-flow", BR_PHY, &flow]).map(drop)
}

fn heal(cloud: &Cloud, number: usize) -> Result<()> {
    cloud.node(number)?.host().ofctl(["del-flows", BR_PHY, "ip,nw_proto=47"]).map(drop)
}

#[test]
fn a_manager_watches_each_pair_of_hosts_and_names_what_is_cut() -> Result<()> {
    let config = NodeConfig { reconcile_interval: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("zonebfd", 3, config)?;
    let networks = [1, 2].map(|n| Network::numbered(n, Ipv6Policy::Allow));
    networks.iter().try_for_each(|network| cloud.mesh(network, &[1, 2, 3]).map(drop))?;
    (1..=3).try_for_each(|n: u16| cloud.plug(&networks[0], n.into(), n).map(drop))?;
    (1..=3).try_for_each(|n: u16| cloud.plug(&networks[1], n.into(), 10 + n).map(drop))?;
    let zone = Zone::acting(&cloud)?;
    zone.add_all(&cloud)?;

    let ports =
        |n: usize| -> Vec<String> { (1..=3).filter(|to| *to != n).map(|to| format!("t1001-{n}-{to}")).collect() };
    let all_up = || {
        (1..=3).try_for_each(|n| {
            let ports = ports(n);
            wait_for(&cloud, n, &ports.iter().map(String::as_str).collect::<Vec<_>>(), true)
        })
    };
    all_up()?;
    ensure!(column(&cloud, 1, "t1002-1-2")? == "{}", "one session for each two hosts");

    // A manager that starts does not know all hosts at once, and disturbs no session.
    let flaps = || -> Result<Vec<u32>> {
        let all: Vec<_> = (1..=3).map(|n| sessions(&cloud, n)).collect::<Result<_>>()?;
        Ok(all.into_iter().flatten().map(|(_, bfd)| bfd.flaps).collect())
    };
    let before = flaps()?;
    zone.kill();
    zone.start(&cloud)?;
    zone.wait_for_all(&cloud)?;
    std::thread::sleep(WHILE);
    let after = flaps()?;
    ensure!(before == after, "sessions were disturbed: {before:?}, then {after:?}");

    cut(&cloud, 1, 2)?;
    wait_for_faults(&zone, &cloud, &["direction:h1:h2"])?;
    let path = zone.ask(&cloud, |client| async move { client.path("h1", "h2", Some("key-1002")).await })?;
    let step = path.steps.iter().find(|step| step.check == "bfd").with_context(|| format!("{path:#?}"))?;
    ensure!(step.result == StepResult::Fail && step.evidence.contains("h2: BFD on t1001-2-1"), "{step:?}");
    cut(&cloud, 2, 1)?;
    wait_for_faults(&zone, &cloud, &["pair:h1:h2"])?;
    (1..=2).try_for_each(|n| heal(&cloud, n))?;
    wait_for_faults(&zone, &cloud, &[])?;
    all_up()?;

    // Nobody leads: it runs on. A manager that may not change hosts changes nothing of it, and reads it still.
    zone.kill();
    cut(&cloud, 1, 3)?;
    wait_until("host 3 to hear nothing of host 1", PATIENCE, || {
        let there = sessions(&cloud, 3)?;
        ensure!(there.iter().any(|(port, bfd)| port == "t1001-3-1" && bfd.state == Some(BfdState::Down)), "{there:?}");
        Ok(())
    })?;
    zone.set_controller(false)?;
    zone.start(&cloud)?;
    wait_for_faults(&zone, &cloud, &["direction:h1:h3"])?;
    heal(&cloud, 1)?;
    wait_for_faults(&zone, &cloud, &[])?;
    all_up()?;

    zone.kill();
    zone.set_controller(true)?;
    zone.set_bfd(false)?;
    zone.start(&cloud)?;
    wait_until("BFD to be gone from all hosts", PATIENCE, || {
        for n in 1..=3 {
            for port in ports(n) {
                let column = column(&cloud, n, &port)?;
                ensure!(column == "{}", "{port}: {column}");
            }
        }
        Ok(())
    })?;
    wait_for_faults(&zone, &cloud, &[])?;
    expect_unheard(&cloud)?;
    cloud.lab().deliver_all(&cloud.lab().every_flooded_kind())?.iter().try_for_each(|d| d.expect_once())
}
