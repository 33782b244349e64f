//! A host of the lab with `ovstunneld` on it. Must not know of other hosts.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_client::{Client, DEFAULT_TIMEOUT, Endpoint, Identity};
use ovstunnel_lab::{Daemon, Host, Signal, Switch, unhurried, wait_until};
use ovstunnel_pki::{Authority, Leaf, Role};
use time::OffsetDateTime;

use crate::{Pool, program};

/// Port of the daemons' HTTPS.
const PORT: u16 = 8443;

/// How long a daemon may take to start or to end.
const DEADLINE: Duration = Duration::from_secs(20);

/// How much of a daemon's log is shown where it did not become ready.
const LAST_LINES: usize = 30;

/// The unit with which a package has systemd run the daemon.
const UNIT: &str = include_str!("../../../systemd/ovstunneld.service");

/// The environment that the unit gives the daemon.
fn environment() -> impl Iterator<Item = (&'static str, &'static str)> {
    UNIT.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
}

/// What differs from the usual in a daemon's configuration file.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// `[ovs] bin_dir`, that of the lab's switch, or another one to put a wrapper before `ovs-vsctl` or `ovs-ofctl`.
    pub bin_dir: PathBuf,
    /// `[ovs] timeout`.
    pub timeout: String,
    /// `[reconcile] interval`.
    pub reconcile_interval: String,
    /// `[log] level`.
    pub log_level: String,
    /// `[network] ipv6`.
    pub ipv6: Ipv6Policy,
    /// `[network] vif_broadcast_pps`.
    pub vif_broadcast_pps: u32,
    /// `[network] ipv6_drop_opaque`.
    pub ipv6_drop_opaque: bool,
    /// `[network] answer_neighbours`.
    pub answer_neighbours: bool,
    /// `[ovs] writes`; nothing for what the environment's `OVSTUNNEL_WRITES` says.
    pub writes: Option<&'static str>,
    /// The lines of `[tunnel]`.
    pub tunnel: String,
    /// Whether tunnels go by IPv6.
    pub over_ipv6: bool,
    /// Folder of the [`Pool`] that the hosts belong to, by their numbers.
    pub pool: Option<PathBuf>,
}

impl Default for NodeConfig {
    fn default() -> Self {
        NodeConfig {
            // Where there is no such switch, the lab says so.
            bin_dir: Switch::from_environment().map_or_else(|_| "/usr/bin".into(), |switch| switch.bin_dir()),
            // The commands of a take-over share it.
            timeout: format!("{}s", unhurried(Duration::from_secs(30)).as_secs()),
            // Long, so that what heals at once is told from what heals at the next look.
            reconcile_interval: "1h".into(),
            log_level: "debug".into(),
            ipv6: Ipv6Policy::Drop,
            vif_broadcast_pps: 0,
            ipv6_drop_opaque: false,
            answer_neighbours: false,
            writes: None,
            tunnel: String::new(),
            over_ipv6: false,
            pool: None,
        }
    }
}

/// `[ovs] writes`: what the environment's `OVSTUNNEL_WRITES` says, else `commands`; but for tests that put
/// something before the commands, which are about those.
fn writes_by(bin_dir: &Path) -> &'static str {
    let usual = NodeConfig::default().bin_dir == bin_dir;
    match std::env::var("OVSTUNNEL_WRITES") {
        Ok(writes) if usual && writes == "native" => "native",
        _ => "commands",
    }
}

/// A host with its daemon.
#[derive(Debug)]
pub struct Node {
    host: Host,
    dir: PathBuf,
    client: Client,
    daemon: Mutex<Option<Daemon>>,
}

impl Node {
    pub(crate) fn new(host: Host, pki: &Path, config: &NodeConfig) -> Result<Self> {
        let name = format!("host{}", host.number());
        let role = Role::Host { addresses: vec![host.ip().into()] };
        let leaf = Leaf { name: name.parse().map_err(|e| anyhow!("{e}"))?, role, days: 90 };
        Authority::open(pki)?.issue_certificate(&leaf, OffsetDateTime::now_utc())?;
        let dir = host.rundir().join("ovstunnel");
        std::fs::create_dir_all(&dir)?;
        let client = client(&host, pki, "manager", unhurried(DEFAULT_TIMEOUT))?;
        let node = Node { host, dir, client, daemon: Mutex::new(None) };
        node.configure(pki, &name, config)?;
        Ok(node)
    }

