//! `[network] vif_broadcast_pps`: a VM's flood of broadcast frames reaches other hosts at about the limit, its unicast is
//! not limited, and rule and meter come and go together. Where the switch has no meters the rules are there without.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Ipv6Policy, TunnelKind};
use ovstunnel_e2e::{Cloud, Network, NodeConfig, expect_tunnels, our_flows, wait_for_exact_rules};
use ovstunnel_lab::{Host, Kind, Signal, Switch, Vm, wait_until};

const LIMIT: u32 = 50;
const SOON: Duration = Duration::from_secs(20);

fn limited(limit: u32) -> NodeConfig {
    NodeConfig { vif_broadcast_pps: limit, ..NodeConfig::default() }
}

/// The meters of a bridge, each as number and rate.
fn meters(host: &Host, bridge: &str) -> Result<BTreeSet<(u32, u32)>> {
    let dump = host.ofctl(["dump-meters", bridge])?;
    let number = |text: &str, key: &str| {
        let digits = text.split(key).nth(1)?;
        digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    let whole = dump.split("meter=").skip(1).map(|meter| format!("meter={meter}"));
    whole.map(|meter| Some((number(&meter, "meter=")?, number(&meter, "rate=")?))).collect::<Option<_>>().context(dump)
}

/// Waits until a bridge has the rules of its VIFs, each with its meter of this rate, and no other meter.
fn wait_for_meters(host: &Host, network: &Network, rate: u32) -> Result<()> {
    wait_until("each VIF's meter", SOON, || {
        let vifs = ovstunnel_e2e::exact_rules(host, network)?;
        let ofports = vifs.iter().map(|vif| Ok((host.vsctl(["get", "Interface", vif, "ofport"])?.parse()?, rate)));
        let (wanted, there) = (ofports.collect::<Result<BTreeSet<(u32, u32)>>>()?, meters(host, &network.bridge)?);
        ensure!(there == wanted, "meters {there:?} instead of {wanted:?}");
        let flows = our_flows(host, &network.bridge)?;
        let metered = |number: &u32| flows.iter().filter(|f| f.contains(&format!("actions=meter:{number},"))).count();
        ensure!(wanted.iter().all(|(number, _)| metered(number) == 1), "{}", flows.join("\n"));
        Ok(())
    })
}

/// Sends frames of a kind for about two seconds: how many were sent, how many each of these VMs got.
fn flood(cloud: &Cloud, from: &Vm, kind: Kind, at: &[&Vm]) -> Result<(u64, Vec<u64>, Duration)> {
    let started = Instant::now();
    let stream = cloud.lab().stream(from, &[kind], Duration::from_millis(1))?;
    wait_until("two seconds of frames", SOON, || match started.elapsed() {
        so_far if so_far >= Duration::from_secs(2) => Ok(()),
        so_far => Err(format!("{so_far:?}")),
    })?;
    let sending = started.elapsed();
    let report = stream.stop()?;
    report.expect_no_duplicates()?;
    let once = at.iter().map(|vm| report.shares.get(vm.name()).map(|share| share.once).context("a receiver"));
    Ok((report.sent, once.collect::<Result<_>>()?, sending))
}

/// How a daemon is told of a new configuration.
#[derive(Clone, Copy, Debug)]
enum By {
    Restart,
    Sighup,
}

/// Writes the limit into the configuration file, as an operator does, and has the daemon take it up.
fn set_limit(cloud: &Cloud, from: u32, to: u32, by: By) -> Result<()> {
    let node = cloud.node(1)?;
    let line = |limit| format!("vif_broadcast_pps = {limit}\n");
    let text = fs::read_to_string(node.config_file())?;
    ensure!(text.contains(&line(from)), "{text}");
    fs::write(node.config_file(), text.replace(&line(from), &line(to)))?;
    match by {
        By::Sighup => node.signal(Signal::SIGHUP),
        By::Restart => {
            node.stop()?;
            node.start()?;
            cloud.wait_until_ready(1)
        }
    }
}

#[test]
fn broadcast_is_limited_at_its_vif_unicast_is_not() -> Result<()> {
    limits_broadcast_alone("flood", TunnelKind::Gre)
}

#[test]
fn broadcast_is_limited_before_vxlan() -> Result<()> {
    limits_broadcast_alone("floodvx", TunnelKind::Vxlan)
}

#[test]
fn broadcast_is_limited_before_geneve() -> Result<()> {
    limits_broadcast_alone("floodgen", TunnelKind::Geneve)
}

fn limits_broadcast_alone(tag: &str, kind: TunnelKind) -> Result<()> {
    let cloud = Cloud::with_config(tag, 2, NodeConfig { tunnel: format!("kind = \"{kind}\"\n"), ..limited(LIMIT) })?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2])?;
    let (loud, quiet) = (cloud.plug(&network, 1, 1)?, cloud.plug(&network, 1, 2)?);
    let far = cloud.plug(&network, 2, 3)?;
    for number in [1, 2] {
        wait_for_meters(cloud.node(number)?.host(), &network, LIMIT)?;
        expect_tunnels(cloud.node(number)?.host(), &network.bridge, kind, 1)?;
    }
    let (sent, got, took) = flood(&cloud, &loud, Kind::Broadcast, &[&quiet, &far])?;
    // The burst of one second, then the rate.
    let most = f64::from(LIMIT) * (took.as_secs_f64() + 1.0) * 1.5;
    println!("{sent} broadcast frames in {took:?} with a limit of {LIMIT} a second: {got:?} arrived");
    for got in &got {
        ensure!(*got >= u64::from(LIMIT), "{got} of {sent}: less than the burst");
        ensure!((*got as f64) < most && *got < sent / 2, "{got} of {sent}: no more than {most} were to come");
    }
    // Another VM's limit is its own, and unicast has none.
    cloud.lab().deliver(&quiet, Kind::Broadcast)?.expect_once()?;
    cloud.lab().announce_all()?;
    let (sent, got, _) = flood(&cloud, &loud, far.as_target(), &[&far])?;
    println!("{sent} unicast frames: {got:?} arrived");
    ensure!(got[0] * 10 >= sent * 9, "unicast is limited: {got:?} of {sent}");
    Ok(())
}

