//! Hollow hosts: the API of thousands of daemons, served from one process to a real manager.
//!
//! What it does: each host has an address of its own in 127.0.0.0/8 and a certificate, and says over mutual TLS that its switch has all
//! that the plan of the zone says. What it must not do: have a switch, or a writer. `tests/zone` has both, in simulated time, and could
//! not talk to another process: so this is a crate of its own.

mod host;
mod manager;
mod plan;
mod serve;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use ovstunnel_pki::{Authority, Leaf, Role};
use ovstunnel_server::config::Tls;
use ovstunnel_server::tls::TlsStore;
use time::OffsetDateTime;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use host::Host;
pub use manager::{Manager, View, ZONE, look};
pub use plan::{Plan, Size};
use serve::{Seen, Server};

/// Hosts that share a certificate, as those of a rack might: to make one for each would take longer than all else.
const RACK: usize = 50;

/// What the hosts have seen of whoever asks them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// The most TLS handshakes that were under way at the same time, since the last [`Hollow::reset`].
    pub most_handshakes: usize,
    /// Connections now.
    pub connections: usize,
    /// Connections since the start.
    pub all_connections: u64,
    /// Streams of changes now.
    pub watching: usize,
    /// Requests that would have written, since the start; without those of epochs, BFD and probes to hosts that carry these out.
    pub writes: u64,
    /// Requests about probes, since the start.
    pub probes: u64,
    /// Requests about BFD, since the start.
    pub bfd: u64,
}

/// Hollow hosts. They end with their value.
#[derive(Debug)]
pub struct Hollow {
    plan: Arc<Plan>,
    hosts: Vec<Arc<Host>>,
    urls: Vec<String>,
    seen: Arc<Seen>,
    cut: watch::Sender<u64>,
    dir: tempfile::TempDir,
    runtime: Option<Runtime>,
}

/// The most files that this process, and those that it starts, may have open.
fn allow_files() -> Result<()> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("more open files")
}

impl Hollow {
    /// Serves the hosts of a plan; of those for which `is_old` holds, daemons of before there was a watch.
    ///
    /// # Errors
    /// When there are no certificates, ports or files for them.
    pub fn new(plan: Plan, is_old: impl Fn(usize) -> bool) -> Result<Hollow> {
        Hollow::with_acts(plan, is_old, false)
    }

    /// The same of hosts that a manager may have probed: they take its epoch, run BFD, and each frame of a probe arrives.
    ///
    /// # Errors
    /// As [`Hollow::new`].
    pub fn acting(plan: Plan) -> Result<Hollow> {
        Hollow::with_acts(plan, |_| false, true)
    }

    fn with_acts(plan: Plan, is_old: impl Fn(usize) -> bool, acts: bool) -> Result<Hollow> {
        allow_files()?;
        let dir = tempfile::Builder::new().prefix("ovstunnel-hollow-").tempdir()?;
        let pki = dir.path().join("pki");
        let tls = certificates(&pki, plan.size.hosts)?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let (plan, seen, cut) = (Arc::new(plan), Arc::new(Seen::default()), watch::Sender::new(0));
        let (mut hosts, mut urls) = (Vec::new(), Vec::new());
        for number in 0..plan.size.hosts {
            let listener = runtime.block_on(TcpListener::bind((Plan::address(number), 0)));
            let listener = listener.with_context(|| format!("host {number}"))?;
            urls.push(format!("https://{}", listener.local_addr()?));
            let host = Arc::new(Host::new(number, acts));
            let server = Server {
                host: Arc::clone(&host),
                plan: Arc::clone(&plan),
                tls: Arc::clone(&tls[number / RACK]),
                seen: Arc::clone(&seen),
                cut: cut.subscribe(),
                watches: !is_old(number),
                since: std::time::Instant::now(),
            };
            runtime.spawn(server.run(listener));
            hosts.push(host);
        }
        Ok(Hollow { plan, hosts, urls, seen, cut, dir, runtime: Some(runtime) })
    }

    /// What they have.
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// Where a host listens.
    pub fn url(&self, host: usize) -> &str {
        &self.urls[host]
    }

    /// The folder of all files; the manager's certificate is in `pki`, named [`ZONE`].
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What they have seen.
    pub fn counts(&self) -> Counts {
        let (seen, of) = (&self.seen, Ordering::Relaxed);
        Counts {
            most_handshakes: seen.most_handshakes.load(of),
            connections: seen.connections.load(of),
            all_connections: seen.all_connections.load(of),
            watching: seen.watching.load(of),
            writes: seen.writes.load(of),
            probes: seen.probes.load(of),
            bfd: seen.bfd.load(of),
        }
    }

    /// Counts the most handshakes anew.
    pub fn reset(&self) {
        self.seen.most_handshakes.store(0, Ordering::Relaxed);
    }

    /// Whether a manager may have them probed.
    pub fn acts(&self) -> bool {
        self.hosts.first().is_some_and(|host| host.acts())
    }

    /// Counts anew when bridges send frames of probes.
    pub fn forget_sent(&self) {
        self.hosts.iter().for_each(|host| host.forget_sent());
    }

    /// How many bridges have sent frames of probes since, and the longest time in which one of them has not.
    pub fn longest_unsent(&self) -> (usize, Duration) {
        let each = self.hosts.iter().map(|host| host.longest_unsent());
        each.fold((0, Duration::ZERO), |(count, longest), (more, other)| (count + more, longest.max(other)))
    }

    /// Ends all connections at once.
    pub fn cut_all(&self) {
        self.cut.send_modify(|cuts| *cuts += 1);
    }

    /// VIFs come to or go from the bridge of a network on the first of its hosts.
    ///
    /// # Errors
    /// When it cannot be told.
    pub fn change(&self, network: usize) -> Result<()> {
        let first = self.plan.members(network).first().context("a network without hosts")?;
        self.hosts[*first].change(&self.plan, network)
    }

    /// The first tunnel of a host's first network that has tunnels goes, or comes back. Gives the network's number.
    ///
    /// # Errors
    /// When the host has no network, or it cannot be told.
    pub fn lack_a_tunnel(&self, host: usize, lacks: bool) -> Result<usize> {
        self.hosts[host].lack_a_tunnel(&self.plan, lacks)?.context("a host without a tunnel")
    }
}

impl Drop for Hollow {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_secs(1));
        }
    }
}

/// Makes a CA, the manager's certificate, and the hosts'.
fn certificates(pki: &Path, hosts: usize) -> Result<Vec<Arc<TlsStore>>> {
    let now = OffsetDateTime::now_utc();
    Authority::create(pki, "hollow hosts", 90, now)?;
    let authority = Authority::open(pki)?;
    let issue = |name: &str, role| {
        let leaf = Leaf { name: name.parse().map_err(|e| anyhow!("{e}"))?, role, days: 90 };
        authority.issue_certificate(&leaf, now).map_err(anyhow::Error::from)
    };
    issue(ZONE, Role::Manager { addresses: vec![[127, 0, 0, 1].into()] })?;
    let rack = |first: usize| {
        let (name, last) = (format!("rack{first}"), hosts.min(first + RACK));
        issue(&name, Role::Host { addresses: (first..last).map(|host| Plan::address(host).into()).collect() })?;
        let file = |ending: &str| -> PathBuf { pki.join(format!("{name}.{ending}")) };
        let (certificate, key, client_ca) = (file("crt"), file("key"), pki.join("ca.crt"));
        let tls = TlsStore::open(&Tls { certificate, key, client_ca, client_crl: None, clients: Vec::new() })?;
        Ok(Arc::new(tls))
    };
    (0..hosts).step_by(RACK).map(rack).collect()
}
