//! What can be tried only where the kernel forwards: cached flows through an upgrade of `ovs-vswitchd`, and a path with delay and
//! loss. `cargo test` leaves this file out (`test = false`); `scripts/test` names it for the machine of `scripts/kernel`. It must not
//! pass anywhere else: without the kernel datapath or `netem` it fails.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Away, Cloud, Network};
use ovstunnel_lab::{DEADLINE, Datapath, Host, Kind, Switch, run, unhurried};

/// Saves the flows of bridges as a script that puts them back.
const OVS_SAVE: &str = "/usr/share/openvswitch/scripts/ovs-save";

/// An older one than the machine's own.
const OTHER: &str = "2.15";

fn needs_the_kernel_datapath(host: &Host) -> Result<()> {
    ensure!(host.switch().datapath() == Datapath::Kernel, "this is for `scripts/kernel COMMAND`");
    Ok(())
}

/// As Debian's packages do: the old one is ended and the new one is started on the same database and the same datapath. The old one
/// gets a datapath of its own first: it takes no frame from one that a newer one has left (docs/ovs-facts.md).
#[test]
fn an_upgrade_of_vswitchd_doubles_nothing() -> Result<()> {
    let away = Away::begin("upgrade")?;
    let host = away.place.host()?;
    needs_the_kernel_datapath(host)?;
    let other = Switch::version(OTHER, Datapath::Kernel)?;
    let version = || -> Result<String> { Ok(host.appctl(["version"])?.lines().next().unwrap_or_default().to_owned()) };
    let newer = version()?;
    host.stop_vswitchd()?;
    host.run("ovs-dpctl", ["del-dp", "ovs-system"])?;
    away.comes_back(|host| host.start_vswitchd_of(&other))?;
    let older = version()?;
    ensure!(older != newer, "{older}");
    host.stop_vswitchd()?;
    away.expect_cached_flows_alone(&format!("an upgrade from {older}"))?;
    // Nobody is there to say where a first frame is to go.
    let [from, to] = [0, 2].map(|n| &away.place.vms[n]);
    let news = from.ping(to.ip(), 3)?;
    println!("  a new conversation: {} of {} answered", news.received, news.sent);
    away.comes_back(Host::start_vswitchd)?;
    ensure!(version()? == newer, "{}", version()?);
    from.ping(to.ip(), 3)?.expect_no_loss()?;
    away.end()
}

/// As `ovs-ctl restart` does, on XenServer and XCP-ng: flows are saved and put back before the new one touches the kernel's.
#[test]
fn a_restart_that_keeps_the_flows_doubles_nothing() -> Result<()> {
    let away = Away::begin("kept")?;
    let host = away.place.host()?;
    needs_the_kernel_datapath(host)?;
    let mut save = host.command(OVS_SAVE);
    // It keeps the flows in a folder of its own there.
    save.args(["save-flows", "xapi1", "br-phy"]).env("TMPDIR", host.rundir());
    let saved = run(save, DEADLINE)?;
    ensure!(saved.contains("replace-flows xapi1"), "our flows are not saved: {saved}");
    let script = host.rundir().join("restore");
    std::fs::write(&script, saved).context("the saved flows")?;
    host.stop_vswitchd()?;
    away.expect_cached_flows_alone("a restart that keeps the flows")?;
    let setting = "other_config:flow-restore-wait=true";
    host.vsctl(["--no-wait", "set", "Open_vSwitch", ".", setting])?;
    away.comes_back(|host| {
        host.start_vswitchd()?;
        host.run("sh", [&script])?;
        host.vsctl(["remove", "Open_vSwitch", ".", "other_config", "flow-restore-wait=true"]).map(drop)
    })?;
    away.end()
}

/// Late is not twice, and lost is not stormed.
#[test]
fn a_slow_and_lossy_path_doubles_nothing() -> Result<()> {
    let cloud = Cloud::new("netem", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2])?;
    let (a, b) = (cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?);
    let host = cloud.node(1)?.host();
    needs_the_kernel_datapath(host)?;
    a.ping(b.ip(), 5)?.expect_no_loss()?;
    host.run("tc", "qdisc add dev eth0 root netem delay 40ms loss 20%".split(' '))?;
    let stream = cloud.lab().stream(&a, &Kind::FLOODED, unhurried(Duration::from_millis(10)))?;
    let report = a.ping(b.ip(), 50)?;
    println!("{report:?}");
    ensure!(report.rtt_min >= Duration::from_millis(40), "no delay: {report:?}");
    ensure!(report.received < report.sent && report.received > 0 && report.duplicates == 0, "{report:?}");
    let stream = stream.stop()?;
    stream.expect_no_duplicates()?;
    println!("{stream}");
    host.run("tc", "qdisc del dev eth0 root".split(' '))?;
    let probes = cloud.lab().every_flooded_kind();
    cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())?;
    cloud.lab().expect_no_duplicates()
}