    /// Writes the daemon's configuration file; a running daemon takes it up when it is restarted.
    fn configure(&self, pki: &Path, name: &str, config: &NodeConfig) -> Result<()> {
        let (dir, pki) = (self.dir.display(), pki.display());
        let ipv6 = config.ipv6.as_str();
        let NodeConfig {
            bin_dir,
            timeout,
            reconcile_interval,
            log_level,
            vif_broadcast_pps,
            ipv6_drop_opaque,
            answer_neighbours,
            pool,
            writes,
            tunnel,
            ..
        } = config;
        // Tests that know no more of it than one key add a section of their own.
        let tunnel = if tunnel.is_empty() { String::new() } else { format!("[tunnel]\n{tunnel}\n") };
        let number = usize::from(self.host.number());
        let xapi = pool.as_ref().map(|pool| Pool::section(pool, number, "10s")).unwrap_or_default();
        let text = format!(
            "[api]\nlisten = \"{ip}:{PORT}\"\nsocket = \"{dir}/ovstunneld.sock\"\n\
             [tls]\ncertificate = \"{pki}/{name}.crt\"\nkey = \"{pki}/{name}.key\"\nclient_ca = \"{pki}/ca.crt\"\n\
             [ovs]\nrundir = \"{rundir}\"\nbin_dir = \"{bin_dir}\"\ntimeout = \"{timeout}\"\ndatapath_type = \"{datapath}\"\nwrites = \"{writes}\"\n\
             [network]\nipv6 = \"{ipv6}\"\nvif_broadcast_pps = {vif_broadcast_pps}\nipv6_drop_opaque = {ipv6_drop_opaque}\nanswer_neighbours = {answer_neighbours}\n\
             {tunnel}\
             [log]\nfile = \"{dir}/ovstunnel.log\"\nlevel = \"{log_level}\"\n\
             [reconcile]\ninterval = \"{reconcile_interval}\"\n{xapi}",
            datapath = self.host.switch().datapath().name(),
            ip = self.host.ip(),
            rundir = self.host.rundir().display(),
            bin_dir = bin_dir.display(),
            writes = writes.unwrap_or_else(|| writes_by(bin_dir)),
        );
        std::fs::write(self.config_file(), text).context("the daemon's configuration file")
    }

    /// The host.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The id under which the management server knows the host: its number.
    pub fn id(&self) -> u64 {
        u64::from(self.host.number())
    }

