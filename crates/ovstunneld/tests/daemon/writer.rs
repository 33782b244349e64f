//! The writer under load, refusal, loss and a switch that comes and goes, through the routes.

use std::collections::BTreeMap;

use crate::sim::{Sim, endpoint, ip, mesh, tunnel};
use futures_util::future::join_all;
use ovstunnel_ovs::SimulatedSwitch;
use serde_json::{Value, json};

#[tokio::test]
async fn many_requests_share_transactions_not_answers() {
    let sim = Sim::new().await;
    sim.put("xapi1", json!({"key": 5})).await.expect(201);
    let before = sim.switch.commits();
    let answers = join_all((2..202).map(|n| sim.post("xapi1", tunnel(n)))).await;
    for (n, answer) in (2..202).zip(answers) {
        let body = answer.expect(201);
        assert_eq!((&body["outcome"], &body["tunnel"]["to"]), (&json!("created"), &json!(n.to_string())));
        assert_eq!((&body["tunnel"]["remote_ip"], &body["tunnel"]["state"]), (&json!(ip(n)), &json!("up")));
    }
    let commits = sim.switch.commits() - before;
    assert!(commits <= 4, "{commits} transactions for 200 requests that came together");
    assert_eq!(sim.bridge("xapi1").await["tunnels"].as_array().unwrap().len(), 200);
    assert_eq!(sim.bridge("xapi1").await["flows"]["installed"], 6, "flows do not grow with tunnels");
}

/// Requests on many bridges at the same time, of all kinds.
#[tokio::test]
async fn requests_on_different_bridges_share_transactions_too() {
    let sim = Sim::new().await;
    let before = sim.switch.commits();
    let names: Vec<String> = (0..20).map(|n| format!("xapi{n}")).collect();
    let setups = names.iter().zip(100u32..).map(|(name, key)| sim.put(name, mesh(key, [2, 3])));
    assert!(join_all(setups).await.iter().all(|answer| answer.status == 201));
    // One transaction, and the flows of each bridge.
    assert!(sim.switch.commits() - before <= 22, "{}", sim.switch.commits() - before);
}

#[tokio::test]
async fn a_bad_request_among_good_ones_fails_alone() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2])).await.expect(201);
    let bodies = [
        (tunnel(3), 201),
        (json!({"from": 1, "to": 8, "remote_ip": ip(2)}), 409),
        (tunnel(4), 201),
        (json!({"from": 1, "to": 9, "remote_ip": ip(9), "key": 6}), 400),
        (tunnel(2), 200),
        (json!({"from": 1, "to": 10, "remote_ip": ip(3)}), 409),
    ];
    let answers = join_all(bodies.iter().map(|(body, _)| sim.post("xapi1", body.clone()))).await;
    for ((body, expected), answer) in bodies.iter().zip(&answers) {
        assert_eq!(answer.status, *expected, "{body}: {}", answer.body);
    }
    assert_eq!(answers[1].body["in_the_way"], "xapi1/t5-1-2");
    assert_eq!(answers[5].body["in_the_way"], "xapi1/t5-1-3", "of two for one address the first has it");
    let names: Vec<Value> = ports(&sim.bridge("xapi1").await);
    assert_eq!(names, ["t5-1-2", "t5-1-3", "t5-1-4"]);
}

fn ports(bridge: &Value) -> Vec<Value> {
    bridge["tunnels"].as_array().unwrap().iter().map(|tunnel| tunnel["port"].clone()).collect()
}

#[tokio::test]
async fn requests_for_one_thing_are_carried_out_in_their_order() {
    let sim = Sim::new().await;
    sim.put("xapi1", json!({"key": 5})).await.expect(201);
    let (a, b, c, d) = tokio::join!(
        sim.post("xapi1", tunnel(2)),
        sim.delete("xapi1/tunnels/t5-1-2"),
        sim.post("xapi1", json!({"from": 1, "to": 2, "remote_ip": "192.0.2.77"})),
        sim.delete("xapi1/tunnels/t5-1-2"),
    );
    let outcomes = [a, b, c, d].map(|answer| answer.body["outcome"].clone());
    assert_eq!(outcomes, ["created", "removed", "created", "removed"]);
    let (a, b) = tokio::join!(sim.put("xapi1", mesh(5, [2, 3])), sim.put("xapi1", mesh(5, [3, 4])));
    assert_eq!(
        (a.expect(200)["outcome"].clone(), b.expect(200)["outcome"].clone()),
        (json!("updated"), json!("updated"))
    );
    assert_eq!(ports(&sim.bridge("xapi1").await), ["t5-1-3", "t5-1-4"], "the later one counts, whole");
}

