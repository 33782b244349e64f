//! The `.deb` on a host of the lab, under a real systemd, while VMs talk: installed, used, broken, upgraded, removed, purged.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::Host;
use ovstunnel_package::{BRIDGE, Built, Cloud, Machine, data_plane};

const CONFIG: &str = "/etc/ovstunnel/ovstunneld.toml";
const LOG: &str = "/var/log/ovstunnel.log";
const AUDIT: &str = "/var/log/ovstunnel-audit.log";

/// A folder with the package, and under `next` a later one.
fn packages() -> Result<(tempfile::TempDir, Built, Built)> {
    let (folder, built) = (tempfile::tempdir()?, Built::find()?);
    let next = Built::next(&folder.path().join("next"))?;
    fs::copy(built.path(&built.deb), folder.path().join(&built.deb))?;
    Ok((folder, built, next))
}

fn version(machine: &Machine) -> Result<String> {
    machine.run(["dpkg-query", "--show", "--showformat=${Version} ${db:Status-Abbrev}", "ovstunnel"])
}

fn ports(host: &Host) -> Result<BTreeSet<String>> {
    Ok(host.vsctl(["list-ports", BRIDGE])?.lines().map(str::to_owned).collect())
}

#[test]
fn a_life_of_the_package_costs_no_packet_and_no_answer() -> Result<()> {
    let (srv, built, next) = packages()?;
    let cloud = Cloud::new("deb", srv.path())?;
    let machine = cloud.machine();

    let said = machine.run(["dpkg", "--install", &format!("/srv/{}", built.deb)])?;
    ensure!(said.contains("ovstunnelctl status") && said.contains("install.md"), "what to do next: {said}");
    machine.wait_until_served("")?;
    assert_eq!(machine.run(["systemctl", "is-enabled", "ovstunneld"])?, "enabled");
    it_is_renewed_each_day(machine)?;
    assert!(!machine.run(["ovstunnelctl", "status"])?.is_empty(), "useful at once, without certificates");
    machine.run(["dpkg", "--verify", "ovstunnel"])?;
    unit_is_sound(machine)?;

    cloud.set_up()?;
    let traffic = cloud.traffic()?;
    let host = cloud.host()?;
    // A bridge with a tunnel to where no way leads has failed, and `status` says so. Nobody is there.
    let (net, by) = ("198.51.100.0/24", cloud.peer()?.ip().to_string());
    host.run("ip", ["route", "add", net, "via", &by])?;
    it_can_be_reloaded_and_its_log_rotated(machine)?;
    restarts_lose_no_answer(machine, &host)?;
    it_comes_back_when_it_dies_or_hangs(machine)?;
    the_helper_has_systemd_look_while_no_daemon_runs(machine, &host)?;

    let plane = data_plane(&host)?;
    let before = machine.property("MainPID")?;
    machine.run(["dpkg", "--install", &format!("/srv/next/{}", next.deb)])?;
    machine.wait_until_served(&before).context("after the upgrade")?;
    ensure!(version(machine)?.ends_with("-2 ii"), "{}", version(machine)?);
    ensure!(machine.read(CONFIG)?.contains("datapath_type = \"netdev\""), "the upgrade has changed the configuration");
    assert_eq!(data_plane(&host)?, plane, "after the upgrade");

    machine.run(["dpkg", "--remove", "ovstunnel"])?;
    ensure!(!machine.succeeds(&["pgrep", "--exact", "ovstunneld"]), "it runs on");
    for (path, there) in
        [("/usr/sbin/ovstunneld", false), ("/usr/lib/ovstunnel", false), (CONFIG, true), (LOG, true), (AUDIT, true)]
    {
        assert_eq!(machine.has(path), there, "{path} after the removal");
    }
    assert_eq!(data_plane(&host)?, plane, "after the removal");

    fs::write(machine.path("/etc/ovstunnel/host.key"), "the operator's")?;
    machine.run(["dpkg", "--purge", "ovstunnel"])?;
    let left = [
        CONFIG,
        LOG,
        "/var/log/ovstunnel.log.1",
        AUDIT,
        "/var/log/ovstunnel-audit.log.1",
        "/etc/logrotate.d/ovstunnel",
        "/run/ovstunnel",
    ];
    assert_eq!(left.into_iter().filter(|path| machine.has(path)).collect::<Vec<_>>(), [""; 0], "after the purge");
    ensure!(machine.has("/etc/ovstunnel/host.key"), "the purge took a key");
    ensure!(!machine.succeeds(&["systemctl", "is-enabled", "ovstunneld"]), "it is still enabled");
    assert_eq!(data_plane(&host)?, plane, "after the purge");
    traffic.stop()
}

