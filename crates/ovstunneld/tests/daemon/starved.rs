//! A daemon that had no processor for longer than its clients may take: what they have sent meanwhile counts.

use std::net::IpAddr;
use std::time::Duration;

use crate::common::{Daemon, PATIENCE, answer, request};
use crate::unread::{PREFACE, frame, look, read_frame};
use nix::sys::signal::Signal;
use ovstunnel_server::listen::HANDSHAKE_TIMEOUT;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

/// The kinds of frames of HTTP/2 that are of interest here (RFC 9113, section 6).
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;

/// What both ask for.
const BRIDGES: &str = "/v1/bridges";

/// `:status: 200` of HPACK's static table.
const OK: u8 = 0x88;

/// The status of the next answer.
async fn next_status(asked: &mut TlsStream<TcpStream>) -> u8 {
    let status = async {
        loop {
            let (kind, _, payload) = read_frame(&mut *asked).await.expect("it is connected");
            if kind == HEADERS {
                break payload[0];
            }
        }
    };
    tokio::time::timeout(PATIENCE, status).await.expect("an answer")
}

#[tokio::test]
async fn clients_of_a_daemon_that_stood_still_are_not_ended_for_it() {
    let daemon = Daemon::simulated("");
    let identity = daemon.ca.issue("manager");
    let from = IpAddr::from([127, 0, 0, 1]);
    // One that the daemon asks for a sign of life.
    let mut asked = daemon.connect_http2(from, &identity).await;
    asked.write_all(&[PREFACE, &frame(SETTINGS, 0, 0, &[]), &look(1, BRIDGES)].concat()).await.unwrap();
    assert_eq!(next_status(&mut asked).await, OK);
    let ping = async {
        loop {
            if let (PING, 0, payload) = read_frame(&mut asked).await.unwrap() {
                break payload;
            }
        }
    };
    let ping = tokio::time::timeout(Duration::from_secs(20) + PATIENCE, ping).await.expect("a ping");
    // And one that has said nothing yet.
    let mut new = daemon.connect(Some(&identity)).await.unwrap();

    daemon.signal(Signal::SIGSTOP);
    asked.write_all(&[frame(PING, 1, 0, &ping), look(3, BRIDGES)].concat()).await.unwrap();
    new.write_all(&request("GET /v1/bridges", &[], b"")).await.unwrap();
    // What is waited for is that time passes.
    tokio::time::sleep(HANDSHAKE_TIMEOUT + Duration::from_secs(1)).await;
    daemon.signal(Signal::SIGCONT);

    let said = answer(&mut new).await.expect("the new client is answered");
    assert_eq!(said.status, 200);
    assert_eq!(next_status(&mut asked).await, OK);
}
