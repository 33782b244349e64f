//! A distributed-routing VPC over several hosts, set up and told through the plugin as a management server does it.
//!
//! Tier `t` has key `1000+t` and the network `10.1.t.0/24`; its VM on host `h` is `10.1.t.h`, its gateway `10.1.t.254`, which no
//! VM has. What it must not do: look into a switch but by what is asked of it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_lab::{Kind, MacAddr6, Packet, Payload, Vm, VmSpec};
use serde_json::{Value, json};

use crate::{Cloud, NodeConfig, Plugin};

/// The bridge, the same on each host.
pub const VPC_BRIDGE: &str = "xapi7";

/// A VPC of three tiers with a VM of each on each host.
#[derive(Debug)]
pub struct VpcCloud {
    vms: BTreeMap<(u8, u8), Vm>,
    cloud: Cloud,
}

/// UUID of the network of a tier.
pub fn tier_uuid(tier: u8) -> String {
    format!("6f1a9c3e-0b7d-4c58-9c11-00000000100{tier}")
}

/// Ethernet address of a tier's gateway.
pub fn gateway(tier: u8) -> MacAddr6 {
    MacAddr6::new(2, 0, 0, 0, tier, 0xfe)
}

/// Address of the VM of a tier on a host.
pub fn address(tier: u8, host: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 1, tier, host)
}

fn mac(tier: u8, host: u8) -> MacAddr6 {
    MacAddr6::new(2, 0, 0, 0, tier, host)
}

/// What a management server tells: these tiers, and for each VM the host that it is on. All of it is lower case.
pub fn topology(tiers: &[u8], vms: &[(u8, u8, u8)]) -> Value {
    let tier = |t: &u8| {
        json!({"grekey": 1000 + u32::from(*t), "networkuuid": tier_uuid(*t), "gatewayip": address(*t, 254).to_string(),
            "gatewaymac": gateway(*t).to_string().to_lowercase(), "cidr": format!("10.1.{t}.0/24")})
    };
    let vm = |(tier, number, host): &(u8, u8, u8)| {
        json!({"hostid": host, "nics": [{"ipaddress": address(*tier, *number).to_string(), "networkuuid": tier_uuid(*tier),
            "macaddress": mac(*tier, *number).to_string().to_lowercase()}]})
    };
    let (tiers, vms): (Vec<_>, Vec<_>) = (tiers.iter().map(tier).collect(), vms.iter().map(vm).collect());
    json!({"vpc": {"cidr": "10.1.0.0/16", "hosts": [], "tiers": tiers, "vms": vms}})
}

/// All three tiers, each with a VM on each of three hosts, which has the host's number.
pub fn whole_topology() -> Value {
    let vms: Vec<_> = (1..=3).flat_map(|tier| (1..=3).map(move |host| (tier, host, host))).collect();
    topology(&[1, 2, 3], &vms)
}

/// Policies: the items of each tier, as `10 allow ingress tcp 80-443 10.1.2.0/24,0.0.0.0/0`; no port is `-`.
pub fn policies(acls: &[(u8, &[&str])]) -> Value {
    let item = |text: &&str| {
        let words: Vec<&str> = text.split(' ').collect();
        let mut item = json!({"number": words[0].parse::<u16>().unwrap_or(0), "uuid": "u", "action": words[1], "direction": words[2],
            "protocol": words[3], "sourcecidrs": words[5].split(',').collect::<Vec<_>>()});
        if let Some((start, end)) = words[4].split_once('-').filter(|(start, _)| !start.is_empty()) {
            (item["sourceportstart"], item["sourceportend"]) = (json!(start), json!(end));
        }
        item
    };
    let acl = |(tier, items): &(u8, &[&str])| json!({"id": format!("acl{tier}"), "aclitems": items.iter().map(item).collect::<Vec<_>>()});
    let tier = |tier: u8| {
        let acl = acls.iter().any(|(t, _)| *t == tier).then(|| format!("acl{tier}"));
        json!({"id": tier_uuid(tier), "cidr": format!("10.1.{tier}.0/24"), "aclid": acl})
    };
    let (tiers, acls): (Vec<_>, Vec<_>) = ((1..=3).map(tier).collect(), acls.iter().map(acl).collect());
    json!({"vpc": {"cidr": "10.1.0.0/16", "id": "7", "tiers": tiers, "acls": acls}})
}

/// Policies that let everything pass.
pub fn open_policies() -> Value {
    const OPEN: &[&str] = &["1 allow ingress all - 0.0.0.0/0"];
    policies(&[(1, OPEN), (2, OPEN), (3, OPEN)])
}

impl VpcCloud {
    /// Three hosts, meshed for all tiers, a VM of each tier on each, told where all of them are, and nothing about policies.
    ///
    /// # Errors
    /// When the lab cannot be made, or a function of the plugin fails.
    pub fn new(tag: &str, config: NodeConfig) -> Result<Self> {
        let cloud = Cloud::with_config(tag, 3, config)?;
        let mut vpc = VpcCloud { vms: BTreeMap::new(), cloud };
        for host in 1..=3 {
            vpc.mesh(host)?;
            vpc.tell(host, "network_topology", 1, &whole_topology())?;
            for tier in 1..=3 {
                vpc.add_vm(tier, host)?;
            }
        }
        (1..=3).try_for_each(|host| vpc.settle(host))?;
        Ok(vpc)
    }

