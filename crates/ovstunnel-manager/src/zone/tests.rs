//! What the zone says after what its hosts have said.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use ovstunnel_api::{Bridge, Health};
use ovstunnel_manager_api::{HostState, Mode, NetworkState};
use serde_json::json;

use super::*;
use crate::hosts::Picture;

pub(crate) fn number(n: u64) -> HostNumber {
    HostNumber::try_from(n).unwrap()
}

pub(super) fn row(n: u64) -> Row {
    let (api, mode) = (format!("https://192.0.2.{n}:8443"), Mode::Manage);
    Row { number: number(n), name: format!("h{n}"), api, rack: None, label: None, mode }
}

fn ok() -> Health {
    serde_json::from_value(json!({"state": "ok", "reasons": []})).unwrap()
}

fn told() -> Told {
    Told { daemon: Some("0.1.0".into()), capabilities: vec![], health: ok(), watched: true }
}

fn interface(ip: &str) -> Interface {
    serde_json::from_value(json!({
        "label": "x", "device": "eth1", "ip": ip, "netmask": "255.255.255.0", "mac": null, "mtu": 1500, "max_guest_mtu": 1458,
    }))
    .unwrap()
}

/// The bridge of the network with key 1001 on host `n`, with tunnels to these hosts.
pub(crate) fn bridge(n: u64, to: &[u64]) -> Bridge {
    let tunnels: Vec<_> = to
        .iter()
        .map(|to| {
            json!({
                "port": format!("t1001-{n}-{to}"), "from": n.to_string(), "to": to.to_string(),
                "remote_ip": format!("192.0.2.{to}"), "key": 1001, "ofport": 10 + to, "state": "up", "protected": true,
            })
        })
        .collect();
    serde_json::from_value(json!({
        "name": "xapi1", "key": 1001, "host_id": n.to_string(), "ipv6": "drop", "adopted": false, "tunnels": tunnels,
        "vifs": [{"name": "vif1.0", "ofport": 1}], "other_ports": [],
        "flows": {"state": "in_sync", "expected": 4, "installed": 4}, "health": {"state": "ok", "reasons": []},
    }))
    .unwrap()
}

pub(crate) struct Bench {
    pub(crate) zone: Zone,
    events: mpsc::Receiver<Fact>,
    version: u64,
}

impl Bench {
    /// A zone of three hosts with a mesh among them.
    pub(crate) fn new() -> Bench {
        let (zone, events) = Zone::new("dc1");
        let mut bench = Bench { zone, events, version: 0 };
        for n in 1..=3 {
            bench.zone.register_host(row(n));
            bench.zone.host_endpoint(number(n), Ok(interface(&format!("192.0.2.{n}"))));
            let others: Vec<u64> = (1..=3).filter(|other| *other != n).collect();
            bench.says(n, &[bridge(n, &others)]);
        }
        bench.zone.prove_changed();
        bench.zone.tell_proofs(bench.zone.now());
        bench.happened();
        bench
    }

    pub(crate) fn says(&mut self, n: u64, bridges: &[Bridge]) {
        self.says_with(n, &[], bridges);
    }

    /// The same of a daemon that can do this.
    pub(super) fn says_with(&mut self, n: u64, words: &[&str], bridges: &[Bridge]) {
        self.version += 1;
        let snapshot = Picture::new(bridges, OffsetDateTime::UNIX_EPOCH).unwrap().snapshot_at("life", self.version);
        let capabilities = words.iter().map(|word| (*word).to_owned()).collect();
        self.zone.host_connected(number(n), Told { capabilities, ..told() }, snapshot);
    }

    pub(super) fn happened(&mut self) -> Vec<(&'static str, String)> {
        let mut all = Vec::new();
        while let Ok(fact) = self.events.try_recv() {
            if let Fact::Happened(happened) = fact {
                all.push((happened.kind, happened.text));
            }
        }
        all
    }

    pub(crate) fn key(&self) -> GreKey {
        self.zone.network_key("key-1001").unwrap()
    }

    /// The first reason why the network is not whole, once all is proven.
    fn reason(&self) -> Option<String> {
        self.zone.prove_changed();
        self.zone.proof(self.key()).unwrap().reason
    }
}

