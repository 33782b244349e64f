//! `ovstunnelctl zone diff` and `zone webhooks` against a manager of canned answers.

use crate::common::{FakeDaemon, canned, run};
use serde_json::{Value, json};

#[test]
fn the_zone_is_compared_with_what_it_was() {
    let proof = |whole: bool, wanted: u64, proven: u64| json!({"whole": whole, "generation": 1, "wanted": wanted, "proven": proven, "digest": "00"});
    let events = json!({"events": [
        {"id": 9, "at": "2026-11-26T01:00:00Z", "kind": "proof", "network": "web", "text": "network web is whole", "before": proof(false, 6, 4), "after": proof(true, 6, 6)},
        {"id": 8, "at": "2026-11-26T00:59:00Z", "kind": "host_silent", "host": "h2", "text": "host h2 does not answer"},
        {"id": 7, "at": "2026-11-26T00:58:00Z", "kind": "proof", "network": "web", "text": "network web is not whole", "before": proof(true, 2, 2), "after": proof(false, 6, 4)},
    ]});
    let zone = FakeDaemon::answering(vec![canned("GET /v1/events", 200, events)]);
    let ran = run(&mut zone.ctl("zone diff --since 2026-11-26T00:00:00Z --network web"));
    assert_eq!(ran.status, 0, "{}", ran.err);
    assert!(ran.out.starts_with("Since 2026-11-26T00:00:00.000Z:\n"), "{}", ran.out);
    let line = |needle: &str| ran.out.lines().find(|line| line.starts_with(needle)).unwrap_or_default().to_owned();
    let words = |line: String| line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(line("web")), "web whole, 2 whole, 6 proof 2 network web is whole");
    assert_eq!(words(line("h2")), "h2 host_silent 1 host h2 does not answer");
    let asked = zone.asked();
    for part in ["since=2026-11-26T00%3A00%3A00.000Z", "network=web", "limit=1000"] {
        assert!(asked[0].line.contains(part), "{asked:?}");
    }
    for bad in ["yesterday", "2999-01-01T00:00:00Z", "-1h"] {
        let ran = run(zone.ctl("zone diff").arg(format!("--since={bad}")));
        assert!(ran.status == 2 && ran.err.contains("must be how long ago"), "{bad}: {}", ran.err);
    }
}

#[test]
fn webhooks_are_listed_and_what_was_not_taken_is_sent_again() {
    let hook = |dead: Value| json!({"name": "pager", "receiver": "https://alerts", "events": ["hold"], "done": 7, "dead": dead});
    let dead = json!([{"event": 5, "why": "it answers 422 Unprocessable Entity"}]);
    let zone = FakeDaemon::answering(vec![
        canned("GET /v1/webhooks", 200, json!({"webhooks": [hook(dead.clone())]})),
        canned("POST /v1/webhooks/pager/redeliver", 200, json!({"taken": 2, "webhook": hook(dead)})),
    ]);
    let ran = run(&mut zone.ctl("zone webhooks"));
    let line = ran.out.lines().nth(1).unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!((ran.status, line.as_str()), (0, "pager https://alerts 7 - 1 -"), "{}", ran.out);
    let ran = run(&mut zone.ctl("zone webhooks --redeliver pager"));
    assert_eq!(ran.status, 1, "{}", ran.err);
    assert!(ran.out.starts_with("webhook pager: 2 events taken, 1 not\n  event 5: it answers 422"), "{}", ran.out);
}
