//! Bad days of `ovs-vsctl` and `ovs-ofctl`: missing, hanging, killed, failing. The answer says what is known, the switch
//! is what the answer says, no process is left, and with the tool all works again.

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Bridge, Code, FlowsState, Ipv6Policy, Outcome, TunnelState};
use ovstunnel_e2e::{
    Cloud, Mode, Network, NodeConfig, Snapshot, Toolbox, database_file, exact_rules, make_devices, problem, tunnel_to,
    tunnels_to,
};

const VSCTL: &str = "ovs-vsctl";
const OFCTL: &str = "ovs-ofctl";

/// One host whose daemon uses these tools and gives each 1 s.
fn cloud(tag: &str, tools: &Toolbox) -> Result<Cloud> {
    let config = NodeConfig { bin_dir: tools.path().to_owned(), timeout: "1s".into(), ..NodeConfig::default() };
    Cloud::with_config(tag, 1, config)
}

/// Sets `xapi1` up with these tunnels.
fn put(
    cloud: &Cloud,
    hosts: &'static [u8],
) -> Result<Result<ovstunnel_api::BridgeAnswer, ovstunnel_client::ClientError>> {
    cloud.call(1, move |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, hosts)).await })
}

fn get(cloud: &Cloud) -> Result<Bridge> {
    cloud.call(1, |client| async move { client.bridge("xapi1").await })?.context("the bridge")
}

/// The children of the daemon, unreaped ones among them.
fn children(cloud: &Cloud) -> Result<String> {
    let pid = cloud.node(1)?.pid().context("no daemon")?;
    let mut all = String::new();
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        all.push_str(&std::fs::read_to_string(task?.path().join("children"))?);
    }
    Ok(all)
}

#[test]
fn an_idle_ovs_vsctl_leaves_the_database_as_it_was() -> Result<()> {
    let tools = Toolbox::new()?;
    let cloud = cloud("vsctl", &tools)?;
    let host = cloud.node(1)?.host().clone();
    put(&cloud, &[2])??;
    let (before, file) = (Snapshot::of(&host)?, database_file(&host)?);
    for (mode, code, words) in [
        (Mode::Missing, Code::SwitchUnavailable, "cannot run"),
        (Mode::Fails, Code::SwitchRefused, "the words of a failure"),
        (Mode::Killed, Code::SwitchUnavailable, "was ended by signal 9"),
        (Mode::Hangs, Code::SwitchUnavailable, "did not end and was killed"),
    ] {
        tools.set(VSCTL, mode)?;
        let told = problem(put(&cloud, &[2, 3])?, code).with_context(|| format!("{mode:?}"))?;
        ensure!(told.detail.contains(words), "{mode:?}: {told:?}");
        let post = cloud.call(1, |client| async move { client.post_tunnel("xapi1", &tunnel_to(4)).await })?;
        problem(post, code).with_context(|| format!("{mode:?}"))?;
        let delete = cloud.call(1, |client| async move { client.delete_tunnel("xapi1", "t1001-1-2").await })?;
        problem(delete, code).with_context(|| format!("{mode:?}"))?;
        tools.wait_until_gone()?;
        ensure!(children(&cloud)?.is_empty(), "{mode:?}: {}", children(&cloud)?);
        ensure!(database_file(&host)? == file, "{mode:?}: something was written");
        // Looks need no tool, and what is unchanged needs none either.
        assert_eq!(get(&cloud)?.tunnels.len(), 1);
        assert_eq!(put(&cloud, &[2])??.outcome, Outcome::Unchanged);
    }
    tools.set(VSCTL, Mode::Works)?;
    before.expect_same(&Snapshot::of(&host)?)?;
    let answer = put(&cloud, &[2, 3])??;
    assert_eq!((answer.outcome, answer.bridge.tunnels.len()), (Outcome::Updated, 2));
    Ok(())
}

