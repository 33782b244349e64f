//! Addresses for which the switch answers: a request is answered on its host and flooded nowhere; what has moved, what somebody else has
//! taken and what nobody has told is flooded as ever, whatever dies meanwhile.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_api::{Code, NeighbourState, Outcome, PutNeighbour};
use ovstunnel_e2e::{Mode, NodeConfig, Snapshot, Toolbox, VPC_BRIDGE, VpcCloud, our_flows, problem, whole_topology};
use ovstunnel_lab::{MacAddr6, Vm, VmSpec, wait_until};

pub(crate) mod stage;

use stage::{Copies, Stage, copies_in_64_hosts, forget_asked, lower, neighbour, ping_anew, request, run};

const SOON: Duration = Duration::from_secs(20);

#[test]
fn a_known_address_is_answered_and_floods_nobody() -> Result<()> {
    let stage = Stage::answering("answer", 3)?;
    let (asks, owner) = (stage.vm(1), stage.vm(2));
    stage.expect_answered(asks, owner.ip())?;
    // Who asks again within two minutes has got nothing by the answer: it is flooded.
    let again = request(asks, asks.ip(), owner.ip());
    stage.cloud.lab().deliver(asks, again)?.expect_once()?;
    stage.forget_asked()?;
    assert_eq!(ping_anew(asks, owner.ip())?, lower(owner.mac()));
    stage.expect_flooded(asks, Ipv4Addr::new(10, 1, 200, 200))?;
    // What asks, and where it stands, is as ever: who announces himself, and who finds out whether an address is free.
    let lab = stage.cloud.lab();
    lab.deliver(owner, request(owner, owner.ip(), owner.ip()))?.expect_once()?;
    stage.host(1)?.appctl(["revalidator/purge"])?;
    let before = stage.said(1, owner.ip())?;
    lab.deliver(asks, request(asks, Ipv4Addr::UNSPECIFIED, owner.ip()))?.expect_once()?;
    wait_until("the owner's word that the address is his", SOON, || {
        stage.host(1)?.appctl(["revalidator/purge"])?;
        ensure!(stage.said(1, owner.ip())? > before, "he has said nothing");
        Ok(())
    })?;
    lab.expect_no_duplicates()?;
    stage.wait_for_state(1, owner.ip(), NeighbourState::Answered)?;
    stage.expect_answered(asks, owner.ip())
}

/// keepalived's pattern: another VM takes an address and says so, to everybody, by an ARP request for it.
fn take_over(to: &Vm, ip: Ipv4Addr, from: &Vm) -> Result<()> {
    run(from, &["ip", "address", "del", &format!("{ip}/16"), "dev", "eth0"])?;
    run(to, &["ip", "address", "add", &format!("{ip}/16"), "dev", "eth0"]).map(drop)
}

#[test]
fn an_address_that_another_card_takes_is_withdrawn() -> Result<()> {
    let stage = Stage::answering("vip", 3)?;
    let (asks, owner, next) = (stage.vm(1), stage.vm(2), stage.vm(3));
    let ip = owner.ip();
    stage.expect_answered(asks, ip)?;
    take_over(next, ip, owner)?;
    // The switch withdraws it by itself: there is no daemon.
    stage.cloud.node(1)?.kill();
    let lab = stage.cloud.lab();
    lab.deliver(next, request(next, ip, ip))?.expect_once()?;
    wait_until("the real owner's answer", SOON, || match ping_anew(asks, ip) {
        Ok(mac) if mac == lower(next.mac()) => Ok(()),
        other => Err(anyhow::anyhow!("{other:?}")),
    })?;
    stage.expect_flooded(asks, ip)?;
    stage.cloud.node(1)?.start()?;
    stage.cloud.wait_until_ready(1)?;
    for number in 1..=3 {
        stage.wait_for_state(number, ip, NeighbourState::Withdrawn)?;
    }
    // It is recorded: nothing is answered for it by a switch that has forgotten all.
    wait_until("the record", SOON, || {
        let record =
            stage.host(1)?.vsctl(["get", "Bridge", &stage.network.bridge, "external_ids:ovstunnel-withdrawn"])?;
        ensure!(record.contains(&ip.to_string()), "{record}");
        Ok(())
    })?;
    stage.host(1)?.kill_vswitchd();
    stage.host(1)?.start_vswitchd()?;
    stage.wait_for_answers(1)?;
    stage.expect_flooded(asks, ip)?;
    assert_eq!(ping_anew(asks, ip)?, lower(next.mac()));
    // Others are still answered for.
    stage.expect_answered(stage.vm(2), asks.ip())?;
    // Told anew, with another card.
    let told = [neighbour(ip, next.mac()), neighbour(asks.ip(), asks.mac())];
    for number in 1..=3 {
        let answer = stage.put(number, stage.body(number, told.to_vec())?)?;
        ensure!(answer.outcome == Outcome::Updated, "{answer:?}");
        let again = stage.put(number, stage.body(number, told.to_vec())?)?;
        ensure!(again.outcome == Outcome::Unchanged, "{again:?}");
    }
    stage.wait_for_state(1, ip, NeighbourState::Answered)?;
    stage.expect_answered(asks, ip)?;
    stage.forget_asked()?;
    assert_eq!(ping_anew(asks, ip)?, lower(next.mac()));
    lab.expect_no_duplicates()
}

