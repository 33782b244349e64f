//! What the tests of answers are played on: hosts with a VM each in one network, and what is asked and seen there. Must not say what is right.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{BridgeAnswer, Id, NeighbourState, PutBridge, PutNeighbour, PutTunnel};
use ovstunnel_e2e::{Cloud, Network, NodeConfig, our_flows};
use ovstunnel_lab::{Content, Host, Kind, MacAddr6, Vm, VmSpec, Wrapped, wait_until};

use super::SOON;

/// Hosts with a VM each, in one network.
pub struct Stage {
    pub cloud: Cloud,
    pub network: Network,
    pub vms: Vec<Vm>,
}

impl Stage {
    pub fn new(tag: &str, hosts: u16, config: NodeConfig) -> Result<Self> {
        Self::with_cards(tag, hosts, config, VmSpec::numbered)
    }

    /// The same with these VMs, by their numbers.
    pub fn with_cards(tag: &str, hosts: u16, config: NodeConfig, card: impl Fn(u16) -> VmSpec) -> Result<Self> {
        let network = Network::numbered(1, config.ipv6);
        let cloud = Cloud::with_config(tag, hosts.into(), config)?;
        cloud.mesh(&network, &Self::members(hosts))?;
        let plug = |n: u16| {
            let vif = format!("vif{n}.0");
            let vm = cloud.node(n.into())?.host().plug_vm(&network.bridge, &vif, card(n).network(&network.bridge))?;
            cloud.wait_for_rules(&network, n.into())?;
            Ok(vm)
        };
        let vms = (1..=hosts).map(plug).collect::<Result<_>>()?;
        cloud.lab().announce_all()?;
        Ok(Stage { cloud, network, vms })
    }

    pub fn answering(tag: &str, hosts: u16) -> Result<Self> {
        let stage = Stage::new(tag, hosts, NodeConfig { answer_neighbours: true, ..NodeConfig::default() })?;
        stage.tell_all()?;
        Ok(stage)
    }

    pub fn members(hosts: u16) -> Vec<usize> {
        (1..=hosts.into()).collect()
    }

    pub fn host(&self, number: usize) -> Result<&Host> {
        Ok(self.cloud.node(number)?.host())
    }

    /// The VM of host 1, of host 2, and so on.
    pub fn vm(&self, number: usize) -> &Vm {
        &self.vms[number - 1]
    }

    pub fn body(&self, number: usize, neighbours: Vec<PutNeighbour>) -> Result<PutBridge> {
        let members = (1..=self.vms.len()).collect::<Vec<_>>();
        let body = self.cloud.membership(&self.network, number, &members)?;
        Ok(PutBridge { neighbours: Some(neighbours), ..body })
    }

    pub fn put(&self, number: usize, body: PutBridge) -> Result<BridgeAnswer> {
        let bridge = self.network.bridge.clone();
        Ok(self.cloud.call(number, move |client| async move { client.put_bridge(&bridge, &body).await })??)
    }

    /// Tells a host of each VM.
    pub fn tell(&self, number: usize) -> Result<BridgeAnswer> {
        let told = self.vms.iter().map(|vm| neighbour(vm.ip(), vm.mac())).collect();
        self.put(number, self.body(number, told)?)
    }

    pub fn tell_all(&self) -> Result<()> {
        (1..=self.vms.len()).try_for_each(|number| self.tell(number).map(drop))
    }

    /// Until a host's VIFs are answered.
    pub fn wait_for_answers(&self, number: usize) -> Result<()> {
        let host = self.host(number)?;
        wait_until(format!("the answers of host {number}"), SOON, || {
            let vifs = host.vsctl(["list-ports", &self.network.bridge])?;
            let vifs = vifs.lines().filter(|port| port.starts_with("vif")).count();
            let flows = our_flows(host, &self.network.bridge)?;
            // For each family of addresses that was told.
            let families =
                flows.iter().filter(|flow| flow.contains("table=13,") && flow.contains("priority=1300,")).count();
            let asks = flows.iter().filter(|flow| flow.contains("actions=resubmit(,13)")).count();
            let vifs = vifs * families.max(1);
            ensure!(asks == vifs, "{asks} of {vifs} VIFs:\n{}", flows.join("\n"));
            Ok(())
        })
    }

