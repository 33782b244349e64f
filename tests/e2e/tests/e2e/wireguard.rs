//! Tunnels through WireGuard on the userspace datapath, whose switch sends by no device of the kernel's: WireGuard is on a router that each
//! host has behind a bridge, as docs/operators-guide/encryption.md says. Here the router is a network namespace, and WireGuard the program
//! `wireguard-go`. Nothing of a tenant must be between the hosts in clear.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{Id, Ipv6Policy, PutBridge, PutTunnel};
use ovstunnel_e2e::{Cloud, Network, packets_below};
use ovstunnel_lab::{BR_PHY, DEADLINE, Daemon, Host, Kind, Probe, Vm, VmSpec, run, wait_until};

const BRIDGE: &str = "br-wg";

const SOON: Duration = Duration::from_secs(60);

/// What leaves a host for another: tunnels in clear, which the recipe's rule drops, and WireGuard's packets.
const CLEAR: &str = "ip,nw_proto=47";
const SEALED: &str = "udp,tp_dst=51820";

/// An address between a host and its router: 1 is where the host's tunnels end, 254 the router's own.
fn between(host: u8, end: u8) -> String {
    format!("10.98.{host}.{end}")
}

/// What has WireGuard for a host.
struct Router {
    host: Host,
    vm: Vm,
    wireguard: Daemon,
    public_key: String,
}

impl Router {
    fn start(host: &Host) -> Result<Self> {
        let number = host.number();
        host.add_bridge(BRIDGE)?;
        host.vsctl(["set", "Interface", BRIDGE, "mtu_request=1420"])?;
        on_host(host, &format!("ip address add {}/24 dev {BRIDGE}", between(number, 1)))?;
        on_host(host, &format!("ip link set {BRIDGE} up"))?;
        on_host(host, "sysctl -w net.ipv4.ip_forward=1")?;
        for (flow, actions) in [(CLEAR, "drop"), (SEALED, "normal")] {
            host.ofctl(["add-flow", BR_PHY, &format!("priority=9,{flow},actions={actions}")])?;
        }
        let spec = VmSpec::numbered(90 + u16::from(number)).network(&format!("router{number}"));
        let vm = host.plug_vm(BRIDGE, &format!("router{number}"), spec)?;
        let wireguard = Self::start_wireguard(host, &vm)?;
        let mut keys = host.command("sh");
        keys.args(["-c", "umask 077; wg genkey >wg.key && wg pubkey <wg.key"]).current_dir(host.rundir());
        let router = Router { host: host.clone(), vm, wireguard, public_key: run(keys, DEADLINE)?.trim().to_owned() };
        router.inside(&format!("ip address add {}/24 dev eth0", between(number, 254)))?;
        router.inside("sysctl -w net.ipv4.ip_forward=1")?;
        router.inside("ip route add unreachable 10.98.0.0/16 metric 4096")?;
        Ok(router)
    }

    /// With a folder of its own for its socket.
    fn start_wireguard(host: &Host, vm: &Vm) -> Result<Daemon> {
        let mut command = vm.command("unshare");
        command.args(["-m", "sh", "-ec", "mount -t tmpfs run /run && exec wireguard-go -f wg0"]);
        let daemon = host.spawn("wireguard-go", command)?;
        wait_until("the device of wireguard-go", SOON, || {
            let mut look = vm.command("nsenter");
            look.args(["-t", &daemon.pid().to_string(), "-m", "wg", "show", "wg0"]);
            run(look, DEADLINE).map(drop)
        })?;
        Ok(daemon)
    }

    /// A command on the router.
    fn inside(&self, words: &str) -> Result<String> {
        let mut command = self.vm.command("nsenter");
        command.args(["-t", &self.wireguard.pid().to_string(), "-m"]).args(words.split(' '));
        run(command, DEADLINE)
    }

