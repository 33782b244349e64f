//! Said twice, only said, or said before: repeated requests change nothing, a dry run changes nothing and its commands do
//! what it says, and a daemon that starts anew on a switch where all is as it must be writes nothing.

use std::io::Write;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::{FlowsState, Ipv6Policy, Outcome, PlanAnswer};
use ovstunnel_e2e::{Cloud, Network, Snapshot, database_file, tunnel_to, tunnels_to};
use ovstunnel_lab::Host;

#[test]
fn what_is_asked_twice_is_unchanged_the_second_time() -> Result<()> {
    let cloud = Cloud::new("twice", 1)?;
    let host = cloud.node(1)?.host().clone();
    let outcomes = |file: &[u8]| -> Result<()> {
        let put =
            cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2, 3])).await })??;
        let post = cloud.call(1, |client| async move { client.post_tunnel("xapi1", &tunnel_to(2)).await })??;
        let delete = cloud.call(1, |client| async move { client.delete_tunnel("xapi1", "t1001-1-9").await })??;
        let no_bridge = cloud.call(1, |client| async move { client.delete_bridge("xapi9").await })??;
        let reconcile = cloud.call(1, |client| async move { client.reconcile().await })??;
        let all = [put.outcome, post.outcome, delete.outcome, no_bridge.outcome];
        ensure!(all.iter().all(|outcome| *outcome == Outcome::Unchanged), "{all:?}");
        ensure!(reconcile.found.is_empty() && reconcile.failed.is_empty(), "{reconcile:?}");
        ensure!(database_file(&host)? == file, "something was written");
        Ok(())
    };
    cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2, 3])).await })??;
    let file = database_file(&host)?;
    outcomes(&file)?;
    outcomes(&file)
}

/// Does by hand what a plan says.
fn do_by_hand(plan: &PlanAnswer) -> Result<()> {
    for planned in &plan.commands {
        let (program, arguments) = planned.argv.split_first().context("no program")?;
        let mut child = Command::new(program).args(arguments).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        child.stdin.take().context("stdin")?.write_all(planned.stdin.as_deref().unwrap_or_default().as_bytes())?;
        ensure!(child.wait()?.success(), "{:?}", planned.argv);
    }
    Ok(())
}

/// Everything, but with the new rows' own ids left out.
fn shape(host: &Host) -> Result<Vec<String>> {
    let columns = [
        ("Bridge", "name,external_ids,other_config,stp_enable"),
        ("Port", "name,protected,external_ids"),
        ("Interface", "name,type,options,error"),
    ];
    let mut lines = Vec::new();
    for (table, columns) in columns {
        let rows = host.vsctl([
            "--format=csv".to_owned(),
            format!("--columns={columns}"),
            "list".to_owned(),
            table.to_owned(),
        ])?;
        lines.extend(rows.lines().map(|row| format!("{table} {row}")));
    }
    for bridge in host.vsctl(["list-br"])?.lines() {
        let flows = host.ofctl(["dump-flows", "--no-stats", bridge])?;
        // Those that follow the host's own addresses come a moment later, and name addresses that differ from host to host.
        let flows = flows.lines().filter(|flow| !flow.contains("cookie=0x6f76737406"));
        lines.extend(flows.map(|flow| format!("{bridge} {}", flow.trim())));
    }
    lines.sort();
    Ok(lines)
}

