//! The real manager's process over hollow hosts: TLS to each, SQLite, its Unix socket. Must not know how it works inside.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_client::{ClientError, Manager as Client};
use ovstunnel_e2e::program;
use ovstunnel_lab::{Daemon, unhurried, wait_until_every};
use ovstunnel_manager_api::{Mode, Overview, PutHost};
use tokio::runtime::Runtime;

use crate::{Hollow, Plan, RACK};

/// Name of the manager's certificate.
pub const ZONE: &str = "zone";

/// How long anything may take: a loaded machine is slow.
const DEADLINE: Duration = Duration::from_secs(180);

/// Time between two looks at the overview: rarer than would cost the manager time.
const LOOK: Duration = Duration::from_millis(20);

/// Waits until `seen` succeeds, with looks so rare that they cost the manager little.
///
/// # Errors
/// When it does not in time: what is seen instead.
pub fn look<T>(what: &str, seen: impl FnMut() -> Result<T>) -> Result<T> {
    wait_until_every(LOOK, what, DEADLINE, seen)
}

/// What was answered to a browser.
#[derive(Debug)]
pub struct View {
    /// From when it was asked for.
    pub first_byte: Duration,
    /// Uncompressed.
    pub body: Vec<u8>,
}

/// A manager that runs, or has been killed.
#[derive(Debug)]
pub struct Manager {
    dir: PathBuf,
    daemon: Option<Daemon>,
    client: Client,
    runtime: Runtime,
}

impl Manager {
    /// A manager that knows no host yet. Its files are in the folder of the hosts.
    ///
    /// # Errors
    /// When it does not start.
    pub fn new(hollow: &Hollow) -> Result<Manager> {
        Manager::listening(hollow, "off")
    }

    /// The same, that also listens at this address for who has a certificate of the hosts' CA, or a link.
    ///
    /// # Errors
    /// As [`Manager::new`].
    pub fn listening(hollow: &Hollow, listen: &str) -> Result<Manager> {
        let database = format!("sqlite://{}/manager.db", hollow.dir().display());
        Manager::with_database(hollow, listen, &database)
    }

    /// The same with its database at this address.
    ///
    /// # Errors
    /// As [`Manager::new`].
    pub fn with_database(hollow: &Hollow, listen: &str, database: &str) -> Result<Manager> {
        let dir = hollow.dir().to_owned();
        let at = dir.display();
        let text = format!(
            "zone = \"hollow\"\nsdn.ovs.controller = {}\nsdn.ovs.default_label = \"tunnels\"\n[database]\nurl = \"{database}\"\n\
             [api]\nlisten = \"{listen}\"\nsocket = \"{at}/manager.sock\"\n\
             [tls]\ncertificate = \"{at}/pki/{ZONE}.crt\"\nkey = \"{at}/pki/{ZONE}.key\"\nclient_ca = \"{at}/pki/ca.crt\"\n\
             [hosts]\ncertificate = \"{at}/pki/{ZONE}.crt\"\nkey = \"{at}/pki/{ZONE}.key\"\nca = \"{at}/pki/ca.crt\"\n\
             [log]\nfile = \"{at}/manager.log\"\n",
            hollow.acts(),
        );
        std::fs::write(dir.join("manager.toml"), text)?;
        let client = Client::unix(dir.join("manager.sock"), unhurried(DEADLINE));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut manager = Manager { dir, daemon: None, client, runtime };
        manager.start()?;
        manager.wait("the manager to answer", |_| Ok(()))?;
        Ok(manager)
    }

    /// Starts its process.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        ensure!(self.daemon.is_none(), "a manager runs already");
        let mut command = Command::new(program("ovstunnel-manager")?);
        command.arg("--config").arg(self.dir.join("manager.toml"));
        self.daemon = Some(Daemon::start("ovstunnel-manager", command, &self.dir.join("stderr"))?);
        Ok(())
    }

    /// Kills it with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill();
        }
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pid(&self) -> Result<u32> {
        self.daemon.as_ref().map(Daemon::pid).context("no manager runs")
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("manager.log")).unwrap_or_default()
    }

    /// Asks it.
    ///
    /// # Errors
    /// What it answers as an error.
    pub fn ask<T>(&self, ask: impl AsyncFnOnce(&Client) -> Result<T, ClientError>) -> Result<T> {
        Ok(self.runtime.block_on(ask(&self.client))?)
    }

    /// Registers all hosts.
    ///
    /// # Errors
    /// When one is refused.
    pub fn register(&self, hollow: &Hollow) -> Result<()> {
        let mode = if hollow.acts() { Mode::Manage } else { Mode::Observe };
        (0..hollow.plan().size.hosts).try_for_each(|host| {
            let (name, number) = (format!("h{:04}", Plan::number(host)), Some(Plan::number(host)));
            let rack = Some(format!("r{:02}", host / RACK));
            let body = PutHost { api: hollow.url(host).to_owned(), number, rack, label: None, mode };
            self.ask(async |client| client.put_host(&name, &body, false).await).map(drop)
        })
    }

    /// Waits until its overview is as wanted, and tells how long that took.
    ///
    /// # Errors
    /// When it is not in time: what is seen instead.
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&Overview) -> Result<()>) -> Result<Duration> {
        let start = Instant::now();
        look(what, || {
            self.daemon.as_mut().map_or(Ok(()), Daemon::expect_running)?;
            wanted(&self.ask(async |client| client.overview().await)?)
        })?;
        Ok(start.elapsed())
    }

    /// Waits until all hosts are well and all networks whole.
    ///
    /// # Errors
    /// As [`Manager::wait`].
    pub fn wait_until_whole(&mut self, hollow: &Hollow) -> Result<Duration> {
        let size = hollow.plan().size;
        self.wait("a full picture", |overview| {
            let (hosts, networks, tunnels) = (&overview.hosts, &overview.networks, &overview.tunnels);
            let seen = (hosts.ok as usize, networks.all as usize, networks.whole as usize, tunnels.proven);
            let all = (size.hosts, size.networks, size.networks, size.tunnels as u64);
            ensure!(seen == all, "hosts that are well, networks, whole ones, proven tunnels: {seen:?} of {all:?}");
            Ok(())
        })
    }

    /// A counter of its metrics.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let text = self.metrics()?;
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.with_context(|| format!("no metric {name} in\n{text}"))
    }
}

impl Manager {
    fn metrics(&self) -> Result<String> {
        Ok(String::from_utf8(self.view("/metrics")?.body)?)
    }

    /// Asks for a view of its page, or for anything else that is no JSON, on its Unix socket and uncompressed.
    ///
    /// # Errors
    /// When the answer is another one than 200.
    pub fn view(&self, path: &str) -> Result<View> {
        let mut stream = UnixStream::connect(self.dir.join("manager.sock"))?;
        stream.set_read_timeout(Some(unhurried(DEADLINE)))?;
        let asked = Instant::now();
        write!(stream, "GET {path} HTTP/1.0\r\nhost: localhost\r\n\r\n")?;
        let mut answer = vec![0];
        stream.read_exact(&mut answer)?;
        let first_byte = asked.elapsed();
        stream.read_to_end(&mut answer)?;
        let end = answer
            .windows(4)
            .position(|four| four == b"\r\n\r\n")
            .context("an answer without an end of its headers")?;
        let body = answer.split_off(end + 4);
        let head = String::from_utf8_lossy(&answer);
        ensure!(head.split(' ').nth(1) == Some("200"), "{path}: {head}{}", String::from_utf8_lossy(&body));
        Ok(View { first_byte, body })
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        self.kill();
    }
}