#[test]
fn ovs_vsctl_that_is_killed_after_its_work_is_a_success() -> Result<()> {
    let tools = Toolbox::new()?;
    let cloud = cloud("vsctldone", &tools)?;
    tools.set(VSCTL, Mode::KilledAfter)?;
    let created = put(&cloud, &[2, 3])??;
    assert_eq!(created.outcome, Outcome::Created);
    ensure!(created.bridge.tunnels.iter().all(|tunnel| tunnel.state == TunnelState::Up), "{created:?}");
    assert_eq!((created.bridge.tunnels.len(), created.bridge.flows.state), (2, FlowsState::InSync));
    let deleted = cloud.call(1, |client| async move { client.delete_tunnel("xapi1", "t1001-1-3").await })??;
    assert_eq!(deleted.outcome, Outcome::Removed);
    let posted = cloud.call(1, |client| async move { client.post_tunnel("xapi1", &tunnel_to(4)).await })??;
    assert_eq!((posted.outcome, posted.tunnel.state), (Outcome::Created, TunnelState::Up));
    let gone = cloud.call(1, |client| async move { client.delete_bridge("xapi1").await })??;
    assert_eq!(gone.outcome, Outcome::Removed);
    ensure!(!cloud.node(1)?.host().vsctl(["list-br"])?.contains("xapi1"));
    Ok(())
}

#[test]
fn a_failing_ovs_ofctl_is_told_and_flows_come_later() -> Result<()> {
    let tools = Toolbox::new()?;
    let cloud = cloud("ofctl", &tools)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    for mode in [Mode::Missing, Mode::Fails, Mode::Killed, Mode::Lies, Mode::Hangs] {
        tools.set(OFCTL, mode)?;
        let told = problem(put(&cloud, &[2])?, Code::OutcomeUnknown).with_context(|| format!("{mode:?}"))?;
        ensure!(told.detail.contains("bridge xapi1 was changed, but its flows could not be"), "{mode:?}: {told:?}");
        let bridge = told.bridge.context("the bridge as it is now")?;
        assert_eq!((bridge.flows.state, bridge.tunnels.len()), (FlowsState::Unknown, 1), "{mode:?}");
        ensure!(bridge.tunnels[0].state == TunnelState::Up, "{mode:?}: {bridge:?}");

        tools.set(OFCTL, Mode::Works)?;
        cloud.wait_for_rules(&network, 1)?;
        ovstunnel_lab::wait_until("the daemon to know", ovstunnel_lab::DEADLINE, || match get(&cloud)?.flows.state {
            FlowsState::InSync => Ok(()),
            state => Err(anyhow::anyhow!("{state:?}")),
        })?;
        tools.wait_until_gone()?;
        assert_eq!(put(&cloud, &[2])??.outcome, Outcome::Unchanged, "{mode:?}");
        cloud.call(1, |client| async move { client.delete_bridge("xapi1").await })??;
    }
    // Killed when all is done: the flows are there, and that counts.
    tools.set(OFCTL, Mode::KilledAfter)?;
    let created = put(&cloud, &[2])??;
    assert_eq!((created.outcome, created.bridge.flows.state), (Outcome::Created, FlowsState::InSync));
    Ok(())
}

/// `kill -9` does not reach the commands that the daemon has begun. One of them is slow, and what it writes is not true any
/// more when it does: the next daemon looks after it, not before.
#[test]
fn a_command_that_outlives_a_killed_daemon_is_waited_for() -> Result<()> {
    let tools = Toolbox::new()?;
    let config = NodeConfig { bin_dir: tools.path().to_owned(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("orphan", 1, config)?;
    let (node, network) = (cloud.node(1)?, Network::numbered(1, Ipv6Policy::Drop));
    let host = node.host();
    cloud.join(&network, 1, &[1])?;
    make_devices(host, &["vif1.0".to_owned()])?;
    tools.set(OFCTL, Mode::Waits)?;
    host.vsctl(["add-port", &network.bridge, "vif1.0"])?;
    tools.wait_until_busy()?;
    node.kill();
    tools.set(OFCTL, Mode::Works)?;
    host.vsctl(["del-port", &network.bridge, "vif1.0"])?;
    let log = node.log().len();
    node.start()?;
    ovstunnel_lab::wait_until("the next daemon to wait, or to be ready", std::time::Duration::from_secs(20), || {
        let text = node.log().split_off(log);
        ensure!(text.contains("or a command of one that was killed") || text.contains("reconciled"), "{text}");
        Ok(())
    })?;
    tools.go()?;
    tools.wait_until_gone()?;
    cloud.wait_until_ready(1)?;
    let there = exact_rules(host, &network)?;
    ensure!(there.is_empty(), "{there:?}");
    Ok(())
}
