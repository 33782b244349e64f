//! A random stream of requests and VIF events on one host, and a model that says what must be there afterwards.
//!
//! What it does: each worker is a caller of its own that knows what it was answered; whatever was under way when the
//! daemon or the switch went away may or may not have happened, and nothing else. What it must not do: kill anything.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_api::{Code, FlowsState, Id, Ipv6Policy, PostTunnel, PutBridge, PutTunnel, TunnelState};
use ovstunnel_client::{Client, ClientError};
use ovstunnel_lab::{Host, wait_until};

use crate::{Cloud, Network, exact_rules, make_devices};

/// Devices that are plugged and unplugged.
const DEVICES: u16 = 4;

/// Tunnels, by the number of the host at the other end.
type Tunnels = BTreeSet<u64>;

/// Random numbers that are the same for the same seed (splitmix64).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    /// Throws that depend on `seed` alone.
    pub fn new(seed: u64) -> Self {
        Dice(seed)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }

    /// Lets a random time below `longest` pass: the instant of a fault is not to depend on anything.
    pub fn pause(&mut self, longest: Duration) {
        let longest = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
        thread::sleep(Duration::from_micros(self.below(longest)));
    }
}

/// One caller, and what it knows of its bridge.
#[derive(Debug)]
struct Worker {
    network: Network,
    dice: Dice,
    /// Whether it makes and removes the bridge; else it only has tunnels of its own on it.
    owner: bool,
    /// The hosts to which it has tunnels.
    hosts: std::ops::Range<u64>,
    /// What its answers say is there; nothing where there is no bridge.
    there: Option<Tunnels>,
    /// What may be there instead: the request under way was not answered, or with 'unknown'.
    perhaps: Option<Option<Tunnels>>,
    answered: Arc<AtomicU64>,
}

/// The workers of one host, at rest.
#[derive(Debug)]
pub struct Load {
    host: Host,
    client: Client,
    number: usize,
    workers: Vec<Worker>,
    dice: Dice,
    /// What was on the bridge before: the tunnels of those who have VMs.
    mesh: Tunnels,
    answered: Arc<AtomicU64>,
}

/// The workers at work.
#[derive(Debug)]
pub struct Running {
    load: Load,
    stop: Arc<AtomicBool>,
    tasks: Vec<tokio::task::JoinHandle<Result<Worker>>>,
    plugging: thread::JoinHandle<Result<()>>,
}

impl Load {
    /// Callers of host `number`: two share the bridge of `network`, which is meshed with `mesh`; two have a bridge each,
    /// with the same key, so that they want the same tunnels.
    ///
    /// # Errors
    /// When the devices cannot be made.
    pub fn new(cloud: &Cloud, number: usize, network: &Network, mesh: &[usize], seed: u64) -> Result<Self> {
        let node = cloud.node(number)?;
        make_devices(node.host(), &(0..DEVICES).map(device).collect::<Vec<_>>())?;
        let answered = Arc::new(AtomicU64::new(0));
        let mut dice = Dice::new(seed);
        let mut worker = |network: Network, owner, hosts, there| {
            let dice = Dice::new(dice.below(u64::MAX));
            Worker { network, dice, owner, hosts, there, perhaps: None, answered: Arc::clone(&answered) }
        };
        let own = |n| Network { bridge: format!("xapi{n}"), key: 2000, ipv6: Ipv6Policy::Drop };
        let workers = vec![
            worker(network.clone(), false, 100..104, Some(Tunnels::new())),
            worker(network.clone(), false, 104..108, Some(Tunnels::new())),
            worker(own(21), true, 100..106, None),
            worker(own(22), true, 103..109, None),
        ];
        let mesh = mesh.iter().filter(|other| **other != number).map(|other| *other as u64).collect();
        let (host, client) = (node.host().clone(), node.local_client()?);
        Ok(Load { host, client, number, workers, dice, mesh, answered })
    }

