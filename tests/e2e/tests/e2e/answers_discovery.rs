//! Answers for IPv6 addresses by neighbour discovery: a solicitation is answered on its host and flooded nowhere; what somebody else has taken
//! is flooded as ever.

use std::net::Ipv6Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Ipv6Policy, NeighbourState, PutNeighbour};
use ovstunnel_e2e::NodeConfig;
use ovstunnel_lab::{Content, Datapath, Kind, MacAddr6, Vm, VmSpec, Wrapped, wait_until};

use crate::answers::stage::{Copies, Stage, copies_in_64_hosts, lower, run};

const SOON: Duration = Duration::from_secs(20);
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);

/// Types of messages, and their options: the Ethernet address of the source, or of the target.
const SOLICITATION: (u8, u8) = (135, 1);
const ADVERTISEMENT: (u8, u8) = (136, 2);

fn ip(vm: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, vm)
}

fn config() -> NodeConfig {
    NodeConfig { answer_neighbours: true, ipv6: Ipv6Policy::Allow, ..NodeConfig::default() }
}

fn card(number: u16) -> VmSpec {
    VmSpec::numbered(number).ipv6(ip(number))
}

/// Hosts with a VM each, which have IPv6 addresses that each host was told.
fn stage(tag: &str, hosts: u16) -> Result<Stage> {
    let stage = Stage::with_cards(tag, hosts, config(), card)?;
    let told: Vec<PutNeighbour> = stage.vms.iter().zip(1..).map(|(vm, number)| told(ip(number), vm)).collect();
    for number in 1..=stage.vms.len() {
        stage.put(number, stage.body(number, told.clone())?)?;
        if stage.cloud.lab().switch().datapath() != Datapath::Kernel {
            stage.wait_for_answers(number)?;
        }
    }
    Ok(stage)
}

fn told(ip: Ipv6Addr, vm: &Vm) -> PutNeighbour {
    PutNeighbour { ip: ip.to_string(), mac: lower(vm.mac()) }
}

/// A message of neighbour discovery about an address, to a group, with the card of a VM as its option.
fn message((kind, option): (u8, u8), from: Ipv6Addr, to: Ipv6Addr, about: Ipv6Addr, card: &Vm) -> Kind {
    // Solicitations have no flags, advertisements say that they override what is known.
    let flags = if kind == ADVERTISEMENT.0 { 0x20 } else { 0 };
    let mut body = [&[kind, 0, 0, 0, flags, 0, 0, 0][..], &about.octets()].concat();
    if !from.is_unspecified() {
        body.extend([option, 1]);
        body.extend_from_slice(card.mac().as_bytes());
    }
    let length = [0, 0, 0, u8::try_from(body.len()).unwrap_or_default()];
    let sum = checksum(&[&from.octets()[..], &to.octets(), &length, &[0, 0, 0, 58], &body].concat());
    body[2..4].copy_from_slice(&sum.to_be_bytes());
    let head = [&[0x60, 0, 0, 0, 0, length[3], 58, 255][..], &from.octets(), &to.octets()].concat();
    let [.., a, b, c, d] = to.octets();
    // Kinds of frames are copied; a test makes few of them.
    let packet = Box::leak([head, body].concat().into_boxed_slice());
    Kind::Wrapped(Wrapped::plain(MacAddr6::new(0x33, 0x33, a, b, c, d), Content::Type(0x86dd, packet)))
}

/// RFC 1071.
fn checksum(data: &[u8]) -> u16 {
    let words = data.chunks(2).map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    !u16::try_from(sum).unwrap_or_default()
}

fn solicitation(from: &Vm, sender: Ipv6Addr, wanted: Ipv6Addr) -> Kind {
    let [.., a, b, c] = wanted.octets();
    let group = Ipv6Addr::from([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff, a, b, c]);
    message(SOLICITATION, sender, group, wanted, from)
}

fn own(vm: &Vm) -> Result<Ipv6Addr> {
    vm.ipv6().context("a VM without IPv6")
}

