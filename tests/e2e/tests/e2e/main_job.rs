//! The main job on real switches: VMs on several hosts talk over GRE, and every frame arrives exactly once.

use anyhow::Result;
use ovstunnel_api::{Ipv6Policy, Outcome};
use ovstunnel_e2e::{Cloud, Network};

#[test]
fn every_frame_between_three_hosts_arrives_once() -> Result<()> {
    let cloud = Cloud::new("main", 3)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    for answer in cloud.mesh(&network, &[1, 2, 3])? {
        assert_eq!(answer.outcome, Outcome::Created);
        assert_eq!(answer.bridge.tunnels.len(), 2);
    }
    let mut vms = Vec::new();
    for number in 1..=3u16 {
        for n in 0..2 {
            vms.push(cloud.plug(&network, number.into(), number * 10 + n)?);
        }
    }
    for a in &vms {
        for b in vms.iter().filter(|b| b.name() != a.name()) {
            a.ping(b.ip(), 1)?.expect_no_loss()?;
        }
    }
    for delivery in cloud.lab().deliver_all(&cloud.lab().every_flooded_kind())? {
        delivery.expect_once()?;
    }
    Ok(())
}
