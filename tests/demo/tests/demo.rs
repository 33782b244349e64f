//! The demo as its user runs it: it shows that all is right, it can show that something is wrong, and it leaves nothing
//! behind. Needs root and Open vSwitch, as the demo does.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use ovstunnel_lab::traces_of;
use serde_json::Value;

fn demo(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnel-demo"));
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    // Built here, if need be, so that no time of the demo goes into it. If that fails, the demo will say why.
    if let Some(programs) = ovstunnel_e2e::program("ovstunneld").ok().as_deref().and_then(Path::parent) {
        command.env("OVSTUNNEL_BIN_DIR", programs);
    }
    command
}

/// Runs it to its end: its exit status and its JSON.
fn json(arguments: &str) -> Result<(Option<i32>, Value)> {
    let output = demo(arguments).arg("--json").output()?;
    let document = serde_json::from_slice(&output.stdout);
    let document = document.with_context(|| String::from_utf8_lossy(&output.stderr).into_owned())?;
    Ok((output.status.code(), document))
}

fn frames<'a>(document: &'a Value, round: &str) -> Vec<&'a Value> {
    let rounds = document["rounds"].as_array().into_iter().flatten();
    rounds.filter(|one| one["name"] == round).flat_map(|one| one["frames"].as_array()).flatten().collect()
}

