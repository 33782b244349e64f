//! OVN on the same lab: one VIF from its command to its flows, and what a thousand cost on the host that has them.
//!
//! OVN's tunnels lead from each host to each, for all networks, and are there before; ours are of a network. What OVN does beside
//! (routers, access lists, DHCP) is not used, and not measured.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use ovstunnel_api::Ipv6Policy;
use ovstunnel_e2e::{Cloud, Network, RuleWatch, make_devices};
use ovstunnel_lab::{Host, Signal};
use serde_json::json;

use super::vif::plug_until_rule;
use crate::contender::ovn::{BRIDGE, Ovn};
use crate::database::Database;
use crate::ground::{Race, config};
use crate::page::{PEERS, grouped};
use crate::process::{cpu_seconds, memory};
use crate::report::{Line, Unit, Who};
use crate::scale::Scale;

/// How many ports one command plugs.
const AT_ONCE: usize = 50;

/// How long a loaded machine may take to the last of a thousand ports.
const PATIENCE: Duration = Duration::from_secs(300);

/// The lab, its first host, and OVN in it.
struct Arena {
    ovn: Ovn,
    database: Database,
    cloud: Cloud,
}

/// What has been used, and what is held.
struct Cost {
    cpu: f64,
    memory: f64,
}

pub fn run(scale: &Scale) -> Result<Vec<Line>> {
    crate::progress("OVN, and VIFs one by one");
    let cloud = Cloud::with_config("ovn", 2, config())?;
    let hosts = [cloud.node(1)?.host().clone(), cloud.node(2)?.host().clone()];
    let database = Database::connect(&hosts[0].rundir().join("db.sock"))?;
    let mut arena = Arena { ovn: Ovn::start(&hosts)?, database, cloud };
    let what = "a VIF from its command to its flows, a tunnel to the other host there: median";
    let one = arena.one_by_one(scale)?.median(PEERS, what);
    crate::progress(&format!("{} VIFs, ours and OVN's", grouped(scale.switches * scale.switch_ports)));
    let (before, ours, theirs) = (arena.held()?, arena.ours(scale)?, arena.theirs(scale)?);
    let count =
        format!("{} networks and {} VIFs on a host", scale.switches, grouped(scale.switches * scale.switch_ports));
    let note = "northd, both databases and the host's controller";
    let line = |what: String, unit, ours, theirs| {
        Line::new(PEERS, what, unit, ours, 1).beside(Who::Ovn, theirs, 1, Some(note))
    };
    Ok(vec![
        one,
        line("memory with one network of a VIF on two hosts".to_owned(), Unit::Bytes, before.0, before.1),
        line(format!("{count}: CPU time to make them"), Unit::Seconds, ours.cpu, theirs.cpu),
        line(format!("{count}: memory"), Unit::Bytes, ours.memory, theirs.memory),
    ])
}

impl Arena {
    fn host(&self) -> Result<Host> {
        Ok(self.cloud.node(1)?.host().clone())
    }

    /// Lets one go on, and freezes the other.
    fn turn(&mut self, who: Who) -> Result<()> {
        let daemons = if who == Who::Daemon { Signal::SIGCONT } else { Signal::SIGSTOP };
        self.cloud.nodes().iter().try_for_each(|node| node.signal(daemons))?;
        self.ovn.pause(who != Who::Ovn)?;
        if who == Who::Ovn { self.ovn.sync() } else { self.cloud.wait_until_ready(1) }
    }

    fn pid(&self) -> Result<u32> {
        self.cloud.node(1)?.pid().context("the daemon")
    }

    /// Memory of the daemon, and of OVN on the first host.
    // Sizes are far below 2^52.
    #[allow(clippy::cast_precision_loss)]
    fn held(&self) -> Result<(f64, f64)> {
        Ok((memory(self.pid()?) as f64, self.ovn.on_first().map(memory).sum::<u64>() as f64))
    }

