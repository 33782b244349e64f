//! A manager that changes hosts, as a client of its API and as the hosts see it; the hosts are daemons on simulated switches.

use crate::common::{Bench, Host, acting_after, acting_with, code, host, physical, put, set_up, until};
use ovstunnel_api::{Code, PluginArguments};
use ovstunnel_client::{EventsWanted, Manager};
use ovstunnel_manager_api::{HoldScope, HostState, Isolation, MoveWord, NicAnswer, NicOutcome, PutNetwork, PutNic};
use ovstunnel_store::Store;

/// A network's UUID in xapi.
const UUID: &str = "3a2c9a4e-9d3b-4c8b-9d0e-0f6d2b1c5a77";

const ON: &str = "[membership]\nlinger = \"0s\"\n";

fn nic(host: usize) -> PutNic {
    let (host, wait) = (format!("h{host}"), Some("20s".into()));
    PutNic { host, vm: None, mac: None, ip: None, bridge: None, wait, how: None }
}

/// A manager that acts, with hosts h1 to h`n`, the physical network p1 and the network web.
async fn zone(n: usize) -> (Bench, Vec<Host>) {
    zone_on(n, Store::in_memory("dc1")).await
}

async fn zone_on(n: usize, store: Store) -> (Bench, Vec<Host>) {
    let bench = acting_with(ON, store).await;
    let m = &bench.manager;
    m.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    let network =
        PutNetwork { physical_network: "p1".into(), number: None, key: None, adopt: false, ipv6: None, mtu: None };
    m.put_network("web", &network, false).await.unwrap();
    let mut hosts = Vec::new();
    for number in 1..=n {
        let host = host(bench.dir.path(), number as u8).await;
        m.put_host(&format!("h{number}"), &put(&host.url, Some(number as u64)), false).await.unwrap();
        hosts.push(host);
    }
    all_ok(m, n).await;
    (bench, hosts)
}

async fn all_ok(m: &Manager, n: usize) {
    let is_ok = async || {
        let hosts = m.hosts().await.unwrap().hosts;
        (hosts.iter().filter(|host| host.state == HostState::Ok).count() == n).then_some(())
    };
    until("all hosts to be ok", is_ok).await;
}

/// Of each host, the other ends of the tunnels of its bridge `ovt1001`; nothing where it has none.
async fn meshes(hosts: &[Host]) -> Vec<Option<Vec<String>>> {
    let mut found = Vec::new();
    for host in hosts {
        let bridges = host.client.bridges().await.unwrap().bridges;
        let ours = bridges.into_iter().find(|bridge| bridge.name == "ovt1001");
        found.push(ours.map(|bridge| {
            let mut to: Vec<String> = bridge.tunnels.into_iter().map(|tunnel| tunnel.to).collect();
            to.sort();
            to
        }));
    }
    found
}

fn mesh(of: &[usize], among: usize) -> Vec<Option<Vec<String>>> {
    let others = |n: usize| of.iter().filter(|other| **other != n).map(ToString::to_string).collect();
    (1..=among).map(|n| of.contains(&n).then(|| others(n))).collect()
}

async fn until_mesh(hosts: &[Host], of: &[usize]) {
    let wanted = mesh(of, hosts.len());
    until(&format!("the mesh of {of:?}"), async || (meshes(hosts).await == wanted).then_some(())).await;
}

fn of(answer: &NicAnswer) -> (NicOutcome, u32, u32) {
    (answer.outcome, answer.tunnels.wanted, answer.tunnels.up)
}

