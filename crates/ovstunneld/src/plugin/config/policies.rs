//! `configure_ovs_bridge_for_routing_policies`: ACLs and the tiers that have them. Must not make an item wider than it says.
//!
//! The server sends an ACL once for each tier that has it, so one that several tiers share stands there several times.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::Ipv6Addr;

use ovstunnel_plan::{AclId, AclItem, Cidr, Direction, Policies, PortRange, Verdict};
use serde_json::Value;

use super::{BadConfig, Reader, vpc_part};

/// Reads policies.
pub(in crate::plugin) fn read_policies(config: &Value) -> Result<Policies, BadConfig> {
    let vpc = vpc_part(config)?;
    let mut acls = BTreeMap::new();
    if let Some(list) = vpc.optional_field("acls")? {
        for acl in list.items()? {
            let id = acl.required_field("id")?;
            match (acls.entry(id.parse::<AclId>()?), read_items(&acl)?) {
                (Entry::Vacant(first), items) => drop(first.insert(items)),
                (Entry::Occupied(first), items) if *first.get() == items => {}
                (Entry::Occupied(_), _) => return Err(id.bad_value("must not stand twice with different aclitems")),
            }
        }
    }
    let mut tiers = BTreeMap::new();
    for tier in vpc.required_field("tiers")?.items()? {
        let id = tier.required_field("id")?;
        let acl = match tier.optional_field("aclid")? {
            None => None,
            Some(acl) => {
                let known = Some(acl.parse()?).filter(|id| acls.contains_key(id));
                Some(known.ok_or_else(|| acl.bad_value("must be the id of one of vpc.acls"))?)
            }
        };
        if tiers.insert(id.parse()?, acl).is_some() {
            return Err(id.bad_value("must not stand twice"));
        }
    }
    Ok(Policies { acls, tiers })
}

/// The items, by direction and number. The server keeps numbers unique; of two that are equal the last one counts, for a refusal
/// would lose all others.
fn read_items(acl: &Reader<'_>) -> Result<Vec<AclItem>, BadConfig> {
    let Some(list) = acl.optional_field("aclitems")? else { return Ok(vec![]) };
    let mut items = BTreeMap::new();
    for reader in list.items()? {
        let item = read_item(&reader)?;
        if let Some(before) = items.insert((item.direction, item.number), item) {
            let twice = reader.required_field("number")?.bad_value("must not stand twice in one ACL and direction");
            let direction = match before.direction {
                Direction::Ingress => "ingress",
                Direction::Egress => "egress",
            };
            tracing::warn!(number = before.number, direction, "{twice}; the last one counts");
        }
    }
    Ok(items.into_values().collect())
}

fn read_item(reader: &Reader<'_>) -> Result<AclItem, BadConfig> {
    let number = reader.required_field("number")?;
    let rule = format!("must be a whole number from 0 to {}", AclItem::NUMBER_MAX);
    let protocol = read_protocol(&reader.required_field("protocol")?)?;
    Ok(AclItem {
        number: number
            .number(&rule)
            .and_then(|n| if n <= AclItem::NUMBER_MAX { Ok(n) } else { Err(number.bad_value(&rule)) })?,
        verdict: one_of(&reader.required_field("action")?, [("allow", Verdict::Allow), ("deny", Verdict::Deny)])?,
        direction: one_of(
            &reader.required_field("direction")?,
            [("ingress", Direction::Ingress), ("egress", Direction::Egress)],
        )?,
        protocol,
        ports: read_ports(reader, protocol)?,
        cidrs: read_cidrs(&reader.required_field("sourcecidrs")?)?,
    })
}

fn one_of<T: Copy>(reader: &Reader<'_>, words: [(&str, T); 2]) -> Result<T, BadConfig> {
    let text = reader.text()?;
    let found = words.iter().find(|(word, _)| *word == text).map(|(_, value)| *value);
    found.ok_or_else(|| reader.bad_value(&format!("must be {} or {}", words[0].0, words[1].0)))
}

/// The protocol's number; nothing where it is all of them.
fn read_protocol(reader: &Reader<'_>) -> Result<Option<u8>, BadConfig> {
    match reader.text()?.as_str() {
        "all" => Ok(None),
        "icmp" => Ok(Some(1)),
        "tcp" => Ok(Some(6)),
        "udp" => Ok(Some(17)),
        _ => reader.number("must be tcp, udp, icmp, all or a protocol number from 0 to 255").map(Some),
    }
}

