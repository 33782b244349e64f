//! Many clients, slow ones and greedy ones: the others are served meanwhile, and the daemon's memory stays bounded.

use crate::common;

use crate::common::{Answer, Daemon, Identity, Session, request};
use futures_util::future::join_all;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Far above what the daemon takes here, and far below what the clients would have it take.
const MEMORY: u64 = 128 << 20;

async fn set_up(daemon: &Daemon, identity: &Identity, n: usize) -> (u16, String) {
    let body = format!(r#"{{"key": {}, "tunnels": [{{"to": 2, "remote_ip": "192.0.2.2"}}], "host_id": 1}}"#, n + 1);
    Session::open(daemon, identity).await.unwrap().ask(&format!("PUT /v1/bridges/b{n}"), &body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_hundred_clients_at_once_are_all_served() {
    let daemon = Daemon::simulated("");
    let identity = daemon.ca.issue("manager");
    let mut sessions = join_all((0..300).map(|_| Session::open(&daemon, &identity))).await;
    let asked = sessions.iter_mut().enumerate().map(async |(n, session)| {
        let body = format!(r#"{{"key": {}}}"#, n + 1);
        session.as_mut().unwrap().ask(&format!("PUT /v1/bridges/b{n}"), &body).await.unwrap()
    });
    let answers = join_all(asked).await;
    assert!(answers.iter().all(|(status, _)| *status == 201), "{answers:?}");
    let list = daemon.ask(Some(&identity), &request("GET /v1/bridges", &[], b"")).await.unwrap();
    assert_eq!(list.body.matches("\"name\":\"b").count(), 300);
    assert!(daemon.memory() < MEMORY, "{} bytes", daemon.memory());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_and_greedy_clients_delay_nobody() {
    let daemon = Daemon::simulated("");
    let identity = daemon.ca.issue("manager");
    // Half-open: nothing at all, or the beginning of a handshake.
    let mut kept_tcp = Vec::new();
    for n in 0..60 {
        let mut stream = TcpStream::connect(daemon.address).await.unwrap();
        if n % 2 == 0 {
            stream.write_all(&[0x16, 3, 1, 2, 0]).await.unwrap();
        }
        kept_tcp.push(stream);
    }
    // Headers and bodies that begin and never end: together the bodies are 160 MB.
    let (beginning, megabyte) =
        (request("PUT /v1/bridges/slow", &[("content-length", "1048576")], b""), vec![b' '; 1_000_000]);
    let slow = (0..240).map(async |n| {
        let mut stream = daemon.connect(Some(&identity)).await.unwrap();
        if n % 3 == 0 {
            stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-slow: ").await.unwrap();
            return stream;
        }
        stream.write_all(&beginning).await.unwrap();
        // The daemon stops to read at some point.
        let _ = tokio::time::timeout(std::time::Duration::from_millis(500), stream.write_all(&megabyte)).await;
        stream
    });
    let kept_tls = join_all(slow).await;
    for n in 0..20 {
        let (status, body) = set_up(&daemon, &identity, n).await;
        assert_eq!(status, 201, "{body}");
        assert_eq!(daemon.ask_socket(&request("GET /v1/bridges", &[], b"")).await.status, 200);
    }
    let memory = daemon.memory();
    println!("{} MiB while 160 bodies of 1 MB, 80 headers and 60 handshakes do not end", memory >> 20);
    assert!(memory < MEMORY, "{memory} bytes");
    drop((kept_tcp, kept_tls));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn oversized_headers_are_refused() {
    let daemon = Daemon::simulated("");
    let identity = daemon.ca.issue("manager");
    let value = "x".repeat(200_000);
    let large = request("GET /healthz", &[("x-large", &value)], b"");
    let many: Vec<(String, String)> = (0..5000).map(|n| (format!("x-{n}"), "y".to_owned())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let many = request("GET /healthz", &many, b"");
    for head in [&large, &many] {
        let one = async || {
            let mut stream = daemon.connect(Some(&identity)).await.unwrap();
            // It may be answered, and closed, before all is sent.
            let _ = stream.write_all(head).await;
            let mut answer = Vec::new();
            let _ = tokio::time::timeout(common::PATIENCE, stream.read_to_end(&mut answer)).await.expect("is kept");
            String::from_utf8(answer).unwrap()
        };
        for answer in join_all((0..20).map(|_| one())).await {
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
        }
    }
    let Answer { status, .. } = daemon.ask(Some(&identity), &request("GET /healthz", &[], b"")).await.unwrap();
    assert_eq!(status, 200);
    assert!(daemon.memory() < MEMORY, "{} bytes", daemon.memory());
}
