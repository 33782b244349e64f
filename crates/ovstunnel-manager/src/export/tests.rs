//! What has to change, row by row.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ovstunnel_api::TunnelState;
use ovstunnel_manager_api::HostTunnel;
use ovstunnel_store::cloudstack::{Endpoint, Host, Member, Network, Tables, Tunnel};

use super::*;
use crate::import::compare::SeenHost;

fn host(id: u64, zone: u64) -> Host {
    Host { id, name: format!("xen{id}"), zone: Some(zone), hypervisor: None, is_removed: id == 4 }
}

fn network(id: u64, uri: Option<&str>) -> Network {
    let (name, uri) = (Some(format!("n{id}")), uri.map(str::to_owned));
    Network { id, name, zone: Some(1), physical_network: Some(200), domain_type: None, uri, is_removed: false }
}

fn row(id: u64, from: u64, to: u64, network: u64, port: &str, state: &str) -> Tunnel {
    let key = if network == 204 { 1001 } else { 1002 };
    Tunnel { id, from, to, network, key, port: Some(port.to_owned()), state: Some(state.to_owned()) }
}

fn endpoint(id: u64, ip: Option<&str>, host: u64, label: &str) -> Endpoint {
    Endpoint { id, ip: ip.map(str::to_owned), host: Some(host), label: Some(label.to_owned()) }
}

fn tunnel(from: u64, to: u64, state: TunnelState) -> HostTunnel {
    let port = format!("t1001-{from}-{to}");
    HostTunnel { bridge: "b".into(), port, key: 1001, to: to.to_string(), remote_ip: format!("192.0.2.{to}"), state }
}

/// Hosts 1 and 2 have a VM of network 204 each and are whole; 3 is silent, 4 removed, 9 of another zone.
fn tables() -> Tables {
    let member = |host| Member { network: 204, host };
    Tables {
        hosts: vec![host(1, 1), host(2, 1), host(3, 1), host(4, 1), host(9, 2)],
        networks: vec![network(204, Some("vs://1001")), network(205, Some("vs://7.1002")), network(206, None)],
        endpoints: vec![endpoint(5, Some("0"), 0, "lock"), endpoint(6, Some("192.0.2.1"), 1, "sim0")],
        tunnels: vec![
            row(1, 0, 0, 0, "lock", "SUCCESS"),
            row(2, 1, 2, 204, "t1001-1-2", "Established"),
            row(3, 2, 1, 204, "t1001-2-1", "Established"),
            row(4, 9, 1, 204, "t1001-9-1", "Failed"),
        ],
        members: vec![member(1), member(2)],
        ..Tables::default()
    }
}

fn picture() -> Picture {
    let seen = |number: u64, ip: Option<&str>, tunnels| {
        let (ip, mac) = (ip.map(str::to_owned), Some("02:00:00:00:00:01".to_owned()));
        (number, SeenHost { name: format!("h{number}"), label: "sim0".into(), ip, netmask: None, mac, tunnels })
    };
    let up = |from, to| Some(vec![tunnel(from, to, TunnelState::Up)]);
    let hosts = [seen(1, Some("192.0.2.1"), up(1, 2)), seen(2, None, up(2, 1)), seen(3, Some("192.0.2.3"), None)];
    Picture { hosts: hosts.into() }
}

fn whys(tables: &Tables, picture: &Picture) -> Vec<String> {
    let plan = plan_export(tables, 1, picture, States::Cloudstack).unwrap();
    plan.items.into_iter().map(|item| item.why).collect()
}

#[test]
fn a_zone_that_is_recorded_as_it_is_has_nothing_to_change() {
    assert_eq!(plan_export(&tables(), 1, &picture(), States::Cloudstack), Ok(Plan::default()));
    // The other words are another state, as CloudStack compares them.
    let other = plan_export(&tables(), 1, &picture(), States::Specification).unwrap();
    let sql: Vec<String> = other.items.iter().map(|item| item.change.to_sql().unwrap()).collect();
    assert_eq!(sql.len(), 2);
    assert!(
        sql[0].contains("SET `key` = 1001, `port_name` = 't1001-1-2', `state` = 'SUCCESS' WHERE `id` = 2"),
        "{sql:?}"
    );
}

