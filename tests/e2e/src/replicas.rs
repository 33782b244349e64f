//! Several managers of one zone on one MariaDB, or each at a node of a Galera cluster, at the management server's place.
//!
//! What it does: starts the databases and the managers on loopback of the fabric's namespace, kills, freezes and asks them, and ends all of them
//! when it goes. What it must not do: know how a manager works inside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_client::{ClientError, DEFAULT_TIMEOUT, Manager as Client};
use ovstunnel_lab::{Daemon, unhurried, wait_until};
use ovstunnel_manager_api::Overview;
use ovstunnel_pki::{Authority, Leaf, Role};
use time::OffsetDateTime;

use crate::databases::{Cut, Databases};
use crate::zone::NAME;
use crate::{Cloud, program};

/// How long it may take to start, and another manager to lead.
const DEADLINE: Duration = Duration::from_secs(60);

/// The client whose certificate may have NICs prepared at each manager.
const OPERATOR: &str = "manager";

/// MariaDB and the managers.
#[derive(Debug)]
pub struct Replicas {
    dir: PathBuf,
    managers: Vec<Option<Daemon>>,
    databases: Databases,
}

impl Replicas {
    /// A database and so many managers `m1`, `m2`, … which change hosts; waits until one leads and the others know.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn new(cloud: &Cloud, count: usize) -> Result<Replicas> {
        Replicas::on(cloud, count, 1)
    }

    /// The same on a Galera cluster, each manager at a node of its own.
    ///
    /// # Errors
    /// As [`Replicas::new`].
    pub fn on_cluster(cloud: &Cloud, count: usize) -> Result<Replicas> {
        Replicas::on(cloud, count, count)
    }

    fn on(cloud: &Cloud, count: usize, databases: usize) -> Result<Replicas> {
        let dir = cloud.lab().dir().join("replicas");
        std::fs::create_dir_all(&dir)?;
        let addresses = vec![cloud.lab().fabric().ip().into(), std::net::Ipv4Addr::LOCALHOST.into()];
        let role = Role::Manager { addresses };
        let leaf = Leaf { name: NAME.parse().map_err(|e| anyhow!("{e}"))?, role, days: 90 };
        Authority::open(cloud.pki())?.issue_certificate(&leaf, OffsetDateTime::now_utc())?;
        let databases = Databases::new(cloud, &dir, databases)?;
        let mut replicas = Replicas { dir, managers: Vec::new(), databases };
        for number in 1..=count {
            replicas.configure(cloud, number)?;
            replicas.managers.push(None);
        }
        (1..=count).try_for_each(|number| replicas.start(cloud, number))?;
        replicas.wait_for_leader(cloud, None)?;
        Ok(replicas)
    }

    /// Starts the database, or this node of it.
    ///
    /// # Errors
    /// When it does not take statements.
    pub fn start_database(&mut self, number: usize) -> Result<()> {
        self.databases.start(number)
    }

    /// Kills the database, or this node of it, with SIGKILL.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn kill_database(&mut self, number: usize) -> Result<()> {
        self.databases.kill(number)
    }

    /// Has the database, or this node of it, stand still.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze_database(&mut self, number: usize) -> Result<()> {
        self.databases.freeze(number)
    }

    /// Has it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw_database(&mut self, number: usize) -> Result<()> {
        self.databases.thaw(number)
    }

    /// Loses all packets between these managers and their database, silently, until what is given goes.
    ///
    /// # Errors
    /// When nftables does not take it.
    pub fn cut_off(&self, managers: &[usize]) -> Result<Cut> {
        self.databases.cut(managers)
    }

    fn configure(&self, cloud: &Cloud, number: usize) -> Result<()> {
        let (pki, ip) = (cloud.pki().display(), cloud.lab().fabric().ip());
        let (at, port) = (self.folder(number), 8443 + number);
        std::fs::create_dir_all(&at)?;
        let (place, url) = (at.display(), self.databases.url(number));
        let text = format!(
            "zone = \"lab\"\nsdn.ovs.controller = true\nsdn.ovs.default_label = \"br-phy\"\n\
             [database]\nurl = \"{url}\"\n\
             [replica]\nname = \"m{number}\"\naddress = \"https://{ip}:{port}\"\nmanagers = [\"{NAME}\"]\n\
             [api]\nlisten = \"{ip}:{port}\"\nsocket = \"{place}/manager.sock\"\n\
             [hosts]\ncertificate = \"{pki}/{NAME}.crt\"\nkey = \"{pki}/{NAME}.key\"\nca = \"{pki}/ca.crt\"\n\
             [tls]\ncertificate = \"{pki}/{NAME}.crt\"\nkey = \"{pki}/{NAME}.key\"\nclient_ca = \"{pki}/ca.crt\"\n\
             [[tls.clients]]\nname = \"{OPERATOR}\"\nrole = \"operator\"\n\
             [log]\nfile = \"{place}/manager.log\"\nlevel = \"debug\"\n\
             [membership]\nlinger = \"0s\"\n"
        );
        Ok(std::fs::write(at.join("manager.toml"), text)?)
    }

    fn folder(&self, number: usize) -> PathBuf {
        self.dir.join(format!("m{number}"))
    }

    /// The Unix socket of a manager.
    pub fn socket(&self, number: usize) -> PathBuf {
        self.folder(number).join("manager.sock")
    }

    /// How many managers there are, running or not.
    pub fn count(&self) -> usize {
        self.managers.len()
    }

    /// What a manager has logged.
    pub fn log(&self, number: usize) -> String {
        read(&self.folder(number).join("manager.log")) + &read(&self.folder(number).join("stderr"))
    }

    /// By what address a manager tells others to reach it.
    pub fn address(&self, cloud: &Cloud, number: usize) -> String {
        format!("https://{}:{}", cloud.lab().fabric().ip(), 8443 + number)
    }

    /// Starts a manager and waits until it answers.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&mut self, cloud: &Cloud, number: usize) -> Result<()> {
        let mut command = cloud.lab().fabric().command(program("ovstunnel-manager")?);
        command.arg("--config").arg(self.folder(number).join("manager.toml"));
        let daemon = Daemon::start("ovstunnel-manager", command, &self.folder(number).join("stderr"))?;
        *self.slot(number)? = Some(daemon);
        wait_until(format!("manager m{number} to answer"), DEADLINE, || {
            self.running(number)?.expect_running()?;
            self.overview(cloud, number).map(drop)
        })
    }

    fn slot(&mut self, number: usize) -> Result<&mut Option<Daemon>> {
        self.managers.get_mut(number.wrapping_sub(1)).with_context(|| format!("there is no manager {number}"))
    }

    fn running(&mut self, number: usize) -> Result<&mut Daemon> {
        self.slot(number)?.as_mut().with_context(|| format!("manager {number} does not run"))
    }

    /// Kills a manager with SIGKILL.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        if let Some(mut daemon) = self.slot(number)?.take() {
            daemon.kill();
        }
        Ok(())
    }

    /// Freezes a manager.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&mut self, number: usize) -> Result<()> {
        self.running(number)?.pause()
    }

    /// Has a frozen manager go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&mut self, number: usize) -> Result<()> {
        self.running(number)?.resume()
    }

    /// Ends all managers with SIGTERM.
    ///
    /// # Errors
    /// When one does not end well.
    pub fn stop(&mut self) -> Result<()> {
        for mut daemon in self.managers.iter_mut().filter_map(Option::take) {
            let status = daemon.stop(DEADLINE)?;
            ensure!(status.success(), "a manager ended with {status}");
        }
        Ok(())
    }

    /// Asks a manager on its Unix socket.
    ///
    /// # Errors
    /// What it answers as an error.
    pub fn ask<T, F>(
        &self,
        cloud: &Cloud,
        number: usize,
        ask: impl FnOnce(Client) -> F + Send + 'static,
    ) -> Result<T, ClientError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ClientError>> + Send + 'static,
    {
        let client = Client::unix(self.folder(number).join("manager.sock"), unhurried(DEFAULT_TIMEOUT));
        cloud.manager().run(async move { ask(client).await })
    }

    /// Has NICs `c0`, `c1`, … of a network prepared on a host one after the other, asked for over HTTPS at this manager by a client that knows no other one.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn begin_preparing(&self, cloud: &Cloud, number: usize, network: &str, host: &str) -> Result<Preparing> {
        let (pki, said) = (cloud.pki().display(), self.dir.join("prepared"));
        let url = format!("{}/v1/networks/{network}/nics", self.address(cloud, number));
        let script = format!(
            "n=0; while :; do code=$(curl -s -o /dev/null -w '%{{http_code}}' -m 60 --cacert {pki}/ca.crt --cert {pki}/{OPERATOR}.crt \
             --key {pki}/{OPERATOR}.key -X PUT -H 'content-type: application/json' -d '{{\"host\":\"{host}\"}}' {url}/c$n); \
             echo c$n $code >> {}; n=$((n+1)); sleep 0.1; done",
            said.display()
        );
        let mut command = cloud.lab().fabric().command("bash");
        command.arg("-c").arg(script);
        let caller = Daemon::start("a caller", command, &self.dir.join("caller.log"))?;
        Ok(Preparing { caller, said })
    }

    /// The zone as a manager tells it.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn overview(&self, cloud: &Cloud, number: usize) -> Result<Overview> {
        Ok(self.ask(cloud, number, |client| async move { client.overview().await })?)
    }

    /// Waits until one of the managers leads, another than this one, and all but this one name it. Gives its number and epoch.
    ///
    /// # Errors
    /// What they say instead.
    pub fn wait_for_leader(&self, cloud: &Cloud, not: Option<usize>) -> Result<(usize, u64)> {
        let asked = (1..=self.count()).filter(|number| Some(*number) != not && self.managers[number - 1].is_some());
        let asked: Vec<usize> = asked.collect();
        wait_until("one manager to lead", DEADLINE, || {
            let mut said = Vec::new();
            for number in &asked {
                said.push((*number, self.overview(cloud, *number)?));
            }
            let leading: Vec<usize> = said.iter().filter(|(_, zone)| zone.leads).map(|(number, _)| *number).collect();
            ensure!(leading.len() == 1, "{leading:?} lead");
            let name = format!("m{}", leading[0]);
            let address = self.address(cloud, leading[0]);
            let mut epoch = 0;
            for (number, zone) in &said {
                let leader = zone.leader.as_ref().context("no leader is told")?;
                let is_it = leader.name == name && leader.address.as_ref() == Some(&address) && leader.since.is_some();
                ensure!(is_it, "m{number} tells {leader:?} and not {name}");
                epoch = leader.epoch;
            }
            Ok((leading[0], epoch))
        })
    }
}

/// A client that has NICs prepared; it ends when this goes.
#[derive(Debug)]
pub struct Preparing {
    caller: Daemon,
    said: PathBuf,
}

impl Preparing {
    /// What came of each: its id and the status that was answered, 0 where nothing was.
    pub fn answers(&self) -> Vec<(String, u16)> {
        let text = read(&self.said);
        // A line that is not ended is being written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let one = |line: &str| line.split_once(' ').map(|(id, code)| (id.to_owned(), code.parse().unwrap_or_default()));
        whole.lines().filter_map(one).collect()
    }

    /// The ids of those that were answered with success.
    pub fn prepared(&self) -> Vec<String> {
        let good = self.answers().into_iter().filter(|(_, code)| (200..300).contains(code));
        good.map(|(id, _)| id).collect()
    }

    /// Ends it, and gives what came of all.
    pub fn finish(mut self) -> Vec<(String, u16)> {
        self.caller.kill();
        self.answers()
    }
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

impl Drop for Replicas {
    fn drop(&mut self) {
        self.managers.iter_mut().filter_map(Option::take).for_each(|mut daemon| daemon.kill());
    }
}
