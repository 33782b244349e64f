//! Outcomes that are not known: `ovsdb-server` or `ovs-vswitchd` frozen in the middle of a change, a tool that is killed or
//! lies. Whatever becomes of a change, no flow is changed before that is known, no frame comes twice, and the answer is
//! true of what is found.

use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use ovstunnel_api::{Code, FlowsState, Ipv6Policy, PutBridge, TakeoverState};
use ovstunnel_client::{Client, ClientError};
use ovstunnel_e2e::{
    Cloud, Mode, NodeConfig, Old, Toolbox, expect_state, flows_of_others, make_devices, tunnel_to, tunnels_to,
};
use ovstunnel_lab::{Host, wait_until};

const VSCTL: &str = "ovs-vsctl";
const OFCTL: &str = "ovs-ofctl";
const SOON: Duration = Duration::from_secs(20);
/// The cookie of flows that end by themselves.
const TEMPORARY: &str = "cookie=0x6f76736200000001";

/// What a host's daemon is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    SetUp,
    Tunnel,
    Ipv6,
    Destroy,
    Release,
}

impl Ask {
    async fn of(self, client: Client) -> Result<(), ClientError> {
        match self {
            Ask::SetUp => client.put_bridge("xapi2", &tunnels_to(1002, &[2])).await.map(drop),
            Ask::Tunnel => client.post_tunnel("xapi1", &tunnel_to(3)).await.map(drop),
            Ask::Ipv6 => {
                let body = PutBridge { ipv6: Some(Ipv6Policy::Allow), ..tunnels_to(1001, &[2]) };
                client.put_bridge("xapi1", &body).await.map(drop)
            }
            Ask::Destroy => client.delete_bridge("xapi3").await.map(drop),
            Ask::Release => client.release_bridge("xapi1").await.map(drop),
        }
    }

