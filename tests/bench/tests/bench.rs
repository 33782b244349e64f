//! The benchmark as its user runs it, in tiny numbers: every line is measured, everybody leaves the same rows, and nothing is
//! left behind. No time is judged. Needs root, Open vSwitch and ovsdbapp (`scripts/bench --prepare`).

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use ovstunnel_lab::traces_of;
use serde_json::Value;

/// Each line of the table: what it begins with, who is measured beside the daemon, and how many goals it has.
const LINES: [(&str, &[&str], usize); 100] = [
    ("one tunnel, 0 on the host: median", &["command", "database", "plugin", "ovsdbapp"], 2),
    ("one tunnel, 0 on the host: p99", &["command", "database", "plugin", "ovsdbapp"], 2),
    ("one tunnel, 10 on the host: median", &["command", "database", "plugin", "ovsdbapp"], 2),
    ("one tunnel, 10 on the host: p99", &["command", "database", "plugin", "ovsdbapp"], 2),
    ("a network with 12 tunnels by one PUT", &["command", "database", "ovsdbapp", "plugin"], 3),
    ("remove one of 12 tunnels", &["command", "database", "plugin", "ovsdbapp"], 1),
    ("remove the bridge with 12 tunnels", &["command", "database", "plugin", "ovsdbapp"], 1),
    ("8 tunnels by as many requests at once", &["command"], 1),
    ("VIF plugged to its rule", &["command"], 0),
    ("the same: p99", &["command"], 1),
    ("the same, from the start of that command: p99", &["command"], 0),
    ("3 VIFs plugged at once", &[], 1),
    ("the same, from the start of the command", &[], 0),
    ("flows of a bridge with 12 tunnels and 5 VIFs", &["plugin"], 1),
    ("look at 4 clean bridges with 3 tunnels each: CPU time", &["command"], 1),
    ("the same: elapsed time", &[], 0),
    ("the same: most memory at any moment", &[], 1),
    ("memory with 12 tunnels in the mirror", &[], 1),
    ("CPU when nothing happens, 4 bridges", &[], 1),
    ("all flows of one of 4 bridges deleted", &[], 1),
    ("all flows of 4 bridges deleted", &[], 1),
    ("GET /v1/bridges with the health of 4 bridges", &[], 0),
    ("ovs-vswitchd hangs (SIGSTOP)", &[], 1),
    ("ovsdb-server hangs (SIGSTOP)", &[], 1),
    ("flows of 4 bridges back after a restart", &["command"], 1),
    ("memory without a bridge", &[], 1),
    ("start to ready with 10 tunnels", &["database"], 1),
    ("CPU when nothing happens, 10 tunnels", &[], 1),
    ("throughput from VM to VM", &["command"], 1),
    ("packets from VM to VM", &["command"], 1),
    ("one tunnel, GRE", &[], 0),
    ("one tunnel, VXLAN", &[], 1),
    ("one tunnel, Geneve", &[], 1),
    ("a network with 12 tunnels by one PUT, GRE", &[], 0),
    ("a network with 12 tunnels by one PUT, VXLAN", &[], 1),
    ("a network with 12 tunnels by one PUT, Geneve", &[], 1),
    ("throughput from VM to VM over VXLAN", &["command"], 1),
    ("throughput from VM to VM over Geneve", &["command"], 1),
    ("ovstunnel, for a tunnel that is there", &["command", "command"], 1),
    ("ovstunnel-vif, for a VIF whose rule is there", &["command", "command"], 1),
    ("setup_ovs_bridge by the plugin, end to end: median", &["plugin"], 0),
    ("create_tunnel by the plugin, end to end: median", &["plugin"], 0),
    ("setup_ovs_bridge on KVM", &["plugin"], 0),
    ("create_tunnel on KVM", &["plugin"], 0),
    ("ovstunnel-manager: a NIC on a fourth host", &["plugin"], 0),
    ("the same: share of it that a switch is at work", &[], 1),
    ("ovstunnel-manager: why one host does not reach another, with frames that arrive", &[], 1),
    ("the same, with frames that get lost", &[], 1),
    ("natively: one tunnel, 0 on the host: median", &["command", "database", "ovsdbapp"], 2),
    ("natively: one tunnel, 0 on the host: p99", &["command", "database", "ovsdbapp"], 2),
    ("natively: one tunnel, 10 on the host: median", &["command", "database", "ovsdbapp"], 2),
    ("natively: one tunnel, 10 on the host: p99", &["command", "database", "ovsdbapp"], 2),
    ("natively: a network with 12 tunnels by one PUT", &["command", "database", "ovsdbapp"], 1),
    ("natively: remove one of 12 tunnels", &["command", "database", "ovsdbapp"], 1),
    ("natively: remove the bridge with 12 tunnels", &["command", "database", "ovsdbapp"], 1),
    ("natively: VIF plugged to its rule, from the end of the hypervisor's command: median", &["command"], 0),
    ("natively: VIF plugged to its rule, from the end of the hypervisor's command: p99", &["command"], 1),
    ("natively: CPU when nothing happens, 4 bridges", &[], 1),
    ("natively: all flows of one of 4 bridges deleted", &[], 1),
    ("natively: all flows of 4 bridges deleted", &[], 1),
    ("natively: flows of 4 bridges back after a restart", &[], 1),
    ("cold start to a full picture: 50 hosts, 60 networks", &[], 1),
    ("the same: CPU time", &[], 0),
    ("the same: most handshakes at once", &[], 1),
    ("register 50 hosts", &[], 0),
    ("memory with 50 hosts watched", &[], 1),
    ("the same: open files", &[], 1),
    ("the same: CPU when nothing happens", &[], 0),
    ("proof of one network after a change", &[], 1),
    ("proofs of all 60 networks", &[], 1),
    ("a tunnel is gone: until the overview says so", &[], 1),
    ("a tunnel is gone: until GET /v1/faults tells it", &[], 1),
    ("why one host does not reach another: an answer", &[], 1),
    ("page, overview: first byte", &[], 2),
    ("page, networks: first byte", &[], 2),
    ("page, matrix of a network: first byte", &[], 2),
    ("page, proof of a network: first byte", &[], 2),
    ("page, hosts: first byte", &[], 2),
    ("page, one host: first byte", &[], 2),
    ("page, faults: first byte", &[], 2),
    ("page, keys: first byte", &[], 2),
    ("page, events: first byte", &[], 2),
    ("page, holds: first byte", &[], 2),
    ("page, matrix of the zone by rack: first byte", &[], 2),
    ("picture of the zone, each pair of hosts a point", &[], 1),
    ("all 50 connections end", &[], 1),
    ("the same: most handshakes at once", &[], 1),
    ("20 NIC events a second, nothing sent: CPU time for an event", &[], 1),
    ("CPU when nothing happens, before those", &[], 0),
    ("the same: an answer, in the middle", &[], 0),
    ("the same: an answer, 99 %", &[], 0),
    ("the same: events a second that were reached", &[], 0),
    ("the same: rows of the table of events, for an event", &[], 0),
    ("the same: memory afterwards, beyond what it was before", &[], 0),
    ("sweeps of all 3,000 tunnels of 50 hosts, BFD, counters: CPU", &[], 0),
    ("the same: requests to hosts a second", &[], 0),
    ("the same: all tunnels probed for the first time", &[], 0),
    ("the same: longest time in which a tunnel was not probed", &[], 1),
    ("a host's part of sweeps, 178 tunnels on 10 bridges", &[], 1),
    ("the same: that of ovs-vswitchd", &[], 0),
];