    /// Requests that were answered so far.
    pub fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Begins.
    pub fn start(mut self, cloud: &Cloud) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let tasks = std::mem::take(&mut self.workers).into_iter().map(|worker| {
            let (client, stop, from) = (self.client.clone(), Arc::clone(&stop), self.number as u64);
            cloud.manager().spawn(worker.work(client, from, stop))
        });
        let (host, dice) = (self.host.clone(), Dice::new(self.dice.below(u64::MAX)));
        let (tasks, stopped) = (tasks.collect(), Arc::clone(&stop));
        Running { load: self, stop, tasks, plugging: thread::spawn(move || plug_at_random(&host, dice, &stopped)) }
    }

    /// Compares what is there with what was answered, and takes it as known from now on. With `patience` what is not yet
    /// so may become so.
    ///
    /// # Errors
    /// What was lost, what is left over, and what does not fit together.
    pub fn check(&mut self, cloud: &Cloud, patience: Duration) -> Result<()> {
        let mut bridges = BTreeSet::from(["br-phy".to_owned()]);
        let mut names = BTreeSet::new();
        for worker in &mut self.workers {
            let client = self.client.clone();
            let what = format!("bridge {} to be as it must be", worker.network.bridge);
            let (seen, ports) =
                wait_until(what, patience, || look(cloud, client.clone(), &self.host, &worker.network))?;
            let (owner, hosts) = (worker.owner, worker.hosts.clone());
            let mine = |seen: Tunnels| seen.into_iter().filter(|n| owner || hosts.contains(n)).collect();
            if let (false, Some(seen)) = (worker.owner, &seen) {
                ensure!(seen.is_superset(&self.mesh), "the mesh has lost tunnels: {seen:?}");
                ensure!(seen.iter().all(|n| self.mesh.contains(n) || (100..108).contains(n)), "left over: {seen:?}");
            }
            bridges.extend(seen.is_some().then(|| worker.network.bridge.clone()));
            worker.take(seen.map(mine)).with_context(|| worker.network.bridge.clone())?;
            names.extend(ports);
        }
        let there: BTreeSet<String> = self.host.vsctl(["list-br"])?.lines().map(str::to_owned).collect();
        ensure!(there == bridges, "bridges {there:?}, known {bridges:?}");
        let rows = self.host.vsctl(["--bare", "--columns=name", "find", "Interface", "type=gre"])?;
        let rows: BTreeSet<String> = rows.split_whitespace().map(str::to_owned).collect();
        ensure!(rows == names, "tunnels in the switch {rows:?}, told {names:?}");
        Ok(())
    }
}

impl Running {
    /// Waits until `count` more requests were answered.
    ///
    /// # Errors
    /// When they are not within 20 s.
    pub fn wait_for_answers(&self, count: u64) -> Result<()> {
        let wanted = self.load.answered() + count;
        wait_until("answers", Duration::from_secs(20), || match self.load.answered() {
            so_far if so_far >= wanted => Ok(()),
            so_far => Err(anyhow!("{so_far} of {wanted}")),
        })
    }

    /// Ends; each worker finishes the request that is under way.
    ///
    /// # Errors
    /// When an answer was one that must never come.
    pub fn stop(mut self, cloud: &Cloud) -> Result<Load> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            self.load.workers.push(cloud.manager().run(task)??);
        }
        self.plugging.join().map_err(|_| anyhow!("the thread that plugs panicked"))??;
        Ok(self.load)
    }
}

impl Worker {
    async fn work(mut self, client: Client, from: u64, stop: Arc<AtomicBool>) -> Result<Self> {
        while !stop.load(Ordering::Relaxed) && self.perhaps.is_none() {
            let (answer, after) = self.ask(&client, from).await;
            let code = answer.as_ref().err().map(|error| error.problem().map(|problem| problem.code));
            match code {
                None => self.there = after,
                Some(Some(Code::Conflict | Code::NotFound)) => {}
                // Nothing was changed: as soon as the switch is back there is something to do.
                Some(Some(Code::SwitchUnavailable)) => tokio::time::sleep(Duration::from_millis(5)).await,
                Some(Some(Code::OutcomeUnknown) | None) => self.perhaps = Some(after),
                Some(Some(_)) => answer.with_context(|| format!("an answer on {}", self.network.bridge))?,
            }
            self.answered.fetch_add(u64::from(code != Some(None)), Ordering::Relaxed);
        }
        Ok(self)
    }