    /// What the daemon of a host says of an address.
    pub fn state(&self, number: usize, ip: impl Into<IpAddr>) -> Result<NeighbourState> {
        let ip = ip.into();
        let bridge = self.network.bridge.clone();
        let seen = self.cloud.call(number, move |client| async move { client.bridge(&bridge).await })??;
        let found = seen.neighbours.iter().find(|one| one.ip == ip.to_string());
        Ok(found.with_context(|| format!("{:?}", seen.neighbours))?.state)
    }

    pub fn wait_for_state(&self, number: usize, ip: impl Into<IpAddr>, wanted: NeighbourState) -> Result<()> {
        let ip = ip.into();
        let waited =
            wait_until(format!("{ip} is {wanted:?} on host {number}"), SOON, || match self.state(number, ip)? {
                state if state == wanted => Ok(()),
                state => Err(anyhow::anyhow!("{state:?}")),
            });
        waited.with_context(|| self.seen_on(number).unwrap_or_else(|error| format!("{error:#}")))
    }

    /// What the switch of a host has, and what its daemon has logged.
    pub fn seen_on(&self, number: usize) -> Result<String> {
        let flows = self.host(number)?.ofctl(["dump-flows", &self.network.bridge])?;
        Ok(format!("{flows}\n{}", self.cloud.node(number)?.log()))
    }

    /// A request from a VM reaches nobody: it was answered.
    pub fn expect_answered(&self, from: &Vm, ip: Ipv4Addr) -> Result<()> {
        self.forget_asked()?;
        self.cloud.lab().deliver(from, request(from, from.ip(), ip))?.expect_nowhere()
    }

    /// A request from a VM reaches each other VM.
    pub fn expect_flooded(&self, from: &Vm, ip: Ipv4Addr) -> Result<()> {
        self.forget_asked()?;
        self.cloud.lab().deliver(from, request(from, from.ip(), ip))?.expect_once()
    }

    /// As if the two minutes had passed in which a second request is flooded.
    pub fn forget_asked(&self) -> Result<()> {
        self.cloud.nodes().iter().try_for_each(|node| forget_asked(node.host(), &self.network.bridge))
    }

    /// How often the owner of an address has said on the bridge of a host that it is his.
    pub fn said(&self, number: usize, ip: Ipv4Addr) -> Result<u64> {
        let table = self.host(number)?.ofctl(["dump-flows", &self.network.bridge, "table=10"])?;
        let owner =
            table.lines().find(|line| line.contains("priority=1100") && line.contains(&format!("arp_spa={ip},")));
        let owner = owner.context(table.clone())?;
        let count = owner.split("n_packets=").nth(1).and_then(|rest| rest.split(',').next());
        Ok(count.context(table.clone())?.parse()?)
    }
}

/// What the switch has cached of a request that it answered makes the flow anew when it goes, so that it goes first.
pub fn forget_asked(host: &Host, bridge: &str) -> Result<()> {
    wait_until("nobody has asked", SOON, || {
        host.appctl(["revalidator/purge"])?;
        host.ofctl(["del-flows", bridge, "table=12"])?;
        host.appctl(["revalidator/wait"])?;
        let left = host.ofctl(["dump-flows", bridge, "table=12"])?;
        ensure!(!left.contains("cookie="), "{left}");
        Ok(())
    })
}

pub fn neighbour(ip: Ipv4Addr, mac: MacAddr6) -> PutNeighbour {
    PutNeighbour { ip: ip.to_string(), mac: mac.to_string().to_lowercase() }
}

