//! Physical networks, keys, networks and NICs as a client of the manager's API sees them; the hosts are daemons on simulated switches.

use crate::common;

use crate::common::{Bench, bench, bench_with, client, code, host, physical, put, refused, set_up, until};
use ovstunnel_api::{Code, Ipv6Policy, Outcome};
use ovstunnel_client::{ClientError, EventsWanted, Manager, NetworksWanted};
use ovstunnel_manager_api::{
    Isolation, KeyRange, KeyRanges, KeyState, Mode, MoveWord, NetworkState, NicOutcome, PutHost, PutNetwork, PutNic,
    PutPhysicalNetwork,
};
use ovstunnel_store::{KeyRow, Store};

fn network(key: Option<u32>) -> PutNetwork {
    PutNetwork { physical_network: "p1".into(), number: None, key, adopt: false, ipv6: None, mtu: None }
}

fn nic(host: &str) -> PutNic {
    PutNic { host: host.into(), vm: None, mac: None, ip: None, bridge: None, wait: None, how: None }
}

/// A manager with the physical network p1, whose keys are 1001 to 1010.
async fn with_physical() -> Bench {
    let bench = bench().await;
    bench.manager.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    bench
}

/// The same with hosts h1 to h3 that nobody answers for.
async fn with_hosts() -> Bench {
    let bench = with_physical().await;
    for n in 1..=3 {
        let host = put(&format!("https://127.0.0.1:{n}"), Some(n));
        bench.manager.put_host(&format!("h{n}"), &host, false).await.unwrap();
    }
    bench
}

#[tokio::test(flavor = "multi_thread")]
async fn a_physical_network_is_recorded_with_its_ranges() {
    let bench = bench().await;
    let m = &bench.manager;
    let dry = m.put_physical_network("p1", &physical(Isolation::Gre, "20-30,1-10"), true).await.unwrap();
    assert_eq!((dry.outcome, dry.physical_network), (Outcome::Created, None));
    let put = m.put_physical_network("p1", &physical(Isolation::Gre, "20-30,1-10"), false).await.unwrap();
    let there = put.physical_network.unwrap();
    assert_eq!((put.outcome, there.vnet.as_str(), there.keys.size), (Outcome::Created, "1-10,20-30", 21));
    let again = m.put_physical_network("p1", &physical(Isolation::Gre, "1-10,20-30"), false).await.unwrap();
    assert_eq!(again.outcome, Outcome::Unchanged);
    m.put_physical_network("p2", &physical(Isolation::Vlan, "1-4096"), false).await.unwrap();

    let range = |name: &str, vnet: &str| KeyRange { physical_network: name.into(), vnet: vnet.into() };
    let both = KeyRanges { ranges: vec![range("p1", "1-5"), range("p2", "7")] };
    assert_eq!(m.put_key_ranges(&both, false).await.unwrap().outcome, Outcome::Updated);
    assert_eq!(m.key_ranges().await.unwrap(), both);
    let bad = KeyRanges { ranges: vec![range("p1", "9"), range("p2", "4097")] };
    let detail = code(m.put_key_ranges(&bad, false).await, Code::InvalidRequest);
    assert!(detail.starts_with("ranges[1].vnet must be from 1 to 4096 where the isolation is not GRE"), "{detail}");
    let unknown = KeyRanges { ranges: vec![range("p1", "9"), range("p9", "4")] };
    assert!(code(m.put_key_ranges(&unknown, false).await, Code::NotFound).contains("p9"));
    assert_eq!(m.key_ranges().await.unwrap(), both, "what is refused changes nothing");

    let invalid = |answer| code(answer, Code::InvalidRequest);
    let put = async |isolation, vnet: &str| put_physical(m, "p3", &physical(isolation, vnet)).await;
    assert!(invalid(put(Isolation::Vlan, "1-4097").await).starts_with("vnet must be from 1 to 4096"));
    assert!(invalid(put(Isolation::Gre, "0-10").await).starts_with("vnet must be a whole number from 1"));
    assert!(invalid(put(Isolation::Gre, "1, 2").await).starts_with("vnet must be ranges and numbers"));
    let long = PutPhysicalNetwork { label_xen: Some("x".repeat(46)), ..physical(Isolation::Gre, "1") };
    assert!(invalid(put_physical(m, "p3", &long).await).starts_with("label_xen must be 1 to 45"));
    assert!(code(m.physical_network("p3").await, Code::NotFound).contains("no physical network p3"));

    m.put_network("n1", &network(Some(3)), false).await.unwrap();
    assert!(
        code(put_physical(m, "p1", &physical(Isolation::Gre, "4-5")).await, Code::Conflict)
            .contains("network n1 has key 3")
    );
    assert!(
        code(put_physical(m, "p1", &physical(Isolation::Vlan, "1-5")).await, Code::Conflict)
            .contains("its isolation cannot change")
    );
    assert!(code(m.delete_physical_network("p1", false).await, Code::Conflict).contains("such as n1"));
    assert_eq!(m.delete_physical_network("p2", false).await.unwrap().outcome, Outcome::Removed);
    assert_eq!(m.delete_physical_network("p2", false).await.unwrap().outcome, Outcome::Unchanged);
}

