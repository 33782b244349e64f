//! Use case 2 of the specification: a router guest with one interface on a network of GRE tunnels and one on a public VLAN. What it routes comes
//! through, and nothing comes from one into the other beside it.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network};
use ovstunnel_lab::{Kind, Vm, VmSpec, output};

const PATIENCE: Duration = Duration::from_secs(30);

/// The bridge that has the public VLAN.
const PUBLIC: &str = "br-pub";

fn ip(vm: &Vm, words: &str) -> Result<()> {
    let mut command = vm.command("ip");
    command.args(words.split(' '));
    let done = output(command, PATIENCE)?;
    ensure!(done.status.success(), "ip {words}: {done:?}");
    Ok(())
}

#[test]
fn a_guest_routes_between_a_network_and_a_public_vlan() -> Result<()> {
    let cloud = Cloud::new("router", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.mesh(&network, &[1, 2])?;
    let host = cloud.node(1)?.host().clone();
    host.add_bridge(PUBLIC)?;
    let router = cloud.plug(&network, 1, 1)?;
    let guest = cloud.plug(&network, 2, 2)?;
    let public = |name: &str, last: u8, vlan: u16| -> Result<Vm> {
        let vif = format!("vif9{last}.0");
        let vm = host.plug_vm(PUBLIC, &vif, VmSpec::new(name, Ipv4Addr::new(198, 18, 0, last)).network(PUBLIC))?;
        host.vsctl(["set", "Port", &vif, &format!("tag={vlan}")])?;
        Ok(vm)
    };
    let (outside, other_vlan) = (public("outside", 2, 100)?, public("other", 3, 200)?);

    // The router's second interface, in the VLAN.
    ip(&router, &format!("link add pub0 mtu 1400 type veth peer name vif1.1 netns {}", host.netns().name()))?;
    ip(&router, "address add 198.18.0.1/16 dev pub0")?;
    ip(&router, "link set pub0 up")?;
    host.run("ip", ["link", "set", "vif1.1", "up"])?;
    host.vsctl(["add-port", PUBLIC, "vif1.1", "tag=100"])?;
    let forwarding = output(
        {
            let mut command = router.command("sh");
            command.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
            command
        },
        PATIENCE,
    )?;
    ensure!(forwarding.status.success(), "{forwarding:?}");
    ip(&guest, &format!("route add 198.18.0.0/16 via {}", router.ip()))?;
    ip(&outside, "route add 10.1.0.0/16 via 198.18.0.1")?;
    cloud.wait_for_rules(&network, 1)?;

    guest.ping(outside.ip(), 5)?.expect_no_loss()?;
    outside.ping(guest.ip(), 5)?.expect_no_loss()?;
    let refused = guest.ping(other_vlan.ip(), 2)?;
    ensure!(refused.received == 0, "the other VLAN answers: {refused}");
    // Each frame once in its own network, and none beside the router.
    for (from, kinds) in [(&guest, &Kind::FLOODED), (&router, &Kind::FLOODED)] {
        for kind in kinds.iter().filter(|kind| !kind.is_ipv6()) {
            cloud.lab().deliver(from, *kind)?.expect_once()?;
        }
    }
    // In a VLAN of its own it is heard by nobody of the lab: neither by those of the network nor by the other VLAN.
    cloud.lab().deliver(&other_vlan, Kind::Broadcast)?.expect_nowhere()?;
    cloud.lab().expect_no_duplicates()
}
