//! `GET /v1/watch` on the simulated switch: what is told is what is there, each change once and in order.

use std::time::Duration;

use crate::sim::watcher::{Watcher, ask, timeless};
use crate::sim::{Sim, member, mesh, tunnel};
use axum::body::to_bytes;
use ovstunnel_ovs::SimulatedSwitch;
use serde_json::{Value, json};

/// The number of the last change in an event's id.
fn version(id: &str) -> u64 {
    id.rsplit_once('-').unwrap().1.parse().unwrap()
}

/// The names of the bridges' tunnels.
fn tunnels(bridge: &Value) -> Vec<&str> {
    bridge["tunnels"].as_array().unwrap().iter().map(|tunnel| tunnel["to"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn a_watch_begins_with_all_that_is_there() {
    let sim = Sim::new().await;
    sim.put("b1", mesh(7, [2, 3])).await.expect(201);
    sim.put("b2", mesh(8, [2])).await.expect(201);
    let mut watcher = Watcher::new(&sim).await;
    let first = watcher.event().await.unwrap();
    assert_eq!(first.name, "snapshot");
    let there = sim.get("/v1/bridges").await.expect(200);
    assert_eq!(timeless(first.data["bridges"].clone()), timeless(there["bridges"].clone()));
    let ready = sim.get("/readyz").await.expect(200);
    assert_eq!(first.data["health"]["reasons"], ready["health"]["reasons"]);
    assert_eq!(first.data["host_id"], "1");
    assert_eq!(first.data["daemon"], env!("CARGO_PKG_VERSION"));
    assert!(first.data["capabilities"].as_array().unwrap().contains(&json!("watch")));
    // The daemon is there, and nothing has changed.
    let ping = watcher.event().await.unwrap();
    assert_eq!((ping.name.as_str(), &ping.id), ("ping", &first.id));
}

#[tokio::test]
async fn each_change_is_told_once_and_in_order() {
    let sim = Sim::new().await;
    let (mut one, mut other) = (Watcher::new(&sim).await, Watcher::new(&sim).await);
    let start = one.change().await.id;
    sim.put("b1", mesh(7, [2])).await.expect(201);
    one.until_it_knows_all(&sim).await;
    assert_eq!(tunnels(&one.bridges["b1"]), ["2"]);
    sim.post("b1", tunnel(3)).await.expect(201);
    one.until_it_knows_all(&sim).await;
    sim.switch.plug_port("b1", "vif1.0");
    one.until_it_knows_all(&sim).await;
    assert_eq!(one.bridges["b1"]["vifs"][0]["name"], "vif1.0");
    sim.switch.unplug_port("vif1.0");
    one.until_it_knows_all(&sim).await;
    sim.delete("b1").await.expect(200);
    let gone = loop {
        let change = one.change().await;
        if change.name == "bridge_gone" {
            break change;
        }
    };
    assert_eq!(gone.data, json!({"name": "b1", "by_plugin": false}));
    // The other one gets the same, each change under the next number.
    let mut last = version(&start);
    while other.last != gone.id {
        let event = other.event().await.unwrap();
        if !["snapshot", "ping"].contains(&event.name.as_str()) {
            last += 1;
        }
        assert_eq!(version(&event.id), last);
    }
    assert_eq!((other.bridges, other.health), (one.bridges, one.health));
}

#[tokio::test]
async fn who_comes_back_gets_exactly_what_it_has_missed() {
    let sim = Sim::new().await;
    sim.put("b1", mesh(7, [2])).await.expect(201);
    let (mut here, mut away) = (Watcher::new(&sim).await, Watcher::new(&sim).await);
    here.until_it_knows_all(&sim).await;
    away.until_it_knows_all(&sim).await;
    let Watcher { last, bridges, health, .. } = away;
    let mut missed = Vec::new();
    for change in 0..3 {
        match change {
            0 => drop(sim.post("b1", tunnel(3)).await.expect(201)),
            1 => drop(sim.put("b2", mesh(8, [])).await.expect(201)),
            _ => drop(sim.delete("b1").await.expect(200)),
        }
        while here.picture() != timeless(sim.get("/v1/bridges").await.expect(200)["bridges"].clone()) {
            missed.extend(Some(here.event().await.unwrap()).filter(|event| event.name != "ping"));
        }
    }
    let mut back = Watcher::new(&sim).await;
    (back.last, back.bridges, back.health) = (last, bridges, health);
    let mut back = back.again(&sim).await;
    for event in missed {
        assert_eq!(back.change().await, event);
    }
    assert_eq!(back.picture(), here.picture());
    // One that lacks nothing is told that the daemon is there.
    let mut again = back.again(&sim).await;
    assert_eq!(again.event().await.unwrap().name, "ping");
}

#[tokio::test]
async fn from_a_position_that_is_not_known_it_begins_anew() {
    let sim = Sim::new().await;
    let mut watcher = Watcher::new(&sim).await;
    let position = watcher.event().await.unwrap().id;
    let (instance, version) = (position.rsplit_once('-').unwrap().0, version(&position));
    let other = if instance.starts_with('0') { '1' } else { '0' };
    let of_another_life = format!("{other}{}-{version}", &instance[1..]);
    for unknown in [of_another_life, format!("{instance}-{}", version + 1), format!("{instance}-0")] {
        watcher.last = unknown;
        watcher = watcher.again(&sim).await;
        assert_eq!(watcher.event().await.unwrap().name, "snapshot", "{}", watcher.last);
    }
    // Of more changes than are kept it is not known which were missed.
    let before = watcher.last.clone();
    sim.put("b1", json!({"key": 7, "host_id": 1})).await.expect(201);
    for round in 0..12u32 {
        let members: Vec<_> = (2..1002).map(|n| member(n + round * 1000)).collect();
        sim.put("b1", json!({"key": 7, "host_id": 1, "tunnels": members})).await.expect(200);
        watcher.until_it_knows_all(&sim).await;
    }
    watcher.last = before;
    let mut watcher = watcher.again(&sim).await;
    assert_eq!(watcher.event().await.unwrap().name, "snapshot");
}

#[tokio::test]
async fn a_bad_request_is_refused_by_name() {
    let sim = Sim::new().await;
    for bad in ["x", "5f3a", "5f3a-x", "-1", ""] {
        let response = ask(&sim, "/v1/watch", Some(bad)).await;
        assert_eq!(response.status(), 400, "{bad:?}");
        let problem: Value =
            serde_json::from_slice(&to_bytes(response.into_body(), usize::MAX).await.unwrap()).unwrap();
        assert_eq!(problem["field"], "Last-Event-ID");
        assert_eq!(problem["rule"], "must be <instance>-<version>, the id of an event of this watch");
    }
    let problem = sim.get("/v1/watch?bridge=b1").await.problem(400, "invalid_request");
    assert_eq!(problem["field"], "bridge");
}

#[tokio::test]
async fn a_watch_of_a_restarting_switch_equals_get() {
    let sim = Sim::new().await;
    sim.put("b1", mesh(7, [2])).await.expect(201);
    let mut watcher = Watcher::new(&sim).await;
    watcher.until_it_knows_all(&sim).await;
    sim.switch.set_running(false);
    while watcher.bridges["b1"]["flows"]["state"] != "unknown" || watcher.health["state"] != "failed" {
        watcher.event().await.unwrap();
    }
    assert_eq!(watcher.health["reasons"][0]["what"], "openvswitch", "{}", watcher.health);
    watcher.until_it_knows_all(&sim).await;
    sim.switch.set_running(true);
    while watcher.bridges["b1"]["flows"]["state"] != "in_sync" || watcher.health["state"] != "ok" {
        watcher.event().await.unwrap();
    }
    watcher.until_it_knows_all(&sim).await;
    // Of a database that cannot be read nothing is known, and nobody begins to watch it.
    sim.switch.set_database(false);
    while watcher.health["state"] != "failed" {
        watcher.event().await.unwrap();
    }
    sim.get("/v1/watch").await.problem(503, "switch_unavailable");
    sim.switch.set_database(true);
    while watcher.health["state"] != "ok" {
        watcher.event().await.unwrap();
    }
    watcher.until_it_knows_all(&sim).await;
}

#[tokio::test]
async fn one_who_does_not_read_is_cut_and_others_go_on() {
    let sim = Sim::new().await;
    sim.put("b1", json!({"key": 7, "host_id": 1})).await.expect(201);
    let (mut slow, mut quick) = (Watcher::new(&sim).await, Watcher::new(&sim).await);
    slow.event().await.unwrap();
    quick.event().await.unwrap();
    let cut = async || sim.get("/metrics").await.body.as_str().unwrap().contains("ovstunnel_watchers_cut_total 1");
    for round in 0..30u32 {
        let members: Vec<_> = (2..1002).map(|n| member(n + round * 1000)).collect();
        sim.put("b1", json!({"key": 7, "host_id": 1, "tunnels": members})).await.expect(200);
        quick.until_it_knows_all(&sim).await;
    }
    assert!(cut().await, "{}", sim.get("/metrics").await.body);
    assert!(sim.get("/metrics").await.body.as_str().unwrap().contains("ovstunnel_watchers 1\n"));
    assert_eq!(slow.event().await, None);
    // It comes back for all of it.
    let mut slow = slow.again(&sim).await;
    assert_eq!(slow.event().await.unwrap().name, "snapshot");
    // What one has heard a moment before the other is no difference.
    slow.until_it_knows_all(&sim).await;
    quick.until_it_knows_all(&sim).await;
}

#[tokio::test]
async fn ten_thousand_tunnels_are_told_and_each_change_of_them() {
    let sim = Sim::new().await;
    for bridge in 0..5u32 {
        sim.put(&format!("b{bridge}"), mesh(7 + bridge, 2..2002)).await.expect(201);
    }
    let mut watcher = Watcher::new(&sim).await;
    watcher.until_it_knows_all(&sim).await;
    assert_eq!(watcher.bridges.values().map(|bridge| tunnels(bridge).len()).sum::<usize>(), 10_000);
    // All at once, and more than one may be behind: who reads is not cut.
    sim.switch.set_running(false);
    while watcher.bridges.values().any(|bridge| bridge["flows"]["state"] != "unknown") {
        watcher.event().await.unwrap();
    }
    sim.switch.set_running(true);
    watcher.until_it_knows_all(&sim).await;
    sim.delete(&format!("b3/tunnels/{}", watcher.bridges["b3"]["tunnels"][5]["port"].as_str().unwrap()))
        .await
        .expect(200);
    watcher.until_it_knows_all(&sim).await;
    assert_eq!(tunnels(&watcher.bridges["b3"]).len(), 1999);
}

#[tokio::test]
async fn a_watch_does_not_keep_the_daemon_from_ending() {
    let sim = Sim::over(SimulatedSwitch::new()).await;
    let mut watcher = Watcher::new(&sim).await;
    watcher.event().await.unwrap();
    let Sim { router, writer, .. } = sim;
    drop(router);
    tokio::time::timeout(Duration::from_secs(60), writer).await.expect("the writer ends").unwrap();
}
