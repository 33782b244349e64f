//! The management server: knows which hosts have VMs of which network, and tells the hosts.
//!
//! What it does: keeps the requests for one thing in order, and sends those for different things side by side; to a host that
//! does not answer it sends nothing until the host is back, and then everything. What it must not do: look into a switch.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Result;
use ovstunnel_api::{BridgeList, PluginAnswer};
use tokio::sync::oneshot;

use crate::calls::{self, Call};
use crate::check::{self, Fault};
use crate::costs::milliseconds;
use crate::host::Answer;
use crate::network::{Cause, Network};
use crate::zone::{Broken, Style, Zone};

/// How often a request that was answered with an error is sent.
const ATTEMPTS: usize = 5;

/// Between two of these.
const PAUSE: Duration = Duration::from_secs(1);

/// One thing to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Whatever this host is to have of the network, when it is its turn.
    Sync(usize),
    /// One more tunnel of a host, to another.
    Post(usize, usize),
    /// One less.
    Remove(usize, usize),
    /// All calls for a host that joins, as CloudStack makes them.
    Link(usize),
    /// All calls for a host that leaves.
    Unlink(usize),
}

/// A network, and the host; none where all of a network's requests go one after another.
pub type LaneKey = (usize, Option<usize>);

/// Orders that are carried out one after another.
#[derive(Debug, Default)]
pub struct Lane {
    queue: VecDeque<Order>,
    waiters: Vec<oneshot::Sender<()>>,
}

/// The lanes in which something is under way.
pub type Lanes = HashMap<LaneKey, Lane>;

impl Zone {
    fn lane(&self, network: usize, host: usize) -> LaneKey {
        (network, (self.scenario.style != Style::Plugin).then_some(host))
    }

    /// A VM is to run on a host.
    pub fn join(self: &Rc<Self>, network: usize, host: usize, cause: Cause) {
        let others = {
            let mut networks = self.networks.borrow_mut();
            let there = &mut networks[network];
            let vms = there.members.entry(host).or_default();
            *vms += 1;
            if *vms > 1 {
                return;
            }
            there.touched.insert(host);
            there.others(host)
        };
        match self.scenario.style {
            Style::Plugin => return self.order(network, host, Order::Link(host), cause),
            Style::Put => others.iter().for_each(|other| self.order(network, *other, Order::Sync(*other), cause)),
            Style::Single => {
                others.iter().for_each(|other| self.order(network, *other, Order::Post(*other, host), cause));
            }
        }
        self.order(network, host, Order::Sync(host), cause);
    }

    /// A VM is on a host no more.
    pub fn leave(self: &Rc<Self>, network: usize, host: usize, cause: Cause) {
        let others = {
            let mut networks = self.networks.borrow_mut();
            let there = &mut networks[network];
            let Some(vms) = there.members.get_mut(&host) else { return };
            *vms -= 1;
            if *vms > 0 {
                return;
            }
            there.members.remove(&host);
            there.others(host)
        };
        match self.scenario.style {
            Style::Plugin => return self.order(network, host, Order::Unlink(host), cause),
            Style::Put => others.iter().for_each(|other| self.order(network, *other, Order::Sync(*other), cause)),
            Style::Single => {
                others.iter().for_each(|other| self.order(network, *other, Order::Remove(*other, host), cause));
            }
        }
        self.order(network, host, Order::Sync(host), cause);
    }

    /// Has one host told of one network, whatever it is to have.
    pub fn sync(self: &Rc<Self>, network: usize, host: usize, cause: Cause) {
        self.order(network, host, Order::Sync(host), cause);
    }

    fn order(self: &Rc<Self>, network: usize, host: usize, order: Order, cause: Cause) {
        let key = self.lane(network, host);
        let mut lanes = self.lanes.borrow_mut();
        let idle = !lanes.contains_key(&key);
        let lane = lanes.entry(key).or_default();
        // What a Sync says is decided when it is sent: one that waits says it all.
        if matches!(order, Order::Sync(_)) && lane.queue.contains(&order) {
            return;
        }
        lane.queue.push_back(order);
        self.networks.borrow_mut()[network].begin(cause);
        if idle {
            tokio::task::spawn_local(Rc::clone(self).drain(key));
        }
    }

    async fn drain(self: Rc<Self>, key: LaneKey) {
        let next = || self.lanes.borrow_mut().get_mut(&key).and_then(|lane| lane.queue.pop_front());
        while let Some(order) = next() {
            if let Err(error) = self.carry_out(key.0, order).await {
                self.blame(vec![Fault::of_server(key.0, format!("{error:#}"))]);
            }
            self.ended(key.0);
        }
        let lane = self.lanes.borrow_mut().remove(&key).unwrap_or_default();
        for waiter in lane.waiters {
            // Whoever waited may have gone with its host.
            let _ = waiter.send(());
        }
    }

    fn ended(&self, network: usize) {
        let episode = self.networks.borrow_mut()[network].end();
        if let Some((cause, time)) = episode {
            self.episodes.borrow_mut().push((cause, time, network));
            self.blame(check::network(self, network));
        }
    }

    /// Waits until a host has been told all that it is to know of a network.
    pub async fn until_told(&self, network: usize, host: usize) {
        let key = self.lane(network, host);
        let told = self.lanes.borrow_mut().get_mut(&key).map(|lane| {
            let (sender, receiver) = oneshot::channel();
            lane.waiters.push(sender);
            receiver
        });
        if let Some(told) = told {
            let _ = told.await;
        }
    }

