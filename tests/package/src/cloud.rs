//! A small cloud for packages: a host with a system of its own, on which the package's daemon runs, and a second one, set up by
//! hand, so that VMs on both can talk. Must not look into the daemon.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use ovstunnel_lab::{Host, Kind, Lab, Pinger, Stream, VmSpec};

use crate::Machine;

/// The bridge of the one network.
pub const BRIDGE: &str = "xapi1";

const KEY: u32 = 1001;

/// Between two frames of a VM.
const PACE: Duration = Duration::from_millis(10);

/// The two hosts.
#[derive(Debug)]
pub struct Cloud {
    // Ends before the lab does.
    machine: Machine,
    lab: Lab,
}

/// What the VMs send to each other all the time.
#[derive(Debug)]
pub struct Traffic {
    pings: Vec<Pinger>,
    stream: Stream,
}

impl Cloud {
    /// Two hosts; the first has a system with the folder `srv` as its `/srv`.
    ///
    /// # Errors
    /// When something cannot be made.
    pub fn new(tag: &str, srv: &Path) -> Result<Self> {
        let lab = Lab::with_hosts(tag, 2)?;
        let machine = Machine::boot(&lab.host(1)?, srv)?;
        Ok(Cloud { machine, lab })
    }

    /// The system on the first host.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The first host.
    ///
    /// # Errors
    /// Never, as long as the lab is there.
    pub fn host(&self) -> Result<Host> {
        self.lab.host(1)
    }

    /// The other host.
    ///
    /// # Errors
    /// Never, as long as the lab is there.
    pub fn peer(&self) -> Result<Host> {
        self.lab.host(2)
    }

    /// Has the operator do what the lab needs, restart the daemon, and set up the network; then plugs a VM on each host.
    ///
    /// # Errors
    /// When the daemon refuses something.
    pub fn set_up(&self) -> Result<()> {
        let (machine, peer) = (&self.machine, self.peer()?);
        let file = machine.path("/etc/ovstunnel/ovstunneld.toml");
        let text = fs::read_to_string(&file)?;
        let edited = text.replace("#datapath_type = \"\"", "datapath_type = \"netdev\"");
        ensure!(edited != text, "the configuration has no line for datapath_type");
        fs::write(&file, edited)?;
        machine.run(["ovstunneld", "--check"])?;
        let before = machine.property("MainPID")?;
        machine.run(["systemctl", "restart", "ovstunneld"])?;
        machine.wait_until_served(&before)?;
        let (key, tunnel) = (KEY.to_string(), format!("2={}", peer.ip()));
        let setup = ["ovstunnelctl", "bridge", "setup", BRIDGE, "--key", &key, "--host-id", "1", "--tunnel", &tunnel];
        machine.run(setup)?;
        set_up_by_hand(&peer, &self.host()?)?;
        self.host()?.plug_vm(BRIDGE, "vif1.0", VmSpec::numbered(11).network(BRIDGE))?;
        peer.plug_vm(BRIDGE, "vif2.0", VmSpec::numbered(21).network(BRIDGE))?;
        self.lab.announce_all()
    }

    /// Lets the VMs talk until [`Traffic::stop`].
    ///
    /// # Errors
    /// When they cannot.
    pub fn traffic(&self) -> Result<Traffic> {
        Traffic::start(&self.lab)
    }
}

impl Traffic {
    /// Lets the two VMs of a lab talk.
    ///
    /// # Errors
    /// When they cannot, or are not two.
    pub fn start(lab: &Lab) -> Result<Self> {
        let vms = lab.vms();
        let [a, b] = vms.as_slice() else { anyhow::bail!("two VMs, not {vms:?}") };
        a.ping(b.ip(), 3)?.expect_no_loss().context("before anything was done")?;
        let pings = vec![a.start_ping(b.ip(), PACE)?, b.start_ping(a.ip(), PACE)?];
        Ok(Traffic { pings, stream: lab.stream(a, &[Kind::Broadcast], PACE)? })
    }

    /// Ends it.
    ///
    /// # Errors
    /// When one frame was lost or came twice.
    pub fn stop(self) -> Result<()> {
        for ping in self.pings {
            ping.stop()?.expect_no_loss()?;
        }
        self.stream.stop()?.expect_once()
    }
}

fn set_up_by_hand(host: &Host, other: &Host) -> Result<()> {
    let port = format!("t{KEY}-2-1");
    let words = format!(
        "add-br {BRIDGE} -- set Bridge {BRIDGE} datapath_type=netdev -- add-port {BRIDGE} {port} -- set Interface {port} type=gre \
         options:key={KEY} options:remote_ip={}",
        other.ip()
    );
    host.vsctl(words.split_whitespace())?;
    host.wait_for_ofport(&port).map(drop)
}

/// All of the data plane that packets depend on: bridges, ports, tunnels, flows; not their counters.
///
/// # Errors
/// When the switch does not answer.
pub fn data_plane(host: &Host) -> Result<String> {
    let mut lines = vec![];
    for (table, columns) in [
        ("Bridge", "name,datapath_type,external_ids,other_config,ports"),
        ("Port", "name,external_ids,interfaces,protected"),
        ("Interface", "name,error,ofport,options,type"),
    ] {
        let rows = host.vsctl(["--format=csv", &format!("--columns={columns}"), "list", table])?;
        lines.extend(rows.lines().map(str::to_owned));
    }
    lines.extend(host.ofctl(["--no-stats", "dump-flows", BRIDGE])?.lines().map(|line| line.trim().to_owned()));
    lines.sort();
    Ok(lines.join("\n"))
}