const UNITS: [&str; 4] =
    ["ovstunneld.service", "ovstunneld-once@1.service", "ovstunneld-renew.service", "ovstunneld-renew.timer"];

/// The timer runs; on a host that has not joined, what it starts does nothing and is no failure.
fn it_is_renewed_each_day(machine: &Machine) -> Result<()> {
    assert_eq!(machine.run(["systemctl", "is-enabled", "ovstunneld-renew.timer"])?, "enabled");
    assert_eq!(machine.run(["systemctl", "is-active", "ovstunneld-renew.timer"])?, "active");
    machine.run(["systemctl", "start", "ovstunneld-renew.service"])?;
    ensure!(!machine.succeeds(&["systemctl", "is-failed", "ovstunneld-renew.service"]), "it has failed");
    Ok(())
}

/// Where this systemd finds something to say about the unit: that it has not heard of the newest words.
fn unit_is_sound(machine: &Machine) -> Result<()> {
    let output = machine.output(["systemd-analyze", "verify", "--man=no"].iter().chain(&UNITS))?;
    let said = String::from_utf8_lossy(&output.stderr);
    let wrong: Vec<&str> = said.lines().filter(|line| !line.contains("Unknown key 'Restart")).collect();
    ensure!(output.status.success() && wrong.is_empty(), "systemd-analyze verify: {wrong:?}");
    // Up to 2.1; it is 1.9 of 10, as docs/operators-guide/install.md says, and 10 is no protection at all.
    machine.run(["systemd-analyze", "security", "--no-pager", "--threshold=21", "ovstunneld.service"]).map(drop)
}

fn it_can_be_reloaded_and_its_log_rotated(machine: &Machine) -> Result<()> {
    let pid = machine.property("MainPID")?;
    machine.run(["systemctl", "reload", "ovstunneld"])?;
    ensure!(machine.read(AUDIT)?.contains(BRIDGE), "the set-up is not in the audit");
    let reloaded = || machine.read(LOG).is_ok_and(|log| log.contains("SIGHUP"));
    machine.wait_until("the log to tell of the reload", reloaded)?;
    machine.run(["logrotate", "--force", "/etc/logrotate.d/ovstunnel"])?;
    machine.wait_until("the new log to tell of its beginning", reloaded)?;
    ensure!(machine.has("/var/log/ovstunnel.log.1"), "the old log is gone");
    ensure!(machine.read("/var/log/ovstunnel-audit.log.1")?.contains(BRIDGE), "the old audit is gone");
    // The next line of the audit begins it anew.
    let to = ["--from", "1", "--to", "9", "--remote-ip", "198.51.100.9"];
    machine.run([&["ovstunnelctl", "tunnel", "create", BRIDGE], &to[..]].concat())?;
    machine.run(["ovstunnelctl", "tunnel", "destroy", BRIDGE, "t1001-1-9"])?;
    let made_anew = || machine.read(AUDIT).is_ok_and(|audit| audit.contains("t1001-1-9"));
    machine.wait_until("the new audit to tell of the tunnel", made_anew)?;
    assert_eq!(machine.property("MainPID")?, pid, "it was not restarted");
    Ok(())
}

