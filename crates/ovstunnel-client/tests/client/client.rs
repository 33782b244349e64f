//! The client library: typed answers, and errors that keep what the daemon said.

use std::time::Duration;

use ovstunnel_api::{Code, Outcome, PutBridge};
use ovstunnel_client::{Client, ClientError, DEFAULT_TIMEOUT, Endpoint};
use ovstunnel_test_support::{FakeDaemon, NEVER, bridge, canned, foreign, plan, runtime, unavailable};
use serde_json::{Value, json};

fn client(daemon: &FakeDaemon, timeout: Duration) -> Client {
    Client::new(&Endpoint::Unix(daemon.socket.clone()), timeout).unwrap()
}

#[test]
fn a_change_and_its_plan_have_different_types() {
    let put = json!({"outcome": "created", "bridge": bridge()});
    let daemon = FakeDaemon::answering(vec![
        canned("PUT /v1/bridges/xapi12", 200, put),
        canned("DELETE /v1/bridges/xapi12", 200, plan()),
        foreign("GET /healthz", 200, "ok"),
    ]);
    let client = client(&daemon, DEFAULT_TIMEOUT);
    let body = PutBridge {
        key: 1001,
        network_uuid: None,
        host_id: None,
        ipv6: None,
        uplink: None,
        kind: None,
        tunnels: None,
        neighbours: None,
    };
    runtime().block_on(async {
        client.healthz().await.unwrap();
        assert_eq!(client.put_bridge("xapi12", &body).await.unwrap().outcome, Outcome::Created);
        let plan = client.dry_run().delete_bridge("xapi12").await.unwrap();
        assert!(plan.dry_run && plan.commands.len() == 1);
    });
    assert_eq!(daemon.asked()[2].line, "DELETE /v1/bridges/xapi12?dry_run=true");
}

#[test]
fn a_problem_is_kept_whole() {
    let daemon = FakeDaemon::answering(vec![
        canned("GET /v1/bridges", 503, unavailable()),
        canned("GET /healthz", 503, unavailable()),
        canned("GET /readyz", 503, unavailable()),
    ]);
    let client = client(&daemon, DEFAULT_TIMEOUT);
    runtime().block_on(async {
        let error = client.bridges().await.unwrap_err();
        assert_eq!(serde_json::to_value(error.problem().unwrap()).unwrap(), unavailable());
        assert!(error.was_answered() && error.hint().unwrap().contains("openvswitch"));
        assert_eq!(client.healthz().await.unwrap_err().problem().unwrap().code, Code::SwitchUnavailable);
        assert_eq!(client.readyz().await.unwrap_err().problem().unwrap().code, Code::SwitchUnavailable);
    });
}

#[test]
fn no_answer_is_told_apart_from_no_daemon() {
    let daemon = FakeDaemon::answering(vec![canned("GET /readyz", NEVER, Value::Null)]);
    let client = client(&daemon, Duration::from_millis(100));
    runtime().block_on(async {
        let error = client.readyz().await.unwrap_err();
        assert!(matches!(error, ClientError::NoAnswer { .. }), "{error:?}");
    });
    let nowhere = Endpoint::Unix(daemon.socket.with_file_name("none.sock"));
    let client = Client::new(&nowhere, DEFAULT_TIMEOUT).unwrap();
    runtime().block_on(async {
        let error = client.readyz().await.unwrap_err();
        assert!(
            matches!(error, ClientError::Unreachable { kind: Some(std::io::ErrorKind::NotFound), .. }),
            "{error:?}"
        );
    });
}
