//! VIFs that come and go through a real `systemd-udevd`: the real rule, the real helper, and a stand-in for xapi's scripts
//! that plugs each VIF and then deletes every flow of it.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{
    Cloud, Helper, Network, Udev, ask, expect_no_strays, make_devices, our_flows, remove_devices, wait_for_exact_rules,
};
use ovstunnel_lab::{Kind, Probe, Vm, VmSpec};

const BRIDGES: u16 = 10;
const VIFS_EACH: u16 = 10;

/// Of the ten networks, those with VMs whose frames are counted: a VM on each host. They forward IPv6.
const SAMPLE: [u16; 3] = [1, 5, 9];

fn vif(network: u16, n: u16) -> String {
    format!("vif{}.0", network * 100 + n)
}

fn networks() -> Vec<(u16, Network)> {
    (1..=BRIDGES)
        .map(|n| (n, Network::numbered(n, if n % 2 == 0 { Ipv6Policy::Drop } else { Ipv6Policy::Allow })))
        .collect()
}

#[test]
fn a_hundred_vifs_get_their_rules_and_leave_none() -> Result<()> {
    let cloud = Cloud::new("udev", 2)?;
    let (node, helper) = (cloud.node(1)?, Helper::on(cloud.node(1)?)?);
    let host = node.host();
    let udev = Udev::start(node, &helper)?;
    for (_, network) in networks() {
        cloud.mesh(&network, &[1, 2])?;
    }
    let mut own = Vec::new();
    for (_, network) in networks() {
        own.push(our_flows(host, &network.bridge)?);
    }
    let mut devices = Vec::new();
    for (n, network) in networks() {
        for vif in (0..VIFS_EACH).map(|i| vif(n, i)) {
            udev.expect(&vif, &network.bridge)?;
            devices.push(vif);
        }
    }
    let mut vms: Vec<(Vm, Vm)> = Vec::new();
    for (n, network) in networks().into_iter().filter(|(n, _)| SAMPLE.contains(n)) {
        // The VIF of the VM on host 1 is one of the hundred; udev sees it and xapi plugs it.
        let here = host.create_vm(&vif(n, 0), VmSpec::numbered(n * 10).network(&network.bridge))?;
        vms.push((here, cloud.plug(&network, 2, n * 10 + 1)?));
    }
    let bare: Vec<String> =
        devices.iter().filter(|vif| !SAMPLE.iter().any(|n| **vif == self::vif(*n, 0))).cloned().collect();
    make_devices(host, &bare)?;
    udev.settle()?;
    for (n, network) in networks() {
        let there = wait_for_exact_rules(host, &network)?;
        assert_eq!(there, (0..VIFS_EACH).map(|i| vif(n, i)).collect::<BTreeSet<_>>(), "{}", network.bridge);
    }
    assert_eq!(udev.deleted().len(), devices.len(), "xapi has deleted the flows of each");
    let log = node.log();
    let told = devices.iter().filter(|vif| log.contains(&format!("/v1/vifs/{vif}"))).count();
    assert_eq!(told, devices.len(), "each event came by the rule and the helper to the daemon");
    let both = vms.iter().flat_map(|(here, there)| [here, there]);
    let probes: Vec<Probe> = both.flat_map(|vm| Kind::FLOODED.map(|kind| Probe::new(vm, kind))).collect();
    for delivery in cloud.lab().deliver_all(&probes)? {
        delivery.expect_once()?;
    }

    remove_devices(host, &devices)?;
    udev.settle()?;
    for ((_, network), own) in networks().into_iter().zip(&own) {
        ensure!(wait_for_exact_rules(host, &network)?.is_empty(), "VIFs on {}", network.bridge);
        assert_eq!(&our_flows(host, &network.bridge)?, own, "{} has the flows that it had before", network.bridge);
    }
    expect_no_strays(node)
}

#[test]
fn the_event_comes_after_xapi_deleted_the_flows() -> Result<()> {
    let cloud = Cloud::new("order", 1)?;
    let (node, network) = (cloud.node(1)?, Network::numbered(1, Ipv6Policy::Drop));
    cloud.join(&network, 1, &[1])?;
    let udev = Udev::start(node, &Helper::on(node)?)?;
    // The daemon sees the port in the database and installs the rule; only then xapi deletes it.
    udev.hold()?;
    let both = ["vif7.0".to_owned(), "tap7.0".to_owned()];
    for device in &both {
        udev.expect(device, &network.bridge)?;
    }
    make_devices(node.host(), &both)?;
    udev.settle()?;
    let there = ovstunnel_e2e::exact_rules(node.host(), &network)?;
    assert_eq!(there, BTreeSet::from(both.clone()), "an HVM guest's tap has a rule beside its vif");
    assert_eq!(udev.deleted().len(), 2);
    // A device that nobody puts on a bridge is none of our business.
    make_devices(node.host(), &["vnet9".to_owned()])?;
    udev.settle()?;
    assert_eq!(ask(node, "PUT", "/v1/vifs/vnet9")?, (200, serde_json::json!({"outcome": "unchanged"})));
    remove_devices(node.host(), &both)?;
    udev.settle()?;
    ensure!(wait_for_exact_rules(node.host(), &network)?.is_empty(), "VIFs are left");
    expect_no_strays(node)
}