    /// A client for the daemon's HTTPS, with a good certificate; for use in the management server's place.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A client for the daemon's Unix socket: the way of root on the host, which works while the switch does not.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn local_client(&self) -> Result<Client> {
        Client::new(&Endpoint::Unix(self.socket()), unhurried(DEFAULT_TIMEOUT)).map_err(|error| anyhow!("{error}"))
    }

    /// `https://address:port` of the daemon.
    pub fn url(&self) -> String {
        format!("https://{}:{PORT}", self.host.ip())
    }

    /// The daemon's folder: socket, configuration, log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The daemon's Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.dir.join("ovstunneld.sock")
    }

    /// The daemon's configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.dir.join("ovstunneld.toml")
    }

    /// A folder that stands for `/` where the daemon looks at files of the host, if it is there when the daemon starts.
    pub fn false_root(&self) -> PathBuf {
        self.dir.join("root")
    }

    /// What the daemon has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("ovstunnel.log")).unwrap_or_default()
    }

    /// The errors among that; that it was not ready while it was not is none.
    pub fn errors(&self) -> Vec<String> {
        let log = self.log();
        let errors = log.lines().filter(|line| line.contains(" ERROR ") && !line.contains("path=/readyz"));
        errors.map(str::to_owned).collect()
    }

    fn daemon(&self) -> MutexGuard<'_, Option<Daemon>> {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Process id of the daemon, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.daemon().as_ref().map(Daemon::pid)
    }

    /// Starts the daemon, and returns once its process is there.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&self) -> Result<()> {
        let mut daemon = self.daemon();
        if daemon.is_some() {
            bail!("ovstunneld already runs on {}", self.host.name());
        }
        let mut command = self.host.command(program("ovstunneld")?);
        command.arg("--config").arg(self.config_file()).envs(environment());
        if self.false_root().exists() {
            command.env("OVSTUNNEL_DOCTOR_ROOT", self.false_root());
        }
        *daemon = Some(self.host.spawn("ovstunneld", command)?);
        Ok(())
    }

    /// Waits until the daemon answers and is ready; `ask` runs `readyz` in the management server's place.
    pub(crate) fn wait_until_ready(&self, ask: impl Fn(Client) -> Result<bool, String>) -> Result<()> {
        let look = || {
            if let Some(daemon) = self.daemon().as_mut() {
                daemon.expect_running()?;
            }
            match ask(self.client()) {
                Ok(true) => Ok(()),
                Ok(false) => Err(anyhow!("it answers that it is not ready")),
                Err(error) => Err(anyhow!("{error}")),
            }
        };
        wait_until(format!("ovstunneld on {} to be ready", self.host.name()), DEADLINE, look)
            .with_context(|| self.what_it_does())
    }

    /// For whoever looks for the reason why it does not do more: where its threads are in the kernel, and what it logged last.
    fn what_it_does(&self) -> String {
        let pid = self.pid().unwrap_or_default();
        let threads = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let stack =
            |thread: std::fs::DirEntry| std::fs::read_to_string(thread.path().join("stack")).unwrap_or_default();
        let stacks: Vec<String> = threads.map(stack).collect();
        let log = self.log();
        let from = log.lines().count().saturating_sub(LAST_LINES);
        let last: Vec<&str> = log.lines().skip(from).collect();
        let output = self.daemon().as_ref().map(Daemon::log).unwrap_or_default();
        format!("threads of {pid}:\n{}\nlogged last:\n{}\noutput:\n{output}", stacks.join("\n"), last.join("\n"))
    }

    /// Ends the daemon with SIGTERM.
    ///
    /// # Errors
    /// When it does not end, or not with status 0.
    pub fn stop(&self) -> Result<()> {
        let Some(mut daemon) = self.daemon().take() else { bail!("no ovstunneld runs on {}", self.host.name()) };
        let status = daemon.stop(DEADLINE)?;
        if status.success() { Ok(()) } else { bail!("ovstunneld on {} ended with {status}", self.host.name()) }
    }

    /// Kills the daemon with SIGKILL, in whatever it is doing.
    pub fn kill(&self) {
        if let Some(mut daemon) = self.daemon().take() {
            daemon.kill();
        }
    }

    /// The sum of the daemon's metrics whose line starts in this way.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metric(&self, start: &str) -> Result<f64> {
        let socket = self.socket().display().to_string();
        let url = "http://localhost/metrics";
        let text = self.host().run("curl", ["-sS", "--fail", "--unix-socket", &socket, url])?;
        let values = text.lines().filter(|line| line.starts_with(start)).map(|line| {
            let value = line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok());
            value.with_context(|| line.to_owned())
        });
        values.sum()
    }

    /// Sends the daemon a signal.
    ///
    /// # Errors
    /// When it does not run.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        self.daemon().as_mut().context("no daemon runs")?.signal(signal)
    }
}

/// A client for a host's daemon with the certificate that `pki` has under `name`.
pub(crate) fn client(host: &Host, pki: &Path, name: &str, timeout: Duration) -> Result<Client> {
    let url = Endpoint::parse_url(&format!("https://{}:{PORT}", host.ip())).map_err(|e| anyhow!("{e}"))?;
    let file = |ending: &str| pki.join(format!("{name}.{ending}"));
    let identity = Identity { ca: pki.join("ca.crt"), cert: file("crt"), key: file("key") };
    Client::new(&Endpoint::Https { url, identity }, timeout).map_err(|e| anyhow!("{e}"))
}
