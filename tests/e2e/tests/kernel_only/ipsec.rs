//! Tunnels under IPsec: each host has a strongSwan and an `ovs-monitor-ipsec` of its own, in a mount namespace with an `/etc/ipsec.conf` and a
//! `/run` of its own, and the rules of examples/ipsec. Nothing of a tenant is ever on the wire in clear.

use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Ipv6Policy, Level};
use ovstunnel_e2e::{Cloud, Network, NodeConfig, packets_below};
use ovstunnel_lab::{BR_PHY, DEADLINE, Daemon, Host, Lab, Signal, Vm, run, wait_until};
use tempfile::TempDir;

use super::needs_the_kernel_datapath;

/// The rules that an operator is told to have.
const GUARD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/ipsec/guard.nft");

/// Files that IKE daemons have at one place; each host has them for itself.
const SHARED: &str = "mount --make-rprivate / && mount -t tmpfs run /run && mount --bind strongswan.d /etc/strongswan.d && \
                      mount --bind ipsec.conf /etc/ipsec.conf && mount --bind ipsec.secrets /etc/ipsec.secrets && exec \"$@\"";

const MONITOR: &str = "/usr/share/openvswitch/scripts/ovs-monitor-ipsec";

/// Where strongSwan reads certificates of CAs. The machine of `scripts/kernel` keeps nothing of what is written there.
const CAS: &str = "/etc/ipsec.d/cacerts";

/// How long two IKE daemons may take to find each other: one that was restarted is asked again after some seconds.
const AGREED: Duration = Duration::from_secs(60);

const KEYS: [&str; 2] = ["first-swordfish-of-this-zone", "second-swordfish-of-this-zone"];

/// `ovs-monitor-ipsec` of a host, with the IKE daemon that it has started.
struct Ike<'a> {
    host: &'a Host,
    monitor: Daemon,
}

impl<'a> Ike<'a> {
    fn start(host: &'a Host) -> Result<Self> {
        let dir = host.rundir();
        run_in(dir, "cp -a /etc/strongswan.d . && : >ipsec.conf && : >ipsec.secrets && chmod 600 ipsec.secrets")?;
        let mut command = host.command("unshare");
        command.current_dir(dir).args(["-m", "sh", "-ec", SHARED, "sh", "/usr/bin/python3", MONITOR]);
        command.args(["--ike-daemon=strongswan", "--pidfile=ovs-monitor-ipsec.pid"]);
        command.arg(format!("unix:{}", dir.join("db.sock").display()));
        Ok(Ike { host, monitor: host.spawn("ovs-monitor-ipsec", command)? })
    }

    /// A command where the IKE daemon is.
    fn inside(&self, words: &str) -> Result<String> {
        let pid = self.monitor.pid().to_string();
        self.host.run("nsenter", ["-t", &pid, "-m", "sh", "-c", words])
    }

    /// The IKE daemon is killed, and with it go keys and policies: as it ends by itself, and worse.
    fn kill(&self) -> Result<()> {
        self.inside("kill -9 $(cat /run/starter.charon.pid) $(cat /run/charon.pid); rm /run/*charon*")?;
        self.host.run("ip", ["xfrm", "state", "flush"])?;
        self.host.run("ip", ["xfrm", "policy", "flush"]).map(drop)
    }
}

fn run_in(dir: &Path, words: &str) -> Result<()> {
    let mut shell = std::process::Command::new("sh");
    shell.args(["-ec", words]).current_dir(dir);
    run(shell, DEADLINE).map(drop)
}

/// Two hosts with a VM each, and what is counted below them.
struct Ends<'a> {
    cloud: &'a Cloud,
    /// A flow of the bridge below that counts packets of tunnels in clear.
    clear: &'static str,
    vms: [Vm; 2],
}

