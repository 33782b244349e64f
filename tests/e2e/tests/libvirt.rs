//! A real libvirtd on each host with the hook of `examples/libvirt`, and real guests: what the guide's page for libvirt alone promises. `cargo
//! test` leaves this file out (`test = false`): `scripts/test --libvirt` installs what it needs and names it. It must not pass without that.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use nix::sys::signal::Signal;
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Guest, Hypervisor, Network, Zone, wait_for_exact_rules};
use ovstunnel_lab::{Vm, VmSpec, wait_until};
use ovstunnel_manager_api::{Isolation, Nic, PutNetwork, PutNic, PutPhysicalNetwork};

/// A guest's kernel boots in 5 to 20 s here.
const PATIENCE: Duration = Duration::from_secs(180);

const NETWORKS: [(&str, &str); 2] = [("web", "ovt1001"), ("db", "ovt1002")];

/// Hosts 1 and 2 with libvirt, and host 3 with a VM of the lab's on each network.
struct Stage {
    cloud: Cloud,
    zone: Zone,
    hypervisors: Vec<Hypervisor>,
    guest: Guest,
    /// On `web` and on `db`.
    vms: Vec<Vm>,
}

impl Stage {
    fn new(tag: &str) -> Result<Stage> {
        let cloud = Cloud::new(tag, 3)?;
        let zone = Zone::acting(&cloud)?;
        zone.add_all(&cloud)?;
        zone.ask(&cloud, |client| async move {
            let (vnet, label) = ("1001-1010".to_owned(), None);
            let physical =
                PutPhysicalNetwork { isolation: Isolation::Gre, vnet, label, label_xen: None, label_kvm: None };
            client.put_physical_network("p1", &physical, false).await?;
            for ((name, _), key) in NETWORKS.iter().zip(1001..) {
                let (physical_network, ipv6) = ("p1".to_owned(), Some(Ipv6Policy::Allow));
                let body = PutNetwork { physical_network, number: None, key: Some(key), adopt: false, ipv6, mtu: None };
                client.put_network(name, &body, false).await?;
            }
            Ok(())
        })?;
        let mut vms = Vec::new();
        for ((name, bridge), number) in NETWORKS.iter().zip(1..) {
            let wait = Some("30s".to_owned());
            let nic = PutNic { host: "h3".into(), vm: None, mac: None, ip: None, bridge: None, wait, how: None };
            zone.ask(&cloud, move |client| async move { client.prepare_nic(name, "lab", &nic, false).await })?;
            let spec = VmSpec::new(&format!("vm{number}"), [10, number, 0, 1].into()).network(bridge);
            vms.push(cloud.node(3)?.host().plug_vm(bridge, &format!("vif{number}.0"), spec)?);
        }
        let hypervisors = (1..=2).map(|host| Hypervisor::install(&cloud, host, &NETWORKS)).collect::<Result<_>>()?;
        let guest = Guest { name: "web1".into(), last: 9, network: "web".into() };
        Ok(Stage { cloud, zone, hypervisors, guest, vms })
    }

    /// Waits until the guest answers on `web` (0) or `db` (1).
    fn wait_for_answers(&self, network: usize) -> Result<()> {
        let (vm, last) = (&self.vms[network], self.guest.last);
        let [a, b, c, _] = vm.ip().octets();
        wait_until(format!("answers of the guest on {}", NETWORKS[network].0), PATIENCE, || {
            let report = vm.ping([a, b, c, last].into(), 3)?;
            ensure!(report.received > 0, "{report}; its console: {}", self.hypervisors[0].console_log(&self.guest));
            Ok(())
        })
    }

    /// Where the manager has the guest's NICs of a network.
    fn nics(&self, network: &'static str) -> Result<Vec<Nic>> {
        let all = self.zone.ask(&self.cloud, move |client| async move { client.nics(network).await })?.nics;
        Ok(all.into_iter().filter(|nic| nic.id != "lab").collect())
    }

    /// Waits until the guest's NIC of a network is on these hosts, the network is whole, and the bridges are there and nowhere else.
    fn wait_for_nic(&self, network: &'static str, hosts: &[usize]) -> Result<()> {
        wait_until(format!("the guest's NIC of {network} on {hosts:?}"), PATIENCE, || {
            let nics = self.nics(network)?;
            let there: Vec<String> =
                nics.iter().flat_map(|nic| std::iter::once(nic.host.clone()).chain(nic.moving_to.clone())).collect();
            let wanted: Vec<String> = hosts.iter().map(|host| format!("h{host}")).collect();
            ensure!(there == wanted, "{nics:?}; {}", self.hook_logs());
            Ok(())
        })?;
        let all: Vec<usize> = hosts.iter().copied().chain([3]).collect();
        self.zone.wait_for_hosts(&self.cloud, network, &all)?;
        self.zone.wait_until_whole(&self.cloud, network)
    }

    fn expect_on_console(&self, words: &str) -> Result<()> {
        let said = self.hypervisors[0].console_log(&self.guest);
        ensure!(said.contains(words), "not {words:?} but {said:?}");
        Ok(())
    }

