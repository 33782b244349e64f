//! A VPC in short words: hosts 1 to 3, tiers 1 to 3 (key 1000+n, 10.1.n.0/24), VM h of tier n on host h (10.1.n.h).
//! What it must not do: share code with what builds the flows.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ovstunnel_plan::*;

use crate::model::{World, bridge_name};
use crate::pipeline::{Ip, Packet};

pub const TIERS: [u8; 3] = [1, 2, 3];
pub const HOSTS: [u8; 3] = [1, 2, 3];

pub fn key(tier: u8) -> GreKey {
    GreKey::try_from(1000 + i64::from(tier)).unwrap()
}

pub fn network(tier: u8) -> NetworkUuid {
    format!("00000000-0000-4000-8000-00000000000{tier}").parse().unwrap()
}

pub fn gateway(tier: u8) -> Mac {
    format!("02:00:00:00:0{tier}:fe").parse().unwrap()
}

pub fn mac(tier: u8, host: u8) -> Mac {
    format!("02:00:00:00:0{tier}:0{host}").parse().unwrap()
}

pub fn ip(tier: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, tier, host)
}

pub fn tier(n: u8) -> Tier {
    Tier {
        key: key(n),
        network: network(n),
        gateway_ip: ip(n, 254),
        gateway_mac: gateway(n),
        cidr: format!("10.1.{n}.0/24").parse().unwrap(),
    }
}

pub fn nic(tier: u8, host: u8) -> Nic {
    let id = Some(host.to_string().parse().unwrap());
    Nic { host: id, ip: Some(ip(tier, host)), mac: mac(tier, host), tier: key(tier) }
}

/// Each tier has a VM on each host.
pub fn topology() -> Topology {
    let nics = TIERS.into_iter().flat_map(|tier| HOSTS.map(|host| nic(tier, host)));
    Topology { cidr: "10.1.0.0/16".parse().unwrap(), tiers: TIERS.map(tier).to_vec(), nics: nics.collect() }
}

/// Tiers with these items, each an ACL of its own.
pub fn policies(acls: &[(u8, Vec<AclItem>)]) -> Policies {
    let id = |tier: &u8| format!("acl{tier}").parse::<AclId>().unwrap();
    Policies {
        acls: acls.iter().map(|(tier, items)| (id(tier), items.clone())).collect(),
        tiers: acls.iter().map(|(tier, _)| (network(*tier), Some(id(tier)))).collect(),
    }
}

/// An item: `10 allow ingress tcp 80-443 10.1.2.0/24`.
pub fn item(text: &str) -> AclItem {
    let words: Vec<&str> = text.split(' ').collect();
    let [number, verdict, direction, protocol, ports, cidrs] = words.as_slice() else { panic!("{text}") };
    let ports = ports.split_once('-').filter(|(start, _)| !start.is_empty());
    AclItem {
        number: number.parse().unwrap(),
        verdict: if *verdict == "allow" { Verdict::Allow } else { Verdict::Deny },
        direction: if *direction == "ingress" { Direction::Ingress } else { Direction::Egress },
        protocol: match *protocol {
            "all" => None,
            "icmp" => Some(1),
            "tcp" => Some(6),
            "udp" => Some(17),
            number => Some(number.parse().unwrap()),
        },
        ports: ports.map(|(start, end)| PortRange::new(start.parse().unwrap(), end.parse().unwrap()).unwrap()),
        cidrs: cidrs.split(',').map(|cidr| cidr.parse().unwrap()).collect(),
    }
}

pub fn setup_vpc(bridge: &str) -> Change {
    let host_id = Some("1".parse().unwrap());
    let vpc = "7".parse().unwrap();
    Change::SetupVpc(SetupVpc {
        bridge: bridge_name(bridge),
        vpc,
        network_uuid: None,
        host_id,
        host: HostFacts::default(),
    })
}

