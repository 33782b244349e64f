//! The manager acts: NICs are prepared and released as a cloud would, and after each step each frame is delivered exactly once, on every
//! switch stands the mesh that the NICs call for, and nothing else.

use std::time::Duration;

use anyhow::{Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, Pool, Zone};
use ovstunnel_lab::{Kind, Vm, unhurried, wait_until};
use ovstunnel_manager_api::{
    Isolation, Mode, MoveWord, NicAnswer, NicOutcome, PutHost, PutNetwork, PutNic, PutPhysicalNetwork,
};

const PATIENCE: Duration = Duration::from_secs(60);

/// The network's key: the first of its physical network's.
const KEY: i64 = 1001;

pub(crate) struct Stage {
    pub(crate) cloud: Cloud,
    pub(crate) zone: Zone,
    pub(crate) network: Network,
}

impl Stage {
    pub(crate) fn new(tag: &str, hosts: usize, pool: Option<&Pool>) -> Result<Stage> {
        let pool = pool.map(|pool| pool.path().to_owned());
        let config = NodeConfig { reconcile_interval: "2s".into(), pool, ..NodeConfig::default() };
        let cloud = Cloud::with_config(tag, hosts, config)?;
        let zone = Zone::acting(&cloud)?;
        Stage::with_zone(cloud, zone)
    }

    /// With this manager, which knows no host yet.
    pub(crate) fn with_zone(cloud: Cloud, zone: Zone) -> Result<Stage> {
        zone.add_all(&cloud)?;
        zone.ask(&cloud, |client| async move {
            let vnet = format!("{KEY}-2000");
            let physical =
                PutPhysicalNetwork { isolation: Isolation::Gre, vnet, label: None, label_xen: None, label_kvm: None };
            client.put_physical_network("p1", &physical, false).await?;
            let ipv6 = Some(Ipv6Policy::Allow);
            let web =
                PutNetwork { physical_network: "p1".into(), number: None, key: None, adopt: false, ipv6, mtu: None };
            client.put_network("web", &web, false).await
        })?;
        let network = Network { bridge: format!("ovt{KEY}"), key: KEY, ipv6: Ipv6Policy::Allow };
        Ok(Stage { cloud, zone, network })
    }

    /// Prepares a NIC on a host, and waits until its network is whole there.
    pub(crate) fn prepare(&self, vm: u16, host: usize, how: Option<MoveWord>) -> Result<NicAnswer> {
        let (host, wait) = (format!("h{host}"), Some("30s".into()));
        let nic = PutNic { host, vm: Some(format!("vm{vm}")), mac: None, ip: None, bridge: None, wait, how };
        let answer = self.zone.ask(&self.cloud, move |client| async move {
            client.prepare_nic("web", &format!("n{vm}"), &nic, false).await
        })?;
        ensure!(answer.outcome == NicOutcome::Ready, "{answer:?}");
        Ok(answer)
    }

    fn release(&self, vm: u16) -> Result<()> {
        self.zone.ask(&self.cloud, move |client| async move {
            client.release_nic("web", &format!("n{vm}"), None, false).await
        })?;
        Ok(())
    }

    pub(crate) fn start(&self, vm: u16, host: usize) -> Result<Vm> {
        let answer = self.prepare(vm, host, None)?;
        ensure!(answer.bridge.as_deref() == Some(&*self.network.bridge), "{answer:?}");
        self.cloud.plug(&self.network, host, vm)
    }

    fn numbers(&self) -> std::ops::RangeInclusive<usize> {
        1..=self.cloud.nodes().len()
    }

    /// What a switch has of the network: the ends of its tunnels; nothing where it has no bridge.
    fn on_switch(&self, host: usize) -> Result<Option<Vec<String>>> {
        let ovs = self.cloud.node(host)?.host().clone();
        if !ovs.vsctl(["list-br"])?.lines().any(|bridge| bridge == self.network.bridge) {
            return Ok(None);
        }
        let ports = ovs.vsctl(["list-ports", &self.network.bridge])?;
        let mut tunnels = Vec::new();
        for port in ports.lines().filter(|port| !port.starts_with("vif")) {
            let to = ovs.vsctl(["get", "Interface", port, "options:remote_ip"])?;
            tunnels.push(to.trim().trim_matches('"').to_owned());
        }
        tunnels.sort();
        Ok(Some(tunnels))
    }

