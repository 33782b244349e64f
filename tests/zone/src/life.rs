//! The life of a zone: VMs start, stop and move, hosts fail and come back, daemons are killed.
//!
//! What it does: throws the dice for what happens next, and plays hypervisor and high availability. What it must not do: tell
//! a host anything about networks; the server does.

use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep};

use crate::check;
use crate::network::Cause;
use crate::zone::Zone;

/// From a host's failure until its VMs are started elsewhere.
const DETECT: Duration = Duration::from_secs(60);

/// From a host's failure until it is back.
const REPAIR: Duration = Duration::from_secs(180);

/// From a daemon's death until the service manager has started it again.
const RESTART: Duration = Duration::from_secs(2);

/// What a migration takes, once the network is ready.
const MIGRATION: Duration = Duration::from_secs(10);

/// Between two checks of everything.
const CHECKS: Duration = Duration::from_secs(60);

/// Between two looks whether something is over.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Clone, Copy, Debug)]
enum Event {
    Start,
    Stop,
    Migrate,
    Fail,
    Kill,
}

/// Sets the zone up: daemons, VMs, and their networks as the server finds them.
///
/// # Errors
/// When a daemon answers what is none of the API's.
pub async fn set_up(zone: &Rc<Zone>) -> Result<()> {
    let interval = Duration::from_secs_f64(zone.scenario.interval);
    for host in 0..zone.hosts.len() {
        let (zone, wait) = (Rc::clone(zone), interval.mul_f64(zone.chance()));
        // Hosts do not look at everything at the same moment.
        tokio::task::spawn_local(async move {
            sleep(wait).await;
            zone.hosts[host].start();
        });
    }
    sleep(interval + LOOK).await;
    let vms: Vec<(usize, usize)> =
        (0..zone.scenario.vms()).filter_map(|_| Some((zone.some_network(), zone.some_host(None)?))).collect();
    {
        let mut networks = zone.networks.borrow_mut();
        for (network, host) in &vms {
            *networks[*network].members.entry(*host).or_default() += 1;
            networks[*network].touched.insert(*host);
            networks[*network].linked.insert(*host);
        }
    }
    let told: std::collections::BTreeSet<(usize, usize)> = vms.iter().copied().collect();
    told.iter().for_each(|(network, host)| zone.sync(*network, *host, Cause::SetUp));
    at_rest(zone).await;
    for (network, host) in vms {
        let vm = zone.vms.borrow_mut().begin(network, host);
        plug(zone, vm, network, host);
    }
    sleep(interval).await;
    zone.blame(check::everything(zone));
    zone.blame(check::flows(zone).await?);
    Ok(())
}

fn plug(zone: &Zone, vm: usize, network: usize, host: usize) {
    let vif = zone.hosts[host].plug(&zone.networks.borrow()[network].bridge);
    zone.vms.borrow_mut().run(vm, host, vif);
}

/// Lets the zone live, and come to rest; then all is checked, flows too.
///
/// # Errors
/// When a daemon answers what is none of the API's.
pub async fn live(zone: &Rc<Zone>) -> Result<()> {
    let end = Instant::now() + Duration::from_secs_f64(zone.scenario.minutes * 60.0);
    let checks = tokio::task::spawn_local(Rc::clone(zone).check_again_and_again());
    let rates = rates(zone);
    if rates.iter().any(|(_, rate)| *rate > 0.0) {
        happen_until(zone, end, &rates).await;
    }
    sleep(end.saturating_duration_since(Instant::now())).await;
    at_rest(zone).await;
    checks.abort();
    // Once more every daemon has looked at everything.
    sleep(Duration::from_secs_f64(zone.scenario.interval)).await;
    Ok(())
}

/// Throws the dice for what happens next, and when, until the end.
async fn happen_until(zone: &Rc<Zone>, end: Instant, rates: &[(Event, f64)]) {
    let all: f64 = rates.iter().map(|(_, rate)| rate).sum();
    loop {
        sleep(Duration::from_secs_f64(-(1.0 - zone.chance()).ln() / all)).await;
        if Instant::now() > end {
            return;
        }
        let mut at = zone.chance() * all;
        let event = rates.iter().find(|(_, rate)| {
            at -= rate;
            at < 0.0
        });
        if let Some((event, _)) = event {
            happen(zone, *event);
        }
    }
}

impl Zone {
    async fn check_again_and_again(self: Rc<Self>) {
        loop {
            sleep(CHECKS).await;
            self.blame(check::everything(&self));
        }
    }
}

/// How often each thing happens, in a second.
fn rates(zone: &Zone) -> [(Event, f64); 5] {
    let scenario = &zone.scenario;
    let hosts = scenario.hosts as f64 / 3600.0;
    [
        (Event::Start, scenario.starts * hosts),
        (Event::Stop, scenario.starts * hosts),
        (Event::Migrate, scenario.migrations * hosts),
        (Event::Fail, scenario.failures * hosts / 1000.0),
        (Event::Kill, scenario.kills * hosts / 1000.0),
    ]
}

/// Waits until nothing is under way.
pub async fn at_rest(zone: &Zone) {
    while zone.running.get() > 0 || !zone.lanes.borrow().is_empty() {
        sleep(LOOK).await;
    }
}

