//! What listens to one host: connects, takes its snapshot and each change, asks for the address of its tunnels, and begins again when
//! the connection ends.
//!
//! What it must not do: write anything to the host but the epoch of a manager that may change it, or give up.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use ovstunnel_api::{Position, WatchEvent, WatchSnapshot};
use ovstunnel_client::{Client, ClientError, Watch};
use ovstunnel_types::HostNumber;
use ovstunnel_types::text::error_chain;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, MissedTickBehavior};

use super::ends::choose_address;
use super::{Counting, Picture, Writers, certificate, lead};
use crate::config::Family;
use crate::leader::Leader;
use crate::zone::{EndpointFault, Silence, Told, Zone};

/// A daemon gives a sign of life every 2 s. One that gives none for so long is taken for silent.
const SILENT_AFTER: Duration = Duration::from_millis(3500);

/// How long connecting may take, the first snapshot included.
const CONNECTING: Duration = Duration::from_secs(10);

/// How often a daemon is asked that cannot tell of changes by itself.
const POLL: Duration = Duration::from_secs(2);

/// How often a host is asked for the address of its tunnels whose daemon does not tell when to.
const ADDRESS: Duration = Duration::from_secs(5);

/// The same of one that tells when its devices or addresses have changed: what a label names may change without that.
const ADDRESS_TOLD: Duration = Duration::from_secs(30);

/// The word of daemons that do.
const ADDRESSES: &str = "addresses";

/// The same while there is none: a switch that starts again has taken it away for a moment.
const ADDRESS_UNKNOWN: Duration = Duration::from_secs(1);

/// The pauses between tries to connect: longer each time, and of a random length.
fn reconnect_backoff() -> ExponentialBuilder {
    let (least, most) = (Duration::from_millis(200), Duration::from_secs(4));
    ExponentialBuilder::default().with_min_delay(least).with_max_delay(most).with_jitter().without_max_times()
}

