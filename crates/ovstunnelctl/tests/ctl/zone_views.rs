//! What `ovstunnelctl zone` draws of a zone, against a manager of canned answers.

use crate::common::{FakeDaemon, canned, run};
use serde_json::{Value, json};

/// A matrix of lines h1, h2, ... of which these runs are not proven: from, to, width, how.
fn matrix(by: &str, lines: u32, runs: &[(u32, u32, u32, &str)]) -> Value {
    let names: Vec<Value> = (1..=lines).map(|n| json!({"name": format!("h{n}"), "hosts": 1})).collect();
    let runs: Vec<Value> = runs
        .iter()
        .map(|(from, to, width, state)| json!({"from": from, "to": to, "width": width, "state": state}))
        .collect();
    let proven = lines * (lines - 1) - u32::try_from(runs.len()).unwrap();
    json!({
        "network": "acme", "by": by, "lines": names, "runs": runs, "left_off": 0,
        "count": {"wanted": lines * (lines - 1), "proven": proven, "not_known": 0, "limited": 0, "one_sided": 1, "bad": 1},
    })
}

#[test]
fn the_matrix_of_a_network_lists_the_worst_first_with_next_step() {
    let small = matrix("host", 4, &[(0, 3, 1, "one_sided"), (2, 1, 1, "bad")]);
    let zone = FakeDaemon::answering(vec![canned("GET /v1/networks/acme/mesh", 200, small)]);
    let ran = run(&mut zone.ctl("zone mesh acme"));
    assert_eq!(ran.status, 1, "{}", ran.err);
    let drawn = "\
FAIL: network acme: 2 of 12 directions are not proven
row = from, column = to
      1 2 3 4
1 h2  \\ . . .
2 h3  x \\ . .
3 h1  . . \\ /
4 h4  . . . \\
x bad 1   / one-sided 1   ~ limited 0   ? not known 0   . proven 10
Why: ovstunnelctl zone why h3 h2 --network acme
";
    let plain: Vec<&str> = ran.out.lines().map(str::trim_end).collect();
    assert_eq!(plain.join("\n") + "\n", drawn);
    assert_eq!(zone.asked()[0].line, "GET /v1/networks/acme/mesh?by=host");

    // More hosts than lines: by rack where there are racks, else the worst of them.
    let large = matrix("host", 70, &[(69, 0, 1, "bad")]);
    let of = |racks| {
        let answers = vec![
            canned("GET /v1/networks/acme/mesh", 200, large.clone()),
            canned("GET /v1/networks/acme/mesh", 200, racks),
        ];
        let zone = FakeDaemon::answering(answers);
        let ran = run(&mut zone.ctl("zone mesh acme"));
        assert_eq!(zone.asked()[1].line, "GET /v1/networks/acme/mesh?by=rack");
        ran.out
    };
    let racks = of(matrix("rack", 3, &[(1, 1, 1, "bad")]));
    assert!(
        racks.contains("a line is a rack") && racks.contains("1 h2  x . .") && racks.contains("zone faults"),
        "{racks}"
    );
    let worst = of(matrix("rack", 1, &[]));
    assert!(
        worst.contains("10 more lines are not shown; from 0 of them") && worst.contains(" 2 h70  x \\ ."),
        "{worst}"
    );

    let well = json!({"by": "host", "lines": [], "runs": [], "left_off": 0,
        "count": {"wanted": 0, "proven": 0, "not_known": 0, "limited": 0, "one_sided": 0, "bad": 0}});
    let zone = FakeDaemon::answering(vec![canned("GET /v1/zone/matrix", 200, well)]);
    let ran = run(&mut zone.ctl("zone mesh"));
    assert_eq!((ran.status, ran.out.as_str()), (0, "the zone: no two hosts have anything to tunnel\n"), "{}", ran.err);
}

#[test]
fn top_is_for_a_terminal_and_says_what_is_for_others() {
    let zone = FakeDaemon::answering(vec![]);
    for args in ["zone top", "--json zone top"] {
        let ran = run(&mut zone.ctl(args));
        assert_eq!(ran.status, 2, "{}", ran.err);
        assert!(
            ran.err.contains("zone top draws on a terminal; elsewhere, and for programs: zone status --watch"),
            "{}",
            ran.err
        );
    }
    assert!(zone.asked().is_empty(), "nothing is asked for nothing");
}

#[test]
fn an_upgrade_is_planned_in_waves() {
    let lacks = json!({"capability": "epoch", "means": "nothing on it is changed"});
    let host = |name: &str| json!({"host": name, "daemon": "0.1.0", "networks": 2, "cannot": [lacks]});
    let waiting = json!([{"host": "h4", "reason": "it does not answer"}]);
    let waves = json!([{"hosts": [host("h1"), host("h3")]}, {"hosts": [host("h2")]}]);
    let answer = json!({"version": "0.2.0", "waves": waves, "waiting": waiting, "done": 7});
    let manager = FakeDaemon::answering(vec![canned("GET /v1/upgrade", 200, answer.clone())]);
    let ran = run(&mut manager.ctl("zone upgrade plan"));
    let lines: Vec<String> =
        ran.out.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
    assert_eq!(lines[0], "To version 0.2.0: 3 to upgrade, 1 waiting, 7 as they are to be.");
    let at = |text: &str| lines.iter().position(|line| line == text).unwrap_or_else(|| panic!("{text}: {}", ran.out));
    let order =
        ["Wave 1", "h1 0.1.0 2 epoch", "h3 0.1.0 2 epoch", "Wave 2", "h2 0.1.0 2 epoch", "h4: it does not answer"];
    assert!(order.map(at).is_sorted() && ran.out.contains("zone host maintenance HOST --for 10m"), "{}", ran.out);
    let json: Value = serde_json::from_str(&run(&mut manager.ctl("zone upgrade plan --json")).out).unwrap();
    assert_eq!(json, answer);
}
