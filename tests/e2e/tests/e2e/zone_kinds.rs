//! The manager changes the kind of a live network's tunnels and back: no frame is lost and none comes twice, though it is killed in each phase;
//! it waits for a host that is silent, and says for which; and while its controller is off it says what it would do.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::{KindStep, PostKind, TunnelKind};
use ovstunnel_e2e::{program, tunnel_kinds};
use ovstunnel_lab::{Host, Vm, wait_until};
use ovstunnel_manager_api::{HostState, NetworkKind, PutNetworkKind};

use crate::kind_changes::Traffic;
use crate::watch::Watcher;
use crate::zone_acts::Stage;

const PATIENCE: Duration = Duration::from_secs(60);

fn set(stage: &Stage, kind: TunnelKind) -> Result<()> {
    let body = PutNetworkKind { kind };
    stage.zone.ask(&stage.cloud, move |client| async move { client.put_network_kind("web", &body, false).await })?;
    Ok(())
}

/// What `zone apply` of such a file says.
fn apply(stage: &Stage, text: &str) -> Result<String> {
    let file = stage.zone.dir().join("zone.yaml");
    std::fs::write(&file, text)?;
    let mut command = stage.cloud.lab().fabric().command(program("ovstunnelctl")?);
    command.arg("--socket").arg(stage.zone.dir().join("manager.sock"));
    let output = command.args(["zone", "apply", "-f"]).arg(&file).output()?;
    let said = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Ok(said)
}

fn progress(stage: &Stage) -> Result<NetworkKind> {
    let network = stage.zone.network(&stage.cloud, "web")?;
    network.kind.ok_or_else(|| anyhow!("no kind is recorded: {:?}", network.record))
}

fn start_vms(stage: &Stage, hosts: u16) -> Result<Vec<Vm>> {
    let vms = (1..=hosts).map(|n| stage.start(n, n.into())).collect::<Result<Vec<Vm>>>()?;
    stage.expect_mesh(&(1..=usize::from(hosts)).collect::<Vec<_>>())?;
    Ok(vms)
}

/// The kinds of the tunnels on a switch, in order.
fn on_switch(stage: &Stage, host: usize) -> Result<Vec<String>> {
    tunnel_kinds(stage.cloud.node(host)?.host(), &stage.network.bridge)
}

/// Waits until the manager says that all have this kind, and looks at the switches.
fn wait_for_kind(stage: &Stage, kind: TunnelKind, hosts: usize) -> Result<()> {
    wait_until(format!("all hosts to have {kind}"), PATIENCE, || {
        let there = progress(stage)?;
        let is_it = there.next.is_none() && there.waits_for.is_empty() && there.hosts.len() == hosts;
        ensure!(is_it && there.to == kind, "{there:?}");
        Ok(())
    })?;
    for host in 1..=hosts {
        let there = on_switch(stage, host)?;
        ensure!(there == vec![kind.to_string(); hosts - 1], "host {host}: {there:?}");
    }
    stage.zone.wait_until_whole(&stage.cloud, "web")
}

