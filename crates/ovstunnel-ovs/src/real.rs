//! Open vSwitch on this host.
//!
//! What it does: carries out steps by `ovs-vsctl` and `ovs-ofctl`, and waits until the mirror shows them. What it must not
//! do: decide what to do about a failure; it only says what is known after it.

mod outcome;
mod told;
mod unknown;

use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use ovstunnel_plan::{
    Announcement, FlowChange, FlowsSeen, Footbridge, Learnt, ObservedBridge, ObservedInterface, Phases, SpanningTree,
    Step, phases, stages,
};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::mirror::{Observer, follow_database, follow_vswitchd};
use crate::runner::{Bounds, Finished, RunError, run};
use crate::vsctl::{self, Failure};
use crate::{Command, CommitError, Health, Rows, StartError, control, ofctl, rows};

pub use told::{Counter, Questions};

/// Added to a tool's own time-out before it is killed: it must have the chance to say itself what it waited for.
const GRACE: Duration = Duration::from_millis(500);

/// Ports that are told to be flooded to at the same time.
const PORTS_AT_ONCE: usize = 8;

/// Where Open vSwitch and its tools are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tools {
    /// Folder of its sockets.
    pub rundir: PathBuf,
    /// Folder of `ovs-vsctl` and `ovs-ofctl`.
    pub bin_dir: PathBuf,
    /// Deadline of each command.
    pub timeout: Duration,
    /// Rate of the meters that limit VIFs at first, in frames a second.
    pub vif_broadcast_pps: u32,
    /// Whether `ovs-ofctl` knows `--no-names`, which one older than 2.8 does not. [`RealSwitch::start`] finds out.
    pub no_names: bool,
}

impl Default for Tools {
    fn default() -> Self {
        Tools {
            rundir: "/var/run/openvswitch".into(),
            bin_dir: "/usr/bin".into(),
            timeout: Duration::from_secs(30),
            vif_broadcast_pps: 0,
            no_names: true,
        }
    }
}

impl Tools {
    fn program(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    fn vsctl_options(&self) -> [String; 3] {
        let timeout = format!("--timeout={}", self.timeout.as_secs().max(1));
        ["--no-syslog".into(), timeout, format!("--db=unix:{}/db.sock", self.rundir.display())]
    }

    /// The commands that carry out the steps, in order.
    pub(crate) fn commands(&self, steps: &[Step]) -> Vec<Command> {
        let argv = |name: &str, args: Vec<String>| {
            [self.program(name).display().to_string()].into_iter().chain(args).collect::<Vec<_>>()
        };
        let bundle = |(bridge, change): (&str, &FlowChange)| {
            let args = ofctl::bundle(self, bridge);
            Command { argv: argv("ovs-ofctl", args), stdin: Some(change.bundle()) }
        };
        let transaction = |args: Vec<String>| {
            let args = self.vsctl_options().into_iter().chain(["--".into()]).chain(args).collect();
            Command { argv: argv("ovs-vsctl", args), stdin: None }
        };
        let Phases { before, database, after } = phases(steps);
        let stages = stages(database.into_iter().cloned().collect());
        let transactions: Vec<_> = stages.iter().flat_map(vsctl::transactions).map(transaction).collect();
        before.into_iter().map(bundle).chain(transactions).chain(after.into_iter().map(bundle)).collect()
    }

    async fn run(
        &self,
        hook: &CommandHook,
        kept: Option<&File>,
        (name, args, stdin): (&str, &[String], &str),
        in_vain: impl Future<Output = String>,
    ) -> Result<Finished, RunError> {
        let (program, started) = (self.program(name), Instant::now());
        let env = [("OVS_RUNDIR", self.rundir.as_os_str() as &OsStr)];
        let bounds = Bounds { deadline: self.timeout + GRACE, in_vain, kept };
        let result = run(&program, args, &env, stdin, bounds).await;
        hook.tell(name, RunResult::of(&result), started.elapsed());
        match &result {
            Ok(finished) => tracing::debug!(
                command = name,
                args = args.len(),
                status = finished.status.code(),
                took = ?finished.took,
                stderr = finished.stderr.trim(),
                "ran"
            ),
            Err(error) => tracing::warn!(command = name, error = %chain(error), "did not run to its end"),
        }
        result
    }
}

/// Without what a command waits in vain.
#[derive(Clone, Copy, Debug)]
enum Needs {
    Database,
    Vswitchd,
    Everything,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RunResult {
    /// With status 0.
    Succeeded,
    /// With another status.
    Failed,
    /// By its deadline or a signal.
    CutShort,
    /// It could not be started.
    NotStarted,
}

impl RunResult {
    pub(crate) fn of(result: &Result<Finished, RunError>) -> Self {
        match result {
            Ok(finished) if finished.status.success() => RunResult::Succeeded,
            Ok(_) => RunResult::Failed,
            Err(RunError::CutShort { .. }) => RunResult::CutShort,
            Err(RunError::Start { .. }) => RunResult::NotStarted,
        }
    }
}

type Tell = dyn Fn(&str, RunResult, Duration) + Send + Sync;

/// Is told of each command that was run: its name, how it ended, how long it took.
#[derive(Clone)]
pub struct CommandHook(Arc<Tell>);

impl CommandHook {
    /// A hook that calls `tell`.
    pub fn new(tell: impl Fn(&str, RunResult, Duration) + Send + Sync + 'static) -> Self {
        CommandHook(Arc::new(tell))
    }