/// A solicitation from a VM reaches nobody: it was answered.
fn expect_answered(stage: &Stage, from: &Vm, ip: Ipv6Addr) -> Result<()> {
    stage.forget_asked()?;
    stage.cloud.lab().deliver(from, solicitation(from, own(from)?, ip))?.expect_nowhere()
}

/// A solicitation from a VM reaches each other VM.
fn expect_flooded(stage: &Stage, from: &Vm, ip: Ipv6Addr) -> Result<()> {
    stage.forget_asked()?;
    stage.cloud.lab().deliver(from, solicitation(from, own(from)?, ip))?.expect_once()
}

/// The Ethernet address that a guest has for an address after it has asked and got an answer.
fn ping_anew(from: &Vm, ip: Ipv6Addr) -> Result<String> {
    run(from, &["ip", "-6", "neigh", "flush", "all"])?;
    run(from, &["ping", "-6", "-n", "-c", "1", "-W", "3", &ip.to_string()])?;
    let shown = run(from, &["ip", "-6", "neigh", "show", &ip.to_string()])?;
    let mac = shown.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).map(str::to_owned);
    mac.with_context(|| shown)
}

#[test]
fn a_known_ipv6_address_is_answered_and_floods_nobody() -> Result<()> {
    let stage = stage("nd", 3)?;
    let (asks, lab) = (stage.vm(1), stage.cloud.lab());
    expect_answered(&stage, asks, ip(2))?;
    // Who asks again within two minutes has got nothing by the answer: it is flooded.
    lab.deliver(asks, solicitation(asks, ip(1), ip(2)))?.expect_once()?;
    // The guest's own kernel takes the answer.
    stage.forget_asked()?;
    assert_eq!(ping_anew(asks, ip(2))?, lower(stage.vm(2).mac()));
    expect_flooded(&stage, asks, ip(200))?;
    // Who finds out whether an address is free has to hear it from its owner.
    lab.deliver(asks, solicitation(asks, Ipv6Addr::UNSPECIFIED, ip(2)))?.expect_once()?;
    // The owner says that it is his, to all and to one alone.
    lab.deliver(stage.vm(2), message(ADVERTISEMENT, ip(2), ALL_NODES, ip(2), stage.vm(2)))?.expect_once()?;
    run(stage.vm(2), &["ping", "-6", "-n", "-c", "1", "-W", "3", &ip(1).to_string()])?;
    lab.expect_no_duplicates()?;
    for number in 1..=3 {
        stage.wait_for_state(number, ip(2), NeighbourState::Answered)?;
    }
    expect_answered(&stage, asks, ip(2))
}

/// keepalived's pattern for IPv6: another VM takes an address and advertises it.
#[test]
fn an_ipv6_address_that_another_card_takes_is_withdrawn() -> Result<()> {
    let stage = stage("ndvip", 3)?;
    let (asks, owner, next, lab) = (stage.vm(1), stage.vm(2), stage.vm(3), stage.cloud.lab());
    expect_answered(&stage, asks, ip(2))?;
    let address = format!("{}/64", ip(2));
    run(owner, &["ip", "address", "del", &address, "dev", "eth0"])?;
    run(next, &["ip", "address", "add", &address, "dev", "eth0", "nodad"])?;
    // The switch withdraws it by itself: there is no daemon.
    stage.cloud.node(1)?.kill();
    lab.deliver(next, message(ADVERTISEMENT, ip(2), ALL_NODES, ip(2), next))?.expect_once()?;
    wait_until("the real owner's answer", SOON, || match ping_anew(asks, ip(2)) {
        Ok(mac) if mac == lower(next.mac()) => Ok(()),
        other => Err(anyhow::anyhow!("{other:?}")),
    })?;
    expect_flooded(&stage, asks, ip(2))?;
    stage.cloud.node(1)?.start()?;
    stage.cloud.wait_until_ready(1)?;
    for number in 1..=3 {
        stage.wait_for_state(number, ip(2), NeighbourState::Withdrawn)?;
    }
    // It is recorded: nothing is answered for it by a switch that has forgotten all.
    wait_until("the record", SOON, || {
        let host = stage.host(1)?;
        let record = host.vsctl(["get", "Bridge", &stage.network.bridge, "external_ids:ovstunnel-withdrawn"])?;
        ensure!(record.contains(&ip(2).to_string()), "{record}");
        Ok(())
    })?;
    stage.host(1)?.kill_vswitchd();
    stage.host(1)?.start_vswitchd()?;
    stage.wait_for_answers(1)?;
    expect_flooded(&stage, asks, ip(2))?;
    // Others are still answered for.
    expect_answered(&stage, next, ip(1))?;
    lab.expect_no_duplicates()
}