/// The lines of those who do the work in their own way, and who is measured beside the daemon.
const PEERS: [(&str, &[&str]); 10] = [
    ("one tunnel on a bridge with 0: median", &["neutron", "xo"]),
    ("one tunnel on a bridge with 5: median", &["neutron", "xo"]),
    ("a VIF plugged, from the start of the command", &["os_vif"]),
    ("natively: one tunnel on a bridge with 0: median", &["neutron", "xo"]),
    ("natively: one tunnel on a bridge with 5: median", &["neutron", "xo"]),
    ("natively: a VIF plugged, from the start of the command", &["os_vif"]),
    ("a VIF from its command to its flows", &["ovn"]),
    ("memory with one network of a VIF on two hosts", &["ovn"]),
    ("2 networks and 6 VIFs on a host: CPU time", &["ovn"]),
    ("2 networks and 6 VIFs on a host: memory", &["ovn"]),
];

fn bench(arguments: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnel-bench"));
    command.args(arguments.split_whitespace()).stdin(Stdio::null());
    // Built here, if need be, so that no time of the benchmark goes into it. If that fails, the benchmark will say why.
    if let Some(programs) = ovstunnel_e2e::program("ovstunneld").ok().as_deref().and_then(Path::parent) {
        command.env("OVSTUNNEL_BIN_DIR", programs);
    }
    command
}

