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
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Code, Ipv6Policy, Outcome, TakeoverAnswer, TakeoverState};
use ovstunnel_e2e::{
    Cloud, Network, NodeConfig, Snapshot, flow, flows_of_others, plugin_plugs, plugin_sets_up, problem,
    wait_for_exact_rules,
};
use ovstunnel_lab::{Host, Kind, Pinger, Stream, Vm, wait_until};

const HOSTS: [usize; 3] = [1, 2, 3];
const PATIENCE: Duration = Duration::from_secs(60);

/// Flows that are not the plugin's, one of them at its priority.
const FOREIGN: [&str; 4] = [
    "priority=5000,in_port=98,ip,nw_src=10.9.9.9,actions=normal",
    "cookie=0x77,priority=6,ip,actions=NORMAL",
    "priority=1100,dl_vlan=7,dl_dst=ff:ff:ff:ff:ff:ff,actions=normal",
    "priority=65000,ipv6,in_port=98,actions=drop",
];

/// Three hosts as the plugin left them, two VMs on each.
struct Old {
    cloud: Cloud,
    network: Network,
    vms: Vec<Vm>,
}

impl Old {
    fn new(tag: &str, stp: &[usize], config: NodeConfig) -> Result<Self> {
        let cloud = Cloud::with_config(tag, HOSTS.len(), config)?;
        let network = Network::numbered(1, Ipv6Policy::Drop);
        let mut vms = Vec::new();
        for number in HOSTS {
            plugin_sets_up(&cloud, &network, number, &HOSTS, stp.contains(&number))?;
        }
        for (number, vm) in HOSTS.into_iter().flat_map(|number| [(number, 10), (number, 11)]) {
            vms.push(plugin_plugs(&cloud, &network, number, u16::try_from(number * 2)? * 10 + vm)?);
        }
        let old = Old { cloud, network, vms };
        for number in HOSTS {
            FOREIGN.iter().try_for_each(|line| flow(old.host(number)?, &old.network.bridge, line))?;
        }
        stp.iter().try_for_each(|number| old.wait_for_forwarding(*number))?;
        // Every switch learns where each VM is, and each VM the others' addresses; unicast to an address that nobody knows
        // would go round for ever.
        old.cloud.lab().announce_all()?;
        for a in &old.vms {
            for b in old.vms.iter().filter(|b| b.name() != a.name()) {
                wait_until(format!("{a} reaches {b}"), PATIENCE, || a.ping(b.ip(), 2)?.expect_no_loss())?;
            }
        }
        Ok(old)
    }

    fn host(&self, number: usize) -> Result<&Host> {
        Ok(self.cloud.node(number)?.host())
    }

    fn wait_for_forwarding(&self, number: usize) -> Result<()> {
        wait_until(format!("STP of host {number} forwards"), PATIENCE, || {
            let shown = self.host(number)?.appctl(["stp/show", &self.network.bridge])?;
            let ports = self.host(number)?.vsctl(["list-ports", &self.network.bridge])?.lines().count();
            let settled = shown.matches(" forwarding").count() + shown.matches(" blocking").count();
            ensure!(settled == ports, "{settled} of {ports} forward or block");
            Ok::<(), anyhow::Error>(())
        })
    }

    fn take_over(&self, number: usize) -> Result<TakeoverAnswer> {
        Ok(self.cloud.call(number, |client| async move { client.takeover(&[]).await })??)
    }

    /// Pings between all hosts and on one, and broadcast from each host.
    fn traffic(&self) -> Result<(Vec<Pinger>, Vec<Stream>)> {
        let vm = |n: usize| &self.vms[n];
        let pairs = [(0, 2), (2, 4), (4, 0), (0, 1), (3, 5), (5, 1)];
        let ping = |(a, b): (usize, usize)| vm(a).start_ping(vm(b).ip(), Duration::from_millis(2));
        let pingers: Vec<Pinger> = pairs.into_iter().map(ping).collect::<Result<_>>()?;
        let stream = |n: usize| self.cloud.lab().stream(vm(n), &[Kind::Broadcast], Duration::from_millis(5));
        let streams: Vec<Stream> = [0, 2, 4].into_iter().map(stream).collect::<Result<_>>()?;
        wait_until("answers", PATIENCE, || match pingers.iter().all(|pinger| pinger.report().received > 50) {
            true => Ok(()),
            false => Err(anyhow!("not all are answered")),
        })?;
        Ok((pingers, streams))
    }