#[test]
fn a_mesh_is_whole_when_each_pair_has_both_its_tunnels() {
    let bench = Bench::new();
    let (networks, hosts, tunnels) = bench.zone.state_counts();
    assert_eq!((networks.all, networks.whole, tunnels.wanted, tunnels.proven), (1, 1, 6, 6));
    assert_eq!((hosts.all, hosts.ok), (3, 3));
    let proof = bench.zone.proof(bench.key()).unwrap();
    assert!(proof.whole && proof.findings.is_empty(), "{proof:?}");
    assert_eq!(proof.hosts.iter().map(|host| host.host.as_str()).collect::<Vec<_>>(), ["h1", "h2", "h3"]);
}

#[test]
fn a_tunnel_that_is_gone_is_named_and_its_return_too() {
    let mut bench = Bench::new();
    bench.says(2, &[bridge(2, &[3])]);
    assert_eq!(bench.reason().as_deref(), Some("tunnel_missing on h2 to h1: bridge xapi1 has no tunnel to host 1"));
    let network = bench.zone.network(bench.key()).unwrap();
    assert_eq!((network.state, network.wanted, network.proven), (NetworkState::Settling, 6, 5));
    bench.says(2, &[bridge(2, &[1, 3])]);
    assert_eq!(bench.reason(), None);
    let kinds: Vec<_> = bench.happened().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["network_not_whole", "network_whole"]);
}

#[test]
fn a_host_that_returns_empty_is_still_of_the_mesh() {
    let mut bench = Bench::new();
    bench.says(3, &[]);
    assert_eq!(bench.reason().as_deref(), Some("bridge_missing on h3: no bridge has key 1001"));
    assert_eq!(bench.zone.network(bench.key()).unwrap().hosts, 3);
    // Once nobody leads there it is not.
    bench.says(1, &[bridge(1, &[2])]);
    bench.says(2, &[bridge(2, &[1])]);
    assert_eq!(bench.reason(), None);
    assert_eq!(bench.zone.network(bench.key()).unwrap().hosts, 2);
}

#[test]
fn a_silent_host_makes_its_networks_unproven_until_it_is_back() {
    let mut bench = Bench::new();
    bench.zone.host_silent(number(1), "connection refused".to_owned());
    bench.zone.host_silent(number(1), "connection refused".to_owned());
    assert!(bench.reason().unwrap().starts_with("host_silent on h1"), "{:?}", bench.reason());
    let host = bench.zone.host("h1").unwrap();
    assert_eq!((host.state, host.troubles[0].kind.as_str()), (HostState::Silent, "host_silent"));
    bench.says(1, &[bridge(1, &[2, 3])]);
    assert_eq!(bench.reason(), None);
    let kinds: Vec<_> = bench.happened().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["host_silent", "network_not_whole", "host_connected", "network_whole"]);
}

impl Bench {
    /// The proofs that are told so long after now.
    fn proofs(&mut self, later: Duration) -> Vec<Happened> {
        self.zone.prove_changed();
        self.happened();
        self.zone.tell_proofs(self.zone.now() + later);
        std::iter::from_fn(|| self.events.try_recv().ok())
            .filter_map(|fact| if let Fact::Happened(happened) = fact { Some(happened) } else { None })
            .collect()
    }
}

#[test]
fn a_host_that_returns_empty_is_told_once_and_shown() {
    let mut bench = Bench::new();
    bench.says(3, &[]);
    assert!(
        !bench.happened().iter().any(|(kind, _)| *kind == "host_returned_empty"),
        "its connection was not interrupted"
    );
    bench.says(3, &[bridge(3, &[1, 2])]);
    bench.zone.host_silent(number(3), "connection refused".to_owned());
    bench.says(3, &[]);
    let told: Vec<_> = bench.happened().into_iter().filter(|(kind, _)| *kind == "host_returned_empty").collect();
    assert_eq!(told, [("host_returned_empty", "host h3 has come back without a bridge; it had 1".to_owned())]);
    let host = bench.zone.host("h3").unwrap();
    assert_eq!((host.state, host.troubles[0].kind.as_str()), (HostState::Degraded, "returned_empty"));
    assert_eq!(host.troubles[0].evidence, "it has no bridge, and tunnels of others lead to it: key-1001");
    bench.says(3, &[bridge(3, &[1, 2])]);
    assert_eq!(bench.zone.host("h3").unwrap().troubles, []);
}

