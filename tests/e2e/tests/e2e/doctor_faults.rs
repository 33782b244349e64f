//! Faults of a real switch and of the network below it: each is planted, found by `ovstunnelctl doctor` in one finding with cause
//! and remedy, mended by that remedy, and gone. Hosts of every kind that are well have no finding.
//!
//! The table is that of `crates/ovstunneld/tests/daemon/faults_table`, which is in the guide as well.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use crate::faults_table::{Fault, SWITCH};
use anyhow::{Context, Result, ensure};
use ovstunnel_api::{DoctorAnswer, Finding, Ipv6Policy, Level, PluginArguments, PutBridge};
use ovstunnel_e2e::{Cloud, Network, Node, NodeConfig, Old, Place, VpcCloud, plugin_sets_up, program};
use ovstunnel_lab::{Host, Signal, wait_until};

/// For what comes with the next look, or with Open vSwitch's next statistics.
const PATIENCE: Duration = Duration::from_secs(60);

/// The files of a host as its packages leave them.
enum Layout {
    /// XCP-ng or XenServer.
    Dom0,
    /// A host of KVM.
    Kvm,
}

fn put(root: &Path, path: &str, text: &str) -> Result<()> {
    let file = root.join(path);
    fs::create_dir_all(file.parent().context("a folder")?)?;
    fs::write(&file, text)?;
    fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).context("the mode")
}

/// Starts the daemon of host `number` anew on these files; what else it looks at is the machine's.
fn lay_out(cloud: &Cloud, number: usize, layout: &Layout) -> Result<()> {
    let node: &Node = cloud.node(number)?;
    let root = node.false_root();
    fs::create_dir_all(&root)?;
    for folder in ["sys", "proc"] {
        symlink(format!("/{folder}"), root.join(folder))?;
    }
    let rule = "SUBSYSTEM==\"net\", RUN+=\"/usr/lib/ovstunnel/ovstunnel-vif $env{ACTION} %k\"\n";
    put(&root, "usr/lib/ovstunnel/ovstunnel-vif", "")?;
    put(&root, "usr/lib/ovstunnel/ovstunnel", "\u{7f}ELF")?;
    put(&root, "usr/lib/udev/rules.d/zz-ovstunnel.rules", rule)?;
    if matches!(layout, Layout::Dom0) {
        put(&root, "etc/xensource-inventory", "")?;
        put(&root, "etc/xensource/network.conf", "openvswitch\n")?;
        put(&root, "etc/xapi.d/plugins/ovstunnel", "\u{7f}ELF")?;
    }
    // The network below carries 1500 bytes, 42 of them for GRE.
    let ports = node.host().vsctl(["--bare", "--columns=name", "find", "Interface", "type=\"\""])?;
    for vif in ports.split_whitespace().filter(|port| port.starts_with("vif") || port.starts_with("tap")) {
        shell(node.host(), &format!("ip link set dev {vif} mtu 1458"))?;
    }
    node.stop()?;
    node.start()?;
    cloud.wait_until_ready(number)
}

/// What `ovstunnelctl doctor` finds on a host, and its exit status.
fn doctor(cloud: &Cloud, number: usize) -> Result<(i32, DoctorAnswer)> {
    let node = cloud.node(number)?;
    let mut command = node.host().command(program("ovstunnelctl")?);
    let output = command.arg("--socket").arg(node.socket()).args(["--json", "doctor"]).output()?;
    let answer =
        serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((output.status.code().context("a status")?, answer))
}

/// The findings above 'ok'.
fn unwell(cloud: &Cloud, number: usize) -> Result<Vec<Finding>> {
    let (status, answer) = doctor(cloud, number)?;
    let unwell: Vec<Finding> = answer.findings.into_iter().filter(|finding| finding.level != Level::Ok).collect();
    ensure!((status == 0) == unwell.is_empty(), "{status}: {unwell:?}");
    Ok(unwell)
}

