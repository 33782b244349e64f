//! Whoever watches a host knows what is there, whatever happens to its switch and its daemon, and whenever it is cut off.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_api::{Bridge, FlowsState, Health, HealthState, Position, WatchEvent};
use ovstunnel_client::Client;
use ovstunnel_e2e::{NodeConfig, Place, make_devices};
use ovstunnel_lab::wait_until;
use tokio::runtime::{Builder, Runtime};

const PATIENCE: Duration = Duration::from_secs(60);

/// What is known from a watch alone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    pub(crate) bridges: BTreeMap<String, Bridge>,
    health: Option<Health>,
    last: Option<Position>,
    snapshots: usize,
    /// Times that it went on where it was.
    resumed: usize,
    /// Times that it was told that addresses may be others.
    moved: usize,
    wrong: Option<String>,
}

impl Known {
    fn take_in(&mut self, position: Option<Position>, event: WatchEvent) {
        self.last = position.or(self.last.take());
        match event {
            WatchEvent::Snapshot(snapshot) => {
                self.snapshots += 1;
                self.bridges = snapshot.bridges.into_iter().map(|bridge| (bridge.name.clone(), bridge)).collect();
                self.health = Some(snapshot.health);
            }
            WatchEvent::Bridge(bridge) => drop(self.bridges.insert(bridge.name.clone(), *bridge)),
            WatchEvent::BridgeGone(gone) => {
                if self.bridges.remove(&gone.name).is_none() {
                    self.wrong = Some(format!("{} is gone and was never there", gone.name));
                }
            }
            WatchEvent::Health(health) => self.health = Some(*health),
            WatchEvent::Addresses => self.moved += 1,
            WatchEvent::Ping => {}
        }
    }
}

/// Watches for as long as it lives.
pub(crate) struct Watcher {
    known: Arc<Mutex<Known>>,
    runtime: Runtime,
    client: Client,
}

impl Watcher {
    pub(crate) fn new(client: Client) -> Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let known = Arc::<Mutex<Known>>::default();
        runtime.spawn(watch(client.clone(), Arc::clone(&known)));
        Ok(Watcher { known, runtime, client })
    }

    pub(crate) fn known(&self) -> Known {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until what it knows is what the daemon says, and so good.
    fn knows(&self, what: &str, good: impl Fn(&Known) -> Result<()>) -> Result<()> {
        wait_until(what, PATIENCE, || {
            let there = self.runtime.block_on(self.client.bridges())?;
            let known = self.known();
            let there: Vec<Bridge> = there.bridges.into_iter().map(timeless).collect();
            let told: Vec<Bridge> = known.bridges.values().cloned().map(timeless).collect();
            ensure!(told == there, "told {told:#?}, there are {there:#?}");
            ensure!(known.wrong.is_none(), "{:?}", known.wrong);
            good(&known)
        })
    }
}

/// Watches, and watches again from where it was.
async fn watch(client: Client, known: Arc<Mutex<Known>>) {
    let take = |change: &mut dyn FnMut(&mut Known)| change(&mut known.lock().unwrap_or_else(PoisonError::into_inner));
    loop {
        let (mut last, mut snapshots) = (None, 0);
        take(&mut |known| (last, snapshots) = (known.last.clone(), known.snapshots));
        if let Ok(mut watch) = client.watch(last.as_ref()).await {
            let mut first = true;
            while let Ok(Some((position, event))) = watch.next().await {
                take(&mut |known| {
                    known.take_in(position.clone(), event.clone());
                    known.resumed += usize::from(first && known.snapshots == snapshots);
                });
                first = false;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A bridge without how old knowledge of it is.
fn timeless(bridge: Bridge) -> Bridge {
    Bridge { health: Health { as_of: None, ..bridge.health }, ..bridge }
}

/// The bridge is as it must be.
fn well(known: &Known) -> Result<()> {
    let bridge = known.bridges.get("xapi1").ok_or_else(|| anyhow!("no bridge"))?;
    ensure!(bridge.flows.state == FlowsState::InSync && bridge.tunnels.len() == 2, "{bridge:#?}");
    ensure!(bridge.health.state != HealthState::Failed, "{bridge:#?}");
    Ok(())
}

#[test]
fn who_watches_knows_what_is_there_whatever_happens() -> Result<()> {
    let place = Place::new("watch", NodeConfig::default())?;
    let (node, host) = (place.node()?, place.host()?);
    let watcher = Watcher::new(node.local_client()?)?;
    watcher.knows("all at the beginning", well)?;
    host.vsctl(["del-port", "t1001-1-2"])?;
    watcher.knows("a tunnel that was taken away by hand and is back", well)?;
    make_devices(host, &["vif9.0".to_owned()])?;
    host.vsctl(["add-port", "xapi1", "vif9.0"])?;
    watcher.knows("a VIF that was plugged", |known| {
        well(known)?;
        let vifs = &known.bridges["xapi1"].vifs;
        ensure!(vifs.iter().any(|vif| vif.name == "vif9.0" && vif.ofport.is_some()), "{vifs:?}");
        Ok(())
    })?;
    ensure!(watcher.known().snapshots == 1, "one connection, one snapshot");
    let before = watcher.known().moved;
    host.run("ip", ["address", "add", "198.51.100.7/32", "dev", "br-phy"])?;
    watcher.knows("an address that is new", |known| {
        ensure!(known.moved > before, "nothing was said of addresses");
        Ok(())
    })?;

    host.kill_vswitchd();
    watcher.knows("a switch that has ended", |known| {
        let (flows, health) = (&known.bridges["xapi1"].flows, &known.health);
        ensure!(flows.state == FlowsState::Unknown, "{flows:?}");
        ensure!(health.as_ref().is_some_and(|health| health.state == HealthState::Failed), "{health:?}");
        Ok(())
    })?;
    host.start_vswitchd()?;
    watcher.knows("a switch that has started again", well)?;
    host.kill_ovsdb();
    host.start_ovsdb()?;
    watcher.knows("a database that has started again", well)?;

    node.kill();
    host.vsctl(["del-port", "t1001-1-2"])?;
    node.start()?;
    place.cloud.wait_until_ready(1)?;
    watcher.knows("a daemon that was killed and has started again", |known| {
        ensure!(known.snapshots == 2, "its last position is of another life: {}", known.snapshots);
        Ok(())
    })?;
    // A reload ends a watch, and nothing is told again.
    node.signal(ovstunnel_lab::Signal::SIGHUP)?;
    watcher.knows("all after a reload", |known| {
        ensure!((known.snapshots, known.resumed) == (2, 1), "{} {}", known.snapshots, known.resumed);
        Ok(())
    })
}
