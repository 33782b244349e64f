//! A watch, as the client reads it: events with their positions, and what ends one.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::Duration;

use ovstunnel_api::{BridgeGone, Position, WatchEvent};
use ovstunnel_client::{Client, ClientError, DEFAULT_TIMEOUT, Watch};
use ovstunnel_test_support::{FakeDaemon, canned, foreign, problem, runtime};

/// The events of a daemon that has sent this, and the end.
fn events(text: &str) -> Result<Vec<(Option<Position>, WatchEvent)>, ClientError> {
    let daemon = FakeDaemon::answering(vec![foreign("GET /v1/watch", 200, text)]);
    runtime().block_on(async {
        let mut watch = Client::unix(&daemon.socket, DEFAULT_TIMEOUT).watch(None).await?;
        let mut events = Vec::new();
        while let Some(event) = watch.next().await? {
            events.push(event);
        }
        Ok(events)
    })
}

fn at(version: u64) -> Option<Position> {
    Some(Position { instance: "5f3a".into(), version })
}

#[test]
fn events_have_positions_and_unknown_ones_are_skipped() {
    let gone = WatchEvent::BridgeGone(BridgeGone { name: "xapi12".into(), by_plugin: true });
    let text = "event: bridge_gone\nid: 5f3a-7\ndata: {\"name\": \"xapi12\", \"by_plugin\": true}\n\n\
                event: of_tomorrow\nid: 5f3a-8\ndata: {}\n\nevent: ping\nid: 5f3a-8\ndata: {}\n\n: cut off";
    assert_eq!(events(text).unwrap(), [(at(7), gone), (at(8), WatchEvent::Ping)]);
}

#[test]
fn what_is_no_event_of_a_watch_is_an_error() {
    let error = events("event: bridge\nid: 5f3a-7\ndata: {\"name\": 7}\n\n").unwrap_err();
    assert!(matches!(error, ClientError::Unexpected { .. }), "{error:?}");
    let daemon = FakeDaemon::answering(vec![canned("GET /v1/watch", 400, problem())]);
    let watch = runtime().block_on(Client::unix(&daemon.socket, DEFAULT_TIMEOUT).watch(at(3).as_ref()));
    assert_eq!(watch.unwrap_err().problem().unwrap().detail, "the key is out of range");
}

/// A watch of a daemon that sends the head of an answer, a ping, and then what `then` does.
fn pinged(then: impl FnOnce(UnixStream) + Send + 'static) -> (Watch, tokio::runtime::Runtime, String) {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("o.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let ping = "event: ping\nid: 5f3a-7\ndata: {}\n\n";
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked";
        write!(stream, "{head}\r\n\r\n{:x}\r\n{ping}\r\n", ping.len()).unwrap();
        then(stream);
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let runtime = runtime();
    let client = Client::unix(&socket, DEFAULT_TIMEOUT);
    let watch = runtime.block_on(async {
        let mut watch = client.watch(at(7).as_ref()).await.unwrap();
        assert_eq!(watch.next().await.unwrap(), Some((at(7), WatchEvent::Ping)));
        watch
    });
    (watch, runtime, daemon.join().unwrap())
}

#[test]
fn a_silent_daemon_is_told_apart_from_a_connection_that_broke() {
    let (sender, receiver) = std::sync::mpsc::channel();
    let (watch, runtime, request) = pinged(move |stream| sender.send(stream).unwrap());
    assert!(request.to_ascii_lowercase().contains("last-event-id: 5f3a-7\r\n"), "{request}");
    let error = runtime.block_on(watch.with_silence(Duration::from_millis(50)).next()).unwrap_err();
    assert!(matches!(error, ClientError::Silent { .. }), "{error:?}");
    assert!(error.to_string().ends_with("for 50ms"), "{error}");
    drop(receiver);

    let (mut watch, runtime, _) = pinged(drop);
    let error = runtime.block_on(watch.next()).unwrap_err();
    assert!(matches!(error, ClientError::BrokenOff { .. }), "{error:?}");
}