#[test]
fn certificates_that_end_or_are_refused_are_told_once() {
    let mut bench = Bench::new();
    let soon = |days: u32| {
        let evidence = format!("its daemon's certificate: CN=h1 expires in {days} days, on 2026-12-24");
        Some(Trouble { kind: CERTIFICATE_EXPIRES.into(), evidence, remedy: "renew it".into() })
    };
    let expires = Some(OffsetDateTime::UNIX_EPOCH + time::Duration::days(20_000));
    bench.zone.host_certificate(number(1), Shown { expires, trouble: soon(12) });
    bench.zone.host_certificate(number(1), Shown { expires, trouble: soon(11) });
    let host = bench.zone.host("h1").unwrap();
    assert_eq!(
        (host.state, host.troubles.len(), host.troubles[0].kind.as_str()),
        (HostState::Degraded, 1, CERTIFICATE_EXPIRES)
    );
    assert!(host.troubles[0].evidence.contains("11 days"));
    assert_eq!(bench.reason(), None, "frames pass all the same");
    bench.zone.host_certificate(number(1), Shown { expires, trouble: None });
    let told = bench.zone.host("h1").unwrap();
    assert_eq!(told.certificate_expires.as_deref(), Some("2024-10-04T00:00:00Z"));
    assert_eq!(bench.zone.host("h1").unwrap().state, HostState::Ok);

    bench.zone.host_silent(number(1), "connection refused".to_owned());
    let refused = Silence { kind: "certificate_refused", evidence: "no TLS".into(), remedy: "issue it".into() };
    bench.zone.host_silent(number(1), refused.clone());
    bench.zone.host_silent(number(1), refused);
    let host = bench.zone.host("h1").unwrap();
    let trouble = &host.troubles[0];
    assert_eq!((trouble.kind.as_str(), trouble.remedy.as_str()), ("certificate_refused", "issue it"));
    let kinds: Vec<_> = bench.happened().into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [CERTIFICATE_EXPIRES, "host_silent", "certificate_refused"]);

    // The manager's own.
    bench.zone.own_certificates(soon(3).into_iter().collect());
    bench.zone.own_certificates(soon(2).into_iter().collect());
    assert_eq!((bench.happened().len(), bench.zone.troubles().len()), (1, 1));
    bench.zone.own_certificates(Vec::new());
    assert_eq!(bench.zone.troubles(), []);
}

#[test]
fn a_proof_is_told_once_a_network_has_come_to_rest() {
    let mut bench = Bench::new();
    assert_eq!(bench.proofs(story::RESTLESS), [], "nothing has changed");
    bench.says(2, &[bridge(2, &[3])]);
    assert_eq!(bench.proofs(story::REST / 2), [], "it may be under way");
    let told = bench.proofs(story::REST);
    let [proof] = &told[..] else { panic!("{told:?}") };
    let (before, after) = (proof.before.as_ref().unwrap(), proof.after.as_ref().unwrap());
    assert_eq!((proof.kind, proof.network.as_deref()), ("proof", Some("key-1001")));
    assert_eq!((before.whole, before.proven, after.whole, after.proven, after.wanted), (true, 6, false, 5, 6));
    assert_eq!(before.generation, after.generation, "the hosts are the same");
    assert!(after.reason.as_ref().unwrap().starts_with("tunnel_missing on h2 to h1"), "{after:?}");
    assert_eq!((before.digest.len(), after.digest.len()), (64, 64));
    assert!(proof.text.starts_with("not whole: tunnel_missing on h2 to h1"), "{}", proof.text);
    assert!(proof.text.ends_with("; before: whole, generation 1"), "{}", proof.text);
    assert_eq!(bench.proofs(story::RESTLESS), [], "told once");
    // A change of the mesh is told also where it is whole before and after.
    bench.says(2, &[bridge(2, &[1, 3])]);
    let told = bench.proofs(story::REST);
    assert_eq!(told.iter().map(|proof| proof.after.as_ref().unwrap().whole).collect::<Vec<_>>(), [true]);
    bench.says(3, &[]);
    bench.says(1, &[bridge(1, &[2])]);
    bench.says(2, &[bridge(2, &[1])]);
    let told = bench.proofs(story::REST);
    let [proof] = &told[..] else { panic!("{told:?}") };
    let (before, after) = (proof.before.as_ref().unwrap(), proof.after.as_ref().unwrap());
    assert_eq!((before.whole, before.wanted, after.whole, after.wanted), (true, 6, true, 2));
    assert!(after.generation > before.generation, "{told:?}");
}