/// One after the other, tunnels are asked for while the daemon is restarted: those for which there was an answer are there.
fn restarts_lose_no_answer(machine: &Machine, host: &Host) -> Result<()> {
    let stop = AtomicBool::new(false);
    let ask = || {
        let tunnel = |n: u32| {
            let (to, ip) = (n.to_string(), format!("198.51.100.{n}"));
            let create = ["ovstunnelctl", "tunnel", "create", BRIDGE, "--from", "1", "--to", &to, "--remote-ip", &ip];
            machine.succeeds(&create).then(|| format!("t1001-1-{n}"))
        };
        let numbers = (10..250).take_while(|_| !stop.load(Ordering::Relaxed));
        numbers.map(tunnel).collect::<Vec<_>>()
    };
    let asked = thread::scope(|scope| {
        let asking = scope.spawn(ask);
        let restarted = (0..3).try_for_each(|_| {
            let before = machine.property("MainPID")?;
            machine.run(["systemctl", "restart", "ovstunneld"])?;
            machine.wait_until_served(&before).map(drop)
        });
        stop.store(true, Ordering::Relaxed);
        let asked = asking.join().map_err(|_| anyhow::anyhow!("the caller panicked"));
        restarted.and(asked)
    })?;
    let answered: BTreeSet<String> = asked.iter().flatten().cloned().collect();
    let there = ports(host)?;
    ensure!(answered.len() >= 3, "{answered:?} of {} were answered", asked.len());
    ensure!(answered.is_subset(&there), "answered {answered:?}, there are {there:?}");
    let ends = machine.run(["journalctl", "--no-pager", "--unit=ovstunneld", "--grep=Killing|timed out|Failed"]);
    ensure!(ends.is_err(), "systemd had to kill something: {ends:?}");
    Ok(())
}

fn it_comes_back_when_it_dies_or_hangs(machine: &Machine) -> Result<()> {
    let pid = machine.property("MainPID")?;
    machine.run(["kill", "-9", &pid])?;
    let pid = machine.wait_until_served(&pid).context("after kill -9")?;
    // The watchdog of a minute would be a long test.
    let folder = machine.path("/run/systemd/system/ovstunneld.service.d");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("short.conf"), "[Service]\nWatchdogSec=2\nTimeoutStopSec=2\n")?;
    machine.run(["systemctl", "daemon-reload"])?;
    machine.run(["systemctl", "restart", "ovstunneld"])?;
    let pid = machine.wait_until_served(&pid)?;
    machine.run(["kill", "-STOP", &pid])?;
    let pid = machine.wait_until_served(&pid).context("after it hung")?;
    fs::remove_dir_all(folder)?;
    machine.run(["systemctl", "daemon-reload"])?;
    machine.run(["systemctl", "restart", "ovstunneld"])?;
    machine.wait_until_served(&pid).map(drop)
}

/// A VIF's rule that is deleted while no daemon runs comes back by `ovstunneld-once@.service`.
fn the_helper_has_systemd_look_while_no_daemon_runs(machine: &Machine, host: &Host) -> Result<()> {
    machine.run(["systemctl", "stop", "ovstunneld"])?;
    let rule = || host.ofctl(["--no-stats", "dump-flows", BRIDGE]).map(|flows| flows.contains("in_port="));
    ensure!(rule()?, "the VIF has no rule");
    let ofport = host.wait_for_ofport("vif1.0")?;
    host.ofctl(["del-flows", BRIDGE, &format!("in_port={ofport}")])?;
    ensure!(!rule()?, "the VIF's rule is still there");
    machine.run(["/usr/lib/ovstunnel/ovstunnel-vif", "add", "vif1.0"])?;
    machine.wait_until("the VIF's rule", || rule().is_ok_and(|there| there))?;
    machine.run(["systemctl", "start", "ovstunneld"])?;
    let status = machine.run(["ovstunnelctl", "status"])?;
    ensure!(status.contains(" ready ("), "systemd says that it has started, and it is not ready: {status}");
    Ok(())
}