impl Ends<'_> {
    fn in_clear(&self) -> Result<u64> {
        packets_below(self.cloud.node(1)?.host(), self.clear)
    }

    fn encrypted(&self) -> Result<u64> {
        packets_below(self.cloud.node(1)?.host(), ESP)
    }

    /// That nothing gets through, and nothing is on the wire.
    fn expect_nothing(&self, when: &str) -> Result<()> {
        let [a, b] = &self.vms;
        for (from, to) in [(a, b), (b, a)] {
            let lost = from.ping(to.ip(), 10)?;
            ensure!(lost.received == 0, "{when}: {lost:?}");
        }
        ensure!(self.in_clear()? == 0, "in clear {when}");
        Ok(())
    }

    /// That each frame gets through once, encrypted.
    fn expect_encrypted(&self, lab: &Lab, when: &str) -> Result<()> {
        let [a, b] = &self.vms;
        // What was agreed on may be agreed on anew once a change is noticed: all of it is tried until then. From both ends: a host whose
        // IKE daemon has died agrees anew when it sends, and until then the other one sends by keys that only it has.
        wait_until(format!("frames to arrive encrypted {when}"), AGREED, || {
            let before = self.encrypted()?;
            let pings = [a.ping(b.ip(), 10)?, b.ping(a.ip(), 10)?];
            pings.iter().try_for_each(|ping| ping.expect_no_loss())?;
            let probes = lab.every_flooded_kind();
            lab.deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())?;
            let encrypted = self.encrypted()? - before;
            ensure!(encrypted >= 40, "{encrypted} encrypted");
            Ok(())
        })?;
        ensure!(self.in_clear()? == 0, "in clear {when}");
        Ok(())
    }

    /// What `doctor` of a host finds of it that is not good.
    fn faults(&self, number: usize) -> Result<Vec<String>> {
        let found = self.cloud.call(number, |client| async move { client.doctor(false).await })??;
        let found: Vec<_> = found.findings.into_iter().filter(|found| found.check == "ipsec").collect();
        ensure!(!found.is_empty(), "doctor says nothing of IPsec");
        Ok(found.into_iter().filter(|found| found.level != Level::Ok).map(|found| found.reason).collect())
    }
}

const ESP: &str = "ip,nw_proto=50";

/// One key for all hosts, GRE: from before there are keys to after encryption is switched off.
#[test]
fn ipsec_by_one_key_shows_nothing() -> Result<()> {
    let files = tempfile::tempdir()?;
    let key = files.path().join("psk");
    write_key(&key, KEYS[0])?;
    let tunnel = format!("ipsec = \"psk\"\nipsec_psk_file = \"{}\"", key.display());
    let config = NodeConfig { tunnel: tunnel.clone(), writes: Some("native"), ..NodeConfig::default() };
    let cloud = Cloud::with_config("ipsec-psk", 2, config)?;
    let ends = two_ends(&cloud, "ip,nw_proto=47")?;
    let lab = cloud.lab();

    ends.expect_nothing("before anybody has made keys")?;
    let told = ends.faults(1)?;
    ensure!(
        told.iter().any(|reason| reason.contains("ovs-monitor-ipsec") && reason.contains("does not run")),
        "{told:?}"
    );
    let ikes = cloud.nodes().iter().map(|node| Ike::start(node.host())).collect::<Result<Vec<_>>>()?;
    ends.expect_encrypted(lab, "with keys")?;
    ensure!(ends.faults(1)?.is_empty(), "{:?}", ends.faults(1)?);
    let bridge = cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
    // 1500, less what GRE takes, 42, and ESP, 37.
    ensure!(bridge.max_guest_mtu == Some(1421), "{:?}", bridge.max_guest_mtu);

    ikes[0].kill()?;
    ends.expect_nothing("after the IKE daemon was killed")?;
    let told = ends.faults(1)?;
    ensure!(told.iter().any(|reason| reason.contains("no keys for IPsec with 192.0.2.2")), "{told:?}");
    ikes[0].inside("ipsec start")?;
    ends.expect_encrypted(lab, "with a new IKE daemon")?;

    // Keys that expire on both hosts and were not renewed before.
    for node in cloud.nodes() {
        node.host().run("ip", ["xfrm", "state", "flush"])?;
    }
    ends.expect_encrypted(lab, "after all keys have expired")?;

    write_key(&key, KEYS[1])?;
    for node in cloud.nodes() {
        node.signal(Signal::SIGHUP)?;
        expect_row(node.host(), "the other key", |row| row.contains(KEYS[1]))?;
        ensure!(ends.in_clear()? == 0, "in clear while keys differ");
    }
    // Those that are agreed on stay; new ones are by the new key.
    ikes.iter().try_for_each(|ike| ike.inside("ipsec restart").map(drop))?;
    ends.expect_encrypted(lab, "with another key")?;

    puts_back(&ends)?;
    switch_off(&ends, &tunnel)?;
    for node in cloud.nodes() {
        let log = node.log();
        ensure!(log.contains("(not shown)"), "the log does not tell of the options at all");
        ensure!(!KEYS.iter().any(|key| log.contains(key)), "a key is in the log");
    }
    lab.expect_no_duplicates()
}

