//! The kind that a network's tunnels are to have, as a client of the manager's API sees it; the hosts are daemons on simulated switches.

use axum::extract::Request;
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};

use crate::common::{Bench, Host, acting_after, acting_with, bench, code, host, host_changed, physical, put, until};
use ovstunnel_api::{Code, Outcome, TunnelKind};
use ovstunnel_client::{EventsWanted, Manager};
use ovstunnel_manager_api::{Isolation, NetworkKind, NicOutcome, PutNetwork, PutNetworkKind, PutNic};
use ovstunnel_store::Store;

use TunnelKind::{Gre, Vxlan};

const ON: &str = "[membership]\nlinger = \"0s\"\n";

/// The largest key of VXLAN.
const LAST: u32 = 16_777_215;

async fn set(m: &Manager, name: &str, kind: TunnelKind) -> Result<Outcome, ovstunnel_client::ClientError> {
    Ok(m.put_network_kind(name, &PutNetworkKind { kind }, false).await?.outcome)
}

async fn network(m: &Manager, key: Option<u32>) {
    let vnet = format!("{}-{}", LAST, LAST + 10);
    m.put_physical_network("p1", &physical(Isolation::Gre, &vnet), false).await.unwrap();
    let body = PutNetwork { physical_network: "p1".into(), number: None, key, adopt: false, ipv6: None, mtu: None };
    m.put_network("web", &body, false).await.unwrap();
}

async fn prepare(m: &Manager, host: usize) -> NicOutcome {
    let (host, nic) = (format!("h{host}"), format!("n{host}"));
    let body = PutNic { host, vm: None, mac: None, ip: None, bridge: None, wait: Some("20s".into()), how: None };
    m.prepare_nic("web", &nic, &body, false).await.unwrap().outcome
}

/// Two hosts with a NIC each of a network that has the only key which is small enough.
async fn meshed(store: Store, kind: Option<TunnelKind>) -> (Bench, Vec<Host>) {
    let bench = acting_with(ON, store).await;
    let (m, mut hosts) = (&bench.manager, Vec::new());
    network(m, None).await;
    if let Some(kind) = kind {
        assert_eq!(set(m, "web", kind).await.unwrap(), Outcome::Updated);
    }
    for number in 1..=2u8 {
        let host = host(bench.dir.path(), number).await;
        m.put_host(&format!("h{number}"), &put(&host.url, Some(number.into())), false).await.unwrap();
        hosts.push(host);
    }
    for number in 1..=2 {
        assert_eq!(prepare(m, number).await, NicOutcome::Ready);
    }
    (bench, hosts)
}

async fn kind(m: &Manager) -> NetworkKind {
    m.network("web").await.unwrap().kind.unwrap()
}