#[test]
fn a_meter_lives_and_dies_with_its_rule() -> Result<()> {
    let cloud = Cloud::with_config("meter", 1, limited(LIMIT))?;
    let (node, network) = (cloud.node(1)?, Network::numbered(1, Ipv6Policy::Drop));
    let host = node.host();
    cloud.join(&network, 1, &[1])?;
    let (_stays, goes) = (cloud.plug(&network, 1, 1)?, cloud.plug(&network, 1, 2)?);
    wait_for_meters(host, &network, LIMIT)?;
    goes.destroy()?;
    wait_for_meters(host, &network, LIMIT)?;
    assert_eq!(meters(host, &network.bridge)?.len(), 1, "the meter has gone with its VIF");

    host.kill_vswitchd();
    host.start_vswitchd()?;
    wait_for_meters(host, &network, LIMIT)?;
    // Another limit, one that leaves the same trace in the cookie, none, and one again.
    let limits = [LIMIT, 80, 80 + 255, 0, LIMIT];
    for by in [By::Restart, By::Sighup] {
        for pair in limits.windows(2) {
            set_limit(&cloud, pair[0], pair[1], by)?;
            match pair[1] {
                0 => wait_until("no limit, no meter", SOON, || match meters(host, &network.bridge)? {
                    there if there.is_empty() => Ok(()),
                    there => Err(anyhow::anyhow!("{there:?}")),
                })?,
                limit => wait_for_meters(host, &network, limit).with_context(|| format!("{by:?}: {pair:?}"))?,
            }
            wait_for_exact_rules(host, &network)?;
        }
    }
    // Somebody deletes all meters, and with them Open vSwitch deletes the rules.
    host.ofctl(["del-meter", &network.bridge, "meter=all"])?;
    let client = node.local_client()?;
    cloud.manager().run(async move { client.reconcile().await })?;
    wait_for_meters(host, &network, LIMIT)
}

/// An `ovs-ofctl` whose switch has no meters, in the words of one.
fn without_meters(dir: &Path) -> Result<()> {
    let real = Switch::from_environment()?.bin_dir();
    let script = "#!/bin/sh\ncase \" $* \" in\n*-meter\\ *) echo 'OFPT_ERROR (OF1.4) (xid=0x2): OFPMMFC_INVALID_METER' >&2\n\
                  echo 'OFPT_METER_MOD (OF1.4) (xid=0x2): ADD meter=1 pktps burst bands=' >&2; exit 1 ;;\nesac\n\
                  exec REAL/ovs-ofctl \"$@\"\n";
    fs::write(dir.join("ovs-ofctl"), script.replace("REAL", &real.display().to_string()))?;
    fs::set_permissions(dir.join("ovs-ofctl"), PermissionsExt::from_mode(0o755))?;
    std::os::unix::fs::symlink(real.join("ovs-vsctl"), dir.join("ovs-vsctl")).context("a link")
}

#[test]
fn without_meters_rules_come_without_and_it_is_said_once() -> Result<()> {
    let tools = tempfile::Builder::new().prefix("ovstunnel-tools-").tempdir()?;
    without_meters(tools.path())?;
    let cloud = Cloud::with_config("nometer", 1, NodeConfig { bin_dir: tools.path().into(), ..limited(LIMIT) })?;
    let (node, host) = (cloud.node(1)?, cloud.node(1)?.host());
    let networks = [1, 2, 3].map(|n| Network::numbered(n, Ipv6Policy::Drop));
    networks.iter().try_for_each(|network| cloud.join(network, 1, &[1]).map(drop))?;
    // VIFs of several bridges in one instant: their rules are written side by side.
    let vifs: Vec<String> = (1..=3).map(|n| format!("vif{n}.0")).collect();
    ovstunnel_e2e::make_devices(host, &vifs)?;
    let plugs = networks.iter().zip(&vifs).map(|(network, vif)| format!("-- add-port {} {vif}", network.bridge));
    host.vsctl(plugs.collect::<Vec<_>>().join(" ").split(' '))?;
    for network in &networks {
        assert_eq!(wait_for_exact_rules(host, network)?.len(), 1);
        ensure!(!our_flows(host, &network.bridge)?.iter().any(|flow| flow.contains("meter")), "a rule names a meter");
    }
    let said = || node.log().lines().filter(|line| line.contains("refuses meters")).count();
    assert_eq!(said(), 1, "{}", node.log());
    // One more VIF is no news.
    cloud.plug(&networks[0], 1, 9)?;
    wait_for_exact_rules(host, &networks[0])?;
    assert_eq!(said(), 1, "it is said once");
    let mut doctor = host.command(ovstunnel_e2e::program("ovstunnelctl")?);
    doctor.arg("--socket").arg(node.socket()).arg("doctor");
    let found = String::from_utf8(doctor.output()?.stdout)?;
    ensure!(found.contains("WARN  meters: ") && found.contains("takes no meters (OFPT_ERROR"), "{found}");
    ensure!(node.errors().is_empty(), "{}", node.errors().join("\n"));
    Ok(())
}
