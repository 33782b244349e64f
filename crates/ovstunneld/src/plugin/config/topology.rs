//! `configure_ovs_bridge_for_network_topology`: tiers and VMs.
//!
//! What it must not do: refuse a card of a network that is no tier; a VPC's router has some.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ovstunnel_plan::{GreKey, HostId, NetworkUuid, Nic, Tier, Topology};
use serde_json::Value;

use super::{BadConfig, Reader, vpc_part};

/// Reads a topology.
pub(in crate::plugin) fn read_topology(config: &Value) -> Result<Topology, BadConfig> {
    let vpc = vpc_part(config)?;
    let cidr = vpc.required_field("cidr")?.ipv4_network()?;
    let tiers = read_tiers(&vpc.required_field("tiers")?)?;
    let keys: BTreeMap<NetworkUuid, GreKey> = tiers.iter().map(|tier| (tier.network, tier.key)).collect();
    let mut nics = Vec::new();
    for vm in vpc.required_field("vms")?.items()? {
        let host = vm.optional_field("hostid")?.map(|host| host.parse()).transpose()?;
        let Some(list) = vm.optional_field("nics")? else { continue };
        for card in list.items()? {
            nics.extend(read_nic(&card, host.as_ref(), &keys)?);
        }
    }
    Ok(Topology { cidr, tiers, nics })
}

fn read_tiers(list: &Reader<'_>) -> Result<Vec<Tier>, BadConfig> {
    let mut tiers: Vec<Tier> = Vec::new();
    for item in list.items()? {
        let key: Reader<'_> = item.required_field("grekey")?;
        let network = item.required_field("networkuuid")?;
        let tier = Tier {
            key: key.parse()?,
            network: network.parse()?,
            gateway_ip: read_address(&item.required_field("gatewayip")?)?,
            gateway_mac: item.required_field("gatewaymac")?.parse()?,
            cidr: item.required_field("cidr")?.ipv4_network()?,
        };
        let twice = "must not stand twice";
        if tiers.iter().any(|other| other.key == tier.key) {
            return Err(key.bad_value(twice));
        }
        if tiers.iter().any(|other| other.network == tier.network) {
            return Err(network.bad_value(twice));
        }
        tiers.push(tier);
    }
    Ok(tiers)
}

/// A card; nothing where it is in no tier.
fn read_nic(
    card: &Reader<'_>,
    host: Option<&HostId>,
    keys: &BTreeMap<NetworkUuid, GreKey>,
) -> Result<Option<Nic>, BadConfig> {
    let network: Option<NetworkUuid> =
        card.optional_field("networkuuid")?.map(|network| network.parse()).transpose()?;
    let Some(tier) = network.and_then(|network| keys.get(&network)) else { return Ok(None) };
    let ip = card.optional_field("ipaddress")?.map(|ip| read_address(&ip)).transpose()?;
    Ok(Some(Nic { host: host.cloned(), ip, mac: card.required_field("macaddress")?.parse()?, tier: *tier }))
}

fn read_address(reader: &Reader<'_>) -> Result<Ipv4Addr, BadConfig> {
    reader.text()?.parse().map_err(|_| reader.bad_value("must be an IPv4 address, four numbers with dots"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UUID: &str = "00000000-0000-4000-8000-000000000001";

    fn good() -> Value {
        json!({"vpc": {"cidr": "10.1.0.0/16",
        "hosts": [{"hostid": 1, "ipaddress": "192.0.2.11"}],
        "tiers": [{"grekey": "1001", "networkuuid": UUID, "gatewayip": "10.1.1.254", "gatewaymac": "02:00:00:00:01:fe", "cidr": "10.1.1.0/24"}],
        "vms": [
            {"hostid": 1, "nics": [{"ipaddress": "10.1.1.1", "macaddress": "02:00:00:00:01:01", "networkuuid": UUID}]},
            {"hostid": "2", "nics": [{"macaddress": "02:00:00:00:01:02", "networkuuid": UUID}]},
            {"nics": [{"macaddress": "02:00:00:00:01:03", "networkuuid": UUID}]},
            {"hostid": 3, "nics": [{"ipaddress": "203.0.113.1", "macaddress": "02:00:00:00:09:01", "networkuuid": "00000000-0000-4000-8000-000000000009"}]},
            {"hostid": 3},
        ]}})
    }

    #[test]
    fn a_topology_is_read_with_numbers_of_either_kind() {
        let topology = read_topology(&good()).unwrap();
        assert_eq!((topology.cidr.to_string(), topology.tiers.len()), ("10.1.0.0/16".into(), 1));
        let hosts: Vec<_> = topology.nics.iter().map(|nic| nic.host.as_ref().map(ToString::to_string)).collect();
        assert_eq!(hosts, [Some("1".to_owned()), Some("2".to_owned()), None], "a card of no tier is left out");
        assert_eq!(topology.nics[1].ip, None);
    }

    #[test]
    fn a_cidr_with_host_bits_is_its_network() {
        let mut config = good();
        config["vpc"]["cidr"] = json!("10.1.0.1/16");
        config["vpc"]["tiers"][0]["cidr"] = json!("10.1.1.254/24");
        let topology = read_topology(&config).unwrap();
        assert_eq!(
            (topology.cidr.to_string(), topology.tiers[0].cidr.to_string()),
            ("10.1.0.0/16".into(), "10.1.1.0/24".into())
        );
    }

    #[test]
    fn a_bad_part_is_named_with_its_rule_and_value() {
        let twice = |config: &mut Value| {
            let tier = config["vpc"]["tiers"][0].clone();
            config["vpc"]["tiers"].as_array_mut().unwrap().push(tier);
        };
        let mut config = good();
        twice(&mut config);
        assert_eq!(read_topology(&config).unwrap_err().0, "vpc.tiers[1].grekey must not stand twice; got `1001`");
        for (pointer, value, error) in [
            ("/vpc/cidr", json!("10.1.0.1/33"), "vpc.cidr must be an IPv4 network in CIDR notation"),
            ("/vpc/cidr", json!(null), "vpc.cidr is required"),
            ("/vpc/tiers", json!({}), "vpc.tiers must be a list; got `an object`"),
            ("/vpc/vms", json!(null), "vpc.vms is required"),
            (
                "/vpc/tiers/0/grekey",
                json!(0),
                "vpc.tiers[0].grekey must be a whole number from 1 to 2147483647; got `0`",
            ),
            ("/vpc/tiers/0/cidr", json!("x"), "vpc.tiers[0].cidr must be an IPv4 network"),
            (
                "/vpc/tiers/0/gatewaymac",
                json!("ff:ff:ff:ff:ff:ff"),
                "vpc.tiers[0].gatewaymac must be the Ethernet address",
            ),
            ("/vpc/vms/0/nics/0/ipaddress", json!("10.1.1"), "vpc.vms[0].nics[0].ipaddress must be an IPv4 address"),
            (
                "/vpc/vms/0/nics/0/macaddress",
                json!(true),
                "vpc.vms[0].nics[0].macaddress must be a text or a number; got `true`",
            ),
            ("/vpc/vms/0/hostid", json!("a b"), "vpc.vms[0].hostid must have 1 to 64 characters"),
            ("/vpc", json!([]), "vpc must be an object; got `a list`"),
        ] {
            let mut config = good();
            *config.pointer_mut(pointer).unwrap() = value;
            let told = read_topology(&config).unwrap_err().0;
            assert!(told.starts_with(error), "{told}");
        }
        assert_eq!(read_topology(&json!([])).unwrap_err().0, "config must be an object; got `a list`");
    }
}
