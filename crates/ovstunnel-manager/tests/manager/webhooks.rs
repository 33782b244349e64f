//! Webhooks: what a receiver gets while it takes, refuses or does not answer, and after a restart of the manager.

use crate::common;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use crate::common::{bench_with, code, put, until};
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use ovstunnel_api::Code;
use ovstunnel_manager_api::WebhookState;
use ovstunnel_store::Store;
use ring::hmac;
use serde_json::Value;

/// What came, and what is answered to the next ones; 200 where nothing is said.
#[derive(Clone, Default)]
struct Receiver {
    came: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    answers: Arc<Mutex<VecDeque<u16>>>,
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    receiver.came.lock().unwrap().push((headers, body));
    let answer = receiver.answers.lock().unwrap().pop_front().unwrap_or(200);
    StatusCode::from_u16(answer).unwrap()
}

impl Receiver {
    /// Begins to listen; gives the address.
    async fn start(&self) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new().route("/secret-path", axum::routing::post(take)).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        format!("http://{address}/secret-path")
    }

    fn answer(&self, codes: &[u16]) {
        self.answers.lock().unwrap().extend(codes);
    }

    /// The hosts that it was told of, each message.
    fn hosts(&self) -> Vec<String> {
        let host = |(_, body): &(HeaderMap, String)| {
            let body: Value = serde_json::from_str(body).unwrap();
            assert_eq!((&body["zone"], &body["event"]["kind"]), (&"dc1".into(), &"host_added".into()), "{body}");
            body["event"]["host"].as_str().unwrap().to_owned()
        };
        self.came.lock().unwrap().iter().map(host).collect()
    }

    async fn until_told(&self, hosts: &[&str]) {
        until(&format!("{hosts:?} to be told"), async || (self.hosts() == hosts).then_some(())).await;
    }
}

async fn until_state(bench: &common::Bench, what: &str, mut is: impl FnMut(&WebhookState) -> bool) -> WebhookState {
    until(what, async || bench.manager.webhooks().await.unwrap().webhooks.into_iter().find(&mut is)).await
}

async fn add(bench: &common::Bench, n: u64) {
    bench.manager.put_host(&format!("h{n}"), &put(&format!("https://127.0.0.1:{n}"), Some(n)), false).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_is_sent_in_order_until_accepted_despite_a_restart() {
    let (receiver, dir) = (Receiver::default(), common::folder());
    let (url, secret) = (receiver.start().await, dir.path().join("secret"));
    std::fs::write(&secret, "geheim\n").unwrap();
    let hook = format!(
        "[[webhooks]]\nname = \"pager\"\nurl = \"{url}\"\nsecret = \"{}\"\nevents = [\"host_added\"]\n",
        secret.display()
    );
    let store = Store::in_memory("dc1");
    let bench = bench_with(&hook, store.clone()).await;
    until_state(&bench, "the first look", |hook| hook.done.is_some()).await;

    receiver.answer(&[503]);
    add(&bench, 1).await;
    add(&bench, 2).await;
    receiver.until_told(&["h1", "h1", "h2"]).await;
    let (headers, body) = receiver.came.lock().unwrap()[2].clone();
    assert_eq!(headers["ovstunnel-event"], "host_added");
    let signature = headers["ovstunnel-signature"].to_str().unwrap();
    let (time, tag) = signature.strip_prefix("t=").and_then(|text| text.split_once(",v1=")).unwrap();
    let key = hmac::Key::new(hmac::HMAC_SHA256, b"geheim");
    let signed = hmac::sign(&key, format!("{time}.{body}").as_bytes());
    assert_eq!(tag, signed.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>());

    // Refused: it is kept for whoever asks for it, and those after it go on.
    receiver.answer(&[422]);
    add(&bench, 3).await;
    add(&bench, 4).await;
    receiver.until_told(&["h1", "h1", "h2", "h3", "h4"]).await;
    let state = until_state(&bench, "the dead letter", |hook| !hook.dead.is_empty()).await;
    assert!(state.dead.len() == 1 && state.dead[0].why.contains("422"), "{state:?}");
    let shown = serde_json::to_string(&state).unwrap();
    assert!(shown.contains("http://127.0.0.1:") && !shown.contains("secret-path"), "{shown}");
    let done = bench.manager.redeliver_webhook("pager").await.unwrap();
    assert_eq!((done.taken, done.webhook.dead), (1, vec![]));
    receiver.until_told(&["h1", "h1", "h2", "h3", "h4", "h3"]).await;
    let detail = code(bench.manager.redeliver_webhook("nobody").await, Code::NotFound);
    assert!(detail.contains("no webhook nobody is configured"), "{detail}");

    // What happens while nobody is told is told by the next one.
    until_state(&bench, "all to be done with", |hook| hook.waiting.is_none() && hook.error.is_none()).await;
    drop(bench);
    let quiet = bench_with("", store.clone()).await;
    add(&quiet, 5).await;
    drop(quiet);
    let _next = bench_with(&hook, store).await;
    receiver.until_told(&["h1", "h1", "h2", "h3", "h4", "h3", "h5"]).await;
}
