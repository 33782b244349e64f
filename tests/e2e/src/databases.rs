//! MariaDB for the managers of a zone: one server, or the nodes of a Galera cluster.
//!
//! What it does: makes them, starts, kills and ends them, on loopback of the fabric's namespace, or of this one. What it must not do: know who uses them.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::{Daemon, run, wait_until};

use crate::Cloud;

/// How long one may take to start; a node that joins is given all that the others have.
const DEADLINE: Duration = Duration::from_secs(120);

/// The ports of the servers, of the cluster's own talk, and of what a node that joins is given, below those that are given out by the system.
const PORT: usize = 13306;
const GROUP: usize = 13400;
const HISTORY: usize = 13500;
const STATE: usize = 13600;

/// The password of the managers' user, which is to stand nowhere but in their configuration.
pub const PASSWORD: &str = "geheim";

/// At how many addresses of loopback a server listens: one for each manager, so that one of them can be cut off.
const MANAGERS: usize = 9;

/// A server's folder for what it needs for a moment: two that are installed at once in one folder take each other's files away.
const TEMPORARY: &str = "tmp";

/// The table of nftables that cuts managers off.
const CUT: &str = "cut";

/// At which address manager number `manager` finds its server.
fn address(manager: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::LOCALHOST.to_bits() + manager as u32)
}

/// The servers, numbered from 1.
#[derive(Debug)]
pub struct Databases {
    dir: PathBuf,
    /// The namespace that they run in; none for this one.
    netns: Option<String>,
    daemons: Vec<Option<Daemon>>,
}