fn expect_well(cloud: &Cloud, number: usize) -> Result<()> {
    wait_until(format!("host {number} to be well"), PATIENCE, || {
        let found = unwell(cloud, number)?;
        ensure!(found.is_empty(), "{found:?}");
        Ok(())
    })
}

fn shell(host: &Host, command: &str) -> Result<()> {
    // As the page writes them: for the switch that is meant there.
    let line = command.replace("ovs-ofctl ", "ovs-ofctl -O OpenFlow10,OpenFlow14 ");
    let line = if command.contains("mod-port") || command.contains("set-frags") { command } else { &line };
    host.run("sh", ["-ec", line]).map(drop).with_context(|| command.to_owned())
}

fn level(fault: &Fault) -> Level {
    if fault.level == "fail" { Level::Fail } else { Level::Warn }
}

fn found_and_mended(place: &Place, fault: &Fault) -> Result<()> {
    let host = place.host()?;
    fault.commands.iter().try_for_each(|command| shell(host, command))?;
    let found = wait_until(format!("{} to be found", fault.check), PATIENCE, || {
        let found = unwell(&place.cloud, 1)?;
        let [one] = found.as_slice() else { anyhow::bail!("not one finding: {found:?}") };
        let right = one.check == fault.check && one.level == level(fault) && one.reason.contains(fault.cause);
        ensure!(right, "{one:?}");
        Ok(one.clone())
    })?;
    let command = follow(host, &found)?;
    place.reconcile()?;
    // Who sets the MTU back sets it to what the lab's devices have.
    shell(host, "ip link set dev vif1.0 mtu 1458")?;
    expect_well(&place.cloud, 1)?;
    println!("{}: {} -> {command}", fault.planted, found.reason);
    Ok(())
}

/// Does what the remedy says.
fn follow(host: &Host, found: &Finding) -> Result<String> {
    let remedy = found.remedy.as_ref().context("no remedy")?;
    let command = remedy.split('`').nth(1).with_context(|| format!("no command: {remedy}"))?;
    shell(host, command).map(|()| command.to_owned())
}

#[test]
fn each_switch_fault_has_one_finding_that_mends_it() -> Result<()> {
    let place = Place::new("dfault", NodeConfig::default())?;
    lay_out(&place.cloud, 1, &Layout::Dom0)?;
    expect_well(&place.cloud, 1)?;
    let mut missed = Vec::new();
    for fault in &SWITCH {
        if let Err(error) = found_and_mended(&place, fault) {
            missed.push(format!("{}: {error:#}", fault.planted));
            // For the next one to be planted on a host that is well.
            for found in unwell(&place.cloud, 1)? {
                let _ = follow(place.host()?, &found);
            }
            place.reconcile()?;
            shell(place.host()?, "ip link set dev vif1.0 mtu 1458")?;
        }
    }
    ensure!(missed.is_empty(), "{}", missed.join("\n"));
    place.expect_frames_once()
}

#[test]
fn a_host_of_each_kind_that_is_well_has_no_finding() -> Result<()> {
    // Userspace datapath or the kernel's, as the lab has it.
    let cloud = Cloud::new("dwell", 3)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2, 3])?;
    (1..=2).try_for_each(|number| cloud.plug(&network, number, u16::try_from(number)?).map(drop))?;
    for (number, layout) in [(1, Layout::Dom0), (2, Layout::Kvm)] {
        lay_out(&cloud, number, &layout)?;
        expect_well(&cloud, number)?;
    }
    // Beside the Python plugin: the third host has its bridge from there.
    let member = cloud.call(3, |client| async move { client.delete_bridge("xapi1").await })??;
    ensure!(member.outcome == ovstunnel_api::Outcome::Removed);
    plugin_sets_up(&cloud, &network, 3, &[1, 2, 3], false)?;
    expect_well(&cloud, 1)?;
    drop(cloud);

    let vpc = VpcCloud::new("dvpc", NodeConfig::default())?;
    lay_out(vpc.cloud(), 1, &Layout::Dom0)?;
    expect_well(vpc.cloud(), 1)?;
    drop(vpc);

    let old = Old::new("dold", &[], NodeConfig::default())?;
    (1..=3).try_for_each(|number| old.take_over(number).map(drop))?;
    lay_out(&old.cloud, 1, &Layout::Dom0)?;
    // Flows of somebody else are on it, which are no part of a host that is well: their remedies are followed.
    for finding in unwell(&old.cloud, 1)? {
        let remedy = finding.remedy.context("no remedy")?;
        ensure!(finding.check == "shadowing_flow", "{}", finding.reason);
        shell(old.host(1)?, remedy.split('`').nth(1).context("no command")?)?;
    }
    expect_well(&old.cloud, 1)
}

