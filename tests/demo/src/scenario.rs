//! The story, act by act: networks are set up, a switch dies and comes back, or a protection is taken away.
//!
//! It fills the report and tells the progress; it must not judge (see `verdict.rs`) or make tables (see `show`).

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use ovstunnel_api::HealthState;
use ovstunnel_e2e::program;
use ovstunnel_lab::{DEADLINE, Host, Signal, run, wait_until};

use crate::cli::{Broken, Cli};
use crate::count::{self, Ipv6Drop};
use crate::progress::Progress;
use crate::report::{
    BridgeReport, BridgeShow, HostReport, NetworkReport, Report, Restart, Round, RoundName, Told, VmReport,
};
use crate::stage::{Stage, Tenant, milliseconds};

/// The host whose switch is killed.
const VICTIM: usize = 2;

/// How long a frame may circle without split horizon: enough to see it, little enough for a small machine.
const STORM: Duration = Duration::from_millis(250);

/// Our flows, by the first half of their cookie.
const OUR_FLOWS: &str = "cookie=0x6f76737400000000/0xffffffff00000000";

/// Puts the stage up: hosts, networks, VMs.
pub fn set_up(cli: &Cli, progress: &Progress) -> Result<Stage> {
    let what = format!("{} hosts, each with its own Open vSwitch and ovstunneld", cli.hosts);
    let mut stage = progress.step(&what, || Stage::new(cli.hosts))?;
    match cli.plugin {
        false => progress.step("networks red and blue, by HTTPS requests to the daemons", || {
            stage.set_up_red()?;
            stage.set_up_blue()
        })?,
        true => progress.step("networks red and blue, by the plugin program as xapi runs it", || {
            stage.set_up_by_plugin("red", 1)?;
            stage.set_up_by_plugin("blue", 2)
        })?,
    }
    let vms = if cli.vms == 1 { "a VM".to_owned() } else { format!("{} VMs", cli.vms) };
    progress.step(&format!("{vms} of each network on each host, by udev"), || stage.plug_vms(cli.vms))?;
    Ok(stage)
}

/// Everything that is sent and counted.
pub fn play(stage: &Stage, broken: Option<Broken>, progress: &Progress) -> Result<Report> {
    let mut report = Report { ovstunnel: env!("CARGO_PKG_VERSION").to_owned(), ..Report::default() };
    report.open_vswitch = stage.open_vswitch()?;
    report.by_plugin = stage.by_plugin();
    report.hosts = stage.cloud.nodes().iter().map(|node| host_report(node.host(), node.url())).collect();
    report.plugs = stage.plugs.clone();
    report.rounds.push(round(stage, RoundName::NewMesh, "the networks are new", progress)?);
    match broken {
        None => restart(stage, &mut report, progress)?,
        Some(Broken::SplitHorizon) => break_split_horizon(stage, &mut report, progress)?,
        Some(Broken::Flows) => delete_flows(stage, &mut report, progress)?,
        Some(Broken::ForeignDrop) => drop_by_another(stage, &mut report, progress)?,
    }
    report.networks =
        stage.tenants.iter().map(|tenant| network_report(stage, tenant)).collect::<Result<_>>().context("the end")?;
    report.bridge_show = Some(bridge_show(stage)?);
    report.requests = stage.take_requests();
    Ok(report)
}

/// Pings and frames of a round in which all is as usual.
fn round(stage: &Stage, name: RoundName, what: &str, progress: &Progress) -> Result<Round> {
    let pings = progress.step(&format!("pings between all VMs: {what}"), || count::pings(stage))?;
    let frames = progress.step(&format!("frames from every VM: {what}"), || count::frames(stage, Ipv6Drop::Tried))?;
    Ok(Round { name, what: what.to_owned(), pings, frames })
}

/// Kills the switch of one host. It comes back, first without any flow of ours, then the daemon puts them back.
///
/// The daemon is held while frames are sent without flows: it is too quick to be watched. That a frame is not doubled in
/// between is not its doing but that of `Port.protected`, which is in the switch's database. What depends on flows alone,
/// the dropping of IPv6, is left out at that moment.
fn restart(stage: &Stage, report: &mut Report, progress: &Progress) -> Result<()> {
    let node = stage.cloud.node(VICTIM)?;
    let host = node.host();
    let flows_before = our_flows(stage, host)?;
    node.signal(Signal::SIGSTOP)?;
    let killed = Instant::now();
    progress.step(&format!("ovs-vswitchd of {} killed with SIGKILL and started again", host.name()), || {
        host.kill_vswitchd();
        host.start_vswitchd()
    })?;
    let switch_back = killed.elapsed();
    let before = our_flows(stage, host)?;
    let what = format!("{} is back without flows", host.name());
    let frames = progress.step(&format!("frames from every VM: {what}"), || count::frames(stage, Ipv6Drop::LeftOut))?;
    let flows_when_sent = [before, our_flows(stage, host)?];
    report.rounds.push(Round { name: RoundName::NoFlows, what, pings: Vec::new(), frames });
    let going_on = Instant::now();
    progress.step(&format!("ovstunneld of {} puts its flows back", host.name()), || {
        node.signal(Signal::SIGCONT)?;
        stage.tenants.iter().try_for_each(|tenant| stage.cloud.wait_for_rules(&tenant.network, VICTIM))
    })?;
    let flows_back_ms = milliseconds(going_on.elapsed());
    let flows_after = our_flows(stage, host)?;
    let (host, switch_back_ms) = (host.name().to_owned(), milliseconds(switch_back));
    let what = format!("{host} has its flows again");
    report.restart = Some(Restart { host, flows_before, flows_when_sent, switch_back_ms, flows_back_ms, flows_after });
    report.rounds.push(round(stage, RoundName::FlowsBack, &what, progress)?);
    Ok(())
}

