//! What the manager keeps: which hosts there are, at which address the tunnels of each end, and what has happened.
//!
//! What it does: has the database do it, in terms of the zone. What it must not do: keep what can be seen on the hosts.

use std::sync::Arc;
use std::time::Duration;

use ovstunnel_api::{Changed, Interface, Outcome};
use ovstunnel_manager_api::{Event, Mode, ProofSummary};
use ovstunnel_store::{EventFilter, HostMode, HostRow, Inspection, NewEvent, NewHost, NewInterface, Store, StoreError};
use ovstunnel_types::HostNumber;
use time::OffsetDateTime;
use tokio::sync::{Mutex, MutexGuard, mpsc};

use crate::zone::{Fact, Happened, Row, format_time};

/// Events that are written together at most.
const TOGETHER: usize = 500;

/// How long to wait before a database is tried again that did not take events.
const AGAIN: Duration = Duration::from_secs(2);

/// How often events are removed that are too old.
const PURGE: Duration = Duration::from_secs(3600);

/// Names of the settings that say until when a host's faults are not told, before its number.
const MAINTENANCE: &str = "maintenance.";

/// The manager's records. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Records {
    store: Store,
    turn: Arc<Mutex<()>>,
}

/// Which events are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Only older ones than this.
    pub before: Option<u64>,
    /// Only those from this time on.
    pub since: Option<OffsetDateTime>,
    /// Only those that concern this host.
    pub host: Option<String>,
    /// Only those that concern this network.
    pub network: Option<String>,
    /// Only those of this kind.
    pub kind: Option<String>,
    /// So many at most.
    pub limit: usize,
}

impl Records {
    /// Records in this database.
    pub fn new(store: Store) -> Records {
        Records { store, turn: Arc::default() }
    }

    /// Waits until nobody else changes what is registered.
    pub async fn wait_turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// That the database answers.
    ///
    /// # Errors
    /// It does not; this holds for each function below.
    pub async fn check_database(&self) -> Result<(), StoreError> {
        // Whatever is asked of the tables: what it is for is known without them.
        self.store.lease().await.map(drop)
    }

    /// What the database says of itself.
    pub async fn inspect_database(&self) -> Result<Inspection, StoreError> {
        self.store.inspect().await
    }

    /// How many rows each of its tables has.
    pub async fn count_rows(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.store.count_rows().await
    }

    /// The registered hosts.
    pub async fn hosts(&self) -> Result<Vec<Row>, StoreError> {
        Ok(self.store.hosts().await?.into_iter().map(from_row).collect())
    }

    /// Registers a host or changes what is registered of it, and notes who did so.
    pub async fn put_host(
        &self,
        row: &Row,
        actor: &str,
        outcome: Outcome,
        changes: &[Changed],
    ) -> Result<(), StoreError> {
        let now = OffsetDateTime::now_utc();
        self.store.put_host(&to_row(row, now)).await?;
        let changes: Vec<String> = changes.iter().map(ToString::to_string).collect();
        let (kind, verb) = match outcome {
            Outcome::Created => ("host_added", "registered"),
            _ => ("host_changed", "changed"),
        };
        let text = format!("host {} {verb}: {}", row.name, changes.join("; "));
        self.record_change(now, kind, &row.name, actor, text).await
    }

    /// Gives a host another name, and notes who did so.
    pub async fn rename_host(&self, name: &str, to: &str, actor: &str) -> Result<(), StoreError> {
        self.store.rename_host(name, to).await?;
        let text = format!("host {name} is called {to} from now on");
        self.record_change(OffsetDateTime::now_utc(), "host_changed", to, actor, text).await
    }

    /// Forgets a host, and notes who had it forgotten.
    pub async fn delete_host(&self, name: &str, number: HostNumber, actor: &str) -> Result<(), StoreError> {
        self.store.delete_host(name).await?;
        self.store.set_setting(&format!("{MAINTENANCE}{number}"), None).await?;
        let text = format!("host {name} is no longer registered; nothing on it was changed");
        self.record_change(OffsetDateTime::now_utc(), "host_removed", name, actor, text).await
    }

