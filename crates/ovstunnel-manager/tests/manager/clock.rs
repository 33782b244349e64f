//! A host whose clock differs from the manager's is told of, and that it is right again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use crate::common::{Host, bench, host, host_changed, put, until};
use axum::http::HeaderValue;
use axum::http::header::DATE;
use axum::response::Response;
use ovstunnel_client::EventsWanted;
use ovstunnel_manager_api::HostState;

/// A daemon whose clock is so many seconds ahead.
async fn ahead(dir: &Path, number: u8, by: Arc<AtomicU64>) -> Host {
    let dated = move |mut response: Response| {
        let date = SystemTime::now() + Duration::from_secs(by.load(Ordering::Relaxed));
        response.headers_mut().insert(DATE, HeaderValue::from_str(&httpdate::fmt_http_date(date)).unwrap());
        std::future::ready(response)
    };
    let own = dir.join("pki").join("host");
    host_changed(dir, number, &own, |app| app.layer(axum::middleware::map_response(dated))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_differs_is_a_trouble_until_it_is_right() {
    let bench = bench().await;
    let by = Arc::new(AtomicU64::new(90));
    let hosts = [ahead(bench.dir.path(), 1, Arc::clone(&by)).await, host(bench.dir.path(), 2).await];
    for (n, host) in (1..).zip(&hosts) {
        bench.manager.put_host(&format!("h{n}"), &put(&host.url, Some(n)), false).await.unwrap();
    }
    let is = async |name: &str, state| {
        until(name, async || Some(bench.manager.host(name).await.unwrap()).filter(|host| host.state == state)).await
    };
    let wrong = is("h1", HostState::Degraded).await;
    let trouble = wrong.troubles.first().expect("a trouble");
    assert_eq!((trouble.kind.as_str(), wrong.troubles.len()), ("clock_skew", 1));
    let seconds: i64 = trouble.evidence.split(' ').nth(3).unwrap().parse().unwrap();
    assert!((89..=91).contains(&seconds) && trouble.evidence.ends_with(" s ahead of the manager's"), "{trouble:?}");
    assert!(trouble.remedy.contains("NTP"), "{trouble:?}");
    is("h2", HostState::Ok).await;
    by.store(0, Ordering::Relaxed);
    assert!(is("h1", HostState::Ok).await.troubles.is_empty());

    let wanted = EventsWanted { kind: Some("clock_skew".into()), ..EventsWanted::default() };
    let events = until("the event", async || {
        Some(bench.manager.events(&wanted).await.unwrap().events).filter(|events| !events.is_empty())
    })
    .await;
    assert_eq!(events.iter().map(|event| event.host.as_deref()).collect::<Vec<_>>(), [Some("h1")], "{events:?}");
}
