//! A dry run prints exactly the commands that the same request then has run on Open vSwitch: the tools are stood in for by scripts
//! that note what they are given and then are the real ones.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{FlowsState, PlanAnswer, PlannedCommand, PutBridge};
use ovstunnel_client::{Client, ClientError};
use ovstunnel_e2e::{Cloud, NodeConfig, Old, tunnels_to};
use ovstunnel_lab::{DEADLINE, Host, Switch, wait_until};
use tempfile::TempDir;

/// Each run is a file, named by the time at which it began, with another one for its input.
const SCRIPT: &str = r#"#!/bin/sh
tool=${0##*/}; dir=${0%/*}; run="$dir/runs/$(date +%s%N)-$$"; input=/dev/null
case " $* " in *' - ') cat > "$run.stdin"; input="$run.input"; cp "$run.stdin" "$input" ;; esac
for word in "$tool" "$@"; do printf '%s\n' "$word"; done > "$run.new"
mv "$run.new" "$run.argv"
exec REAL/$tool "$@" < "$input"
"#;

/// Begins the cookies of flows that follow the underlay.
const UNDERLAY: &str = "cookie=0x6f76737406";

/// The stand-ins.
struct Recorder(TempDir);

impl Recorder {
    fn new() -> Result<Self> {
        let dir = tempfile::Builder::new().prefix("ovstunnel-record-").tempdir()?;
        fs::create_dir(dir.path().join("runs"))?;
        let script = SCRIPT.replace("REAL", &Switch::from_environment()?.bin_dir().display().to_string());
        for tool in ["ovs-vsctl", "ovs-ofctl"] {
            let path = dir.path().join(tool);
            fs::write(&path, &script)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        }
        Ok(Recorder(dir))
    }

    fn config(&self) -> NodeConfig {
        NodeConfig { bin_dir: self.0.path().into(), vif_broadcast_pps: 50, ..NodeConfig::default() }
    }

    /// What was run since this was last asked, but for what only reads, and for what followed a change of the underlay.
    fn take(&self) -> Result<Vec<String>> {
        let mut files: Vec<_> =
            fs::read_dir(self.0.path().join("runs"))?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
        files.sort();
        let mut runs = Vec::new();
        for argv in files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "argv")) {
            let stdin = fs::read_to_string(argv.with_extension("stdin")).unwrap_or_default();
            let words = fs::read_to_string(argv)?;
            runs.push(line(words.lines().map(str::to_owned), &stdin));
            // Not those of one that is just beginning, nor what it has yet to read.
            [argv.clone(), argv.with_extension("stdin")].iter().for_each(|file| drop(fs::remove_file(file)));
        }
        runs.retain(|run| !run.contains(" dump-flows ") && !run.contains(" show ") && !follows_underlay(run));
        Ok(in_parallel(runs))
    }
}

/// Where the first tunnel appears, the underlay is known soon afterwards; the flows that keep VMs from it come by a change of their own.
fn follows_underlay(run: &str) -> bool {
    run.split_once(" < ")
        .is_some_and(|(_, stdin)| !stdin.is_empty() && stdin.lines().all(|line| line.contains(UNDERLAY)))
}

fn line(argv: impl Iterator<Item = String>, stdin: &str) -> String {
    format!("{} < {stdin}", argv.collect::<Vec<_>>().join(" "))
}

fn planned(commands: &[PlannedCommand], host: &Host) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    for PlannedCommand { argv, stdin } in commands {
        let (tool, words) = argv.split_first().context("a command has a name")?;
        let tool = tool.rsplit('/').next().unwrap_or_default().to_owned();
        let mut line = line(std::iter::once(tool).chain(words.iter().cloned()), stdin.as_deref().unwrap_or_default());
        while let Some((before, rest)) = line.split_once("<ofport of ") {
            let (port, after) = rest.split_once('>').context("where the name ends")?;
            let number = host.vsctl(["get", "Interface", port, "ofport"])?;
            line = format!("{before}{}{after}", number.trim());
        }
        lines.push(line);
    }
    Ok(in_parallel(lines))
}

/// Ports are told to be flooded to side by side: their order is none.
fn in_parallel(mut lines: Vec<String>) -> Vec<String> {
    lines.chunk_by_mut(|a, b| a.contains(" mod-port ") && b.contains(" mod-port ")).for_each(<[String]>::sort);
    lines
}