    /// Keeps until when a host's faults are not told, and notes who said so.
    pub async fn set_maintenance(
        &self,
        name: &str,
        number: HostNumber,
        until: Option<OffsetDateTime>,
        actor: &str,
    ) -> Result<(), StoreError> {
        let value = until.map(|until| until.unix_timestamp().to_string());
        self.store.set_setting(&format!("{MAINTENANCE}{number}"), value.as_deref()).await?;
        let text = match until {
            Some(until) => format!("faults of host {name} are not told until {}", format_time(until)),
            None => format!("faults of host {name} are told again"),
        };
        self.record_change(OffsetDateTime::now_utc(), "host_maintenance", name, actor, text).await
    }

    /// The hosts whose faults are not told, and until when.
    pub async fn hosts_in_maintenance(&self) -> Result<Vec<(HostNumber, OffsetDateTime)>, StoreError> {
        let read = |(name, value): (String, String)| {
            let number = name.strip_prefix(MAINTENANCE)?.parse().ok()?;
            Some((number, OffsetDateTime::from_unix_timestamp(value.parse().ok()?).ok()?))
        };
        Ok(self.store.settings().await?.into_iter().filter_map(read).collect())
    }

    /// The id of the newest event: where it has not changed, nobody has told of a change.
    pub async fn newest_event(&self) -> Result<Option<u64>, StoreError> {
        let page = self.store.events(&EventFilter::default(), None, 1).await?;
        Ok(page.events.first().map(|row| row.id))
    }

    /// What is kept by name.
    pub(crate) async fn settings(&self) -> Result<Vec<(String, String)>, StoreError> {
        self.store.settings().await
    }

    /// Keeps a text by name, or forgets it.
    pub(crate) async fn set_setting(&self, name: &str, value: Option<&str>) -> Result<(), StoreError> {
        self.store.set_setting(name, value).await
    }

    /// Writes an event down now.
    pub(crate) async fn append_event(&self, happened: Happened) -> Result<(), StoreError> {
        self.store.append_event(new_event(happened)).await.map(drop)
    }

    async fn record_change(
        &self,
        at: OffsetDateTime,
        kind: &'static str,
        host: &str,
        actor: &str,
        text: String,
    ) -> Result<(), StoreError> {
        let (host, actor) = (Some(host.to_owned()), Some(actor.to_owned()));
        let event = new_event(Happened { host, actor, ..Happened::new(at, kind, text) });
        self.store.append_event(event).await.map(drop)
    }

    /// The events that are wanted, the newest first.
    pub async fn events(&self, wanted: Wanted) -> Result<Vec<Event>, StoreError> {
        let Wanted { before, since, host, network, kind, limit } = wanted;
        // The database has milliseconds: one that has begun is over.
        let since = since.map(|since| i64::try_from((since.unix_timestamp_nanos() + 999_999).div_euclid(1_000_000)));
        let since = since.map(|since| since.unwrap_or(i64::MAX));
        let filter = EventFilter { kind, host, network, since, ..EventFilter::default() };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        let page = self.store.events(&filter, before, limit).await?;
        let event = |row: ovstunnel_store::EventRow| Event {
            id: row.id,
            at: time_of_milliseconds(row.event.at),
            kind: row.event.kind,
            host: row.event.host,
            network: row.event.network,
            actor: row.event.actor,
            text: row.event.text,
            before: row.event.before.as_deref().and_then(parse_summary),
            after: row.event.after.as_deref().and_then(parse_summary),
        };
        Ok(page.events.into_iter().map(event).collect())
    }

    /// Writes down what is to be kept, for as long as anybody can tell. Where the database takes nothing, it is tried again.
    pub async fn write_facts(self, mut facts: mpsc::Receiver<Fact>) {
        let mut waiting = Vec::new();
        while facts.recv_many(&mut waiting, TOGETHER).await > 0 {
            if !self.store.may_change() {
                // Who leads sees it as well, and writes it down.
                waiting.clear();
                continue;
            }
            let (mut events, mut endpoints) = (Vec::new(), Vec::new());
            for fact in waiting.drain(..) {
                match fact {
                    Fact::Happened(happened) => events.push(new_event(happened)),
                    Fact::Endpoint { host, interface } => endpoints.extend(new_interface(host, &interface)),
                }
            }
            while let Err(error) = self.store.append_events(&events).await {
                if matches!(error, StoreError::NotLeading { .. }) {
                    break;
                }
                tracing::error!(%error, events = events.len(), "events cannot be written; trying again");
                tokio::time::sleep(AGAIN).await;
            }
            for endpoint in endpoints {
                // It is asked for again and again: the next time it may be kept.
                if let Err(error) = self.store.put_interface(&endpoint).await {
                    tracing::warn!(%error, host = %endpoint.host, "the address of a host's tunnels cannot be written");
                }
            }
        }
    }