fn happen(zone: &Rc<Zone>, event: Event) {
    let free = zone.vms.borrow().running();
    match event {
        Event::Start => {
            let network = zone.some_network();
            if let Some(host) = zone.some_host(None) {
                count(zone, "VM starts");
                begin(zone, start(Rc::clone(zone), network, host, Cause::Start));
            }
        }
        Event::Stop if free > 0 => {
            count(zone, "VM stops");
            let nth = zone.below(free);
            let vm = zone.vms.borrow_mut().take(nth);
            stop(zone, vm);
        }
        Event::Migrate if free > 0 => {
            count(zone, "migrations");
            let nth = zone.below(free);
            let vm = zone.vms.borrow_mut().take(nth);
            begin(zone, migrate(Rc::clone(zone), vm));
        }
        Event::Fail => {
            if let Some(host) = zone.some_host(None) {
                count(zone, "host failures");
                begin(zone, fail(Rc::clone(zone), host));
            }
        }
        Event::Kill => {
            if let Some(host) = zone.some_host(None) {
                count(zone, "killed daemons");
                begin(zone, kill(Rc::clone(zone), host));
            }
        }
        Event::Stop | Event::Migrate => {}
    }
}

fn count(zone: &Zone, what: &'static str) {
    *zone.events.borrow_mut().entry(what).or_default() += 1;
}

/// Begins what takes a while.
fn begin(zone: &Rc<Zone>, event: impl Future<Output = ()> + 'static) {
    let zone = Rc::clone(zone);
    zone.running.set(zone.running.get() + 1);
    tokio::task::spawn_local(async move {
        event.await;
        zone.running.set(zone.running.get() - 1);
    });
}

/// Waits until a VM's network is ready on a host; false where the VM is lost before that.
async fn until_ready(zone: &Zone, vm: usize, life: u64, network: usize, host: usize) -> bool {
    loop {
        zone.until_told(network, host).await;
        if !zone.vms.borrow().lives(vm, life) {
            return false;
        }
        if zone.is_up(host) {
            return true;
        }
        sleep(LOOK).await;
    }
}

async fn start(zone: Rc<Zone>, network: usize, host: usize, cause: Cause) {
    let vm = zone.vms.borrow_mut().begin(network, host);
    zone.join(network, host, cause);
    if until_ready(&zone, vm, 0, network, host).await {
        plug(&zone, vm, network, host);
    }
}

fn stop(zone: &Rc<Zone>, vm: usize) {
    let Some(ended) = zone.vms.borrow_mut().end(vm) else { return };
    ended.vif.iter().for_each(|vif| zone.hosts[ended.host].unplug(vif));
    zone.leave(ended.network, ended.host, Cause::Stop);
}

async fn migrate(zone: Rc<Zone>, vm: usize) {
    let Some(before) = zone.vms.borrow().get(vm).cloned() else { return };
    let Some(to) = zone.some_host(Some(before.host)) else { return zone.vms.borrow_mut().give_back(vm) };
    let (network, life) = (before.network, zone.hosts[to].life());
    zone.join(network, to, Cause::Migration);
    zone.until_told(network, to).await;
    sleep(MIGRATION).await;
    if !zone.vms.borrow().lives(vm, before.lives) {
        // Its host has failed meanwhile; it is started anew by others.
        return zone.leave(network, to, Cause::Migration);
    }
    if life != zone.hosts[to].life() || !zone.is_up(to) {
        zone.vms.borrow_mut().give_back(vm);
        return zone.leave(network, to, Cause::Migration);
    }
    plug(&zone, vm, network, to);
    before.vif.iter().for_each(|vif| zone.hosts[before.host].unplug(vif));
    zone.leave(network, before.host, Cause::Migration);
}

/// A host loses power. Its VMs are started elsewhere after a while, and the server takes them from it; later it is back.
async fn fail(zone: Rc<Zone>, host: usize) {
    zone.up.borrow_mut()[host] = false;
    zone.hosts[host].power_off();
    let lost = zone.vms.borrow_mut().lose(host);
    sleep(DETECT).await;
    for vm in lost {
        let Some(ended) = zone.vms.borrow_mut().end(vm) else { continue };
        if let Some(elsewhere) = zone.some_host(None) {
            begin(&zone, start(Rc::clone(&zone), ended.network, elsewhere, Cause::Failure));
        }
        zone.leave(ended.network, host, Cause::Failure);
    }
    sleep(REPAIR - DETECT).await;
    zone.hosts[host].power_on();
    back(&zone, host).await;
}

/// A daemon is killed, and started again; the switch and the VMs go on.
async fn kill(zone: Rc<Zone>, host: usize) {
    zone.up.borrow_mut()[host] = false;
    zone.hosts[host].kill();
    sleep(RESTART).await;
    zone.hosts[host].start();
    back(&zone, host).await;
}

async fn back(zone: &Rc<Zone>, host: usize) {
    if let Err(error) = zone.welcome(host).await {
        let detail = format!("host {host}: {error:#}");
        zone.blame(vec![check::Fault {
            network: "any".into(),
            from: Some(host),
            to: None,
            kind: check::Kind::Server,
            detail,
        }]);
    }
}

/// Somebody deletes a tunnel in a switch whose daemon does not run; false where there is none.
pub fn break_a_tunnel(zone: &Zone) -> bool {
    let networks = zone.networks.borrow();
    let meshed = networks.iter().find_map(|network| {
        let mut up = network.members.keys().copied().filter(|host| zone.is_up(*host));
        Some((up.next()?, network.port(network.members.keys().copied().find(|h| zone.is_up(*h))?, up.next()?)))
    });
    meshed.is_some_and(|(host, port)| {
        zone.hosts[host].kill();
        zone.hosts[host].switch().run_vsctl(&format!("del-port {port}")).is_ok()
    })
}
