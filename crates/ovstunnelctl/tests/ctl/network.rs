//! `network show` and `network setup`: what is asked, and what is shown.

use crate::common::{FakeDaemon, canned, plan, run};
use serde_json::{Value, json};

const NETWORK: &str = "6f1a9c3e-0b7d-4c58-9c11-3d0f2a5b7e90";

fn made(outcome: &str, changes: &Value) -> Value {
    json!({"outcome": outcome, "key": 1001, "network_uuid": NETWORK, "bridge": "xapi12", "changes": changes})
}

#[test]
fn a_set_up_says_what_it_did_and_which_bridge_it_is() {
    let change = json!([{"what": "other-config:ovs-host-setup", "subject": NETWORK, "before": "2", "after": "2,1"}]);
    let daemon = FakeDaemon::answering(vec![canned("PUT /v1/networks/1001", 200, made("updated", &change))]);
    let ran = run(&mut daemon.ctl("network setup 1001 --host-id 1"));
    assert_eq!((ran.status, &daemon.asked()[0].body), (0, &json!({"host_id": 1})), "{}", ran.err);
    assert!(ran.out.starts_with("network OVSTunnel1001: updated\n") && ran.out.contains("2 -> 2,1"), "{}", ran.out);
    assert!(ran.out.contains("xapi12") && ran.out.contains(NETWORK), "{}", ran.out);
    let daemon = FakeDaemon::answering(vec![canned("PUT /v1/networks/1001", 200, made("unchanged", &json!([])))]);
    let ran = run(&mut daemon.ctl("--json network setup 1001"));
    assert_eq!(daemon.asked()[0].body, json!({}));
    assert_eq!(serde_json::from_str::<Value>(&ran.out).unwrap(), made("unchanged", &json!([])));
}

#[test]
fn what_is_there_is_shown_and_a_dry_run_sets_nothing_up() {
    let told = json!({"key": 1001, "network_uuid": NETWORK, "bridge": "xapi12", "hosts": ["2", "1"], "ready": false});
    let daemon = FakeDaemon::answering(vec![
        canned("GET /v1/networks/1001", 200, told),
        canned("PUT /v1/networks/1001", 200, plan()),
    ]);
    let ran = run(&mut daemon.ctl("network show 1001"));
    assert!(ran.status == 0 && ran.out.contains("2, 1") && ran.out.contains("no: `network setup`"), "{}", ran.out);
    assert_eq!(run(&mut daemon.ctl("network setup 1001 --dry-run")).status, 0);
    assert_eq!(daemon.asked()[1].line, "PUT /v1/networks/1001?dry_run=true");
}

#[test]
fn what_is_no_key_is_refused_before_anything_is_asked() {
    let daemon = FakeDaemon::answering(vec![]);
    for bad in ["0", "2147483648", "web", "-1"] {
        let ran = run(&mut daemon.ctl(&format!("network show {bad}")));
        assert!(ran.status == 2 && (bad == "-1" || ran.err.contains("from 1 to 2147483647")), "{bad}: {}", ran.err);
    }
    assert!(daemon.asked().is_empty());
}
