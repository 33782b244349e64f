//! Left-overs of ours on bridges that are not, and bridges of ours that others deleted: the first are swept away when the
//! daemon starts, the second stay gone.

use std::process::Command;

use anyhow::{Result, ensure};
use ovstunnel_api::Code;
use ovstunnel_e2e::{Node, NodeConfig, Picture, Place, problem, program};

/// What `ovstunnelctl bridge list` says to a person. `status` tells of the repair, too, and so of what is gone.
fn bridges(node: &Node) -> Result<String> {
    let mut command = Command::new(program("ovstunnelctl")?);
    command.arg("--socket").arg(node.socket()).args(["bridge", "list"]);
    ovstunnel_lab::run(command, ovstunnel_lab::DEADLINE)
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn what_is_ours_on_bridges_that_are_not_is_swept_at_the_start() -> Result<()> {
    let place = Place::new("sweep", NodeConfig::default())?;
    let (node, host) = (place.node()?, place.host()?);
    host.add_bridge("br-other")?;
    let other = "set Bridge br-other external_ids:owner=somebody -- add-port br-other theirs -- set Interface theirs type=gre options:remote_ip=192.0.2.9 options:key=9";
    host.vsctl(other.split_whitespace())?;
    host.ofctl(["add-flow", "br-other", "cookie=0x77,priority=4000,arp,actions=drop"])?;
    let before = Picture::of(host)?;

    node.kill();
    // Somebody has copied a flow of ours, and taken the marks off our bridge: then its tunnels belong to no network.
    for flow in ["priority=1000,tun_id=5,actions=drop", "priority=1200,in_port=1,actions=NORMAL"] {
        host.ofctl(["add-flow", "br-other", &format!("cookie=0x6f76737401000000,{flow}")])?;
    }
    host.vsctl(["clear", "Bridge", "xapi1", "external_ids"])?;
    node.start()?;
    place.cloud.wait_until_ready(1)?;
    let after = Picture::of(host)?;
    assert_eq!(after.with(" br-other"), before.with(" br-other"), "theirs is as it was");
    ensure!(after.with("t1001-").is_empty(), "our tunnels are gone: {:?}", after.with("t1001-"));
    ensure!(after.with("0x6f767374").is_empty(), "our flows are gone: {:?}", after.with("0x6f767374"));
    assert_eq!(after.with("xapi1/vif1.0"), before.with("xapi1/vif1.0"), "the VM keeps its place");
    ensure!(!bridges(node)?.contains("xapi1"), "it is not ours any more");

    // What is swept stays swept, and the management server can have it all again.
    let again = place.cloud.join(&place.network, 1, &[1, 2, 3])?;
    ensure!(again.bridge.adopted && again.bridge.tunnels.len() == 2, "{again:?}");
    place.cloud.wait_for_rules(&place.network, 1)?;
    place.expect_frames_once()?;
    place.cloud.lab().expect_no_duplicates()
}

#[test]
fn a_bridge_that_others_delete_stays_gone() -> Result<()> {
    let place = Place::new("gone", NodeConfig::default())?;
    let (node, host) = (place.node()?, place.host()?);
    ensure!(bridges(node)?.contains("xapi1"), "{}", bridges(node)?);
    host.vsctl(["del-br", "xapi1"])?;
    let gone = || -> Result<()> {
        let client = node.local_client()?;
        let answer = place.cloud.manager().run(async move { client.bridge("xapi1").await });
        problem(answer, Code::NotFound)?;
        let (told, switch) = (bridges(node)?, host.vsctl(["show"])?);
        ensure!(!told.contains("xapi1") && !told.contains("1001"), "{told}");
        ensure!(!switch.contains("xapi1") && !switch.contains("t1001"), "{switch}");
        Ok(())
    };
    ovstunnel_lab::wait_until("the bridge to be gone", std::time::Duration::from_secs(20), gone)?;
    let report = place.reconcile()?;
    ensure!(report.bridges == 0 && report.found.is_empty(), "{report:?}");
    gone()?;
    node.kill();
    node.start()?;
    place.cloud.wait_until_ready(1)?;
    gone()?;
    // A new one of that name is a new one.
    place.cloud.join(&place.network, 1, &[1, 2, 3])?;
    place.vms[0].unplug()?;
    place.vms[0].plug("xapi1")?;
    place.cloud.wait_for_rules(&place.network, 1)?;
    place.expect_frames_once()
}