#[test]
fn a_host_that_comes_and_goes_makes_few_events() {
    let mut bench = Bench::new();
    for _ in 0..500 {
        bench.zone.host_silent(number(1), "connection refused".to_owned());
        bench.zone.prove_changed();
        bench.says(1, &[bridge(1, &[2, 3])]);
        bench.zone.prove_changed();
    }
    let told = bench.happened();
    // Some at once and one in each pause; this takes less than a few of these.
    assert!((4..40).contains(&told.len()), "{}: {told:?}", told.len());
    let proofs = bench.proofs(story::REST);
    let [proof] = &proofs[..] else { panic!("{proofs:?}") };
    assert!(proof.text.starts_with("whole: 6 tunnels") && proof.text.contains("are not listed"), "{}", proof.text);
    // One that never rests is told of all the same.
    bench.zone.host_silent(number(1), "connection refused".to_owned());
    let proofs = bench.proofs(story::RESTLESS);
    assert_eq!(proofs.iter().map(|proof| proof.after.as_ref().unwrap().whole).collect::<Vec<_>>(), [false]);
}

#[test]
fn a_daemons_word_of_a_bridge_is_a_reason() {
    let mut bench = Bench::new();
    let mut on_h2 = bridge(2, &[1, 3]);
    let reason = |what: &str, severity: &str| json!({"what": what, "subject": "xapi1", "severity": severity, "evidence": "seen so", "remedy": "mend it"});
    on_h2.health = serde_json::from_value(json!({"state": "failed", "reasons": [reason("stp", "failed")]})).unwrap();
    bench.says(2, &[on_h2.clone()]);
    assert_eq!(bench.reason().as_deref(), Some("spanning_tree on h2: bridge xapi1: seen so"));
    on_h2.health =
        serde_json::from_value(json!({"state": "degraded", "reasons": [reason("controller", "degraded")]})).unwrap();
    (on_h2.max_guest_mtu, bench.version) = (Some(1200), bench.version + 1);
    bench.says(2, &[on_h2.clone()]);
    let said = bench.reason().unwrap();
    assert!(said.starts_with("mtu_small on h2: its tunnels carry frames of guests with an MTU of 1200"), "{said}");
    on_h2.max_guest_mtu = Some(1458);
    bench.says(2, &[on_h2]);
    assert_eq!(bench.reason(), None);
}

#[test]
fn words_that_are_harmless_are_requirements() {
    for word in ovstunnel_mesh::proof::HARMLESS {
        let known = ovstunnel_plan::REQUIREMENTS.iter().any(|requirement| requirement.what == word);
        assert!(known, "{word} is no requirement");
    }
}

#[test]
fn networks_of_a_host_without_open_vswitch_are_unproven() {
    let bench = Bench::new();
    let gone = json!({"state": "failed", "reasons": [{
        "what": "openvswitch", "subject": "host", "severity": "failed", "evidence": "Open vSwitch cannot be reached", "remedy": "start it",
    }]});
    bench.zone.host_health(number(2), serde_json::from_value(gone).unwrap());
    assert_eq!(bench.reason().as_deref(), Some("switch_unreachable on h2: Open vSwitch cannot be reached"));
    bench.zone.host_health(number(2), ok());
    assert_eq!(bench.reason(), None);
}

#[test]
fn a_changed_address_is_wrong_at_each_peer() {
    let mut bench = Bench::new();
    bench.zone.host_endpoint(number(2), Ok(interface("192.0.2.99")));
    let reason = bench.reason().unwrap();
    assert!(reason.contains("wrong_address on h1 to h2") && reason.contains("192.0.2.99"), "{reason}");
    assert!(bench.happened().iter().any(|(kind, text)| *kind == "address_changed" && text.contains("was 192.0.2.2")));
}

#[test]
fn one_address_on_two_hosts_is_refused_by_name() {
    let bench = Bench::new();
    bench.zone.host_endpoint(number(3), Ok(interface("192.0.2.1")));
    let host = bench.zone.host("h3").unwrap();
    assert_eq!(host.troubles[0].kind, "address_taken");
    assert_eq!(host.troubles[0].evidence, "192.0.2.1 on eth1 is also the address of host h1");
    assert_eq!(host.state, HostState::Degraded);
    assert!(bench.reason().unwrap().starts_with("address_unknown on h3"));
}

#[test]
fn a_label_that_names_nothing_is_told_once_and_ends() {
    let mut bench = Bench::new();
    let unknown = || Err(EndpointFault::LabelUnknown("the label x names no device".into()));
    bench.zone.host_endpoint(number(3), unknown());
    bench.zone.host_endpoint(number(3), unknown());
    bench.zone.host_endpoint(number(3), Err(EndpointFault::NotAsked("busy".into())));
    assert_eq!(bench.zone.host("h3").unwrap().troubles[0].kind, "label_unknown");
    bench.zone.host_endpoint(number(3), Ok(interface("192.0.2.3")));
    assert_eq!(bench.zone.host("h3").unwrap().troubles, []);
    let told = bench.happened().into_iter().filter(|(kind, _)| *kind == "endpoint_unknown").count();
    assert_eq!(told, 1);
    assert_eq!(bench.reason(), None);
}