    fn mesh(&self, host: u8) -> Result<()> {
        let (plugin, own) = (self.plugin(host)?, host.to_string());
        let arguments = [
            ("bridge", VPC_BRIDGE),
            ("key", "OVS-DR-VPC-Bridge7"),
            ("xs_nw_uuid", &tier_uuid(0)),
            ("cs_host_id", &own),
        ];
        plugin.expect("setup_ovs_bridge_for_distributed_routing", &arguments, &format!("SUCCESS:{VPC_BRIDGE}"))?;
        for (other, tier) in (1..=3).flat_map(|other| [(other, 1), (other, 2), (other, 3)]) {
            if other != host {
                self.tunnel(host, tier, other)?;
            }
        }
        Ok(())
    }

    /// Makes the tunnel of a tier from a host to another.
    ///
    /// # Errors
    /// When the plugin does not answer its name.
    pub fn tunnel(&self, host: u8, tier: u8, to: u8) -> Result<()> {
        let (from, to_id, key) = (host.to_string(), to.to_string(), format!("100{tier}"));
        let remote = self.cloud.node(to.into())?.host().ip().to_string();
        let arguments =
            [("bridge", VPC_BRIDGE), ("remote_ip", &remote), ("key", &key), ("from", &from), ("to", &to_id)];
        self.plugin(host)?.expect("create_tunnel", &arguments, &format!("SUCCESS:t{key}-{host}-{to}"))
    }

    fn add_vm(&mut self, tier: u8, host: u8) -> Result<()> {
        let name = format!("t{tier}h{host}");
        let spec = VmSpec::new(&name, address(tier, host)).mac(mac(tier, host)).prefix_length(24);
        let spec = spec.network(&format!("tier{tier}"));
        let node = self.cloud.node(host.into())?;
        let vm = node.host().plug_vm(VPC_BRIDGE, &format!("vif{tier}.0"), spec)?;
        self.vms.insert((tier, host), vm);
        Ok(())
    }

    /// The hosts and their daemons.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// The plugin of a host.
    ///
    /// # Errors
    /// When there is no such host.
    pub fn plugin(&self, host: u8) -> Result<Plugin> {
        Plugin::on(self.cloud.node(host.into())?)
    }

    /// The VM of a tier that was made on a host.
    ///
    /// # Errors
    /// When there is none.
    pub fn vm(&self, tier: u8, host: u8) -> Result<&Vm> {
        self.vms.get(&(tier, host)).with_context(|| format!("no VM of tier {tier} on host {host}"))
    }

    /// Calls `configure_ovs_bridge_for_<what>` on a host; what it answers.
    ///
    /// # Errors
    /// When the plugin does not answer at all.
    pub fn tell(&self, host: u8, what: &str, sequence: u64, config: &Value) -> Result<String> {
        let (number, own) = (sequence.to_string(), host.to_string());
        let config = config.to_string();
        let arguments = [("bridge", VPC_BRIDGE), ("config", config.as_str()), ("host-id", &own), ("seq-no", &number)];
        self.plugin(host)?.call(&format!("configure_ovs_bridge_for_{what}"), &arguments)
    }

    /// Tells all hosts, each of which must apply it.
    ///
    /// # Errors
    /// When one does not.
    pub fn tell_all(&self, what: &str, sequence: u64, config: &Value) -> Result<()> {
        for host in 1..=3 {
            let answer = self.tell(host, what, sequence, config)?;
            ensure!(answer.starts_with("SUCCESS") && answer.ends_with("was applied"), "host {host}: {answer}");
        }
        Ok(())
    }

    /// Has a host look at everything, and waits until its flows are those that must be there.
    ///
    /// # Errors
    /// When they are not within 20 s.
    pub fn settle(&self, host: u8) -> Result<()> {
        let look = || {
            let bridge = self.cloud.call(host.into(), |client| async move {
                client.reconcile().await?;
                client.bridge(VPC_BRIDGE).await
            })??;
            match bridge.flows.state {
                ovstunnel_api::FlowsState::InSync => Ok(()),
                _ => Err(anyhow!("{:?}", bridge.flows)),
            }
        };
        let what = format!("the flows of the VPC on host {host}");
        ovstunnel_lab::wait_until(what, std::time::Duration::from_secs(20), look)
    }

    /// The flows of ours on a host, without counters, sorted.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn flows(&self, host: u8) -> Result<Vec<String>> {
        let node = self.cloud.node(host.into())?;
        let dump = node.host().ofctl(["--no-stats", "--no-names", "-O", "OpenFlow14", "dump-flows", VPC_BRIDGE])?;
        let mut lines: Vec<String> =
            dump.lines().filter(|line| line.contains("cookie=0x6f767374")).map(|line| line.trim().to_owned()).collect();
        lines.sort();
        Ok(lines)
    }

    /// A packet from a VM to another of any tier, by way of its gateway where that is another tier.
    ///
    /// # Errors
    /// When there is no such VM.
    pub fn packet(&self, from: (u8, u8), to: (u8, u8), payload: Payload) -> Result<Kind> {
        let target = self.vm(to.0, to.1)?;
        let mac = if from.0 == to.0 { target.mac() } else { gateway(from.0) };
        Ok(Kind::Routed(Packet { mac, from: self.vm(from.0, from.1)?.ip(), to: target.ip(), payload }))
    }
}
