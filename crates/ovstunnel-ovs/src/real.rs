//! Open vSwitch on this host.
//!
//! What it does: carries out steps by `ovs-vsctl` and `ovs-ofctl`, and waits until the mirror shows them. What it must not
//! do: decide what to do about a failure; it only says what is known after it.

mod counted;
mod flows;
mod native;
mod outcome;
mod probe;
mod told;
mod unknown;

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt};
use ovstunnel_plan::{Announcement, Learnt, ObservedBridge, SpanningTree, TransitionFlows};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::commands::flood_ports;
use crate::mirror::{Observer, follow_database, follow_vswitchd};
use crate::native::{Native, Writes};
use crate::runner::{Bounds, Finished, RunError, run_program};
use crate::vsctl::{self, Failure};
use crate::{Command, CommitError, Health, Rows, StartError, control, ofctl, rows};

pub use counted::Counted;
pub use told::{Counter, Questions};

/// Added to a tool's own time-out before it is killed: it must have the chance to say itself what it waited for.
const GRACE: Duration = Duration::from_millis(500);

/// How long the tools may take to say their version: they ask nobody for it, and nothing listens before it is known or given up.
const VERSION_WITHIN: Duration = Duration::from_secs(5);

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
    /// How changes are written.
    pub writes: Writes,
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
            writes: Writes::Commands,
            no_names: true,
        }
    }
}

impl Tools {
    /// Major and minor version of the tools, where they say it.
    async fn tool_version(&self, hook: &CommandHook) -> Option<(u32, u32)> {
        let argv = vec![self.program_path("ovs-vsctl").display().to_string(), "--version".to_owned()];
        let asked = Command { argv, stdin: None };
        let at_once = Tools { timeout: self.timeout.min(VERSION_WITHIN), ..self.clone() };
        let printed = at_once.run_command(hook, None, &asked, std::future::pending()).await.ok()?;
        vsctl::parse_version(&printed.stdout)
    }

    pub(crate) fn program_path(&self, name: &str) -> PathBuf {
        self.bin_dir.join(name)
    }

    pub(crate) fn vsctl_options(&self) -> [String; 3] {
        let timeout = format!("--timeout={}", self.timeout.as_secs().max(1));
        ["--no-syslog".into(), timeout, format!("--db=unix:{}/db.sock", self.rundir.display())]
    }