pub fn told(bridge: &str, sequence: u64, topology: &Topology) -> Change {
    let update = VpcUpdate::Topology(Arc::new(topology.clone()));
    Change::UpdateVpc(UpdateVpc { bridge: bridge_name(bridge), sequence, update })
}

pub fn ruled(bridge: &str, sequence: u64, policies: &Policies) -> Change {
    let update = VpcUpdate::Policies(Arc::new(policies.clone()));
    Change::UpdateVpc(UpdateVpc { bridge: bridge_name(bridge), sequence, update })
}

pub fn tunnel(bridge: &str, tier: u8, to: u8) -> Change {
    Change::CreateTunnel(CreateTunnel {
        bridge: bridge_name(bridge),
        from: "1".parse().unwrap(),
        to: to.to_string().parse().unwrap(),
        remote_ip: format!("192.0.2.{to}").parse().unwrap(),
        key: Some(key(tier)),
        network_uuid: None,
        renumbers: false,
    })
}

/// Host 1, with tunnels of all tiers to both others and a VIF for each of its VMs.
pub fn host_1() -> World {
    let mut world = World::default();
    let changes = |world: &mut World, changes: &[Change]| {
        let results = world.change(changes);
        assert!(results.iter().all(Result::is_ok), "{results:?}");
        world.carry_out(world.repairs());
    };
    changes(&mut world, &[setup_vpc("v")]);
    for tier in TIERS {
        changes(&mut world, &[tunnel("v", tier, 2)]);
        changes(&mut world, &[tunnel("v", tier, 3)]);
        world.vif("v", &format!("vif{tier}.0"), &mac(tier, 1).to_string());
    }
    changes(&mut world, &[told("v", 1, &topology())]);
    world
}

impl World {
    /// A VIF with the Ethernet address that the hypervisor notes at it.
    pub fn vif(&mut self, bridge: &str, name: &str, mac: &str) {
        self.device(bridge, name);
        let port = self.bridges.get_mut(bridge).unwrap().ports.get_mut(name).unwrap();
        port.interfaces[0].external_ids.insert("attached-mac".into(), mac.into());
    }

    pub fn ofport(&self, port: &str) -> u32 {
        let bridge = self.bridges.values().find(|bridge| bridge.ports.contains_key(port)).unwrap();
        bridge.ports[port].interface().unwrap().openflow_port().unwrap()
    }

    /// The flows of a bridge.
    pub fn known_flows(&self, bridge: &str) -> std::collections::BTreeSet<Flow> {
        match &self.flows[bridge] {
            FlowsSeen::Known { flows, .. } => flows.clone(),
            FlowsSeen::Unknown => panic!("unknown flows"),
        }
    }

    /// What becomes of a packet: the ports that copies of it leave by, by name.
    pub fn out(&self, packet: Packet) -> Vec<String> {
        let name = |number: u32| {
            let ports = self.bridges["v"].ports.values();
            let port = ports.into_iter().find(|p| p.interface().and_then(|i| i.openflow_port()) == Some(number));
            port.map_or_else(|| format!("a port that is not there: {number}"), |port| port.name.clone())
        };
        let mut out: Vec<String> =
            crate::pipeline::run(&self.known_flows("v"), packet).into_iter().map(|(port, _)| name(port)).collect();
        out.sort();
        out
    }
}

/// A packet from a port of host 1, to an Ethernet address.
pub fn frame(world: &World, from: &str, dl_dst: Option<Mac>) -> Packet {
    let key = from.strip_prefix('t').and_then(|rest| rest.split('-').next()?.parse().ok()).unwrap_or(0);
    Packet { in_port: world.ofport(from), tun_id: key, tier: 0, dl_dst, dl_src: None, ip: None }
}

/// The same with an IPv4 packet in it.
pub fn packet(world: &World, from: &str, dl_dst: Option<Mac>, (src, dst): (Ipv4Addr, Ipv4Addr)) -> Packet {
    let ip = Some(Ip { src, dst, proto: 1, dst_port: 0 });
    Packet { ip, ..frame(world, from, dl_dst) }
}
