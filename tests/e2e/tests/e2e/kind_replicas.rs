//! Two managers, of which the one that leads is killed while it changes the kind of a network's tunnels: the other one leads under a higher epoch
//! and brings the change to an end; VMs lose no frame and get none twice.

use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_api::{KindStep, TunnelKind};
use ovstunnel_e2e::{Replicas, tunnel_kinds};
use ovstunnel_lab::{Signal, Vm, wait_until};
use ovstunnel_manager_api::PutNetworkKind;

use crate::kind_changes::Traffic;
use crate::replicas::{HOSTS, Stage, network};

const PATIENCE: Duration = Duration::from_secs(60);

/// The host of which the daemon stands still, so that a step is done on the others alone.
const HELD: usize = 3;

#[test]
fn a_follower_brings_a_change_of_kind_to_an_end() -> Result<()> {
    let mut stage = Stage::new("kindreplicas", |cloud| Replicas::new(cloud, 2))?;
    let (mut leader, mut epoch) = stage.managers.wait_for_leader(&stage.cloud, None)?;
    (1..=HOSTS).try_for_each(|host| stage.prepare(leader, host))?;
    let plug = |host: usize| stage.cloud.plug(&network(), host, u16::try_from(host)?);
    let vms = (1..=HOSTS).map(plug).collect::<Result<Vec<Vm>>>()?;
    (1..=2).try_for_each(|manager| stage.wait_for_picture(manager, HOSTS))?;
    let traffic = Traffic::start(stage.cloud.lab(), &vms)?;
    for (kind, step) in [(TunnelKind::Vxlan, KindStep::Prepare), (TunnelKind::Gre, KindStep::Switch)] {
        leader_dies_in(&mut stage, leader, kind, step)?;
        let (next, later) = stage.managers.wait_for_leader(&stage.cloud, Some(leader))?;
        ensure!(next != leader && later > epoch, "m{next} leads under {later}, after m{leader} under {epoch}");
        if step == KindStep::Prepare {
            stage.cloud.node(HELD)?.signal(Signal::SIGCONT)?;
        }
        wait_for_kind(&stage, next, kind)?;
        stage.expect_epoch(later)?;
        stage.managers.start(&stage.cloud, leader)?;
        (leader, epoch) = (next, later);
    }
    traffic.expect_each_frame_once()?;
    stage.managers.stop()
}

/// Begins a change, and kills the manager that leads as soon as the first two hosts have done this step; of the first one, while the third
/// host has not.
fn leader_dies_in(stage: &mut Stage, leader: usize, kind: TunnelKind, step: KindStep) -> Result<()> {
    let is_held = step == KindStep::Prepare;
    if is_held {
        stage.cloud.node(HELD)?.signal(Signal::SIGSTOP)?;
    }
    stage.managers.ask(&stage.cloud, leader, move |client| async move {
        client.put_network_kind("web", &PutNetworkKind { kind }, false).await
    })?;
    wait_until(format!("hosts 1 and 2 to {step}"), PATIENCE, || {
        for host in [1, 2] {
            let bridge = network().bridge;
            let there = stage.cloud.call_on_host(host, |client| async move { client.bridge(&bridge).await })??;
            let has_prepared = there.second.is_some() || there.kind == kind;
            let is_done = if is_held { has_prepared } else { there.kind == kind };
            ensure!(is_done, "host {host}: {} and {:?}", there.kind, there.second.map(|second| second.kind));
        }
        Ok(())
    })?;
    stage.managers.kill(leader)?;
    if is_held {
        for host in 1..=HOSTS {
            let kinds = tunnel_kinds(stage.cloud.node(host)?.host(), &network().bridge)?;
            let wanted: &[&str] = if host == HELD { &["gre", "gre"] } else { &["gre", "gre", "vxlan", "vxlan"] };
            ensure!(kinds == wanted, "host {host}: {kinds:?}");
        }
    }
    Ok(())
}

/// Waits until this manager says that all have the kind, and looks at the switches.
fn wait_for_kind(stage: &Stage, manager: usize, kind: TunnelKind) -> Result<()> {
    wait_until(format!("all hosts to have {kind}"), PATIENCE, || {
        let network = stage.managers.ask(&stage.cloud, manager, |client| async move { client.network("web").await })?;
        let there = network.kind.as_ref();
        let is_it = there.is_some_and(|there| {
            there.to == kind && there.next.is_none() && there.waits_for.is_empty() && there.hosts.len() == HOSTS
        });
        ensure!(is_it, "{there:?}");
        Ok(())
    })?;
    for host in 1..=HOSTS {
        let there = tunnel_kinds(stage.cloud.node(host)?.host(), &network().bridge)?;
        ensure!(there == vec![kind.to_string(); HOSTS - 1], "host {host}: {there:?}");
    }
    stage.wait_for_picture(manager, HOSTS)
}