    /// Has the first host's bridges fit the tunnels.
    fn fit_bridges(&self) -> Result<()> {
        let node = self.cloud.node(1)?;
        let text = fs::read_to_string(node.config_file())?;
        fs::write(node.config_file(), text.replace("[network]\n", "[network]\nbridge_mtu = \"fit\"\n"))?;
        node.signal(Signal::SIGHUP)?;
        wait_until("the configuration to be taken up", PATIENCE, || {
            ensure!(node.log().contains("changed=\"network.bridge_mtu\""), "{}", node.log());
            Ok(())
        })
    }

    /// That libvirt's end of an interface on the first host, and the bridge it is plugged into, have what GRE leaves of 1500.
    fn expect_mtu_of_tap(&self, tap: &str, bridge: &str) -> Result<()> {
        let mtus = self
            .cloud
            .node(1)?
            .host()
            .run("cat", [tap, bridge].map(|device| format!("/sys/class/net/{device}/mtu")))?;
        ensure!(mtus.split_whitespace().eq(["1458", "1458"]), "{tap} and {bridge}: {mtus:?}");
        Ok(())
    }

    fn hook_logs(&self) -> String {
        self.hypervisors.iter().map(Hypervisor::hook_log).collect()
    }

    /// The daemon's rules of a network on a host are those of this many VIFs.
    fn expect_rules(&self, network: usize, host: usize, vifs: usize) -> Result<()> {
        let (_, bridge) = NETWORKS[network];
        let key = 1001 + i64::try_from(network)?;
        let network = Network { bridge: bridge.into(), key, ipv6: Ipv6Policy::Allow };
        let there = wait_for_exact_rules(self.cloud.node(host)?.host(), &network)?;
        ensure!(there.len() == vifs && there.iter().all(|vif| vif.starts_with("vnet")), "{there:?}");
        Ok(())
    }
}

#[test]
fn a_guest_starts_gets_an_interface_and_is_killed() -> Result<()> {
    let stage = Stage::new("libvirt")?;
    stage.fit_bridges()?;
    let (libvirt, guest) = (&stage.hypervisors[0], &stage.guest);
    libvirt.create(guest)?;
    // The bridge was not there before the hook asked for it.
    stage.wait_for_nic("web", &[1])?;
    stage.expect_rules(0, 1, 1)?;
    stage.wait_for_answers(0)?;
    // libvirt gives its own end of the interface the bridge's MTU, and the guest learns of none.
    stage.expect_mtu_of_tap("vnet0", "ovt1001")?;
    stage.expect_on_console("eth0 is up, MTU 1500")?;
    let nic = &stage.nics("web")?[0];
    let mac = guest.mac(0).to_string().to_lowercase();
    ensure!((nic.vm.as_deref(), nic.mac.as_deref()) == (Some("web1"), Some(&*mac)), "{nic:?}");

    // While it runs an interface on another network is plugged into it, and taken out again.
    libvirt.attach(guest, "db", 1458)?;
    stage.wait_for_nic("db", &[1])?;
    stage.expect_rules(1, 1, 1)?;
    stage.wait_for_answers(1)?;
    stage.expect_mtu_of_tap("vnet1", "ovt1002")?;
    stage.expect_on_console("eth1 is up, MTU 1458")?;
    ensure!(stage.nics("db")?[0].vm.as_deref() == Some("web1"), "{:?}", stage.nics("db"));
    libvirt.detach(guest, "db")?;
    stage.wait_for_nic("db", &[])?;
    stage.wait_for_answers(0)?;

    // libvirtd is started again: the guest runs on, and what the manager has lost meanwhile is said again.
    libvirt.stop()?;
    let id = stage.nics("web")?[0].id.clone();
    stage.zone.ask(&stage.cloud, move |client| async move { client.release_nic("web", &id, None, false).await })?;
    libvirt.start()?;
    stage.wait_for_nic("web", &[1])?;
    stage.wait_for_answers(0)?;

    // Its process is killed: nobody has asked libvirt for anything.
    libvirt.kill_guest(guest)?;
    stage.wait_for_nic("web", &[])?;
    ensure!(!stage.hook_logs().contains("WARN"), "{}", stage.hook_logs());
    Ok(())
}

#[test]
fn a_guest_moves_while_it_runs_and_nothing_comes_twice() -> Result<()> {
    let stage = Stage::new("livemove")?;
    let ([from, to], guest) = ([&stage.hypervisors[0], &stage.hypervisors[1]], &stage.guest);
    from.create(guest)?;
    stage.wait_for_nic("web", &[1])?;
    stage.wait_for_answers(0)?;
    for (from, to, host) in [(from, to, 2), (to, from, 1)] {
        let pings = stage.vms[0].start_ping([10, 1, 0, guest.last].into(), Duration::from_millis(20))?;
        from.migrate(guest, to)?;
        stage.wait_for_nic("web", &[host])?;
        stage.expect_rules(0, host, 1)?;
        stage.wait_for_answers(0)?;
        let report = pings.report();
        drop(pings);
        println!("  moved to host {host} while it was pinged: {report}");
        ensure!(report.duplicates == 0 && report.received > 0, "{report}");
        stage.vms[0].ping([10, 1, 0, guest.last].into(), 50)?.expect_no_loss()?;
    }
    ensure!(!stage.hook_logs().contains("WARN"), "{}", stage.hook_logs());
    Ok(())
}