/// An ARP request of a VM for an address, as from this one.
pub fn request(from: &Vm, sender: Ipv4Addr, wanted: Ipv4Addr) -> Kind {
    let mut arp = vec![0, 1, 8, 0, 6, 4, 0, 1];
    arp.extend_from_slice(from.mac().as_bytes());
    arp.extend_from_slice(&sender.octets());
    arp.extend_from_slice(&[0; 6]);
    arp.extend_from_slice(&wanted.octets());
    // Kinds of frames are copied; a test makes few of them.
    let begin = Box::leak(arp.into_boxed_slice());
    Kind::Wrapped(Wrapped::plain(MacAddr6::broadcast(), Content::Type(0x0806, begin)))
}

/// The Ethernet address that a guest has for an address after it has asked and got an answer.
pub fn ping_anew(from: &Vm, ip: Ipv4Addr) -> Result<String> {
    run(from, &["ip", "neigh", "flush", "all"])?;
    from.ping(ip, 5)?.expect_no_loss()?;
    let shown = run(from, &["ip", "neigh", "show", &ip.to_string()])?;
    let mac = shown.split_whitespace().skip_while(|word| *word != "lladdr").nth(1).map(str::to_owned);
    mac.with_context(|| shown)
}

pub fn run(vm: &Vm, words: &[&str]) -> Result<String> {
    let output = vm.command(words[0]).args(&words[1..]).output()?;
    ensure!(output.status.success(), "{words:?}: {output:?}");
    Ok(String::from_utf8(output.stdout)?)
}

pub fn lower(mac: MacAddr6) -> String {
    mac.to_string().to_lowercase()
}

/// Copies in the tunnels of a host of one frame.
#[derive(Debug, PartialEq, Eq)]
pub struct Copies {
    /// Before the address was told that the frame asks for.
    pub untold: u64,
    /// Once it was told.
    pub told: u64,
    /// Of a frame that asks for another address then.
    pub other: u64,
}

/// What a VM on one real host of a network of 64 asks, for an address that is told and for another, is copied so often. The other hosts
/// are known to its host's neighbour table alone.
pub fn copies_in_64_hosts(
    tag: &str,
    config: NodeConfig,
    told: PutNeighbour,
    asking: impl Fn(&Vm) -> [Kind; 2],
) -> Result<Copies> {
    let stage = Stage::new(tag, 1, config)?;
    let (host, asks) = (stage.host(1)?, stage.vm(1));
    let remote = |n: u8| Ipv4Addr::from_bits(host.ip().to_bits() & 0xffff_ff00 | u32::from(n));
    let mut tunnels = Vec::new();
    for n in 101..=163_u8 {
        host.appctl(["tnl/neigh/set", "br-phy", &remote(n).to_string(), &format!("02:00:00:00:00:{n:02x}")])?;
        tunnels.push(PutTunnel { to: Id::Number(n.into()), remote_ip: remote(n).to_string(), from: None });
    }
    let body = stage.body(1, vec![told])?;
    stage.put(1, PutBridge { tunnels: Some(tunnels.clone()), neighbours: None, ..body.clone() })?;
    let copies = |frame| -> Result<u64> {
        let before = sent(host)?;
        stage.cloud.lab().deliver(asks, frame)?;
        Ok(sent(host)? - before)
    };
    let [known, unknown] = asking(asks);
    let untold = copies(known)?;
    stage.put(1, PutBridge { tunnels: Some(tunnels), ..body })?;
    stage.wait_for_answers(1)?;
    Ok(Copies { untold, told: copies(known)?, other: copies(unknown)? })
}

/// Frames that a host has sent by its network card: one for each copy in a tunnel.
fn sent(host: &Host) -> Result<u64> {
    let ports = host.ofctl(["dump-ports", "br-phy", "eth0"])?;
    let count = ports.split("tx pkts=").nth(1).and_then(|rest| rest.split(',').next());
    Ok(count.context(ports.clone())?.trim().parse()?)
}