    /// Waits until the switches have the mesh of these hosts and nothing else; then that each frame is delivered exactly once.
    pub(crate) fn expect_mesh(&self, of: &[usize]) -> Result<()> {
        self.expect_mesh_at(of, &self.ips()?)
    }

    fn ips(&self) -> Result<Vec<String>> {
        self.numbers().map(|n| Ok(self.cloud.node(n)?.host().ip().to_string())).collect()
    }

    /// The same where tunnels to each host of the cloud end at these addresses.
    pub(crate) fn expect_mesh_at(&self, of: &[usize], ips: &[String]) -> Result<()> {
        wait_until(format!("the mesh of {of:?}"), PATIENCE, || {
            for host in self.numbers() {
                let mut wanted: Vec<String> =
                    of.iter().filter(|other| **other != host).map(|other| ips[other - 1].clone()).collect();
                wanted.sort();
                let wanted = of.contains(&host).then_some(wanted);
                let there = self.on_switch(host)?;
                ensure!(there == wanted, "host {host} has {there:?}, and {wanted:?} was wanted");
            }
            Ok(())
        })?;
        for host in of {
            // One that keeps its old address beside the new one has a rule more.
            if self.cloud.node(*host)?.host().ip().to_string() == ips[host - 1] {
                self.cloud.wait_for_rules(&self.network, *host)?;
            }
        }
        if self.cloud.lab().vms().len() > 1 {
            let probes = self.cloud.lab().every_flooded_kind();
            self.cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())?;
        }
        Ok(())
    }
}

#[test]
fn nics_make_meshes_and_take_them_away() -> Result<()> {
    let stage = Stage::new("zoneacts", 4, None)?;
    let first = stage.start(1, 1)?;
    let second = stage.start(2, 2)?;
    stage.expect_mesh(&[1, 2])?;
    let (_first_sends, _second_sends) = (
        stage.cloud.lab().stream(&first, &Kind::FLOODED, unhurried(Duration::from_millis(20)))?,
        stage.cloud.lab().stream(&second, &Kind::FLOODED, unhurried(Duration::from_millis(20)))?,
    );
    let third = stage.start(3, 3)?;
    stage.expect_mesh(&[1, 2, 3])?;

    // It migrates; the manager is killed in between, and a tunnel taken away meanwhile.
    stage.prepare(3, 4, None)?;
    stage.zone.kill();
    stage.cloud.node(1)?.host().vsctl(["del-port", &stage.network.bridge, "t1001-1-2"])?;
    third.migrate(stage.cloud.node(4)?.host(), &stage.network.bridge, "vif3.0")?;
    stage.zone.start(&stage.cloud)?;
    stage.expect_mesh(&[1, 2, 3, 4])?;
    stage.zone.ask(&stage.cloud, |client| async move { client.nic_migrated("web", "n3", false).await })?;
    stage.expect_mesh(&[1, 2, 4])?;

    // A host comes back with an empty switch.
    let node = stage.cloud.node(2)?;
    node.kill();
    second.unplug()?;
    node.host().vsctl(["del-br", &stage.network.bridge])?;
    node.start()?;
    stage.zone.wait_until_whole(&stage.cloud, "web")?;
    second.plug(&stage.network.bridge)?;
    stage.expect_mesh(&[1, 2, 4])?;

    // Started anew elsewhere: its old host has nothing of the network any more.
    second.destroy()?;
    stage.prepare(2, 3, Some(MoveWord::Replace))?;
    let second = stage.cloud.plug(&stage.network, 3, 2)?;
    stage.expect_mesh(&[1, 3, 4])?;

    // Released too early: as long as a VIF is there, neither the bridge goes nor a tunnel to it.
    stage.release(3)?;
    stage.zone.wait_until_whole(&stage.cloud, "web")?;
    stage.expect_mesh(&[1, 3, 4])?;
    third.destroy()?;
    stage.expect_mesh(&[1, 3])?;
    for (n, vm) in [(1, first), (2, second)] {
        vm.destroy()?;
        stage.release(n)?;
    }
    stage.expect_mesh(&[])?;
    let holds = stage.zone.ask(&stage.cloud, |client| async move { client.holds().await })?;
    ensure!(holds.holds.is_empty(), "{holds:?}");
    stage.zone.stop()
}

