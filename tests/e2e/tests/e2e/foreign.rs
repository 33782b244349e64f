//! What is not ours: bridges, ports and flows of others stay as they are, row for row, whatever is asked for; a bridge of
//! theirs that is set up and removed again is theirs as before.

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Code, FlowsState, Ipv6Policy, Outcome, TunnelState};
use ovstunnel_e2e::{Cloud, Network, Snapshot, our_flows, problem, tunnel_to, tunnels_to, wait_for_underlay_flows};
use ovstunnel_lab::Host;

/// Carries out `ovs-vsctl` with the words of `line`.
fn vsctl(host: &Host, line: &str) -> Result<()> {
    host.vsctl(line.split_whitespace()).map(drop)
}

/// A bridge of somebody else, with a port, a GRE tunnel, marks and flows of theirs.
fn foreign_bridge(host: &Host, name: &str, more: &str) -> Result<()> {
    vsctl(
        host,
        &format!(
            "add-br {name} -- set Bridge {name} {} external_ids:theirs=yes other_config:hwaddr=02:00:00:00:00:77 \
             {more} -- add-port {name} p-{name} -- set Interface p-{name} type=internal \
             -- add-port {name} g-{name} -- set Interface g-{name} type=gre options:remote_ip=192.0.2.77 options:key=77",
            host.datapath_type()
        ),
    )?;
    for flow in ["priority=7000,in_port=LOCAL,actions=drop", "cookie=0x77,priority=5,ip,actions=NORMAL"] {
        let mut command = host.command("ovs-ofctl");
        command.args(["-O", "OpenFlow10,OpenFlow13", "add-flow", name, flow]);
        ovstunnel_lab::run(command, ovstunnel_lab::DEADLINE)?;
    }
    Ok(())
}

/// An OpenFlow controller of somebody else's on a bridge, and flows that it has written over its own connection.
fn controller(host: &Host, bridge: &str) -> Result<()> {
    let socket = host.rundir().join(format!("{bridge}.controller"));
    vsctl(host, &format!("set-controller {bridge} punix:{}", socket.display()))?;
    let target = format!("unix:{}", socket.display());
    for flow in
        ["cookie=0xc0,priority=4000,in_port=LOCAL,actions=NORMAL", "table=7,cookie=0xc1,priority=1000,actions=drop"]
    {
        host.ofctl(["add-flow", &target, flow])?;
    }
    Ok(())
}

#[test]
fn a_foreign_bridge_is_untouched_by_all_that_can_be_asked() -> Result<()> {
    let cloud = Cloud::new("foreign", 1)?;
    let host = cloud.node(1)?.host().clone();
    foreign_bridge(&host, "theirs", "")?;
    controller(&host, "theirs")?;
    let before = Snapshot::of(&host)?;

    // Asked of the foreign bridge itself.
    let get = cloud.call(1, |client| async move { client.bridge("theirs").await })?;
    problem(get, Code::NotFound)?;
    let delete = cloud.call(1, |client| async move { client.delete_bridge("theirs").await })?;
    assert_eq!(problem(delete, Code::Conflict)?.in_the_way.as_deref(), Some("theirs"));
    let post = cloud.call(1, |client| async move { client.post_tunnel("theirs", &tunnel_to(2)).await })?;
    assert_eq!(problem(post, Code::Conflict)?.in_the_way.as_deref(), Some("theirs"));
    let delete = cloud.call(1, |client| async move { client.delete_tunnel("theirs", "g-theirs").await })?;
    assert_eq!(problem(delete, Code::Conflict)?.in_the_way.as_deref(), Some("theirs"));
    before.expect_same(&Snapshot::of(&host)?)?;

    // A whole life of a bridge of ours beside it; their tunnel's address and key are taken.
    let put = cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(77, &[77])).await })?;
    assert_eq!(problem(put, Code::Conflict)?.in_the_way.as_deref(), Some("theirs/g-theirs"));
    before.expect_same(&Snapshot::of(&host)?)?;
    cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2, 3])).await })??;
    cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[4])).await })??;
    cloud.call(1, |client| async move { client.reconcile().await })??;
    let list = cloud.call(1, |client| async move { client.bridges().await })??;
    assert_eq!(list.bridges.iter().map(|bridge| bridge.name.as_str()).collect::<Vec<_>>(), ["xapi1"]);
    let gone = cloud.call(1, |client| async move { client.delete_bridge("xapi1").await })??;
    assert_eq!(gone.outcome, Outcome::Removed);
    before.expect_same(&Snapshot::of(&host)?)?;
    Ok(())
}

