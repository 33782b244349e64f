//! `GET /v1/watch` of the real program, through its listeners: who may watch, and what ends a watch.

use std::fmt::Write as _;

use crate::common::{Daemon, Identity, PATIENCE, Session, client, request, wait_for};
use nix::sys::signal::Signal;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

const WATCH: &str = "GET /v1/watch";

/// Reads until a text has come, or the end; says whether it has.
async fn reads(stream: &mut (impl AsyncRead + Unpin), text: &str) -> bool {
    let (mut seen, mut piece) = (Vec::new(), vec![0; 65536]);
    loop {
        let length = tokio::time::timeout(PATIENCE, stream.read(&mut piece)).await.expect("neither text nor end");
        // An end without a word of TLS is one, too.
        let length = length.unwrap_or_default();
        seen.extend_from_slice(&piece[..length]);
        if String::from_utf8_lossy(&seen).contains(text) {
            return true;
        }
        if length == 0 {
            return false;
        }
    }
}

/// A watch on the Unix socket of which nothing is read.
async fn unread(daemon: &Daemon) -> UnixStream {
    let mut stream = UnixStream::connect(daemon.socket()).await.unwrap();
    stream.write_all(&request(WATCH, &[], b"")).await.unwrap();
    stream
}

async fn metrics(daemon: &Daemon) -> String {
    daemon.ask_socket(&request("GET /metrics", &[], b"")).await.body
}

async fn until_metric(daemon: &Daemon, line: &str) {
    let looked = async {
        while !metrics(daemon).await.contains(line) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, looked).await.unwrap_or_else(|_| panic!("waited in vain: {line}"));
}

/// Makes changes of many tunnels.
async fn change_much(session: &mut Session, bridge: u32, rounds: std::ops::Range<u32>) {
    for round in rounds {
        let mut tunnels = String::new();
        for n in 0..1000u32 {
            let comma = if n > 0 { "," } else { "" };
            write!(tunnels, "{comma}{{\"to\":{},\"remote_ip\":\"10.{round}.{}.{}\"}}", n + 2, n / 250, n % 250 + 1)
                .unwrap();
        }
        let body = format!("{{\"key\":{bridge},\"host_id\":1,\"tunnels\":[{tunnels}]}}");
        let (status, answer) = session.ask(&format!("PUT /v1/bridges/b{bridge}"), &body).await.unwrap();
        assert!(status < 300, "{answer}");
    }
}

/// A watch by HTTP/2 and its first piece.
async fn by_http2(daemon: &Daemon, identity: &Identity) -> reqwest::Response {
    let mut tls = client(&daemon.ca, Some(identity));
    tls.alpn_protocols = vec![b"h2".to_vec()];
    let http2 = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().build().unwrap();
    let mut answer = http2.get(format!("https://{}/v1/watch", daemon.address)).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    assert!(answer.chunk().await.unwrap().unwrap().starts_with(b"event: snapshot\n"));
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_daemon_that_is_told_to_end_ends_its_watches_at_once() {
    let mut daemon = Daemon::simulated("");
    let identity = daemon.ca.issue("manager");
    let mut socket = unread(&daemon).await;
    let mut https = daemon.connect(Some(&identity)).await.unwrap();
    https.write_all(&request(WATCH, &[], b"")).await.unwrap();
    let mut http2 = by_http2(&daemon, &identity).await;
    assert!(reads(&mut socket, "event: snapshot").await && reads(&mut https, "event: snapshot").await);
    // Nor does one hold it up who reads nothing, and has much to read.
    let mut session = Session::open(&daemon, &identity).await.unwrap();
    for bridge in 1..=5 {
        change_much(&mut session, bridge, 0..1).await;
    }
    let _stuck = unread(&daemon).await;
    until_metric(&daemon, "ovstunnel_watchers 4\n").await;
    daemon.signal(Signal::SIGTERM);
    assert!(!reads(&mut socket, "never").await && !reads(&mut https, "never").await);
    while http2.chunk().await.unwrap().is_some() {}
    assert!(daemon.wait().success());
    assert!(!daemon.file("log").contains("requests were cut off"), "{}", daemon.file("log"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_of_one_who_does_not_read_is_ended() {
    let daemon = Daemon::simulated("");
    let identity = daemon.ca.issue("manager");
    let mut session = Session::open(&daemon, &identity).await.unwrap();
    let (mut stuck, mut reader) = (unread(&daemon).await, unread(&daemon).await);
    assert!(reads(&mut stuck, "event: snapshot").await && reads(&mut reader, "event: snapshot").await);
    let changing = async {
        change_much(&mut session, 7, 0..30).await;
        session.ask("PUT /v1/bridges/last", "{\"key\":8}").await.unwrap();
    };
    let (read, ()) = tokio::join!(reads(&mut reader, "\"last\""), changing);
    assert!(read, "who reads gets everything");
    until_metric(&daemon, "ovstunnel_watchers_cut_total 1\n").await;
    until_metric(&daemon, "ovstunnel_watchers 1\n").await;
    daemon.wait_for_log("ended a watch: its reader is too far behind", 1);
    assert!(!reads(&mut stuck, "\"last\"").await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_viewer_may_watch_until_it_may_not_any_more() {
    let daemon = Daemon::simulated("[[tls.clients]]\nname = \"graphs\"\nrole = \"viewer\"\n");
    let viewer = daemon.ca.issue("graphs");
    let mut watch = by_http2(&daemon, &viewer).await;
    // A reload ends it, so that who watches is judged anew.
    daemon.edit("name = \"graphs\"", "name = \"others\"");
    daemon.reload();
    while watch.chunk().await.unwrap().is_some() {}
    let refused = daemon.ask(Some(&viewer), &request(WATCH, &[], b"")).await.unwrap();
    assert_eq!(refused.problem()["code"], "forbidden");
    wait_for("nobody watches", || {
        let text = std::fs::read_to_string(daemon.dir.path().join("log")).unwrap();
        text.contains("configuration and certificates read again").then_some(())
    });
    until_metric(&daemon, "ovstunnel_watchers 0\n").await;
}