fn measured(arguments: &str) -> Result<(Value, String)> {
    let folder = std::env::temp_dir().join(format!("ovstunnel-bench-{}", std::process::id()));
    let json = folder.join("all.json");
    fs::create_dir_all(&folder)?;
    let mut command = bench(arguments);
    command.arg("--out").arg(&folder).arg("--json").arg(&json);
    let output = command.output()?;
    let read = fs::read_to_string(&json);
    let plots = ["one-tunnel.svg", "flows.svg"].map(|name| fs::read_to_string(folder.join(name)));
    fs::remove_dir_all(&folder)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    anyhow::ensure!(output.status.success(), "{}: {said}", output.status);
    for plot in plots {
        anyhow::ensure!(plot.context("a plot")?.contains("ovstunneld"), "a plot without our curve");
    }
    Ok((serde_json::from_str(&read?)?, String::from_utf8_lossy(&output.stdout).into_owned()))
}

#[test]
fn every_line_is_measured_and_everybody_leaves_the_same_rows() {
    // The rows are checked by the benchmark itself, after each turn of each contender: it fails where they differ.
    let (report, table) = measured("--quick").unwrap();
    let lines = report["lines"].as_array().unwrap();
    assert_eq!(lines.len(), LINES.len(), "{lines:#?}");
    for (line, (what, beside, goals)) in lines.iter().zip(LINES) {
        assert!(line["what"].as_str().unwrap().starts_with(what), "{what}: {line:#}");
        let others: Vec<&str> =
            line["beside"].as_array().unwrap().iter().map(|one| one["who"].as_str().unwrap()).collect();
        assert_eq!(others, beside, "{what}");
        assert_eq!(line["goals"].as_array().unwrap().len(), goals, "{what}");
        let figures = line["beside"].as_array().unwrap().iter().chain([&line["daemon"]]);
        for figure in figures {
            let value = figure["value"].as_f64().unwrap();
            // What is used when nothing happens is a difference of two short times.
            let can_be = value >= 0.0 || what.contains("CPU when nothing happens");
            assert!(value.is_finite() && can_be && figure["samples"].as_u64().unwrap() > 0, "{what}: {line:#}");
        }
        assert!(table.contains(what), "{what} is not in the table:\n{table}");
    }
    // What does not depend on the machine is what it must be.
    assert_eq!(lines[13]["daemon"]["value"], 15.0, "{:#}", lines[13]);
    assert_eq!(lines[13]["goals"][0]["met"], true);
    assert_eq!(report["quick"], true);
    assert!(report["machine"]["cores"].as_u64().unwrap() > 0, "{}", report["machine"]);
}