fn read_ports(item: &Reader<'_>, protocol: Option<u8>) -> Result<Option<PortRange>, BadConfig> {
    let (start, end) = (item.optional_field("sourceportstart")?, item.optional_field("sourceportend")?);
    let Some(start) = start else {
        return end.map_or(Ok(None), |end| Err(end.bad_value("must not stand without sourceportstart")));
    };
    if !protocol.is_some_and(AclItem::has_ports) {
        return Err(start.bad_value("must not stand where the protocol has no ports"));
    }
    let rule = "must be a port number from 0 to 65535";
    let first: u16 = start.number(rule)?;
    let end = end.unwrap_or(start);
    let range = PortRange::new(first, end.number(rule)?);
    range.map(Some).ok_or_else(|| end.bad_value(&format!("must not be less than sourceportstart, {first}")))
}

/// The IPv4 networks; IPv6, which a VPC's bridge does not route, is left out.
fn read_cidrs(list: &Reader<'_>) -> Result<Vec<Cidr>, BadConfig> {
    let mut cidrs = Vec::new();
    let mut any = false;
    for reader in list.items()? {
        any = true;
        let text = reader.text()?;
        let ipv6 = text.split_once('/').is_some_and(|(ip, _)| ip.parse::<Ipv6Addr>().is_ok());
        if !ipv6 {
            cidrs.push(reader.ipv4_network()?);
        }
    }
    cidrs.sort_unstable();
    cidrs.dedup();
    if any { Ok(cidrs) } else { Err(list.bad_value("must have at least one network")) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const UUID: &str = "00000000-0000-4000-8000-000000000001";

    fn with_item(item: &Value) -> Value {
        json!({"vpc": {"cidr": "10.1.0.0/16", "id": "7", "tiers": [{"id": UUID, "cidr": "10.1.1.0/24", "aclid": "a1"}],
            "acls": [{"id": "a1", "aclitems": [item]}]}})
    }

    fn good() -> Value {
        json!({"number": 10, "uuid": "u", "action": "allow", "direction": "ingress", "sourceportstart": "80",
            "sourceportend": 443, "protocol": "tcp", "sourcecidrs": ["0.0.0.0/0", "10.1.2.0/24", "::/0"]})
    }

    fn changed(field: &str, value: Value) -> Value {
        let mut item = good();
        item[field] = value;
        with_item(&item)
    }

    #[test]
    fn an_item_is_read_with_numbers_of_either_kind() {
        let policies = read_policies(&with_item(&good())).unwrap();
        let [item] = policies.items_of(UUID.parse().unwrap()) else { panic!("{policies:?}") };
        assert_eq!((item.number, item.verdict, item.direction), (10, Verdict::Allow, Direction::Ingress));
        assert_eq!((item.protocol, item.ports), (Some(6), PortRange::new(80, 443)));
        assert_eq!(item.cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0.0.0.0/0", "10.1.2.0/24"]);
    }

    #[test]
    fn protocols_are_words_or_numbers_and_ports_may_be_absent() {
        for (protocol, number) in
            [(json!("all"), None), (json!("icmp"), Some(1)), (json!(47), Some(47)), (json!("17"), Some(17))]
        {
            let mut config = changed("protocol", protocol);
            let item = config.pointer_mut("/vpc/acls/0/aclitems/0").unwrap();
            (item["sourceportstart"], item["sourceportend"]) = (json!(null), json!(null));
            let policies = read_policies(&config).unwrap();
            assert_eq!(policies.items_of(UUID.parse().unwrap())[0].protocol, number);
        }
    }

    #[test]
    fn a_tier_may_have_no_acl() {
        let config =
            json!({"vpc": {"tiers": [{"id": UUID}, {"id": "00000000-0000-4000-8000-000000000002", "aclid": null}]}});
        let policies = read_policies(&config).unwrap();
        assert_eq!(policies.tiers.len(), 2);
        assert!(policies.items_of(UUID.parse().unwrap()).is_empty());
    }

    #[test]
    fn cidrs_with_host_bits_are_their_networks() {
        let config = changed("sourcecidrs", json!(["10.1.2.77/24", "10.1.2.78/24", "10.9.9.9/0"]));
        let policies = read_policies(&config).unwrap();
        let cidrs = &policies.items_of(UUID.parse().unwrap())[0].cidrs;
        assert_eq!(cidrs.iter().map(ToString::to_string).collect::<Vec<_>>(), ["0.0.0.0/0", "10.1.2.0/24"]);
    }

    #[test]
    fn of_two_items_with_one_number_and_direction_the_last_counts() {
        let mut config = with_item(&good());
        let items = config.pointer_mut("/vpc/acls/0/aclitems").unwrap().as_array_mut().unwrap();
        for (field, value) in [("action", json!("deny")), ("direction", json!("egress"))] {
            let mut item = good();
            item[field] = value;
            items.push(item);
        }
        let policies = read_policies(&config).unwrap();
        let items = policies.items_of(UUID.parse().unwrap());
        let told: Vec<_> = items.iter().map(|item| (item.direction, item.verdict)).collect();
        assert_eq!(told, [(Direction::Ingress, Verdict::Deny), (Direction::Egress, Verdict::Allow)]);
    }

    /// As `default_allow` and `default_deny` come where two tiers have them.
    #[test]
    fn an_acl_that_two_tiers_share_stands_twice_and_is_one() {
        let other = "00000000-0000-4000-8000-000000000002";
        let mut config = with_item(&good());
        let twice = config["vpc"]["acls"][0].clone();
        config["vpc"]["acls"].as_array_mut().unwrap().push(twice);
        let tiers = config["vpc"]["tiers"].as_array_mut().unwrap();
        tiers.push(json!({"id": other, "cidr": "10.1.2.0/24", "aclid": "a1"}));
        let shared = read_policies(&config).unwrap();
        assert_eq!(shared.acls.len(), 1);
        assert_eq!(shared.items_of(UUID.parse().unwrap()), shared.items_of(other.parse().unwrap()));
        // Other words for the same are the same.
        config["vpc"]["acls"][1]["aclitems"][0]["protocol"] = json!(6);
        assert_eq!(read_policies(&config).unwrap(), shared);
        config["vpc"]["acls"][1]["aclitems"][0]["action"] = json!("deny");
        assert_eq!(
            read_policies(&config).unwrap_err().0,
            "vpc.acls[1].id must not stand twice with different aclitems; got `a1`"
        );
    }

    #[test]
    fn a_bad_part_is_named_with_its_rule_and_value() {
        let told = |config: Value| read_policies(&config).unwrap_err().0;
        let place = "vpc.acls[0].aclitems[0].";
        for (field, value, error) in [
            ("number", json!(64536), "number must be a whole number from 0 to 64535; got `64536`"),
            ("number", json!("-1"), "number must be a whole number from 0 to 64535; got `-1`"),
            ("action", json!("permit"), "action must be allow or deny; got `permit`"),
            ("direction", json!(null), "direction is required"),
            (
                "protocol",
                json!("gre"),
                "protocol must be tcp, udp, icmp, all or a protocol number from 0 to 255; got `gre`",
            ),
            ("protocol", json!("icmp"), "sourceportstart must not stand where the protocol has no ports; got `80`"),
            ("sourceportend", json!(79), "sourceportend must not be less than sourceportstart, 80; got `79`"),
            ("sourceportend", json!("65536"), "sourceportend must be a port number from 0 to 65535; got `65536`"),
            ("sourceportstart", json!(null), "sourceportend must not stand without sourceportstart; got `443`"),
            ("sourcecidrs", json!([]), "sourcecidrs must have at least one network; got `a list`"),
            (
                "sourcecidrs",
                json!(["10.1.1.1/33"]),
                "sourcecidrs[0] must be an IPv4 network in CIDR notation, such as 10.1.1.0/24; got `10.1.1.1/33`",
            ),
        ] {
            assert_eq!(told(changed(field, value)), format!("{place}{error}"));
        }
        let mut dangling = with_item(&good());
        dangling["vpc"]["tiers"][0]["aclid"] = json!("a2");
        assert_eq!(told(dangling), "vpc.tiers[0].aclid must be the id of one of vpc.acls; got `a2`");
    }
}