/// The lab's machine may have no kernel datapath: then a bridge of it cannot be made, and that is said at once.
#[test]
fn a_kernel_without_open_vswitch_is_named_at_once() -> Result<()> {
    if Path::new("/sys/module/openvswitch").exists() {
        println!("not run: this kernel has the module openvswitch");
        return Ok(());
    }
    let cloud = Cloud::new("dnokern", 1)?;
    let node = cloud.node(1)?;
    let config =
        fs::read_to_string(node.config_file())?.replace("datapath_type = \"netdev\"", "datapath_type = \"system\"");
    fs::write(node.config_file(), config)?;
    node.signal(Signal::SIGHUP)?;
    wait_until("the reload", PATIENCE, || {
        ensure!(node.log().contains("configuration and certificates read again"), "not yet");
        Ok(())
    })?;
    let begun = std::time::Instant::now();
    let body: PutBridge = serde_json::from_value(serde_json::json!({"key": 5}))?;
    let answer = cloud.call(1, move |client| async move { client.put_bridge("xapi5", &body).await })?;
    let error = answer.err().context("it was made")?;
    let problem = error.problem().with_context(|| format!("{error}"))?;
    println!("after {:?}: {}", begun.elapsed(), problem.detail);
    ensure!(problem.code == ovstunnel_api::Code::SwitchRefused, "{problem:?}");
    ensure!(problem.detail.contains("no module `openvswitch` loaded"), "{problem:?}");
    ensure!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    ensure!(!node.host().vsctl(["list-br"])?.contains("xapi5"), "it is still there");
    Ok(())
}

/// A host with two addresses, of which the others know the second.
#[test]
fn the_tunnels_own_address_is_set_recorded_and_ended() -> Result<()> {
    let cloud = Cloud::new("dlocal", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    let (node, host) = (cloud.node(1)?, cloud.node(1)?.host().clone());
    let config = fs::read_to_string(node.config_file())?;
    let set = |text: &str, marks: &[(&str, &str)]| -> Result<()> {
        fs::write(node.config_file(), format!("{config}\n{text}"))?;
        node.signal(Signal::SIGHUP)?;
        wait_until(format!("the tunnel to follow {text:?}"), PATIENCE, || {
            for (column, value) in marks {
                let found = host.vsctl(["--if-exists", "get", column_table(column), "t1001-1-2", column])?;
                ensure!(found.trim().trim_matches('"') == *value, "{column}: {found}");
            }
            Ok(())
        })
    };
    let own = host.ip().to_string();
    let (option, mark) = ("options:local_ip", "external_ids:ovstunnel-local-ip");
    set(&format!("[tunnel]\nlocal_ip = \"{own}\"\n"), &[(option, &own), (mark, &own)])?;
    let [first, second] = [cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?];
    wait_until("pings", PATIENCE, || first.ping(second.ip(), 2)?.expect_no_loss())?;
    // New ones have it as well.
    cloud.call(1, |client| async move { client.delete_tunnel("xapi1", "t1001-1-2").await })??;
    cloud.join(&network, 1, &[1, 2])?;
    set(&format!("[tunnel]\nlocal_ip = \"{own}\"\n"), &[(option, &own), (mark, &own)])?;
    wait_until("pings", PATIENCE, || first.ping(second.ip(), 2)?.expect_no_loss())?;
    set("", &[(option, ""), (mark, "")])?;
    wait_until("pings", PATIENCE, || first.ping(second.ip(), 2)?.expect_no_loss())
}

fn column_table(column: &str) -> &'static str {
    if column.starts_with("options") { "Interface" } else { "Port" }
}

