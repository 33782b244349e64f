//! Forwarding rests on a flow of ours: a network goes on without the flow that Open vSwitch has itself, and a bridge that is given
//! back has that one again. On a VPC's bridge there is no such flow: it would lead around the pipeline.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, VPC_BRIDGE, VpcCloud, our_flows};
use ovstunnel_lab::{Delivery, Host, Kind, Probe, Vm, VmSpec, wait_until};

/// Open vSwitch's own flow, as a dump shows it.
const PLAIN: &str = "priority=0 actions=NORMAL";

fn dump(host: &Host, bridge: &str) -> Result<String> {
    host.ofctl(["dump-flows", "--no-stats", bridge])
}

fn reconcile(cloud: &Cloud, host: usize) -> Result<()> {
    let report = cloud.call(host, |client| async move { client.reconcile().await })??;
    ensure!(report.failed.is_empty(), "{report:?}");
    Ok(())
}

/// Every kind of frame but IPv6, exactly once where it should be, and unicast between all.
fn forwards(cloud: &Cloud, vms: &[&Vm]) -> Result<()> {
    let lab = cloud.lab();
    lab.announce_all()?;
    for delivery in lab.deliver_all(&lab.every_flooded_kind())? {
        if delivery.kind.is_ipv6() { delivery.expect_nowhere()? } else { delivery.expect_once()? }
    }
    let pairs = vms.iter().flat_map(|from| vms.iter().map(move |to| (from, to)));
    let probes: Vec<Probe> = pairs
        .filter(|(from, to)| from.name() != to.name())
        .map(|(from, to)| Probe::new(from, to.as_target()))
        .collect();
    lab.deliver_all(&probes)?.iter().try_for_each(Delivery::expect_once)
}

#[test]
fn a_network_goes_on_without_the_flow_of_open_vswitch() -> Result<()> {
    let cloud = Cloud::new("forwards", 3)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2, 3])?;
    let vms = [(1, 1), (1, 2), (2, 3), (3, 4)].map(|(host, vm)| cloud.plug(&network, host, vm));
    let vms = vms.into_iter().collect::<Result<Vec<_>>>()?;
    let all: Vec<&Vm> = vms.iter().collect();
    let hosts: Vec<Host> = cloud.nodes().iter().map(|node| node.host().clone()).collect();
    let each = |words: &[&str]| {
        hosts.iter().try_for_each(|host| match words[0] {
            "del-flows" | "--strict" => host.ofctl(words).map(drop),
            _ => host.vsctl(words).map(drop),
        })
    };
    forwards(&cloud, &all)?;

    each(&["--strict", "del-flows", &network.bridge, "priority=0"])?;
    ensure!(!dump(&hosts[0], &network.bridge)?.contains(PLAIN));
    forwards(&cloud, &all)?;

    each(&["del-flows", &network.bridge])?;
    (1..=3).try_for_each(|host| reconcile(&cloud, host))?;
    (1..=3).try_for_each(|host| cloud.wait_for_rules(&network, host))?;
    ensure!(!dump(&hosts[0], &network.bridge)?.contains(PLAIN));
    forwards(&cloud, &all)?;

    each(&["set", "Bridge", &network.bridge, "fail_mode=secure"])?;
    (1..=3).try_for_each(|host| reconcile(&cloud, host))?;
    (1..=3).try_for_each(|host| cloud.wait_for_rules(&network, host))?;
    ensure!(!dump(&hosts[0], &network.bridge)?.contains(PLAIN));
    forwards(&cloud, &all)?;
    cloud.lab().expect_no_duplicates()
}

#[test]
fn a_released_bridge_forwards_by_open_vswitchs_flow() -> Result<()> {
    let cloud = Cloud::new("givenback", 1)?;
    let host = cloud.node(1)?.host().clone();
    let network = Network::numbered(1, Ipv6Policy::Drop);
    host.add_bridge(&network.bridge)?;
    cloud.join(&network, 1, &[1])?;
    let plug = |vm: u16| {
        let spec = VmSpec::numbered(vm).network(&network.bridge);
        host.plug_vm(&network.bridge, &format!("vif{vm}.0"), spec)
    };
    let [one, two] = [plug(1)?, plug(2)?];
    cloud.wait_for_rules(&network, 1)?;
    host.ofctl(["del-flows", &network.bridge])?;
    reconcile(&cloud, 1)?;
    ensure!(!dump(&host, &network.bridge)?.contains(PLAIN));
    forwards(&cloud, &[&one, &two])?;

    // With VIFs on it, it is not removed: the hypervisor takes them off, and puts them back on what is a plain bridge.
    [&one, &two].into_iter().try_for_each(Vm::unplug)?;
    let bridge = network.bridge.clone();
    cloud.call(1, move |client| async move { client.delete_bridge(&bridge).await })??;
    ensure!(our_flows(&host, &network.bridge)?.is_empty());
    let flows = dump(&host, &network.bridge)?;
    ensure!(flows.contains(PLAIN) && flows.matches("actions=").count() == 1, "{flows}");
    [&one, &two].into_iter().try_for_each(|vm| vm.plug(&network.bridge))?;
    cloud.lab().announce_all()?;
    let probes =
        [Probe::new(&one, Kind::Broadcast), Probe::new(&one, two.as_target()), Probe::new(&two, one.as_target())];
    cloud.lab().deliver_all(&probes)?.iter().try_for_each(Delivery::expect_once)
}

#[test]
fn no_flow_leads_around_a_pipeline_for_a_vpc() -> Result<()> {
    let vpc = VpcCloud::new("around", NodeConfig::default())?;
    let host = vpc.cloud().node(1)?.host();
    ensure!(!our_flows(host, VPC_BRIDGE)?.iter().any(|flow| flow.contains("actions=NORMAL")));
    // A VIF that no tier has reaches nobody.
    let stranger = host.plug_vm(VPC_BRIDGE, "vif9.0", VmSpec::numbered(9).network("none"))?;
    host.wait_for_ofport("vif9.0")?;
    for kind in [Kind::Broadcast, Kind::SSDP_MULTICAST, Kind::UnknownUnicast, vpc.vm(1, 1)?.as_target()] {
        vpc.cloud().lab().deliver(&stranger, kind)?.expect_nowhere()?;
    }

    // The same where the pipeline is the Python plugin's, on a bridge that is set up as a network's.
    let network = Network::numbered(5, Ipv6Policy::Drop);
    host.add_bridge(&network.bridge)?;
    host.vsctl(["set", "Bridge", &network.bridge, "other_config:gre_key=OVS-DR-VPC-Bridge9"])?;
    host.ofctl(["--strict", "del-flows", &network.bridge, "priority=0"])?;
    host.ofctl(["add-flow", &network.bridge, "table=0,priority=0,actions=resubmit(,1)"])?;
    vpc.cloud().join(&network, 1, &[1])?;
    let flows = wait_until("the baseline", Duration::from_secs(20), || match our_flows(host, &network.bridge)? {
        flows if flows.iter().any(|flow| flow.contains("priority=1000")) => Ok(flows),
        flows => Err(anyhow!("{flows:?}")),
    })?;
    ensure!(!flows.iter().any(|flow| flow.contains("priority=1 ")), "{flows:?}");
    let plug = |vm: u16| host.plug_vm(&network.bridge, &format!("vif{vm}.0"), VmSpec::numbered(vm).network("plugins"));
    let [one, two] = [plug(51)?, plug(52)?];
    vpc.cloud().lab().deliver(&one, two.as_target())?.expect_nowhere()
}
