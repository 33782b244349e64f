//! What can be tried only where the kernel forwards: cached flows through an upgrade of `ovs-vswitchd`, a path with delay and
//! loss, tunnels through WireGuard and under IPsec, and rules of nftables. `cargo test` leaves this file out (`test = false`); `scripts/test` names it for the machine of `scripts/kernel`. It must not
//! pass anywhere else: without the kernel datapath or `netem` it fails.

mod firewall;
mod ipsec;

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Id, Ipv6Policy, PutBridge, PutTunnel};
use ovstunnel_e2e::{Away, Cloud, Network, packets_below};
use ovstunnel_lab::{BR_PHY, DEADLINE, Datapath, Host, Kind, Switch, run, unhurried, wait_until};

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

/// What leaves and reaches a host by its NIC, counted by flows of the bridge that has it: in clear, and by WireGuard.
const ON_THE_WIRE: [&str; 2] = ["ip,nw_proto=47", "udp,tp_dst=51820"];

/// The recipe of docs/operators-guide/encryption.md: tunnels lead to addresses that are reached by WireGuard alone.
#[test]
fn tunnels_through_wireguard_show_nothing() -> Result<()> {
    let cloud = Cloud::new("wireguard", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    needs_the_kernel_datapath(cloud.node(1)?.host())?;
    let keys = (1..=2).map(|number| wireguard_keys(cloud.node(number)?.host())).collect::<Result<Vec<_>>>()?;
    for (number, other) in [(1, 2), (2, 1)] {
        wireguard(cloud.node(number)?.host(), number, &keys[other - 1], (other, cloud.node(other)?.host()))?;
        let tunnel = PutTunnel { to: Id::Number(cloud.node(other)?.id()), remote_ip: inner(other), from: None };
        let (body, name) = (cloud.membership(&network, number, &[number])?, network.bridge.clone());
        let body = PutBridge { tunnels: Some(vec![tunnel]), ..body };
        cloud.call(number, move |client| async move { client.put_bridge(&name, &body).await })??;
    }
    let host = cloud.node(1)?.host();
    for what in ON_THE_WIRE {
        host.ofctl(["add-flow", BR_PHY, &format!("priority=9,{what},actions=normal")])?;
    }
    let (a, b) = (cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?);
    a.ping(b.ip(), 20)?.expect_no_loss()?;
    let probes = cloud.lab().every_flooded_kind();
    cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())?;
    let [clear, sealed] = ON_THE_WIRE.map(|what| packets_below(host, what));
    let (clear, sealed) = (clear?, sealed?);
    ensure!(clear == 0 && sealed >= 20, "{clear} in clear, {sealed} by WireGuard");
    // Room for both: WireGuard's device has 1420, of which GRE takes 42.
    let name = network.bridge.clone();
    let bridge = cloud.call(1, move |client| async move { client.bridge(&name).await })??;
    ensure!(bridge.max_guest_mtu == Some(1378), "{:?}", bridge.max_guest_mtu);

    // Without WireGuard nothing goes out, though there is another way to everywhere.
    let router = cloud.node(2)?.host().ip().to_string();
    host.run("ip", ["route", "add", "default", "via", &router])?;
    host.run("ip", "link set wg0 down".split(' '))?;
    let lost = a.ping(b.ip(), 10)?;
    ensure!(lost.received == 0, "{lost:?}");
    ensure!(packets_below(host, ON_THE_WIRE[0])? == 0, "in clear while WireGuard is down");
    host.run("ip", "link set wg0 up".split(' '))?;
    wait_until("pings to be answered again", DEADLINE, || a.ping(b.ip(), 3)?.expect_no_loss())?;
    ensure!(packets_below(host, ON_THE_WIRE[0])? == 0, "in clear");
    cloud.lab().expect_no_duplicates()
}

/// The address of a host inside of WireGuard.
fn inner(number: usize) -> String {
    format!("10.99.0.{number}")
}

/// A host's public key; the private one is in a file.
fn wireguard_keys(host: &Host) -> Result<String> {
    let make = "umask 077; wg genkey >wg0.key && wg pubkey <wg0.key";
    let mut shell = host.command("sh");
    shell.args(["-c", make]).current_dir(host.rundir());
    Ok(run(shell, DEADLINE)?.trim().to_owned())
}

fn wireguard(host: &Host, number: usize, key: &str, (other, peer): (usize, &Host)) -> Result<()> {
    host.run("ip", "link add wg0 type wireguard".split(' '))?;
    let mut set = host.command("wg");
    set.args(["set", "wg0", "listen-port", "51820", "private-key", "wg0.key", "peer", key]);
    set.args(["allowed-ips", &format!("{}/32", inner(other)), "endpoint", &format!("{}:51820", peer.ip())]);
    set.current_dir(host.rundir());
    run(set, DEADLINE)?;
    host.run("ip", ["address", "add", &format!("{}/24", inner(number)), "dev", "wg0"])?;
    host.run("ip", "link set wg0 up".split(' '))?;
    host.run("ip", "route add unreachable 10.99.0.0/24 metric 4096".split(' ')).map(drop)
}
