//! Outcomes that are not known, on the simulated switch: no flow is changed before it is known what became of a change, and
//! each answer is true of what is found.

use crate::sim;

use crate::sim::{Sim, ip, mesh, tunnel};
use ovstunnel_ovs::{Becomes, Pace, SimulatedSwitch, Switch, Work};
use ovstunnel_plan::{FlowsSeen, View};
use serde_json::{Value, json};

/// Our flows in the switch itself.
async fn flows(switch: &SimulatedSwitch, bridge: &str) -> usize {
    match Switch::Simulated(switch.clone()).dump_flows(bridge).await {
        Ok(FlowsSeen::Known { flows, .. }) => flows.len(),
        other => panic!("{other:?}"),
    }
}

fn tunnels(bridge: &Value) -> usize {
    bridge["tunnels"].as_array().unwrap().len()
}

#[tokio::test]
async fn a_killed_command_that_has_done_its_work_is_a_success() {
    for becomes in [Becomes::Done, Becomes::DoneLater] {
        let sim = Sim::new().await;
        sim.switch.kill_commits(Some(becomes));
        let made = sim.put("xapi1", mesh(5, [2, 3])).await.expect(201);
        assert_eq!((made["outcome"].as_str(), tunnels(&made["bridge"])), (Some("created"), 2), "{becomes:?}");
        assert_eq!(made["bridge"]["flows"]["state"], "in_sync", "{becomes:?}");
        assert_eq!(flows(&sim.switch, "xapi1").await, 6);
        assert_eq!(sim.post("xapi1", tunnel(4)).await.expect(201)["outcome"], "created");
        assert_eq!(sim.delete("xapi1/tunnels/t5-1-2").await.expect(200)["outcome"], "removed");
        assert_eq!(sim.put("xapi1", json!({"key": 5, "ipv6": "allow"})).await.expect(200)["outcome"], "updated");
        assert_eq!(flows(&sim.switch, "xapi1").await, 3);
        assert_eq!(sim.delete("xapi1").await.expect(200)["outcome"], "removed");
        sim.get("/v1/bridges/xapi1").await.problem(404, "not_found");
    }
}

#[tokio::test]
async fn a_killed_command_without_effect_changes_no_flow() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2, 3])).await.expect(201);
    let (commits, before) = (sim.switch.commits(), sim.bridge("xapi1").await);
    sim.switch.kill_commits(Some(Becomes::Nothing));
    for answer in [
        sim.put("xapi2", mesh(6, [2])).await,
        sim.put("xapi1", json!({"key": 5, "ipv6": "allow"})).await,
        sim.post("xapi1", tunnel(4)).await,
        sim.delete("xapi1/tunnels/t5-1-2").await,
        sim.delete("xapi1").await,
    ] {
        let problem = answer.problem(503, "switch_unavailable");
        let detail = problem["detail"].as_str().unwrap();
        assert!(detail.contains("did not take effect") && detail.contains("nothing was changed"), "{detail}");
    }
    assert_eq!(sim.switch.commits(), commits, "not one flow");
    assert_eq!(sim.bridge("xapi1").await, before);
    assert_eq!(sim.get("/readyz").await.status, 200);
    sim.switch.kill_commits(None);
    assert_eq!(sim.post("xapi1", tunnel(4)).await.expect(201)["outcome"], "created");
}

/// The clock jumps to what is due.
#[tokio::test(start_paused = true)]
async fn while_it_is_not_known_nothing_is_written_by_anybody() {
    for becomes in [Becomes::Nothing, Becomes::DoneLater] {
        let sim = Sim::new().await;
        sim.put("xapi1", mesh(5, [2])).await.expect(201);
        sim.switch.plug_port("xapi1", "vif1.0");
        sim.until_flows("xapi1", 8).await;
        let commits = sim.switch.commits();
        sim.switch.set_silent(true);
        sim.switch.kill_commits(Some(becomes));
        let unknown = sim.put("xapi1", json!({"key": 5, "ipv6": "allow"})).await.problem(504, "outcome_unknown");
        assert!(unknown["detail"].as_str().unwrap().contains("no flow is changed"), "{unknown}");
        sim.switch.kill_commits(None);
        // A request for something else, a VIF, a look, lost flows: nothing of it writes.
        let other = sim.put("xapi2", mesh(6, [2])).await.problem(503, "switch_unavailable");
        let words = other["detail"].as_str().unwrap();
        assert!(words.contains("bridge xapi1") && words.contains("nothing was changed"), "{other}");
        sim.ask("POST", "/v1/takeover", None).await.problem(503, "switch_unavailable");
        sim.switch.plug_port("xapi1", "vif2.0");
        sim.switch.lose_flows("xapi1");
        let report = sim.reconcile().await;
        assert_eq!((&report["done"], report["failed"].as_array().unwrap().len()), (&json!([]), 1), "{report}");
        let ready = sim.get("/readyz").await.expect(503);
        assert!(ready["reason"].as_str().unwrap().contains("bridge xapi1"), "{ready}");
        tokio::time::sleep(std::time::Duration::from_secs(3600)).await;
        assert_eq!((sim.switch.commits(), flows(&sim.switch, "xapi1").await), (commits, 0), "{becomes:?}");

        sim.switch.set_silent(false);
        let settled = if becomes == Becomes::Nothing { 9 } else { 6 };
        sim.until_flows("xapi1", settled).await;
        sim.until_ready().await;
        assert_eq!(flows(&sim.switch, "xapi1").await, usize::try_from(settled).unwrap(), "{becomes:?}");
        assert_eq!(sim.put("xapi2", mesh(6, [2])).await.expect(201)["outcome"], "created");
    }
}