/// What a request has removed is in its answer and in the audit.
#[test]
fn what_was_changed_is_in_the_answer_and_in_the_audit() -> Result<()> {
    let cloud = Cloud::new("dchange", 4)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2, 3, 4])?;
    let answer = cloud.join(&network, 1, &[1])?;
    let gone: Vec<(&str, &str)> = answer
        .changes
        .iter()
        .filter(|change| change.what == "tunnel" && change.after.is_none())
        .map(|change| (change.subject.as_str(), change.before.as_deref().unwrap_or_default()))
        .collect();
    let expected =
        [2, 3, 4].map(|n| (format!("t1001-1-{n}"), format!("host {n} at {}, key 1001", cloud_ip(&cloud, n))));
    ensure!(gone.len() == 3, "{:?}", answer.changes);
    for (port, before) in &expected {
        ensure!(gone.contains(&(port, before)), "{gone:?}");
    }
    wait_until("the audit of the request", PATIENCE, || {
        let log = cloud.node(1)?.log();
        let line = log.lines().rfind(|line| line.contains("audit: done")).context("no audit")?;
        for (port, before) in &expected {
            ensure!(line.contains(&format!("tunnel {port} removed: {before}")), "{line}");
        }
        Ok(())
    })?;
    let again = cloud.join(&network, 1, &[1])?;
    ensure!(again.changes.is_empty(), "{:?}", again.changes);
    // The xapi plugin's answer is a word, and its changes stand beside it.
    let (client, bridge) = (cloud.node(2)?.local_client()?, network.bridge.clone());
    let arguments = [("bridge", bridge.as_str()), ("in_port", "t1001-2-3")];
    let arguments = PluginArguments(arguments.map(|(name, value)| (name.into(), value.into())).into());
    let answer = cloud.manager().run(async move { client.plugin("destroy_tunnel", &arguments).await })?;
    let gone = answer.changes.iter().find(|change| change.subject == "t1001-2-3" && change.after.is_none());
    ensure!(answer.value == "SUCCESS" && gone.is_some(), "{answer:?}");
    // The line is written while the answer is on its way.
    wait_until("the audit of the plugin's call", PATIENCE, || {
        let log = cloud.node(2)?.log();
        let line = log.lines().rfind(|line| line.contains("audit: done")).context("no audit")?;
        ensure!(line.contains("tunnel t1001-2-3 removed: host 3 at"), "{line}");
        Ok(())
    })
}

fn cloud_ip(cloud: &Cloud, number: usize) -> String {
    cloud.node(number).map(|node| node.host().ip().to_string()).unwrap_or_default()
}

/// The finding of a check that is not well, once it is there and says this.
fn wait_for(cloud: &Cloud, number: usize, check: &str, words: &str) -> Result<Finding> {
    wait_until(format!("{check} to say '{words}'"), PATIENCE, || {
        let found = unwell(cloud, number)?;
        let one = found.iter().find(|one| one.check == check && one.reason.contains(words));
        one.cloned().with_context(|| format!("{found:?}"))
    })
}

