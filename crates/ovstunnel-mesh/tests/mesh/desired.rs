//! What holds of each mesh: every pair once in both directions, nobody else, no tunnel of a host to itself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ovstunnel_mesh::membership::Attachment;
use ovstunnel_mesh::{Endpoints, Mesh, Moment};
use ovstunnel_types::{GreKey, HostNumber, RemoteIp};
use proptest::prelude::*;

fn host(number: u64) -> HostNumber {
    number.try_into().unwrap()
}

fn ip(last: u64) -> RemoteIp {
    format!("192.0.2.{last}").parse().unwrap()
}

fn mesh(attachments: &BTreeMap<HostNumber, Attachment>, endpoints: &Endpoints) -> Mesh {
    Mesh::new(1.try_into().unwrap(), GreKey::try_from(1001).unwrap(), None, attachments, endpoints)
}

#[test]
fn an_address_on_two_hosts_is_refused_by_name() {
    let mut endpoints = Endpoints::new();
    assert_eq!(endpoints.set(host(1), ip(1)), Ok(None));
    assert_eq!(endpoints.set(host(1), ip(1)), Ok(None));
    let error = endpoints.set(host(2), ip(1)).unwrap_err();
    assert!(error.to_string().starts_with("address 192.0.2.1 of host 2 is host 1's"), "{error}");
    assert_eq!((endpoints.address_of(host(1)), endpoints.address_of(host(2))), (Some(ip(1)), None));
    // Once the first has moved, or is gone, the address is free.
    assert_eq!(endpoints.set(host(1), ip(3)), Ok(Some(ip(1))));
    assert_eq!(endpoints.set(host(2), ip(1)), Ok(None));
    endpoints.remove(host(2));
    assert_eq!(endpoints.set(host(3), ip(1)), Ok(None));
}

#[test]
fn five_hosts_have_ten_tunnels_each_in_both_directions() {
    let mut endpoints = Endpoints::new();
    let hosts = 1..=5;
    hosts.clone().for_each(|number| assert!(endpoints.set(host(number), ip(number)).is_ok()));
    let attachments = hosts.map(|number| (host(number), Attachment::In)).collect();
    let mesh = mesh(&attachments, &endpoints);
    assert_eq!((mesh.size(), mesh.wanted_tunnels()), (5, 20));
    let of_3: Vec<String> = mesh.tunnels_of(host(3)).map(|t| format!("{} {}", t.to, t.remote_ip)).collect();
    assert_eq!(of_3, ["1 192.0.2.1", "2 192.0.2.2", "4 192.0.2.4", "5 192.0.2.5"]);
}

fn any_attachment() -> impl Strategy<Value = Attachment> {
    let lingering = Attachment::Lingering { since: Moment(Duration::from_secs(1)) };
    prop::sample::select(vec![Attachment::In, Attachment::Out, lingering])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_pair_once_in_both_directions_and_nobody_else(
        attached in prop::collection::btree_map(1..12u64, any_attachment(), 0..12),
        with_address in prop::collection::btree_map(1..12u64, 1..20u64, 0..12),
    ) {
        let mut endpoints = Endpoints::new();
        for (number, last) in &with_address {
            let _ = endpoints.set(host(*number), ip(*last));
        }
        let attachments = attached.iter().map(|(number, attachment)| (host(*number), *attachment)).collect();
        let mesh = mesh(&attachments, &endpoints);
        let inside: BTreeSet<HostNumber> =
            attached.iter().filter(|(_, a)| **a != Attachment::Out).map(|(number, _)| host(*number)).collect();
        let all: Vec<(HostNumber, HostNumber)> =
            (1..12).flat_map(|from| mesh.tunnels_of(host(from)).map(move |tunnel| (host(from), tunnel.to))).collect();
        let pairs: BTreeSet<_> = all.iter().copied().collect();
        prop_assert_eq!(all.len(), pairs.len(), "a pair is there twice");
        for from in 1..12 {
            for to in 1..12 {
                let (from, to) = (host(from), host(to));
                let wanted = from != to && inside.contains(&from) && inside.contains(&to) && endpoints.address_of(to).is_some();
                prop_assert_eq!(pairs.contains(&(from, to)), wanted);
            }
        }
        for from in mesh.members() {
            prop_assert!(mesh.tunnels_of(from).all(|tunnel| Some(tunnel.remote_ip) == endpoints.address_of(tunnel.to)));
        }
        prop_assert_eq!(mesh.without_address().count(), inside.iter().filter(|host| endpoints.address_of(**host).is_none()).count());
        prop_assert!(attached.keys().all(|number| mesh.has_member(host(*number)) != mesh.has_left(host(*number))));
    }
}
