//! The `.deb` on a fresh host with the kernel datapath: systemd as process 1, udev and Open vSwitch's service as Debian has them.
//! Nothing here is a stand-in, so it must not run anywhere but in the machine of `scripts/kernel --systemd`, which is thrown away.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_lab::{run, wait_until};
use ovstunnel_package::Built;

/// For anything that is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

const BODY: &str = r#"{"key": 1001, "host_id": 1, "tunnels": [{"to": 2, "remote_ip": "192.0.2.2"}]}"#;

/// Runs a program to its end; what it prints.
fn say(line: &str) -> Result<String> {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap_or_default());
    command.args(words);
    println!("# {line}");
    Ok(run(command, PATIENCE)?.trim().to_owned())
}

fn request(method: &str, path: &str, body: &str) -> Result<String> {
    let mut command = Command::new("curl");
    command.args(["-sS", "--fail-with-body", "--unix-socket", "/run/ovstunnel/ovstunneld.sock", "-X", method]);
    command.args(["-H", "content-type: application/json", "-d", body, &format!("http://localhost{path}")]);
    run(command, PATIENCE)
}

fn until(what: &str, look: impl Fn() -> Result<bool>) -> Result<()> {
    wait_until(what, PATIENCE, || if look()? { Ok(()) } else { Err(anyhow!("not yet")) })
}

fn served() -> Result<()> {
    until("ovstunneld to be ready", || Ok(request("GET", "/readyz", "").is_ok()))
        .with_context(|| say("journalctl --no-pager --lines=40").unwrap_or_default())
}

fn our_flows() -> Result<String> {
    say("ovs-ofctl -O OpenFlow14 --no-stats dump-flows xapi1 cookie=0x6f76737400000000/0xffffffff00000000")
}

/// What the kernel has of the unit's limits, in the daemon's control group and of its process.
fn limits_hold() -> Result<()> {
    let group = format!("/sys/fs/cgroup{}", say("systemctl show --property=ControlGroup --value ovstunneld")?);
    for (file, value) in [("memory.max", (512_u64 << 20).to_string()), ("pids.max", "256".to_owned())] {
        let path = format!("{group}/{file}");
        assert_eq!(fs::read_to_string(&path).with_context(|| path.clone())?.trim(), value, "{path}");
    }
    let pid = say("systemctl show --property=MainPID --value ovstunneld")?;
    let limits = fs::read_to_string(format!("/proc/{pid}/limits"))?;
    let files = limits.lines().find(|line| line.starts_with("Max open files")).context("no limit of files")?;
    ensure!(files.contains(" 8192 "), "{files}");
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    ensure!(status.contains("Seccomp:\t2") && status.contains("NoNewPrivs:\t1"), "{status}");
    Ok(())
}

#[test]
fn it_serves_from_scratch_and_the_data_plane_outlives_it() -> Result<()> {
    assert_eq!(fs::read_to_string("/proc/1/comm")?.trim(), "systemd", "this is for `scripts/kernel --systemd`");
    let built = Built::find()?;
    say("systemctl start openvswitch-switch")?;
    say("ip link add eth0 type dummy")?;
    say("ip link set eth0 up")?;
    say("ip address add 192.0.2.1/24 dev eth0")?;
    // No triggers: to index all manual pages takes this machine minutes.
    say(&format!("dpkg --install --no-triggers {}", built.path(&built.deb).display()))?;
    served()?;
    assert_eq!(say("systemctl is-enabled ovstunneld")?, "enabled");
    limits_hold()?;

    request("PUT", "/v1/bridges/xapi1", BODY)?;
    let ofport: i64 = say("ovs-vsctl get Interface t1001-1-2 ofport")?.parse()?;
    ensure!(ofport > 0, "the tunnel is not up: {ofport}");
    ensure!(say("ovs-dpctl show")?.contains("gre_sys"), "no GRE in the kernel's datapath");

    // udev tells of it, by the installed rule; then its rule is there.
    say("ip link add vif7.0 type veth peer name far7")?;
    say("ovs-vsctl add-port xapi1 vif7.0")?;
    say("udevadm settle")?;
    let port = say("ovs-vsctl get Interface vif7.0 ofport")?;
    until("the VIF's rule", || Ok(our_flows()?.contains(&format!("in_port={port}"))))?;
    let log = || fs::read_to_string("/var/log/ovstunnel.log").context("the log");
    say("systemctl stop ovstunneld")?;
    say("ovs-ofctl -O OpenFlow14 del-flows xapi1")?;
    say("ip link add vif8.0 type veth peer name far8")?;
    say("udevadm settle")?;
    until("udev's helper to have systemd look while no daemon runs", || Ok(!our_flows()?.is_empty()))
        .with_context(|| log().unwrap_or_default())?;

    say("systemctl start ovstunneld")?;
    served()?;
    let before = our_flows()?;
    say("systemctl restart openvswitch-switch")?;
    until("the flows to be back", || Ok(our_flows()? == before))?;
    say("dpkg --purge --no-triggers ovstunnel")?;
    assert_eq!(our_flows()?, before, "after the purge");
    ensure!(!fs::exists("/usr/sbin/ovstunneld")?, "it is still there");
    Ok(())
}
