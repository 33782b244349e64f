//! `GET /v1/watch` of the manager: what is told is what the other routes answer, each change once and in order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::common;

use crate::common::{Bench, bench, client, host, host_changed, physical, put, refused, set_up, until};
use axum::Json;
use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use ovstunnel_api::{Code, Position};
use ovstunnel_client::Watch;
use ovstunnel_manager_api::{HostState, Isolation, PutNetwork, ZoneEvent};

type Events = Watch<ZoneEvent>;

async fn watch(bench: &Bench, last: Option<&Position>) -> Events {
    bench.manager.watch(last).await.unwrap()
}

async fn next(events: &mut Events) -> (Position, ZoneEvent) {
    let next = tokio::time::timeout(common::PATIENCE, events.next()).await.expect("an event in time");
    let (position, event) = next.unwrap().expect("an event before the end");
    (position.expect("a position"), event)
}

/// The next event of which this can be said, with its position.
async fn event<T>(events: &mut Events, wanted: impl Fn(ZoneEvent) -> Option<T>) -> (Position, T) {
    let end = tokio::time::Instant::now() + common::PATIENCE;
    loop {
        assert!(tokio::time::Instant::now() < end, "waited for an event");
        let (position, event) = next(events).await;
        if let Some(found) = wanted(event) {
            return (position, found);
        }
    }
}

