//! `--replicas N`: so many managers of one zone on one MariaDB; the one that leads is killed while NICs come and go, and every frame is counted.
//!
//! It is a user of the programs as they are built. Standard output has what the operator's command says. It must not touch a tunnel itself.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Replicas};
use ovstunnel_lab::{Vm, VmSpec, wait_until};

use crate::zone::{say, show_by};

const HOSTS: usize = 3;

const NETWORK: &str = "web";

/// How long a picture may take to be complete.
const DEADLINE: Duration = Duration::from_secs(60);

struct Story {
    cloud: Cloud,
    managers: Replicas,
    network: Network,
}

/// Plays the story with so many managers; an error where a frame is lost or doubled, or nobody leads.
pub fn play(count: usize) -> Result<()> {
    eprintln!("{HOSTS} hosts, a daemon on each; a MariaDB, and {count} managers on it");
    let cloud = Cloud::with_config("demo", HOSTS, NodeConfig::default())?;
    let managers = Replicas::new(&cloud, count)?;
    let network = Network { bridge: "ovt2001".into(), key: 2001, ipv6: Ipv6Policy::Allow };
    let mut story = Story { cloud, managers, network };
    let (first, _) = story.managers.wait_for_leader(&story.cloud, None)?;
    story.show(first, "zone status")?;
    for number in 1..=HOSTS {
        let api = story.cloud.node(number)?.url();
        story.show(first, &format!("zone host add h{number} --api {api} --mode manage"))?;
    }
    story.show(first, "zone physical-network add physnet1 --vnet 2001-3000")?;
    story.show(first, &format!("zone network add {NETWORK} --physical-network physnet1 --ipv6 allow"))?;
    let mut vms = vec![story.start(first, 1)?, story.start(first, 2)?];
    story.count(first, 2)?;

    say(&format!("\n=== m{first}, which leads, is killed"))?;
    let killed = Instant::now();
    story.managers.kill(first)?;
    story.frames("while nobody leads")?;
    let (second, epoch) = story.managers.wait_for_leader(&story.cloud, Some(first))?;
    say(&format!("m{second} leads under epoch {epoch}, {:.1} s after the kill", killed.elapsed().as_secs_f64()))?;
    story.show(second, "zone status")?;
    vms.push(story.start(second, 3)?);
    story.count(second, 3)?;

    say(&format!("\n=== m{first} comes back, and is asked: it says who leads, and changes nothing"))?;
    story.managers.start(&story.cloud, first)?;
    story.show(first, &format!("zone nic release {NETWORK} nic1"))?;
    story.count(second, 3)?;

    say(&format!("\n=== m{second} is frozen while a VM stops; another one leads, and m{second} goes on"))?;
    story.managers.freeze(second)?;
    let (third, epoch) = story.managers.wait_for_leader(&story.cloud, Some(second))?;
    say(&format!("m{third} leads under epoch {epoch}"))?;
    vms.remove(0).destroy()?;
    story.show(third, &format!("zone nic release {NETWORK} nic1"))?;
    story.managers.thaw(second)?;
    let (last, _) = story.managers.wait_for_leader(&story.cloud, None)?;
    ensure!(last == third, "m{last} leads, and not m{third}");
    story.count(third, 2)?;
    story.show(third, "zone events -n 12")?;
    story.managers.stop()?;
    say("\nthe leader was killed and frozen; each frame arrived exactly once, before, between and after")
}

impl Story {
    /// What the operator's command says that asks this manager, whatever its status.
    fn show(&self, manager: usize, arguments: &str) -> Result<()> {
        show_by(&self.managers.socket(manager), &format!("m{manager} "), arguments)
    }

    fn start(&self, manager: usize, number: u16) -> Result<Vm> {
        say(&format!("\n=== VM {number} starts on h{number}"))?;
        self.show(
            manager,
            &format!("zone nic prepare {NETWORK} nic{number} --on h{number} --vm vm{number} --wait 30s"),
        )?;
        let (bridge, spec) = (&self.network.bridge, VmSpec::numbered(number).network(&self.network.bridge));
        self.cloud.node(number.into())?.host().plug_vm(bridge, &format!("vif{number}.0"), spec)
    }

    /// That the network is whole with so many VMs as this manager sees it, and that each frame arrives exactly once.
    fn count(&self, manager: usize, vms: u32) -> Result<()> {
        wait_until("the network to be whole", DEADLINE, || {
            let asked = self.managers.ask(&self.cloud, manager, |client| async move {
                Ok((client.proof(NETWORK).await?.whole, client.network(NETWORK).await?.members))
            });
            let (whole, members) = asked?;
            let vifs: u32 = members.unwrap_or_default().iter().map(|member| member.vifs).sum();
            ensure!(whole && vifs == vms, "whole: {whole}, {vifs} VIFs");
            Ok(())
        })?;
        self.show(manager, &format!("zone proof {NETWORK}"))?;
        self.frames("now")
    }

    fn frames(&self, when: &str) -> Result<()> {
        let deliveries = self.cloud.lab().deliver_all(&self.cloud.lab().every_flooded_kind())?;
        deliveries.iter().try_for_each(|delivery| delivery.expect_once())?;
        say(&format!("{} frames were sent {when}, and each arrived exactly once at each VM", deliveries.len()))
    }
}
