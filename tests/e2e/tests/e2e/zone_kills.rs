//! The manager, daemons and switches are killed at random instants while the plugin's calls set up and change networks: what the manager
//! says of the zone afterwards is what the switches say themselves.
//!
//! `OVSTUNNEL_ZONE_KILLS` sets how often (default 8; `scripts/soak` kills 200 times), `OVSTUNNEL_SEED` the throws of the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use ovstunnel_client::NetworksWanted;
use ovstunnel_e2e::{Cloud, Dice, NodeConfig, Plugin, Reading, Zone, kill_something, number, read_switches};
use ovstunnel_lab::wait_until;

const HOSTS: u64 = 4;
const NETWORKS: u64 = 3;

/// How long everything may take to be quiet: a switch that comes back answers commands again only after their time-outs.
const PATIENCE: Duration = Duration::from_secs(60);

/// A management server that calls plugins, whatever they answer.
struct Server<'a> {
    cloud: &'a Cloud,
    plugins: Vec<Plugin>,
    dice: Dice,
    calls: &'a AtomicU64,
}

impl Server<'_> {
    /// One call of the plugin; whether it was a success.
    fn call(&self, host: u64, function: &str, arguments: &[(&str, &str)]) -> Result<bool> {
        let plugin = self.plugins.get(usize::try_from(host - 1)?).context("a host")?;
        let value = plugin.call(function, arguments);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Ok(value.is_ok_and(|value| value.starts_with("SUCCESS")))
    }

    fn set_up(&self, network: u64, host: u64) -> Result<bool> {
        let (bridge, key, id) = (format!("xapi{network}"), format!("OVSTunnel{}", 1000 + network), host.to_string());
        let uuid = format!("00000000-0000-4000-8000-{network:012}");
        let arguments = [("bridge", &*bridge), ("key", &*key), ("xs_nw_uuid", &*uuid), ("cs_host_id", &*id)];
        self.call(host, "setup_ovs_bridge", &arguments)
    }

    fn create_tunnel(&self, network: u64, from: u64, to: u64) -> Result<bool> {
        let (bridge, key) = (format!("xapi{network}"), (1000 + network).to_string());
        let remote = self.cloud.node(usize::try_from(to)?)?.host().ip().to_string();
        let (own, other) = (from.to_string(), to.to_string());
        let arguments = [
            ("bridge", &*bridge),
            ("remote_ip", &*remote),
            ("key", &*key),
            ("from", &*own),
            ("to", &*other),
            ("cloudstack-network-id", "2d0f5a1c-77aa-4a0b-8a11-3e5f60718293"),
        ];
        self.call(from, "create_tunnel", &arguments)
    }

    fn destroy_tunnel(&self, network: u64, from: u64, to: u64) -> Result<bool> {
        let (bridge, port) = (format!("xapi{network}"), format!("t{}-{from}-{to}", 1000 + network));
        self.call(from, "destroy_tunnel", &[("bridge", &bridge), ("in_port", &port)])
    }

    fn destroy_bridge(&self, network: u64, host: u64) -> Result<bool> {
        let (bridge, id) = (format!("xapi{network}"), host.to_string());
        self.call(host, "destroy_ovs_bridge", &[("bridge", &bridge), ("cs_host_id", &id)])
    }

    /// A full mesh of a network.
    fn mesh(&self, network: u64) -> Result<()> {
        for host in 1..=HOSTS {
            ensure!(self.set_up(network, host)?, "network {network} on host {host}");
            for other in (1..=HOSTS).filter(|other| *other != host) {
                ensure!(self.create_tunnel(network, host, other)?, "network {network} on host {host} to {other}");
            }
        }
        Ok(())
    }

    /// What a server does when a VM starts or stops, as far as it comes: nobody looks at the answers.
    fn change(&mut self) -> Result<()> {
        let (network, host) = (1 + self.dice.below(NETWORKS), 1 + self.dice.below(HOSTS));
        let others: Vec<u64> = (1..=HOSTS).filter(|other| *other != host).collect();
        let to = others[usize::try_from(self.dice.below(HOSTS - 1))?];
        match self.dice.below(8) {
            0..=3 => {
                self.set_up(network, host)?;
                for other in others {
                    self.create_tunnel(network, host, other)?;
                    self.create_tunnel(network, other, host)?;
                }
            }
            4 | 5 => drop(self.destroy_tunnel(network, host, to)?),
            6 => {
                self.create_tunnel(network, host, to)?;
                self.destroy_tunnel(network, to, host)?;
            }
            _ => drop(self.destroy_bridge(network, host)?),
        }
        Ok(())
    }

    fn work(mut self, stop: &AtomicBool) -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            self.change()?;
        }
        Ok(())
    }
}

fn server<'a>(cloud: &'a Cloud, seed: u64, calls: &'a AtomicU64) -> Result<Server<'a>> {
    let plugins = cloud.nodes().iter().map(|node| Plugin::on(node)).collect::<Result<_>>()?;
    Ok(Server { cloud, plugins, dice: Dice::new(seed), calls })
}