    pub(crate) fn tell(&self, name: &str, result: RunResult, took: Duration) {
        (self.0)(name, result, took);
    }
}

impl std::fmt::Debug for CommandHook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CommandHook")
    }
}

/// Open vSwitch on this host, followed for as long as any clone of this is there.
#[derive(Clone, Debug)]
pub struct RealSwitch {
    tools: Tools,
    hook: CommandHook,
    observer: Observer,
    kept: Arc<Mutex<Option<Arc<File>>>>,
    /// Rate of the meters that are made from now on.
    pps: Arc<AtomicU32>,
    /// What its questions share.
    asking: Arc<told::Asking>,
    _followers: Arc<JoinSet<()>>,
}

impl RealSwitch {
    /// Begins to follow the switch. It need not be there yet; one that is too old is refused.
    pub async fn start(mut tools: Tools, hook: CommandHook) -> Result<Self, StartError> {
        let asked = ["--version".to_owned()];
        let printed = tools.run(&hook, None, ("ovs-vsctl", &asked, ""), std::future::pending()).await.ok();
        let version = printed.and_then(|finished| vsctl::parse_version(&finished.stdout));
        let shown = version.map(|(major, minor)| format!("{major}.{minor}"));
        if let Some(found) = shown.clone().filter(|_| version < Some((2, 7))) {
            return Err(StartError::TooOld { found });
        }
        tools.no_names = version >= Some((2, 8));
        let observer = Observer::new(Health {
            database: Err("its database has not been read yet".into()),
            vswitchd: Err("ovs-vswitchd has not been looked for yet".into()),
            database_silent: None,
            vswitchd_silent: None,
            generation: 0,
            // That of the tools, until the database says its own; a switch that was started by hand never does.
            version: shown,
            no_meters: None,
        });
        let mut followers = JoinSet::new();
        followers.spawn(follow_database(observer.clone(), tools.rundir.join("db.sock")));
        followers.spawn(follow_vswitchd(observer.clone(), tools.rundir.clone()));
        let pps = Arc::new(tools.vif_broadcast_pps.into());
        Ok(RealSwitch {
            tools,
            hook,
            observer,
            kept: Arc::default(),
            pps,
            asking: Arc::default(),
            _followers: followers.into(),
        })
    }

    /// Gives the meters that are made from now on another rate.
    pub(crate) fn limit_vifs(&self, pps: u32) {
        self.pps.store(pps, Ordering::Relaxed);
    }

    /// Has each command keep a file open from now on: whoever waits for its lock waits for a command too that has outlived
    /// the process that started it.
    pub(crate) fn keep_open(&self, file: Arc<File>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
    }

