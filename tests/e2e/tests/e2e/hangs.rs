//! A switch that hangs: `ovs-vswitchd` or `ovsdb-server` frozen by SIGSTOP. It is seen and said within seconds, every request
//! is answered in time, what is answered is true, and with SIGCONT all goes on by itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Code, FlowsState, Ipv6Policy, Level, Outcome};
use ovstunnel_client::ClientError;
use ovstunnel_e2e::{Cloud, Network, NodeConfig, tunnel_to, tunnels_to};
use ovstunnel_lab::{Host, wait_until};

const SOON: Duration = Duration::from_secs(20);
/// `[ovs] timeout`.
const TIMEOUT: Duration = Duration::from_secs(4);
/// Within which each request must be answered, with some slack for a busy machine.
const ANSWERED: Duration = Duration::from_secs(4 + 1 + 2);
/// Within which a hang must be seen, with the same slack.
const SEEN: Duration = Duration::from_secs(5 + 2);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Daemon {
    Vswitchd,
    Database,
}

impl Daemon {
    fn pause(self, host: &Host) -> Result<()> {
        match self {
            Daemon::Vswitchd => host.pause_vswitchd(),
            Daemon::Database => host.pause_ovsdb(),
        }
    }

    fn resume(self, host: &Host) -> Result<()> {
        match self {
            Daemon::Vswitchd => host.resume_vswitchd(),
            Daemon::Database => host.resume_ovsdb(),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Daemon::Vswitchd => "ovs-vswitchd",
            Daemon::Database => "ovsdb-server",
        }
    }
}