#[test]
fn a_peer_with_another_address_of_ours_is_named() -> Result<()> {
    let cloud = Cloud::new("dtwo", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    let [first, second] = [cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?];
    lay_out(&cloud, 1, &Layout::Dom0)?;
    expect_well(&cloud, 1)?;
    // Host 2 is told the second address of host 1.
    let (node, host) = (cloud.node(1)?, cloud.node(1)?.host().clone());
    let other = format!("{}.77", host.ip().to_string().rsplit_once('.').context("an address")?.0);
    shell(&host, &format!("ip addr add {other}/24 dev br-phy"))?;
    // The lab's hosts know each other's Ethernet addresses beforehand.
    let mac = host.run("cat", ["/sys/class/net/br-phy/address"])?;
    let far = cloud.node(2)?.host();
    shell(far, &format!("ip neigh replace {other} lladdr {} dev br-phy", mac.trim()))?;
    let body: PutBridge = serde_json::from_value(serde_json::json!({
        "key": network.key, "host_id": 2, "tunnels": [{"to": 1, "remote_ip": other}]
    }))?;
    cloud.call(2, move |client| async move { client.put_bridge("xapi1", &body).await })??;
    let found = wait_until("the peer to be named", PATIENCE, || {
        let _ = far.appctl(["tnl/neigh/set", "br-phy", &other, mac.trim()]);
        second.announce()?;
        let found = unwell(&cloud, 1)?;
        let one = found.iter().find(|one| one.check == "peer" && one.reason.contains("another address of this host"));
        one.cloned().with_context(|| format!("{found:?}"))
    })?;
    println!("{}: {}", found.reason, found.remedy.clone().unwrap_or_default());
    ensure!(found.reason.contains(&format!("sends to {other}")), "{found:?}");
    ensure!(first.ping(second.ip(), 2)?.received == 0, "it works all the same");
    let setting = found.remedy.context("no remedy")?;
    let setting = setting.split('`').nth(1).context("no setting")?.replace("[tunnel] ", "[tunnel]\n");
    let config = fs::read_to_string(node.config_file())?;
    fs::write(node.config_file(), format!("{config}\n{setting}\n"))?;
    node.signal(Signal::SIGHUP)?;
    wait_until("pings", PATIENCE, || first.ping(second.ip(), 2)?.expect_no_loss())?;
    expect_well(&cloud, 1)
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn a_tunnel_that_worked_and_became_one_sided_is_told() -> Result<()> {
    let cloud = Cloud::new("doneside", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    let [first, second] = [cloud.plug(&network, 1, 1)?, cloud.plug(&network, 2, 2)?];
    lay_out(&cloud, 1, &Layout::Dom0)?;
    wait_until("pings", PATIENCE, || first.ping(second.ip(), 40)?.expect_no_loss())?;
    // Open vSwitch writes its counters every 5 s.
    std::thread::sleep(Duration::from_secs(6));
    expect_well(&cloud, 1)?;
    shell(cloud.node(2)?.host(), "ovs-vsctl del-port xapi1 t1001-2-1")?;
    cloud.node(2)?.stop()?;
    shell(cloud.node(2)?.host(), "ovs-vsctl --if-exists del-port xapi1 t1001-2-1")?;
    let found = wait_until("it to be told", PATIENCE * 3, || {
        (0..40).try_for_each(|_| first.announce())?;
        wait_for_once(&cloud, "in the last")
    })?;
    println!("{}", found.reason);
    Ok(())
}

fn wait_for_once(cloud: &Cloud, words: &str) -> Result<Finding> {
    let found = unwell(cloud, 1)?;
    let one = found.iter().find(|one| one.check == "peer" && one.reason.contains(words));
    one.cloned().with_context(|| format!("{found:?}"))
}

/// Guests of another hypervisor: their ports' names are none of a VIF's.
#[test]
fn ports_without_broadcast_are_named_with_the_setting() -> Result<()> {
    let cloud = Cloud::new("dname", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    lay_out(&cloud, 1, &Layout::Kvm)?;
    let (node, host) = (cloud.node(1)?, cloud.node(1)?.host().clone());
    shell(
        &host,
        "ip link add one-11-0 type veth peer name far11 && ip link set one-11-0 mtu 1458 up && ip link set far11 up",
    )?;
    shell(&host, "ovs-vsctl add-port xapi1 one-11-0")?;
    let found = wait_for(&cloud, 1, "vif_prefixes", "one-11-0")?;
    let remedy = found.remedy.context("no remedy")?;
    let setting = remedy.split('`').nth(1).context("no setting")?.replace("[network] ", "");
    let config = fs::read_to_string(node.config_file())?;
    fs::write(node.config_file(), config.replace("[network]\n", &format!("[network]\n{setting}\n")))?;
    node.signal(Signal::SIGHUP)?;
    expect_well(&cloud, 1)
}