#[tokio::test]
async fn refused_tunnels_go_and_the_good_ones_stay() {
    let sim = Sim::new().await;
    sim.switch.refuse_tunnel(endpoint(3, 5));
    let problem = sim.put("xapi1", mesh(5, [2, 3, 4])).await.problem(422, "switch_refused");
    let refused = &problem["refused"];
    assert_eq!(refused.as_array().unwrap().len(), 1, "{problem}");
    assert_eq!((&refused[0]["port"], &refused[0]["remote_ip"]), (&json!("t5-1-3"), &json!(ip(3))));
    assert!(refused[0]["error"].as_str().unwrap().contains("File exists"), "Open vSwitch's own words: {problem}");
    assert_eq!(ports(&problem["bridge"]), ["t5-1-2", "t5-1-4"], "the answer shows what is there");
    assert_eq!(ports(&sim.bridge("xapi1").await), ["t5-1-2", "t5-1-4"]);

    sim.switch.refuse_tunnel(endpoint(6, 5));
    let (good, bad) = tokio::join!(sim.post("xapi1", tunnel(5)), sim.post("xapi1", tunnel(6)));
    assert_eq!(good.expect(201)["tunnel"]["state"], "up");
    let problem = bad.problem(422, "switch_refused");
    assert_eq!(problem["refused"][0]["to"], "6");
    assert_eq!(ports(&sim.bridge("xapi1").await), ["t5-1-2", "t5-1-4", "t5-1-5"]);
}

#[tokio::test]
async fn without_vswitchd_nothing_changes_until_it_is_back() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2])).await.expect(201);
    sim.switch.plug_port("xapi1", "vif1.0");
    sim.until_flows("xapi1", 8).await;
    let commits = sim.switch.commits();
    sim.switch.set_running(false);
    assert_eq!(sim.get("/readyz").await.expect(503)["ready"], false);
    sim.put("b", json!({"key": 9})).await.problem(503, "switch_unavailable");
    sim.put("xapi1?dry_run=true", json!({"key": 9})).await.problem(503, "switch_unavailable");
    sim.post("xapi1", tunnel(3)).await.problem(503, "switch_unavailable");
    sim.delete("xapi1").await.problem(503, "switch_unavailable");
    sim.ask("POST", "/v1/reconcile", None).await.problem(503, "switch_unavailable");
    assert_eq!(sim.switch.commits(), commits);

    // A VIF that is plugged meanwhile has its rules as soon as the switch is back, like all the others.
    sim.switch.plug_port("xapi1", "vif2.0");
    sim.switch.set_running(true);
    sim.until("ready", async || sim.get("/readyz").await.status == 200).await;
    sim.until_flows("xapi1", 9).await;
    assert_eq!(ports(&sim.bridge("xapi1").await), ["t5-1-2"]);
    assert_eq!(sim.post("xapi1", tunnel(3)).await.expect(201)["outcome"], "created");
}

#[tokio::test]
async fn flows_follow_vifs_without_a_request() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2])).await.expect(201);
    sim.switch.foreign_bridge("foreign");
    let mut expected = 6;
    for vif in ["vif1.0", "tap1.0", "vnet0"] {
        sim.switch.plug_port("xapi1", vif);
        // The first VIF opens the bridge for frames from tunnels, with a flow of its own.
        expected += if vif == "vif1.0" { 2 } else { 1 };
        sim.until_flows("xapi1", expected).await;
    }
    sim.switch.plug_port("xapi1", "eth1");
    sim.switch.plug_port("foreign", "vif9.0");
    let commits = sim.switch.commits();
    let bridge = sim.bridge("xapi1").await;
    assert_eq!((&bridge["vifs"].as_array().unwrap().len(), &bridge["other_ports"]), (&3, &json!(["eth1"])));
    for vif in ["vif1.0", "tap1.0", "vnet0"] {
        sim.switch.unplug_port(vif);
        expected -= if vif == "vnet0" { 2 } else { 1 };
        sim.until_flows("xapi1", expected).await;
    }
    assert_eq!(
        sim.switch.commits(),
        commits + 3,
        "one change for each VIF, and none for ports that are no VIF of ours"
    );
}