/// What the manager has complained about.
fn complaints(stage: &Stage) -> Vec<String> {
    let log = stage.zone.log();
    let words = ["network_not_whole", "fault_found"];
    log.lines().filter(|line| words.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
}

#[test]
fn the_manager_changes_a_live_network_and_back() -> Result<()> {
    let stage = Stage::new("zonekind", 3, None)?;
    let vms = start_vms(&stage, 3)?;
    let traffic = Traffic::start(stage.cloud.lab(), &vms)?;
    let before = complaints(&stage).len();
    for kind in [TunnelKind::Vxlan, TunnelKind::Gre] {
        set(&stage, kind)?;
        wait_for_kind(&stage, kind, 3)?;
    }
    traffic.expect_each_frame_once()?;
    let complaints = complaints(&stage);
    ensure!(complaints.len() == before, "{:#?}", &complaints[before..]);
    let told = stage.zone.log().matches("event=\"network_kind_changed\"").count();
    ensure!(told == 2, "told {told} times that the kind has changed");
    stage.zone.stop()
}

#[test]
fn a_manager_that_is_killed_in_each_phase_goes_on() -> Result<()> {
    let stage = Stage::new("zonekindkill", 3, None)?;
    let vms = start_vms(&stage, 3)?;
    let traffic = Traffic::start(stage.cloud.lab(), &vms)?;
    for kind in [TunnelKind::Vxlan, TunnelKind::Gre] {
        set(&stage, kind)?;
        // The first host receives by it too; then it sends by it; then it has it alone.
        for done in [KindStep::Prepare, KindStep::Switch, KindStep::Finish] {
            wait_until(format!("the first host to {done}"), PATIENCE, || {
                let bridge = stage.network.bridge.clone();
                let there =
                    stage.cloud.call_on_host(1, move |client| async move { client.bridge(&bridge).await })??;
                let is_done = match done {
                    KindStep::Prepare => there.second.is_some() || there.kind == kind,
                    KindStep::Switch => there.kind == kind,
                    KindStep::Finish | KindStep::Abort => there.kind == kind && there.second.is_none(),
                };
                ensure!(is_done, "{} and {:?}", there.kind, there.second.map(|second| second.kind));
                Ok(())
            })?;
            stage.zone.kill();
            stage.zone.start(&stage.cloud)?;
        }
        wait_for_kind(&stage, kind, 3)?;
    }
    // What is wanted changes while it goes on.
    for kind in [TunnelKind::Vxlan, TunnelKind::Gre, TunnelKind::Vxlan, TunnelKind::Gre] {
        set(&stage, kind)?;
        stage.zone.kill();
        stage.zone.start(&stage.cloud)?;
    }
    wait_for_kind(&stage, TunnelKind::Gre, 3)?;
    traffic.expect_each_frame_once()?;
    stage.zone.stop()
}

#[test]
fn it_waits_for_a_silent_host_and_names_it_and_goes_back() -> Result<()> {
    let stage = Stage::new("zonekindwait", 4, None)?;
    let vms = start_vms(&stage, 3)?;
    let traffic = Traffic::start(stage.cloud.lab(), &vms)?;
    // Host 3 has done the first step, and its daemon dies: the others do it too, and nobody does the next. The manager would take that step back,
    // as nobody has told it of another kind, and cannot any more.
    let bridge = stage.network.bridge.clone();
    let body = PostKind { to: TunnelKind::Vxlan, step: KindStep::Prepare, force: false };
    stage.zone.while_frozen(|| {
        let (watcher, name) = (Watcher::new(stage.cloud.node(3)?.local_client()?)?, bridge.clone());
        let before = sent_by_https(stage.cloud.node(3)?.host())?;
        stage.cloud.call_on_host(3, move |client| async move { client.post_kind(&bridge, &body).await })??;
        // Whoever watches is told after the answer, and the manager has to find it when it goes on.
        wait_until("who watches to be told", PATIENCE, || {
            let known = watcher.known().bridges.get(&name).and_then(|bridge| bridge.second.clone());
            ensure!(known.is_some_and(|second| second.tunnels.len() == 2), "not yet");
            // One who watches is told after another: the bridge's tunnels, which are more than a sign of life.
            let now = sent_by_https(stage.cloud.node(3)?.host())?;
            let told = before.iter().any(|(peer, count)| now.get(peer).is_some_and(|now| *now > count + 500));
            ensure!(told, "the manager was told nothing: {before:?}, then {now:?}");
            Ok(())
        })?;
        stage.cloud.node(3)?.kill();
        Ok(())
    })?;
    wait_until("host 3 to be silent", PATIENCE, || {
        let hosts = stage.zone.ask(&stage.cloud, |client| async move { client.hosts().await })?.hosts;
        ensure!(hosts.iter().any(|host| host.name == "h3" && host.state == HostState::Silent), "{hosts:?}");
        Ok(())
    })?;
    set(&stage, TunnelKind::Vxlan)?;
    wait_for_third(&stage, KindStep::Switch)?;
    for host in 1..=3 {
        let there = on_switch(&stage, host)?;
        ensure!(there == ["gre", "gre", "vxlan", "vxlan"], "host {host}: {there:?}");
    }
    // Back: what it waits for is the same.
    set(&stage, TunnelKind::Gre)?;
    wait_for_third(&stage, KindStep::Finish)?;
    stage.cloud.node(3)?.start()?;
    wait_for_kind(&stage, TunnelKind::Gre, 3)?;
    // There at last, and a host that comes to the network meanwhile.
    set(&stage, TunnelKind::Vxlan)?;
    stage.start(4, 4)?;
    wait_for_kind(&stage, TunnelKind::Vxlan, 4)?;
    traffic.expect_each_frame_once()?;
    let probes = stage.cloud.lab().every_flooded_kind();
    stage.cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())?;
    stage.zone.stop()
}

