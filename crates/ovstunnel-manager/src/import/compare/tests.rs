//! Each kind of difference, planted one at a time in a zone in which nothing differs.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ovstunnel_api::TunnelState;
use ovstunnel_store::cloudstack::{CloudZone, Endpoint, Host, Member, Network, PhysicalNetwork, TakenKey, Tunnel};

use super::*;

fn host(id: u64) -> Host {
    let hypervisor = Some("XenServer".to_owned());
    Host { id, name: format!("xen{id}"), zone: Some(1), hypervisor, is_removed: false }
}

fn network(id: u64, uri: &str) -> Network {
    Network {
        id,
        name: Some(format!("n{id}")),
        zone: Some(1),
        physical_network: Some(200),
        domain_type: Some("Vswitch".to_owned()),
        uri: Some(uri.to_owned()),
        is_removed: false,
    }
}

fn taken(vnet: &str) -> TakenKey {
    TakenKey { vnet: Some(vnet.to_owned()), physical_network: Some(200), zone: Some(1) }
}

fn endpoint(id: u64, ip: &str, host: u64, label: &str) -> Endpoint {
    Endpoint { id, ip: Some(ip.to_owned()), host: Some(host), label: Some(label.to_owned()) }
}

fn row(id: u64, from: u64, to: u64, network: u64, key: u64, state: &str) -> Tunnel {
    let port = Some(format!("t{key}-{from}-{to}"));
    Tunnel { id, from, to, network, key, port, state: Some(state.to_owned()) }
}

fn lock(id: u64) -> Tunnel {
    Tunnel { port: Some("lock".to_owned()), ..row(id, 0, 0, 0, 0, "SUCCESS") }
}

/// Two hosts and two networks: one alone, and a tier of a VPC. States are of both families.
fn tables() -> Tables {
    let physical = PhysicalNetwork {
        id: 200,
        name: Some("guest".to_owned()),
        zone: Some(1),
        vnet: Some("1001-1010,2000".to_owned()),
        methods: vec!["GRE".to_owned()],
        label_xen: Some("cloud-guest".to_owned()),
        label_kvm: None,
    };
    let member = |network, host| Member { network, host };
    Tables {
        zones: vec![CloudZone { id: 1, name: "dc1".to_owned() }],
        hosts: vec![host(1), host(2), Host { is_removed: true, ..host(3) }, Host { zone: Some(2), ..host(9) }],
        networks: vec![network(204, "vs://1001"), network(205, "vs://7.1002")],
        physical_networks: vec![physical],
        taken: vec![taken("1001"), taken("1002")],
        endpoints: vec![
            endpoint(5, "0", 0, "lock"),
            endpoint(6, "192.0.2.1", 1, "cloud-guest"),
            endpoint(7, "192.0.2.2", 2, "cloud-guest"),
        ],
        tunnels: vec![
            lock(1),
            row(2, 1, 2, 204, 1001, "SUCCESS"),
            row(3, 2, 1, 204, 1001, "success"),
            row(4, 1, 2, 205, 1002, "Established"),
            row(5, 2, 1, 205, 1002, "ESTABLISHED"),
        ],
        members: vec![member(204, 1), member(204, 2), member(205, 1), member(205, 2), member(300, 9)],
        ..Tables::default()
    }
}

fn tunnel(key: u32, from: u64, to: u64) -> HostTunnel {
    HostTunnel {
        bridge: format!("xapi{key}"),
        port: format!("t{key}-{from}-{to}"),
        key,
        to: to.to_string(),
        remote_ip: format!("192.0.2.{to}"),
        state: TunnelState::Up,
    }
}

fn picture() -> Picture {
    let seen = |number: u64, to: u64| {
        let tunnels = Some(vec![tunnel(1001, number, to), tunnel(1002, number, to)]);
        let (name, label, ip) = (format!("xen{number}"), "cloud-guest".to_owned(), Some(format!("192.0.2.{number}")));
        (number, SeenHost { name, label, ip, tunnels, ..SeenHost::default() })
    };
    Picture { hosts: [seen(1, 2), seen(2, 1)].into() }
}

