//! Requests at the same instant: two different ones for one bridge, two hundred tunnels at once, and a client that is
//! gone before its answer.

use std::collections::BTreeSet;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Bridge, Code, FlowsState, HealthState, Id, Ipv6Policy, Outcome, PostTunnel, TunnelState};
use ovstunnel_e2e::{Cloud, Mode, Network, NodeConfig, Toolbox, tunnel_to, tunnels_to};
use ovstunnel_lab::{DEADLINE, wait_until};

/// Hosts at the other ends of a bridge's tunnels.
fn ends(bridge: &Bridge) -> Vec<&str> {
    bridge.tunnels.iter().map(|tunnel| tunnel.to.as_str()).collect()
}

#[test]
fn of_two_sets_at_once_both_are_answered_one_stays() -> Result<()> {
    let cloud = Cloud::new("twoputs", 1)?;
    let mut first_wins = 0;
    for round in 0..10 {
        let bridge = format!("xapi{round}");
        let key = 2000 + round;
        let (one, two) = cloud.call(1, {
            let bridge = bridge.clone();
            move |client| async move {
                let (a, b) = (tunnels_to(key, &[2, 3]), tunnels_to(key, &[4]));
                tokio::join!(client.put_bridge(&bridge, &a), client.put_bridge(&bridge, &b))
            }
        })?;
        let (one, two) = (one.map_err(|e| anyhow!("{e:?}"))?, two.map_err(|e| anyhow!("{e:?}"))?);
        // Each answer shows what it asked for, whichever came first.
        assert_eq!((ends(&one.bridge), ends(&two.bridge)), (vec!["2", "3"], vec!["4"]));
        let outcomes = BTreeSet::from([format!("{:?}", one.outcome), format!("{:?}", two.outcome)]);
        assert_eq!(outcomes, BTreeSet::from(["Created".to_owned(), "Updated".to_owned()]));
        // The one that found nothing was first, so the other's set is what stays.
        let last = if one.outcome == Outcome::Created { &two } else { &one };
        first_wins += usize::from(one.outcome == Outcome::Created);
        // The flows that keep VMs from the ends of tunnels come a moment later.
        let settled = wait_until("all flows to be there", DEADLINE, || {
            let bridge = bridge.clone();
            let now = cloud.call(1, move |client| async move { client.bridge(&bridge).await })??;
            ensure!(now.flows.state == FlowsState::InSync && now.health.state == HealthState::Ok, "{now:?}");
            Ok(now)
        })?;
        let Bridge { flows, health, max_guest_mtu, .. } = last.bridge.clone();
        ensure!(settled.flows.expected >= flows.expected, "{:?}, and {flows:?} before", settled.flows);
        assert_eq!(Bridge { flows, health, max_guest_mtu, ..settled }, last.bridge);
    }
    println!("the first was first {first_wins} times of 10");
    Ok(())
}

#[test]
fn setup_and_removal_at_once_end_in_some_order() -> Result<()> {
    let cloud = Cloud::new("putdel", 1)?;
    let host = cloud.node(1)?.host().clone();
    for round in 0..10 {
        let bridge = format!("xapi{round}");
        let (put, delete) = cloud.call(1, {
            let bridge = bridge.clone();
            move |client| async move {
                let body = tunnels_to(3000 + round, &[2]);
                tokio::join!(client.put_bridge(&bridge, &body), client.delete_bridge(&bridge))
            }
        })?;
        let (put, delete) = (put?, delete?);
        assert_eq!((put.outcome, ends(&put.bridge)), (Outcome::Created, vec!["2"]));
        let there = host.vsctl(["list-br"])?.lines().any(|name| name == bridge);
        match delete.outcome {
            Outcome::Removed => ensure!(!there, "it was removed, and is there"),
            Outcome::Unchanged => ensure!(there, "it was removed before it was made, and is not there"),
            other => return Err(anyhow!("{other:?} of a removal")),
        }
    }
    Ok(())
}

#[test]
fn two_hundred_tunnels_at_once_are_all_made_by_few_commands() -> Result<()> {
    let cloud = Cloud::new("many", 1)?;
    let node = cloud.node(1)?;
    cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[])).await })??;
    let runs = || node.log().lines().filter(|line| line.contains("command=\"ovs-vsctl\"")).count();
    let before = runs();
    let answers = cloud.call(1, |client| async move {
        let tasks = (0..200u32).map(|n| {
            let client = client.clone();
            let body = PostTunnel {
                from: Id::Number(1),
                to: Id::Number(u64::from(1000 + n)),
                remote_ip: format!("198.51.100.{}", 1 + n),
                key: None,
                network_uuid: None,
            };
            tokio::spawn(async move { client.post_tunnel("xapi1", &body).await })
        });
        let mut answers = Vec::new();
        for task in tasks.collect::<Vec<_>>() {
            answers.push(task.await);
        }
        answers
    })?;
    let mut ofports = BTreeSet::new();
    for answer in answers {
        let answer = answer??;
        assert_eq!((answer.outcome, answer.tunnel.state), (Outcome::Created, TunnelState::Up));
        ofports.insert(answer.tunnel.ofport.context("no ofport")?);
    }
    assert_eq!(ofports.len(), 200, "each has a number of its own");
    let rows = node.host().vsctl(["--bare", "--columns=ofport", "find", "Interface", "type=gre"])?;
    let there: BTreeSet<u32> = rows.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    assert_eq!(there, ofports, "the numbers that were answered are those of the switch");
    let runs = runs() - before;
    ensure!((1..=50).contains(&runs), "{runs} runs of ovs-vsctl for 200 requests");
    Ok(())
}

#[test]
fn a_request_is_carried_out_though_its_client_left() -> Result<()> {
    let tools = Toolbox::new()?;
    let config = NodeConfig { bin_dir: tools.path().to_owned(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("gone", 1, config)?;
    let node = cloud.node(1)?;
    cloud.join(&Network::numbered(1, Ipv6Policy::Drop), 1, &[1])?;
    tools.set("ovs-vsctl", Mode::Waits)?;
    let client = node.client();
    let first = cloud.manager().spawn(async move { client.post_tunnel("xapi1", &tunnel_to(2)).await });
    tools.wait_until_busy()?;
    // The second waits behind the first: it has not been begun when its client goes.
    let client = node.client();
    let second = cloud.manager().spawn(async move { client.post_tunnel("xapi1", &tunnel_to(3)).await });
    first.abort();
    second.abort();
    wait_until("the daemon to see that they are gone", DEADLINE, || {
        match node.log().matches("the client went away before the answer").count() {
            0 => Err(anyhow!("it has not")),
            _ => Ok(()),
        }
    })?;
    tools.go()?;
    wait_until("the first tunnel", DEADLINE, || {
        let bridge = cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
        match bridge.tunnels.iter().any(|tunnel| tunnel.to == "2" && tunnel.state == TunnelState::Up) {
            true => Ok(()),
            false => Err(anyhow!("{bridge:?}")),
        }
    })?;
    // The second is done or not, but nothing between; and the daemon goes on.
    let again = cloud.call(1, |client| async move { client.post_tunnel("xapi1", &tunnel_to(3)).await })??;
    ensure!(matches!(again.outcome, Outcome::Created | Outcome::Unchanged), "{again:?}");
    assert_eq!(again.tunnel.state, TunnelState::Up);
    let missing = cloud.call(1, |client| async move { client.bridge("xapi9").await })?;
    ovstunnel_e2e::problem(missing, Code::NotFound)?;
    Ok(())
}