async fn until_kind(m: &Manager, hosts: &[Host], wanted: TunnelKind) {
    until("the kind on all hosts", async || Some(kind(m).await).filter(|kind| kind.next.is_none())).await;
    for host in hosts {
        let bridge = host.client.bridge(&format!("ovt{LAST}")).await.unwrap();
        assert_eq!((bridge.kind, bridge.second, bridge.tunnels.len()), (wanted, None, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_hosts_change_their_kind_and_a_successor_knows_it() {
    let store = Store::in_memory("dc1");
    let (bench, hosts) = meshed(store.clone(), None).await;
    let m = &bench.manager;
    assert_eq!(m.network("web").await.unwrap().kind, None);
    let dry = m.put_network_kind("web", &PutNetworkKind { kind: Vxlan }, true).await.unwrap();
    assert_eq!((dry.outcome, m.network("web").await.unwrap().kind), (Outcome::Updated, None), "it records nothing");
    assert_eq!(set(m, &format!("key-{LAST}"), Vxlan).await.unwrap(), Outcome::Updated);
    until_kind(m, &hosts, Vxlan).await;
    assert_eq!(set(m, "web", Vxlan).await.unwrap(), Outcome::Unchanged);
    let events =
        m.events(&EventsWanted { network: Some("web".into()), ..EventsWanted::default() }).await.unwrap().events;
    let texts: Vec<&str> = events.iter().map(|event| event.text.as_str()).collect();
    let told = |text: &str| texts.iter().any(|other| other.contains(text));
    assert!(told("the tunnels of network web are vxlan on all 2 hosts"), "{texts:?}");
    assert!(told(&format!("kinds: h1: bridge ovt{LAST}: prepare for vxlan; h2: ")), "{texts:?}");

    let again = acting_after(bench, ON, store).await;
    let m = &again.manager;
    let record = m.network("web").await.unwrap().record.unwrap();
    assert_eq!(record.kind, Some(Vxlan));
    assert_eq!(set(m, "web", Gre).await.unwrap(), Outcome::Updated);
    until_kind(m, &hosts, Gre).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_network_has_its_kind_and_a_key_that_fits() {
    let (bench, hosts) = meshed(Store::in_memory("dc1"), Some(Vxlan)).await;
    until_kind(&bench.manager, &hosts, Vxlan).await;
    let body =
        PutNetwork { physical_network: "p1".into(), number: None, key: None, adopt: false, ipv6: None, mtu: None };
    bench.manager.put_network("db", &body, false).await.unwrap();
    set(&bench.manager, "db", Vxlan).await.unwrap();
    let nic = PutNic { host: "h1".into(), vm: None, mac: None, ip: None, bridge: None, wait: None, how: None };
    let detail = code(bench.manager.prepare_nic("db", "n1", &nic, false).await, Code::KeysExhausted);
    assert!(detail.contains("p1"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_is_refused_and_changes_nothing() {
    let bench = bench().await;
    let m = &bench.manager;
    assert!(code(set(m, "web", Vxlan).await, Code::NotFound).contains("no network web is recorded"));
    network(m, Some(LAST + 1)).await;
    let detail = code(set(m, "web", Vxlan).await, Code::InvalidRequest);
    assert_eq!(detail, "key must be from 1 to 16777215 where its tunnels are of kind vxlan; got `16777216`");
    assert_eq!(m.network("web").await.unwrap().record.unwrap().kind, None);
    let body =
        |key| PutNetwork { physical_network: "p1".into(), number: None, key, adopt: false, ipv6: None, mtu: None };
    m.put_network("db", &body(None), false).await.unwrap();
    set(m, "db", TunnelKind::Geneve).await.unwrap();
    let detail = code(m.put_network("db", &body(Some(LAST + 2)), false).await, Code::InvalidRequest);
    assert!(detail.contains("where its tunnels are of kind geneve; got `16777217`"), "{detail}");
    // Recorded anew, it has none.
    m.delete_network("db", false).await.unwrap();
    m.put_network("db", &body(None), false).await.unwrap();
    assert_eq!(m.network("db").await.unwrap().record.unwrap().kind, None);
}

/// A daemon that does not tell of changes, as those that cannot change a kind do not either.
async fn without_watch(request: Request, next: Next) -> Response {
    match request.uri().path() {
        "/v1/watch" => StatusCode::NOT_FOUND.into_response(),
        _ => next.run(request).await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_is_too_old_is_named() {
    let bench = bench().await;
    let m = &bench.manager;
    network(m, Some(LAST)).await;
    let own = bench.dir.path().join("pki").join("host");
    let old = host_changed(bench.dir.path(), 2, &own, |app| app.layer(from_fn(without_watch))).await;
    let new = host(bench.dir.path(), 1).await;
    for (number, host) in [(1, &new), (2, &old)] {
        let body = ovstunnel_api::PutBridge {
            key: LAST.into(),
            network_uuid: None,
            host_id: Some(ovstunnel_api::Id::Number(number)),
            ipv6: None,
            uplink: None,
            neighbours: None,
            kind: None,
            tunnels: Some(vec![]),
        };
        host.client.put_bridge("xapi1", &body).await.unwrap();
        m.put_host(&format!("h{number}"), &put(&host.url, Some(number)), false).await.unwrap();
    }
    until("both to be seen", async || m.network("web").await.ok()?.members.filter(|members| members.len() == 2)).await;
    let detail = code(set(m, "web", Vxlan).await, Code::Conflict);
    assert!(
        detail.contains("cannot become vxlan on host h2: its daemon cannot change the kind of tunnels"),
        "{detail}"
    );
    assert_eq!(m.network("web").await.unwrap().record.unwrap().kind, None);
}
