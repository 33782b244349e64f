//! Take-over from the Python plugin under traffic and the rollback, on each switch and each datapath: the short form of
//! `takeover`, which the slow machine of `scripts/kernel` has the time for. For each kind of tunnel that a host may be configured for: what is
//! taken over is GRE, and becomes of that kind step by step. Must not count on the speed of anything.

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::{Code, KindStep, Outcome, PostKind, TakeoverState, TunnelKind};
use ovstunnel_e2e::{NodeConfig, Old, expect_state, flows_of_others, problem};
use ovstunnel_lab::{Pinger, wait_until};

/// Pings that are to pass in each state.
const PINGS: u64 = 30;

/// What was lost since some reports, in words.
fn lost(pingers: &[Pinger]) -> Vec<u64> {
    pingers.iter().map(|pinger| pinger.report().lost()).collect()
}

#[test]
fn three_hosts_are_taken_over_and_one_given_back() -> Result<()> {
    taken_over_and_given_back(TunnelKind::Gre)
}

#[test]
fn what_is_taken_over_becomes_vxlan_and_is_given_back() -> Result<()> {
    taken_over_and_given_back(TunnelKind::Vxlan)
}

#[test]
fn what_is_taken_over_becomes_geneve_and_is_given_back() -> Result<()> {
    taken_over_and_given_back(TunnelKind::Geneve)
}

fn taken_over_and_given_back(kind: TunnelKind) -> Result<()> {
    let tunnel = format!("kind = \"{kind}\"");
    let old = Old::with_vms(&format!("one{kind}"), 1, &[], NodeConfig { tunnel, ..NodeConfig::default() })?;
    println!("{}", old.cloud.lab().switch());
    let foreign = old.foreign()?;
    let (pingers, streams) = old.traffic()?;
    for number in Old::HOSTS {
        let answer = old.take_over(number)?;
        expect_state(&answer, Outcome::Updated, TakeoverState::TakenOver)?;
        let bridge = &answer.bridges[0];
        assert_eq!((bridge.tunnels.len(), bridge.vifs.len()), (2, 1));
        let flows = (usize::try_from(bridge.plugin_flows)?, usize::try_from(bridge.other_flows)?);
        assert_eq!(flows, (old.plugin_flows(), foreign[number - 1].len()));
        Old::let_pass(&pingers, PINGS)?;
        println!("host {number} is taken over; lost of each ping so far: {:?}", lost(&pingers));
    }
    Old::expect_once((pingers, streams), false)?;
    old.expect_taken_over(&foreign)?;
    let again = old.take_over(1)?;
    expect_state(&again, Outcome::Unchanged, TakeoverState::Unchanged)?;
    expect_kind(&old, TunnelKind::Gre)?;
    if kind != TunnelKind::Gre {
        becomes(&old, kind)?;
        old.expect_taken_over(&foreign)?;
    }
    the_way_back(&old, &foreign[0])
}

/// That each host sends by tunnels of this kind, and has no other.
fn expect_kind(old: &Old, kind: TunnelKind) -> Result<()> {
    for number in Old::HOSTS {
        let types = ["--bare", "--columns=type", "find", "Interface", "options:remote_ip!=\"\""];
        let types = old.host(number)?.vsctl(types)?;
        let types: Vec<&str> = types.split_whitespace().collect();
        ensure!(types == [kind.interface_type(); 2], "host {number}: {types:?}");
    }
    Ok(())
}

/// The network of all three changes its kind while it carries frames.
fn becomes(old: &Old, to: TunnelKind) -> Result<()> {
    let traffic = old.settled_traffic()?;
    for step in [KindStep::Prepare, KindStep::Switch, KindStep::Finish] {
        for number in Old::HOSTS {
            let (name, body) = (old.network.bridge.clone(), PostKind { to, step, force: false });
            let ask = || {
                let (name, body) = (name.clone(), body.clone());
                let asked = old.cloud.call(number, |client| async move { client.post_kind(&name, &body).await })?;
                asked.map_err(|error| anyhow!(error))
            };
            // The last step waits until Open vSwitch has told that every other host is heard.
            wait_until(format!("host {number} to {step}"), Old::PATIENCE, ask)?;
        }
        Old::let_pass(&traffic.0, PINGS)?;
    }
    println!("the network is of kind {to}; lost of each ping: {:?}", lost(&traffic.0));
    Old::expect_once(traffic, false)?;
    expect_kind(old, to)
}

/// What was taken over is released: a plain bridge, whose VM talks to the other of its host and to nobody else.
fn the_way_back(old: &Old, foreign: &[String]) -> Result<()> {
    let (host, bridge) = (old.host(1)?, old.network.bridge.as_str());
    let name = bridge.to_owned();
    let refused = old.cloud.call(1, move |client| async move { client.delete_bridge(&name).await })?;
    problem(refused, Code::Conflict)?;
    let release = || {
        let name = bridge.to_owned();
        old.cloud.call(1, move |client| async move { client.release_bridge(&name).await })
    };
    assert_eq!(release()??.outcome, Outcome::Removed);
    let vif = old.vms_of(1)[0].vif();
    assert_eq!(host.vsctl(["list-ports", bridge])?.lines().collect::<Vec<_>>(), [vif]);
    assert_eq!(host.vsctl(["get", "Port", bridge, "protected"])?.trim(), "false");
    let row = host.vsctl(["--columns=external_ids,other_config", "list", "Bridge", bridge])?;
    let marks: Vec<&str> = row.split([',', '{', ' ']).filter(|word| word.contains("ovstunnel")).collect();
    assert_eq!(marks, ["ovstunnel-released=\"true\""], "only that it was ours");
    let flows = host.ofctl(["dump-flows", bridge])?;
    ensure!(!flows.contains("cookie=0x6f767374"), "{flows}");
    wait_until("the temporary flows to end", Old::PATIENCE, || {
        let left = flows_of_others(host, bridge)?;
        ensure!(left == foreign, "{left:?}");
        Ok::<(), anyhow::Error>(())
    })?;
    // The other two go on, and nobody waits for the first.
    let (two, three) = (&old.vms_of(2)[0], &old.vms_of(3)[0]);
    two.ping(three.ip(), 3)?.expect_no_loss()?;
    assert_eq!(release()??.outcome, Outcome::Unchanged);
    Ok(())
}