#[test]
fn a_vm_with_an_ipv6_address_that_moves_goes_on() -> Result<()> {
    let stage = stage("ndmoves", 3)?;
    let (asks, moves) = (stage.vm(1), stage.vm(2));
    assert_eq!(ping_anew(asks, ip(2))?, lower(moves.mac()));
    moves.migrate(stage.host(3)?, &stage.network.bridge, "vif9.0")?;
    stage.wait_for_answers(3)?;
    stage.forget_asked()?;
    wait_until("pings to the VM at its new place", SOON, || ping_anew(asks, ip(2)).map(drop))?;
    expect_answered(&stage, asks, ip(2))?;
    stage.wait_for_state(1, ip(2), NeighbourState::Answered)?;
    // From its new place it asks, and is answered; what it advertises there withdraws nothing.
    expect_answered(&stage, moves, ip(1))?;
    stage.cloud.lab().deliver(moves, message(ADVERTISEMENT, ip(2), ALL_NODES, ip(2), moves))?.expect_once()?;
    for number in 1..=3 {
        stage.wait_for_state(number, ip(2), NeighbourState::Answered)?;
    }
    expect_answered(&stage, asks, ip(2))?;
    stage.cloud.lab().expect_no_duplicates()
}

#[test]
fn of_64_hosts_none_hears_an_answered_solicitation() -> Result<()> {
    let far = PutNeighbour { ip: ip(99).to_string(), mac: "02:00:00:00:00:63".to_owned() };
    // The kernel of this VM has no IPv6 address, and so says nothing of its own.
    let copies = copies_in_64_hosts("nd64", config(), far, |asks| {
        [ip(99), ip(98)].map(|wanted| solicitation(asks, ip(1), wanted))
    })?;
    assert_eq!(copies, Copies { untold: 63, told: 0, other: 63 });
    Ok(())
}

/// What must hold on each switch, in little time. Who has taken an address and does not advertise it is heard once he asks for anything.
pub(crate) fn solicited_and_withdrawn(tag: &str) -> Result<()> {
    let stage = stage(tag, 3)?;
    let (asks, next, lab) = (stage.vm(1), stage.vm(3), stage.cloud.lab());
    if lab.switch().datapath() == Datapath::Kernel {
        // It cannot make an advertisement: what was told is recorded, and flooded for.
        stage.wait_for_state(1, ip(2), NeighbourState::Off)?;
        return lab.deliver(asks, solicitation(asks, ip(1), ip(2)))?.expect_once();
    }
    expect_answered(&stage, asks, ip(2))?;
    stage.forget_asked()?;
    assert_eq!(ping_anew(asks, ip(2))?, lower(stage.vm(2).mac()));
    lab.deliver(next, solicitation(next, ip(2), ip(1)))?.expect_once()?;
    for number in 1..=3 {
        stage.wait_for_state(number, ip(2), NeighbourState::Withdrawn)?;
        stage.wait_for_state(number, ip(1), NeighbourState::Answered)?;
    }
    expect_flooded(&stage, asks, ip(2))?;
    expect_answered(&stage, stage.vm(2), ip(1))?;
    lab.expect_no_duplicates()
}
