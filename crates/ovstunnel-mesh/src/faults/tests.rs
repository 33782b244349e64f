//! Which fault each kind of finding makes, and whether planted places are named.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
use ovstunnel_types::NetworkNumber;

use super::*;
use crate::membership::Attachment;
use crate::{Endpoints, Mesh};

fn host(n: u64) -> HostNumber {
    HostNumber::try_from(n).unwrap()
}

fn key(n: i64) -> GreKey {
    GreKey::try_from(n).unwrap()
}

fn mesh(k: i64, hosts: impl IntoIterator<Item = u64>) -> Mesh {
    let attachments = hosts.into_iter().map(|n| (host(n), Attachment::In)).collect();
    let number = NetworkNumber::try_from(u64::try_from(k).unwrap()).unwrap();
    Mesh::new(number, key(k), None, &attachments, &Endpoints::new())
}

fn found(what: What, at: u64, to: Option<u64>) -> Finding {
    let evidence = format!("{} on {at}", what.as_str());
    Finding { what, host: host(at), to: to.map(host), evidence, remedy: "see to it".into() }
}

/// The kinds and places of the faults that these findings make, each since it is found.
fn named(findings: &[(i64, Finding)], shape: &Shape) -> Vec<(&'static str, At)> {
    let symptoms: Vec<Symptom<'_>> =
        findings.iter().map(|(k, finding)| Symptom { key: key(*k), finding, since: Moment::default() }).collect();
    find_faults(&symptoms, shape).into_iter().map(|fault| (fault.kind(), fault.at)).collect()
}

/// Five hosts with network 1; 1, 2 and 3 with network 2, 1 and 2 with network 3.
fn small() -> Shape {
    let meshes = [mesh(1, 1..=5), mesh(2, 1..=3), mesh(3, 1..=2)];
    Shape::new(meshes.iter(), std::iter::empty())
}

fn place(place: Place, failed: u64, of: u64) -> At {
    At::Place { place, failed, of }
}

#[test]
fn one_missing_end_is_one_sided_and_both_are_a_tunnel_or_a_pair() {
    let missing = |k, from, to| (k, found(What::TunnelMissing, from, Some(to)));
    let way = Way { key: key(1), from: host(4), to: host(5) };
    assert_eq!(named(&[missing(1, 4, 5)], &small()), [("one_sided", place(Place::Way(way), 1, 1))]);
    let pair = place(Place::Pair(host(4), host(5)), 2, 2);
    assert_eq!(named(&[missing(1, 4, 5), missing(1, 5, 4)], &small()), [("pair", pair)]);
    // They share two networks more, in which all is well.
    let link = place(Place::Link(key(1), host(1), host(2)), 2, 2);
    assert_eq!(named(&[missing(1, 1, 2), missing(1, 2, 1)], &small()), [("tunnel", link)]);
    let direction = place(Place::Direction(host(1), host(2)), 3, 3);
    assert_eq!(named(&[missing(1, 1, 2), missing(2, 1, 2), missing(3, 1, 2)], &small()), [("direction", direction)]);
}

#[test]
fn what_others_have_wrong_of_one_host_is_said_once_of_that_host() {
    let wrong = |k, from| (k, found(What::WrongAddress, from, Some(1)));
    let all: Vec<_> = (2..=5).map(|n| wrong(1, n)).chain([wrong(2, 2), wrong(2, 3), wrong(3, 2)]).collect();
    assert_eq!(named(&all, &small()), [("host_in", place(Place::HostIn(host(1)), 7, 7))]);
    // Six of seven are no nine of ten: it is not the host.
    assert!(named(&all[1..], &small()).iter().all(|(kind, _)| *kind != "host_in"), "{:?}", named(&all[1..], &small()));
}

#[test]
fn an_unreachable_host_hides_its_last_report_and_nothing_else() {
    let all = [
        (1, found(What::HostSilent, 1, None)),
        (2, found(What::HostSilent, 1, None)),
        (1, found(What::TunnelMissing, 1, Some(2))),
        (1, found(What::FlowsNotInSync, 1, None)),
        (1, found(What::TunnelMissing, 3, Some(1))),
    ];
    let symptoms: Vec<_> =
        all.iter().map(|(k, finding)| Symptom { key: key(*k), finding, since: Moment::default() }).collect();
    let faults = find_faults(&symptoms, &small());
    let silent = &faults[0];
    assert_eq!((silent.kind(), silent.at, silent.hides), ("host_silent", At::Host(host(1)), 3));
    assert_eq!(silent.keys, BTreeSet::from([key(1), key(2)]));
    let at_three = Place::Way(Way { key: key(1), from: host(3), to: host(1) });
    assert_eq!((faults.len(), faults[1].kind(), faults[1].at), (2, "one_sided", place(at_three, 1, 1)));
}

#[test]
fn tunnels_to_a_host_without_a_known_address_are_no_own_faults() {
    let all = [(1, found(What::AddressUnknown, 1, None)), (1, found(What::TunnelMissing, 2, Some(1)))];
    assert_eq!(named(&all, &small()), [("address_unknown", At::Host(host(1)))]);
}