#[test]
fn each_row_becomes_what_the_host_has() {
    let (mut tables, mut picture) = (tables(), picture());
    tables.tunnels[1].state = Some("Created".to_owned());
    tables.tunnels[2].port = None;
    picture.hosts.get_mut(&2).unwrap().tunnels = Some(vec![tunnel(2, 1, TunnelState::Error)]);
    assert_eq!(
        whys(&tables, &picture),
        [
            "network 204 (n204): host 1 (xen1) to host 2 (xen2): it is up, and recorded as Created, port t1001-1-2, key 1001",
            "network 204 (n204): host 2 (xen2) to host 1 (xen1): it is there, and not up, and recorded as Established, \
             port NULL, key 1001",
        ]
    );
    // A tunnel that is not there: failed where VMs need it, else nothing. One that is not recorded: a row with a free id.
    picture.hosts.get_mut(&2).unwrap().tunnels = Some(vec![]);
    tables.tunnels.remove(1);
    let plan = plan_export(&tables, 1, &picture, States::Cloudstack).unwrap();
    let before = tables.tunnels[1].clone();
    let after = Tunnel { port: Some("[]".to_owned()), state: Some("Failed".to_owned()), ..before.clone() };
    assert_eq!(plan.items[0].change, Change::SetTunnel { before: before.clone(), after });
    assert_eq!(plan.items[1].change, Change::AddTunnel(row(5, 1, 2, 204, "t1001-1-2", "Established")));
    tables.members.clear();
    assert_eq!(
        super::plan_export(&tables, 1, &picture, States::Cloudstack).unwrap().items[0].change,
        Change::RemoveTunnel(before)
    );
}

#[test]
fn what_is_gone_goes_and_what_is_not_known_stays() {
    let mut tables = tables();
    tables.tunnels.push(row(5, 1, 4, 204, "t1001-1-4", "Established"));
    tables.tunnels.push(row(6, 1, 2, 206, "t1002-1-2", "Established"));
    tables.tunnels.push(row(7, 3, 1, 204, "t1001-3-1", "Created"));
    tables.endpoints.push(endpoint(7, Some("192.0.2.4"), 4, "sim0"));
    tables.endpoints.push(endpoint(8, Some("192.0.2.1"), 1, "sim0"));
    tables.endpoints.push(endpoint(9, None, 3, "sim0"));
    tables.endpoints[1].ip = Some("192.0.2.77".to_owned());
    assert_eq!(
        whys(&tables, &picture()),
        [
            "host 1 (xen1) says 192.0.2.1, and recorded is 192.0.2.77",
            "host 4 is not there any more",
            "host 1 (xen1) has another row for the same label",
            "host 3 (xen3) has no address there: CloudStack asks it again",
            "network 204 (n204): host 1 (xen1) to host 4 (xen4): host 4 (xen4) is not there any more",
            "network 206 (n206): host 1 (xen1) to host 2 (xen2): the network is shut down and has no key",
        ]
        .map(|why| why.replace("host 4 is", "host 4 (xen4) is"))
    );
    let left = plan_export(&tables, 1, &picture(), States::Cloudstack).unwrap().left;
    assert_eq!(left, ["1 rows of tunnels from host 3 (xen3), which is not heard of"]);
    // Two networks with one key: nobody can tell whose tunnels these are.
    tables.networks[1].uri = Some("vs://1001".to_owned());
    let plan = plan_export(&tables, 1, &picture(), States::Cloudstack).unwrap();
    assert!(plan.left.iter().any(|left| left == "network 205 (n205) and network 204 (n204) have the same key 1001"));
    assert!(!plan.items.iter().any(|item| matches!(item.change, Change::SetTunnel { .. } | Change::AddTunnel(_))));
    tables.missing = vec!["op_dc_vnet_alloc", "nics"];
    assert_eq!(super::plan_export(&tables, 1, &picture(), States::Cloudstack), Err(vec!["nics"]));
}