    async fn run_command(
        &self,
        hook: &CommandHook,
        kept: Option<&File>,
        command: &Command,
        in_vain: impl Future<Output = String>,
    ) -> Result<Finished, RunError> {
        let (name, started) = (command.program_name(), Instant::now());
        let (program, args) = command.argv.split_first().map_or(("", &[][..]), |(program, args)| (program, args));
        let env = [("OVS_RUNDIR", self.rundir.as_os_str() as &OsStr)];
        let bounds = Bounds { deadline: self.timeout + GRACE, in_vain, kept };
        let stdin = command.stdin.as_deref().unwrap_or_default();
        let result = run_program(Path::new(program), args, &env, stdin, bounds).await;
        hook.report_command(name, RunResult::from_result(&result), started.elapsed());
        match &result {
            Ok(finished) => tracing::debug!(
                command = name,
                args = args.len(),
                status = finished.status.code(),
                took = ?finished.took,
                stderr = finished.stderr.trim(),
                "ran"
            ),
            Err(error) => tracing::warn!(command = name, error = %error_chain(error), "did not run to its end"),
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
    pub(crate) fn from_result(result: &Result<Finished, RunError>) -> Self {
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

    pub(crate) fn report_command(&self, name: &str, result: RunResult, took: Duration) {
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
    /// Connections to write on, where commands do not.
    native: Option<Arc<Native>>,
    _followers: Arc<JoinSet<()>>,
}

impl RealSwitch {
    /// Begins to follow the switch. It need not be there yet; one that is too old is refused.
    pub async fn start(mut tools: Tools, hook: CommandHook) -> Result<Self, StartError> {
        let version = tools.tool_version(&hook).await;
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
        let native = (tools.writes == Writes::Native).then(|| Native::new(&tools.rundir).into());
        Ok(RealSwitch {
            tools,
            hook,
            observer,
            kept: Arc::default(),
            pps,
            asking: Arc::default(),
            native,
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

    async fn run_command(&self, command: &Command, needs: Needs) -> Result<Finished, RunError> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.tools.run_command(&self.hook, kept.as_deref(), command, self.wait_gone(needs)).await
    }

    /// Waits until something is gone without which a command waits in vain; gives the reason. The tools do not notice that.
    async fn wait_gone(&self, needs: Needs) -> String {
        let gone = |health: &Health| match needs {
            Needs::Database => health.database.as_ref().err().cloned(),
            Needs::Vswitchd => health.vswitchd.as_ref().err().cloned(),
            Needs::Everything => health.first_trouble().map(str::to_owned),
        };
        let mut health = self.observer.watch_health();
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
        match self.observer.watch_health().borrow().first_trouble() {
            Some(reason) => Err(CommitError::Unavailable(reason.to_owned())),
            None => Ok(()),
        }
    }

    async fn run_ofctl(&self, command: &Command) -> Result<Finished, CommitError> {
        ended_well(self.run_command(command, Needs::Vswitchd).await, connection_failed)
    }

    /// Rate of the meters that are made from now on.
    pub(crate) fn meter_rate(&self) -> u32 {
        self.pps.load(Ordering::Relaxed)
    }

    pub(crate) async fn lay_transition(&self, bridge: &ObservedBridge) -> Result<TransitionFlows, CommitError> {
        let transition = self.transition_flows(bridge).await?;
        self.run_ofctl(&self.tools.lay_transition(&bridge.name, &transition)).await?;
        Ok(transition)
    }

    /// The temporary flows for a bridge, with the addresses that it has learnt by now.
    pub(crate) async fn transition_flows(&self, bridge: &ObservedBridge) -> Result<TransitionFlows, CommitError> {
        Ok(TransitionFlows::over_bridge(bridge, &self.learnt_addresses(bridge).await?))
    }

    pub(crate) async fn lift_transition(&self, bridge: &str, transition: &TransitionFlows) -> Result<(), CommitError> {
        match self.run_ofctl(&self.tools.lift_transition(bridge, transition)).await {
            Ok(_) => Ok(()),
            Err(error) => {
                tracing::warn!(bridge, %error, "the bridge has to learn addresses anew; frames may come twice meanwhile");
                self.run_bundle(bridge, TransitionFlows::removal_line()).await
            }
        }
    }

    async fn learnt_addresses(&self, bridge: &ObservedBridge) -> Result<Vec<Learnt>, CommitError> {
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

    pub(crate) async fn announce_vms(
        &self,
        bridge: &ObservedBridge,
        announce_only: bool,
    ) -> Result<usize, CommitError> {
        let learnt = self.learnt_addresses(bridge).await?;
        let Some(announcement) = Announcement::for_bridge(bridge, &learnt, announce_only, SystemTime::now()) else {
            return Ok(0);
        };
        let args = ofctl::bundle_with_packets(&self.tools, &bridge.name);
        self.run_ofctl(&self.tools.ofctl_command(args, Some(announcement.bundle_lines()))).await?;
        Ok(announcement.addresses)
    }

    /// Has all ports but those that somebody has excepted flooded to again.
    pub(crate) async fn flood_again(&self, bridge: &ObservedBridge) -> Result<(), CommitError> {
        self.check_health()?;
        let excepted = self.flood_exceptions(&bridge.name).await?;
        let ports = flood_ports(bridge).filter(|port| !excepted.contains(port));
        let ports: Vec<BoxFuture<'_, _>> = ports.map(|port| self.flood_to_again(&bridge.name, port).boxed()).collect();
        let all: Vec<Result<(), CommitError>> =
            futures_util::stream::iter(ports).buffer_unordered(PORTS_AT_ONCE).collect().await;
        all.into_iter().collect()
    }

    /// The ports that somebody has excepted from flooding.
    pub(crate) async fn flood_exceptions(&self, bridge: &str) -> Result<BTreeSet<u32>, CommitError> {
        Ok(ofctl::parse_no_flood(&self.run_ofctl(&self.tools.show_command(bridge)).await?.stdout))
    }

    async fn flood_to_again(&self, bridge: &str, port: u32) -> Result<(), CommitError> {
        for command in self.tools.flood_to(bridge, &port.to_string()) {
            self.run_ofctl(&command).await?;
        }
        Ok(())
    }

    pub(crate) async fn read_rows(&self) -> Result<Rows, CommitError> {
        let command = self.tools.vsctl_command(rows::LISTS.map(str::to_owned));
        let finished = ended_well(self.run_command(&command, Needs::Database).await, vsctl::classify_failure)?;
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
        Err(error @ RunError::Start { .. }) => Err(CommitError::Unavailable(error_chain(&error))),
        Err(error @ RunError::CutShort { .. }) => Err(CommitError::Unknown(error_chain(&error))),
    }
}

/// An error with its sources.
fn error_chain(error: &dyn std::error::Error) -> String {
    let sources = std::iter::successors(error.source(), |source| source.source());
    sources.fold(error.to_string(), |text, source| format!("{text}: {source}"))
}
