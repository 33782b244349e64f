//! A dry run prints exactly the commands that the same request then has run, on a simulated switch that says what a real one would
//! have been given. tests/e2e/tests/e2e/dry_run.rs asks the same of Open vSwitch.

use crate::sim;

use crate::sim::{Sim, mesh};
use ovstunnel_ovs::{Command, SimulatedSwitch, Switch};
use ovstunnel_plan::Settings;
use serde_json::{Value, json};

const LIMIT: u32 = 50;

/// A daemon that limits VIFs, on a switch on which others have done this.
async fn sim(others: &[&str]) -> Sim {
    let switch = SimulatedSwitch::new();
    others.iter().for_each(|command| switch.run_vsctl(command).unwrap());
    Switch::Simulated(switch.clone()).limit_vifs(LIMIT);
    let sim = Sim::start_with(switch, Settings { vif_broadcast_pps: LIMIT, ..Settings::default() });
    sim.until_ready().await;
    sim
}

/// Asks for a dry run and then for the change; gives what both have in common: the commands, one a line.
async fn both(sim: &Sim, method: &str, path: &str, body: Option<Value>) -> Vec<String> {
    let planned = sim.ask(method, &format!("{path}?dry_run=true"), body.clone()).await;
    assert_eq!(planned.status, 200, "{}", planned.body);
    sim.switch.record_commands();
    let done = sim.ask(method, path, body).await;
    assert!(done.status < 300, "{}", done.body);
    let ran: Vec<String> = sim.switch.take_commands().iter().map(line).collect();
    let planned = planned.body["commands"].as_array().unwrap().iter().map(planned_line);
    let planned: Vec<String> = planned.map(|line| with_numbers(line, &done.body["bridge"])).collect();
    assert_eq!(ran, planned);
    ran
}

fn line(command: &Command) -> String {
    format!("{} < {}", command.argv.join(" "), command.stdin.as_deref().unwrap_or_default())
}

fn planned_line(command: &Value) -> String {
    let argv: Vec<&str> = command["argv"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    format!("{} < {}", argv.join(" "), command["stdin"].as_str().unwrap_or_default())
}

/// The numbers that are known once the tunnels are there.
fn with_numbers(mut line: String, bridge: &Value) -> String {
    for tunnel in bridge["tunnels"].as_array().into_iter().flatten() {
        let later = format!("<ofport of {}>", tunnel["port"].as_str().unwrap());
        line = line.replace(&later, &tunnel["ofport"].to_string());
    }
    line
}

/// The words of each command that say what it does.
fn kinds(commands: &[String]) -> Vec<&'static str> {
    let known = ["ovs-vsctl", "add-meter", "del-meter", "mod-port", "add-flows", "bundle"];
    let kind = |line: &String| known.into_iter().find(|known| line.contains(*known)).unwrap();
    let mut kinds: Vec<&str> = commands.iter().map(kind).collect();
    kinds.dedup();
    kinds
}

const BRIDGE: &str = "/v1/bridges/xapi1";

#[tokio::test]
async fn a_new_bridge_its_change_and_its_end() {
    let sim = sim(&[]).await;
    let made = both(&sim, "PUT", BRIDGE, Some(mesh(5, [2, 3]))).await;
    assert_eq!(kinds(&made), ["ovs-vsctl", "add-flows"]);
    let moved = json!({"key": 5, "host_id": 1, "tunnels": [{"to": 2, "remote_ip": "192.0.2.77"}, sim::member(3)]});
    let changed = both(&sim, "PUT", BRIDGE, Some(moved)).await;
    assert_eq!((kinds(&changed), changed.len()), (vec!["ovs-vsctl"], 1));
    assert_eq!(kinds(&both(&sim, "DELETE", BRIDGE, None).await), ["ovs-vsctl"]);
    assert_eq!(both(&sim, "DELETE", BRIDGE, None).await, Vec::<String>::new());
}

#[tokio::test]
async fn an_adopted_bridge_with_stp_and_limit_is_released() {
    let others = ["add-br xapi1", "set Bridge xapi1 stp_enable=true", "add-port xapi1 vif1.0"];
    let sim = sim(&others).await;
    let adopted = both(&sim, "PUT", BRIDGE, Some(mesh(5, [2]))).await;
    assert_eq!(kinds(&adopted), ["ovs-vsctl", "mod-port", "ovs-vsctl", "add-meter", "add-flows"]);
    let dry = sim.put("xapi1?dry_run=true", mesh(5, [2])).await.expect(200);
    assert_eq!(dry["commands"], json!([]), "nothing is left to do");
    let released = both(&sim, "POST", "/v1/bridges/xapi1/release", None).await;
    assert_eq!(kinds(&released), ["add-flows", "del-meter", "ovs-vsctl"], "the flows go before the marks");
}

#[tokio::test]
async fn what_is_known_only_afterwards_is_said() {
    let sim = sim(&["add-br xapi1", "set Bridge xapi1 stp_enable=true", "add-port xapi1 vif1.0"]).await;
    let planned = sim.put("xapi1?dry_run=true", mesh(5, [2])).await.expect(200);
    let words = planned["changes"].to_string();
    for known in ["the OpenFlow numbers of t5-1-2", "`mod-meter`"] {
        assert!(words.contains("known only once it is carried out: bridge xapi1: "), "{words}");
        assert!(words.contains(known), "{words}");
    }
    assert!(planned["commands"].to_string().contains("<ofport of t5-1-2>"), "{planned}");
}

#[tokio::test]
async fn a_take_over() {
    let tunnel = "t1001-1-2";
    let others = [
        "add-br xapi1".to_owned(),
        "set Bridge xapi1 stp_enable=true".to_owned(),
        "set Bridge xapi1 other_config:gre_key=1001".to_owned(),
        format!("add-port xapi1 {tunnel}"),
        format!("set Interface {tunnel} type=gre"),
        format!("set Interface {tunnel} options:key=1001"),
        format!("set Interface {tunnel} options:remote_ip=192.0.2.2"),
        "add-port xapi1 vif1.0".to_owned(),
    ];
    let sim = sim(&others.each_ref().map(String::as_str)).await;
    sim.switch.add_flow("xapi1", " cookie=0x0, table=0, priority=65000,ipv6 actions=drop");
    let taken = both(&sim, "POST", "/v1/takeover", None).await;
    let expected = [
        ["add-flows", "ovs-vsctl"].as_slice(),
        &["mod-port", "ovs-vsctl", "add-meter", "add-flows"],
        &["bundle", "ovs-vsctl"],
    ];
    assert_eq!(kinds(&taken), expected.concat());
}
