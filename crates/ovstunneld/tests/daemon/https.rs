//! Who gets in by HTTPS and who does not, and what they are told.

use crate::common;

use std::time::{Duration, Instant};

use crate::common::{Authority, Daemon, Identity, PATIENCE, Session, client, exchange, request};
use nix::sys::signal::Signal;
use ovstunnel_server::listen::{MAX_HTTPS_BY_ADDRESS, MAX_HTTPS_CONNECTIONS, MAX_HTTPS_OPEN};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn health() -> Vec<u8> {
    request("GET /healthz", &[], b"")
}

/// The client was refused in the handshake: no answer at all.
async fn assert_refused(daemon: &Daemon, identity: Option<&Identity>, log: &str) {
    let before = daemon.file("log").matches(log).count();
    let error = daemon.ask(identity, &health()).await.expect_err("was let in").to_string();
    // The alert may be overtaken by the end of the connection.
    assert!(error.contains("alert") || error.contains("reset") || error.contains("pipe"), "{error}");
    daemon.wait_for_log(log, before + 1);
}

#[tokio::test]
async fn a_good_certificate_is_served_over_http_1_and_http_2() {
    let daemon = Daemon::start("level = \"debug\"");
    let manager = daemon.ca.issue("manager.example");
    let answer = daemon.ask(Some(&manager), &health()).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (200, "ok\n"));
    daemon.wait_for_log("peer=\"manager.example@127.0.0.1:", 1);

    let mut tls = client(&daemon.ca, Some(&manager));
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let http2 = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy().timeout(PATIENCE).build().unwrap();
    let url = format!("https://{}/healthz", daemon.address);
    let answer = http2.get(url).send().await.unwrap();
    assert_eq!((answer.version(), answer.status().as_u16()), (reqwest::Version::HTTP_2, 200));
    assert_eq!(answer.headers()["x-request-id"].len(), 12);
}

#[tokio::test]
async fn without_a_good_certificate_nobody_gets_in() {
    let daemon = Daemon::start("");
    assert_refused(&daemon, None, "peer sent no certificates").await;
    let stranger = Authority::new("test CA").issue("manager");
    assert_refused(&daemon, Some(&stranger), "another CA has the same name").await;
    let expired = daemon.ca.issue_for("manager", 2000, 2001);
    assert_refused(&daemon, Some(&expired), "the certificate expired on 2001-01-01").await;
    let early = daemon.ca.issue_for("manager", 2099, 2100);
    assert_refused(&daemon, Some(&early), "the certificate is not valid before 2099-01-01").await;
    let good = daemon.ca.issue("manager");
    assert_eq!(daemon.ask(Some(&good), &health()).await.unwrap().status, 200, "the others do not disturb");
}

#[tokio::test]
async fn plain_http_on_the_https_port_is_told_so_at_once() {
    let daemon = Daemon::start("");
    for method in ["GET /healthz", "PUT /v1/bridges/x"] {
        let stream = TcpStream::connect(daemon.address).await.unwrap();
        let answer = exchange(stream, &request(method, &[], &[b'x'; 5000])).await.unwrap();
        let problem = answer.problem();
        assert_eq!(problem["code"], "invalid_request");
        assert!(problem["detail"].as_str().unwrap().contains("https://"), "{problem}");
    }
}

#[tokio::test]
async fn a_large_body_gets_413_though_it_is_sent_first() {
    let daemon = Daemon::start("");
    let manager = daemon.ca.issue("manager");
    let body = vec![b' '; 5_000_000];
    let large = request("PUT /v1/bridges/x", &[("content-type", "application/json")], &body);
    for answer in [daemon.ask(Some(&manager), &large).await.unwrap(), daemon.ask_socket(&large).await] {
        assert_eq!((answer.status, &answer.problem()["code"]), (413, &"too_large".into()));
    }
    // One that asks beforehand is told without sending anything.
    let asking = request("PUT /v1/bridges/x", &[("expect", "100-continue"), ("content-length", "5000000")], b"");
    assert_eq!(daemon.ask_socket(&asking).await.status, 413);
}