    /// Removes events that are older than this, and the oldest of more than so many, again and again.
    pub async fn forget_events(self, keep: Duration, most: u64) {
        let mut tick = tokio::time::interval(PURGE);
        loop {
            tick.tick().await;
            if !self.store.may_change() {
                continue;
            }
            let oldest = OffsetDateTime::now_utc() - keep;
            match self.store.purge_events(unix_milliseconds(oldest)).await {
                Ok(0) => {}
                Ok(gone) => tracing::info!(gone, "events that were too old are removed"),
                Err(error) => tracing::warn!(%error, "events that are too old cannot be removed"),
            }
            match self.store.cut_events(most).await {
                Ok(0) => {}
                Ok(gone) => tracing::warn!(gone, most, "there were too many events; the oldest are removed"),
                Err(error) => tracing::warn!(%error, "the oldest of too many events cannot be removed"),
            }
        }
    }
}

fn unix_milliseconds(at: OffsetDateTime) -> i64 {
    i64::try_from(at.unix_timestamp_nanos() / 1_000_000).unwrap_or_default()
}

fn time_of_milliseconds(milliseconds: i64) -> String {
    let nanos = i128::from(milliseconds) * 1_000_000;
    OffsetDateTime::from_unix_timestamp_nanos(nanos).map(format_time).unwrap_or_default()
}

/// Longest text of an event that the database takes.
const TEXT_MAX: usize = 4096;

fn new_event(happened: Happened) -> NewEvent {
    let Happened { at, kind, host, network, actor, text, before, after } = happened;
    // A host's daemon may say anything.
    let text = text.chars().filter(|c| !c.is_control()).take(TEXT_MAX).collect();
    // A struct of texts and numbers: serde_json cannot fail on it.
    let json = |summary: Option<ProofSummary>| summary.and_then(|summary| serde_json::to_string(&summary).ok());
    let (before, after) = (json(before), json(after));
    NewEvent {
        at: unix_milliseconds(at),
        kind: kind.to_owned(),
        host,
        network,
        actor,
        text,
        before,
        after,
        ..NewEvent::default()
    }
}

/// What a proof said, as it was kept; nothing where an event has something else.
fn parse_summary(json: &str) -> Option<ProofSummary> {
    serde_json::from_str(json).ok()
}

/// The row of `ovs_tunnel_interface`; none where there is no IPv4 address, which the table must have.
fn new_interface(host: HostNumber, interface: &Interface) -> Option<NewInterface> {
    Some(NewInterface {
        host,
        label: interface.label.clone(),
        ip: interface.ip.as_ref()?.parse().ok()?,
        netmask: interface.netmask.as_ref()?.parse().ok()?,
        mac: interface.mac.as_ref().and_then(|mac| mac.parse().ok()),
    })
}

fn from_row(row: HostRow) -> Row {
    let HostRow { number, name, api, rack, label, mode, registered: _ } = row;
    let mode = match mode {
        HostMode::Manage => Mode::Manage,
        HostMode::Observe => Mode::Observe,
        HostMode::Drain => Mode::Drain,
    };
    Row { number, name, api, rack, label, mode }
}

fn to_row(row: &Row, now: OffsetDateTime) -> NewHost {
    let Row { number, name, api, rack, label, mode } = row.clone();
    let mode = match mode {
        Mode::Manage => HostMode::Manage,
        Mode::Observe => HostMode::Observe,
        Mode::Drain => HostMode::Drain,
    };
    NewHost { number: Some(number), name, api, rack, label, mode, registered: now.unix_timestamp() }
}
