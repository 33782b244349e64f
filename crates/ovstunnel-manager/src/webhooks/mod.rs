//! Webhooks: events told to others, each until it is taken.
//!
//! What it does: sends what has happened, in order, at least once; keeps in the database where each receiver has got to, and what a
//! receiver would not take. What it must not do: keep anything else waiting; lose an event without a word.

mod send;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use ovstunnel_manager_api::{DeadLetter, Event, WebhookState};
use ovstunnel_store::{Store, StoreError};
use tokio::task::JoinSet;

use crate::config::Webhook;
use crate::records::{Records, Wanted};
pub use send::WebhookError;
use send::{Sender, Sent};

/// How often it is looked whether something has happened.
const LOOK: Duration = Duration::from_secs(1);

/// The first and the longest pause before an event is sent again.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));

/// How often an event is sent, about a day, before it is given up.
const ATTEMPTS: usize = 300;

/// Events that are read at once.
const TOGETHER: usize = 500;

/// Events that a receiver has not taken, of which the numbers are kept. Of more the oldest are dropped, and that is logged.
const DEAD: usize = 500;

/// All webhooks. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Webhooks(Arc<Vec<Hook>>);

#[derive(Debug)]
struct Hook {
    config: Webhook,
    sender: Sender,
    records: Records,
    store: Store,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The last event that is done with; none where another manager tells events, or before the first look.
    done: Option<u64>,
    /// The one that is being sent, since the receiver did not take it.
    waiting: Option<u64>,
    /// What the last attempt came to, where it was no good one.
    error: Option<String>,
    /// Events that were not taken, and why.
    dead: BTreeMap<u64, String>,
}

impl Webhooks {
    /// The webhooks of a configuration.
    ///
    /// # Errors
    /// A secret or a certificate cannot be read.
    pub fn from_config(
        all: &[Webhook],
        zone: &str,
        records: &Records,
        store: &Store,
    ) -> Result<Webhooks, WebhookError> {
        let mut hooks = Vec::new();
        for config in all {
            let sender = Sender::new(config, zone)?;
            let state = Mutex::default();
            hooks.push(Hook { config: config.clone(), sender, records: records.clone(), store: store.clone(), state });
        }
        Ok(Webhooks(Arc::new(hooks)))
    }

    /// Tells events for as long as the tasks run.
    pub fn spawn_hooks(&self, tasks: &mut JoinSet<()>) {
        for n in 0..self.0.len() {
            let all = self.clone();
            tasks.spawn(async move { all.0[n].run_hook().await });
        }
    }

    /// How far each one is.
    pub fn hook_states(&self) -> Vec<WebhookState> {
        self.0.iter().map(Hook::to_wire).collect()
    }

    /// Sends again what a receiver has not taken; gives how many events these are, or none where there is no such webhook.
    ///
    /// # Errors
    /// The database cannot be used; nothing is sent again.
    pub async fn redeliver(&self, name: &str) -> Result<Option<usize>, StoreError> {
        let Some(hook) = self.0.iter().find(|hook| hook.config.name == name) else { return Ok(None) };
        let dead = hook.lock_state().dead.clone();
        let mut delivered = 0;
        for id in dead.keys() {
            let Some(event) = hook.find_event(*id).await? else {
                hook.record_undelivered(*id, None).await?;
                continue;
            };
            match hook.sender.send_event(&event).await {
                Sent::Taken => {
                    hook.record_undelivered(*id, None).await?;
                    delivered += 1;
                }
                Sent::Refused(why) | Sent::Failed(why) => hook.record_undelivered(*id, Some(why)).await?,
            }
        }
        Ok(Some(delivered))
    }
}

fn setting_name(name: &str, what: &str) -> String {
    format!("webhook.{what}.{name}")
}

async fn stored_progress(store: &Store, name: &str) -> Result<Option<u64>, StoreError> {
    Ok(store.setting(&setting_name(name, "done")).await?.and_then(|text| text.parse().ok()))
}

async fn kept_dead(store: &Store, name: &str) -> Result<BTreeMap<u64, String>, StoreError> {
    let text = store.setting(&setting_name(name, "dead")).await?.unwrap_or_default();
    let before = || "it was not taken before the manager's last start".to_owned();
    Ok(text.split(',').filter_map(|id| id.parse().ok()).map(|id| (id, before())).collect())
}