#[tokio::test]
async fn a_tool_that_ends_well_and_changes_no_flow_is_not_believed() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2])).await.expect(201);
    sim.switch.ignore_flows("xapi1", true);
    let told = sim.put("xapi1", json!({"key": 5, "ipv6": "allow"})).await.problem(504, "outcome_unknown");
    let words = told["detail"].as_str().unwrap();
    assert!(words.contains("ended well") && words.contains("is still there"), "{told}");
    sim.switch.plug_port("xapi1", "vif1.0");
    sim.until("a repair that is told as failed", async || {
        sim.get("/readyz").await.body["last_repair"]["failed"].as_u64().is_some_and(|failed| failed > 0)
    })
    .await;
    sim.switch.ignore_flows("xapi1", false);
    let report = sim.reconcile().await;
    assert_eq!(report["failed"], json!([]), "{report}");
    sim.until_flows("xapi1", 5).await;
    assert_eq!(flows(&sim.switch, "xapi1").await, 5);
}

/// What a switch that hangs has, it still has: to ask for that, or for a plan, takes no answer of its.
#[tokio::test]
async fn while_vswitchd_hangs_only_questions_are_answered() {
    let sim = Sim::new().await;
    sim.put("xapi1", mesh(5, [2])).await.expect(201);
    let commits = sim.switch.commits();
    sim.switch.set_hanging(true);
    let ready = sim.get("/readyz").await.expect(503);
    assert!(ready["reason"].as_str().unwrap().contains("ovs-vswitchd hangs"), "{ready}");
    let metrics = sim.get("/metrics").await.expect(200);
    assert!(metrics.as_str().unwrap().contains("ovstunnel_vswitchd_up 0"), "{metrics}");
    let same = sim.put("xapi1", mesh(5, [2])).await.expect(200);
    assert_eq!((&same["outcome"], &same["bridge"]["flows"]["state"]), (&json!("unchanged"), &json!("unknown")));
    let plan = sim.put("xapi1?dry_run=true", mesh(5, [2, 3])).await.expect(200);
    let words: Vec<&str> = plan["changes"].as_array().unwrap().iter().map(|words| words.as_str().unwrap()).collect();
    assert!(words[0].contains("nothing can be changed") && words[1].starts_with("add tunnel"), "{plan}");
    sim.put("xapi1", mesh(5, [2, 3])).await.problem(503, "switch_unavailable");
    sim.delete("xapi1").await.problem(503, "switch_unavailable");
    assert_eq!(sim.switch.commits(), commits);
    sim.switch.lose_flows("xapi1");
    sim.switch.set_hanging(false);
    sim.until_ready().await;
    sim.until_flows("xapi1", 6).await;
    assert_eq!(flows(&sim.switch, "xapi1").await, 6, "it was looked at when it answered again");
}

/// A switch that takes a minute for a transaction: each request has its answer in time, and what was answered as not carried
/// out is not carried out. The clock jumps.
#[tokio::test(start_paused = true)]
async fn late_requests_are_answered_and_never_carried_out() {
    let minute = std::time::Duration::from_secs(60);
    let pace = Pace::new(move |work| match work {
        Work::Transaction { steps, .. } if steps[0].bridge() == "slow" => minute,
        _ => std::time::Duration::ZERO,
    });
    let sim = Sim::over(SimulatedSwitch::new().with_pace(pace)).await;
    let start = tokio::time::Instant::now();
    let timed = async |answer: std::pin::Pin<Box<dyn Future<Output = sim::Answer> + '_>>| {
        let answer = answer.await;
        (answer, start.elapsed().as_secs())
    };
    let later = async {
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        futures_util::future::join_all([
            timed(Box::pin(sim.put("xapi1", mesh(5, [2])))),
            timed(Box::pin(sim.delete("slow"))),
            timed(Box::pin(sim.ask("POST", "/v1/reconcile", None))),
            timed(Box::pin(sim.ask("POST", "/v1/takeover", None))),
        ])
        .await
    };
    let (begun, queued) = futures_util::future::join(timed(Box::pin(sim.put("slow", mesh(6, [2])))), later).await;
    assert!(begun.1 <= 32, "{}", begun.1);
    let words = begun.0.problem(504, "outcome_unknown");
    assert!(words["detail"].as_str().unwrap().contains("is not finished after 31s"), "{words}");
    for (answer, after) in queued {
        assert!(after <= 33, "{after}");
        let words = answer.problem(503, "switch_unavailable");
        assert!(words["detail"].as_str().unwrap().contains("is not carried out any more"), "{words}");
    }
    tokio::time::sleep(minute).await;
    assert_eq!(sim.bridge("slow").await["tunnels"].as_array().unwrap().len(), 1, "what was begun went on");
    sim.get("/v1/bridges/xapi1").await.problem(404, "not_found");
}

/// What goes first goes only where the database lives: a release that cannot be recorded takes no flow away.
#[tokio::test(start_paused = true)]
async fn a_release_on_a_silent_database_changes_nothing() {
    let switch = SimulatedSwitch::new();
    switch.foreign_bridge("xapi1");
    let sim = Sim::over(switch).await;
    sim.put("xapi1", mesh(5, [2])).await.expect(200);
    let (commits, there) = (sim.switch.commits(), flows(&sim.switch, "xapi1").await);
    sim.switch.set_silent(true);
    let answer = sim.ask("POST", "/v1/bridges/xapi1/release", None).await.problem(503, "switch_unavailable");
    assert!(answer["detail"].as_str().unwrap().contains("does not answer"), "{answer}");
    assert_eq!((sim.switch.commits(), flows(&sim.switch, "xapi1").await), (commits, there));
    let row = Switch::Simulated(sim.switch.clone()).observer().read(|db| db.view().bridge("xapi1"));
    assert!(row.unwrap().ports.contains_key("t5-1-2"), "{}", ip(2));
}