/// What was asked for, the answer, and the time it took.
type Timed = (&'static str, Result<(), ClientError>, Duration);

/// Requests of all kinds at the same time.
fn requests(cloud: &Cloud) -> Result<Vec<Timed>> {
    let client = cloud.node(1)?.local_client()?;
    Ok(cloud.manager().run(async move {
        let start = Instant::now();
        let timed = async |what, answer: Result<(), ClientError>| (what, answer, start.elapsed());
        let (a, b, c, d, e, f) = tokio::join!(
            async { timed("a new bridge", client.put_bridge("xapi2", &tunnels_to(1002, &[2])).await.map(drop)).await },
            async { timed("a tunnel", client.post_tunnel("xapi1", &tunnel_to(3)).await.map(drop)).await },
            async { timed("no bridge", client.delete_bridge("xapi4").await.map(drop)).await },
            async { timed("a repair", client.reconcile().await.map(drop)).await },
            async { timed("a take-over", client.takeover(&[]).await.map(drop)).await },
            async { timed("a look", client.bridge("xapi1").await.map(drop)).await },
        );
        vec![a, b, c, d, e, f]
    }))
}

fn cloud(tag: &str) -> Result<Cloud> {
    let config = NodeConfig { timeout: format!("{}s", TIMEOUT.as_secs()), ..NodeConfig::default() };
    let cloud = Cloud::with_config(tag, 1, config)?;
    cloud.call_on_host(1, |client| async move {
        client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await?;
        client.put_bridge("xapi4", &tunnels_to(1004, &[2])).await
    })??;
    Ok(cloud)
}

fn hangs(tag: &str, daemon: Daemon) -> Result<()> {
    let cloud = cloud(tag)?;
    let host = cloud.node(1)?.host().clone();

    // In flight when it freezes: each is answered in time, though nobody knows yet that it hangs.
    daemon.pause(&host)?;
    let frozen = Instant::now();
    let answers = requests(&cloud)?;
    for (what, answer, took) in &answers {
        ensure!(*took < ANSWERED, "{what} took {took:?}: {answer:?}");
    }
    let reason = wait_until("the daemon to say that it hangs", SOON, || {
        let ready = cloud.call_on_host(1, |client| async move { client.readyz().await })??;
        match ready.reason {
            Some(reason) if reason.contains("hangs") => Ok(reason),
            other => Err(anyhow!("{other:?}")),
        }
    })?;
    let seen = frozen.elapsed();
    println!("{daemon:?}: {reason} after {seen:?}");
    ensure!(reason.contains(daemon.name()) && reason.contains("stopped by a signal"), "{reason}");
    let doctor = cloud.call_on_host(1, |client| async move { client.doctor(false).await })??;
    let told = doctor.findings.iter().find(|finding| finding.check == "ready").context("no finding")?;
    ensure!(told.level == Level::Fail && told.reason.contains(daemon.name()), "{told:?}");

    // Now it is known: nothing is changed. What the writer had begun just before may take as long as a command may.
    for (what, answer, took) in requests(&cloud)? {
        ensure!(took < ANSWERED, "{what} took {took:?}: {answer:?}");
        let code = answer.as_ref().err().and_then(|error| Some(error.problem()?.code));
        let expected = (what != "a look" || daemon == Daemon::Database).then_some(Code::SwitchUnavailable);
        ensure!(code == expected, "{what}: {answer:?}");
    }
    if daemon == Daemon::Vswitchd {
        let same =
            cloud.call_on_host(1, |client| async move { client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await })?;
        if let Ok(same) = same {
            assert_eq!((same.outcome, same.bridge.flows.state), (Outcome::Unchanged, FlowsState::Unknown));
        }
    }

    daemon.resume(&host)?;
    cloud.wait_until_ready(1)?;
    // What was answered is true.
    let done = |what: &str| -> Result<bool> {
        let bridges = host.vsctl(["list-br"])?;
        Ok(match what {
            "a new bridge" => bridges.lines().any(|line| line == "xapi2"),
            "a tunnel" => host.vsctl(["list-ports", "xapi1"])?.contains("t1001-1-3"),
            _ => !bridges.lines().any(|line| line == "xapi4"),
        })
    };
    for (what, answer, _) in answers.iter().take(3) {
        match answer {
            Ok(()) => ensure!(done(what)?, "{what} was answered as done"),
            Err(error) => match error.problem().map(|problem| problem.code) {
                Some(Code::SwitchUnavailable) => ensure!(!done(what)?, "{what} was answered as not done: {error:?}"),
                Some(Code::OutcomeUnknown) => {}
                _ => return Err(anyhow!("{what}: {error:?}")),
            },
        }
    }
    cloud.call_on_host(1, |client| async move {
        client.delete_bridge("xapi2").await?;
        client.put_bridge("xapi1", &tunnels_to(1001, &[2])).await?;
        client.put_bridge("xapi4", &tunnels_to(1004, &[2])).await
    })??;
    for key in [1, 4] {
        cloud.wait_for_rules(&Network::numbered(key, Ipv6Policy::Drop), 1)?;
    }
    ensure!(seen < SEEN.max(ANSWERED), "seen after {seen:?}");
    Ok(())
}

#[test]
fn a_hanging_vswitchd_is_told_and_requests_are_answered() -> Result<()> {
    hangs("hangvs", Daemon::Vswitchd)
}

#[test]
fn a_hanging_database_is_told_and_requests_are_answered() -> Result<()> {
    hangs("hangdb", Daemon::Database)
}

/// Deleting many tunnels keeps `ovs-vswitchd` from answering, and it computes all the time: no alarm.
#[test]
fn a_busy_vswitchd_is_not_said_to_hang() -> Result<()> {
    let cloud = Cloud::new("busyvs", 1)?;
    let (node, host) = (cloud.node(1)?, cloud.node(1)?.host().clone());
    let pid = host.vswitchd_pid().context("no ovs-vswitchd")?;
    // The bridge and its tunnels are somebody else's: what keeps `ovs-vswitchd` busy is the deletion.
    for bridge in 0..2 {
        let name = format!("other{bridge}");
        host.add_bridge(&name)?;
        for part in 0..5 {
            let ports = (0..250).flat_map(|n| {
                let (port, n) = (format!("o{bridge}-{part}-{n}"), part * 250 + n);
                let address = format!("options:remote_ip=198.18.{}.{}", n / 200, n % 200 + 1);
                let row =
                    format!("--id=@i{n} create Interface name={port} type=gre options:key={} {address}", 7 + bridge);
                let add =
                    format!("--id=@p{n} create Port name={port} interfaces=@i{n} -- add Bridge {name} ports @p{n}");
                format!("-- {row} -- {add}").split(' ').map(str::to_owned).collect::<Vec<_>>()
            });
            host.vsctl(ports.skip(1).collect::<Vec<_>>())?;
        }
    }
    let log = node.log().len();
    host.vsctl(["--no-wait", "del-br", "other0", "--", "del-br", "other1"])?;
    wait_until("the deletion", Duration::from_secs(60), || {
        host.vsctl(["set", "Bridge", "br-phy", "other_config:x=1"])
    })?;
    ensure!(host.vswitchd_pid() == Some(pid));
    let text = node.log().split_off(log);
    ensure!(!text.contains("hangs"), "{text}");
    Ok(())
}
