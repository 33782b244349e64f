//! A network of three hosts in good order, to which a test does harm: what it must be again, and that frames pass exactly
//! once again. Must not do harm itself.

use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::{Ipv6Policy, ReconcileAnswer};
use ovstunnel_lab::{Delivery, Host, Kind, Stream, StreamReport, Vm, unhurried, wait_until};

use crate::{Cloud, Network, Node, NodeConfig, Picture};

/// How long healing may take before a test gives up. How long it does take is printed.
const PATIENCE: Duration = Duration::from_secs(30);

/// How often each VM sends a frame.
const INTERVAL: Duration = Duration::from_millis(10);

/// Three hosts, a full mesh between them, a VM on each.
#[derive(Debug)]
pub struct Place {
    /// The hosts.
    pub cloud: Cloud,
    /// The network: `xapi1`, which forwards IPv6.
    pub network: Network,
    /// The VM of each host.
    pub vms: Vec<Vm>,
    good: Picture,
}

impl Place {
    /// Everything in order.
    ///
    /// # Errors
    /// When it cannot be made, or frames do not pass.
    pub fn new(tag: &str, config: NodeConfig) -> Result<Self> {
        let cloud = Cloud::with_config(tag, 3, config)?;
        let network = Network::numbered(1, Ipv6Policy::Allow);
        cloud.mesh(&network, &[1, 2, 3])?;
        let vms = (1..=3).map(|n| cloud.plug(&network, n.into(), n)).collect::<Result<Vec<_>>>()?;
        let good = Picture::of(cloud.node(1)?.host())?;
        let place = Place { cloud, network, vms, good };
        place.expect_frames_once()?;
        Ok(place)
    }

    /// The host to which harm is done: the first.
    ///
    /// # Errors
    /// None: there are three.
    pub fn node(&self) -> Result<&Node> {
        self.cloud.node(1).map(AsRef::as_ref)
    }

    /// The same as a switch.
    ///
    /// # Errors
    /// None: there are three.
    pub fn host(&self) -> Result<&Host> {
        self.node().map(Node::host)
    }

    /// Every kind of flooded frame from every VM, until told to stop.
    ///
    /// # Errors
    /// When they cannot be sent.
    pub fn streams(&self) -> Result<Vec<Stream>> {
        self.vms.iter().map(|vm| self.cloud.lab().stream(vm, &Kind::FLOODED, unhurried(INTERVAL))).collect()
    }

    /// That every frame comes to every VM exactly once now.
    ///
    /// # Errors
    /// Which did not.
    pub fn expect_frames_once(&self) -> Result<()> {
        let probes = self.cloud.lab().every_flooded_kind();
        self.cloud.lab().deliver_all(&probes)?.iter().try_for_each(|delivery| delivery.expect_once())
    }

    /// That the switch is not in order now.
    ///
    /// # Errors
    /// When it is: then the test has done no harm.
    pub fn expect_harm(&self) -> Result<()> {
        ensure!(Picture::of(self.host()?)? != self.good, "nothing was harmed");
        Ok(())
    }

    /// Waits until the switch is what it was, and frames pass exactly once.
    ///
    /// # Errors
    /// What differs after half a minute.
    pub fn wait_until_healed(&self) -> Result<()> {
        wait_until("the switch to heal", PATIENCE, || Picture::of(self.host()?)?.expect(&self.good))?;
        self.wait_until_frames_pass()
    }

    /// Waits until every frame comes to every VM exactly once: once a flow is back in its table, `ovs-vswitchd` still has to go through what the
    /// datapath has cached. A frame that comes twice is not waited for.
    fn wait_until_frames_pass(&self) -> Result<()> {
        let probes = self.cloud.lab().every_flooded_kind();
        let deliveries = wait_until("every frame to arrive", PATIENCE, || {
            let deliveries = self.cloud.lab().deliver_all(&probes)?;
            let missed = deliveries.iter().filter(|delivery| delivery.max_copies() <= 1);
            missed.map(Delivery::expect_once).collect::<Result<Vec<()>>>().map(|_| deliveries)
        })?;
        deliveries.iter().try_for_each(Delivery::expect_once)
    }

    /// Has the daemon look at everything now.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn reconcile(&self) -> Result<ReconcileAnswer> {
        let client = self.node()?.local_client()?;
        Ok(self.cloud.manager().run(async move { client.reconcile().await })?)
    }

    /// The sum of the daemon's metrics whose line starts in this way.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn metric(&self, start: &str) -> Result<f64> {
        self.node()?.metric(start)
    }
}

/// That no frame of any stream came twice, and that they were streams; what was sent and lost, in words.
///
/// # Errors
/// Who got which twice.
pub fn no_frame_twice(streams: Vec<Stream>) -> Result<String> {
    let reports = streams.into_iter().map(Stream::stop).collect::<Result<Vec<StreamReport>>>()?;
    reports.iter().try_for_each(StreamReport::expect_no_duplicates)?;
    let sent: u64 = reports.iter().map(|report| report.sent).sum();
    let shares = || reports.iter().flat_map(|report| report.shares.values());
    let (once, missed): (u64, u64) = (shares().map(|s| s.once).sum(), shares().map(|s| s.missed).sum());
    ensure!(once > 0, anyhow!("no frame arrived at all"));
    Ok(format!("{sent} frames, {once} deliveries exactly once, {missed} not, 0 twice"))
}