#[tokio::test(flavor = "multi_thread")]
async fn nics_bring_the_mesh_and_their_release_takes_it_away() {
    let (bench, hosts) = zone(3).await;
    let m = &bench.manager;
    let dry = m.prepare_nic("web", "n1", &nic(1), true).await.unwrap();
    assert_eq!(m.network("web").await.unwrap().key, None, "a dry run allocates no key: {dry:?}");
    let first = m.prepare_nic("web", "n1", &nic(1), false).await.unwrap();
    assert_eq!(of(&first), (NicOutcome::Ready, 0, 0), "{first:?}");
    assert_eq!((first.key, first.bridge.as_deref(), first.mtu), (Some(1001), Some("ovt1001"), Some(1458)));
    assert_eq!(meshes(&hosts).await, mesh(&[1], 3));
    let second = m.prepare_nic("web", "n2", &nic(2), false).await.unwrap();
    assert_eq!(of(&second), (NicOutcome::Ready, 2, 2), "{second:?}");
    let third = m.prepare_nic("web", "n3", &nic(3), false).await.unwrap();
    assert_eq!(of(&third), (NicOutcome::Ready, 4, 4), "{third:?}");
    assert_eq!(meshes(&hosts).await, mesh(&[1, 2, 3], 3));
    assert!(m.proof("web").await.unwrap().whole);
    m.release_nic("web", "n3", None, false).await.unwrap();
    until_mesh(&hosts, &[1, 2]).await;
    m.release_nic("web", "n1", None, false).await.unwrap();
    m.release_nic("web", "n2", None, false).await.unwrap();
    until_mesh(&hosts, &[]).await;
    assert_eq!(m.holds().await.unwrap().holds, [], "what was released by name asks nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_has_both_hosts_until_it_ends() {
    let (bench, hosts) = zone(3).await;
    let m = &bench.manager;
    m.prepare_nic("web", "n1", &nic(1), false).await.unwrap();
    m.prepare_nic("web", "n2", &nic(2), false).await.unwrap();
    let moving = m.prepare_nic("web", "n2", &nic(3), false).await.unwrap();
    assert_eq!(of(&moving), (NicOutcome::Ready, 4, 4), "{moving:?}");
    assert_eq!(meshes(&hosts).await, mesh(&[1, 2, 3], 3));
    m.nic_migrated("web", "n2", false).await.unwrap();
    until_mesh(&hosts, &[1, 3]).await;
    let back = PutNic { how: Some(MoveWord::Replace), ..nic(2) };
    let back = m.prepare_nic("web", "n2", &back, false).await.unwrap();
    assert_eq!(back.outcome, NicOutcome::Ready, "{back:?}");
    until_mesh(&hosts, &[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_taken_away_behind_its_back_comes_back() {
    let (bench, hosts) = zone(3).await;
    let m = &bench.manager;
    for n in 1..=3 {
        m.prepare_nic("web", &format!("n{n}"), &nic(n), false).await.unwrap();
    }
    hosts[0].client.delete_bridge("ovt1001").await.unwrap();
    until_mesh(&hosts, &[1, 2, 3]).await;
    let port = hosts[1].client.bridge("ovt1001").await.unwrap().tunnels[0].port.clone();
    hosts[1].client.delete_tunnel("ovt1001", &port).await.unwrap();
    until_mesh(&hosts, &[1, 2, 3]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_of_another_zone_is_watched_and_not_changed() {
    let (bench, hosts) = zone(1).await;
    let m = &bench.manager;
    let other = host(bench.dir.path(), 2).await;
    let zone = "11111111-2222-4333-8444-555555555555:7".parse().unwrap();
    other.client.record_epoch(zone).await.unwrap();
    m.put_host("h2", &put(&other.url, Some(2)), false).await.unwrap();
    let trouble = until("what is wrong with h2", async || {
        m.host("h2").await.unwrap().troubles.into_iter().find(|trouble| trouble.kind == "other_zone")
    });
    let trouble = trouble.await;
    assert!(trouble.remedy.contains("epoch clear"), "{trouble:?}");
    m.prepare_nic("web", "n1", &nic(1), false).await.unwrap();
    let answer = m.prepare_nic("web", "n2", &PutNic { wait: Some("1s".into()), ..nic(2) }, false).await.unwrap();
    assert_eq!(of(&answer), (NicOutcome::Pending, 2, 1), "{answer:?}");
    assert_eq!(other.client.bridges().await.unwrap().bridges, []);
    other.client.clear_epoch().await.unwrap();
    m.resync_host("h2").await.unwrap();
    let both: Vec<Host> = hosts.into_iter().chain([other]).collect();
    until_mesh(&both, &[1, 2]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_pass_after_off_joins_at_once_and_asks_to_remove() {
    let store = Store::in_memory("dc1");
    let (bench, hosts) = zone_on(2, store.clone()).await;
    let m = &bench.manager;
    m.prepare_nic("web", "n1", &nic(1), false).await.unwrap();
    m.prepare_nic("web", "n2", &nic(2), false).await.unwrap();
    // Behind its back: as if it had been off when the NIC was released.
    let web = store.network("web").await.unwrap().unwrap().number;
    assert!(store.delete_nic(web, "n2").await.unwrap());
    store.set_setting("controller", None).await.unwrap();
    let events = EventsWanted { kind: Some("hold".into()), ..EventsWanted::default() };
    assert_eq!(m.events(&events).await.unwrap().events, []);
    let again = acting_after(bench, ON, store).await;
    let m2 = &again.manager;
    all_ok(m2, 2).await;
    let hold = until("a hold", async || m2.holds().await.unwrap().holds.into_iter().next()).await;
    assert_eq!((hold.scope, hold.tunnels, &hold.hosts), (HoldScope::FirstPass, 2, &vec!["h2".to_owned()]), "{hold:?}");
    assert_eq!(meshes(&hosts).await, mesh(&[1, 2], 2));
    let overview = m2.overview().await.unwrap();
    assert!(overview.troubles.iter().any(|trouble| trouble.kind == "hold"), "{overview:?}");
    let refused = m2.decide_hold(hold.id, false).await.unwrap();
    assert_eq!((refused.id, meshes(&hosts).await), (hold.id, mesh(&[1, 2], 2)));
    assert!(code(m2.decide_hold(99, true).await, Code::NotFound).contains("no hold 99"));
    m2.decide_hold(hold.id, true).await.unwrap();
    until_mesh(&hosts, &[1]).await;
    assert_eq!(m2.holds().await.unwrap().holds, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_network_is_completed_and_nothing_of_it_is_removed() {
    let (bench, hosts) = zone(2).await;
    let m = &bench.manager;
    // In this order: a tunnel that leads to a host without a bridge would get it one.
    set_up(&hosts[1], 2, &[]).await;
    set_up(&hosts[0], 1, &[2]).await;
    let tunnels = async |host: &Host| host.client.bridge("xapi1").await.unwrap().tunnels.len();
    until("the missing tunnel", async || (tunnels(&hosts[1]).await == 1).then_some(())).await;
    until("the proof", async || m.proof("key-1001").await.ok().filter(|proof| proof.whole).map(drop)).await;
    // It has no VIF, and no call of the plugin: nobody has said that it goes.
    assert_eq!((tunnels(&hosts[0]).await, m.holds().await.unwrap().holds.len()), (1, 0));
}

async fn plugin(host: &Host, function: &str, arguments: &[(&str, &str)]) {
    let arguments = arguments.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let answer = host.client.plugin(function, &PluginArguments(arguments)).await.unwrap();
    assert!(answer.value.starts_with("SUCCESS"), "{answer:?}");
}

async fn on_bridge(host: &Host, bridge: &str) -> Option<usize> {
    let bridges = host.client.bridges().await.unwrap().bridges;
    bridges.into_iter().find(|there| there.name == bridge).map(|bridge| bridge.tunnels.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn beside_the_plugin_gaps_are_filled_and_its_removals_done() {
    let (bench, hosts) = zone(3).await;
    let m = &bench.manager;
    for (host, id) in hosts.iter().zip(["1", "2", "3"]) {
        let arguments = [("bridge", "xapi7"), ("key", "77"), ("xs_nw_uuid", UUID), ("cs_host_id", id)];
        plugin(host, "setup_ovs_bridge", &arguments).await;
    }
    for host in &hosts {
        until("the mesh", async || (on_bridge(host, "xapi7").await == Some(2)).then_some(())).await;
    }
    // The last VM has left the third host; CloudStack tells that host alone.
    plugin(&hosts[2], "destroy_ovs_bridge", &[("bridge", "xapi7")]).await;
    until("the bridge to go", async || on_bridge(&hosts[2], "xapi7").await.is_none().then_some(())).await;
    for host in &hosts[..2] {
        until("its tunnels to go", async || (on_bridge(host, "xapi7").await == Some(1)).then_some(())).await;
    }
    assert_eq!(m.holds().await.unwrap().holds, [], "the plugin's call is somebody's word");
    until("the proof", async || m.proof("key-77").await.ok().filter(|proof| proof.whole).map(drop)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_is_given_twice_and_none_left_is_said() {
    let (bench, _hosts) = zone(1).await;
    let m = &bench.manager;
    m.put_physical_network("p2", &physical(Isolation::Gre, "5"), false).await.unwrap();
    for name in ["a", "b"] {
        let network =
            PutNetwork { physical_network: "p2".into(), number: None, key: None, adopt: false, ipv6: None, mtu: None };
        m.put_network(name, &network, false).await.unwrap();
    }
    assert_eq!(m.prepare_nic("a", "n1", &nic(1), false).await.unwrap().key, Some(5));
    let detail = code(m.prepare_nic("b", "n1", &nic(1), false).await, Code::KeysExhausted);
    assert!(detail.contains("p2"), "{detail}");
    assert_eq!(m.nics("b").await.unwrap().nics, [], "what is refused is not recorded");
    m.release_nic("a", "n1", None, false).await.unwrap();
    m.delete_network("a", false).await.unwrap();
    let given = until("the key to be free", async || m.prepare_nic("b", "n1", &nic(1), false).await.ok()).await;
    assert_eq!(given.key, Some(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_tunnel_fails_a_nic_where_that_is_wanted() {
    let bench = acting_with(&format!("{ON}[network]\non_failure = \"fail\"\n"), Store::in_memory("dc1")).await;
    let m = &bench.manager;
    m.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    let network =
        PutNetwork { physical_network: "p1".into(), number: None, key: None, adopt: false, ipv6: None, mtu: None };
    m.put_network("web", &network, false).await.unwrap();
    let there = host(bench.dir.path(), 1).await;
    m.put_host("h1", &put(&there.url, Some(1)), false).await.unwrap();
    all_ok(m, 1).await;
    m.put_host("h2", &put("https://127.0.0.1:1", Some(2)), false).await.unwrap();
    assert_eq!(m.prepare_nic("web", "n1", &nic(1), false).await.unwrap().outcome, NicOutcome::Ready);
    let silent = PutNic { wait: Some("1s".into()), ..nic(2) };
    let detail = code(m.prepare_nic("web", "n2", &silent, false).await, Code::TunnelMissing);
    assert!(detail.starts_with("0 of 2 tunnels of NIC n2 are up on host h2"), "{detail}");
    assert_eq!(m.nics("web").await.unwrap().nics.len(), 2, "it stays recorded: {detail}");
}
