//! A zone's manager at the management server's place, over the hosts of a [`Cloud`].
//!
//! What it does: makes its certificate and configuration, starts, kills and asks it. What it must not do: know how it works inside.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_client::{DEFAULT_TIMEOUT, Manager as Client};
use ovstunnel_lab::{Daemon, unhurried, wait_until};
use ovstunnel_manager_api::{HostState, Mode, Network, PutHost};
use ovstunnel_pki::{Authority, Leaf, Role};
use time::OffsetDateTime;

use crate::{Cloud, Node, program};

/// The name of its certificate, by which the daemons know it.
pub const NAME: &str = "zone";

/// The device at which the lab's hosts have their tunnels.
const LABEL: &str = "br-phy";

/// Where it listens at the management server's address.
const PORT: u16 = 8444;

/// How long it may take to start or to end, and hosts to be connected to.
const DEADLINE: Duration = Duration::from_secs(30);

/// The manager of a zone.
#[derive(Debug)]
pub struct Zone {
    dir: PathBuf,
    running: Mutex<Option<Daemon>>,
    /// Seconds between two rounds in which counters are compared; as it is usually, where nothing is said.
    count_every: Mutex<Option<u32>>,
    /// As what hosts are registered.
    mode: Mode,
}

impl Zone {
    /// A manager that knows no host yet.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn new(cloud: &Cloud) -> Result<Zone> {
        Zone::made(cloud, false, Mode::Observe)
    }

    /// A manager that changes hosts, by which those leave a network at once that nobody wants there any more.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn acting(cloud: &Cloud) -> Result<Zone> {
        Zone::made(cloud, true, Mode::Manage)
    }

    fn made(cloud: &Cloud, acts: bool, mode: Mode) -> Result<Zone> {
        let (pki, dir) = (cloud.pki(), cloud.lab().dir().join("zone"));
        std::fs::create_dir_all(&dir)?;
        let role =
            Role::Manager { addresses: vec![cloud.lab().fabric().ip().into(), std::net::Ipv4Addr::LOCALHOST.into()] };
        let leaf = Leaf { name: NAME.parse().map_err(|e| anyhow!("{e}"))?, role, days: 90 };
        Authority::open(pki)?.issue_certificate(&leaf, OffsetDateTime::now_utc())?;
        let (at, files) = (dir.display(), pki.display());
        let text = format!(
            "zone = \"lab\"\nsdn.ovs.controller = {acts}\nsdn.ovs.default_label = \"{LABEL}\"\n\
             [database]\nurl = \"sqlite://{at}/manager.db\"\n\
             [api]\nlisten = \"{}:{PORT}\"\nsocket = \"{at}/manager.sock\"\n\
             [tls]\ncertificate = \"{files}/{NAME}.crt\"\nkey = \"{files}/{NAME}.key\"\nclient_ca = \"{files}/ca.crt\"\n\
             [hosts]\ncertificate = \"{files}/{NAME}.crt\"\nkey = \"{files}/{NAME}.key\"\nca = \"{files}/ca.crt\"\n\
             [log]\nfile = \"{at}/manager.log\"\nlevel = \"debug\"\n\
             [membership]\nlinger = \"0s\"\n",
            cloud.lab().fabric().ip(),
        );
        std::fs::write(dir.join("manager.toml"), text)?;
        let zone = Zone { dir, running: Mutex::default(), count_every: Mutex::default(), mode };
        zone.start(cloud)?;
        Ok(zone)
    }

    /// Switches its controller on or off: that counts from its next start on.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub fn set_controller(&self, on: bool) -> Result<()> {
        let file = self.dir.join("manager.toml");
        let text = std::fs::read_to_string(&file)?;
        let before = format!("sdn.ovs.controller = {}", !on);
        std::fs::write(file, text.replace(&before, &format!("sdn.ovs.controller = {on}")))?;
        Ok(())
    }

    /// Switches BFD on or off, where it was not said before: that counts from its next start on.
    ///
    /// # Errors
    /// When its configuration cannot be written.
    pub fn set_bfd(&self, on: bool) -> Result<()> {
        self.configure(&format!("[probes]\nbfd = {on}\n"))
    }

    /// Adds sections to its configuration: that counts from its next start on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&self, sections: &str) -> Result<()> {
        let file = self.dir.join("manager.toml");
        let text = std::fs::read_to_string(&file)?;
        std::fs::write(file, text + sections)?;
        Ok(())
    }

    /// Has counters compared so often, in seconds: that counts from its next start on.
    pub fn count_every(&self, seconds: u32) {
        *self.count_every.lock().unwrap_or_else(PoisonError::into_inner) = Some(seconds);
    }

    /// Its folder: configuration, database, socket, log.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Where it listens, for the place of the management server and the hosts.
    pub fn url(&self, cloud: &Cloud) -> String {
        format!("https://{}:{PORT}", cloud.lab().fabric().ip())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("manager.log")).unwrap_or_default()
    }

    /// Starts it, and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&self, cloud: &Cloud) -> Result<()> {
        let mut command = cloud.lab().fabric().command(program("ovstunnel-manager")?);
        command.arg("--config").arg(self.dir.join("manager.toml"));
        if let Some(seconds) = *self.count_every.lock().unwrap_or_else(PoisonError::into_inner) {
            command.env("OVSTUNNEL_COUNTERS_SECONDS", seconds.to_string());
        }
        let daemon = Daemon::start("ovstunnel-manager", command, &self.dir.join("stderr"))?;
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = Some(daemon);
        wait_until("the manager to answer", DEADLINE, || {
            if let Some(daemon) = self.running.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
                daemon.expect_running()?;
            }
            self.ask(cloud, |client| async move { client.overview().await }).map(drop)
        })
    }

    /// Kills it with SIGKILL.
    pub fn kill(&self) {
        if let Some(mut daemon) = self.running.lock().unwrap_or_else(PoisonError::into_inner).take() {
            daemon.kill();
        }
    }

    /// Does something while it is frozen (SIGSTOP): it learns of that afterwards.
    ///
    /// # Errors
    /// When it does not run, or what `inside` returns.
    pub fn while_frozen<T>(&self, inside: impl FnOnce() -> Result<T>) -> Result<T> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let manager = running.as_mut().context("no manager runs")?;
        manager.pause()?;
        let done = inside();
        manager.resume()?;
        done
    }

    /// Ends it with SIGTERM.
    ///
    /// # Errors
    /// When it does not end, or not with status 0.
    pub fn stop(&self) -> Result<()> {
        let daemon = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let status = daemon.context("no manager runs")?.stop(DEADLINE)?;
        ensure!(status.success(), "the manager ended with {status}");
        Ok(())
    }

    /// Asks it on its Unix socket.
    ///
    /// # Errors
    /// What it answers as an error.
    pub fn ask<T, F>(&self, cloud: &Cloud, ask: impl FnOnce(Client) -> F + Send + 'static) -> Result<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ovstunnel_client::ClientError>> + Send + 'static,
    {
        let client = Client::unix(self.dir.join("manager.sock"), unhurried(DEFAULT_TIMEOUT));
        Ok(cloud.manager().run(async move { ask(client).await })?)
    }

    /// Registers a host of the cloud as `h<number>`, without saying its number, with another label where one is given.
    ///
    /// # Errors
    /// When that is refused.
    pub fn add_host(&self, cloud: &Cloud, number: usize, label: Option<&str>) -> Result<()> {
        let (api, label) = (cloud.node(number)?.url(), label.map(str::to_owned));
        let body = PutHost { api, number: None, rack: None, label, mode: self.mode };
        self.ask(cloud, move |client| async move { client.put_host(&format!("h{number}"), &body, false).await })?;
        Ok(())
    }

    /// Registers all hosts of the cloud, and waits until each is connected and well.
    ///
    /// # Errors
    /// When one is not.
    pub fn add_all(&self, cloud: &Cloud) -> Result<()> {
        (1..=cloud.nodes().len()).try_for_each(|number| self.add_host(cloud, number, None))?;
        self.wait_for_all(cloud)
    }

    /// Waits until each host is connected and well.
    ///
    /// # Errors
    /// When one is not.
    pub fn wait_for_all(&self, cloud: &Cloud) -> Result<()> {
        wait_until("all hosts to be connected", DEADLINE, || {
            let hosts = self.ask(cloud, |client| async move { client.hosts().await })?.hosts;
            let bad: Vec<_> = hosts.iter().filter(|host| host.state != HostState::Ok).collect();
            ensure!(bad.is_empty(), "{bad:?}");
            Ok(())
        })
    }

    /// What it says of a network.
    ///
    /// # Errors
    /// When it knows none of that name.
    pub fn network(&self, cloud: &Cloud, name: &'static str) -> Result<Network> {
        self.ask(cloud, move |client| async move { client.network(name).await })
    }

    /// Waits until it says that a network is whole.
    ///
    /// # Errors
    /// Why it is not.
    pub fn wait_until_whole(&self, cloud: &Cloud, name: &'static str) -> Result<()> {
        wait_until(format!("{name} to be whole"), DEADLINE, || {
            let proof = self.ask(cloud, move |client| async move { client.proof(name).await })?;
            ensure!(proof.whole, "{:?}", proof.reason);
            Ok(())
        })
    }

    /// Waits until exactly these hosts are of a network, by what the manager says and by their switches.
    ///
    /// # Errors
    /// Which are.
    pub fn wait_for_hosts(&self, cloud: &Cloud, name: &'static str, wanted: &[usize]) -> Result<()> {
        wait_until(format!("{name} to have the hosts {wanted:?}"), DEADLINE, || {
            let network = self.network(cloud, name)?;
            let mut hosts: Vec<String> = network.members.iter().flatten().map(|member| member.host.clone()).collect();
            hosts.sort();
            let wanted: Vec<String> = wanted.iter().map(|number| format!("h{number}")).collect();
            ensure!(hosts == wanted, "{hosts:?}");
            let Some(key) = network.key else { return Ok(()) };
            for (index, node) in cloud.nodes().iter().enumerate() {
                let bridges = node.host().vsctl(["list-br"])?;
                let has_it = bridges.lines().any(|bridge| bridge == format!("ovt{key}"));
                let name = format!("h{}", index + 1);
                ensure!(has_it == wanted.contains(&name), "{name}: {bridges}");
            }
            Ok(())
        })
    }

    /// Waits until so many VIFs are on the bridges of a network, and it is whole with them.
    ///
    /// # Errors
    /// How many there are, or why it is not whole.
    pub fn wait_for_vifs(&self, cloud: &Cloud, name: &'static str, wanted: u32) -> Result<()> {
        wait_until(format!("{name} to have {wanted} VIFs"), DEADLINE, || {
            let members = self.network(cloud, name)?.members.unwrap_or_default();
            let there: u32 = members.iter().map(|member| member.vifs).sum();
            ensure!(there == wanted, "{there}");
            Ok(())
        })?;
        self.wait_until_whole(cloud, name)
    }

    /// Waits until a proof has a finding of this kind on this host, and at this other end where one is given.
    ///
    /// # Errors
    /// What it has instead.
    pub fn wait_for_finding(
        &self,
        cloud: &Cloud,
        name: &'static str,
        wanted: (&str, &str, Option<&str>),
    ) -> Result<()> {
        let (what, host, to) = wanted;
        wait_until(format!("{what} on {host} of {name}"), DEADLINE, || {
            let proof = self.ask(cloud, move |client| async move { client.proof(name).await })?;
            let is_it = |finding: &ovstunnel_manager_api::Finding| {
                finding.what == what && finding.host == host && to.is_none_or(|to| finding.to.as_deref() == Some(to))
            };
            ensure!(!proof.whole, "it is whole");
            ensure!(proof.findings.iter().any(is_it), "{:?}", proof.findings);
            Ok(())
        })
    }
}

