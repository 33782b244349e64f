//! `ovstunnelctl doctor` and `support-bundle` on real switches: each thing is broken once, the finding comes with its remedy, it
//! is mended, and the finding goes. Nothing that is secret gets into a bundle.

use std::path::Path;
use std::process::Output;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{DoctorAnswer, Finding, Id, Ipv6Policy, Level, PostTunnel};
use ovstunnel_e2e::{Cloud, Mode, Network, NodeConfig, Toolbox, program};
use ovstunnel_lab::{Host, wait_until};

/// For what comes with Open vSwitch's next statistics, which it writes every 5 s.
const PATIENCE: Duration = Duration::from_secs(60);

fn network() -> Network {
    Network::numbered(1, Ipv6Policy::Drop)
}

/// `ovstunnelctl` on host 1, as root there.
fn ctl(cloud: &Cloud, args: &[&str]) -> Result<Output> {
    let node = cloud.node(1)?;
    let mut command = node.host().command(program("ovstunnelctl")?);
    command.arg("--socket").arg(node.socket()).args(args).current_dir(node.dir());
    let (config, log) = (node.config_file(), node.dir().join("ovstunnel.log"));
    command.arg("--config").arg(config).arg("--log").arg(log);
    Ok(command.output()?)
}

/// What is found, checked against the exit status.
fn doctor(cloud: &Cloud, args: &[&str]) -> Result<DoctorAnswer> {
    let output = ctl(cloud, &[&["--json", "doctor"], args].concat())?;
    let answer: DoctorAnswer =
        serde_json::from_slice(&output.stdout).with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    let worst = answer.findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok);
    let status = match worst {
        Level::Ok => 0,
        Level::Warn => 1,
        Level::Fail => 2,
    };
    ensure!((output.status.code(), answer.level) == (Some(status), worst), "{:?}: {answer:?}", output.status);
    Ok(answer)
}

/// The worst finding of a check; each that is not well has a remedy.
fn worst(answer: &DoctorAnswer, check: &str) -> Result<Finding> {
    let found = answer.findings.iter().find(|finding| finding.check == check);
    let found = found.with_context(|| format!("nothing is said of {check}: {answer:?}"))?.clone();
    ensure!(found.remedy.is_some() == (found.level != Level::Ok), "{found:?}");
    Ok(found)
}

fn expect(cloud: &Cloud, check: &str, level: Level, words: &str) -> Result<()> {
    let found = worst(&doctor(cloud, &[])?, check)?;
    ensure!(found.level == level && found.reason.contains(words), "{check} {level:?} '{words}': {found:?}");
    Ok(())
}

fn wait_for(cloud: &Cloud, check: &str, level: Level, words: &str) -> Result<()> {
    wait_until(format!("{check} to be {level:?}"), PATIENCE, || expect(cloud, check, level, words))
}

fn vsctl(host: &Host, line: &str) -> Result<()> {
    host.vsctl(line.split_whitespace()).map(drop)
}

fn ip(host: &Host, line: &str) -> Result<()> {
    host.run("ip", line.split_whitespace()).map(drop)
}