/// A daemon that has just started and cannot read flows writes its own anew: what the switch has withdrawn meanwhile stays.
#[test]
fn what_is_withdrawn_stays_where_flows_cannot_be_read() -> Result<()> {
    let tools = Toolbox::new()?;
    let config = NodeConfig { bin_dir: tools.path().to_owned(), answer_neighbours: true, ..NodeConfig::default() };
    let stage = Stage::new("unread", 3, config)?;
    stage.tell_all()?;
    let (asks, owner, next) = (stage.vm(1), stage.vm(2), stage.vm(3));
    stage.expect_answered(asks, owner.ip())?;
    let node = stage.cloud.node(1)?;
    node.kill();
    stage.cloud.lab().deliver(next, request(next, owner.ip(), owner.ip()))?.expect_once()?;
    tools.set("ovs-ofctl", Mode::Unread)?;
    node.start()?;
    wait_until("all flows to be written anew", SOON, || {
        let log = node.log();
        ensure!(log.contains("ovstunneld::writer::repair: reconciled why") && log.contains("replace all flows"), log);
        Ok(())
    })?;
    stage.expect_flooded(asks, owner.ip())?;
    stage.expect_answered(stage.vm(2), asks.ip())?;
    tools.set("ovs-ofctl", Mode::Works)?;
    stage.cloud.wait_until_ready(1)?;
    stage.wait_for_state(1, owner.ip(), NeighbourState::Withdrawn)?;
    stage.expect_flooded(asks, owner.ip())?;
    stage.cloud.lab().expect_no_duplicates()
}

/// Who has taken an address and does not announce it is heard all the same, once he asks for anything.
#[test]
fn who_asks_with_a_taken_address_is_heard_by_all() -> Result<()> {
    let stage = Stage::answering("claims", 3)?;
    let (asks, owner, next) = (stage.vm(1), stage.vm(2), stage.vm(3));
    stage.cloud.lab().deliver(next, request(next, owner.ip(), asks.ip()))?.expect_once()?;
    for number in 1..=3 {
        stage.wait_for_state(number, owner.ip(), NeighbourState::Withdrawn)?;
        stage.wait_for_state(number, asks.ip(), NeighbourState::Answered)?;
    }
    stage.expect_flooded(asks, owner.ip())?;
    stage.expect_answered(owner, asks.ip())
}

/// What must hold on each switch, in little time.
pub(crate) fn answered_and_withdrawn(tag: &str) -> Result<()> {
    let stage = Stage::answering(tag, 3)?;
    let (asks, owner, next) = (stage.vm(1), stage.vm(2), stage.vm(3));
    stage.expect_answered(asks, owner.ip())?;
    stage.forget_asked()?;
    assert_eq!(ping_anew(asks, owner.ip())?, lower(owner.mac()));
    stage.cloud.lab().deliver(next, request(next, owner.ip(), owner.ip()))?.expect_once()?;
    stage.expect_flooded(asks, owner.ip())?;
    stage.wait_for_state(1, owner.ip(), NeighbourState::Withdrawn)?;
    stage.cloud.lab().expect_no_duplicates()
}