fn told(found: &[Finding]) -> Vec<String> {
    found.iter().map(|finding| format!("{}: {}", finding.what.word(), finding.evidence)).collect()
}

#[test]
fn nothing_differs_in_a_zone_that_is_as_it_must_be() {
    let (tables, picture) = (tables(), picture());
    assert_eq!(told(&compare(&tables, 1, Some(&picture))), Vec::<String>::new());
    assert_eq!(told(&compare(&tables, 1, None)), Vec::<String>::new());
    // The lock rows of an installation that began with 4.x.
    let mut other = tables;
    other.endpoints[0].id = 1;
    other.tunnels[0].id = 5;
    assert_eq!(told(&compare(&other, 1, Some(&picture))), Vec::<String>::new());
}

/// What is changed, and all that must be told of it.
type Case = (fn(&mut Tables, &mut Picture), &'static [&'static str]);

fn seen(picture: &mut Picture, number: u64) -> &mut SeenHost {
    picture.hosts.get_mut(&number).unwrap()
}

const CASES: &[Case] = &[
    // Tables and lock rows.
    (
        |t, _| {
            t.missing = vec!["op_dc_vnet_alloc"];
            t.taken.clear();
        },
        &["table_missing: there is no table op_dc_vnet_alloc"],
    ),
    (|t, _| drop(t.tunnels.remove(0)), &["lock_row_missing: ovs_tunnel_network has no lock row"]),
    (|t, _| t.tunnels[0].id = 8, &["lock_row_wrong: the lock row of ovs_tunnel_network has the id 8, and not 1 or 5"]),
    (
        |t, _| t.endpoints[0].host = Some(4),
        &[
            "lock_row_missing: ovs_tunnel_interface has no lock row",
            "lock_row_wrong: row 5 of ovs_tunnel_interface has only a part of what a lock row has",
        ],
    ),
    (|t, _| t.tunnels.push(lock(9)), &["lock_row_wrong: ovs_tunnel_network has 2 lock rows"]),
    // Keys.
    (
        |t, _| t.physical_networks[0].vnet = Some("0-4096".to_owned()),
        &[
            "range_unreadable: physical network 200 has the range \"0-4096\": it must be a whole number from 1 to 2147483647",
        ],
    ),
    (
        |t, _| t.physical_networks[0].methods = vec!["VLAN".to_owned()],
        &["isolation_not_gre: physical network 200 carries network 204 (n204), and GRE is not its isolation method"],
    ),
    (
        |t, _| t.networks.push(network(206, "vs://0")),
        &["uri_unreadable: network 206 (n206) has the URI \"vs://0\", which names no key from 1 to 2147483647"],
    ),
    (
        |t, _| t.networks.push(network(206, "vs://9.1001")),
        &["key_doubled: key 1001 is that of network 204 (n204) and of network 206 (n206)"],
    ),
    (
        |t, _| drop(t.taken.remove(1)),
        &["key_not_taken: network 205 (n205) has the key 1002, which is not taken in op_dc_vnet_alloc"],
    ),
    (
        |t, _| {
            t.networks.push(network(206, "vs://3000"));
            t.taken.push(taken("3000"));
        },
        &[
            "key_out_of_range: network 206 (n206) has the key 3000, and its physical network 200 has the range 1001-1010,2000",
        ],
    ),
    (
        |t, _| t.taken.push(taken("1003")),
        &["key_leaked: key \"1003\" of physical network 200 is taken, and no network has it"],
    ),
    // Hosts and endpoints.
    (
        |t, p| {
            t.hosts.push(host(4));
            t.hosts.push(Host { zone: Some(2), ..host(5) });
            p.hosts.insert(8, SeenHost { name: "h8".into(), tunnels: Some(vec![]), ..SeenHost::default() });
        },
        &[
            "host_not_registered: host 4 (xen4) is not registered with the manager",
            "host_unknown: h8, number 8, is no host of CloudStack's zone",
        ],
    ),
    (|_, p| seen(p, 2).tunnels = None, &["host_silent: xen2, number 2, is not heard of: its tunnels are not compared"]),
    (
        |_, p| seen(p, 1).label = "eth1".to_owned(),
        &["label_differs: host 1 (xen1): CloudStack asks for \"cloud-guest\", the manager for \"eth1\""],
    ),
    (
        |t, _| t.physical_networks[0].label_xen = None,
        &[
            "label_differs: host 1 (xen1): CloudStack asks for \"cloud-public\", the manager for \"cloud-guest\"",
            "label_differs: host 2 (xen2): CloudStack asks for \"cloud-public\", the manager for \"cloud-guest\"",
        ],
    ),
    (
        |t, _| t.endpoints.push(endpoint(8, "192.0.2.1", 1, "cloud-guest")),
        &["endpoint_doubled: host 1 (xen1) has the rows 6, 8 for the label \"cloud-guest\""],
    ),
    (|t, _| t.endpoints[1].ip = None, &["endpoint_empty: row 6 of host 1 (xen1) has the address \"NULL\""]),
    (
        |t, _| t.endpoints.push(endpoint(8, "192.0.2.1", 2, "other")),
        &["address_shared: 192.0.2.1 is the address of host 1 (xen1) and of host 2 (xen2)"],
    ),
    (
        |_, p| seen(p, 1).ip = Some("192.0.2.77".to_owned()),
        &["endpoint_differs: host 1 (xen1) says 192.0.2.77 for the label \"cloud-guest\", and row 6 has 192.0.2.1"],
    ),
    // Rows of what is gone.
    (
        |t, _| {
            t.tunnels.push(row(8, 3, 1, 204, 1001, "SUCCESS"));
            t.endpoints.push(endpoint(8, "192.0.2.3", 3, "cloud-guest"));
        },
        &["rows_of_host: host 3 (xen3) was removed, and has 1 rows of tunnels and 1 of endpoints"],
    ),
    (
        |t, _| {
            t.networks.push(Network { uri: None, ..network(206, "") });
            t.tunnels.push(row(8, 1, 2, 206, 1005, "SUCCESS"));
            t.tunnels.push(row(9, 2, 1, 207, 1006, "FAILED"));
        },
        &[
            "rows_of_network: network 206 (n206) has 1 rows of tunnels, and the network is shut down and has no key",
            "rows_of_network: network 207 has 1 rows of tunnels, and there is no such network",
        ],
    ),
    // Rows and VMs.
    (
        |t, _| t.members.retain(|member| *member != Member { network: 204, host: 2 }),
        &["rows_left: network 204 (n204): host 2 (xen2) has 2 rows of tunnels, and no VM"],
    ),
    (
        |t, p| {
            t.tunnels.truncate(3);
            seen(p, 1).tunnels = Some(vec![tunnel(1001, 1, 2)]);
            seen(p, 2).tunnels = Some(vec![tunnel(1001, 2, 1)]);
        },
        &["row_missing: network 205 (n205): host 1 (xen1) and host 2 (xen2) have VMs, and no row of a tunnel"],
    ),
    (
        |t, p| {
            t.tunnels.remove(2);
            seen(p, 2).tunnels = Some(vec![tunnel(1002, 2, 1)]);
        },
        &["one_sided: network 204 (n204): host 1 (xen1) to host 2 (xen2), and there is no row of the way back"],
    ),
    (
        |t, _| {
            t.networks[0].uri = Some("vs://1003".to_owned());
            t.taken[0] = taken("1003");
        },
        &["row_key_differs: network 204 (n204) has 2 rows of tunnels with the key 1001, and another one now"],
    ),
    // States, and what the hosts have.
    (
        |t, _| t.tunnels[1].state = Some("FAILED".to_owned()),
        &[
            "row_failed: network 204 (n204): host 1 (xen1) to host 2 (xen2) is FAILED; the host has the tunnel, and it is up",
        ],
    ),
    (
        |t, p| {
            t.tunnels[1] = Tunnel { port: Some("[]".to_owned()), ..row(2, 1, 2, 204, 1001, "created") };
            seen(p, 1).tunnels.as_mut().unwrap().remove(0);
        },
        &[
            "row_created: network 204 (n204): host 1 (xen1) to host 2 (xen2) is created; the host does not have the tunnel",
        ],
    ),
    (
        |t, p| {
            t.tunnels[1].state = None;
            seen(p, 1).tunnels = None;
        },
        &[
            "host_silent: xen1, number 1, is not heard of: its tunnels are not compared",
            "row_failed: network 204 (n204): host 1 (xen1) to host 2 (xen2) is NULL",
        ],
    ),
    (
        |_, p| drop(seen(p, 1).tunnels.as_mut().unwrap().remove(0)),
        &[
            "tunnel_absent: network 204 (n204): host 1 (xen1) to host 2 (xen2) is recorded with the key 1001, and the host does not have it",
        ],
    ),
    (
        |_, p| {
            let tunnels = seen(p, 1).tunnels.as_mut().unwrap();
            tunnels.push(HostTunnel {
                to: "dc2-h7".to_owned(),
                remote_ip: "192.0.2.7".to_owned(),
                ..tunnel(1001, 1, 7)
            });
            tunnels.push(tunnel(1009, 1, 2));
        },
        &[
            "tunnel_unrecorded: xen1: port t1001-1-7 on bridge xapi1001, with the key 1001, leads to host dc2-h7 at 192.0.2.7",
            "tunnel_unrecorded: xen1: port t1009-1-2 on bridge xapi1009, with the key 1009, leads to host 2 at 192.0.2.2",
        ],
    ),
    (
        |t, _| t.tunnels[3].port = None,
        &[
            "port_differs: network 205 (n205): host 1 (xen1) to host 2 (xen2) has the port t1002-1-2, and the row \"NULL\"",
        ],
    ),
    // Other zones are nobody's business here; a migrating VM's hosts are both in.
    (
        |t, _| {
            t.networks.push(Network { zone: Some(2), ..network(300, "vs://1001") });
            t.tunnels.push(row(8, 9, 1, 300, 1001, "FAILED"));
            t.endpoints.push(endpoint(8, "192.0.2.1", 9, "cloud-guest"));
        },
        &[],
    ),
    // What a name holds is shown without what could command a terminal.
    (
        |t, _| {
            t.hosts[0].name = "a\u{1b}[2Jb".to_owned();
            t.endpoints[1].ip = Some("x".repeat(300));
        },
        &["endpoint_empty: row 6 of host 1 (a\\u{1b}[2Jb) has the address "],
    ),
];