/// Takes split horizon from all tunnels of the first network, sends one frame, and has the daemons mend it.
fn break_split_horizon(stage: &Stage, report: &mut Report, progress: &Progress) -> Result<()> {
    let tenant = stage.tenants.first().context("there is no network")?;
    let nodes = stage.cloud.nodes();
    nodes.iter().try_for_each(|node| node.signal(Signal::SIGSTOP))?;
    for (host, node) in (1..).zip(nodes) {
        let tunnels = tunnels_of(node.host(), tenant)?;
        let clear =
            |tunnel: &String| ["--".into(), "set".into(), "Port".into(), tunnel.clone(), "protected=false".into()];
        let commands: Vec<String> = tunnels.iter().flat_map(clear).collect();
        node.host().vsctl(commands).with_context(|| format!("clearing the protection on host {host}"))?;
    }
    let what = "split horizon is taken away".to_owned();
    let frames = progress.step(&format!("one broadcast frame: {what}"), || count::one_broadcast(stage, STORM))?;
    report.rounds.push(Round { name: RoundName::Unprotected, what, pings: Vec::new(), frames });
    let going_on = Instant::now();
    progress.step("the daemons protect the tunnels again", || {
        nodes.iter().try_for_each(|node| node.signal(Signal::SIGCONT))?;
        nodes.iter().try_for_each(|node| wait_until_protected(node.host(), tenant))
    })?;
    report.mended_ms = Some(milliseconds(going_on.elapsed()));
    // No pings: what the switches have learnt from the circling frame holds until each VM sends its next one.
    let what = "the daemons have protected all tunnels again by themselves".to_owned();
    let frames = progress.step(&format!("frames from every VM: {what}"), || count::frames(stage, Ipv6Drop::Tried))?;
    report.rounds.push(Round { name: RoundName::Mended, what, pings: Vec::new(), frames });
    Ok(())
}

/// Deletes every flow of the first network's bridges, Open vSwitch's own too, while the daemons are held.
fn delete_flows(stage: &Stage, report: &mut Report, progress: &Progress) -> Result<()> {
    let tenant = stage.tenants.first().context("there is no network")?;
    let nodes = stage.cloud.nodes();
    nodes.iter().try_for_each(|node| node.signal(Signal::SIGSTOP))?;
    nodes.iter().try_for_each(|node| node.host().ofctl(["del-flows", &tenant.network.bridge]).map(drop))?;
    nodes.iter().try_for_each(|node| wait_until_in_force(node.host()))?;
    let what = format!("every flow of {}'s bridges is deleted, the daemons are held", tenant.name);
    let frames = progress.step(&format!("one broadcast frame: {what}"), || count::one_broadcast(stage, STORM))?;
    report.rounds.push(Round { name: RoundName::Broken, what, pings: Vec::new(), frames });
    let going_on = Instant::now();
    progress.step("the daemons put the flows back", || {
        nodes.iter().try_for_each(|node| node.signal(Signal::SIGCONT))?;
        stage.members().into_iter().try_for_each(|number| stage.cloud.wait_for_rules(&tenant.network, number))
    })?;
    report.mended_ms = Some(milliseconds(going_on.elapsed()));
    report.rounds.push(round(stage, RoundName::Mended, "the daemons have put the flows back by themselves", progress)?);
    Ok(())
}

/// Lays a flow of somebody else's that drops, waits for what the daemon says of it, and follows its remedy as it stands.
fn drop_by_another(stage: &Stage, report: &mut Report, progress: &Progress) -> Result<()> {
    let tenant = stage.tenants.first().context("there is no network")?;
    let (host, bridge) = (stage.cloud.node(1)?.host(), &tenant.network.bridge);
    host.ofctl(["add-flow", bridge, "priority=1250,actions=drop"])?;
    wait_until_in_force(host)?;
    let what = format!("somebody's flow drops what {}'s VMs on {} send and get", tenant.name, host.name());
    let frames = progress.step(&format!("one broadcast frame: {what}"), || count::one_broadcast(stage, STORM))?;
    report.rounds.push(Round { name: RoundName::Broken, what, pings: Vec::new(), frames });
    let begun = Instant::now();
    let told = progress.step("the daemon says what cuts the VMs off", || wait_until_told(stage, tenant))?;
    let command = told.remedy.split('`').nth(1).with_context(|| format!("no command in: {}", told.remedy))?;
    let command = command.to_owned();
    report.told.push(told);
    progress.step(&format!("its remedy: {command}"), || {
        host.run("sh", ["-c", &command])?;
        wait_until("the bridge to be well again", Duration::from_secs(60), || {
            match stage.bridge(1, &tenant.network)?.health {
                health if health.state == HealthState::Ok => Ok(()),
                health => Err(anyhow!("{health:?}")),
            }
        })
    })?;
    report.mended_ms = Some(milliseconds(begun.elapsed()));
    report.rounds.push(round(stage, RoundName::Mended, "the flow is gone, and the bridge is well again", progress)?);
    Ok(())
}