    async fn carry_out(&self, network: usize, order: Order) -> Result<()> {
        // Not held over a request: others change it meanwhile.
        let snapshot = || self.networks.borrow()[network].clone();
        let now = snapshot();
        match order {
            Order::Sync(host) => {
                let call = match self.wanted(&now, host) {
                    Some(others) => calls::put_bridge(&now, host, &others)?,
                    None => calls::delete_bridge(&now.bridge),
                };
                self.send(host, call).await?;
            }
            Order::Post(host, to) if now.members.contains_key(&host) => {
                self.send(host, calls::post_tunnel(&now, host, to)?).await?;
            }
            Order::Remove(host, to) if now.members.contains_key(&host) => {
                self.send(host, calls::delete_tunnel(&now, host, to)).await?;
            }
            // A host without VMs of it has no bridge any more.
            Order::Post(..) | Order::Remove(..) => {}
            Order::Link(host) => {
                self.send(host, calls::plugin_setup(&now, host)).await?;
                for other in now.linked.iter().copied().filter(|other| *other != host) {
                    self.send(host, calls::plugin_create(&now, host, other)).await?;
                    self.send(other, calls::plugin_create(&now, other, host)).await?;
                }
                self.networks.borrow_mut()[network].linked.insert(host);
            }
            Order::Unlink(host) => {
                self.networks.borrow_mut()[network].linked.remove(&host);
                self.send(host, calls::plugin_destroy_bridge(&now, host)).await?;
                for other in now.linked.iter().copied().filter(|other| *other != host) {
                    self.send(other, calls::plugin_destroy(&now, other, host)).await?;
                }
            }
        }
        Ok(())
    }

    /// The other ends of the tunnels that a host is to have; nothing where it is to have no bridge.
    fn wanted(&self, network: &Network, host: usize) -> Option<Vec<usize>> {
        let others = match self.scenario.style {
            Style::Plugin => network.linked.iter().copied().filter(|other| *other != host).collect(),
            Style::Put | Style::Single => network.others(host),
        };
        let member = match self.scenario.style {
            Style::Plugin => network.linked.contains(&host),
            Style::Put | Style::Single => network.members.contains_key(&host),
        };
        member.then_some(others)
    }

    /// Sends a request; nothing where nobody answers.
    async fn send(&self, host: usize, call: Call) -> Result<Option<Answer>> {
        let _permit = self.permits.acquire().await?;
        let mut told = String::new();
        for attempt in 0..ATTEMPTS {
            if !self.is_up(host) || self.is_lost(&call) {
                return Ok(None);
            }
            if attempt > 0 {
                tokio::time::sleep(PAUSE).await;
            }
            let costs = &self.scenario.costs;
            let way = if call.plugin { costs.plugin_call } else { costs.request };
            tokio::time::sleep(milliseconds(way)).await;
            let answer = self.hosts[host].ask(call.method, &call.path, &call.body).await?;
            self.note(&call, answer.as_ref());
            match answer {
                Some(answer) if !is_success(&call, &answer) => {
                    told = String::from_utf8_lossy(&answer.body).into_owned();
                }
                answer => return Ok(answer),
            }
        }
        Err(anyhow::anyhow!("host {host} does not {} {}: {told}", call.method, call.path))
    }

    fn note(&self, call: &Call, answer: Option<&Answer>) {
        let mut tally = self.tally.borrow_mut();
        let messages = tally.entry(call.kind).or_default();
        messages.sent += 1;
        messages.unanswered += u64::from(answer.is_none());
        messages.errors += u64::from(answer.is_some_and(|answer| !is_success(call, answer)));
        messages.bytes_sent += call.body.len() as u64;
        messages.bytes_received += answer.map_or(0, |answer| answer.body.len() as u64);
    }

    /// Whether this message is the one that gets lost on purpose.
    fn is_lost(&self, call: &Call) -> bool {
        let lost = match self.to_break.get() {
            Some(Broken::LostSetup) => !call.removes && call.body.contains("remote_ip"),
            Some(Broken::LostRemoval) => call.removes,
            Some(Broken::LostTunnel) | None => false,
        };
        if lost {
            self.to_break.set(None);
        }
        lost
    }

    /// A host, or its daemon, answers again: asks what it has, and tells it what it is to have.
    ///
    /// # Errors
    /// When its answer is none of the API's.
    pub async fn welcome(self: &Rc<Self>, host: usize) -> Result<()> {
        let life = self.hosts[host].life();
        let there = loop {
            let call = calls::get_bridges();
            let _permit = self.permits.acquire().await?;
            tokio::time::sleep(milliseconds(self.scenario.costs.request)).await;
            let answer = self.hosts[host].ask(call.method, &call.path, &call.body).await?;
            self.note(&call, answer.as_ref());
            if life != self.hosts[host].life() {
                return Ok(());
            }
            match answer {
                Some(answer) if answer.status == 200 => break answer.read::<BridgeList>()?,
                _ => tokio::time::sleep(PAUSE).await,
            }
        };
        let mut concerned: std::collections::BTreeSet<usize> =
            there.bridges.iter().filter_map(|bridge| bridge.name.strip_prefix("xapi")?.parse().ok()).collect();
        let networks = self.networks.borrow();
        concerned.extend((0..networks.len()).filter(|n| self.wanted(&networks[*n], host).is_some()));
        drop(networks);
        self.up.borrow_mut()[host] = true;
        concerned.into_iter().for_each(|network| self.sync(network, host, Cause::Return));
        Ok(())
    }
}

/// Whether an answer is what was asked for. The plugin's functions answer in words.
fn is_success(call: &Call, answer: &Answer) -> bool {
    let words = || answer.read::<PluginAnswer>().is_ok_and(|answer| answer.value.starts_with("SUCCESS"));
    answer.status < 300 && (!call.plugin || words())
}