#[test]
fn a_vm_that_moves_goes_on() -> Result<()> {
    let stage = Stage::answering("amoves", 3)?;
    let (asks, moves) = (stage.vm(1), stage.vm(2));
    assert_eq!(ping_anew(asks, moves.ip())?, lower(moves.mac()));
    moves.migrate(stage.host(3)?, &stage.network.bridge, "vif9.0")?;
    stage.wait_for_answers(3)?;
    stage.forget_asked()?;
    wait_until("pings to the VM at its new place", SOON, || ping_anew(asks, moves.ip()).map(drop))?;
    stage.expect_answered(asks, moves.ip())?;
    stage.wait_for_state(1, moves.ip(), NeighbourState::Answered)?;
    // From its new place it asks, and is answered.
    stage.expect_answered(moves, asks.ip())?;
    stage.cloud.lab().expect_no_duplicates()
}

/// A VM that has moved and says nothing: the old place is known until somebody asks in vain, and asks again.
#[test]
fn a_silent_move_is_found_by_who_asks_again() -> Result<()> {
    let stage = Stage::answering("asilent", 2)?;
    let (asks, taken) = (stage.vm(1), stage.vm(2));
    let ip = taken.ip();
    stage.expect_answered(asks, ip)?;
    // Nobody has heard of it: the other card has the address, and the first request gets the old one.
    let other = stage.cloud.node(2)?.host().plug_vm(
        &stage.network.bridge,
        "vif9.0",
        VmSpec::numbered(9).network(&stage.network.bridge),
    )?;
    take_over(&other, ip, taken)?;
    stage.forget_asked()?;
    run(asks, &["ip", "neigh", "flush", "all"])?;
    ensure!(asks.ping(ip, 1)?.lost() == 1, "the old card is told");
    assert_eq!(ping_anew(asks, ip)?, lower(other.mac()), "the second request is flooded");
    stage.wait_for_state(1, ip, NeighbourState::Withdrawn)?;
    stage.expect_flooded(asks, ip)
}

#[test]
fn bad_addresses_are_refused_and_change_nothing() -> Result<()> {
    let stage = Stage::answering("abad", 1)?;
    let before = Snapshot::of(stage.host(1)?)?;
    let good = || neighbour(Ipv4Addr::new(10, 1, 0, 7), MacAddr6::new(2, 0, 0, 0, 0, 7));
    let with = |ip: &str, mac: &str| PutNeighbour { ip: ip.to_owned(), mac: mac.to_owned() };
    let many = (0..1001_u32).map(|n| neighbour(Ipv4Addr::from_bits(0x0a02_0000 + n), MacAddr6::new(2, 0, 0, 0, 0, 7)));
    for (told, field, rule) in [
        (vec![with("10.1.0", "02:00:00:00:00:07")], "neighbours[0].ip", "must be an IPv4 address that a VM can have"),
        (vec![good(), with("224.0.0.5", "02:00:00:00:00:07")], "neighbours[1].ip", "must be an IPv4 address"),
        (vec![with("0.0.0.0", "02:00:00:00:00:07")], "neighbours[0].ip", "must be an IPv4 address"),
        (vec![with("fe80::1", "02:00:00:00:00:07")], "neighbours[0].ip", "global or unique local IPv6 address"),
        (
            vec![with("fd00::7", "02:00:00:00:00:07"), with("fd00:0::7", "02:00:00:00:00:07")],
            "neighbours[1].ip",
            "must not stand twice",
        ),
        (vec![with("10.1.0.7", "03:00:00:00:00:07")], "neighbours[0].mac", "must be the Ethernet address of one card"),
        (vec![good(), good()], "neighbours[1].ip", "must not stand twice"),
        (many.collect(), "neighbours", "must be at most 1000"),
    ] {
        let (body, bridge) = (stage.body(1, told)?, stage.network.bridge.clone());
        let answer = stage.cloud.call(1, move |client| async move { client.put_bridge(&bridge, &body).await })?;
        let problem = problem(answer, Code::InvalidRequest)?;
        ensure!(problem.field.as_deref() == Some(field), "{problem:?}");
        ensure!(problem.rule.as_deref().is_some_and(|words| words.contains(rule)), "{problem:?}");
    }
    before.expect_same(&Snapshot::of(stage.host(1)?)?)
}