#[test]
fn each_difference_is_told_and_nothing_else() {
    let mut kinds = std::collections::BTreeSet::new();
    for (index, (change, wanted)) in CASES.iter().enumerate() {
        let (mut tables, mut picture) = (tables(), picture());
        change(&mut tables, &mut picture);
        let found = compare(&tables, 1, Some(&picture));
        kinds.extend(found.iter().map(|finding| finding.what));
        let found = told(&found);
        let same = found.len() == wanted.len()
            && found
                .iter()
                .zip(*wanted)
                .all(|(found, wanted)| found == wanted || wanted.ends_with(' ') && found.starts_with(wanted));
        assert!(same, "case {index}: {found:#?}\nwanted: {wanted:#?}");
    }
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), Kind::ALL, "each kind has a case");
}

#[test]
fn a_finding_names_its_place_by_numbers_too() {
    let (mut tables, picture) = (tables(), picture());
    tables.tunnels[1].state = Some("Failed".to_owned());
    let found = serde_json::to_value(compare(&tables, 1, Some(&picture))).unwrap();
    let finding = &found[0];
    let place = ["what", "network", "host", "to", "key"].map(|field| finding[field].to_string());
    assert_eq!(place, ["\"row_failed\"", "204", "1", "2", "1001"]);
    assert!(finding["remedy"].as_str().unwrap().contains("zone proof"), "{finding}");
}