#[tokio::test]
async fn lost_flows_are_mended_and_a_clean_run_writes_nothing() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2, 3])).await.expect(201);
    sim.put("xapi2", json!({"key": 6, "ipv6": "allow"})).await.expect(201);
    let commits = sim.switch.commits();
    let clean = json!({"bridges": 2, "tunnels": 2, "found": [], "done": [], "failed": [], "changes": []});
    assert_eq!(sim.reconcile().await, clean);
    assert_eq!(sim.switch.commits(), commits, "a look that finds nothing writes nothing");

    sim.switch.lose_flows("xapi1");
    let report = sim.reconcile().await;
    assert_eq!((&report["found"], &report["failed"]), (&report["done"], &json!([])));
    assert_eq!(report["found"].as_array().unwrap().len(), 1, "{report}");
    assert!(report["found"][0].as_str().unwrap().starts_with("flows of bridge xapi1"), "{report}");
    assert_eq!(sim.switch.commits(), commits + 1);
    assert_eq!(sim.reconcile().await, clean);
    // Who asks later is told of both: all is well now, and what was not.
    let ready = sim.get("/readyz").await.expect(200);
    let (look, repair) = (&ready["last_reconcile"], &ready["last_repair"]);
    assert_eq!((&look["why"], &look["found"], &look["words"]), (&json!("asked for"), &json!(0), &json!([])));
    assert_eq!((&repair["found"], &repair["failed"], &repair["words"]), (&json!(1), &json!(0), &report["found"]));
    assert!(repair["at"].as_str().unwrap().ends_with('Z'), "{ready}");
}

/// A tunnel that a repair cannot have back, because Open vSwitch refuses it meanwhile, is told as failed, is not lost, and
/// comes back when Open vSwitch takes it again. Nobody waits here: the clock jumps to what is due.
#[tokio::test(start_paused = true)]
async fn a_refused_repair_is_told_and_tried_again() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2, 3])).await.expect(201);
    let state = async || sim.bridge("xapi1").await["tunnels"][0]["state"].clone();
    let refused = endpoint(2, 5);
    sim.switch.refuse_tunnel(refused);
    sim.switch.run_vsctl("set Interface t5-1-2 options:remote_ip=203.0.113.9").unwrap();
    sim.until("a tunnel in error", async || state().await == "error").await;
    assert_eq!(ports(&sim.bridge("xapi1").await), ["t5-1-2", "t5-1-3"], "its row is the record");
    let metrics = sim.get("/metrics").await.expect(200);
    assert!(metrics.as_str().unwrap().contains("ovstunnel_repairs_total{result=\"failed\"} 1"), "{metrics}");
    let repair = sim.get("/readyz").await.expect(200)["last_repair"].clone();
    assert!(
        repair["failed"] == 1 && repair["words"][0].as_str().unwrap().contains("refused tunnel t5-1-2"),
        "{repair}"
    );

    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let before = sim.switch.commits();
    tokio::time::sleep(day).await;
    let tries = sim.switch.commits() - before;
    assert!((1_000..2_000).contains(&tries), "{tries} tries in a day: one a minute, once the distance has grown");
    assert_eq!(state().await, "error");
    sim.switch.accept_tunnel(refused);
    tokio::time::sleep(day).await;
    assert_eq!(state().await, "up");
    let at_rest = sim.switch.commits();
    tokio::time::sleep(day).await;
    assert_eq!(sim.switch.commits(), at_rest, "where nothing is in error nothing is tried");
}

/// What is in the switch when the daemon starts is all that it knows.
#[tokio::test]
async fn a_daemon_that_starts_anew_finds_what_its_predecessor_made() {
    let first = Sim::new().await;
    first.put("xapi1", mesh(5, [2, 3])).await.expect(201);
    first.switch.plug_port("xapi1", "vif1.0");
    first.until_flows("xapi1", 8).await;
    let (switch, before) = (first.switch.clone(), first.bridge("xapi1").await);
    drop(first.router);
    first.writer.await.unwrap();
    switch.plug_port("xapi1", "vif2.0");
    switch.lose_flows("xapi1");

    let commits = switch.commits();
    let second = Sim::over(switch).await;
    second.until_flows("xapi1", 9).await;
    assert_eq!(second.bridge("xapi1").await["tunnels"], before["tunnels"]);
    assert_eq!(second.switch.commits(), commits + 1, "only the flows were missing");
    assert_eq!(second.put("xapi1", mesh(5, [2, 3])).await.expect(200)["outcome"], "unchanged");
}

