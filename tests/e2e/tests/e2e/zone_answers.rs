//! The manager tells each host the addresses of its networks' NICs: requests are answered on their host and flooded nowhere, what was
//! withdrawn stays so when another NIC comes, and a NIC that is gone is answered for no more.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_api::NeighbourState;
use ovstunnel_e2e::{Cloud, NodeConfig, Zone};
use ovstunnel_lab::wait_until;
use ovstunnel_manager_api::{NicOutcome, PutNic};

use crate::answers::stage::{Stage, ping_anew, request};
use crate::zone_acts;

const PATIENCE: Duration = Duration::from_secs(60);

/// Says which card and address a NIC has.
fn record_nic(stage: &Stage, zone: &Zone, id: &'static str, host: usize, (ip, mac): (Ipv4Addr, String)) -> Result<()> {
    let (host, wait) = (format!("h{host}"), Some("30s".into()));
    let nic = PutNic { host, vm: None, mac: Some(mac), ip: Some(ip.to_string()), bridge: None, wait, how: None };
    let answer =
        zone.ask(&stage.cloud, move |client| async move { client.prepare_nic("web", id, &nic, false).await })?;
    ensure!(answer.outcome == NicOutcome::Ready, "{answer:?}");
    Ok(())
}

/// Until each host says that it was told exactly these, and how each stands.
fn wait_for_told(stage: &Stage, wanted: &[(Ipv4Addr, NeighbourState)]) -> Result<()> {
    let wanted: BTreeMap<String, NeighbourState> = wanted.iter().map(|(ip, state)| (ip.to_string(), *state)).collect();
    wait_until(format!("{wanted:?} on each host"), PATIENCE, || {
        for number in 1..=stage.cloud.nodes().len() {
            let name = stage.network.bridge.clone();
            let bridge = stage.cloud.call(number, move |client| async move { client.bridge(&name).await })??;
            let told: BTreeMap<String, NeighbourState> =
                bridge.neighbours.into_iter().map(|one| (one.ip, one.state)).collect();
            ensure!(told == wanted, "host {number}: {told:?}");
        }
        Ok(())
    })
}

#[test]
fn addresses_of_nics_are_answered_for_as_they_come_and_go() -> Result<()> {
    let config = NodeConfig { reconcile_interval: "2s".into(), answer_neighbours: true, ..NodeConfig::default() };
    let cloud = Cloud::with_config("zanswer", 3, config)?;
    let zone = Zone::acting(&cloud)?;
    zone.stop()?;
    zone.configure("[network]\ntell_neighbours = true\n")?;
    zone.start(&cloud)?;
    let acts = zone_acts::Stage::with_zone(cloud, zone)?;
    let vms = (1..=3).map(|n| acts.start(n, n.into())).collect::<Result<Vec<_>>>()?;
    acts.expect_mesh(&[1, 2, 3])?;
    let zone_acts::Stage { cloud, zone, network } = acts;
    cloud.lab().announce_all()?;
    let stage = Stage { cloud, network, vms };
    let (asks, owner, next) = (stage.vm(1), stage.vm(2), stage.vm(3));
    stage.expect_flooded(asks, owner.ip())?;

    let card = |number: usize| (stage.vm(number).ip(), stage.vm(number).mac().to_string());
    for (number, id) in [(1, "n1"), (2, "n2"), (3, "n3")] {
        record_nic(&stage, &zone, id, number, card(number))?;
    }
    let answered = |number: usize| (stage.vm(number).ip(), NeighbourState::Answered);
    wait_for_told(&stage, &[answered(1), answered(2), answered(3)])?;
    for (from, to) in [(asks, owner), (owner, next), (next, asks)] {
        stage.expect_answered(from, to.ip())?;
        stage.forget_asked()?;
        ping_anew(from, to.ip())?;
    }

    // Another card takes an address: that somebody else comes is no word on who has it.
    stage.cloud.lab().deliver(next, request(next, owner.ip(), owner.ip()))?.expect_once()?;
    let withdrawn = (owner.ip(), NeighbourState::Withdrawn);
    wait_for_told(&stage, &[answered(1), withdrawn, answered(3)])?;
    let fourth = Ipv4Addr::new(10, 1, 0, 77);
    record_nic(&stage, &zone, "n4", 3, (fourth, "02:00:00:00:00:77".into()))?;
    wait_for_told(&stage, &[answered(1), withdrawn, answered(3), (fourth, NeighbourState::Answered)])?;
    stage.expect_flooded(asks, owner.ip())?;
    stage.expect_answered(asks, fourth)?;

    // What hosts answer depends on no manager. One that starts anew tells nobody what he knows.
    zone.kill();
    stage.expect_answered(asks, next.ip())?;
    stage.expect_flooded(asks, owner.ip())?;
    zone.start(&stage.cloud)?;
    zone.ask(&stage.cloud, |client| async move { client.release_nic("web", "n4", None, false).await })?;
    wait_for_told(&stage, &[answered(1), withdrawn, answered(3)])?;
    stage.expect_flooded(asks, fourth)?;
    stage.cloud.lab().expect_no_duplicates()
}