impl Databases {
    /// So many servers with an empty database `zone`, at the place of the management server: with more than one they are nodes of a cluster.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn new(cloud: &Cloud, dir: &Path, count: usize) -> Result<Databases> {
        Databases::make(Some(cloud.lab().fabric().netns().name().to_owned()), dir, count)
    }

    /// The same on loopback here. The user `mysql` must be able to enter the folder.
    ///
    /// # Errors
    /// As [`Databases::new`].
    pub fn on_loopback(dir: &Path, count: usize) -> Result<Databases> {
        Databases::make(None, dir, count)
    }

    fn make(netns: Option<String>, dir: &Path, count: usize) -> Result<Databases> {
        let mut databases = Databases { dir: dir.to_owned(), netns, daemons: Vec::new() };
        for number in 1..=count {
            databases.configure(number, count)?;
            databases.daemons.push(None);
        }
        databases.install()?;
        databases.spawn(1, if count > 1 { &["--wsrep-new-cluster"] } else { &[] })?;
        databases.wait_for(1, &databases.statements())?;
        (2..=count).try_for_each(|number| databases.start(number))?;
        Ok(databases)
    }

    fn statements(&self) -> String {
        format!(
            "CREATE DATABASE zone; CREATE USER ovs@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'; GRANT ALL ON zone.* TO ovs@'127.0.0.1'"
        )
    }

    fn configure(&self, number: usize, count: usize) -> Result<()> {
        let (folder, socket) = (self.folder(number), self.socket(number));
        fs::create_dir_all(folder.join("data"))?;
        fs::create_dir_all(folder.join(TEMPORARY))?;
        let (data, port) = (folder.join("data"), PORT + number - 1);
        let all: Vec<String> = (1..=MANAGERS).map(|manager| address(manager).to_string()).collect();
        let all = all.join(",");
        let mut text = format!(
            "[mariadbd]\nuser=mysql\ndatadir={}\nsocket={}\nport={port}\nbind-address={all}\nskip-name-resolve\n",
            data.display(),
            socket.display()
        );
        if count > 1 {
            let all: Vec<String> = (1..=count).map(|number| format!("127.0.0.1:{}", GROUP + number)).collect();
            let (group, history, state) = (GROUP + number, HISTORY + number, STATE + number);
            text += &format!(
                "binlog_format=ROW\ninnodb_autoinc_lock_mode=2\ninnodb_buffer_pool_size=32M\nwsrep_on=ON\n\
                 wsrep_provider=/usr/lib/galera/libgalera_smm.so\nwsrep_cluster_address=gcomm://{}\nwsrep_sst_method=rsync\n\
                 wsrep_node_address=127.0.0.1:{group}\nwsrep_sst_receive_address=127.0.0.1:{state}\n\
                 wsrep_provider_options=\"gmcast.listen_addr=tcp://127.0.0.1:{group};ist.recv_addr=127.0.0.1:{history};gcache.size=16M\"\n",
                all.join(",")
            );
        }
        Ok(fs::write(folder.join("my.cnf"), text)?)
    }

    /// The tables of a server's own; nodes that join are given them.
    fn install(&self) -> Result<()> {
        for number in 1..=self.daemons.len() {
            let mut command = Command::new("chown");
            command.args(["-R", "mysql:mysql"]).arg(self.folder(number));
            run(command, DEADLINE)?;
        }
        let install = ["--no-defaults", "--user=mysql", "--auth-root-authentication-method=normal"];
        let data = format!("--datadir={}", self.folder(1).join("data").display());
        let mut command = Command::new("mariadb-install-db");
        command.args(install).arg(data).env("TMPDIR", self.folder(1).join(TEMPORARY));
        run(command, DEADLINE).context("`scripts/setup` installs it")?;
        Ok(())
    }

    /// Starts a server, and waits until it takes statements.
    ///
    /// # Errors
    /// When it does not.
    pub fn start(&mut self, number: usize) -> Result<()> {
        self.spawn(number, &[])?;
        self.wait_for(number, "SELECT count(*) FROM information_schema.tables")
    }

    fn spawn(&mut self, number: usize, arguments: &[&str]) -> Result<()> {
        let mut command = match &self.netns {
            Some(netns) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", netns, "mariadbd"]);
                command
            }
            None => Command::new("mariadbd"),
        };
        let file = format!("--defaults-file={}", self.folder(number).join("my.cnf").display());
        command.arg(file).args(arguments).env("TMPDIR", self.folder(number).join(TEMPORARY));
        let daemon = Daemon::start("mariadbd", command, &self.folder(number).join("log"))?;
        *self.slot(number)? = Some(daemon);
        Ok(())
    }

    fn wait_for(&self, number: usize, statements: &str) -> Result<()> {
        let socket = format!("--socket={}", self.socket(number).display());
        wait_until(format!("database {number} to take statements"), DEADLINE, || {
            let done = Command::new("mariadb").args(["--no-defaults", &socket, "-uroot", "-e", statements]).output()?;
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            ensure!(done.status.success(), "{said}; its log ends: {}", self.last_lines(number));
            Ok(())
        })
    }

    fn last_lines(&self, number: usize) -> String {
        let log = fs::read_to_string(self.folder(number).join("log")).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(5).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Kills a server with SIGKILL.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn kill(&mut self, number: usize) -> Result<()> {
        if let Some(mut daemon) = self.slot(number)?.take() {
            daemon.kill();
        }
        Ok(())
    }

    /// Has a server stand still.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&mut self, number: usize) -> Result<()> {
        self.running(number)?.pause()
    }

    /// Has it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&mut self, number: usize) -> Result<()> {
        self.running(number)?.resume()
    }

    /// Loses all packets between these managers and their server, silently, until what is given goes.
    ///
    /// # Errors
    /// When nftables does not take it.
    pub fn cut(&self, managers: &[usize]) -> Result<Cut> {
        let all: Vec<String> = managers.iter().map(|manager| address(*manager).to_string()).collect();
        let all = all.join(", ");
        let rules = format!(
            "table inet {CUT} {{ chain output {{ type filter hook output priority 0; ip daddr {{ {all} }} drop; ip saddr {{ {all} }} drop; }}; }}"
        );
        let cut = Cut(self.netns.clone());
        run(cut.nft(&rules), DEADLINE).context("nft")?;
        Ok(cut)
    }

    /// The address of the one that manager number `manager` uses.
    pub fn url(&self, manager: usize) -> String {
        let port = PORT + manager.wrapping_sub(1) % self.daemons.len();
        format!("mysql://ovs:{PASSWORD}@{}:{port}/zone", address(manager))
    }

    /// The size of what a server has of a table of the zone, bytes.
    ///
    /// # Errors
    /// When there is no such table.
    pub fn table_size(&self, number: usize, table: &str) -> Result<u64> {
        let file = self.folder(number).join(format!("data/zone/{table}.ibd"));
        Ok(fs::metadata(&file).with_context(|| file.display().to_string())?.len())
    }

    fn slot(&mut self, number: usize) -> Result<&mut Option<Daemon>> {
        self.daemons.get_mut(number.wrapping_sub(1)).with_context(|| format!("there is no database {number}"))
    }

    fn running(&mut self, number: usize) -> Result<&mut Daemon> {
        self.slot(number)?.as_mut().with_context(|| format!("database {number} does not run"))
    }

    fn folder(&self, number: usize) -> PathBuf {
        self.dir.join(format!("database{number}"))
    }

    fn socket(&self, number: usize) -> PathBuf {
        self.folder(number).join("sql")
    }
}

impl Drop for Databases {
    fn drop(&mut self) {
        self.daemons.iter_mut().filter_map(Option::take).for_each(|mut daemon| daemon.kill());
    }
}

/// Managers that are cut off from their servers; they are not when this goes.
#[derive(Debug)]
pub struct Cut(Option<String>);

impl Cut {
    fn nft(&self, rules: &str) -> Command {
        let mut command = Command::new(if self.0.is_some() { "ip" } else { "nft" });
        if let Some(netns) = &self.0 {
            command.args(["netns", "exec", netns, "nft"]);
        }
        command.arg(rules);
        command
    }
}

impl Drop for Cut {
    fn drop(&mut self) {
        if let Err(error) = run(self.nft(&format!("delete table inet {CUT}")), DEADLINE) {
            eprintln!("managers stay cut off: {error:#}");
        }
    }
}