impl Hook {
    fn lock_state(&self) -> MutexGuard<'_, State> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn to_wire(&self) -> WebhookState {
        let state = self.lock_state();
        WebhookState {
            name: self.config.name.clone(),
            receiver: self.sender.receiver().to_owned(),
            events: self.config.events.clone(),
            done: state.done,
            waiting: state.waiting,
            error: state.error.clone(),
            dead: state.dead.iter().map(|(id, why)| DeadLetter { event: *id, why: why.clone() }).collect(),
        }
    }

    async fn run_hook(&self) {
        loop {
            if let Err(error) = self.send_pending().await {
                tracing::warn!(webhook = self.config.name, %error, "events cannot be read; trying again");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Sends all that has happened since the last round.
    async fn send_pending(&self) -> Result<(), StoreError> {
        if !self.store.may_change() {
            // Another manager leads, and tells events.
            *self.lock_state() = State::default();
            return Ok(());
        }
        if self.lock_state().done.is_none() {
            let (done, dead) = (
                stored_progress(&self.store, &self.config.name).await?,
                kept_dead(&self.store, &self.config.name).await?,
            );
            *self.lock_state() = State { done, dead, ..State::default() };
        }
        let newest = self.read_events(None, 1).await?.first().map_or(0, |event| event.id);
        let Some(done) = self.lock_state().done else {
            // What was before there was a webhook is nobody's news.
            return self.done_with(newest).await;
        };
        if newest <= done {
            return Ok(());
        }
        for event in self.events_since(done).await? {
            if self.config.events.contains(&event.kind) {
                self.deliver_event(&event).await?;
            }
            self.done_with(event.id).await?;
        }
        Ok(())
    }

    async fn read_events(&self, before: Option<u64>, limit: usize) -> Result<Vec<Event>, StoreError> {
        self.records.events(Wanted { before, limit, ..Wanted::default() }).await
    }

    async fn find_event(&self, id: u64) -> Result<Option<Event>, StoreError> {
        Ok(self.read_events(id.checked_add(1), 1).await?.into_iter().find(|event| event.id == id))
    }

    /// The events after this one, the oldest first.
    async fn events_since(&self, done: u64) -> Result<Vec<Event>, StoreError> {
        let mut newest_first: Vec<Event> = Vec::new();
        loop {
            let page = self.read_events(newest_first.last().map(|event| event.id), TOGETHER).await?;
            let is_last = page.len() < TOGETHER || page.last().is_none_or(|event| event.id <= done);
            newest_first.extend(page.into_iter().filter(|event| event.id > done));
            if is_last {
                newest_first.reverse();
                return Ok(newest_first);
            }
        }
    }

    /// Sends an event until it is taken, refused or given up.
    async fn deliver_event(&self, event: &Event) -> Result<(), StoreError> {
        let (least, most) = PAUSES;
        let pauses = ExponentialBuilder::new().with_min_delay(least).with_max_delay(most).with_max_times(ATTEMPTS);
        let mut pauses = pauses.with_jitter().build();
        loop {
            let why = match self.sender.send_event(event).await {
                Sent::Taken => {
                    let mut state = self.lock_state();
                    (state.waiting, state.error) = (None, None);
                    return Ok(());
                }
                Sent::Refused(why) => return self.give_up(event, why).await,
                Sent::Failed(why) => why,
            };
            let Some(pause) = pauses.next() else { return self.give_up(event, why).await };
            let is_new = {
                let mut state = self.lock_state();
                let is_new = state.waiting != Some(event.id);
                (state.waiting, state.error) = (Some(event.id), Some(why.clone()));
                is_new
            };
            if is_new {
                tracing::warn!(
                    webhook = self.config.name,
                    event = event.id,
                    error = why,
                    "the receiver does not take events; trying again"
                );
            }
            tokio::time::sleep(pause).await;
        }
    }

    async fn give_up(&self, event: &Event, why: String) -> Result<(), StoreError> {
        tracing::error!(
            webhook = self.config.name,
            event = event.id,
            error = why,
            "an event was not taken, and is not sent again by itself"
        );
        {
            let mut state = self.lock_state();
            (state.waiting, state.error) = (None, Some(why.clone()));
        }
        self.record_undelivered(event.id, Some(why)).await
    }

    /// Keeps that an event was not taken for this reason, or that it is not among these any more.
    async fn record_undelivered(&self, id: u64, why: Option<String>) -> Result<(), StoreError> {
        let (text, dropped) = {
            let dead = &mut self.lock_state().dead;
            match why {
                Some(why) => dead.insert(id, why),
                None => dead.remove(&id),
            };
            let dropped = if dead.len() > DEAD { dead.pop_first() } else { None };
            (dead.keys().map(u64::to_string).collect::<Vec<_>>().join(","), dropped)
        };
        if let Some((event, _)) = dropped {
            tracing::error!(
                webhook = self.config.name,
                event,
                "too many events were not taken; this one cannot be sent again"
            );
        }
        let value = Some(text).filter(|text| !text.is_empty());
        self.store.set_setting(&setting_name(&self.config.name, "dead"), value.as_deref()).await
    }

    async fn done_with(&self, id: u64) -> Result<(), StoreError> {
        self.store.set_setting(&setting_name(&self.config.name, "done"), Some(&id.to_string())).await?;
        self.lock_state().done = Some(id);
        Ok(())
    }
}
