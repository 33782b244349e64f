//! Probes while everything is killed: the manager, daemons and switches go and come at random while all tunnels are swept and BFD runs, and no VM
//! ever hears a frame of ours; at rest nothing is left of a probe, and nothing is told to be wrong.
//!
//! `OVSTUNNEL_PROBE_KILLS` sets how often (default 8), `OVSTUNNEL_SEED` the throws of the dice.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_client::FaultsWanted;
use ovstunnel_e2e::{Cloud, Dice, Network, NodeConfig, Zone, kill_something, number};
use ovstunnel_lab::wait_until;

use crate::sweep::{LISTEN, Script};

const NETWORK: &str = "key-1001";

const PATIENCE: Duration = Duration::from_secs(120);

/// Has the network swept again and again; how often it was, as far as somebody answered.
fn keep_sweeping(cloud: &Cloud, zone: &Zone, stop: &AtomicBool, swept: &AtomicU64) {
    while !stop.load(Ordering::Relaxed) {
        match zone.ask(cloud, |client| async move { client.sweep(NETWORK, false).await }) {
            Ok(sweep) if sweep.probed > 0 => drop(swept.fetch_add(1, Ordering::Relaxed)),
            // The manager is away, or it does not lead yet.
            _ => thread::sleep(Duration::from_millis(50)),
        }
    }
}

#[test]
fn no_vm_hears_a_probe_while_everything_is_killed() -> Result<()> {
    let (kills, seed) = (number("OVSTUNNEL_PROBE_KILLS", 8), number("OVSTUNNEL_SEED", 1));
    println!("{kills} kills, OVSTUNNEL_SEED={seed}");
    let config = NodeConfig { timeout: "5s".into(), reconcile_interval: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("probekill", 3, config)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2, 3])?;
    let vms = (1..=3).map(|n| cloud.plug(&network, n.into(), n)).collect::<Result<Vec<_>>>()?;
    let ears = vms.iter().map(|vm| Script::start(&cloud, vm, LISTEN)).collect::<Result<Vec<_>>>()?;
    let zone = Zone::acting(&cloud)?;
    zone.add_all(&cloud)?;
    zone.wait_until_whole(&cloud, NETWORK)?;
    let (stop, swept, mut dice) = (AtomicBool::new(false), AtomicU64::new(0), Dice::new(seed));
    let mut kill_all = || {
        for n in 0..kills {
            dice.pause(Duration::from_millis(1500));
            let what = kill_something(&cloud, &zone, &mut dice).with_context(|| format!("kill {n} of seed {seed}"))?;
            println!("{n}: {what}");
        }
        Ok::<_, anyhow::Error>(())
    };
    thread::scope(|scope| {
        let sweeping = scope.spawn(|| keep_sweeping(&cloud, &zone, &stop, &swept));
        let killed = kill_all();
        // Once more with all of them there.
        let before = swept.load(Ordering::Relaxed);
        let again = wait_until("a sweep after the last kill", PATIENCE, || {
            ensure!(swept.load(Ordering::Relaxed) > before + 1, "none has answered");
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        sweeping.join().map_err(|_| anyhow!("who has it swept panicked"))?;
        killed.and(again)
    })?;
    println!("{kills} kills, {} sweeps", swept.load(Ordering::Relaxed));
    (1..=3).try_for_each(|host| cloud.wait_until_ready(host))?;
    zone.wait_until_whole(&cloud, NETWORK)?;
    wait_until("no fault, and no flow of a probe", PATIENCE, || {
        let list = zone.ask(&cloud, |client| async move { client.faults(&FaultsWanted::default()).await })?;
        ensure!(list.faults.is_empty(), "{list:#?}");
        for host in 1..=3 {
            // The manager goes on sweeping once a minute: its flows end by themselves.
            let flows = cloud.node(host)?.host().ofctl(["dump-flows", "xapi1", "cookie=0x6f76736200000003/-1"])?;
            ensure!(!flows.contains("88b5"), "host {host}: {flows}");
        }
        Ok(())
    })?;
    for vm in &vms {
        let heard = vm.heard();
        ensure!(heard.to_bfd == 0 && heard.failure.is_none(), "{vm} heard {heard:?}");
    }
    ears.iter().try_for_each(Script::expect_nothing)?;
    zone.stop()
}
