//! The counting is right: where each frame must come exactly once it does, and where a loop copies frames that is seen.

use std::{thread, time::Duration};

use crate::plain::{BRIDGE, mesh, tunnel, vm_on};
use anyhow::{Result, ensure};
use ovstunnel_lab::{DEADLINE, Kind, Patience, Probe, wait_until};

#[test]
fn protected_tunnels_deliver_every_kind_exactly_once() -> Result<()> {
    let lab = mesh("once", 3, 2, true)?;
    for delivery in lab.deliver_all(&lab.every_flooded_kind())? {
        delivery.expect_once()?;
    }
    lab.expect_no_duplicates()
}

#[test]
fn thousands_of_frames_are_counted_one_by_one() -> Result<()> {
    let lab = mesh("thousands", 3, 1, true)?;
    let probes: Vec<Probe> = (0..100).flat_map(|_| lab.every_flooded_kind()).collect();
    ensure!(probes.len() == 2100);
    for delivery in lab.deliver_all(&probes)? {
        delivery.expect_once()?;
    }
    lab.expect_no_duplicates()
}

#[test]
fn known_unicast_comes_to_its_target_only() -> Result<()> {
    let lab = mesh("unicast", 2, 2, true)?;
    let (a, b, c) = (vm_on(&lab, 1, 1)?, vm_on(&lab, 1, 2)?, vm_on(&lab, 2, 1)?);
    lab.announce_all()?;
    for delivery in lab.deliver_all(&[Probe::new(&a, c.as_target()), Probe::new(&a, b.as_target())])? {
        delivery.expect_once()?;
    }
    lab.deliver(&c, a.as_target())?.expect_once_at(&[&a])
}

#[test]
fn a_storm_is_seen_and_survived() -> Result<()> {
    let lab = mesh("storm", 3, 1, false)?;
    let from = vm_on(&lab, 1, 1)?;
    let impatient = Patience { at_most: Duration::from_millis(300), ..Patience::default() };
    let delivery = lab.deliver_with(&[Probe::new(&from, Kind::SSDP_MULTICAST)], impatient)?.remove(0);
    for host in lab.hosts() {
        for peer in lab.hosts().iter().filter(|peer| peer.number() != host.number()) {
            host.vsctl(["--no-wait", "--if-exists", "del-port", BRIDGE, &tunnel(peer)])?;
        }
    }
    ensure!(delivery.max_copies() > 10, "no storm without split horizon: {:?}", delivery.copies);
    ensure!(delivery.expect_once().is_err(), "a storm counts as delivered once");
    ensure!(lab.expect_no_duplicates().is_err(), "a storm counts as no duplicate");
    Ok(())
}

#[test]
fn a_frame_that_cannot_arrive_is_missed() -> Result<()> {
    let lab = mesh("missed", 2, 1, true)?;
    let (a, b) = (vm_on(&lab, 1, 1)?, vm_on(&lab, 2, 1)?);
    lab.deliver(&a, Kind::Broadcast)?.expect_once_at(&[&b])?;
    lab.host(2)?.isolate()?;
    let error = lab.deliver(&a, Kind::Broadcast)?.expect_once().unwrap_err().to_string();
    ensure!(error.contains("vm513 got 0, not 1"), "{error}");
    lab.deliver(&a, Kind::UnknownUnicast)?.expect_nowhere()?;
    lab.host(2)?.rejoin()?;
    lab.deliver(&a, Kind::Broadcast)?.expect_once()
}

#[test]
fn a_stream_is_counted_while_other_things_happen() -> Result<()> {
    let lab = mesh("stream", 3, 1, true)?;
    let (a, b) = (vm_on(&lab, 1, 1)?, vm_on(&lab, 2, 1)?);
    let ping = a.start_ping(b.ip(), Duration::from_millis(2))?;
    let stream = lab.stream(&b, &Kind::FLOODED, Duration::from_millis(1))?;
    lab.deliver(&a, Kind::Broadcast)?.expect_once()?;
    thread::sleep(Duration::from_millis(300));
    let report = stream.stop()?;
    ensure!(report.sent > 100, "{report}");
    report.expect_once()?;
    let report = ping.stop()?;
    ensure!(report.sent > 50, "{report}");
    report.expect_no_loss()
}

#[test]
fn pings_are_counted_anew_from_a_moment_on() -> Result<()> {
    let lab = mesh("anew", 2, 1, true)?;
    let (a, b) = (vm_on(&lab, 1, 1)?, vm_on(&lab, 2, 1)?);
    let ping = a.start_ping(b.ip(), Duration::from_millis(2))?;
    let sent = |more: u64| {
        let before = ping.report().sent;
        wait_until("pings are sent", DEADLINE, || match ping.report().sent {
            sent if sent >= before + more => Ok(()),
            sent => Err(format!("{sent}")),
        })
    };
    lab.host(2)?.isolate()?;
    sent(100)?;
    ensure!(ping.report().lost() >= 50, "{}", ping.report());
    lab.host(2)?.rejoin()?;
    let before = ping.report().received;
    wait_until("an answer again", DEADLINE, || match ping.report() {
        report if report.received > before => Ok(()),
        report => Err(report),
    })?;
    ping.count_anew();
    sent(50)?;
    ping.stop()?.expect_no_loss()
}