#[test]
fn two_hosts_with_a_vm_each_show_that_all_is_right() {
    let (status, document) = json("--hosts 2 --vms 1").unwrap();
    assert_eq!((status, &document["ok"]), (Some(0), &Value::Bool(true)), "{:#}", document["wrong"]);
    for (round, count) in [("new_mesh", 32), ("no_flows", 28), ("flows_back", 32)] {
        let frames = frames(&document, round);
        assert_eq!(frames.len(), count, "{round}");
        for frame in frames {
            let is_dropped = frame["network"] == "blue" && frame["kind"].as_str().unwrap().starts_with("ipv6");
            for (vm, copies) in frame["copies"].as_object().unwrap() {
                let same_network = vm[..1] == frame["from"].as_str().unwrap()[..1];
                assert_eq!(copies, u32::from(same_network && !is_dropped), "{round}: {vm} got {frame}");
            }
        }
    }
    let vifs: Vec<String> =
        document["plugs"].as_array().unwrap().iter().map(|plug| format!("{} {}", plug["host"], plug["vif"])).collect();
    assert_eq!(vifs, [r#""h1" "vif101.0""#, r#""h1" "vif201.0""#, r#""h2" "vif101.0""#, r#""h2" "vif201.0""#]);
    assert_eq!(document["totals"]["copies"], document["totals"]["copies_expected"]);
    assert_eq!(document["restart"]["flows_when_sent"], serde_json::json!([0, 0]));
    assert_eq!(document["requests"].as_array().unwrap().iter().filter(|r| r["outcome"] == "created").count(), 6);
}

#[test]
fn set_up_through_the_plugin_all_is_right_too() {
    let (status, document) = json("--hosts 2 --vms 1 --plugin").unwrap();
    assert_eq!((status, &document["ok"]), (Some(0), &Value::Bool(true)), "{:#}", document["wrong"]);
    assert_eq!(document["by_plugin"], true);
    let requests = document["requests"].as_array().unwrap();
    let calls = requests.iter().filter_map(|request| request["request"].as_str()?.strip_prefix("plugin "));
    let calls: Vec<&str> = calls.collect();
    let network = ["setup_ovs_bridge", "setup_ovs_bridge", "create_tunnel", "create_tunnel"];
    assert_eq!(calls, [network, network].concat());
    assert!(requests.iter().all(|request| !request["request"].as_str().unwrap().starts_with("P")), "{requests:?}");
    assert_eq!(document["totals"]["copies"], document["totals"]["copies_expected"]);
    assert!(document["totals"]["copies"].as_u64().unwrap() > 20, "{}", document["totals"]);
}

#[test]
fn without_split_horizon_the_demo_fails() {
    let (status, document) = json("--hosts 3 --vms 1 --break split-horizon").unwrap();
    assert_eq!((status, &document["ok"]), (Some(1), &Value::Bool(false)));
    let unprotected = frames(&document, "unprotected");
    assert_eq!(unprotected.len(), 1);
    assert!(unprotected[0]["copies"]["r2"].as_u64().unwrap() > 1, "{}", unprotected[0]);
    assert_eq!(unprotected[0]["copies"]["b2"], 0, "the other network hears nothing even then");
    let others = [frames(&document, "new_mesh"), frames(&document, "mended")].concat();
    assert!(others.len() > 80 && others.iter().all(|frame| frame["ok"] == true), "{}", document["wrong"]);
    let wrong = document["wrong"].as_array().unwrap();
    assert!(wrong.len() == 1 && wrong[0].as_str().unwrap().contains("broadcast (ARP) from r1: r2 got "), "{wrong:?}");
}

#[test]
fn flows_that_are_deleted_come_back_by_themselves() {
    let (status, document) = json("--hosts 2 --vms 1 --break flows").unwrap();
    assert_eq!((status, &document["ok"]), (Some(1), &Value::Bool(false)));
    let broken = frames(&document, "broken");
    assert_eq!((broken.len(), &broken[0]["copies"]["r2"]), (1, &serde_json::json!(0)), "without a flow nothing passes");
    let others = [frames(&document, "new_mesh"), frames(&document, "mended")].concat();
    assert!(others.len() > 40 && others.iter().all(|frame| frame["ok"] == true), "{}", document["wrong"]);
    assert_eq!(document["wrong"].as_array().unwrap().len(), 1, "{}", document["wrong"]);
}

#[test]
fn a_flow_of_somebody_elses_is_named_and_its_remedy_mends_it() {
    let (status, document) = json("--hosts 2 --vms 1 --break foreign-drop").unwrap();
    assert_eq!((status, &document["ok"]), (Some(1), &Value::Bool(false)));
    assert_eq!(frames(&document, "broken")[0]["copies"]["r2"], 0);
    let told = &document["told"][0];
    assert_eq!((&told["host"], &told["what"]), (&serde_json::json!("h1"), &serde_json::json!("shadowing_flow")));
    assert!(told["remedy"].as_str().unwrap().contains("del-flows"), "{told}");
    let mended = frames(&document, "mended");
    assert!(mended.len() > 20 && mended.iter().all(|frame| frame["ok"] == true), "{}", document["wrong"]);
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    // While hosts are made, while networks are set up and frames are under way, and while all is kept.
    for wait in [200, 700, 1500, 6000] {
        let mut demo = demo("--hosts 2 --vms 1 --keep --json");
        // A process group of its own, all of which is signalled, as a terminal does.
        let mut demo = demo.process_group(0).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        thread::sleep(Duration::from_millis(wait));
        killpg(Pid::from_raw(demo.id().cast_signed()), Signal::SIGINT).unwrap();
        let status = demo.wait().unwrap();
        let mut said = String::new();
        demo.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(status.code(), Some(130), "after {wait} ms: {status}, it said:\n{said}");
        assert!(!said.contains("demo:"), "after {wait} ms a failure is reported:\n{said}");
        assert_eq!(traces_of(demo.id()), Vec::<String>::new(), "after {wait} ms");
    }
}

#[test]
fn what_cannot_run_says_so_with_status_2() {
    let output = demo("--hosts 2").env("PATH", "/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("demo: ") && said.contains("no `ovs-vswitchd` in PATH"), "{said}");
    assert_eq!(demo("--hosts 1").output().unwrap().status.code(), Some(2));
    assert_eq!(demo("--hosts 2 --break split-horizon").output().unwrap().status.code(), Some(2));
}

#[test]
fn the_zone_s_story_names_each_fault() {
    let pictures = tempfile::tempdir().unwrap();
    let mut demo = demo(&format!("--zone --keep --pictures {}", pictures.path().display()));
    let mut demo = demo.process_group(0).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut out = String::new();
    for line in lines.by_ref() {
        out += &(line.clone() + "\n");
        if line.contains("actions=drop") && line.contains("add-flow") {
            break;
        }
    }
    let link = out.lines().find(|line| line.trim().starts_with("https://") && line.contains("/sign-in?link="));
    let page = link.map(|link| Command::new("curl").args(["-sk", link.trim()]).output().unwrap().stdout);
    killpg(Pid::from_raw(demo.id().cast_signed()), Signal::SIGINT).unwrap();
    let status = demo.wait().unwrap();
    let mut err = String::new();
    demo.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    assert_eq!(status.code(), Some(130), "{out}\n{err}");
    let page = String::from_utf8(page.unwrap_or_else(|| panic!("no link in\n{out}"))).unwrap();
    assert!(page.contains("Sign in"), "the link leads to {page}");
    assert_eq!(traces_of(demo.id()), Vec::<String>::new());
    for words in ["tunnel_missing on h2 to h4", "unhealthy on h1", "wrong_address on h1 to h3", "host_silent on h4"] {
        assert!(out.contains(words), "no {words} in\n{out}");
    }
    assert_eq!(out.matches("is whole again").count(), 4, "{out}");
    for view in ["overview", "matrix"] {
        let picture = std::fs::read(pictures.path().join(format!("{view}-1280-light.png"))).unwrap();
        assert!(picture.starts_with(b"\x89PNG"), "{view}: {out}");
    }
}

#[test]
fn the_story_of_replicas_counts_each_frame_while_leaders_end() {
    let child = demo("--replicas 3").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = child.id();
    let done = child.wait_with_output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert_eq!(done.status.code(), Some(0), "{out}\n{err}");
    assert_eq!(traces_of(id), Vec::<String>::new());
    for words in [
        "frames were sent while nobody leads, and each arrived exactly once",
        "which leads, is killed",
        "is frozen while a VM stops",
    ] {
        assert!(out.contains(words), "no {words} in\n{out}");
    }
    // Who does not lead is asked once, and says who does.
    assert_eq!(out.matches("nothing was changed: ask it at").count(), 1, "{out}");
}