fn whole(event: ZoneEvent) -> Option<ovstunnel_manager_api::Network> {
    let ZoneEvent::Network(network) = event else { return None };
    (network.state == ovstunnel_manager_api::NetworkState::Whole && network.wanted == 2).then_some(*network)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_changes_is_told_as_the_other_routes_answer_it() {
    let bench = bench().await;
    let mut events = watch(&bench, None).await;
    let (_, first) = next(&mut events).await;
    let ZoneEvent::Snapshot(overview) = first else { panic!("{first:?}") };
    assert_eq!((overview.zone.as_str(), overview.hosts.all), ("dc1", 0));

    let hosts = [host(bench.dir.path(), 1).await, host(bench.dir.path(), 2).await];
    for (n, host) in (1..).zip(&hosts) {
        bench.manager.put_host(&format!("h{n}"), &put(&host.url, Some(n)), false).await.unwrap();
    }
    set_up(&hosts[0], 1, &[2]).await;
    set_up(&hosts[1], 2, &[1]).await;
    let (_, told) = event(&mut events, whole).await;
    assert_eq!(told, bench.manager.network("key-1001").await.unwrap());
    assert_eq!(told.members.as_ref().unwrap().len(), 2, "its hosts are told, too");
    let (_, numbers) = event(&mut events, |event| match event {
        ZoneEvent::Overview(overview) => Some(overview).filter(|overview| overview.tunnels.proven == 2),
        _ => None,
    })
    .await;
    assert_eq!((numbers.hosts.ok, numbers.networks.whole), (2, 1));

    // Recorded, it has another name.
    let network =
        PutNetwork { physical_network: "p1".into(), number: None, key: Some(1001), adopt: true, ipv6: None, mtu: None };
    bench.manager.put_physical_network("p1", &physical(Isolation::Gre, "1001-1010"), false).await.unwrap();
    bench.manager.put_network("n1", &network, false).await.unwrap();
    let (_, told) = event(&mut events, whole).await;
    assert_eq!((told.name.as_str(), told.record.is_some()), ("n1", true));
    let gone = |event| match event {
        ZoneEvent::NetworkGone(gone) => Some(gone.name),
        _ => None,
    };
    assert_eq!(event(&mut events, gone).await.1, "key-1001");

    // A host that ends is told of, and one that is removed.
    let [one, _other] = hosts;
    one.serving.shutdown(std::time::Duration::ZERO).await;
    let (_, silent) = event(&mut events, |event| match event {
        ZoneEvent::Host(host) => Some(host).filter(|host| host.state == HostState::Silent),
        _ => None,
    })
    .await;
    assert_eq!((silent.name.as_str(), silent.troubles[0].kind.as_str()), ("h1", "host_silent"));
    // It is not whole, and from then on it is broken, though nothing changes any more.
    event(&mut events, |event| match event {
        ZoneEvent::Network(network) => {
            Some(()).filter(|()| network.state == ovstunnel_manager_api::NetworkState::Broken)
        }
        _ => None,
    })
    .await;
    bench.manager.delete_host("h1", false).await.unwrap();
    let gone = |event| match event {
        ZoneEvent::HostGone(gone) => Some(gone.name),
        _ => None,
    };
    assert_eq!(event(&mut events, gone).await.1, "h1");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_gets_what_it_has_missed_or_begins_anew() {
    let bench = bench().await;
    let (mut here, mut away) = (watch(&bench, None).await, watch(&bench, None).await);
    let (position, _) = next(&mut away).await;
    drop(away);
    for n in 1..=3 {
        let body = put(&format!("https://127.0.0.1:{n}"), Some(n));
        bench.manager.put_host(&format!("h{n}"), &body, false).await.unwrap();
    }
    let third = |event: &ZoneEvent| matches!(event, ZoneEvent::Host(host) if host.name == "h3");
    let mut told = Vec::new();
    next(&mut here).await;
    while !told.last().is_some_and(|(_, event)| third(event)) {
        told.extend(Some(next(&mut here).await).filter(|(_, event)| *event != ZoneEvent::Ping));
    }
    let mut back = watch(&bench, Some(&position)).await;
    for event in told {
        assert_eq!(next(&mut back).await, event);
    }
    for unknown in [
        Position { instance: "another".into(), ..position.clone() },
        Position { version: position.version + 1000, ..position },
    ] {
        let (_, first) = next(&mut watch(&bench, Some(&unknown)).await).await;
        let ZoneEvent::Snapshot(overview) = first else { panic!("{first:?}") };
        assert_eq!(overview.hosts.all, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn viewers_may_watch_hosts_may_not_and_a_bad_position_is_named() {
    let bench = bench().await;
    let (anybody, of_host) = (client(&bench, "anybody"), client(&bench, "h1"));
    bench.manager.put_host("h1", &put("https://127.0.0.1:1", Some(1)), false).await.unwrap();
    let first = next(&mut anybody.watch(None).await.unwrap()).await.1;
    assert!(matches!(first, ZoneEvent::Snapshot(_)), "{first:?}");
    assert_eq!(refused(of_host.watch(None).await).0, Code::Forbidden);
    let bad = Position { instance: "5 f".into(), version: 1 };
    let (code, detail) = refused(bench.manager.watch(Some(&bad)).await);
    assert_eq!(code, Code::InvalidRequest);
    assert!(detail.starts_with("Last-Event-ID must be <instance>-<version>"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_counted_and_told_the_end() {
    let bench = bench().await;
    let mut events = watch(&bench, None).await;
    next(&mut events).await;
    assert_eq!(bench.watched().counts().current_readers(), 1);
    bench.watched().end_all();
    until("the end", async || {
        let next = events.next().await.unwrap();
        next.is_none().then_some(())
    })
    .await;
    until("nobody to watch", async || (bench.watched().counts().current_readers() == 0).then_some(())).await;
}

/// What the daemon of a host is at the moment.
const OLD: u8 = 0;
const OLD_AND_DEGRADED: u8 = 1;
const NEW: u8 = 2;

/// A daemon of the version before those that tell of changes, until it is replaced.
async fn as_it_is(State(what): State<Arc<AtomicU8>>, request: Request, next: Next) -> Response {
    let (what, path) = (what.load(Ordering::SeqCst), request.uri().path().to_owned());
    if what != NEW && path == "/v1/watch" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let answer = next.run(request).await;
    if what == NEW || path != "/readyz" {
        return answer;
    }
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let mut ready: serde_json::Value = serde_json::from_slice(&body).unwrap();
    ready["version"] = "0.1.0".into();
    if what == OLD_AND_DEGRADED {
        ready["health"] = serde_json::json!({"state": "degraded", "reasons": [{
            "what": "vswitchd", "subject": "ovs-vswitchd", "severity": "degraded", "evidence": "it hangs", "remedy": "restart it",
        }]});
    }
    Json(ready).into_response()
}

/// An upgrade takes less time than passes between two questions: nothing is heard of it but another version.
#[tokio::test(flavor = "multi_thread")]
async fn a_polled_daemon_is_watched_once_it_is_replaced() {
    let bench = bench().await;
    let (what, own) = (Arc::new(AtomicU8::new(OLD)), bench.dir.path().join("pki").join("host"));
    let layer = from_fn_with_state(Arc::clone(&what), as_it_is);
    let host = host_changed(bench.dir.path(), 1, &own, |app| app.layer(layer)).await;
    bench.manager.put_host("h1", &put(&host.url, Some(1)), false).await.unwrap();
    let seen = async |words: &str, is_so: &dyn Fn(&ovstunnel_manager_api::Host) -> bool| {
        until(words, async || bench.manager.host("h1").await.ok().filter(|host| is_so(host))).await
    };
    let old = seen("the old daemon", &|host| host.daemon.as_deref() == Some("0.1.0")).await;
    assert!(!old.watched && old.cannot.iter().any(|lacks| lacks.capability == "watch"), "{old:?}");
    // Its health is told though its bridges stay as they are.
    what.store(OLD_AND_DEGRADED, Ordering::SeqCst);
    seen("its trouble", &|host| host.state == HostState::Degraded).await;
    what.store(NEW, Ordering::SeqCst);
    let new = seen("the new daemon", &|host| host.watched && host.state == HostState::Ok).await;
    assert_eq!(new.daemon.as_deref(), Some(env!("CARGO_PKG_VERSION")));
    assert!(!new.cannot.iter().any(|lacks| lacks.capability == "watch"), "{new:?}");
}