    /// One random request, and what is there if it succeeds.
    async fn ask(&mut self, client: &Client, from: u64) -> (Result<(), ClientError>, Option<Tunnels>) {
        let bridge = &self.network.bridge;
        let host = self.hosts.start + self.dice.below(self.hosts.end - self.hosts.start);
        let action = self.dice.below(if self.owner { 10 } else { 6 });
        match (action, &self.there) {
            (0..=3, Some(there)) => {
                let body = PostTunnel {
                    from: Id::Number(from),
                    to: Id::Number(host),
                    remote_ip: address(host),
                    key: None,
                    network_uuid: None,
                };
                let after = there.iter().copied().chain([host]).collect();
                (client.post_tunnel(bridge, &body).await.map(drop), Some(after))
            }
            (4..=5, Some(there)) => {
                let port = format!("t{}-{from}-{host}", self.network.key);
                let after = there.iter().copied().filter(|other| *other != host).collect();
                (client.delete_tunnel(bridge, &port).await.map(drop), Some(after))
            }
            (6, _) => (client.delete_bridge(bridge).await.map(drop), None),
            _ => {
                let hosts: Tunnels = self.hosts.clone().filter(|_| self.dice.below(2) == 0).collect();
                let tunnel = |n: &u64| PutTunnel { to: Id::Number(*n), remote_ip: address(*n), from: None };
                let body = PutBridge {
                    key: self.network.key,
                    network_uuid: None,
                    host_id: Some(Id::Number(from)),
                    ipv6: Some(self.network.ipv6),
                    uplink: None,
                    neighbours: None,
                    kind: None,
                    tunnels: Some(hosts.iter().map(tunnel).collect()),
                };
                (client.put_bridge(bridge, &body).await.map(drop), Some(hosts))
            }
        }
    }

    /// Takes what is there as known, if it is what was answered or what was under way.
    fn take(&mut self, seen: Option<Tunnels>) -> Result<()> {
        let perhaps = self.perhaps.take();
        let exactly = seen == self.there || perhaps.as_ref() == Some(&seen);
        // A change in two stages may have come to its first: what both want is there, and nothing that neither wants.
        let between = match (&seen, &self.there, &perhaps) {
            (Some(seen), Some(a), Some(Some(b))) => seen.is_superset(&(a & b)) && seen.is_subset(&(a | b)),
            _ => false,
        };
        ensure!(exactly || between, "there is {seen:?}; answered was {:?}, under way {perhaps:?}", self.there);
        self.there = seen;
        Ok(())
    }
}

/// The tunnels that the daemon tells of a bridge (nothing where there is none) and their ports, once all of it fits
/// together.
fn look(cloud: &Cloud, client: Client, host: &Host, network: &Network) -> Result<(Option<Tunnels>, BTreeSet<String>)> {
    let bridge = network.bridge.clone();
    let seen = cloud.manager().run(async move { client.bridge(&bridge).await });
    let bridge = match seen {
        Err(error) if error.problem().is_some_and(|problem| problem.code == Code::NotFound) => {
            return Ok((None, BTreeSet::new()));
        }
        seen => seen?,
    };
    ensure!(bridge.flows.state == FlowsState::InSync, "{:?}", bridge.flows);
    ensure!(bridge.tunnels.iter().all(|tunnel| tunnel.state == TunnelState::Up), "{:?}", bridge.tunnels);
    exact_rules(host, network)?;
    let tunnels = bridge.tunnels.iter().map(|tunnel| tunnel.to.parse()).collect::<Result<_, _>>()?;
    Ok((Some(tunnels), bridge.tunnels.into_iter().map(|tunnel| tunnel.port).collect()))
}

/// An address of TEST-NET-2, of which the lab knows no route.
fn address(host: u64) -> String {
    format!("198.51.100.{host}")
}

fn device(n: u16) -> String {
    format!("vif{}.0", 900 + n)
}

/// Plugs and unplugs, as a hypervisor that does not wait for the switch.
fn plug_at_random(host: &Host, mut dice: Dice, stop: &AtomicBool) -> Result<()> {
    while !stop.load(Ordering::Relaxed) {
        let vif = device(u16::try_from(dice.below(DEVICES.into()))?);
        let bridge = ["xapi1", "xapi21", "xapi22"][usize::try_from(dice.below(3))?];
        // It may be on another bridge, there may be no such bridge, the database may be down: all that happens.
        let _ = match dice.below(2) {
            0 => host.vsctl(["--no-wait", "--timeout=1", "--may-exist", "add-port", bridge, &vif]),
            _ => host.vsctl(["--no-wait", "--timeout=1", "--if-exists", "del-port", &vif]),
        };
    }
    Ok(())
}

/// A number that an environment variable sets, such as how often something is killed; this one where it is not set.
pub fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}