/// The database comes into reach and tells of changes in the same moment: whichever of the two is taken up first.
#[tokio::test]
async fn changes_during_a_start_write_nothing_again() {
    let mut sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2, 3])).await.expect(201);
    sim.switch.plug_port("xapi1", "vif1.0");
    sim.until_flows("xapi1", 8).await;
    for _ in 0..20 {
        let (switch, commits) = (sim.switch.clone(), sim.switch.commits());
        drop(sim.router);
        sim.writer.await.unwrap();
        switch.set_database(false);
        sim = Sim::start(switch);
        // The look of the start is behind it and could do nothing.
        sim.get("/readyz").await.expect(503);
        tokio::task::yield_now().await;
        sim.switch.plug_port("xapi1", "eth9");
        sim.switch.unplug_port("eth9");
        sim.switch.set_database(true);
        sim.until_ready().await;
        sim.until_flows("xapi1", 8).await;
        assert_eq!(sim.switch.commits(), commits);
    }
}

/// Requests that never cease must not keep the daemon from looking after the bridges that they are not about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_do_not_delay_what_a_restart_needs() {
    let sim = Sim::new().await;
    sim.put("quiet", mesh(5, [2])).await.expect(201);
    sim.put("busy", json!({"key": 6})).await.expect(201);
    let mended = async || sim.bridge("quiet").await["flows"]["state"] == "in_sync";
    let answered = std::cell::Cell::new(0);
    // Several of these, so that there is always a request that waits while another is carried out.
    let stream = async |first: u32| {
        for n in (first..first + 3000).step_by(8) {
            let answer = sim.post("busy", tunnel(n)).await;
            assert!(matches!(answer.status, 201 | 503), "{}", answer.body);
            answered.set(answered.get() + 1);
            if answered.get() == 100 {
                sim.switch.set_running(false);
                sim.switch.set_running(true);
            }
            if answered.get() > 100 && mended().await {
                break;
            }
        }
    };
    join_all((2..10).map(stream)).await;
    assert!(answered.get() < 400, "the other bridge was without its flows for {} requests", answered.get() - 100);
}

/// An own switch of the test's, with what others did before there was a daemon.
#[tokio::test]
async fn what_is_not_ours_is_as_it_was_after_everything() {
    let switch = SimulatedSwitch::new();
    switch.foreign_bridge("xenbr0");
    switch.plug_port("xenbr0", "eth0");
    switch.plug_port("xenbr0", "vif5.0");
    let sim = Sim::over(switch.clone()).await;
    let seen = |name: &str| {
        let switch = ovstunnel_ovs::Switch::Simulated(switch.clone());
        switch.observer().read(|db| ovstunnel_plan::View::bridge(&db.view(), name))
    };
    let before = seen("xenbr0").unwrap();
    sim.put("xapi1", mesh(5, [2, 3])).await.expect(201);
    sim.delete("xenbr0").await.problem(409, "conflict");
    sim.delete("xenbr0/tunnels/eth0").await.problem(409, "conflict");
    sim.reconcile().await;
    sim.delete("xapi1").await.expect(200);
    assert_eq!(seen("xenbr0").unwrap(), before);
    assert_eq!(seen("xapi1"), None);
}

/// Many callers, some of whom go away before their answer.
#[tokio::test]
async fn a_change_is_carried_out_though_its_caller_has_gone() {
    let sim = Sim::new().await;
    sim.put("xapi1", json!({"key": 5})).await.expect(201);
    {
        let request = std::pin::pin!(sim.post("xapi1", tunnel(2)));
        // Polled once: the writer has it. Then the caller is gone.
        assert!(futures_util::poll!(request).is_pending());
    }
    sim.until("the tunnel is there", async || ports(&sim.bridge("xapi1").await) == ["t5-1-2"]).await;
}

/// Each of the outcomes of one mixed batch, counted.
#[tokio::test]
async fn a_mixed_batch_answers_each_by_what_became_of_its_own() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, 2..12)).await.expect(201);
    let creates = (10..20).map(|n| sim.post("xapi1", tunnel(n)));
    let deletes: Vec<String> = (2..6).map(|n| format!("xapi1/tunnels/t5-1-{n}")).collect();
    let deletes = deletes.iter().map(|path| sim.delete(path));
    let (created, deleted) = tokio::join!(join_all(creates), join_all(deletes));
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for answer in created.into_iter().chain(deleted) {
        *counts.entry(answer.body["outcome"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    let expected = [("created", 8), ("removed", 4), ("unchanged", 2)].map(|(word, n)| (word.to_owned(), n));
    assert_eq!(counts, expected.into());
    assert_eq!(ports(&sim.bridge("xapi1").await).len(), 14);
}