    /// Lets traffic go on for some frames more.
    fn let_pass(pingers: &[Pinger], count: u64) -> Result<()> {
        let before: Vec<u64> = pingers.iter().map(|pinger| pinger.report().sent).collect();
        let passed = || pingers.iter().zip(&before).all(|(pinger, before)| pinger.report().sent >= before + count);
        wait_until("more frames", PATIENCE, || if passed() { Ok(()) } else { Err(anyhow!("not yet")) })
    }

    /// That nothing of it came twice and, where it says so, nothing was lost.
    fn expect_once((pingers, streams): (Vec<Pinger>, Vec<Stream>), none_lost: bool) -> Result<()> {
        let mut wrong = Vec::new();
        for (n, pinger) in pingers.into_iter().enumerate() {
            let report = pinger.stop()?;
            let good = report.duplicates == 0 && (!none_lost || report.lost() == 0);
            wrong.extend((!good).then(|| format!("ping {n}: {report}")));
        }
        for stream in streams {
            let report = stream.stop()?;
            let result = if none_lost { report.expect_once() } else { report.expect_no_duplicates() };
            wrong.extend(result.err().map(|error| format!("broadcast: {error}")));
        }
        ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
        Ok(())
    }

    /// That every kind of flooded frame comes exactly once, the dropped IPv6 nowhere, and no other flow of theirs is left
    /// than those that are nobody's.
    fn expect_taken_over(&self, foreign: &[Vec<String>]) -> Result<()> {
        let probes = self.cloud.lab().every_flooded_kind();
        for delivery in self.cloud.lab().deliver_all(&probes)? {
            match delivery.kind {
                Kind::Ipv6Multicast(_) | Kind::Ipv6UnknownUnicast => delivery.expect_nowhere()?,
                _ => delivery.expect_once()?,
            }
        }
        for number in HOSTS {
            wait_for_exact_rules(self.host(number)?, &self.network)?;
            wait_until("the temporary flows to end", PATIENCE, || {
                let left = flows_of_others(self.host(number)?, &self.network.bridge)?;
                ensure!(left == foreign[number - 1], "host {number}: {left:?}");
                Ok::<(), anyhow::Error>(())
            })?;
        }
        self.cloud.lab().expect_no_duplicates()
    }

    /// The flows of each host that are not the plugin's.
    fn foreign(&self) -> Result<Vec<Vec<String>>> {
        let of = |number: usize| {
            let all = flows_of_others(self.host(number)?, &self.network.bridge)?;
            let plugins = |line: &str| {
                let priority =
                    ["1000", "1100", "1200", "65000"].iter().any(|p| line.contains(&format!("priority={p},")));
                priority && !line.contains("dl_vlan") && !line.contains("in_port=98")
            };
            let foreign: Vec<String> = all.iter().filter(|line| !plugins(line)).cloned().collect();
            ensure!((foreign.len(), all.len()) == (FOREIGN.len() + 1, FOREIGN.len() + 12), "{all:?}");
            Ok(foreign)
        };
        HOSTS.into_iter().map(of).collect()
    }
}

fn expect_state(answer: &TakeoverAnswer, outcome: Outcome, state: TakeoverState) -> Result<()> {
    let states: Vec<TakeoverState> = answer.bridges.iter().map(|bridge| bridge.state).collect();
    ensure!((answer.outcome, states.as_slice()) == (outcome, &[state][..]), "{answer:#?}");
    Ok(())
}

#[test]
fn a_host_is_taken_over_and_nothing_is_lost_or_comes_twice() -> Result<()> {
    let old = Old::new("old1", &[1], NodeConfig::default())?;
    let foreign = old.foreign()?;
    let traffic = old.traffic()?;
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
        Ok(())
    };
    take_over(1)?;
    Old::let_pass(&traffic.0, 300)?;
    Old::expect_once(traffic, true)?;
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
    ensure!(!row.contains("ovstunnel") && row.contains("gre_key=\"1001\"") && row.contains("xs-network-uuid"), "{row}");
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
        let shown = dir.display();
        // `ovs-ofctl` is told apart by what its bundle deletes, `ovs-vsctl` by what it sets.
        let script = format!(
            "#!/bin/sh\ntool=${{0##*/}}; in={shown}/in.$$\ncase \"$*\" in *add-flows*) cat >$in ;; *) echo \"$*\" >$in ;; esac\n\
             if [ -e {shown}/at ] && grep -q -f {shown}/at $in; then : >{shown}/reached\n\
             while [ -e {shown}/at ]; do sleep 0.01; done; exit 1; fi\n\
             case \"$*\" in *add-flows*) exec /usr/bin/$tool \"$@\" <$in ;; *) exec /usr/bin/$tool \"$@\" ;; esac\n"
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