/// What the manager says of the networks, in the checker's terms.
fn told(cloud: &Cloud, zone: &Zone) -> Result<BTreeMap<u32, Reading>> {
    let number = |name: &str| name.strip_prefix('h').and_then(|number| number.parse::<u64>().ok());
    let wanted = NetworksWanted { limit: Some(1000), ..NetworksWanted::default() };
    let networks = zone.ask(cloud, |client| async move { client.networks(&wanted).await })?.networks;
    let mut told = BTreeMap::new();
    for network in networks {
        let name = network.name.clone();
        let (network, proof) = zone.ask(cloud, |client| async move {
            let network = client.network(&name).await?;
            Ok((network, client.proof(&name).await?))
        })?;
        let members = network.members.context("a network without members")?;
        let hosts: Option<BTreeSet<u64>> = members.iter().map(|member| number(&member.host)).collect();
        let fault = |finding: &ovstunnel_manager_api::Finding| {
            let to = finding.to.as_deref().map(|to| number(to).with_context(|| format!("{finding:?}"))).transpose()?;
            Ok((finding.what.clone(), number(&finding.host).with_context(|| format!("{finding:?}"))?, to))
        };
        let faults = proof.findings.iter().map(fault).collect::<Result<BTreeSet<_>>>()?;
        ensure!(proof.whole == faults.is_empty(), "{proof:?}");
        let hosts = hosts.with_context(|| format!("{members:?}"))?;
        let reading = Reading { hosts, wanted: proof.tunnels.wanted, proven: proof.tunnels.proven, faults };
        told.insert(proof.key, reading);
    }
    Ok(told)
}

/// Waits until the manager says what the switches have.
fn agree(cloud: &Cloud, zone: &Zone) -> Result<BTreeMap<u32, Reading>> {
    (1..=cloud.nodes().len()).try_for_each(|number| cloud.wait_until_ready(number))?;
    wait_until("the manager to say what the switches have", PATIENCE, || {
        let (there, said) = (read_switches(cloud)?, told(cloud, zone)?);
        for key in there.keys().chain(said.keys()) {
            ensure!(
                there.get(key) == said.get(key),
                "key {key}:\n{:?} there\n{:?} told",
                there.get(key),
                said.get(key)
            );
        }
        Ok(there)
    })
}

#[test]
fn after_kills_the_manager_says_what_the_switches_have() -> Result<()> {
    let (kills, seed) = (number("OVSTUNNEL_ZONE_KILLS", 8), number("OVSTUNNEL_SEED", 1));
    println!("{kills} kills, OVSTUNNEL_SEED={seed}");
    let config = NodeConfig { timeout: "5s".into(), reconcile_interval: "2s".into(), ..NodeConfig::default() };
    let cloud = Cloud::with_config("zonekills", usize::try_from(HOSTS)?, config)?;
    let calls = AtomicU64::new(0);
    let first = server(&cloud, seed, &calls)?;
    (1..=NETWORKS).try_for_each(|network| first.mesh(network))?;
    let zone = Zone::new(&cloud)?;
    zone.add_all(&cloud)?;
    let whole = agree(&cloud, &zone)?;
    ensure!(whole.len() == 3 && whole.values().all(|reading| reading.proven == 12), "{whole:?}");

    let (stop, mut dice) = (AtomicBool::new(false), Dice::new(!seed));
    let kill_all = || {
        for n in 0..kills {
            dice.pause(Duration::from_millis(250));
            let what = kill_something(&cloud, &zone, &mut dice).with_context(|| format!("kill {n} of seed {seed}"))?;
            println!("{n}: {what}");
        }
        Ok::<_, anyhow::Error>(())
    };
    thread::scope(|scope| {
        let working = server(&cloud, seed.wrapping_add(1), &calls)?;
        let worker = scope.spawn(|| working.work(&stop));
        let killed = { kill_all }();
        stop.store(true, Ordering::Relaxed);
        worker.join().map_err(|_| anyhow!("the server panicked"))?.and(killed)
    })?;
    let last = Instant::now();
    let left = agree(&cloud, &zone).with_context(|| format!("seed {seed}"))?;
    let (took, broken) = (last.elapsed(), left.values().filter(|reading| !reading.faults.is_empty()).count());
    println!(
        "{kills} kills, {} calls of the plugin; {broken} of {} networks are not whole, and the manager said so {took:?} after the last",
        calls.load(Ordering::Relaxed),
        left.len()
    );

    // All that is missing is made, and the manager says that, too.
    let last = server(&cloud, seed, &calls)?;
    (1..=NETWORKS).try_for_each(|network| last.mesh(network))?;
    let whole = agree(&cloud, &zone)?;
    ensure!(whole.len() == 3 && whole.values().all(|reading| reading.faults.is_empty()), "{whole:?}");
    zone.expect_untouched(&cloud)
}
