//! The end of the listeners where a handler does not end.

use crate::common;

use std::sync::Arc;
use std::time::Duration;

use crate::common::{answer, request};
use axum::Router;
use axum::routing::get;
use ovstunnel_server::config::Api;
use ovstunnel_server::listen::{Listeners, Peer};
use ovstunnel_server::middleware;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// A router whose one route says that it was entered, then waits to be told to answer.
fn slow(entered: &Arc<Notify>, go_on: &Arc<Notify>) -> Router {
    let (entered, go_on) = (Arc::clone(entered), Arc::clone(go_on));
    let handler = async move |peer: Peer| {
        entered.notify_one();
        go_on.notified().await;
        peer.to_string()
    };
    middleware::wrap_routes(Router::new().route("/slow", get(handler)), None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_has_the_grace_period_and_no_more() {
    for (told_in_time, all_finished) in [(true, true), (false, false)] {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("o.sock");
        let api = Api { listen: None, socket: socket.clone() };
        let (entered, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let serving = Listeners::bind(&api, None).await.unwrap().serve(&slow(&entered, &go_on), |_| {});
        let mut client = UnixStream::connect(&socket).await.unwrap();
        client.write_all(&request("GET /slow", &[], b"")).await.unwrap();
        entered.notified().await;
        let grace = if told_in_time { common::PATIENCE } else { Duration::from_millis(50) };
        let ending = tokio::spawn(serving.shutdown(grace));
        common::wait_for("no new connections", || std::os::unix::net::UnixStream::connect(&socket).err());
        if told_in_time {
            go_on.notify_one();
        }
        let got = answer(client).await;
        assert_eq!(
            got.as_ref().ok().map(|a| (a.status, a.body.as_str())),
            told_in_time.then_some((200, "root")),
            "{got:?}"
        );
        assert_eq!(ending.await.unwrap(), all_finished);
    }
}
