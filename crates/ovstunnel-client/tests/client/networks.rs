//! A network of xapi's: what is sent, what is read, and what helps where it is refused.

use ovstunnel_api::{Id, Outcome, PutXapiNetwork};
use ovstunnel_client::{Client, DEFAULT_TIMEOUT};
use ovstunnel_test_support::{FakeDaemon, canned, runtime};
use serde_json::{Value, json};

const NETWORK: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

fn problem(status: u16, code: &str, detail: &str) -> Value {
    json!({"type": format!("urn:ovstunnel:problem:{code}"), "title": "x", "status": status, "detail": detail, "code": code})
}

#[test]
fn a_network_is_set_up_planned_and_shown() {
    let made = json!({"outcome": "created", "key": 1001, "network_uuid": NETWORK, "bridge": "xapi12"});
    let told = json!({"key": 1001, "network_uuid": NETWORK, "bridge": "xapi12", "hosts": ["1"], "ready": true});
    let plan = json!({"dry_run": true, "outcome": "created", "changes": [], "commands": []});
    let daemon = FakeDaemon::answering(vec![
        canned("PUT /v1/networks/1001", 200, plan),
        canned("PUT /v1/networks/1001", 201, made),
        canned("GET /v1/networks/1001", 200, told),
    ]);
    let client = Client::unix(&daemon.socket, DEFAULT_TIMEOUT);
    let body = PutXapiNetwork { host_id: Some(Id::Number(1)) };
    runtime().block_on(async {
        assert_eq!(client.dry_run().put_network(1001, &body).await.unwrap().outcome, Outcome::Created);
        let made = client.put_network(1001, &body).await.unwrap();
        assert_eq!(
            (made.outcome, made.bridge.as_str(), made.network_uuid.as_str()),
            (Outcome::Created, "xapi12", NETWORK)
        );
        let told = client.network(1001).await.unwrap();
        assert!(told.ready && told.hosts == ["1"] && told.key == 1001, "{told:?}");
    });
    assert_eq!(daemon.asked()[1].body, json!({"host_id": 1}));
    assert_eq!(daemon.asked()[0].line, "PUT /v1/networks/1001?dry_run=true");
}

#[test]
fn what_helps_is_about_xapi_where_that_is_what_failed() {
    let several = "2 networks of xapi have the name-label OVSTunnel1001: a, b";
    let daemon = FakeDaemon::answering(vec![
        canned("GET /v1/networks/1", 404, problem(404, "not_found", "this host has no xapi")),
        canned("GET /v1/networks/2", 409, problem(409, "conflict", several)),
        canned("GET /v1/networks/3", 503, problem(503, "switch_unavailable", "xapi does not answer: x")),
        canned("GET /v1/networks/4", 504, problem(504, "outcome_unknown", "xapi does not answer: x")),
        canned("GET /v1/networks/5", 503, problem(503, "switch_unavailable", "Open vSwitch cannot be reached: x")),
    ]);
    let client = Client::unix(&daemon.socket, DEFAULT_TIMEOUT);
    let wanted = ["xe network-list", "xe network-destroy", "xe network-list", "network show", "systemctl status"];
    for (key, wanted) in (1..).zip(wanted) {
        let hint = runtime().block_on(client.network(key)).unwrap_err().hint().unwrap();
        assert!(hint.contains(wanted), "{key}: {hint}");
    }
}