#[test]
fn needs_of_a_bridge_that_are_different_are_different_faults() {
    let other = Finding { remedy: "another".into(), ..found(What::Unhealthy, 1, None) };
    let all = [(1, found(What::Unhealthy, 1, None)), (1, other)];
    assert_eq!(named(&all, &small()).len(), 2);
    let all = [(1, found(What::Ipv6Mixed, 1, None)), (1, found(What::Ipv6Mixed, 2, None))];
    assert_eq!(named(&all, &small()), [("ipv6_mixed", At::Network(key(1)))]);
}

/// Numbers that look random and are the same in each run (Lehmer, 2^31 - 1).
struct Draw(u64);

impl Draw {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0 * 48271 % 0x7fff_ffff;
        self.0 % n
    }
}

/// 120 hosts in 12 racks, 120 networks of 2 to 13 hosts.
fn large(draw: &mut Draw) -> (Shape, Vec<Mesh>) {
    let meshes: Vec<Mesh> = (1..=120)
        .map(|k| {
            let size = 2 + draw.below(12);
            let hosts: Vec<u64> = (0..size).map(|_| 1 + draw.below(120)).collect();
            mesh(k, hosts)
        })
        .collect();
    let names: Vec<String> = (0..12).map(|n| format!("r{n}")).collect();
    let racks: Vec<_> = (1..=120).map(|n| (host(n), names[usize::try_from(n % 12).unwrap()].as_str())).collect();
    (Shape::new(meshes.iter(), racks.into_iter()), meshes)
}

#[test]
fn of_500_planted_faults_95_percent_are_named_and_nothing_else() {
    let mut draw = Draw(20_261);
    let (shape, meshes) = large(&mut draw);
    let all: Vec<Way> = meshes
        .iter()
        .flat_map(|mesh| {
            let ways =
                |from| mesh.members().filter(move |to| *to != from).map(move |to| Way { key: mesh.key, from, to });
            mesh.members().flat_map(ways).collect::<Vec<_>>()
        })
        .collect();
    let mut right = 0;
    for n in 0..500 {
        let one = all[usize::try_from(draw.below(all.len() as u64)).unwrap()];
        // The smallest place that has these tunnels is what is to be named: a host with one peer cannot be told from the pair.
        let planted: Vec<Place> = shape.places_of(one).collect();
        let planted = planted[n % planted.len()];
        let mut failed: BTreeSet<Way> =
            all.iter().filter(|way| shape.places_of(**way).any(|p| p == planted)).copied().collect();
        assert_eq!(failed.len() as u64, shape.tunnels_at(planted), "{planted:?}");
        // One of twenty gets through by chance.
        let many = failed.len() >= 20;
        failed.retain(|_| !many || draw.below(20) != 0);
        let suspects = explain_failures(&failed, &shape);
        let explained: usize = suspects.iter().map(|suspect| suspect.ways.len()).sum();
        assert_eq!(explained, failed.len(), "each tunnel is explained once");
        let [suspect] = &suspects[..] else { continue };
        let is_same_set = shape.tunnels_at(suspect.place) == shape.tunnels_at(planted);
        right += u64::from(suspect.place == planted || is_same_set);
    }
    assert!(right >= 475, "{right} of 500");
}

#[test]
fn two_hosts_at_once_are_two_hosts() {
    let mut draw = Draw(7);
    let (shape, meshes) = large(&mut draw);
    let ways = meshes.iter().flat_map(|mesh| {
        let members: Vec<HostNumber> = mesh.members().collect();
        let pairs: Vec<Way> = members
            .iter()
            .flat_map(|from| {
                members.iter().filter(move |to| *to != from).map(|to| Way { key: mesh.key, from: *from, to: *to })
            })
            .collect();
        pairs
    });
    let cut = |way: &Way| way.from == host(17) || way.to == host(17) || way.from == host(101);
    let failed: BTreeSet<Way> = ways.filter(cut).collect();
    let places: BTreeSet<Place> = explain_failures(&failed, &shape).into_iter().map(|suspect| suspect.place).collect();
    assert_eq!(places, BTreeSet::from([Place::Host(host(17)), Place::HostOut(host(101))]));
}

#[test]
fn what_counters_say_is_told_where_nobody_knows_better() {
    let of = |what, from, to| (1, found(what, from, Some(to)));
    let at = |from, to| place(Place::Way(Way { key: key(1), from: host(from), to: host(to) }), 1, 1);
    let both = [of(What::Counters, 4, 5), of(What::Counters, 3, 4), of(What::FramesLost, 4, 5)];
    assert_eq!(named(&both, &small()), [("direction", at(4, 5)), ("direction", at(3, 4))]);
    let whats: Vec<What> = find_faults(
        &both
            .iter()
            .map(|(k, finding)| Symptom { key: key(*k), finding, since: Moment::default() })
            .collect::<Vec<_>>(),
        &small(),
    )
    .into_iter()
    .map(|fault| fault.what)
    .collect();
    assert_eq!(whats, [What::FramesLost, What::Counters]);
}