    /// Whether it is done, as the switch's own tools tell.
    fn is_done(self, host: &Host) -> Result<bool> {
        let has = |bridge: &str| Ok::<_, anyhow::Error>(host.vsctl(["list-br"])?.lines().any(|line| line == bridge));
        Ok(match self {
            Ask::SetUp => has("xapi2")?,
            Ask::Tunnel => host.vsctl(["list-ports", "xapi1"])?.contains("t1001-1-3"),
            Ask::Ipv6 => host.vsctl(["get", "Bridge", "xapi1", "external_ids:ovstunnel-ipv6"])?.contains("allow"),
            Ask::Destroy => !has("xapi3")?,
            Ask::Release => !host.vsctl(["get", "Bridge", "xapi1", "external_ids"])?.contains("ovstunnel-key"),
        })
    }
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    DatabaseFrozen,
    VswitchdFrozen,
    Killed(&'static str),
    KilledAfter(&'static str),
    Lies(&'static str),
}

/// One host with `xapi1`, which was there before and is adopted, with a VIF, and `xapi3`, which is ours.
struct Bench {
    tools: Toolbox,
    cloud: Cloud,
    host: Host,
}

impl Bench {
    fn new(tag: &str) -> Result<Self> {
        let tools = Toolbox::new()?;
        let config = NodeConfig { bin_dir: tools.path().to_owned(), timeout: "1s".into(), ..NodeConfig::default() };
        let cloud = Cloud::with_config(tag, 1, config)?;
        let host = cloud.node(1)?.host().clone();
        host.add_bridge("xapi1")?;
        make_devices(&host, &["vif1.0".to_owned()])?;
        host.vsctl(["add-port", "xapi1", "vif1.0"])?;
        Ok(Bench { tools, cloud, host })
    }

    /// The state before each case.
    fn reset(&self) -> Result<()> {
        self.cloud.call_on_host(1, |client| async move {
            let drop_ipv6 = |key, hosts| PutBridge { ipv6: Some(Ipv6Policy::Drop), ..tunnels_to(key, hosts) };
            client.put_bridge("xapi1", &drop_ipv6(1001, &[2])).await?;
            client.put_bridge("xapi3", &drop_ipv6(1003, &[2])).await?;
            client.delete_bridge("xapi2").await.map(drop)
        })??;
        self.in_sync()
    }

    /// Waits until the daemon knows everything and all is as it must be, and looks itself.
    fn in_sync(&self) -> Result<()> {
        wait_until("all to be in order", SOON, || {
            let ready = self.cloud.call_on_host(1, |client| async move { client.readyz().await })??;
            ensure!(ready.ready, "{ready:?}");
            for bridge in self.cloud.call_on_host(1, |client| async move { client.bridges().await })??.bridges {
                ensure!(bridge.flows.state == FlowsState::InSync, "{bridge:?}");
                let there = flows(&self.host, &bridge.name)?;
                ensure!(there.len() == usize::try_from(bridge.flows.expected)?, "{bridge:?}: {there:?}");
            }
            Ok::<(), anyhow::Error>(())
        })
    }

    /// Has something go wrong in the middle of it; gives the answer. Flows are not changed while nothing is known.
    fn ask_amid(&self, what: Ask, fault: Fault) -> Result<Result<(), ClientError>> {
        let client = self.cloud.node(1)?.local_client()?;
        let (tool, mode) = match fault {
            Fault::DatabaseFrozen | Fault::VswitchdFrozen => (VSCTL, Mode::Waits),
            Fault::Killed(tool) => (tool, Mode::Killed),
            Fault::KilledAfter(tool) => (tool, Mode::KilledAfter),
            Fault::Lies(tool) => (tool, Mode::Lies),
        };
        self.tools.forget()?;
        self.tools.set(tool, mode)?;
        let request = self.cloud.manager().spawn(what.of(client));
        if mode == Mode::Waits {
            self.tools.wait_until_busy()?;
        }
        let before = flows(&self.host, "xapi1")?;
        match fault {
            Fault::DatabaseFrozen => self.host.pause_ovsdb()?,
            Fault::VswitchdFrozen => self.host.pause_vswitchd()?,
            _ => {}
        }
        self.tools.go()?;
        let answer = self.cloud.manager().run(request)?;
        if fault == Fault::DatabaseFrozen {
            ensure!(flows(&self.host, "xapi1")? == before, "flows were changed while nothing was known");
            self.host.resume_ovsdb()?;
        }
        if fault == Fault::VswitchdFrozen {
            self.host.resume_vswitchd()?;
        }
        self.tools.set(tool, Mode::Works)?;
        Ok(answer)
    }
}

/// Our flows of a bridge without their counters.
fn flows(host: &Host, bridge: &str) -> Result<Vec<String>> {
    let dump = host.ofctl(["dump-flows", bridge, "cookie=0x6f76737400000000/0xffffffff00000000"])?;
    let rule = |line: &str| Some(line.split_once("priority=")?.1.to_owned());
    let mut rules: Vec<String> = dump.lines().filter_map(rule).collect();
    rules.sort();
    Ok(rules)
}

fn each_answer_is_true(tag: &str, faults: &[Fault]) -> Result<()> {
    let bench = Bench::new(tag)?;
    for fault in faults {
        for what in [Ask::SetUp, Ask::Tunnel, Ask::Ipv6, Ask::Destroy, Ask::Release] {
            bench.reset()?;
            let answer = bench.ask_amid(what, *fault)?;
            bench.in_sync().with_context(|| format!("{what:?} amid {fault:?}, answered {answer:?}"))?;
            let done = what.is_done(&bench.host)?;
            let code = answer.as_ref().err().and_then(|error| Some(error.problem()?.code));
            let fits = match (&answer, code) {
                (Ok(()), _) => done,
                (_, Some(Code::SwitchUnavailable)) => !done,
                (_, Some(Code::OutcomeUnknown)) => true,
                _ => false,
            };
            ensure!(fits, "{what:?} amid {fault:?}: done is {done}, the answer was {answer:?}");
            // What a new connection can tell is told.
            let known = matches!(fault, Fault::Killed(VSCTL) | Fault::KilledAfter(VSCTL));
            ensure!(!known || code != Some(Code::OutcomeUnknown), "{what:?} amid {fault:?}: {answer:?}");
        }
    }
    Ok(())
}

#[test]
fn a_frozen_database_in_the_middle_of_a_change() -> Result<()> {
    each_answer_is_true("ocdb", &[Fault::DatabaseFrozen])
}

#[test]
fn a_frozen_vswitchd_in_the_middle_of_a_change() -> Result<()> {
    each_answer_is_true("ocvsw", &[Fault::VswitchdFrozen])
}

#[test]
fn an_ovs_vsctl_that_is_killed_or_lies() -> Result<()> {
    each_answer_is_true("ocvsctl", &[Fault::Killed(VSCTL), Fault::KilledAfter(VSCTL), Fault::Lies(VSCTL)])
}

#[test]
fn an_ovs_ofctl_that_is_killed_or_lies() -> Result<()> {
    each_answer_is_true("ocofctl", &[Fault::Killed(OFCTL), Fault::KilledAfter(OFCTL), Fault::Lies(OFCTL)])
}

/// On the plugin's bridge its flows are the split horizon. Without them, and without `protected`, one broadcast frame goes
/// round for ever: 5,489 copies in half a second.
#[test]
fn a_take_over_amid_a_frozen_database_leaves_the_plugins_flows() -> Result<()> {
    let tools = Toolbox::new()?;
    let config = NodeConfig { bin_dir: tools.path().to_owned(), timeout: "2s".into(), ..NodeConfig::default() };
    let old = Old::new("octake", &[], config)?;
    let (host, bridge, node) = (old.host(1)?, old.network.bridge.as_str(), old.cloud.node(1)?);
    let theirs = || -> Result<Vec<String>> {
        Ok(flows_of_others(host, bridge)?.into_iter().filter(|line| !line.contains(TEMPORARY)).collect())
    };
    let (foreign, before) = (old.foreign()?, theirs()?);
    let traffic = old.traffic()?;
    let take_over = || -> Result<_> {
        let client = node.local_client()?;
        Ok(old.cloud.manager().spawn(async move { client.takeover(&[]).await }))
    };
    let failed = |answer: Result<ovstunnel_api::TakeoverAnswer, ClientError>| match answer {
        Ok(answer) if answer.bridges.iter().all(|bridge| bridge.state == TakeoverState::Failed) => Ok(()),
        Err(error) if error.problem().is_some() => Ok(()),
        other => Err(anyhow!("{other:?}")),
    };

    // Frozen before it begins.
    host.pause_ovsdb()?;
    failed(old.cloud.manager().run(take_over()?)?)?;
    ensure!(theirs()? == before && flows(host, bridge)?.is_empty(), "{:?}", theirs()?);
    host.resume_ovsdb()?;
    old.cloud.wait_until_ready(1)?;

    // Frozen while `ovs-vsctl` writes.
    tools.set(VSCTL, Mode::Waits)?;
    let request = take_over()?;
    tools.wait_until_busy()?;
    host.pause_ovsdb()?;
    tools.go()?;
    failed(old.cloud.manager().run(request)?)?;
    ensure!(theirs()? == before && flows(host, bridge)?.is_empty(), "{:?}", theirs()?);
    Old::let_pass(&traffic.0, 300)?;
    ensure!(theirs()? == before && flows(host, bridge)?.is_empty(), "{:?}", theirs()?);
    tools.set(VSCTL, Mode::Works)?;
    host.resume_ovsdb()?;
    old.cloud.wait_until_ready(1)?;
    Old::let_pass(&traffic.0, 300)?;
    Old::expect_once(traffic, false)?;

    for number in Old::HOSTS {
        let answer = old.take_over(number)?;
        let done = [TakeoverState::TakenOver, TakeoverState::Unchanged];
        if !answer.bridges.iter().all(|bridge| done.contains(&bridge.state)) {
            bail!("{answer:#?}");
        }
    }
    expect_state(&old.take_over(1)?, ovstunnel_api::Outcome::Unchanged, TakeoverState::Unchanged)?;
    old.expect_taken_over(&foreign)
}