#[test]
fn a_dry_run_changes_nothing_and_its_commands_do_what_it_says() -> Result<()> {
    let cloud = Cloud::new("dryrun", 2)?;
    let hosts = [cloud.node(1)?.host().clone(), cloud.node(2)?.host().clone()];
    // Host 1 does by hand what its plan says; host 2 is told to do the same.
    let mut done = Vec::new();
    for step in 0..4 {
        let before = Snapshot::of(&hosts[0])?;
        let plan = cloud.call(1, move |client| async move {
            let dry = client.dry_run();
            match step {
                0 => dry.put_bridge("xapi1", &tunnels_to(1001, &[3, 4])).await,
                1 => dry.put_bridge("xapi1", &tunnels_to(1001, &[4, 5, 6])).await,
                2 => dry.post_tunnel("xapi1", &tunnel_to(7)).await,
                _ => dry.delete_bridge("xapi1").await,
            }
        })??;
        before.expect_same(&Snapshot::of(&hosts[0])?)?;
        ensure!(plan.dry_run && !plan.changes.is_empty() && !plan.commands.is_empty(), "{plan:?}");
        // A daemon that runs would put back what others take away from what it has carried out itself.
        cloud.node(1)?.stop()?;
        do_by_hand(&plan)?;
        let outcome = cloud.call(2, move |client| async move {
            match step {
                0 => client.put_bridge("xapi1", &tunnels_to(1001, &[3, 4])).await.map(|answer| answer.outcome),
                1 => client.put_bridge("xapi1", &tunnels_to(1001, &[4, 5, 6])).await.map(|answer| answer.outcome),
                2 => client.post_tunnel("xapi1", &tunnel_to(7)).await.map(|answer| answer.outcome),
                _ => client.delete_bridge("xapi1").await.map(|answer| answer.outcome),
            }
        })??;
        assert_eq!(plan.outcome, outcome, "step {step}");
        let differing = |host: &Host| -> Result<Vec<String>> {
            // What is a host's own: its bridge to the fabric.
            Ok(shape(host)?.into_iter().filter(|line| !line.contains("br-phy") && !line.contains("eth0")).collect())
        };
        assert_eq!(differing(&hosts[0])?, differing(&hosts[1])?, "step {step}");
        done.push(outcome);
        cloud.node(1)?.start()?;
        cloud.wait_until_ready(1)?;
    }
    assert_eq!(done, [Outcome::Created, Outcome::Updated, Outcome::Created, Outcome::Removed]);
    Ok(())
}

/// Ages of our flows in seconds, by cookie: a flow that is written anew is young.
fn ages(host: &Host, bridge: &str) -> Result<Vec<f64>> {
    let flows = host.ofctl(["dump-flows", bridge, "cookie=0x6f76737400000000/0xffffffff00000000"])?;
    let age = |line: &str| line.split("duration=").nth(1)?.split('s').next()?.parse().ok();
    Ok(flows.lines().filter_map(age).collect())
}

#[test]
fn a_daemon_that_finds_all_as_it_must_be_writes_nothing() -> Result<()> {
    let cloud = Cloud::new("restart", 1)?;
    let node = cloud.node(1)?;
    let network = Network::numbered(1, Ipv6Policy::Drop);
    cloud.call(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2, 3])).await })??;
    cloud.plug(&network, 1, 1)?;
    let (before, file, young) = (Snapshot::of(node.host())?, database_file(node.host())?, ages(node.host(), "xapi1")?);

    type End = fn(&ovstunnel_e2e::Node) -> Result<()>;
    let ends: [End; 2] = [
        |node| node.stop(),
        |node| {
            node.kill();
            Ok(())
        },
    ];
    for end in ends {
        end(node)?;
        let log = node.log().len();
        node.start()?;
        cloud.wait_until_ready(1)?;
        let seen = cloud.call(1, |client| async move { client.bridge("xapi1").await })??;
        assert_eq!((seen.flows.state, seen.flows.installed), (FlowsState::InSync, Some(11)));
        let log = node.log().split_off(log);
        let runs: Vec<&str> = log.lines().filter(|line| line.contains("command=\"ovs-vsctl\"")).collect();
        ensure!(runs.len() == 1 && runs[0].contains("args=1 "), "more than a look at the version: {runs:?}");
        ensure!(!log.contains(" step="), "steps were carried out: {log}");
        ensure!(database_file(node.host())? == file, "something was written to the database");
        let old = ages(node.host(), "xapi1")?;
        ensure!(
            old.len() == young.len() && old.iter().zip(&young).all(|(old, young)| old > young),
            "{old:?} {young:?}"
        );
    }
    before.expect_same(&Snapshot::of(node.host())?)
}