/// hyper cannot send a 100 over HTTP/2, and a client that waits for it would wait for ever.
#[tokio::test]
async fn over_http_2_waiting_for_a_100_is_answered() {
    let daemon = Daemon::start("");
    let manager = daemon.ca.issue("manager");
    for sends in [false, true] {
        let stream = daemon.connect_http2("127.0.0.1".parse().unwrap(), &manager).await;
        let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let request = http::Request::put(format!("https://{}/v1/bridges/x", daemon.address))
            .header("expect", "100-continue")
            .header("content-type", "application/json");
        let begun = Instant::now();
        let (answer, mut body) = client.send_request(request.body(()).unwrap(), false).unwrap();
        if sends {
            tokio::time::sleep(Duration::from_secs(1)).await;
            body.send_data(bytes::Bytes::from_static(b"{}"), true).unwrap();
        }
        let answer = tokio::time::timeout(Duration::from_secs(8), answer).await.expect("an answer").unwrap();
        let mut text = answer.into_parts();
        let status = text.0.status.as_u16();
        let body = text.1.data().await.unwrap().unwrap();
        let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, if sends { 400 } else { 417 }, "{problem}");
        assert_eq!(problem["field"], if sends { "key" } else { "Expect" }, "{problem}");
        assert!(begun.elapsed() < Duration::from_secs(6), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn a_sighup_brings_new_certificates_in_and_bad_ones_not() {
    let daemon = Daemon::start("");
    let (old, next_ca) = (daemon.ca.issue("old"), Authority::new("next CA"));
    let new = next_ca.issue("new");
    let ca_file = daemon.dir.path().join("ca.pem");
    let mut open = daemon.connect(Some(&old)).await.unwrap();
    open.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    open.read_exact(&mut [0; 12]).await.unwrap();

    std::fs::write(&ca_file, "nonsense").unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("ca.pem: no CERTIFICATE in it", 1);
    assert_eq!(daemon.ask(Some(&old), &health()).await.unwrap().status, 200);

    std::fs::write(&ca_file, &next_ca.pem).unwrap();
    daemon.signal(Signal::SIGHUP);
    daemon.wait_for_log("certificates read again", 1);
    assert_eq!(daemon.ask(Some(&new), &health()).await.unwrap().status, 200);
    assert_refused(&daemon, Some(&old), "none of the authorities in client_ca has signed it; its issuer is CN=test CA")
        .await;
    // What was open before stays open, and its client is told that it is nobody any more.
    open.write_all(&health()).await.unwrap();
    let mut both = String::new();
    open.read_to_string(&mut both).await.unwrap();
    assert_eq!(both.matches("HTTP/1.1 403").count(), 1, "{both}");
    assert!(both.contains("the certificate of old is not accepted any more"), "{both}");
}

/// Takes as long as the daemon's deadline, 10 s.
#[tokio::test]
async fn clients_that_say_nothing_are_not_kept() {
    let daemon = Daemon::start("");
    let manager = daemon.ca.issue("manager");
    let mut before_tls = TcpStream::connect(daemon.address).await.unwrap();
    let mut inside_tls = TcpStream::connect(daemon.address).await.unwrap();
    inside_tls.write_all(&[0x16, 3, 1]).await.unwrap();
    let mut after_tls = daemon.connect(Some(&manager)).await.unwrap();
    let mut inside_header = daemon.connect(Some(&manager)).await.unwrap();
    inside_header.write_all(b"GET /healthz HTTP/1.1\r\nhost:").await.unwrap();
    assert_eq!(daemon.ask(Some(&manager), &health()).await.unwrap().status, 200, "others are served");
    let mut seen = [[0u8; 64]; 4];
    let [a, b, c, d] = &mut seen;
    let ends = async {
        let _ = tokio::join!(before_tls.read(a), inside_tls.read(b), after_tls.read(c), inside_header.read(d));
    };
    tokio::time::timeout(PATIENCE, ends).await.expect("a connection is kept for ever");
}

/// As many as it may have open, and then some: whoever comes later is served at once all the same, from the same address
/// and from another one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_are_capped_and_delay_nobody() {
    let daemon = Daemon::start("");
    let manager = daemon.ca.issue("manager");
    let before = daemon.open_files();
    let mut flood = Vec::new();
    for n in 0..3000 {
        flood.push(TcpStream::connect(daemon.address).await.unwrap());
        if n % 500 == 450 {
            let started = Instant::now();
            let mine = daemon.ask(Some(&manager), &health()).await.unwrap();
            let others = daemon.ask_from([127, 0, 0, 2].into(), &manager, &health()).await.unwrap();
            assert_eq!((mine.status, others.status), (200, 200));
            assert!(started.elapsed() < Duration::from_secs(2), "{:?} with {n} others", started.elapsed());
        }
    }
    common::wait_for("the cap is reached", || (daemon.open_files() >= before + MAX_HTTPS_OPEN).then_some(()));
    for _ in 0..50 {
        assert_eq!(daemon.ask_socket(&health()).await.status, 200);
    }
    // A few more are the requests just answered.
    let more = daemon.open_files() - before - MAX_HTTPS_OPEN;
    assert!(more < 50, "{more} above the cap");
    let metrics = daemon.ask_socket(&request("GET /metrics", &[], b"")).await.body;
    let line = metrics.lines().find(|line| line.starts_with("ovstunnel_connections_ended_total{reason=\"displaced\"}"));
    let displaced: usize = line.unwrap().rsplit_once(' ').unwrap().1.parse().unwrap();
    assert!(displaced >= 3000 - MAX_HTTPS_OPEN, "{displaced}");
    let log = daemon.file("log");
    let told = log.matches("ended a connection of the address that has most").count();
    assert!((1..10).contains(&told), "{told} lines for {displaced} of them");
    drop(flood);
    assert_eq!(daemon.ask(Some(&manager), &health()).await.unwrap().status, 200);
}

/// All that one address may have, each with a good certificate and idle.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_address_does_not_hold_all_places_by_idle_connections() {
    let daemon = Daemon::start("");
    let manager = daemon.ca.issue("manager");
    let from = async |last: u8| {
        let mut session = Session::from_address(&daemon, [127, 0, 0, last].into(), &manager).await.unwrap();
        assert_eq!(session.ask("GET /healthz", "").await.unwrap().0, 200);
        session
    };
    let mut idle = Vec::new();
    for n in 0..MAX_HTTPS_CONNECTIONS {
        idle.push(from(if n < MAX_HTTPS_BY_ADDRESS { 1 } else { 2 }).await);
    }
    let mut others = Vec::new();
    for last in [3, 4, 5] {
        let started = Instant::now();
        let mut late = from(last).await;
        assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
        assert_eq!(late.ask("GET /healthz", "").await.unwrap().0, 200, "and it stays");
        others.push(late);
    }
    let mut gone = 0;
    for session in &mut idle {
        gone += usize::from(session.ask("GET /healthz", "").await.is_err());
    }
    assert_eq!(gone, 3, "one for each of them");
}