/// Waits until all have both kinds, and the next step waits for host 3 alone.
/// Bytes that a host's daemon has sent by each open connection to its port for HTTPS, by the other end.
fn sent_by_https(host: &Host) -> Result<BTreeMap<String, u64>> {
    let told = host.run("ss", ["--tcp", "--info", "--oneline", "--no-header", "--numeric", "sport", "=", ":8443"])?;
    let sent = |line: &str| {
        let count = line.split_whitespace().find_map(|word| word.strip_prefix("bytes_sent:"))?;
        Some((line.split_whitespace().nth(4)?.to_owned(), count.parse().ok()?))
    };
    Ok(told.lines().filter_map(sent).collect())
}

fn wait_for_third(stage: &Stage, step: KindStep) -> Result<()> {
    wait_until("the change to wait for host 3", PATIENCE, || {
        let there = progress(stage)?;
        let [wait] = &there.waits_for[..] else { return Err(anyhow!("{there:?}")) };
        ensure!(wait.host == "h3" && wait.reason.contains("does not answer"), "{wait:?}");
        let have_both = there.hosts.iter().all(|host| host.kind == TunnelKind::Gre && host.second.is_some());
        ensure!(have_both && there.hosts.len() == 3 && there.next == Some(step), "{there:?}");
        Ok(())
    })
}

#[test]
fn while_its_controller_is_off_it_says_what_it_would_do() -> Result<()> {
    let stage = Stage::new("zonekindoff", 2, None)?;
    start_vms(&stage, 2)?;
    stage.zone.stop()?;
    stage.zone.set_controller(false)?;
    stage.zone.start(&stage.cloud)?;
    stage.zone.wait_for_all(&stage.cloud)?;
    // From a file, which names nothing else: the kind is recorded as by `zone network set`.
    let said = apply(&stage, "networks:\n  - {name: web, physical_network: p1, ipv6: allow, kind: geneve}\n")?;
    ensure!(said.contains("network web: to be updated\n  kind: none → geneve\n1 of 1 to be changed."), "{said}");
    let again = apply(&stage, "networks:\n  - {name: web, physical_network: p1, ipv6: allow}\n")?;
    ensure!(again.contains("0 of 1 to be changed."), "{again}");
    let there = progress(&stage)?;
    ensure!(there.held.as_ref().is_some_and(|held| held.contains("sdn.ovs.controller")), "{there:?}");
    let plan = stage.zone.ask(&stage.cloud, |client| async move { client.plan("web").await })?;
    let said: Vec<String> = plan.requests.iter().map(|request| format!("{} {}", request.host, request.path)).collect();
    ensure!(said == ["h1 /v1/bridges/ovt1001/kind", "h2 /v1/bridges/ovt1001/kind"], "{plan:?}");
    for host in 1..=2 {
        ensure!(on_switch(&stage, host)? == ["gre"], "host {host}");
    }
    stage.zone.stop()?;
    stage.zone.set_controller(true)?;
    stage.zone.start(&stage.cloud)?;
    wait_for_kind(&stage, TunnelKind::Geneve, 2)?;
    stage.zone.stop()
}
