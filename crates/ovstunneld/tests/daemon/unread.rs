//! Clients that ask and do not read: they cost a bounded memory, for a bounded time, and keep nobody waiting.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use crate::common::{Daemon, Identity, PATIENCE, Session, request};
use ovstunnel_server::listen::UNREAD_TIMEOUT;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// Far above what the daemon takes here, and far below what the clients would have it take.
const MEMORY: u64 = 192 << 20;

/// Streams of one connection.
const STREAMS: u32 = 64;

/// How a client begins with HTTP/2.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame of HTTP/2.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// The kind, the flags and the payload of the next frame.
pub async fn read_frame(mut read: impl AsyncRead + Unpin) -> std::io::Result<(u8, u8, Vec<u8>)> {
    let mut head = [0; 9];
    read.read_exact(&mut head).await?;
    let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
    read.read_exact(&mut payload).await?;
    Ok((head[3], head[4], payload))
}

/// The beginning of a client that lets no byte of an answer come, and its requests.
fn greedy(path: &str) -> Vec<u8> {
    let window_of_nothing = [0, 4, 0, 0, 0, 0];
    let mut all = [PREFACE, frame(4, 0, 0, &window_of_nothing).as_slice()].concat();
    for n in 0..STREAMS {
        all.extend(look(2 * n + 1, path));
    }
    all
}

/// A request for a path, as a stream of this number.
pub fn look(stream: u32, path: &str) -> Vec<u8> {
    // GET, https, the path, and an authority.
    let length = u8::try_from(path.len()).unwrap();
    frame(1, 0x05, stream, &[&[0x82, 0x87, 0x04, length], path.as_bytes(), &[0x41, 1, b'x']].concat())
}

/// Answers pings until the daemon ends the connection.
async fn alive(mut read: ReadHalf<TlsStream<TcpStream>>, mut write: WriteHalf<TlsStream<TcpStream>>) {
    while let Ok((kind, flags, payload)) = read_frame(&mut read).await {
        let answer = match (kind, flags & 1) {
            (4, 0) => frame(4, 1, 0, &[]),
            (6, 0) => frame(6, 1, 0, &payload),
            _ => continue,
        };
        if write.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// 10,000 tunnels: the answer has some megabytes.
async fn with_many_tunnels(daemon: &Daemon, identity: &Identity) -> usize {
    let mut session = Session::open(daemon, identity).await.unwrap();
    for bridge in 0..5u32 {
        let mut tunnels = String::new();
        for n in 2..2002 {
            let comma = if n > 2 { "," } else { "" };
            write!(tunnels, "{comma}{{\"to\":{n},\"remote_ip\":\"10.{bridge}.{}.{}\"}}", n / 250, n % 250 + 1).unwrap();
        }
        let body = format!("{{\"key\":{},\"host_id\":1,\"tunnels\":[{tunnels}]}}", bridge + 1);
        let (status, body) = session.ask(&format!("PUT /v1/bridges/b{bridge}"), &body).await.unwrap();
        assert_eq!(status, 201, "{body}");
    }
    session.ask("GET /v1/bridges", "").await.unwrap().1.len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unread_answers_are_bounded_and_end_connections() {
    let daemon = Daemon::simulated("");
    let identity = daemon.ca.issue("manager");
    let size = with_many_tunnels(&daemon, &identity).await;
    let before = daemon.memory();
    println!("an answer has {size} bytes");
    // All are connected before one of them asks: a handshake has a deadline of its own.
    let mut streams = Vec::new();
    for last in [1, 2, 3] {
        streams.push(daemon.connect_http2([127, 0, 0, last].into(), &identity).await);
    }
    let mut honest = Session::from_address(&daemon, [127, 0, 0, 9].into(), &identity).await.unwrap();
    let started = Instant::now();
    let mut connections = Vec::new();
    for mut stream in streams {
        stream.write_all(&greedy("/v1/bridges")).await.unwrap();
        stream.flush().await.unwrap();
        let (read, write) = tokio::io::split(stream);
        connections.push(tokio::spawn(alive(read, write)));
    }
    // All that while others are answered, large answers too, and the memory is bounded.
    let mut most = 0;
    let mut between = tokio::time::interval(Duration::from_millis(500));
    while connections.iter().any(|connection| !connection.is_finished()) {
        // One by one, and a moment apart: the time is measured here, not how much a build for tests can do.
        between.tick().await;
        let (status, answer) = honest.ask("GET /v1/bridges", "").await.unwrap();
        assert_eq!(status, 200);
        // `as_of` of each bridge loses the zeros at its end.
        assert!(answer.len().abs_diff(size) < 5 * "000000000".len(), "{} of {size}", answer.len());
        most = most.max(daemon.memory());
        assert!(most < MEMORY, "{} MiB", most >> 20);
        // A machine that does much else takes long to make so many answers.
        assert!(started.elapsed() < 2 * UNREAD_TIMEOUT + 10 * PATIENCE, "they are kept");
    }
    let wanted = 3 * u64::from(STREAMS) * size as u64;
    println!(
        "3 connections that want {} MiB and read none: {} MiB before, {} MiB at most, ended after {:?}",
        wanted >> 20,
        before >> 20,
        most >> 20,
        started.elapsed()
    );
    assert!(started.elapsed() >= UNREAD_TIMEOUT, "too early");
    daemon.wait_for_log("its client does not read its answers", 1);
    // A connection is counted after its client has seen its end.
    let counted = async {
        let metric = "ovstunnel_connections_ended_total{reason=\"unread_answers\"} 3";
        while !daemon.ask_socket(&request("GET /metrics", &[], b"")).await.body.contains(metric) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, counted).await.expect("three connections to be counted");
}

/// Over HTTP/1 the answer stands in the kernel's buffers, and the rest of it here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_stops_reading_is_ended_a_slow_one_not() {
    let daemon = Daemon::simulated("");
    let identity = daemon.ca.issue("manager");
    let size = with_many_tunnels(&daemon, &identity).await;
    let look = b"GET /v1/bridges HTTP/1.1\r\nhost: x\r\n\r\n";
    let mut stopped = daemon.connect(Some(&identity)).await.unwrap();
    let mut slow = daemon.connect(Some(&identity)).await.unwrap();
    // More than the kernel's buffers take.
    for _ in 0..8 {
        stopped.write_all(look).await.unwrap();
    }
    slow.write_all(look).await.unwrap();
    let reading = async {
        let (mut bytes, mut seen) = (vec![0; size / 30], 0);
        while seen < size {
            seen += tokio::time::timeout(PATIENCE, slow.read(&mut bytes)).await.unwrap().unwrap();
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
    };
    reading.await;
    daemon.wait_for_log("its client does not read its answers", 1);
    assert_eq!(slow.write_all(look).await.map_err(|e| e.to_string()), Ok(()));
    let mut rest = Vec::new();
    let _ = stopped.read_to_end(&mut rest).await;
    assert!(rest.len() < 8 * size, "it was ended in the middle");
}
