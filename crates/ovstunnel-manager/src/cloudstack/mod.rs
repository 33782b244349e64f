//! CloudStack's API, read again and again beside the zone: names, accounts, pods, and where VMs are.
//!
//! What it does: reads it, at once when a signed webhook says that something has happened, and hands the zone what it says. What it must not do:
//! change anything there; believe a webhook's text; keep anything waiting.

mod api;
mod picture;
mod signature;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ovstunnel_manager_api::CloudStackState;
use ovstunnel_mesh::Moment;
use ring::hmac;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::CloudStack as Config;
use crate::zone::Zone;
use api::{Api, ReadError};

/// The time between two readings at least, however many webhooks come.
const REST: Duration = Duration::from_secs(2);

/// How often a reading is begun anew where a list changed meanwhile.
const AGAIN: usize = 3;

/// Why CloudStack cannot be asked.
#[derive(Debug, thiserror::Error)]
#[error("[cloudstack] {field}: {reason}")]
pub struct CloudStackError {
    field: &'static str,
    reason: String,
}

/// CloudStack as it is read. Cheap to clone.
#[derive(Clone, Debug)]
pub struct CloudStack(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    zone: Zone,
    api: Option<Api>,
    interval: Duration,
    webhook: Option<hmac::Key>,
    hint: Notify,
    hints: AtomicU64,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    read_at: Option<Moment>,
    /// How far it is, but for what follows from the time.
    state: CloudStackState,
}

impl CloudStack {
    /// By a configuration; nothing is read where it names no address.
    ///
    /// # Errors
    /// A file cannot be read or used.
    pub fn from_config(config: &Config, zone: &Zone) -> Result<CloudStack, CloudStackError> {
        let api = match (&config.url, &config.keys) {
            (Some(url), Some(keys)) => Some(Api::new(config, url, keys)?),
            _ => None,
        };
        let webhook = config.webhook_secret.as_deref().map(api::read_secret).transpose()?;
        let known = Known {
            state: CloudStackState {
                enabled: api.is_some(),
                server: api.as_ref().map(Api::server),
                ..Default::default()
            },
            ..Known::default()
        };
        Ok(CloudStack(Arc::new(Shared {
            zone: zone.clone(),
            api,
            interval: config.interval,
            webhook,
            hint: Notify::new(),
            hints: AtomicU64::new(0),
            known: Mutex::new(known),
        })))
    }

    fn lock_known(&self) -> MutexGuard<'_, Known> {
        // Each change is complete in itself, so what a panic leaves is good.
        self.0.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether webhooks are taken at all.
    pub fn takes_webhooks(&self) -> bool {
        self.0.webhook.is_some()
    }

    /// Takes a webhook as a hint to read, where it is signed by the secret. Whether it was.
    pub fn take_webhook(&self, body: &[u8], tag: &str) -> bool {
        let is_good = self.0.webhook.as_ref().is_some_and(|key| signature::is_signed(key, body, tag));
        if is_good {
            self.0.hints.fetch_add(1, Ordering::Relaxed);
            self.0.hint.notify_one();
        }
        is_good
    }

    /// How far it is.
    pub fn to_wire(&self) -> CloudStackState {
        let (known, now) = (self.lock_known(), self.0.zone.now());
        CloudStackState {
            age: known.read_at.map(|at| now.since(at).as_secs()),
            hints: self.0.hints.load(Ordering::Relaxed),
            ..known.state.clone()
        }
    }

    /// Reads for as long as the task runs.
    pub async fn keep_reading(self) {
        let Some(api) = &self.0.api else { return };
        loop {
            let begun = Instant::now();
            self.read_once(api).await;
            let _ = tokio::time::timeout_at(begun + self.0.interval, self.0.hint.notified()).await;
            tokio::time::sleep_until(begun + REST).await;
        }
    }

    async fn read_once(&self, api: &Api) {
        // Where VMs are while it is read may be told or not: what follows is as old as the beginning.
        let mut as_of = self.0.zone.now();
        let mut read = picture::read_picture(api).await;
        for _ in 1..AGAIN {
            if !matches!(read, Err(ReadError::Changed(_))) {
                break;
            }
            as_of = self.0.zone.now();
            read = picture::read_picture(api).await;
        }
        match read {
            Ok(picture) => {
                let (hosts, networks, nics) = (picture.hosts.len(), picture.networks.len(), picture.nics.len());
                let taken = self.0.zone.take_cloud(picture, as_of);
                let mut known = self.lock_known();
                if known.state.error.take().is_some() {
                    tracing::info!("CloudStack answers again");
                }
                known.read_at = Some(as_of);
                let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
                let state = &mut known.state;
                (state.hosts, state.networks, state.nics) = (count(hosts), count(networks), count(nics));
                (state.registered, state.keyed) = (count(taken.registered), count(taken.keyed));
                state.strangers = taken.strangers;
            }
            Err(error) => {
                let text = error.to_string();
                let mut known = self.lock_known();
                if known.state.error.as_ref() != Some(&text) {
                    tracing::warn!(error = text, "CloudStack cannot be read; trying again");
                }
                known.state.error = Some(text);
            }
        }
    }
}