    async fn run(&self, name: &str, args: &[String], stdin: &str, needs: Needs) -> Result<Finished, RunError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.tools.run(&self.hook, kept.as_deref(), (name, args, stdin), self.gone(needs)).await
    }

    /// Waits until something is gone without which a command waits in vain; gives the reason. The tools do not notice that.
    async fn gone(&self, needs: Needs) -> String {
        let gone = |health: &Health| match needs {
            Needs::Database => health.database.as_ref().err().cloned(),
            Needs::Vswitchd => health.vswitchd.as_ref().err().cloned(),
            Needs::Everything => health.trouble().map(str::to_owned),
        };
        let mut health = self.observer.health();
        let reason = health.wait_for(|health| gone(health).is_some()).await.ok().and_then(|health| gone(&health));
        match reason {
            Some(reason) => reason,
            None => std::future::pending().await,
        }
    }

    pub(crate) fn tools(&self) -> &Tools {
        &self.tools
    }

    fn check_health(&self) -> Result<(), CommitError> {
        match self.observer.health().borrow().trouble() {
            Some(reason) => Err(CommitError::Unavailable(reason.to_owned())),
            None => Ok(()),
        }
    }

    pub(crate) async fn change_flows(&self, bridge: &str, change: &FlowChange) -> Result<(), CommitError> {
        self.check_health()?;
        for meter in change.meters_needed() {
            self.set_meter(bridge, meter).await?;
        }
        self.bundle(bridge, &change.bundle()).await?;
        for meter in change.meters_freed() {
            let args = ofctl::del_meter(&self.tools, bridge, meter);
            // One that is left over limits nothing, and is set anew before it is used again.
            let _ = self.run("ovs-ofctl", &args, "", Needs::Vswitchd).await;
        }
        Ok(())
    }

    /// Changes flows of a bridge by a bundle's lines.
    pub(crate) async fn bundle(&self, bridge: &str, lines: &str) -> Result<(), CommitError> {
        let args = ofctl::bundle(&self.tools, bridge);
        self.ofctl(&args, lines).await.map(drop)
    }

    async fn ofctl(&self, args: &[String], stdin: &str) -> Result<Finished, CommitError> {
        ended_well(self.run("ovs-ofctl", args, stdin, Needs::Vswitchd).await, connection_failed)
    }

    pub(crate) async fn lay_footbridge(&self, bridge: &ObservedBridge) -> Result<Footbridge, CommitError> {
        let footbridge = Footbridge::over(bridge, &self.learnt(bridge).await?);
        self.bundle(&bridge.name, &footbridge.up()).await?;
        Ok(footbridge)
    }

    pub(crate) async fn lift_footbridge(&self, bridge: &str, footbridge: &Footbridge) -> Result<(), CommitError> {
        let args = ofctl::bundle_with_packets(&self.tools, bridge);
        match self.ofctl(&args, &footbridge.teach_and_down()).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(bridge, %error, "the bridge has to learn addresses anew; frames may come twice meanwhile");
                self.bundle(bridge, &Footbridge::down()).await
            }
        }
    }

    async fn learnt(&self, bridge: &ObservedBridge) -> Result<Vec<Learnt>, CommitError> {
        self.check_health()?;
        let Tools { rundir, timeout, .. } = &self.tools;
        let printed = control::learnt_addresses(rundir, &bridge.name, *timeout).await;
        Ok(Learnt::parse(&printed.map_err(|error| CommitError::Unavailable(error.to_string()))?))
    }

    pub(crate) async fn spanning_tree(&self, bridge: &str) -> Option<SpanningTree> {
        let Tools { rundir, timeout, .. } = &self.tools;
        match control::spanning_tree(rundir, bridge, *timeout).await {
            Ok(printed) => SpanningTree::parse(&printed),
            Err(error) => {
                tracing::warn!(bridge, %error, "it is not known where the root of the spanning tree is");
                None
            }
        }
    }

    pub(crate) async fn announce(&self, bridge: &ObservedBridge, announce_only: bool) -> Result<usize, CommitError> {
        let learnt = self.learnt(bridge).await?;
        let Some(announcement) = Announcement::of(bridge, &learnt, announce_only) else { return Ok(0) };
        let args = ofctl::bundle_with_packets(&self.tools, &bridge.name);
        self.ofctl(&args, &announcement.lines()).await?;
        Ok(announcement.addresses)
    }

    /// Only a change of the setting has Open vSwitch look at a port again, so it is switched off and on.
    pub(crate) async fn flood_again(&self, bridge: &ObservedBridge) -> Result<(), CommitError> {
        self.check_health()?;
        let shown = self.ofctl(&ofctl::show(&self.tools, &bridge.name), "").await?;
        let excepted = ofctl::parse_no_flood(&shown.stdout);
        let interfaces = bridge.ports.values().flat_map(|port| &port.interfaces);
        let ports = interfaces.filter_map(ObservedInterface::openflow_port).filter(|port| !excepted.contains(port));
        let ports: Vec<BoxFuture<'_, _>> = ports.map(|port| self.flood_to_again(&bridge.name, port).boxed()).collect();
        let all: Vec<Result<(), CommitError>> =
            futures_util::stream::iter(ports).buffer_unordered(PORTS_AT_ONCE).collect().await;
        all.into_iter().collect()
    }

    async fn flood_to_again(&self, bridge: &str, port: u32) -> Result<(), CommitError> {
        for how in ["no-flood", "flood"] {
            self.set_port(bridge, port, how).await?;
        }
        Ok(())
    }

    /// Makes a meter, or sets the one that is there. A switch that has no meters is remembered as such.
    async fn set_meter(&self, bridge: &str, meter: u32) -> Result<(), CommitError> {
        let pps = self.pps.load(Ordering::Relaxed);
        let args = |verb| ofctl::set_meter(verb, &self.tools, bridge, (meter, pps));
        let added = ended_well(self.run("ovs-ofctl", &args("add-meter"), "", Needs::Vswitchd).await, connection_failed);
        let result = match added {
            Err(CommitError::Refused(words)) if words.contains("METER_EXISTS") => {
                let changed = self.run("ovs-ofctl", &args("mod-meter"), "", Needs::Vswitchd).await;
                ended_well(changed, connection_failed)
            }
            result => result,
        };
        // Only OpenFlow's own word: a bridge that others delete at this moment says nothing about meters.
        if let Err(CommitError::Refused(words)) = &result
            && let Some(words) = words.lines().find(|line| line.contains("OFPT_ERROR"))
        {
            // Said by the first of the bridges that are written side by side.
            let first = self.observer.set_health(|health| {
                health.no_meters.get_or_insert_with(|| words.to_owned());
            });
            if first {
                tracing::warn!(
                    bridge,
                    error = words,
                    "the switch refuses meters: VIFs have no limit of broadcast frames"
                );
            }
        }
        result.map(drop)
    }

    pub(crate) async fn dump_flows(&self, bridge: &str) -> Result<FlowsSeen, CommitError> {
        self.check_health()?;
        let args = ofctl::dump(&self.tools, bridge);
        let finished = ended_well(self.run("ovs-ofctl", &args, "", Needs::Vswitchd).await, connection_failed)?;
        Ok(FlowsSeen::parse_dump(&finished.stdout))
    }

    pub(crate) async fn printed_flows(&self, bridge: &str) -> Result<String, CommitError> {
        let printed = tokio::select! {
            printed = self.printed(bridge) => printed,
            reason = self.gone(Needs::Vswitchd) => Err(std::io::Error::other(reason)),
        };
        printed.map_err(|error| CommitError::Unavailable(error.to_string()))
    }

    pub(crate) async fn dump_all_flows(&self, bridge: &str, which: Option<&str>) -> Result<String, CommitError> {
        self.check_health()?;
        let args = ofctl::dump_all(&self.tools, bridge, which);
        let finished = ended_well(self.run("ovs-ofctl", &args, "", Needs::Vswitchd).await, connection_failed)?;
        Ok(finished.stdout)
    }

    pub(crate) async fn rows(&self) -> Result<Rows, CommitError> {
        let lists = rows::LISTS.map(str::to_owned);
        let args: Vec<String> = self.tools.vsctl_options().into_iter().chain(lists).collect();
        let finished = ended_well(self.run("ovs-vsctl", &args, "", Needs::Database).await, vsctl::classify)?;
        Rows::parse(&finished.stdout).map_err(CommitError::Unknown)
    }
}

/// What `ovs-ofctl` means by an end with a status other than 0.
fn connection_failed(stderr: &str) -> Failure {
    match stderr.contains("connecting to") || stderr.contains("connection failed") {
        true => Failure::Unreachable,
        false => Failure::Refused,
    }
}

/// Sorts how a command ended into what is known of its effect.
fn ended_well(
    result: Result<Finished, RunError>,
    classify: impl FnOnce(&str) -> Failure,
) -> Result<Finished, CommitError> {
    match result {
        Ok(finished) if finished.status.success() => Ok(finished),
        Ok(finished) => {
            let words = finished.stderr.trim();
            let words = if words.is_empty() { format!("{}", finished.status) } else { words.to_owned() };
            match classify(&finished.stderr) {
                Failure::Unreachable => Err(CommitError::Unavailable(words)),
                Failure::Refused => Err(CommitError::Refused(words)),
                Failure::Lost => Err(CommitError::Unknown(words)),
            }
        }
        Err(error @ RunError::Start { .. }) => Err(CommitError::Unavailable(chain(&error))),
        Err(error @ RunError::CutShort { .. }) => Err(CommitError::Unknown(chain(&error))),
    }
}

/// An error with its sources.
fn chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
