//! What a NIC event costs the manager: prepared and released again and again at a steady pace, over HTTP and into SQLite, in networks that the hollow
//! hosts have. Must not let anything be written to a host: hollow hosts carry nothing out, so what sending costs is not in it.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ovstunnel_client::EventsWanted;
use ovstunnel_hollow::{Hollow, Manager, Plan};
use ovstunnel_manager_api::{Isolation, PutNetwork, PutNic, PutPhysicalNetwork};

use crate::page::MANAGER;
use crate::process::{cpu_seconds, memory};
use crate::report::{Goal, Line, Unit};
use crate::scale::Scale;
use crate::stats::Samples;

/// Events in a second.
const PACE: u32 = 20;

/// How many networks they are in.
const NETWORKS: usize = 20;

/// For how long at most is looked at what is used while nothing happens, in seconds.
const AT_REST: u64 = 30;

/// So many events later a NIC is released again.
const LIVES: u32 = 10;

/// Twenty events a second for as long as the scale says. The zone is not as it was afterwards: the networks that it concerns are told of by NICs.
pub fn events(hollow: &Hollow, manager: &Manager, scale: &Scale) -> Result<Vec<Line>> {
    let networks = NETWORKS.min(scale.zone.networks);
    crate::progress(&format!("{PACE} NIC events a second in {networks} networks, for {} s", scale.nic_seconds));
    record(manager, networks)?;
    let count = PACE * u32::try_from(scale.nic_seconds)?;
    let mut answers = Samples::default();
    let pid = manager.pid()?;
    // What two thousand watched hosts cost goes on meanwhile, and is no event's.
    let at_rest = at_rest(pid, Duration::from_secs(scale.nic_seconds.min(AT_REST)))?;
    let (rows, resident) = (last_event(manager)?, memory(pid));
    let (cpu, start) = (cpu_seconds(pid)?, Instant::now());
    for event in 0..count {
        thread::sleep((Duration::from_secs(1) * event / PACE).saturating_sub(start.elapsed()));
        let asked = Instant::now();
        happen(hollow, manager, networks, event)?;
        answers.push(asked.elapsed().as_secs_f64());
    }
    let took = start.elapsed().as_secs_f64();
    let each = ((cpu_seconds(pid)? - cpu - at_rest * took) / f64::from(count)).max(0.0);
    let resident = memory(pid) as f64 - resident as f64;
    // An event is kept by a task of its own, and those of the last calls may still wait for it.
    let rows = (last_event(manager)? - rows) as f64 / f64::from(count);
    ensure!(took >= f64::from(count - 1) / f64::from(PACE), "{count} events in {took} s");
    let what = format!("{PACE} NIC events a second, nothing sent: CPU time for an event");
    Ok(vec![
        Line::new(MANAGER, what, Unit::Seconds, each, answers.len()).goal(Goal::at_most(
            each * 1e3,
            5.0,
            "ms",
            "for an event",
        )),
        Line::new(
            MANAGER,
            "CPU when nothing happens, before those, which is not in them",
            Unit::Percent,
            at_rest * 100.0,
            1,
        ),
        Line::new(MANAGER, "the same: an answer, in the middle", Unit::Seconds, answers.median(), answers.len()),
        Line::new(MANAGER, "the same: an answer, 99 %", Unit::Seconds, answers.p99(), answers.len()),
        Line::new(MANAGER, "the same: events a second that were reached", Unit::Number, f64::from(count) / took, 1),
        Line::new(MANAGER, "the same: rows of the table of events, for an event", Unit::Number, rows, 1),
        Line::new(MANAGER, "the same: memory afterwards, beyond what it was before", Unit::Bytes, resident.max(0.0), 1),
    ])
}

/// The number of the newest event that is kept: they are counted in the order in which they are.
pub(super) fn last_event(manager: &Manager) -> Result<u64> {
    let wanted = EventsWanted { limit: Some(1), ..EventsWanted::default() };
    let list = manager.ask(async |client| client.events(&wanted).await)?;
    Ok(list.events.first().map_or(0, |event| event.id))
}

/// The share of a core that is used while nothing is asked for.
fn at_rest(pid: u32, time: Duration) -> Result<f64> {
    let (cpu, start) = (cpu_seconds(pid)?, Instant::now());
    thread::sleep(time);
    Ok((cpu_seconds(pid)? - cpu) / start.elapsed().as_secs_f64())
}

fn name(network: usize) -> String {
    format!("net{network}")
}

/// Records networks that the hosts have already.
fn record(manager: &Manager, networks: usize) -> Result<()> {
    let vnet = format!("{}-{}", Plan::key(0), Plan::key(networks));
    let physical =
        PutPhysicalNetwork { isolation: Isolation::Gre, vnet, label: None, label_xen: None, label_kvm: None };
    manager.ask(async |client| client.put_physical_network("p1", &physical, false).await)?;
    (0..networks).try_for_each(|network| {
        let body = PutNetwork {
            physical_network: "p1".into(),
            number: None,
            key: Some(Plan::key(network)),
            adopt: true,
            ipv6: None,
            mtu: None,
        };
        manager.ask(async |client| client.put_network(&name(network), &body, false).await).map(drop)
    })
}

/// By turns a NIC is prepared, and one of a while ago is released.
fn happen(hollow: &Hollow, manager: &Manager, networks: usize, event: u32) -> Result<()> {
    let of = |nic: u32| (name(nic as usize % networks), format!("n{nic}"));
    let nic = event / 2;
    match (event % 2, nic.checked_sub(LIVES)) {
        (1, Some(before)) => {
            let (network, id) = of(before);
            manager.ask(async |client| client.release_nic(&network, &id, None, false).await).map(drop)
        }
        _ => {
            let members = hollow.plan().members(nic as usize % networks);
            let host = format!("h{:04}", Plan::number(members[nic as usize / networks % members.len()]));
            let (network, id) = of(nic);
            let body = PutNic { host, vm: None, mac: None, ip: None, bridge: None, wait: None, how: None };
            manager.ask(async |client| client.prepare_nic(&network, &id, &body, false).await).map(drop)
        }
    }
}
