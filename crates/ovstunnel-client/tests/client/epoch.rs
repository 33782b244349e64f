//! A client of a zone's manager: what it says of its epoch, and on which requests.

use std::future::Future;
use std::io::{Read, Write};
use std::os::unix::net::UnixListener;

use ovstunnel_api::{Code, Epoch};
use ovstunnel_client::{Client, DEFAULT_TIMEOUT};
use ovstunnel_test_support::{FakeDaemon, canned, runtime};
use serde_json::json;

fn epoch() -> Epoch {
    "9d3c1b52-8a4e-4f0b-a2c7-5e6f1d0b7a31:4".parse().unwrap()
}

/// The head of the one request that is made, in small letters; it is answered with this.
fn head<T, F: Future<Output = T>>(answer: &'static str, ask: impl FnOnce(Client) -> F) -> String {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("o.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let daemon = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let length = stream.read(&mut request).unwrap();
        let content = format!("content-type: application/json\r\ncontent-length: {}", answer.len());
        write!(stream, "HTTP/1.1 200 OK\r\n{content}\r\n\r\n{answer}").unwrap();
        String::from_utf8_lossy(&request[..length]).to_ascii_lowercase()
    });
    drop(runtime().block_on(ask(Client::unix(&socket, DEFAULT_TIMEOUT))));
    daemon.join().unwrap()
}

#[test]
fn changes_carry_the_epoch_and_reads_do_not() {
    let said = format!("ovstunnel-epoch: {}\r\n", epoch());
    let removed = r#"{"outcome": "removed"}"#;
    let under = head(removed, async |client| client.under_epoch(epoch()).delete_bridge("xapi12").await.unwrap());
    assert!(under.contains(&said) && !under.contains("ovstunnel-controller"), "{under}");
    let plan = r#"{"dry_run": true, "outcome": "removed", "changes": [], "commands": []}"#;
    let dry = head(plan, async |client| client.under_epoch(epoch()).dry_run().delete_bridge("xapi12").await.unwrap());
    assert!(dry.contains(&said), "{dry}");
    let without = head(removed, async |client| client.delete_bridge("xapi12").await.unwrap());
    assert!(!without.contains("ovstunnel-epoch"), "{without}");
    let looks = head("{}", async |client| client.under_epoch(epoch()).epoch().await.unwrap());
    assert!(!looks.contains("ovstunnel-epoch"), "{looks}");
}

#[test]
fn a_watch_says_that_the_manager_acts() {
    let watches = head("", async |client| drop(client.under_epoch(epoch()).watch(None).await.unwrap()));
    assert!(watches.contains(&format!("ovstunnel-epoch: {}\r\n", epoch())), "{watches}");
    assert!(watches.contains("ovstunnel-controller: on\r\n"), "{watches}");
    let only_looks = head("", async |client| drop(client.watch(None).await.unwrap()));
    assert!(!only_looks.contains("ovstunnel-epoch") && !only_looks.contains("ovstunnel-controller"), "{only_looks}");
}

#[test]
fn an_epoch_is_recorded_shown_and_cleared() {
    let zone = epoch().zone().to_string();
    let stale = json!({
        "type": "urn:ovstunnel:problem:stale_epoch", "title": "Stale epoch", "status": 409, "detail": "older",
        "code": "stale_epoch", "recorded": {"zone": zone, "epoch": 5}
    });
    let daemon = FakeDaemon::answering(vec![
        canned("GET /v1/epoch", 200, json!({})),
        canned("PUT /v1/epoch", 201, json!({"outcome": "created", "zone": zone, "epoch": 4})),
        canned("PUT /v1/epoch", 409, stale),
        canned("DELETE /v1/epoch", 200, json!({"outcome": "removed", "existed": true})),
    ]);
    let client = Client::unix(&daemon.socket, DEFAULT_TIMEOUT);
    runtime().block_on(async {
        assert_eq!(client.epoch().await.unwrap().epoch, None);
        assert_eq!(client.record_epoch(epoch()).await.unwrap().epoch, 4);
        let refused = client.record_epoch(epoch()).await.unwrap_err();
        let problem = refused.problem().unwrap();
        assert_eq!((problem.code, problem.recorded.as_ref().unwrap().epoch), (Code::StaleEpoch, Some(5)));
        assert!(refused.hint().unwrap().contains("taken over"));
        assert!(client.clear_epoch().await.unwrap().existed);
    });
    assert_eq!(daemon.asked()[1].body, json!({"zone": zone, "epoch": 4}));
}