#[test]
fn without_the_setting_flows_are_as_before() -> Result<()> {
    let stage = Stage::new("aoff", 2, NodeConfig::default())?;
    let before = our_flows(stage.host(1)?, &stage.network.bridge)?;
    stage.tell_all()?;
    assert_eq!(our_flows(stage.host(1)?, &stage.network.bridge)?, before);
    stage.wait_for_state(1, stage.vm(2).ip(), NeighbourState::Off)?;
    stage.expect_flooded(stage.vm(1), stage.vm(2).ip())
}

#[test]
fn of_64_hosts_none_hears_an_answered_request() -> Result<()> {
    let config = NodeConfig { answer_neighbours: true, ..NodeConfig::default() };
    let far = Ipv4Addr::new(10, 1, 0, 99);
    let told = neighbour(far, MacAddr6::new(2, 0, 0, 0, 0, 99));
    let asking = |asks: &Vm| [far, Ipv4Addr::new(10, 1, 0, 98)].map(|ip| request(asks, asks.ip(), ip));
    let copies = copies_in_64_hosts("a64", config, told, asking)?;
    assert_eq!(copies, Copies { untold: 63, told: 0, other: 63 });
    Ok(())
}

#[test]
fn the_cards_of_a_tier_are_answered_for_within_it() -> Result<()> {
    let vpc = VpcCloud::new("avpc", NodeConfig { answer_neighbours: true, ..NodeConfig::default() })?;
    let (asks, owner, other) = (vpc.vm(1, 1)?, vpc.vm(1, 2)?, vpc.vm(2, 2)?);
    let lab = vpc.cloud().lab();
    let asking = |ip| lab.deliver(asks, request(asks, asks.ip(), ip));
    asking(owner.ip())?.expect_nowhere()?;
    asking(owner.ip())?.expect_once()?;
    asking(other.ip())?.expect_once()?;
    for host in 1..=3 {
        forget_asked(vpc.cloud().node(host)?.host(), VPC_BRIDGE)?;
    }
    assert_eq!(ping_anew(asks, owner.ip())?, lower(owner.mac()));
    // Another card of the tier takes the address: all hosts hear it, and a daemon that starts anew has not forgotten.
    let next = vpc.vm(1, 3)?;
    lab.deliver(next, request(next, owner.ip(), owner.ip()))?.expect_once()?;
    let withdrawn = || {
        let seen = vpc.cloud().call(1, |client| async move { client.bridge(VPC_BRIDGE).await })??;
        let found = seen.neighbours.iter().find(|one| one.ip == owner.ip().to_string()).cloned();
        ensure!(found.as_ref().is_some_and(|one| one.state == NeighbourState::Withdrawn), "{found:?}");
        vpc.cloud().node(1)?.host().vsctl(["get", "Bridge", VPC_BRIDGE, "external_ids:ovstunnel-withdrawn"])
    };
    wait_until("the address is withdrawn and recorded", SOON, withdrawn)?;
    vpc.cloud().node(1)?.kill();
    vpc.cloud().node(1)?.host().kill_vswitchd();
    vpc.cloud().node(1)?.host().start_vswitchd()?;
    vpc.cloud().node(1)?.start()?;
    vpc.cloud().wait_until_ready(1)?;
    vpc.settle(1)?;
    withdrawn()?;
    asking(owner.ip())?.expect_once()?;
    // A new topology is a list of its own.
    vpc.tell_all("network_topology", 2, &whole_topology())?;
    vpc.settle(1)?;
    asking(owner.ip())?.expect_nowhere()
}
