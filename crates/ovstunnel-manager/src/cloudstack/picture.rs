//! What CloudStack's lists say, as the zone takes it.
//!
//! What it does: reads all lists that it takes to know where VMs are. What it must not do: know a host or a key of the zone.

use std::collections::BTreeMap;

use ovstunnel_manager_api::{CloudStackHost, CloudStackNetwork};
use ovstunnel_types::GreKey;
use serde::Deserialize;

use super::api::{Api, List, ReadError};
use crate::zone::{CloudHost, CloudNetwork, CloudNic, CloudPicture};

const HOSTS: List = List { command: "listHosts", field: "host", more: &[("type", "Routing")] };

const NETWORKS: List =
    List { command: "listNetworks", field: "network", more: &[("listall", "true"), ("projectid", "-1")] };

/// Without projects, and with them; `nics` is what is needed of each.
const VMS: List = List {
    command: "listVirtualMachines",
    field: "virtualmachine",
    more: &[("details", "nics"), ("listall", "true"), ("projectid", "-1")],
};

/// Routers and internal load balancers are VMs of networks, too, and no other list has them.
const ROUTERS: List =
    List { command: "listRouters", field: "router", more: &[("listall", "true"), ("projectid", "-1")] };

const BALANCERS: List = List {
    command: "listInternalLoadBalancerVMs",
    field: "internalloadbalancervm",
    more: &[("listall", "true"), ("projectid", "-1")],
};

#[derive(Debug, Deserialize)]
struct Host {
    id: String,
    name: String,
    ipaddress: Option<String>,
    zonename: Option<String>,
    podname: Option<String>,
    clustername: Option<String>,
    state: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Network {
    id: String,
    name: String,
    account: Option<String>,
    project: Option<String>,
    domain: Option<String>,
    zonename: Option<String>,
    broadcasturi: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Vm {
    state: String,
    hostid: Option<String>,
    #[serde(default)]
    nic: Vec<Nic>,
}

#[derive(Debug, Deserialize)]
struct Nic {
    networkid: String,
}

/// The key in `vs://KEY`, or in `vs://VPC.KEY` of a VPC's tier.
fn key_of(uri: &str) -> Option<GreKey> {
    let text = uri.strip_prefix("vs://")?;
    text.rsplit_once('.').map_or(text, |(_, key)| key).parse().ok()
}

impl Host {
    fn into_cloud(self) -> CloudHost {
        let Host { id, name, ipaddress, zonename, podname, clustername, state } = self;
        let shown = CloudStackHost { name, zone: zonename, pod: podname, cluster: clustername, state };
        CloudHost { id, address: ipaddress, shown }
    }
}

impl Network {
    fn into_cloud(self) -> CloudNetwork {
        let Network { id, name, account, project, domain, zonename, broadcasturi } = self;
        let key = broadcasturi.as_deref().and_then(key_of);
        CloudNetwork { key, shown: CloudStackNetwork { id, name, account, project, domain, zone: zonename, nics: 0 } }
    }
}

/// The NICs of VMs that are there, or of which it is not sure.
fn nics_of(vms: Vec<Vm>) -> Vec<CloudNic> {
    let there = vms.into_iter().filter(|vm| vm.hostid.is_some() || is_moving(&vm.state));
    let nics = there.flat_map(|vm| {
        let (host, is_moving) = (vm.hostid, is_moving(&vm.state));
        vm.nic.into_iter().map(move |nic| CloudNic { network: nic.networkid, host: host.clone(), is_moving })
    });
    nics.collect()
}

/// Whether CloudStack will say only later on which host a VM is. What is not known is taken for that.
fn is_moving(state: &str) -> bool {
    !["Running", "Stopped", "Destroyed", "Expunging", "Expunged", "Error", "Shutdown"].contains(&state)
}

/// Reads all.
pub(super) async fn read_picture(api: &Api) -> Result<CloudPicture, ReadError> {
    // VMs first: a network that is new since then has no VM yet, and not the other way around.
    let mut nics = Vec::new();
    for list in [VMS, ROUTERS, BALANCERS] {
        nics.extend(nics_of(api.read_list(list).await?));
    }
    let hosts: Vec<Host> = api.read_list(HOSTS).await?;
    let networks: Vec<Network> = api.read_list(NETWORKS).await?;
    // A network may be in two pages' answers where another one was removed between them.
    let networks: BTreeMap<String, Network> = networks.into_iter().map(|one| (one.id.clone(), one)).collect();
    Ok(CloudPicture {
        hosts: hosts.into_iter().map(Host::into_cloud).collect(),
        networks: networks.into_values().map(Network::into_cloud).collect(),
        nics,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_of_addresses_of_ovs_networks_alone() {
        let read = |uri| key_of(uri).map(|key| key.get());
        assert_eq!(["vs://1001", "vs://7.1002"].map(read), [Some(1001), Some(1002)]);
        for uri in ["vlan://1001", "vs://", "vs://0", "vs://a", "1001", "vs://untagged"] {
            assert_eq!(read(uri), None, "{uri}");
        }
    }

    #[test]
    fn a_vm_in_a_state_that_is_not_known_may_be_anywhere() {
        let states = ["Running", "Stopped", "Starting", "Migrating", "Stopping", "Unknown", "Restoring"];
        assert_eq!(states.map(is_moving), [false, false, true, true, true, true, true]);
    }
}