impl Zone {
    /// That no daemon was ever asked by the manager to change something, though each was asked something by it.
    ///
    /// # Errors
    /// The lines of the audit that name it, or when a log says nothing of who asks.
    pub fn expect_untouched(&self, cloud: &Cloud) -> Result<()> {
        self.expect_untouched_on(cloud, cloud.nodes())
    }

    /// The same where only these hosts are registered; the others were not asked anything at all.
    ///
    /// # Errors
    /// As [`Zone::expect_untouched`].
    pub fn expect_untouched_on<'a>(
        &self,
        cloud: &Cloud,
        registered: impl IntoIterator<Item = &'a Arc<Node>>,
    ) -> Result<()> {
        let registered: Vec<u8> = registered.into_iter().map(|node| node.host().number()).collect();
        for node in cloud.nodes() {
            let log = node.log();
            let who = format!("who=\"{NAME}");
            let touched: Vec<&str> = log.lines().filter(|line| line.contains("audit") && line.contains(&who)).collect();
            ensure!(touched.is_empty(), "{touched:?}");
            let number = node.host().number();
            ensure!(
                log.contains(NAME) == registered.contains(&number),
                "the log of host {number} does not say who asks, so this test would see nothing; or it is not registered"
            );
        }
        Ok(())
    }
}

impl Drop for Zone {
    fn drop(&mut self) {
        self.kill();
    }
}