#[test]
fn ports_and_flows_of_others_stay_and_block_removal() -> Result<()> {
    let cloud = Cloud::new("guests", 1)?;
    let host = cloud.node(1)?.host().clone();
    cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await })??;
    vsctl(&host, "add-port xapi1 guest -- set Interface guest type=internal -- set Port guest external_ids:theirs=1")?;
    host.ofctl(["add-flow", "xapi1", "cookie=0x77,priority=7000,in_port=guest,actions=drop"])?;
    controller(&host, "xapi1")?;
    wait_for_underlay_flows(&host, "xapi1")?;
    let before = Snapshot::of(&host)?;

    let delete = cloud.call(1, |client| async move { client.delete_tunnel("xapi1", "guest").await })?;
    assert_eq!(problem(delete, Code::Conflict)?.in_the_way.as_deref(), Some("guest"));
    let delete = cloud.call(1, |client| async move { client.delete_bridge("xapi1").await })?;
    assert_eq!(problem(delete, Code::Conflict)?.in_the_way.as_deref(), Some("guest"));
    cloud.call(1, |client| async move { client.reconcile().await })??;
    before.expect_same(&Snapshot::of(&host)?)?;

    cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2, 3])).await })??;
    let bridge =
        cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await })??.bridge;
    assert_eq!(bridge.other_ports, ["guest"]);
    before.expect_same(&Snapshot::of(&host)?)?;
    // Daemons that start anew, and one that writes all its flows anew.
    for without_flows in [false, true] {
        cloud.node(1)?.kill();
        if without_flows {
            host.ofctl(["del-flows", "xapi1", "cookie=0x6f76737400000000/0xffffffff00000000"])?;
        }
        cloud.node(1)?.start()?;
        cloud.wait_until_ready(1)?;
        wait_for_underlay_flows(&host, "xapi1")?;
        before.expect_same(&Snapshot::of(&host)?)?;
    }
    vsctl(&host, "del-port xapi1 guest -- del-controller xapi1")?;
    let gone = cloud.call(1, |client| async move { client.delete_bridge("xapi1").await })??;
    assert_eq!(gone.outcome, Outcome::Removed);
    Ok(())
}

#[test]
fn an_adopted_bridge_is_given_back_as_it_was() -> Result<()> {
    let cloud = Cloud::new("adopt", 1)?;
    let host = cloud.node(1)?.host().clone();
    foreign_bridge(&host, "xapi1", "")?;
    // What others may have set of what we set too, and OpenFlow without the version that we need.
    let settings = "other_config:mac-table-size=100 other_config:gre_key=5 external_ids:xs-network-uuid=theirs \
                    protocols=OpenFlow10,OpenFlow13";
    foreign_bridge(&host, "xapi2", settings).context("a bridge with settings")?;
    // Tunnels of others are a way out: with them on it a bridge does not become ours.
    vsctl(&host, "del-port xapi1 g-xapi1 -- del-port xapi2 g-xapi2 -- set Port xapi2 protected=true")?;
    let before = Snapshot::of(&host)?;
    for (bridge, key) in [("xapi1", 1001), ("xapi2", 1002)] {
        let answer = cloud
            .call(1, move |client| async move { client.put_bridge(bridge, &tunnels_to(key, &[2, 3])).await })??;
        let seen = answer.bridge;
        assert_eq!((answer.outcome, seen.adopted, seen.flows.state), (Outcome::Updated, true, FlowsState::InSync));
        ensure!(seen.tunnels.len() == 2 && seen.tunnels.iter().all(|t| t.state == TunnelState::Up), "{seen:?}");
        wait_for_underlay_flows(&host, bridge)?;
        let flows = our_flows(&host, bridge)?;
        assert_eq!(flows.len(), 6 + 3, "{flows:?}");
    }
    // The daemon that gives it back need not be the one that took it.
    cloud.node(1)?.kill();
    cloud.node(1)?.start()?;
    cloud.wait_until_ready(1)?;
    for bridge in ["xapi1", "xapi2"] {
        let answer = cloud.call(1, move |client| async move { client.delete_bridge(bridge).await })??;
        assert_eq!(answer.outcome, Outcome::Removed);
        let again = cloud.call(1, move |client| async move { client.delete_bridge(bridge).await })??;
        assert_eq!(again.outcome, Outcome::Unchanged, "what was given back needs no giving back");
    }
    // A `gre_key` may be the Python plugin's: that a bridge with one was given back is noted there, so that no take-over that
    // names no bridge takes it.
    let noted = host.vsctl(["get", "Bridge", "xapi2", "external_ids:ovstunnel-released"])?;
    assert_eq!(noted, "\"true\"");
    vsctl(&host, "remove Bridge xapi2 external_ids ovstunnel-released")?;
    before.expect_same(&Snapshot::of(&host)?)?;
    Ok(())
}

#[test]
fn a_bridge_with_a_plugged_vif_is_not_removed() -> Result<()> {
    let cloud = Cloud::new("plugged", 1)?;
    let host = cloud.node(1)?.host().clone();
    foreign_bridge(&host, "xapi2", "")?;
    vsctl(&host, "del-port xapi2 g-xapi2")?;
    for n in [1, 2] {
        let network = Network::numbered(n, Ipv6Policy::Drop);
        let bridge = network.bridge.clone();
        cloud.join(&network, 1, &[1])?;
        let vm = cloud.plug(&network, 1, n)?;
        let before = Snapshot::of(&host)?;
        let name = bridge.clone();
        let refused = cloud.call(1, move |client| async move { client.delete_bridge(&name).await })?;
        let refused = problem(refused, Code::Conflict)?;
        assert_eq!(refused.in_the_way, Some(format!("vif{n}.0")));
        ensure!(refused.detail.contains("a VIF"), "{refused:?}");
        before.expect_same(&Snapshot::of(&host)?)?;

        vm.unplug()?;
        let gone = cloud.call(1, move |client| async move { client.delete_bridge(&bridge).await })??;
        assert_eq!(gone.outcome, Outcome::Removed);
    }
    Ok(())
}
