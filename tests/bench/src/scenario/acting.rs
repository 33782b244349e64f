//! What a cloud waits for: a NIC on a fourth real host, until its network is whole, and how much of that the switches are at work. And what an operator
//! waits for who asks with real frames why one host does not reach another one.
//!
//! Beside it is what CloudStack's management server does for the same: a set-up, and then for each other host a tunnel there and one back, one call
//! after the other, by the Python plugin's commands.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ovstunnel_e2e::{Cloud, Zone};
use ovstunnel_lab::wait_until;
use ovstunnel_manager_api::{Isolation, NicOutcome, PostPath, PutNetwork, PutNic, PutPhysicalNetwork, StepResult};

use crate::contender::plugin;
use crate::ground::{Race, config};
use crate::report::{Goal, Line, Unit, Who};
use crate::rows::{Network, Tunnel};
use crate::scale::Scale;
use crate::stats::Samples;

/// The part of the benchmark that it is told with: what the plugin's commands are beside.
const PART: &str = "programs";

const DEADLINE: Duration = Duration::from_secs(30);

/// Hosts of the network, the one that comes counted.
const HOSTS: usize = 4;

/// Brings a network to a fourth host, again and again.
pub fn lines(scale: &Scale) -> Result<Vec<Line>> {
    crate::progress("a manager over four real hosts: a NIC on the fourth");
    let cloud = Cloud::with_config("acting", HOSTS, config())?;
    let zone = Zone::acting(&cloud)?;
    zone.add_all(&cloud)?;
    zone.ask(&cloud, |client| async move {
        let vnet = "1001-2000".to_owned();
        let physical =
            PutPhysicalNetwork { isolation: Isolation::Gre, vnet, label: None, label_xen: None, label_kvm: None };
        client.put_physical_network("p1", &physical, false).await?;
        let (number, key, ipv6, mtu) = (None, Some(1001), None, None);
        let web = PutNetwork { physical_network: "p1".into(), number, key, adopt: false, ipv6, mtu };
        client.put_network("web", &web, false).await
    })?;
    (1..HOSTS).try_for_each(|host| prepare(&cloud, &zone, host))?;
    let (mut race, mut shares) = (Race::default(), Samples::default());
    for _ in 0..scale.plugin_rounds {
        let (before, start) = (at_work(&cloud)?, Instant::now());
        prepare(&cloud, &zone, HOSTS)?;
        let took = start.elapsed();
        race.push(Who::Daemon, took);
        let after = at_work(&cloud)?;
        // All work at the same time: the one that takes longest is what the cloud waits for.
        let longest = before.iter().zip(&after).map(|(before, after)| after - before).fold(0.0, f64::max);
        shares.push(100.0 * longest / took.as_secs_f64());
        zone.ask(&cloud, |client| async move { client.release_nic("web", &nic(HOSTS), None, false).await })?;
        zone.wait_for_hosts(&cloud, "web", &[1, 2, 3])?;
        race.push(Who::Plugin, one_after_the_other(&cloud)?);
    }
    let whole = race.median(PART, "ovstunnel-manager: a NIC on a fourth host, until its network is whole there");
    let share =
        Line::new(PART, "the same: share of it that a switch is at work", Unit::Percent, shares.median(), shares.len());
    let goal = Goal::at_least(shares.median(), 80.0, "%", "of call to whole");
    let [pass, lost] = with_frames(&cloud, &zone, scale)?;
    Ok(vec![whole, share.goal(goal), pass, lost])
}

/// The question why one host does not reach another one, with real frames: while they arrive, and while those of one direction get lost on the way,
/// so that they are sent again and smaller.
fn with_frames(cloud: &Cloud, zone: &Zone, scale: &Scale) -> Result<[Line; 2]> {
    const LOST: &str = "cookie=0x77,priority=65000,ip,nw_proto=47";
    // While it is switched on at one end and not yet at the other one, BFD hears nothing, which is told.
    zone.set_bfd(false)?;
    zone.stop()?;
    zone.start(cloud)?;
    prepare(cloud, zone, HOSTS)?;
    let line = |what: &str, took: &Samples| {
        let line = Line::new(PART, what, Unit::Seconds, took.median(), took.len());
        line.goal(Goal::at_most(took.max(), 3.0, "s", "at the longest"))
    };
    let send = || {
        let (from, to) = ("h1".to_owned(), format!("h{HOSTS}"));
        let body = PostPath { from, to, network: Some("web".to_owned()), packet: None, send: true };
        zone.ask(cloud, move |client| async move { client.post_path(&body).await })
    };
    wait_until("the way to be good", DEADLINE, || {
        let path = send()?;
        ensure!(path.first_failure.is_none(), "{path:#?}");
        Ok(())
    })?;
    let ask = |arrive: bool| -> Result<Samples> {
        let mut took = Samples::default();
        for _ in 0..scale.plugin_rounds {
            let start = Instant::now();
            let path = send()?;
            took.push(start.elapsed().as_secs_f64());
            // What gets lost may be seen by other things before it is sent.
            let sent = path.steps.iter().filter(|step| step.check == "send");
            let lost = sent.clone().filter(|step| step.result == StepResult::Fail).count();
            ensure!((sent.count(), lost) == (2, usize::from(!arrive)), "{path:#?}");
            ensure!(path.first_failure.is_none() == arrive, "{path:#?}");
        }
        Ok(took)
    };
    let pass = ask(true)?;
    let (one, last) = (cloud.node(1)?.host(), cloud.node(HOSTS)?.host());
    last.ofctl(["add-flow", "br-phy", &format!("{LOST},nw_src={},actions=drop", one.ip())])?;
    let lost = ask(false)?;
    Ok([
        line("ovstunnel-manager: why one host does not reach another, with frames that arrive", &pass),
        line("the same, with frames that get lost", &lost),
    ])
}

fn nic(host: usize) -> String {
    format!("n{host}")
}

/// A NIC on a host; returns once the network is whole there.
fn prepare(cloud: &Cloud, zone: &Zone, host: usize) -> Result<()> {
    let (name, wait) = (format!("h{host}"), Some("60s".into()));
    let body = PutNic { host: name, vm: None, mac: None, ip: None, bridge: None, wait, how: None };
    let answer =
        zone.ask(cloud, move |client| async move { client.prepare_nic("web", &nic(host), &body, false).await })?;
    ensure!(answer.outcome == NicOutcome::Ready, "{answer:?}");
    Ok(())
}

/// For how long each host has carried out batches of changes on its switch, one after the other, in seconds.
fn at_work(cloud: &Cloud) -> Result<Vec<f64>> {
    cloud.nodes().iter().map(|node| node.metric("ovstunnel_batch_seconds_sum")).collect()
}

/// CloudStack's calls for a host that comes to three, by the plugin's commands.
fn one_after_the_other(cloud: &Cloud) -> Result<Duration> {
    let network = Network::new("others7201", 7201, 0);
    let mut took = Duration::ZERO;
    for number in 1..HOSTS {
        // What they have from before costs nobody's time.
        plugin::set_up_bridge(cloud.node(number)?.host(), &network)?;
    }
    took += plugin::set_up_bridge(cloud.node(HOSTS)?.host(), &network)?;
    for other in 1..HOSTS {
        for (from, to) in [(HOSTS, other), (other, HOSTS)] {
            let tunnel = Tunnel { key: network.key, to: u64::try_from(to)? };
            took += plugin::add(cloud.node(from)?.host(), &network.bridge, &tunnel)?;
        }
    }
    cloud.nodes().iter().try_for_each(|node| plugin::remove_bridge(node.host(), &network.bridge).map(drop))?;
    Ok(took)
}