/// A certificate for each host, VXLAN.
#[test]
fn ipsec_by_certificates_shows_nothing() -> Result<()> {
    let files = certificates()?;
    let path = |name: &str| files.path().join(name).display().to_string();
    let lines = |number: usize| {
        let (crt, key, ca) = (path(&format!("{number}.crt")), path(&format!("{number}.key")), path("ca.crt"));
        format!(
            "ipsec = \"certificates\"\nipsec_certificate = \"{crt}\"\nipsec_private_key = \"{key}\"\nipsec_ca_cert = \"{ca}\"\n"
        )
    };
    let config = NodeConfig { tunnel: "kind = \"vxlan\"\n".to_owned(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("ipsec-pki", 2, config)?;
    for (number, node) in (1..).zip(cloud.nodes()) {
        let text = fs::read_to_string(node.config_file())?;
        fs::write(
            node.config_file(),
            text.replace("kind = \"vxlan\"\n", &format!("kind = \"vxlan\"\n{}", lines(number))),
        )?;
        node.signal(Signal::SIGHUP)?;
        expect_guard(node.host(), Some("1/1"))?;
    }
    let ends = two_ends(&cloud, "udp,tp_dst=4789")?;
    ends.expect_nothing("before anybody has made keys")?;
    let ikes = cloud.nodes().iter().map(|node| Ike::start(node.host())).collect::<Result<Vec<_>>>()?;
    ends.expect_nothing("while the CA is where strongSwan does not look")?;
    wait_until("doctor to name the CA", AGREED, || {
        let told = ends.faults(2)?;
        ensure!(told.iter().any(|reason| reason.contains("ca.crt is not in /etc/ipsec.d/cacerts")), "{told:?}");
        Ok(())
    })?;
    let read = tempfile::Builder::new().prefix("ovstunnel-").suffix(".crt").tempfile_in(CAS)?;
    fs::copy(files.path().join("ca.crt"), read.path())?;
    ikes.iter().try_for_each(|ike| ike.inside("ipsec rereadcacerts").map(drop))?;
    ends.expect_encrypted(cloud.lab(), "with keys")?;
    ensure!(ends.faults(2)?.is_empty(), "{:?}", ends.faults(2)?);
    ikes[1].kill()?;
    ends.expect_nothing("after the IKE daemon was killed")?;
    ikes[1].inside("ipsec start")?;
    ends.expect_encrypted(cloud.lab(), "with a new IKE daemon")?;
    cloud.lab().expect_no_duplicates()
}

/// What somebody takes away is put back, and nothing was in clear meanwhile.
fn puts_back(ends: &Ends<'_>) -> Result<()> {
    let host = ends.cloud.node(1)?.host();
    host.vsctl(["remove", "Open_vSwitch", ".", "other_config", "ipsec_skb_mark"])?;
    expect_guard(host, Some("1/1"))?;
    host.vsctl(["remove", "Interface", "t1001-1-2", "options", "psk", "egress_pkt_mark"])?;
    expect_row(host, "the options to be put back", |row| row.contains(KEYS[1]) && row.contains("egress_pkt_mark"))?;
    ends.expect_encrypted(ends.cloud.lab(), "after somebody took options away")
}

/// Encryption ends on one host and then on the other: what is in clear is not taken by a host that wants it encrypted, and nothing of ours
/// is left.
fn switch_off(ends: &Ends<'_>, tunnel: &str) -> Result<()> {
    let [a, b] = &ends.vms;
    for number in [2, 1] {
        let node = ends.cloud.node(number)?;
        let text = fs::read_to_string(node.config_file())?;
        fs::write(node.config_file(), text.replace(tunnel, ""))?;
        node.signal(Signal::SIGHUP)?;
        expect_row(node.host(), "no option of it", |row| !row.contains("psk") && !row.contains("egress_pkt_mark"))?;
        expect_guard(node.host(), None)?;
        let ids = node.host().vsctl(["get", "Open_vSwitch", ".", "external_ids"])?;
        ensure!(!ids.contains("ovstunnel-ipsec"), "{ids}");
        if number == 2 {
            wait_until("host 2 to send in clear", AGREED, || {
                b.ping(a.ip(), 5)?;
                ensure!(ends.in_clear()? > 0, "it still has keys");
                Ok(())
            })?;
            let lost = b.ping(a.ip(), 5)?;
            ensure!(lost.received == 0, "host 1 takes what is in clear: {lost:?}");
        }
    }
    let host = ends.cloud.node(1)?.host();
    for node in ends.cloud.nodes() {
        node.host().run("nft", ["delete", "table", "inet", "ovstunnel_ipsec"])?;
    }
    wait_until("pings in clear", AGREED, || a.ping(b.ip(), 3)?.expect_no_loss())?;
    ensure!(packets_below(host, ends.clear)? > 0, "what is in clear is not counted");
    Ok(())
}

fn two_ends<'a>(cloud: &'a Cloud, clear: &'static str) -> Result<Ends<'a>> {
    needs_the_kernel_datapath(cloud.node(1)?.host())?;
    for node in cloud.nodes() {
        node.host().run("nft", ["-f", GUARD])?;
    }
    let host = cloud.node(1)?.host();
    for what in [clear, ESP] {
        host.ofctl(["add-flow", BR_PHY, &format!("priority=9,{what},actions=normal")])?;
    }
    let network = Network::numbered(1, Ipv6Policy::Allow);
    cloud.mesh(&network, &[1, 2])?;
    let vms = [cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?];
    Ok(Ends { cloud, clear, vms })
}

fn write_key(file: &Path, key: &str) -> Result<()> {
    let _ = fs::remove_file(file);
    let mut file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(file)?;
    writeln!(file, "{key}").context("the key")
}

fn expect_row(host: &Host, what: &str, is_so: impl Fn(&str) -> bool) -> Result<()> {
    wait_until(what.to_owned(), DEADLINE, || {
        let row = host.vsctl(["--columns=options", "find", "Interface", "options:remote_ip!=\"\""])?;
        ensure!(is_so(&row), "{row}");
        Ok(())
    })
}

fn expect_guard(host: &Host, guard: Option<&str>) -> Result<()> {
    wait_until("the guard", DEADLINE, || {
        let there = host.vsctl(["--if-exists", "get", "Open_vSwitch", ".", "other_config:ipsec_skb_mark"])?;
        ensure!(there.trim().trim_matches('"') == guard.unwrap_or_default(), "{there}");
        Ok(())
    })
}

/// A CA, and a certificate for each host in the name of its tunnel address, as docs/operators-guide/encryption.md makes them.
fn certificates() -> Result<TempDir> {
    let files = tempfile::tempdir()?;
    let mut words = "openssl req -x509 -newkey rsa:2048 -nodes -days 90 -subj '/O=ovstunnel lab/CN=CA of the tunnels' -keyout ca.key -out ca.crt".to_owned();
    for ip in ["192.0.2.1", "192.0.2.2"] {
        let name = ip.rsplit('.').next().unwrap_or_default();
        words += &format!(
            " && openssl req -newkey rsa:2048 -nodes -subj '/O=ovstunnel lab/CN={ip}' -keyout {name}.key -out {name}.csr \
             && printf 'subjectAltName=IP:{ip},DNS:{ip}' >{name}.ext \
             && openssl x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 90 -extfile {name}.ext -out {name}.crt"
        );
    }
    run_in(files.path(), &words)?;
    for name in ["1.key", "2.key"] {
        fs::set_permissions(PathBuf::from(files.path()).join(name), Permissions::from_mode(0o600))?;
    }
    Ok(files)
}
