//! The second half of `--zone`: with the controller on, NICs are told to the manager as a cloud would, and it makes the meshes.
//!
//! After each step the switches have the mesh that the NICs call for, and every frame is counted. It must not touch a tunnel itself, but to
//! break something.

use anyhow::{Context, Result};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, Zone};
use ovstunnel_lab::{Vm, VmSpec};

use crate::zone::{say, show};

const NETWORK: &str = "web";

/// The VMs of this half: the other network has the first four.
const FIRST_VM: u16 = 10;

struct Story<'a> {
    cloud: &'a Cloud,
    zone: &'a Zone,
    network: Network,
}

impl Story<'_> {
    fn prepare(&self, vm: u16, host: usize, more: &str) -> Result<()> {
        show(self.zone, &format!("zone nic prepare {NETWORK} nic{vm} --on h{host} --vm vm{vm} --wait 30s{more}"))
    }

    fn plug(&self, vm: u16, host: usize) -> Result<Vm> {
        let spec = VmSpec::numbered(FIRST_VM + vm).network(&self.network.bridge);
        self.cloud.node(host)?.host().plug_vm(&self.network.bridge, &format!("vif{}.0", FIRST_VM + vm), spec)
    }

    fn start(&self, vm: u16, host: usize) -> Result<Vm> {
        say(&format!("\n=== VM {vm} starts on h{host}"))?;
        self.prepare(vm, host, "")?;
        self.plug(vm, host)
    }

    /// That the network is whole, what it looks like, and that each frame arrives exactly once.
    fn count(&self, hosts: &[usize], vms: u32) -> Result<()> {
        self.zone.wait_until_whole(self.cloud, NETWORK)?;
        self.zone.wait_for_hosts(self.cloud, NETWORK, hosts)?;
        // Its proof knows of each VIF then, and of the flows that it has.
        self.zone.wait_for_vifs(self.cloud, NETWORK, vms)?;
        show(self.zone, &format!("zone proof {NETWORK}"))?;
        let probes = self.cloud.lab().every_flooded_kind();
        let deliveries = self.cloud.lab().deliver_all(&probes)?;
        deliveries.iter().try_for_each(|delivery| delivery.expect_once())?;
        say(&format!(
            "{} frames were sent in the two networks, and each arrived exactly once at each VM of its own",
            deliveries.len()
        ))
    }
}

/// Plays it over hosts that a manager knows, which has ended.
pub fn play(cloud: &Cloud, zone: &Zone) -> Result<()> {
    say("\n=== sdn.ovs.controller = true: from now on the manager makes the meshes itself")?;
    zone.set_controller(true)?;
    zone.start(cloud)?;
    for number in 1..=cloud.nodes().len() {
        show(zone, &format!("zone host add h{number} --api {} --mode manage", cloud.node(number)?.url()))?;
    }
    show(zone, "zone physical-network add physnet1 --vnet 2001-3000")?;
    show(zone, &format!("zone network add {NETWORK} --physical-network physnet1 --ipv6 allow"))?;
    let network = Network { bridge: "ovt2001".into(), key: 2001, ipv6: Ipv6Policy::Allow };
    let story = Story { cloud, zone, network };
    let (first, second) = (story.start(1, 1)?, story.start(2, 2)?);
    story.count(&[1, 2], 2)?;
    let third = story.start(3, 3)?;
    story.count(&[1, 2, 3], 3)?;

    say("\n=== VM 3 migrates to h4; the manager is killed in between")?;
    story.prepare(3, 4, "")?;
    zone.kill();
    third.migrate(cloud.node(4)?.host(), &story.network.bridge, "vif13.0")?;
    zone.start(cloud)?;
    show(zone, &format!("zone nic migrated {NETWORK} nic3"))?;
    story.count(&[1, 2, 4], 3)?;

    say("\n=== h2 is killed and comes back with an empty switch")?;
    let node = cloud.node(2)?;
    node.kill();
    second.unplug()?;
    node.host().vsctl(["del-br", &story.network.bridge])?;
    node.start()?;
    zone.wait_until_whole(cloud, NETWORK)?;
    second.plug(&story.network.bridge)?;
    story.count(&[1, 2, 4], 3)?;

    say("\n=== high availability starts VM 2 anew on h4, where VM 3 is: h2 has none any more")?;
    second.destroy()?;
    story.prepare(2, 4, " --move replace")?;
    let second = story.plug(2, 4)?;
    story.count(&[1, 4], 3)?;

    say("\n=== the last VMs stop: tunnels and bridges go")?;
    for (vm, number) in [(first, 1), (second, 2), (third, 3)] {
        vm.destroy()?;
        show(zone, &format!("zone nic release {NETWORK} nic{number}"))?;
    }
    zone.wait_for_hosts(cloud, NETWORK, &[])?;
    show(zone, &format!("zone network {NETWORK}"))?;

    say("\n=== sdn.ovs.controller = false: the same call changes no switch, and says what it would do")?;
    zone.stop()?;
    zone.set_controller(false)?;
    zone.start(cloud)?;
    zone.wait_for_all(cloud)?;
    story.prepare(1, 1, "")?;
    show(zone, "zone events -n 20")?;
    zone.stop()?;
    let bridges = cloud.node(1)?.host().vsctl(["list-br"])?;
    anyhow::ensure!(!bridges.lines().any(|bridge| bridge == story.network.bridge), "h1 has {bridges}");
    say("\nthe manager made and unmade a mesh as VMs came and went, and each frame arrived exactly once")
        .context("the end")
}
