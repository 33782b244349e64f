//! The `.deb` on a fresh host with the kernel datapath: systemd as process 1, udev and Open vSwitch's service as Debian has them.
//! Nothing here is a stand-in, so it must not run anywhere but in the machine of `scripts/kernel --systemd`, which is thrown away.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_lab::{run, wait_until};
use ovstunnel_package::Built;
use ovstunnel_pki::{Authority, Key, read_details};
use time::OffsetDateTime;

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

/// Sorted: in which order a switch prints those of one priority is nobody's business.
fn our_flows() -> Result<String> {
    let dump = "ovs-ofctl -O OpenFlow14 --no-stats dump-flows xapi1 cookie=0x6f76737400000000/0xffffffff00000000";
    let printed = say(dump)?;
    let flows: BTreeSet<&str> = printed.lines().map(str::trim).collect();
    Ok(flows.into_iter().collect::<Vec<_>>().join("\n"))
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

/// The CA, and what a host gets that joins by a token.
const PKI: &str = "/etc/ovstunnel/pki";
const CERTIFICATE: &str = "/etc/ovstunnel/tls/h1.crt";

const MANAGER: &str = r#"
zone = "dc1"
[hosts]
certificate = "/etc/ovstunnel/pki/m1.crt"
key = "/etc/ovstunnel/pki/m1.key"
ca = "/etc/ovstunnel/pki/ca.crt"
[tls]
certificate = "/etc/ovstunnel/pki/m1.crt"
key = "/etc/ovstunnel/pki/m1.key"
client_ca = "/etc/ovstunnel/pki/ca.crt"
[enrolment]
authority = "/etc/ovstunnel/pki"
"#;

/// Serial number of the certificate in a file, and of the one that the daemon shows.
fn serials() -> Result<(String, String)> {
    let found = read_details(CERTIFICATE.as_ref())?.into_iter().next().context("no certificate")?;
    let mut ask = Command::new("sh");
    ask.args(["-c", "openssl s_client -connect 192.0.2.1:8443 </dev/null 2>/dev/null | openssl x509 -noout -serial"]);
    let shown = run(ask, PATIENCE)?.trim().to_lowercase();
    let shown = shown.strip_prefix("serial=").context("no certificate is shown")?;
    Ok((found.serial.replace(':', "").to_lowercase(), shown.to_owned()))
}

/// A manager beside the daemon, of whose zone this host becomes one by a token. It has an address of its own: no host is given the manager's.
fn joined() -> Result<()> {
    say("ip link add mgmt0 type dummy")?;
    say("ip link set mgmt0 up")?;
    say("ip address add 198.51.100.1/24 dev mgmt0")?;
    say(&format!("ovstunnelctl pki init --dir {PKI}"))?;
    say(&format!("ovstunnelctl pki issue --dir {PKI} --manager m1 --address 198.51.100.1"))?;
    fs::write("/etc/ovstunnel/manager.toml", MANAGER)?;
    say("systemctl start ovstunnel-manager")?;
    let token: serde_json::Value =
        serde_json::from_str(&say("ovstunnelctl --json zone token create --hosts 1 --ttl 1h")?)?;
    let token = token["text"].as_str().context("no token")?;
    say(&format!(
        "ovstunnelctl join --manager https://198.51.100.1:8444 --token {token} --name h1 --address 192.0.2.1"
    ))?;
    served()
}

/// The certificate of a host that joined long ago is renewed by the unit that the timer starts; the daemon reads it and is not restarted.
fn its_certificate_is_renewed() -> Result<()> {
    assert_eq!(say("systemctl is-enabled ovstunneld-renew.timer")?, "enabled");
    joined()?;
    // Of 120 days 35 are left: less than a third.
    let then = OffsetDateTime::now_utc() - time::Duration::days(85);
    let name = "h1".parse().map_err(anyhow::Error::msg)?;
    Authority::open(PKI.as_ref())?.renew_certificate(&name, Key::Same, 120, then)?;
    fs::copy(format!("{PKI}/h1.crt"), CERTIFICATE)?;
    say("systemctl reload ovstunneld")?;
    until("the old certificate to be shown", || serials().map(|(file, shown)| file == shown))?;
    let (old, _) = serials()?;
    let pid = || say("systemctl show --property=MainPID --value ovstunneld");
    let (daemon, flows) = (pid()?, our_flows()?);
    say("systemctl start ovstunneld-renew.service")?;
    until("the new certificate to be shown", || serials().map(|(file, shown)| file == shown && file != old))
        .with_context(|| say("journalctl --no-pager --lines=40").unwrap_or_default())?;
    assert_eq!((pid()?, our_flows()?), (daemon, flows), "the daemon was restarted, or flows were changed");
    // Once more it is not due.
    let (new, _) = serials()?;
    say("systemctl start ovstunneld-renew.service")?;
    assert_eq!(serials()?, (new.clone(), new));
    say("systemctl stop ovstunnel-manager").map(drop)
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
    wait_until("the flows to be back", PATIENCE, || {
        let there = our_flows()?;
        ensure!(there == before, "{there}\ninstead of\n{before}");
        Ok(())
    })
    .with_context(|| log().unwrap_or_default())?;
    its_certificate_is_renewed()?;
    let before = our_flows()?;
    say("dpkg --purge --no-triggers ovstunnel")?;
    assert_eq!(our_flows()?, before, "after the purge");
    ensure!(!fs::exists("/usr/sbin/ovstunneld")?, "it is still there");
    Ok(())
}