/// Their libraries are 350 MB, which `scripts/test --long` installs.
#[test]
#[ignore = "long"]
fn those_who_work_in_their_own_way_are_measured() {
    let output = bench("--quick --only peers --json -").output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let lines = report["lines"].as_array().unwrap();
    assert_eq!(lines.len(), PEERS.len(), "{lines:#?}");
    for (line, (what, beside)) in lines.iter().zip(PEERS) {
        assert!(line["what"].as_str().unwrap().starts_with(what), "{what}: {line:#}");
        let others = line["beside"].as_array().unwrap();
        assert_eq!(others.iter().map(|one| one["who"].as_str().unwrap()).collect::<Vec<_>>(), beside, "{what}");
        for figure in others.iter().chain([&line["daemon"]]) {
            assert!(figure["value"].as_f64().unwrap() > 0.0, "{what}: {line:#}");
        }
    }
}

/// A report with one line, in which somebody is measured beside the daemon.
fn written(folder: &Path, name: &str, what: &str, daemon: (f64, Option<[f64; 2]>)) -> Result<std::path::PathBuf> {
    let (value, spread) = daemon;
    let reading = |value: f64| serde_json::json!({"value": value, "samples": 3, "spread": spread});
    let mut beside = reading(1.0);
    beside["who"] = "command".into();
    let line = serde_json::json!({"scenario": "tunnel", "what": what, "unit": "seconds", "daemon": reading(value),
        "beside": [beside], "goals": []});
    let old = serde_json::json!({"scenario": "tunnel", "what": format!("{name} alone"), "unit": "seconds",
        "daemon": {"value": 1.0, "samples": 1}, "beside": [], "goals": []});
    let machine = serde_json::json!({"cores": 2, "cpu": "c", "memory_mb": 1, "kernel": "6.1", "open_vswitch": "3.1.0",
        "datapath": "userspace (netdev)", "build": "release", "date": "2026-01-01"});
    let report =
        serde_json::json!({"machine": machine, "quick": false, "seconds": 1.0, "lines": [line, old], "curves": []});
    let file = folder.join(name);
    fs::write(&file, report.to_string())?;
    Ok(file)
}

#[test]
fn two_runs_are_compared_by_their_lines() {
    let folder = std::env::temp_dir().join(format!("ovstunnel-compare-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let old = written(&folder, "then", "one tunnel", (2.0, Some([1.0, 4.0]))).unwrap();
    let new = written(&folder, "now", "one tunnel", (3.0, Some([2.0, 8.0]))).unwrap();
    let compare = |old: &Path| {
        let mut command = bench("");
        command.arg("--from").arg(&new).arg("--compare").arg(old);
        command.output().unwrap()
    };
    let (output, missing) = (compare(&old), compare(&folder.join("nowhere")));
    fs::remove_dir_all(&folder).unwrap();
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = |word: &str| told.lines().rfind(|line| line.contains(word)).map(str::split_whitespace).unwrap();
    // 3 / 2, and between 2 / 4 and 8 / 1.
    assert_eq!(
        line("one tunnel").collect::<Vec<_>>(),
        ["one", "tunnel", "ovstunneld", "1.50", "0.50", "to", "8.00"],
        "{told}"
    );
    assert!(line("bare command").any(|word| word == "1.00"), "{told}");
    assert!(told.contains("only then: then alone") && told.contains("only now: now alone"), "{told}");
    assert_eq!(missing.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&missing.stderr).contains("nowhere"));
}

#[test]
fn ctrl_c_leaves_nothing_behind() {
    // By then hosts are there, and ovsdbapp is frozen or at work.
    let mut bench = bench("--only tunnel --quick");
    bench.stdout(Stdio::null()).stderr(Stdio::piped()).process_group(0);
    let mut bench = bench.spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(bench.stderr.take().unwrap()));
    assert!(lines.next().unwrap().unwrap().contains("one tunnel"));
    killpg(Pid::from_raw(bench.id().cast_signed()), Signal::SIGINT).unwrap();
    let status = bench.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status}");
    assert_eq!(traces_of(bench.id()), Vec::<String>::new());
}

#[test]
fn what_cannot_run_says_so_with_status_2() {
    let output = bench("--quick").env("PATH", "/nowhere").output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("bench: ") && said.contains("no `ovs-vswitchd` in PATH"), "{said}");
    assert_eq!(bench("--quick --update-docs").output().unwrap().status.code(), Some(2));
}