async fn put_physical(m: &Manager, name: &str, body: &PutPhysicalNetwork) -> Result<Outcome, ClientError> {
    Ok(m.put_physical_network(name, body, false).await?.outcome)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_configuration_s_physical_networks_fill_an_empty_database() {
    let store = Store::in_memory("dc1");
    let configured =
        |vnet: &str| format!("[[physical_networks]]\nname = \"p1\"\nisolation = \"GRE\"\nvnet = \"{vnet}\"\n");
    let first = bench_with(&configured("1-10"), store.clone()).await;
    assert_eq!(first.manager.physical_network("p1").await.unwrap().vnet, "1-10");
    drop(first);
    let later = bench_with(&configured("1-99"), store).await;
    assert_eq!(later.manager.physical_network("p1").await.unwrap().vnet, "1-10", "what is recorded counts");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_is_recorded_and_its_key_is_nobody_else_s() {
    let bench = with_hosts().await;
    let m = &bench.manager;
    let body = PutNetwork { ipv6: Some(Ipv6Policy::Allow), mtu: Some(1400), ..network(None) };
    assert_eq!(m.put_network("n1", &body, true).await.unwrap().outcome, Outcome::Created);
    assert_eq!(refused(m.network("n1").await).0, Code::NotFound, "a dry run records nothing");
    let put = m.put_network("n1", &body, false).await.unwrap();
    let there = put.network.unwrap();
    let record = there.record.unwrap();
    assert_eq!((put.outcome, there.key, record.number, record.mtu), (Outcome::Created, None, 1, Some(1400)));
    assert!(code(m.proof("n1").await, Code::Conflict).contains("has no key yet"));

    let with_key = PutNetwork { key: Some(1001), ..body.clone() };
    let put = m.put_network("n1", &with_key, false).await.unwrap();
    assert_eq!((put.outcome, put.network.unwrap().key), (Outcome::Updated, Some(1001)));
    // A key that is not said stays.
    assert_eq!(m.put_network("n1", &body, false).await.unwrap().outcome, Outcome::Unchanged);
    assert_eq!(m.network("key-1001").await.unwrap().name, "n1");

    let conflict = |answer| code(answer, Code::Conflict);
    let put = |name: &'static str, body: PutNetwork| async move { m.put_network(name, &body, false).await.map(drop) };
    assert_eq!(conflict(put("n2", network(Some(1001))).await), "key 1001 is not free: network n1 has it");
    assert!(conflict(put("n2", network(Some(2000))).await).contains("not in 1001-1010"));
    assert!(conflict(put("n1", network(Some(1002))).await).contains("network n1 has key 1001"));
    assert!(conflict(put("n1", PutNetwork { number: Some(9), ..network(None) }).await).contains("number 1"));
    assert!(conflict(put("n2", PutNetwork { number: Some(1), ..network(None) }).await).contains("network n1"));
    let elsewhere = PutNetwork { physical_network: "p9".into(), ..network(None) };
    assert!(code(put("n2", elsewhere).await, Code::NotFound).contains("no physical network p9"));
    let invalid = |answer| code(answer, Code::InvalidRequest);
    assert!(invalid(put("key-7", network(None)).await).starts_with("network must not be key-KEY"));
    assert!(invalid(put("n2", network(Some(0))).await).starts_with("key must be a whole number from 1"));
    assert!(
        invalid(put("n2", PutNetwork { mtu: Some(100), ..network(None) }).await).starts_with("mtu must be from 576")
    );
    assert!(invalid(put("n2", PutNetwork { adopt: true, ..network(None) }).await).starts_with("adopt must come with"));
    let all = m.networks(&NetworksWanted::default()).await.unwrap();
    assert_eq!(all.networks.iter().map(|network| network.name.as_str()).collect::<Vec<_>>(), ["n1"]);

    // Hosts that cannot be asked may have its key.
    assert_eq!(m.delete_network("n1", false).await.unwrap().outcome, Outcome::Removed);
    let keys = m.keys(&[]).await.unwrap();
    let (key, usage) = (&keys.keys[0], &keys.physical_networks[0].keys);
    assert_eq!((key.key, key.state, key.hosts.len()), (1001, KeyState::Quarantined, 3));
    assert_eq!((usage.size, usage.quarantined, usage.free, usage.warned), (10, 1, 9, false));
    let detail = conflict(put("n2", network(Some(1001))).await);
    assert!(detail.contains("were not seen without it since: h1, h2, h3"), "{detail}");
    assert_eq!(m.delete_network("n1", false).await.unwrap().outcome, Outcome::Unchanged);

    // A host that was forgotten may come back with it; one that was wiped does not.
    m.delete_host("h1", false).await.unwrap();
    let hosts = async || m.keys(&[]).await.unwrap().keys.into_iter().map(|key| key.hosts).next();
    assert_eq!(hosts().await, Some(vec!["1".to_owned(), "h2".to_owned(), "h3".to_owned()]));
    m.delete_wiped_host("h2", false).await.unwrap();
    assert_eq!(hosts().await, Some(vec!["1".to_owned(), "h3".to_owned()]));
    m.put_host("h1", &common::put("https://127.0.0.1:1", Some(1)), false).await.unwrap();
    for name in ["h1", "h3"] {
        m.delete_wiped_host(name, false).await.unwrap();
    }
    assert_eq!(hosts().await, None, "it can be given again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_is_seen_gets_its_name_and_gives_it_back() {
    let bench = with_physical().await;
    let m = &bench.manager;
    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[1]).await;
    for (n, host) in (1..).zip(&hosts) {
        m.put_host(&format!("h{n}"), &put(&host.url, Some(n)), false).await.unwrap();
    }
    until("the network to be whole", async || m.proof("key-1001").await.ok().filter(|proof| proof.whole)).await;
    let keys = m.keys(&["withdrawn".to_owned()]).await.unwrap().keys;
    assert_eq!((keys[0].key, keys[0].hosts.clone()), (1001, vec!["h1".to_owned(), "h2".to_owned()]));

    let detail = code(m.put_network("web", &network(Some(1001)), false).await, Code::Conflict);
    assert!(detail.contains("these hosts have bridges with it: h1, h2; with `adopt`"), "{detail}");
    let adopted = PutNetwork { adopt: true, ..network(Some(1001)) };
    m.put_network("web", &adopted, false).await.unwrap();
    let proof = m.proof("web").await.unwrap();
    assert_eq!((proof.network.as_str(), proof.whole, proof.tunnels.proven), ("web", true, 2));
    hosts[0].client.delete_tunnel("xapi1", "t1001-1-2").await.unwrap();
    let wanted =
        EventsWanted { network: Some("web".into()), kind: Some("network_not_whole".into()), ..Default::default() };
    let events =
        until("an event", async || Some(m.events(&wanted).await.unwrap().events).filter(|e| !e.is_empty())).await;
    assert!(events[0].text.contains("tunnel_missing on h1 to h2"), "{events:?}");

    m.delete_network("web", false).await.unwrap();
    assert_eq!(m.network("key-1001").await.unwrap().name, "key-1001");
    assert_eq!(m.keys(&[]).await.unwrap().keys[0].state, KeyState::Quarantined);
    // Once neither has it any more it is free.
    for host in &hosts {
        host.client.delete_bridge("xapi1").await.unwrap();
    }
    until("the key to be free", async || m.keys(&[]).await.unwrap().keys.is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nic_is_recorded_and_its_network_is_planned_for() {
    let bench = with_physical().await;
    let m = &bench.manager;
    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    for (n, host) in (1..).zip(&hosts) {
        m.put_host(&format!("h{n}"), &put(&host.url, Some(n)), false).await.unwrap();
    }
    until("addresses", async || m.hosts().await.unwrap().hosts.iter().all(|host| host.ip.is_some()).then_some(()))
        .await;
    m.put_network("web", &network(Some(1001)), false).await.unwrap();
    let whole = |name: NetworkState, hosts| (name, hosts);
    let state = async || {
        let network = m.network("web").await.unwrap();
        (network.state, network.hosts)
    };
    assert_eq!(state().await, whole(NetworkState::Whole, 0));

    let body = PutNic {
        vm: Some("i-2-3-VM".into()),
        mac: Some("06:5a:00:00:00:07".into()),
        ip: Some("10.1.1.7".into()),
        ..nic("h1")
    };
    let answer = m.prepare_nic("web", "n1", &body, false).await.unwrap();
    assert_eq!((answer.outcome, answer.recorded), (NicOutcome::Disabled, Outcome::Created));
    assert_eq!((answer.key, answer.bridge.as_deref(), answer.mtu), (Some(1001), Some("ovt1001"), Some(1458)));
    assert_eq!((answer.tunnels.wanted, answer.tunnels.up), (0, 0));
    let answer = m.prepare_nic("web", "n2", &PutNic { bridge: Some("br7".into()), ..nic("h2") }, false).await.unwrap();
    assert_eq!((answer.bridge.as_deref(), answer.tunnels.wanted, answer.tunnels.up), (Some("br7"), 2, 0));
    let sent: Vec<_> = answer.plan.requests.iter().map(|r| format!("{} {} {}", r.host, r.method, r.path)).collect();
    assert_eq!(sent, ["h1 PUT /v1/bridges/ovt1001", "h2 PUT /v1/bridges/br7"]);
    assert!(m.host_tunnels("h1").await.unwrap().tunnels.unwrap().is_empty(), "nothing was sent");
    assert_eq!(m.plan("web").await.unwrap().requests, answer.plan.requests);
    let reason = m.proof("web").await.unwrap().reason.unwrap();
    assert!(reason.starts_with("bridge_missing on h1"), "{reason}");

    // What was planned, done by hand, makes it whole.
    for (request, host) in answer.plan.requests.iter().zip(&hosts) {
        let name = request.path.rsplit('/').next().unwrap();
        let body = serde_json::from_value(request.body.clone().unwrap()).unwrap();
        host.client.put_bridge(name, &body).await.unwrap();
    }
    until("the network to be whole", async || m.proof("web").await.ok().filter(|proof| proof.whole)).await;
    let answer = m.prepare_nic("web", "n1", &body, false).await.unwrap();
    assert_eq!((answer.recorded, answer.tunnels.up, answer.plan.requests), (Outcome::Unchanged, 2, vec![]));
    let shown = m.nic("web", "n1").await.unwrap();
    assert_eq!((shown.vm.as_deref(), shown.host.as_str(), shown.moving_to), (Some("i-2-3-VM"), "h1", None));
    assert!(code(m.delete_host("h1", false).await, Code::Conflict).contains("n1"));
    assert!(code(m.delete_network("web", false).await, Code::Conflict).contains("n1"));
    let kinds: Vec<_> =
        m.events(&EventsWanted { kind: Some("nic_prepared".into()), ..Default::default() }).await.unwrap().events;
    assert!(kinds.iter().all(|event| event.network.as_deref() == Some("web") && event.actor.is_some()), "{kinds:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_released_nic_takes_its_host_out_after_a_while() {
    let bench = bench_with("[membership]\nlinger = \"1s\"\n", Store::in_memory("dc1")).await;
    let m = &bench.manager;
    m.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    m.put_network("web", &network(Some(1001)), false).await.unwrap();
    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[1]).await;
    for (n, host) in (1..).zip(&hosts) {
        m.put_host(&format!("h{n}"), &put(&host.url, Some(n)), false).await.unwrap();
    }
    until("the network to be whole", async || {
        m.proof("web").await.ok().filter(|proof| proof.whole && proof.tunnels.proven == 2)
    })
    .await;
    for n in ["1", "2"] {
        m.prepare_nic("web", n, &nic(&format!("h{n}")), false).await.unwrap();
    }
    assert!(m.proof("web").await.unwrap().whole);
    assert_eq!(m.release_nic("web", "2", None, false).await.unwrap().outcome, Outcome::Removed);
    assert_eq!(m.release_nic("web", "2", None, false).await.unwrap().outcome, Outcome::Unchanged);
    let reason = until("its host to be too many", async || m.proof("web").await.unwrap().reason).await;
    assert!(reason.starts_with("tunnel_too_many on h1 to h2"), "{reason}");
    let plan = m.plan("web").await.unwrap();
    let sent: Vec<_> =
        plan.requests.iter().map(|r| format!("{} {} {} {}", r.stage, r.host, r.method, r.path)).collect();
    assert_eq!(sent, ["leaves h1 PUT /v1/bridges/xapi1", "bridges h2 DELETE /v1/bridges/xapi1"]);
    assert_eq!(hosts[1].client.bridges().await.unwrap().bridges.len(), 1, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migrating_nic_is_on_two_hosts_and_no_third() {
    let bench = with_hosts().await;
    let m = &bench.manager;
    m.put_network("web", &network(None), false).await.unwrap();
    let answer = m.prepare_nic("web", "n1", &nic("h1"), false).await.unwrap();
    assert_eq!((answer.key, answer.plan.network.as_str()), (None, "web"), "no key is allocated");
    assert_eq!(m.keys(&[]).await.unwrap().keys, []);
    let network = m.network("web").await.unwrap();
    assert_eq!((network.state, network.reason.unwrap().what.as_str()), (NetworkState::Broken, "key_missing"));

    let places = async || {
        let nic = m.nic("web", "n1").await.unwrap();
        (nic.host, nic.moving_to)
    };
    let at = |host: &str, moving_to: Option<&str>| (host.to_owned(), moving_to.map(str::to_owned));
    m.prepare_nic("web", "n1", &nic("h2"), true).await.unwrap();
    assert_eq!(places().await, at("h1", None), "a dry run moves nothing");
    m.prepare_nic("web", "n1", &nic("h2"), false).await.unwrap();
    assert_eq!(places().await, at("h1", Some("h2")));
    let detail = code(m.prepare_nic("web", "n1", &nic("h3"), false).await, Code::Migrating);
    assert!(detail.contains("from host h1 to host h2"), "{detail}");
    assert_eq!(m.roll_back_nic("web", "n1", false).await.unwrap().outcome, Outcome::Updated);
    assert_eq!(places().await, at("h1", None));
    m.prepare_nic("web", "n1", &nic("h2"), false).await.unwrap();
    assert_eq!(m.nic_migrated("web", "n1", false).await.unwrap().nic.unwrap().host, "h2");
    assert_eq!(m.nic_migrated("web", "n1", false).await.unwrap().outcome, Outcome::Unchanged);
    let replaced = PutNic { how: Some(MoveWord::Replace), ..nic("h3") };
    m.prepare_nic("web", "n1", &replaced, false).await.unwrap();
    assert_eq!(places().await, at("h3", None));

    let drained = PutHost { mode: Mode::Drain, ..put("https://127.0.0.1:3", Some(3)) };
    m.put_host("h3", &drained, false).await.unwrap();
    assert!(code(m.prepare_nic("web", "n2", &nic("h3"), false).await, Code::Draining).contains("h3 is being drained"));
    m.prepare_nic("web", "n1", &nic("h3"), false).await.expect("what is there stays");
    assert_eq!(m.nics("web").await.unwrap().nics.len(), 1);

    assert!(code(m.prepare_nic("web", "n2", &nic("h9"), false).await, Code::NotFound).contains("no host h9"));
    assert!(code(m.prepare_nic("n9", "n2", &nic("h1"), false).await, Code::NotFound).contains("no network n9"));
    for answer in [m.nic_migrated("web", "n9", false).await, m.roll_back_nic("n9", "n1", false).await] {
        code(answer, Code::NotFound);
    }
    code(m.nic("web", "n9").await, Code::NotFound);
    code(m.nics("n9").await, Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_preparation_names_field_and_rule_and_changes_nothing() {
    let bench = with_hosts().await;
    let m = &bench.manager;
    m.put_network("web", &network(None), false).await.unwrap();
    let some = |text: &str| Some(text.to_owned());
    let cases = [
        (nic("h 1"), "host must be 1 to 63"),
        (PutNic { vm: some(""), ..nic("h1") }, "vm must be 1 to 255"),
        (PutNic { mac: some("01:00:5e:00:00:01"), ..nic("h1") }, "mac must be the Ethernet address of one card"),
        (PutNic { ip: some("10.1.1"), ..nic("h1") }, "ip must be an IPv4 or IPv6 address"),
        (PutNic { bridge: some("a/b"), ..nic("h1") }, "bridge must"),
        (PutNic { wait: some("2m"), ..nic("h1") }, "wait must be a duration of at most a minute"),
    ];
    for (body, rule) in cases {
        let detail = code(m.prepare_nic("web", "n1", &body, false).await, Code::InvalidRequest);
        assert!(detail.starts_with(rule), "{rule}: {detail}");
    }
    assert!(
        code(m.prepare_nic("web", "n/1", &nic("h1"), false).await, Code::InvalidRequest).starts_with("nic must be")
    );
    assert_eq!(m.nics("web").await.unwrap().nics, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn ranges_that_are_used_up_are_said_and_warned_of() {
    let bench = with_hosts().await;
    let m = &bench.manager;
    m.put_physical_network("p1", &physical(Isolation::Gre, "1001"), false).await.unwrap();
    m.put_network("full", &network(Some(1001)), false).await.unwrap();
    m.put_network("web", &network(None), false).await.unwrap();
    let answer = m.prepare_nic("web", "n1", &nic("h1"), false).await.unwrap();
    let why = &answer.plan.blocked[0].reason;
    assert!(why.contains("no key is free in 1001 of the physical network p1: of 1, 1 are in use"), "{why}");
    let usage = m.physical_network("p1").await.unwrap().keys;
    assert!(usage.warned && usage.free == 0, "{usage:?}");
    let trouble = until("the warning", async || m.overview().await.unwrap().troubles.into_iter().next()).await;
    assert_eq!(trouble.kind, "keys_scarce");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_prepares_and_releases_on_itself_only() {
    let bench = with_hosts().await;
    let m = &bench.manager;
    m.put_network("web", &network(None), false).await.unwrap();
    let own = client(&bench, "h1");
    let detail = code(own.prepare_nic("web", "n1", &nic("h2"), false).await, Code::Forbidden);
    assert_eq!(detail, "h1 is a host and may prepare and release NICs on itself only, not on h2");
    own.prepare_nic("web", "n1", &nic("h1"), false).await.unwrap();
    m.prepare_nic("web", "n2", &nic("h2"), false).await.unwrap();
    code(own.release_nic("web", "n2", Some("h2"), false).await, Code::Forbidden);
    assert_eq!(
        own.release_nic("web", "n2", None, false).await.unwrap().outcome,
        Outcome::Unchanged,
        "it is another host's"
    );
    assert_eq!(m.nics("web").await.unwrap().nics.len(), 2);
    // It goes away by migration: the other host keeps it.
    m.prepare_nic("web", "n1", &nic("h2"), false).await.unwrap();
    let released = own.release_nic("web", "n1", None, false).await.unwrap();
    assert_eq!((released.outcome, released.nic.unwrap().host.as_str()), (Outcome::Updated, "h2"));
    code(own.nic_migrated("web", "n2", false).await, Code::Forbidden);
    code(own.nics("web").await, Code::Forbidden);
    code(own.delete_network("web", false).await, Code::Forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_recorded_is_there_after_a_restart() {
    let store = Store::in_memory("dc1");
    let first = bench_with("", store.clone()).await;
    let m = &first.manager;
    m.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    m.put_host("h1", &put("https://127.0.0.1:1", Some(1)), false).await.unwrap();
    m.put_network("web", &network(Some(1001)), false).await.unwrap();
    m.prepare_nic("web", "n1", &PutNic { bridge: Some("br7".into()), ..nic("h1") }, false).await.unwrap();
    let nics = m.nics("web").await.unwrap();
    drop(first);
    // A manager that was killed between network and key left this.
    store.delete_key("1001".parse().unwrap()).await.unwrap();
    let later = bench_with("", store).await;
    let m = &later.manager;
    assert_eq!(m.nics("web").await.unwrap(), nics);
    let answer = m.prepare_nic("web", "n1", &nic("h1"), false).await.unwrap();
    assert_eq!((answer.recorded, answer.bridge.as_deref(), answer.key), (Outcome::Unchanged, Some("br7"), Some(1001)));
    assert_eq!(m.keys(&[]).await.unwrap().keys[0].network.as_deref(), Some("web"));
}

#[tokio::test(flavor = "multi_thread")]
async fn leaked_and_doubly_claimed_keys_are_found() {
    let store = Store::in_memory("dc1");
    let first = bench_with("", store.clone()).await;
    first.manager.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    first.manager.put_network("web", &network(Some(1001)), false).await.unwrap();
    drop(first);
    // What a database that was mended by hand may have: of a network that is gone, of one that has another, of two.
    let row = |key: &str, network: u64| KeyRow {
        key: key.parse().unwrap(),
        state: ovstunnel_store::KeyState::Allocated,
        network: Some(network.try_into().unwrap()),
        since: 0,
        hosts: vec![],
    };
    store.delete_key("1001".parse().unwrap()).await.unwrap();
    for (key, network) in [("1001", 8), ("1005", 9), ("1006", 1)] {
        store.put_key(&row(key, network)).await.unwrap();
    }
    let later = bench_with("", store).await;
    let keys = later.manager.keys(&[]).await.unwrap().keys;
    let told: Vec<_> =
        keys.iter().flat_map(|key| key.troubles.iter().map(|trouble| (key.key, trouble.kind.as_str()))).collect();
    assert_eq!(told, [(1001, "key_doubled"), (1005, "key_leaked"), (1006, "key_leaked")]);
    assert!(keys[0].troubles[0].evidence.contains("allocated to network 8, and network web has it"), "{keys:?}");
}