    fn one_by_one(&mut self, scale: &Scale) -> Result<Race> {
        let (host, network) = (self.host()?, Network::numbered(1, Ipv6Policy::Drop));
        make_devices(&host, &["vif1.0".to_owned(), "vif2.0".to_owned()])?;
        self.turn(Who::Daemon)?;
        self.cloud.join(&network, 1, &[1, 2])?;
        self.turn(Who::Ovn)?;
        self.ovn.add_switch("one", &["port-vif2.0".to_owned()])?;
        let (watch, mut race) = (RuleWatch::start(&host, &network.bridge)?, Race::default());
        for _ in 0..scale.rounds.div_ceil(2) {
            self.turn(Who::Daemon)?;
            race.push(Who::Daemon, plug_until_rule(&host, &network.bridge, "vif1.0", &watch)?);
            host.vsctl(["del-port", &network.bridge, "vif1.0"])?;
            self.turn(Who::Ovn)?;
            let start = Instant::now();
            plug(&host, &["vif2.0".to_owned()])?;
            self.wait_until_installed("vif2.0")?;
            race.push(Who::Ovn, start.elapsed());
            host.vsctl(["del-port", BRIDGE, "vif2.0"])?;
        }
        Ok(race)
    }

    /// The database itself tells when `ovn-controller` has written that the port's flows are there.
    fn wait_until_installed(&mut self, vif: &str) -> Result<()> {
        let installed =
            json!([["name", "==", vif], ["external_ids", "includes", ["map", [["ovn-installed", "true"]]]]]);
        let wait = json!({"op": "wait", "table": "Interface", "where": installed, "columns": ["name"], "until": "==",
            "rows": [{"name": vif}], "timeout": PATIENCE.as_millis()});
        self.database.transact(vec![wait]).map(drop)
    }

    /// All networks and VIFs by the daemon.
    fn ours(&mut self, scale: &Scale) -> Result<Cost> {
        self.turn(Who::Daemon)?;
        let (host, before) = (self.host()?, cpu_seconds(self.pid()?)?);
        for switch in 0..scale.switches {
            let network = Network::numbered(u16::try_from(2 + switch)?, Ipv6Policy::Drop);
            self.cloud.join(&network, 1, &[1, 2])?;
            let vifs: Vec<String> = (0..scale.switch_ports).map(|n| format!("vif{}.{n}", 100 + switch)).collect();
            make_devices(&host, &vifs)?;
            for some in vifs.chunks(AT_ONCE) {
                host.vsctl(some.iter().flat_map(|vif| ["--", "add-port", &network.bridge, vif]))?;
            }
            self.cloud.wait_for_rules(&network, 1)?;
        }
        Ok(Cost { cpu: cpu_seconds(self.pid()?)? - before, memory: self.held()?.0 })
    }

    /// The same by OVN.
    fn theirs(&mut self, scale: &Scale) -> Result<Cost> {
        self.turn(Who::Ovn)?;
        let host = self.host()?;
        let used = |ovn: &Ovn| ovn.on_first().map(cpu_seconds).sum::<Result<f64>>();
        let before = used(&self.ovn)?;
        for switch in 0..scale.switches {
            let vifs: Vec<String> = (0..scale.switch_ports).map(|n| format!("vif{}.{n}", 200 + switch)).collect();
            let ports: Vec<String> = vifs.iter().map(|vif| format!("port-{vif}")).collect();
            self.ovn.add_switch(&format!("switch{switch}"), &ports)?;
            make_devices(&host, &vifs)?;
            vifs.chunks(AT_ONCE).try_for_each(|some| plug(&host, some))?;
            vifs.iter().try_for_each(|vif| self.wait_until_installed(vif))?;
        }
        let found = host.vsctl(["--bare", "--columns=name", "find", "Interface", "external_ids:ovn-installed=true"])?;
        let count = found.lines().filter(|line| !line.is_empty()).count();
        ensure!(count == scale.switches * scale.switch_ports, "OVN has {count} ports");
        Ok(Cost { cpu: used(&self.ovn)? - before, memory: self.held()?.1 })
    }
}

/// Plugs these into OVN's bridge, each with the logical port that has its name.
fn plug(host: &Host, vifs: &[String]) -> Result<()> {
    let words = vifs.iter().flat_map(|vif| {
        let port = format!("external_ids:iface-id=port-{vif}");
        ["--", "add-port", BRIDGE, vif, "--", "set", "Interface", vif, &port].map(str::to_owned)
    });
    host.vsctl(words).map(drop)
}