/// Two hosts with one network, a VM on the first; the daemons' tools can be made to fail.
fn cloud(tag: &str, tools: &Toolbox) -> Result<Cloud> {
    let config = NodeConfig { bin_dir: tools.path().to_owned(), timeout: "5s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config(tag, 2, config)?;
    cloud.mesh(&network(), &[1, 2])?;
    Ok(cloud)
}

#[test]
fn a_bridges_fault_is_found_and_goes_when_mended() -> Result<()> {
    let tools = Toolbox::new()?;
    let cloud = cloud("docbr", &tools)?;
    let host = cloud.node(1)?.host().clone();
    let checks = ["ready", "repair", "ovs_version", "tools", "protected", "stp", "controller", "tunnel_error", "drift"];
    let more = ["datapath", "shadowing_flow", "tunnel_address", "peer", "mtu", "log", "clock"];
    for check in checks.into_iter().chain(more) {
        expect(&cloud, check, Level::Ok, "").with_context(|| check)?;
    }

    vsctl(&host, &format!("set-controller xapi1 punix:{}/c", host.rundir().display()))?;
    expect(&cloud, "controller", Level::Warn, "xapi1")?;
    vsctl(&host, "del-controller xapi1")?;
    expect(&cloud, "controller", Level::Ok, "")?;

    host.ofctl(["add-flow", "xapi1", "priority=7000,dl_dst=ff:ff:ff:ff:ff:ff,actions=drop"])?;
    expect(&cloud, "shadowing_flow", Level::Fail, "priority=7000,dl_dst=ff:ff:ff:ff:ff:ff actions=drop")?;
    host.ofctl(["del-flows", "xapi1", "--strict", "priority=7000,dl_dst=ff:ff:ff:ff:ff:ff"])?;
    expect(&cloud, "shadowing_flow", Level::Ok, "")?;
    let out = host.wait_for_ofport("t1001-1-2")?;
    host.ofctl(["add-flow", "xapi1", &format!("priority=5,in_port={out},actions=flood")])?;
    expect(&cloud, "shadowing_flow", Level::Fail, "past `protected`")?;
    host.ofctl(["del-flows", "xapi1", "--strict", &format!("priority=5,in_port={out}")])?;

    // Somebody else's tunnel on our bridge is not ours to change; the remedy is theirs to follow.
    vsctl(&host, "add-port xapi1 g9 -- set Interface g9 type=gre options:remote_ip=198.51.100.9 options:key=9")?;
    expect(&cloud, "protected", Level::Fail, "g9")?;
    vsctl(&host, "set Port g9 protected=true")?;
    expect(&cloud, "protected", Level::Ok, "")?;
    vsctl(&host, "del-port g9")?;

    // What the daemon would put right at once, were its tool not failing.
    for (broken, check) in
        [("set Bridge xapi1 stp_enable=true", "stp"), ("set Port t1001-1-2 protected=false", "protected")]
    {
        tools.set("ovs-vsctl", Mode::Fails)?;
        vsctl(&host, broken)?;
        wait_for(&cloud, check, Level::Fail, "")?;
        expect(&cloud, "drift", Level::Fail, "a look would change now")?;
        tools.set("ovs-vsctl", Mode::Works)?;
        let reconciled = cloud.call(1, |client| async move { client.reconcile().await })??;
        ensure!(reconciled.failed.is_empty(), "{reconciled:?}");
        expect(&cloud, check, Level::Ok, "")?;
        expect(&cloud, "drift", Level::Ok, "")?;
    }

    tools.set("ovs-ofctl", Mode::Missing)?;
    expect(&cloud, "tools", Level::Fail, "ovs-ofctl is missing")?;
    tools.set("ovs-ofctl", Mode::Works)?;
    expect(&cloud, "tools", Level::Ok, "")?;
    Ok(())
}

#[test]
fn an_underlay_fault_is_found_and_goes_when_mended() -> Result<()> {
    let tools = Toolbox::new()?;
    let cloud = cloud("docnet", &tools)?;
    let (host, network) = (cloud.node(1)?.host().clone(), network());

    // A tunnel to nowhere.
    let nowhere = PostTunnel {
        from: Id::Number(1),
        to: Id::Number(9),
        remote_ip: "203.0.113.9".to_owned(),
        key: None,
        network_uuid: None,
    };
    cloud.call(1, move |client| async move { client.post_tunnel("xapi1", &nowhere).await })??;
    expect(&cloud, "tunnel_address", Level::Fail, "no way leads to 203.0.113.9")?;
    cloud.call(1, |client| async move { client.delete_tunnel("xapi1", "t1001-1-9").await })??;
    expect(&cloud, "tunnel_address", Level::Ok, "")?;

    // A guest that may send more than the network below carries.
    let first = cloud.plug(&network, 1, 1)?;
    let device = host.run("ip", ["-o", "route", "get", &cloud.node(2)?.host().ip().to_string()])?;
    let device = device.split_whitespace().skip_while(|word| *word != "dev").nth(1).context("a device")?.to_owned();
    let carried: u32 = host.run("cat", [format!("/sys/class/net/{device}/mtu")])?.trim().parse()?;
    ip(&host, &format!("link set {} mtu {}", first.vif(), carried - 41))?;
    wait_for(&cloud, "mtu", Level::Warn, &first.vif())?;
    ip(&host, &format!("link set {} mtu {}", first.vif(), carried - 42))?;
    wait_for(&cloud, "mtu", Level::Ok, "")?;

    // The other host has the network no more: what is sent to it is lost, and it sends nothing.
    let gone = cloud.call(2, |client| async move { client.delete_bridge("xapi1").await })??;
    ensure!(gone.outcome == ovstunnel_api::Outcome::Removed);
    (0..40).try_for_each(|_| first.announce())?;
    wait_for(&cloud, "peer", Level::Warn, "and none came back")?;
    cloud.join(&network, 2, &[1, 2])?;
    let second = cloud.plug(&network, 2, 2)?;
    wait_until("a frame from the other host", PATIENCE, || second.ping(first.ip(), 1)?.expect_no_loss())?;
    wait_for(&cloud, "peer", Level::Ok, "")?;

    // Whether the other daemon listens is asked only on request.
    ensure!(doctor(&cloud, &[])?.findings.iter().all(|finding| finding.check != "peer_probe"));
    let probed = worst(&doctor(&cloud, &["--probe-peers"])?, "peer_probe")?;
    ensure!(probed.level == Level::Ok, "{probed:?}");
    cloud.node(2)?.stop()?;
    let probed = worst(&doctor(&cloud, &["--probe-peers"])?, "peer_probe")?;
    ensure!(probed.level == Level::Warn && probed.reason.contains("nothing listens"), "{probed:?}");
    Ok(())
}

/// All texts of an archive, after each other.
fn texts(file: &Path) -> Result<String> {
    let output = std::process::Command::new("tar").arg("-xzOf").arg(file).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The lines of a file that must be in no bundle.
fn secret_lines(file: &Path) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(file)?;
    Ok(text.lines().filter(|line| line.len() > 8 && !line.starts_with("-----")).map(str::to_owned).collect())
}

#[test]
fn a_bundle_is_whole_with_and_without_a_daemon() -> Result<()> {
    let tools = Toolbox::new()?;
    let cloud = cloud("docsup", &tools)?;
    let (node, host) = (cloud.node(1)?, cloud.node(1)?.host().clone());
    host.add_bridge("theirs")?;
    vsctl(&host, "set Bridge theirs external_ids:note=not-for-you")?;
    vsctl(
        &host,
        "add-port xapi1 g9 -- set Interface g9 type=gre options:remote_ip=198.51.100.9 options:key=9 options:psk=tok-5f2c9a7e",
    )?;
    std::fs::write(node.dir().join("token"), "tok-5f2c9a7e\n")?;
    std::fs::copy(cloud.pki().join("host1.key"), node.dir().join("host1.key"))?;
    let config = std::fs::read_to_string(node.config_file())?;
    std::fs::write(node.config_file(), format!("# tok-5f2c9a7e\n{config}"))?;
    let mut secrets = secret_lines(&cloud.pki().join("host1.key"))?;
    secrets.extend(["tok-5f2c9a7e".to_owned(), "not-for-you".to_owned()]);

    let bundle = |name: &str| -> Result<String> {
        let file = node.dir().join(name);
        let output = ctl(&cloud, &["support-bundle", "-o", name])?;
        ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let texts = texts(&file)?;
        let found = secrets.iter().find(|secret| texts.contains(secret.as_str()));
        found.map_or(Ok(texts), |secret| Err(anyhow!("{secret} is in {name}")))
    };
    let alive = bundle("alive.tar.gz")?;
    for words in [
        "\"name\": \"t1001-1-2\"",
        "tun_id=0x3e9",
        "ovstunneld 0.",
        "CN=host1",
        "ovstunnel_bridges 1",
        "serving",
        "\"check\": \"stp\"",
    ] {
        ensure!(alive.contains(words), "{words}");
    }

    node.kill();
    let found = doctor(&cloud, &[])?;
    let daemon = worst(&found, "daemon")?;
    ensure!(daemon.reason.contains("no ovstunneld runs"), "{daemon:?}");
    let dead = bundle("dead.tar.gz")?;
    for words in ["The daemon gave nothing", "serving", "[tls]", "no ovstunneld runs"] {
        ensure!(dead.contains(words), "{words}");
    }
    Ok(())
}