    fn knows(&self, other: &Router) -> Result<()> {
        let (own, far) = (self.host.number(), other.host.number());
        let (end, far_end) = (between(own, 1), between(far, 1));
        let far_router = between(far, 254);
        let (key, ip, file) = (&other.public_key, other.host.ip(), self.host.rundir().join("wg.key"));
        self.inside(&format!(
            "wg set wg0 listen-port 51820 private-key {} peer {key} allowed-ips {far_end}/32 endpoint {far_router}:51820",
            file.display()
        ))?;
        self.inside("ip link set wg0 mtu 1420 up")?;
        self.inside(&format!("ip route add {far_end}/32 dev wg0"))?;
        self.inside(&format!("ip route add {far_router}/32 via {end}"))?;
        on_host(&self.host, &format!("ip route add {far_router}/32 via {ip}"))?;
        on_host(&self.host, &format!("ip route add {far_end}/32 via {}", between(own, 254)))
    }
}

fn on_host(host: &Host, words: &str) -> Result<()> {
    let (program, arguments) = words.split_once(' ').context("a program with arguments")?;
    host.run(program, arguments.split(' ')).map(drop)
}

#[test]
fn tunnels_through_a_router_with_wireguard_show_nothing() -> Result<()> {
    let cloud = Cloud::new("wggo", 2)?;
    let network = Network::numbered(1, Ipv6Policy::Allow);
    let mut routers = cloud.nodes().iter().map(|node| Router::start(node.host())).collect::<Result<Vec<_>>>()?;
    routers[0].knows(&routers[1])?;
    routers[1].knows(&routers[0])?;
    for (number, other) in [(1, 2_u8), (2, 1)] {
        let tunnel = PutTunnel { to: Id::Number(other.into()), remote_ip: between(other, 1), from: None };
        let (body, name) = (cloud.membership(&network, number, &[number])?, network.bridge.clone());
        let body = PutBridge { tunnels: Some(vec![tunnel]), ..body };
        cloud.call(number, move |client| async move { client.put_bridge(&name, &body).await })??;
    }
    let (host, far) = (cloud.node(1)?.host(), cloud.node(2)?.host());
    let plug = |host: &Host, vif: &str, number| {
        host.plug_vm(&network.bridge, vif, VmSpec::numbered(number).network(&network.bridge))
    };
    let (a, b) = (plug(host, "vif1.0", 1)?, plug(far, "vif2.0", 2)?);
    wait_until("pings to be answered", SOON, || a.ping(b.ip(), 20)?.expect_no_loss())?;
    // The routers hear them, too: in tunnels, before they are encrypted and after.
    let probes: Vec<Probe> = Kind::FLOODED.iter().flat_map(|kind| [&a, &b].map(|vm| Probe::new(vm, *kind))).collect();
    for delivery in cloud.lab().deliver_all(&probes)? {
        let came: u32 = [&a, &b].iter().map(|vm| delivery.copies_at(vm)).sum();
        ensure!(came == 1 && delivery.max_copies() == 1, "{delivery:?}");
    }
    // The switch counts what it has cached from time to time.
    wait_until("packets of WireGuard's to be counted", SOON, || {
        let sealed = packets_below(host, SEALED)?;
        ensure!(sealed >= 20, "{sealed}");
        Ok(())
    })?;
    ensure!(packets_below(host, CLEAR)? == 0, "in clear");
    // Room for both: WireGuard leaves 1420 of 1500, of which GRE takes 42.
    let name = network.bridge.clone();
    let bridge = cloud.call(1, move |client| async move { client.bridge(&name).await })??;
    ensure!(bridge.max_guest_mtu == Some(1378), "{:?}", bridge.max_guest_mtu);

    // Without WireGuard nothing goes out, though the switch has another way to everywhere.
    on_host(host, &format!("ip route add default via {}", far.ip()))?;
    let router = routers.remove(0);
    drop(router.wireguard);
    let lost = a.ping(b.ip(), 10)?;
    ensure!(lost.received == 0, "{lost:?}");
    // Nor without the way to the router: what the switch would send by the other one is dropped.
    on_host(host, &format!("ip link set {BRIDGE} down"))?;
    wait_until("packets in clear to be dropped", SOON, || {
        let lost = a.ping(b.ip(), 5)?;
        ensure!(lost.received == 0, "{lost:?}");
        ensure!(packets_below(host, CLEAR)? > 0, "the switch does not try");
        Ok(())
    })?;
    far.appctl(["revalidator/purge"])?;
    let arrived = packets_below(far, CLEAR)?;
    ensure!(arrived == 0, "{arrived} packets have arrived in clear");
    cloud.lab().expect_no_duplicates()
}