/// Asks for a dry run, then for the change, and compares; gives the commands.
fn both<F, G>(
    (cloud, recorder): (&Cloud, &Recorder),
    dry: impl FnOnce(Client) -> F + Send + 'static,
    real: impl FnOnce(Client) -> G + Send + 'static,
) -> Result<Vec<String>>
where
    F: Future<Output = Result<PlanAnswer, ClientError>> + Send + 'static,
    G: Future<Output = Result<(), ClientError>> + Send + 'static,
{
    let plan = cloud.call(1, dry)??;
    recorder.take()?;
    cloud.call(1, real)??;
    let (ran, planned) = (recorder.take()?, planned(&plan.commands, cloud.node(1)?.host())?);
    ensure!(ran == planned, "ran {ran:#?}, planned {planned:#?}");
    Ok(ran)
}

/// A bridge is set up.
fn put(on: (&Cloud, &Recorder), body: &PutBridge) -> Result<Vec<String>> {
    let (dry, real) = (body.clone(), body.clone());
    both(
        on,
        move |client| async move { client.dry_run().put_bridge("xapi1", &dry).await },
        move |client| async move { client.put_bridge("xapi1", &real).await.map(drop) },
    )
}

fn expect(ran: &[String], words: &[&str]) -> Result<()> {
    let missing = words.iter().find(|word| !ran.iter().any(|run| run.contains(**word)));
    ensure!(missing.is_none(), "no {missing:?} in {ran:#?}");
    Ok(())
}

#[test]
fn what_is_printed_is_what_is_run() -> Result<()> {
    let recorder = Recorder::new()?;
    let cloud = Cloud::with_config("dry", 1, recorder.config())?;
    let (on, host) = ((&cloud, &recorder), cloud.node(1)?.host());
    // A new bridge, another address of a tunnel, its end.
    expect(&put(on, &tunnels_to(5, &[2, 3]))?, &[" create Bridge ", " add-flows "])?;
    let mut moved = tunnels_to(5, &[2, 3]);
    moved.tunnels.iter_mut().flatten().take(1).for_each(|tunnel| tunnel.remote_ip = "192.0.2.77".to_owned());
    expect(&put(on, &moved)?, &["192.0.2.77"])?;
    let destroyed = both(
        on,
        |client| async move { client.dry_run().delete_bridge("xapi1").await },
        |client| async move { client.delete_bridge("xapi1").await.map(drop) },
    )?;
    expect(&destroyed, &[" remove Open_vSwitch "])?;
    // One that was there, with STP and a VIF that gets a limit; then it is given back.
    host.vsctl(["add-br", "xapi1", "--", "set", "Bridge", "xapi1", "stp_enable=true"])?;
    let datapath = format!("datapath_type={}", host.switch().datapath().name());
    host.vsctl(["set", "Bridge", "xapi1", &datapath])?;
    host.vsctl(["add-port", "xapi1", "vif1.0", "--", "set", "Interface", "vif1.0", "type=internal"])?;
    expect(&put(on, &tunnels_to(5, &[2]))?, &[" mod-port ", " add-meter ", "ovstunnel-flooding"])?;
    // Which meters are to go is known by the flows as they were read last.
    wait_until("the flows to be known", DEADLINE, || {
        let bridge = cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
        ensure!(bridge.flows.state == FlowsState::InSync, "{:?}", bridge.flows);
        Ok(())
    })?;
    let released = both(
        on,
        |client| async move { client.dry_run().release_bridge("xapi1").await },
        |client| async move { client.release_bridge("xapi1").await.map(drop) },
    )?;
    expect(&released, &[" del-meter "])
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn what_is_printed_of_a_take_over_is_what_is_run() -> Result<()> {
    let recorder = Recorder::new()?;
    let old = Old::new("drytake", &[1], recorder.config())?;
    let plan = old.cloud.call(1, |client| async move { client.dry_run().takeover(&[]).await })??;
    recorder.take()?;
    old.take_over(1)?;
    let planned = planned(&plan.plan.commands, old.host(1)?)?;
    let mut ran = recorder.take()?;
    // Which VMs are announced to the other hosts is known only then, and the plan says so.
    ensure!(format!("{:?}", plan.bridges).contains("which of its VMs are announced"), "{plan:?}");
    ran.truncate(planned.len());
    ensure!(ran == planned, "ran {ran:#?}, planned {planned:#?}");
    expect(&ran, &["hard_timeout=5", " mod-port ", "delete_strict", " bundle "])
}
