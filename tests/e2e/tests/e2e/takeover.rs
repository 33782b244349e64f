//! Take-over from the Python plugin on running networks, and release: nothing is lost, nothing comes twice, and what is
//! somebody else's stays byte for byte.
//!
//! STP runs on host 1 only, or nowhere. With it on all three, two hosts that are not its root reach each other through the
//! root alone, and what they flood to each other is lost for good before anything is taken over (docs/ovs-facts.md). A bridge
//! does not pass the frames of STP on while its own is off, so host 1 sees itself alone and forwards on all ports.
//!
//! What is counted: while one host is taken over nothing is lost and nothing comes twice; while the others follow, or all
//! at once, nothing comes twice, and pings between two hosts that had learnt to reach each other by way of a third may be
//! lost until they have learnt better (docs/adr/0012-take-over.md).

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Code, Outcome, TakeoverState, TunnelKind};
use ovstunnel_e2e::{Dice, NodeConfig, Old, Snapshot, expect_state, flows_of_others, problem};
use ovstunnel_lab::{Switch, wait_until};

const HOSTS: [usize; 3] = Old::HOSTS;
const PATIENCE: Duration = Old::PATIENCE;

#[test]
fn a_host_is_taken_over_and_nothing_is_lost_or_comes_twice() -> Result<()> {
    nothing_is_lost_or_comes_twice(TunnelKind::Gre)
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn a_host_of_kind_vxlan_takes_over_and_loses_nothing() -> Result<()> {
    nothing_is_lost_or_comes_twice(TunnelKind::Vxlan)
}

#[test]
#[ignore = "takes long: scripts/test --long"]
fn a_host_of_kind_geneve_takes_over_and_loses_nothing() -> Result<()> {
    nothing_is_lost_or_comes_twice(TunnelKind::Geneve)
}

/// Whatever the kind of new bridges is, what is taken over is GRE and stays so: the hosts that are still the plugin's know no other.
fn nothing_is_lost_or_comes_twice(kind: TunnelKind) -> Result<()> {
    let config = NodeConfig { tunnel: format!("kind = \"{kind}\""), ..NodeConfig::default() };
    let old = Old::new(&format!("old{kind}"), &[1], config)?;
    let foreign = old.foreign()?;
    let traffic = old.settled_traffic()?;
    let before = Snapshot::of(old.host(1)?)?;
    let plan = old.cloud.call(1, |client| async move { client.dry_run().takeover(&[]).await })??;
    ensure!(plan.plan.dry_run && plan.plan.outcome == Outcome::Updated && !plan.plan.commands.is_empty(), "{plan:#?}");
    before.expect_same(&Snapshot::of(old.host(1)?)?)?;

    let take_over = |number: usize| -> Result<()> {
        let answer = old.take_over(number)?;
        expect_state(&answer, Outcome::Updated, TakeoverState::TakenOver)?;
        let bridge = &answer.bridges[0];
        assert_eq!((bridge.key, bridge.host_id.clone()), (Some(1001), Some(number.to_string())));
        assert_eq!((bridge.tunnels.len(), bridge.vifs.len(), bridge.plugin_flows, bridge.other_flows), (2, 2, 11, 5));
        let name = old.network.bridge.clone();
        let ours = old.cloud.call(number, |client| async move { client.bridge(&name).await })??;
        assert_eq!((ours.kind, ours.tunnels.len()), (TunnelKind::Gre, 2));
        Ok(())
    };
    let unheard = || HOSTS.iter().map(|number| old.host(*number)?.frames_unheard()).sum::<Result<u64>>();
    let before = unheard()?;
    take_over(1)?;
    Old::let_pass(&traffic.0, 300)?;
    let missed = unheard()? - before;
    Old::expect_once(traffic, true)
        .with_context(|| format!("{missed} frames for which a switch's socket had no room"))?;
    let traffic = old.traffic()?;
    for number in [2, 3] {
        take_over(number)?;
        Old::let_pass(&traffic.0, 300)?;
    }
    Old::expect_once(traffic, false)?;
    old.expect_taken_over(&foreign)?;
    for number in HOSTS {
        let before = Snapshot::of(old.host(number)?)?;
        expect_state(&old.take_over(number)?, Outcome::Unchanged, TakeoverState::Unchanged)?;
        before.expect_same(&Snapshot::of(old.host(number)?)?)?;
    }
    Ok(())
}

#[test]
fn all_hosts_are_taken_over_at_once_and_nothing_comes_twice() -> Result<()> {
    let old = Old::new("old2", &[], NodeConfig::default())?;
    let foreign = old.foreign()?;
    let traffic = old.traffic()?;
    let requests = HOSTS.map(|number| {
        let client = old.cloud.node(number).map(|node| node.client());
        client.map(|client| old.cloud.manager().spawn(async move { client.takeover(&[]).await }))
    });
    for request in requests {
        expect_state(&old.cloud.manager().run(request?)??, Outcome::Updated, TakeoverState::TakenOver)?;
    }
    Old::let_pass(&traffic.0, 300)?;
    Old::expect_once(traffic, false)?;
    old.expect_taken_over(&foreign)
}

/// Frames of two hosts may go on by the third. Where one of them has a host forget the direct way that it was told, the next
/// announcement must not be sent by the third, which would learn from it that the VM is elsewhere.
#[test]
fn announcements_teach_the_direct_way_again_and_again() -> Result<()> {
    let old = Old::new("old5", &[], NodeConfig::default())?;
    let (mine, theirs) = (old.vm(1, 0), old.vm(3, 0));
    // What cached flows were used for is learnt from, and they are made anew by what was learnt.
    let settle = || HOSTS.iter().try_for_each(|host| old.host(*host)?.appctl(["revalidator/wait"]).map(drop));
    old.take_over(1)?;
    for turn in 0..3 {
        settle()?;
        old.learn_behind(3, mine, 2)?;
        settle()?;
        old.take_over(1)?;
        settle()?;
        for (host, tunnel_to) in [(1, 2), (1, 3), (2, 3), (3, 2)] {
            let wrong = old.knows_behind(host, mine, tunnel_to)?;
            ensure!(!wrong, "turn {turn}: host {host} was taught that {mine} is behind its tunnel to host {tunnel_to}");
        }
        theirs.ping(mine.ip(), 5)?.expect_no_loss()?;
    }
    Ok(())
}

/// As it is in the field: who has learnt whom by way of which third host is a matter of chance, and so is the order of hosts.
#[test]
#[ignore = "takes long: scripts/test --long"]
fn naturally_learnt_hosts_lose_nothing_at_takeover() -> Result<()> {
    let mut by_a_third = 0;
    for seed in 0..4 {
        let mut dice = Dice::new(seed);
        let old = Old::by_nature(&format!("nature{seed}"), &mut dice)?;
        let traffic = old.settled_traffic()?;
        by_a_third += old.learnt_by_a_third()?;
        let mut hosts = HOSTS.to_vec();
        let begun = Instant::now();
        while !hosts.is_empty() {
            let number = hosts.swap_remove(usize::try_from(dice.below(u64::try_from(hosts.len())?))?);
            let answer = old.take_over(number)?;
            expect_state(&answer, Outcome::Updated, TakeoverState::TakenOver)?;
            assert_eq!(answer.bridges[0].announced, 2, "{answer:?}");
        }
        let took = begun.elapsed();
        Old::let_pass(&traffic.0, 1000)?;
        let (pingers, streams) = traffic;
        for (n, pinger) in pingers.into_iter().enumerate() {
            let report = pinger.stop()?;
            println!("seed {seed}: {took:.1?}, ping {n}: {report}");
            // VMs are announced again every second.
            let silent = report.longest_silence <= took + Duration::from_millis(1500);
            ensure!(
                silent && report.duplicates == 0,
                "seed {seed}, ping {n}: {report}, and the take-over took {took:?}"
            );
        }
        Old::expect_once((vec![], streams), false)?;
        // From then on nothing is lost, whoever asks whom.
        let after = old.traffic()?;
        Old::let_pass(&after.0, 300)?;
        Old::expect_once(after, true)?;
    }
    ensure!(by_a_third > 0, "no host has learnt anybody by way of a third");
    Ok(())
}

#[test]
fn a_release_under_traffic_leaves_a_plain_bridge() -> Result<()> {
    let old = Old::new("old3", &[], NodeConfig::default())?;
    let (host, bridge) = (old.host(1)?, old.network.bridge.as_str());
    let foreign = old.foreign()?;
    old.take_over(1)?;
    let name = bridge.to_owned();
    let refused = old.cloud.call(1, move |client| async move { client.delete_bridge(&name).await })?;
    problem(refused, Code::Conflict)?;

    let pinger = old.vms[0].start_ping(old.vms[1].ip(), Duration::from_millis(2))?;
    let release = || {
        let name = bridge.to_owned();
        old.cloud.call(1, move |client| async move { client.release_bridge(&name).await })
    };
    assert_eq!(release()??.outcome, Outcome::Removed);
    Old::let_pass(std::slice::from_ref(&pinger), 100)?;
    pinger.stop()?.expect_no_loss()?;
    let mut ports: Vec<String> = host.vsctl(["list-ports", bridge])?.lines().map(str::to_owned).collect();
    ports.sort();
    assert_eq!(ports, ["vif30.0", "vif31.0"]);
    let row = host.vsctl(["--columns=external_ids,other_config", "list", "Bridge", bridge])?;
    let marks: Vec<&str> = row.split([',', '{', ' ']).filter(|word| word.contains("ovstunnel")).collect();
    assert_eq!(marks, ["ovstunnel-released=\"true\""], "only that it was ours");
    ensure!(row.contains("gre_key=\"1001\"") && row.contains("xs-network-uuid"), "{row}");
    assert_eq!(host.vsctl(["get", "Port", bridge, "protected"])?.trim(), "false");
    wait_until("the temporary flows to end", PATIENCE, || {
        let left = flows_of_others(host, bridge)?;
        ensure!(left == foreign[0], "{left:?}");
        Ok::<(), anyhow::Error>(())
    })?;
    let flows = host.ofctl(["dump-flows", bridge])?;
    ensure!(!flows.contains("cookie=0x6f767374"), "{flows}");
    assert_eq!(release()??.outcome, Outcome::Unchanged);
    Ok(())
}

/// Tools that stop before the change that the file `at` names, and end without it.
struct Gate(PathBuf);

impl Gate {
    fn build(dir: &std::path::Path) -> Result<Self> {
        std::fs::create_dir_all(dir)?;
        let (shown, real) = (dir.display(), Switch::from_environment()?.bin_dir());
        let real = real.display();
        // `ovs-ofctl` is told apart by what its bundle deletes, `ovs-vsctl` by what it sets.
        let script = format!(
            "#!/bin/sh\ntool=${{0##*/}}; in={shown}/in.$$\ncase \"$*\" in *add-flows*) cat >$in ;; *) echo \"$*\" >$in ;; esac\n\
             if [ -e {shown}/at ] && grep -q -f {shown}/at $in; then : >{shown}/reached\n\
             while [ -e {shown}/at ]; do sleep 0.01; done; exit 1; fi\n\
             case \"$*\" in *add-flows*) exec {real}/$tool \"$@\" <$in ;; *) exec {real}/$tool \"$@\" ;; esac\n"
        );
        for tool in ["ovs-vsctl", "ovs-ofctl"] {
            std::fs::write(dir.join(tool), &script)?;
            std::fs::set_permissions(dir.join(tool), PermissionsExt::from_mode(0o755))?;
        }
        Ok(Gate(dir.to_owned()))
    }

    fn close(&self, at: &str) -> Result<()> {
        let _ = std::fs::remove_file(self.0.join("reached"));
        std::fs::write(self.0.join("at"), format!("{at}\n")).context("the gate")
    }

    fn wait_until_reached(&self) -> Result<()> {
        let look = || if self.0.join("reached").exists() { Ok(()) } else { Err(anyhow!("nobody is there")) };
        wait_until("the change to be begun", PATIENCE, look)
    }

    fn open(&self) -> Result<()> {
        std::fs::remove_file(self.0.join("at")).context("the gate")
    }
}

#[test]
fn a_kill_at_any_step_converges() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let gate = Gate::build(dir.path())?;
    let config = NodeConfig { bin_dir: dir.path().to_owned(), ..NodeConfig::default() };
    let old = Old::new("old4", &[], config)?;
    let foreign = old.foreign()?;
    let (host, bridge, node) = (old.host(1)?, old.network.bridge.as_str(), old.cloud.node(1)?);
    let mark = || host.vsctl(["--if-exists", "get", "Bridge", bridge, "external_ids:ovstunnel-takeover"]);
    let kill_at = |at: &str| -> Result<()> {
        gate.close(at)?;
        let client = node.client();
        let request = old.cloud.manager().spawn(async move { client.takeover(&[]).await });
        gate.wait_until_reached()?;
        node.kill();
        gate.open()?;
        let _ = old.cloud.manager().run(request);
        Ok(())
    };
    let before = flows_of_others(host, bridge)?;

    // Before the transaction: nothing has changed, but for flows that end by themselves.
    kill_at("ovstunnel-takeover")?;
    node.start()?;
    old.cloud.wait_until_ready(1)?;
    assert_eq!(mark()?.trim(), "");
    wait_until("the temporary flows to end", PATIENCE, || {
        ensure!(flows_of_others(host, bridge)? == before, "{:?}", flows_of_others(host, bridge)?);
        Ok::<(), anyhow::Error>(())
    })?;

    // Behind it, before the bundle: marked and protected, with the plugin's flows.
    kill_at("delete_strict")?;
    assert_eq!(mark()?.trim(), "begun");
    assert_eq!(host.vsctl(["get", "Port", "t1001-1-2", "protected"])?.trim(), "true");
    ensure!(flows_of_others(host, bridge)?.iter().any(|line| line.contains("priority=1200,in_port")));
    node.start()?;
    old.cloud.wait_until_ready(1)?;
    assert_eq!(mark()?.trim(), "");
    expect_state(&old.take_over(1)?, Outcome::Unchanged, TakeoverState::Unchanged)?;

    old.take_over(2)?;
    old.take_over(3)?;
    old.expect_taken_over(&foreign)
}