/// The datapath goes by its old flows until `revalidator` threads have compared them with the tables.
fn wait_until_in_force(host: &Host) -> Result<()> {
    host.appctl(["revalidator/wait"]).map(drop)
}

fn wait_until_told(stage: &Stage, tenant: &Tenant) -> Result<Told> {
    let host = stage.cloud.node(1)?.host().name().to_owned();
    wait_until("the daemon to say what cuts VMs off", Duration::from_secs(60), || {
        let health = stage.bridge(1, &tenant.network)?.health;
        let reason = health.reasons.iter().find(|reason| reason.what == "shadowing_flow");
        let reason = reason.with_context(|| format!("{:?}", health.reasons))?;
        let ovstunnel_api::Reason { what, evidence, remedy, .. } = reason.clone();
        anyhow::Ok(Told { host: host.clone(), what, evidence, remedy })
    })
}

fn tunnels_of(host: &Host, tenant: &Tenant) -> Result<Vec<String>> {
    let ports = host.vsctl(["list-ports", &tenant.network.bridge])?;
    Ok(ports.lines().filter(|port| !port.starts_with("vif")).map(str::to_owned).collect())
}

fn wait_until_protected(host: &Host, tenant: &Tenant) -> Result<()> {
    let tunnels = tunnels_of(host, tenant)?;
    wait_until(format!("the tunnels of {} to be protected again", host.name()), Duration::from_secs(20), || {
        let open = host.vsctl(["--columns=name", "--bare", "find", "Port", "protected=false"])?;
        match tunnels.iter().find(|tunnel| open.lines().any(|port| port == tunnel.as_str())) {
            None => Ok(()),
            Some(tunnel) => Err(anyhow!("{tunnel} is not protected")),
        }
    })
}

/// How many flows of ours both networks have on a host.
fn our_flows(stage: &Stage, host: &Host) -> Result<usize> {
    stage.tenants.iter().map(|tenant| flows_of(host, tenant).map(|flows| flows.len())).sum()
}

/// Our flows of one bridge, as the switch shows them.
fn flows_of(host: &Host, tenant: &Tenant) -> Result<Vec<String>> {
    let flows = host.ofctl(["--no-stats", "--no-names", "dump-flows", &tenant.network.bridge, OUR_FLOWS])?;
    let lines = flows.lines().map(str::trim).filter(|line| line.contains("cookie="));
    Ok(lines.map(str::to_owned).collect())
}

fn host_report(host: &Host, url: String) -> HostReport {
    HostReport {
        name: host.name().to_owned(),
        ip: host.ip().to_string(),
        url,
        namespace: host.netns().name().to_owned(),
        rundir: host.rundir().display().to_string(),
    }
}

fn network_report(stage: &Stage, tenant: &Tenant) -> Result<NetworkReport> {
    let vms = tenant.vms.iter().map(|vm| VmReport {
        name: vm.name().to_owned(),
        host: vm.host().name().to_owned(),
        ip: vm.ip().to_string(),
        mac: vm.mac().to_string(),
        vif: vm.vif(),
    });
    let bridge = |number: usize| -> Result<BridgeReport> {
        let host = stage.cloud.node(number)?.host();
        let bridge = stage.bridge(number, &tenant.network)?;
        Ok(BridgeReport { host: host.name().to_owned(), bridge, flows: flows_of(host, tenant)? })
    };
    Ok(NetworkReport {
        name: tenant.name.to_owned(),
        key: tenant.network.key,
        bridge: tenant.network.bridge.clone(),
        ipv6: tenant.network.ipv6,
        vms: vms.collect(),
        bridges: stage.members().into_iter().map(bridge).collect::<Result<_>>()?,
    })
}

/// What an operator sees on the first host.
fn bridge_show(stage: &Stage) -> Result<BridgeShow> {
    let (node, tenant) = (stage.cloud.node(1)?, stage.tenants.first().context("there is no network")?);
    let mut command = node.host().command(program("ovstunnelctl")?);
    command.arg("--socket").arg(node.socket()).args(["bridge", "show", &tenant.network.bridge]);
    let output = run(command, DEADLINE)?;
    let command = format!("ovstunnelctl bridge show {}", tenant.network.bridge);
    Ok(BridgeShow { host: node.host().name().to_owned(), command, output })
}