#[test]
fn an_address_is_missing_once_its_host_was_asked() {
    let mut bench = Bench::new();
    bench.zone.unregister_host(number(3));
    bench.zone.register_host(row(3));
    bench.says(3, &[bridge(3, &[1, 2])]);
    let tells = |words: &str| bench.reason().is_some_and(|reason| reason.contains(words));
    assert!(tells("has not said yet at which address"), "{:?}", bench.reason());
    bench.zone.host_endpoint(number(3), Err(EndpointFault::NotAsked("busy".into())));
    assert!(tells("has not said yet at which address"), "{:?}", bench.reason());
    bench.zone.host_endpoint(number(3), Err(EndpointFault::LabelUnknown("the label x names no device".into())));
    assert!(tells("address at which its tunnels end is not known"), "{:?}", bench.reason());
}

#[test]
fn a_tunnel_to_a_host_that_nobody_registered_is_told() {
    let bench = Bench::new();
    bench.zone.unregister_host(number(3));
    let reason = bench.reason().unwrap();
    assert!(reason.starts_with("host_unknown on 3"), "{reason}");
}

#[test]
fn a_network_ends_with_its_last_bridge() {
    let mut bench = Bench::new();
    (1..=3).for_each(|n| bench.says(n, &[]));
    bench.zone.prove_changed();
    assert_eq!(bench.zone.network_key("key-1001"), None);
    assert_eq!(bench.zone.state_counts().0.all, 0);
    assert!(bench.happened().iter().any(|(kind, _)| *kind == "network_gone"));
}

#[test]
fn a_host_with_another_number_than_its_bridges_is_told() {
    let mut bench = Bench::new();
    bench.says(1, &[bridge(7, &[2, 3])]);
    assert!(bench.reason().unwrap().starts_with("host_id_mismatch on h1"), "{:?}", bench.reason());
    assert_eq!(bench.zone.host("h1").unwrap().troubles[0].kind, "host_id_mismatch");
    bench.says(1, &[bridge(7, &[2, 3])]);
    let told: Vec<_> = bench.happened().into_iter().filter(|(kind, _)| *kind == "host_id_mismatch").collect();
    let text = "host h1: bridge xapi1 has the host id 7, and the host is registered as number 1";
    assert_eq!(told, [("host_id_mismatch", text.to_owned())], "told once");
}

#[test]
fn the_worst_networks_come_first_page_by_page() {
    let mut bench = Bench::new();
    let mut alone = bridge(1, &[]);
    (alone.name, alone.key) = ("xapi0".into(), Some(7));
    bench.says(1, &[alone, bridge(1, &[2, 3])]);
    bench.says(2, &[bridge(2, &[3])]);
    bench.zone.prove_changed();
    let page = |page, states| {
        let (networks, total) = bench.zone.networks(&Page { states, host: None, search: None, page, limit: 1 });
        (networks.into_iter().map(|network| network.key).collect::<Vec<_>>(), total)
    };
    assert_eq!(page(1, None), (vec![Some(1001)], 2));
    assert_eq!(page(2, None), (vec![Some(7)], 2));
    assert_eq!(page(3, None), (vec![], 2));
    assert_eq!(page(1, Some(vec![NetworkState::Whole])), (vec![Some(7)], 1));
}

#[tokio::test]
async fn what_is_the_same_as_before_wakes_nobody() {
    let bench = Bench::new();
    let woken = async || tokio::time::timeout(Duration::from_millis(1), bench.zone.0.wake.notified()).await.is_ok();
    woken().await;
    let passes = bench.zone.watch_passes();
    bench.zone.host_endpoint(number(1), Ok(interface("192.0.2.1")));
    bench.zone.host_alive(number(1));
    bench.zone.record_sweep(bench.key(), [(number(1), number(2))].into_iter(), Vec::new(), true);
    assert!(!woken().await && !passes.has_changed().unwrap());
    let lost = lost_finding(number(1), number(2), false, "none has come".to_owned());
    bench.zone.record_sweep(bench.key(), [(number(1), number(2))].into_iter(), vec![lost], true);
    assert!(passes.has_changed().unwrap(), "what a sweep finds is news");
    bench.zone.host_endpoint(number(1), Ok(interface("192.0.2.99")));
    assert!(woken().await, "an address is another one");
}