#[test]
fn a_host_is_drained_gets_another_address_and_is_declared_wiped() -> Result<()> {
    let stage = Stage::new("zonehosts", 3, None)?;
    let vms = (1..=3).map(|n| stage.start(n, n.into())).collect::<Result<Vec<Vm>>>()?;
    stage.expect_mesh(&[1, 2, 3])?;

    // Drained: what is there stays, and nothing comes.
    let ask = |mode| {
        let body = PutHost { api: stage.cloud.node(3)?.url(), number: None, rack: None, label: None, mode };
        stage.zone.ask(&stage.cloud, |client| async move { client.put_host("h3", &body, false).await })
    };
    ask(Mode::Drain)?;
    let refused = stage.prepare(4, 3, None).expect_err("a NIC on a host that is drained");
    ensure!(format!("{refused:#}").contains("is being drained"), "{refused:#}");
    stage.expect_mesh(&[1, 2, 3])?;
    ask(Mode::Manage)?;

    // Another address: each tunnel to it is changed where it is, and no other.
    let ports = |n: usize| -> Result<String> {
        let columns = ["--columns=name,_uuid,ofport", "find", "Interface", "type=gre"];
        stage.cloud.node(n)?.host().vsctl(columns)
    };
    let before = (ports(1)?, ports(2)?);
    let (old, new) = (stage.cloud.node(3)?.host().ip(), "192.0.2.103");
    // The lab tells switches which MAC each address has.
    let mac = stage.cloud.node(3)?.host().run("cat", ["/sys/class/net/br-phy/address"])?;
    for n in [1, 2] {
        stage.cloud.node(n)?.host().appctl(["tnl/neigh/set", "br-phy", new, mac.trim()])?;
    }
    let readdress =
        format!("ip addr del {old}/24 dev br-phy; ip addr add {new}/24 dev br-phy; ip addr add {old}/24 dev br-phy");
    stage.cloud.node(3)?.host().run("sh", ["-ec", &readdress])?;
    let mut ips = stage.ips()?;
    new.clone_into(&mut ips[2]);
    stage.expect_mesh_at(&[1, 2, 3], &ips)?;
    assert_eq!((ports(1)?, ports(2)?), before);

    // It dies with all that it has: the others have no tunnel to it once its NIC is gone, and its key waits until it is declared wiped.
    stage.cloud.node(3)?.kill();
    stage.cloud.node(3)?.host().isolate()?;
    for (vm, number) in vms.into_iter().zip(1..) {
        vm.destroy()?;
        stage.release(number)?;
    }
    wait_until("the others to have nothing of it", PATIENCE, || {
        let left = [1, 2].into_iter().map(|n| stage.on_switch(n)).collect::<Result<Vec<_>>>()?;
        ensure!(left == [None, None], "{left:?}");
        Ok(())
    })?;
    stage.zone.ask(&stage.cloud, |client| async move { client.delete_network("web", false).await })?;
    let waiting = || -> Result<Vec<String>> {
        let list = stage.zone.ask(&stage.cloud, |client| async move { client.keys(&[]).await })?;
        Ok(list.keys.into_iter().flat_map(|key| key.hosts).collect())
    };
    wait_until("the key to wait for it alone", PATIENCE, || {
        let waiting = waiting()?;
        ensure!(waiting == ["h3"], "{waiting:?}");
        Ok(())
    })?;
    stage.zone.ask(&stage.cloud, |client| async move { client.delete_wiped_host("h3", false).await })?;
    ensure!(waiting()?.is_empty(), "{:?}", waiting()?);
    stage.zone.stop()
}

#[test]
fn where_bridges_are_xapis_it_makes_the_network() -> Result<()> {
    let pool = Pool::new(2, 0, "br-phy")?;
    let mut stage = Stage::new("zonexapi", 2, Some(&pool))?;
    let first = stage.prepare(1, 1, None)?;
    stage.network.bridge = first.bridge.unwrap_or_default();
    ensure!(stage.network.bridge.starts_with("xapi"), "{:?}", stage.network);
    let first = stage.cloud.plug(&stage.network, 1, 1)?;
    let second = stage.start(2, 2)?;
    stage.expect_mesh(&[1, 2])?;
    for (n, vm) in [(1, first), (2, second)] {
        vm.destroy()?;
        stage.release(n)?;
    }
    stage.expect_mesh(&[])?;
    stage.zone.stop()
}