/// Why listening has ended.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("{}", error_chain(.0))]
    Client(#[from] ClientError),
    #[error("no sign of life for {} ms", SILENT_AFTER.as_millis())]
    Silent,
    #[error("it did not say what it has within {} s", CONNECTING.as_secs())]
    Slow,
    #[error("its daemon has ended the connection")]
    Closed,
    #[error("what it says cannot be read: {0}")]
    Unreadable(#[from] super::Unreadable),
    #[error("its daemon told a change before it said what it has")]
    NoSnapshot,
    #[error("the manager leads under another epoch now, and connects anew to say so")]
    Epoch,
    #[error("its daemon is of another version now, and is asked anew what it can do")]
    Replaced,
}

/// How often a certificate is looked at anew that will end soon: it may have been renewed.
const CERTIFICATE: Duration = Duration::from_secs(30);

pub(super) struct Watcher<F> {
    pub zone: Zone,
    pub number: HostNumber,
    pub client: Client,
    /// Another client for the same daemon, with a connection of its own; none where it cannot be made.
    pub fresh: F,
    pub label: String,
    /// Of which family their addresses are.
    pub family: Family,
    pub turns: Arc<Semaphore>,
    /// What the host has to accept before it is written to; none where it is not.
    pub leader: Option<Leader>,
    pub writers: Writers,
    /// In whose rounds the host is asked what its tunnels have counted.
    pub counting: Counting,
}

/// What an old daemon has said so far.
#[derive(Default)]
struct Polled {
    /// Its version.
    daemon: Option<String>,
    bridges: Option<Vec<ovstunnel_api::Bridge>>,
    health: Option<ovstunnel_api::Health>,
    /// How often its bridges have changed.
    changes: u64,
}

/// What who listens tells who asks for the address.
#[derive(Default)]
struct Signals {
    /// The host has said everything.
    connected: Notify,
    /// Its devices or addresses have changed.
    moved: Notify,
}

impl<F: Fn() -> Option<Client>> Watcher<F> {
    /// Listens for ever.
    pub async fn run(mut self) {
        let mut pause = reconnect_backoff().build();
        loop {
            let started = Instant::now();
            let ended = self.watch_once().await;
            self.writers.close_writer(self.number);
            self.zone.host_silent(self.number, silence_reason(&ended));
            // Its certificate and ours may be others by now.
            if let Some(client) = (self.fresh)() {
                self.client = client;
            }
            if started.elapsed() > CONNECTING {
                pause = reconnect_backoff().build();
            }
            tokio::time::sleep(pause.next().unwrap_or(Duration::from_secs(4))).await;
        }
    }

    async fn watch_once(&self) -> Ended {
        // The turn lasts until the host has said everything: that is what costs.
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else { return Ended::Closed };
        let deadline = Instant::now() + CONNECTING;
        let mut epoch = self.leader.as_ref().map(Leader::watch_epoch);
        let connecting = async { self.assert_epoch().await?.watch(None).await };
        let watch = match tokio::time::timeout_at(deadline, connecting).await {
            Err(_) => return Ended::Slow,
            Ok(Ok(watch)) => watch,
            Ok(Err(error)) if is_old(&error) => {
                drop(turn);
                return self.poll_daemon().await;
            }
            Ok(Err(error)) => return error.into(),
        };
        let told = Signals::default();
        // Side by side: a daemon that is slow to tell its address does not hold up what it says of its bridges.
        tokio::select! {
            ended = self.follow_watch(watch, turn, deadline, &told) => match ended {
                Ok(never) => match never {},
                Err(ended) => ended,
            },
            ended = self.keep_address(&told) => match ended {
                Ok(never) => match never {},
                Err(ended) => ended,
            },
            never = self.counting.keep_asking(&self.zone, self.number, &self.client) => match never {},
            () = epoch_change(&mut epoch) => Ended::Epoch,
        }
    }

    /// Has the host take the manager's epoch. Gives by whom it is watched: one that says so, where it has.
    async fn assert_epoch(&self) -> Result<Client, ClientError> {
        // Who follows only watches, until there is an epoch.
        let Some(leader) = self.leader.as_ref().filter(|leader| !leader.is_following()) else {
            return Ok(self.client.clone());
        };
        match lead::assert_epoch(&self.client, leader).await? {
            Ok(client) => {
                self.writers.open_writer(self.number, Arc::new(self.client.clone()));
                self.zone.record_lead(self.number, None);
                Ok(client)
            }
            Err(trouble) => {
                self.zone.record_lead(self.number, Some(trouble));
                Ok(self.client.clone())
            }
        }
    }

    async fn keep_address(&self, told: &Signals) -> Result<Infallible, Ended> {
        told.connected.notified().await;
        let (mut looked, mut again) = (None::<Instant>, None::<Instant>);
        loop {
            let is_known = self.ask_for_the_address().await?;
            if looked.is_none_or(|at| at.elapsed() >= ADDRESS_TOLD) {
                looked = Some(Instant::now());
                self.look_at_the_certificate(&mut again).await;
            }
            let pause = match (is_known, self.zone.daemon_knows(self.number, ADDRESSES)) {
                (false, _) => ADDRESS_UNKNOWN,
                (true, false) => ADDRESS,
                (true, true) => ADDRESS_TOLD,
            };
            let _ = tokio::time::timeout(pause, told.moved.notified()).await;
        }
    }

    /// Looks at the certificate of the connection; at that of another one, where it ends soon and may have been renewed.
    async fn look_at_the_certificate(&self, again: &mut Option<Instant>) {
        let now = time::OffsetDateTime::now_utc;
        let mut shown = certificate::of_daemon(&self.client, now());
        if shown.trouble.is_some() && again.is_some_and(|at| at > Instant::now()) {
            return;
        }
        if let (Some(_), Some(fresh)) = (&shown.trouble, (self.fresh)()) {
            *again = Some(Instant::now() + CERTIFICATE);
            if fresh.healthz().await.is_ok() {
                shown = certificate::of_daemon(&fresh, now());
            }
        }
        self.zone.host_certificate(self.number, shown);
    }

    async fn follow_watch(
        &self,
        mut watch: Watch,
        turn: OwnedSemaphorePermit,
        deadline: Instant,
        told: &Signals,
    ) -> Result<Infallible, Ended> {
        let (mut turn, mut picture) = (Some(turn), None::<(Picture, Position)>);
        let mut silent_at = deadline;
        loop {
            let late = || if picture.is_some() { Ended::Silent } else { Ended::Slow };
            let event = tokio::time::timeout_at(silent_at, watch.next()).await.map_err(|_| late())??;
            let (position, event) = event.ok_or(Ended::Closed)?;
            silent_at = Instant::now() + SILENT_AFTER;
            if event == WatchEvent::Addresses {
                told.moved.notify_one();
            }
            let at = position.or_else(|| picture.as_ref().map(|(_, at)| at.clone())).ok_or(Ended::NoSnapshot)?;
            picture = Some(self.apply_event(picture, at, event)?);
            if turn.take().is_some() {
                told.connected.notify_one();
            }
        }
    }

    /// Takes in an event.
    fn apply_event(
        &self,
        picture: Option<(Picture, Position)>,
        at: Position,
        event: WatchEvent,
    ) -> Result<(Picture, Position), Ended> {
        if let WatchEvent::Snapshot(snapshot) = event {
            let picture = Picture::new(&snapshot.bridges, self.zone.origin())?;
            self.zone.host_connected(
                self.number,
                daemon_facts(*snapshot),
                picture.snapshot_at(&at.instance, at.version),
            );
            return Ok((picture, at));
        }
        let (mut picture, _) = picture.ok_or(Ended::NoSnapshot)?;
        match event {
            WatchEvent::Bridge(bridge) => picture.put_bridge(&bridge, self.zone.origin())?,
            WatchEvent::BridgeGone(gone) => {
                let was = picture.remove_bridge(&gone.name);
                if let Some(was) = was.filter(|_| gone.by_plugin) {
                    self.zone.destroyed_by_plugin(self.number, was.keys().iter().copied());
                }
            }
            WatchEvent::Health(health) => {
                self.zone.host_health(self.number, *health);
                self.zone.host_alive(self.number);
                return Ok((picture, at));
            }
            WatchEvent::Addresses | WatchEvent::Ping | WatchEvent::Snapshot(_) => {
                self.zone.host_alive(self.number);
                return Ok((picture, at));
            }
        }
        self.zone.bridges_changed(self.number, picture.snapshot_at(&at.instance, at.version));
        Ok((picture, at))
    }

    /// Asks an old daemon again and again, until another takes its place: between two questions no connection ends by that.
    async fn poll_daemon(&self) -> Ended {
        let (mut polled, mut again) = (Polled::default(), None);
        let mut tick = tokio::time::interval(POLL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            match self.poll_once(&mut polled).await {
                Ok(()) => {
                    if let Err(ended) = self.ask_for_the_address().await {
                        return ended;
                    }
                }
                Err(ended) => return ended,
            }
            self.look_at_the_certificate(&mut again).await;
        }
    }

    async fn poll_once(&self, polled: &mut Polled) -> Result<(), Ended> {
        let ready = self.client.readyz().await?;
        if polled.daemon.get_or_insert_with(|| ready.version.clone()) != &ready.version {
            return Err(Ended::Replaced);
        }
        let (bridges, health) = (self.client.bridges().await?.bridges, ready.health.unwrap_or_else(unknown_health));
        if polled.bridges.as_ref() != Some(&bridges) {
            polled.changes += 1;
            let (capabilities, daemon) = (Vec::new(), Some(ready.version));
            self.zone.host_connected(
                self.number,
                Told { daemon, capabilities, health: health.clone(), watched: false },
                Picture::new(&bridges, self.zone.origin())?.snapshot_at("polled", polled.changes),
            );
            polled.bridges = Some(bridges);
        } else if polled.health.as_ref() != Some(&health) {
            self.zone.host_health(self.number, health.clone());
        }
        polled.health = Some(health);
        self.zone.host_alive(self.number);
        Ok(())
    }

    /// Whether there is one. A daemon that does not let the manager in any more, as once the certificate of this connection has expired, tells no
    /// more by it what can be relied on: it is connected to anew, by the certificate that is in the files then.
    async fn ask_for_the_address(&self) -> Result<bool, Ended> {
        let answer = self.client.interface(&self.label).await;
        if let Some(clock) = self.client.clock() {
            self.zone.record_clock(self.number, clock.least, clock.most);
        }
        let found = match answer {
            Ok(interface) => choose_address(interface, self.family),
            Err(ClientError::Problem(problem)) if problem.status == 404 => {
                let what = format!("the label {} names no device, bridge or network of this host", self.label);
                Err(EndpointFault::LabelUnknown(what))
            }
            Err(ClientError::Problem(problem)) if problem.status == 403 => {
                return Err(ClientError::Problem(problem).into());
            }
            Err(error) => Err(EndpointFault::NotAsked(error_chain(&error))),
        };
        let is_known = found.is_ok();
        self.zone.host_endpoint(self.number, found);
        Ok(is_known)
    }
}

/// Waits until the manager leads under another epoch; for ever where it leads under none.
async fn epoch_change(epoch: &mut Option<tokio::sync::watch::Receiver<u64>>) {
    if let Some(epoch) = epoch
        && epoch.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

fn silence_reason(ended: &Ended) -> Silence {
    match ended {
        Ended::Client(error) => Silence::from(error),
        other => Silence::from(other.to_string()),
    }
}

/// Whether a daemon has no watch: one of before there was any.
fn is_old(error: &ClientError) -> bool {
    matches!(error, ClientError::Problem(problem) if problem.status == 404)
}

fn unknown_health() -> ovstunnel_api::Health {
    ovstunnel_api::Health { state: ovstunnel_types::HealthState::Ok, as_of: None, reasons: Vec::new() }
}

fn daemon_facts(snapshot: WatchSnapshot) -> Told {
    let WatchSnapshot { daemon, capabilities, health, .. } = snapshot;
    Told { daemon: Some(daemon), capabilities, health, watched: true }
}
