//! Which bridge a name-label stands for, for whoever asks over HTTPS, a viewer too.
//!
//! What it does: asks `xe` for few labels at the same time, remembers each answer for a moment, and tells of failures
//! seldom. What it must not do: remember more labels than it has room for, or keep the plugin's questions waiting.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use ovstunnel_ovs::{Xe, XeError};
use ovstunnel_server::seldom::Seldom;
use ovstunnel_types::text::{error_chain, excerpt, foreign_message};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::XapiError;

/// Questions that run `xe` at the same time, each up to twice.
const AT_ONCE: usize = 2;

/// How long an answer is remembered: a network that was just made is found after that at the latest.
const FRESH: Duration = Duration::from_secs(5);

/// Labels that are remembered.
const REMEMBERED: usize = 256;

/// What xapi has said of a label: its bridge, none, or why it does not say.
type Said = Result<Option<String>, String>;

#[derive(Debug)]
pub(super) struct Labels {
    turns: Semaphore,
    said: Mutex<HashMap<String, (Instant, Said)>>,
    failures: Seldom,
}

impl Labels {
    pub(super) fn new() -> Self {
        // Lines that are also in the journal: 3 at once, then one a minute.
        let failures = Seldom::new(3, Duration::from_secs(60));
        Labels { turns: Semaphore::new(AT_ONCE), said: Mutex::default(), failures }
    }

    /// The bridge of the one network with this label.
    pub(super) async fn bridge_of(&self, xe: &Xe, label: &str) -> Result<Option<String>, XapiError> {
        if let Some(said) = self.remembered_bridge(label) {
            return said.map_err(XapiError::Said);
        }
        let turn = self.wait_turn(xe).await?;
        // Whoever was before may have asked the same.
        if let Some(said) = self.remembered_bridge(label) {
            return said.map_err(XapiError::Said);
        }
        let said = self.ask_xapi(xe, label).await.map_err(|error| foreign_message(&error_chain(&error)));
        if let Err(error) = &said
            && let Some(left_out) = self.failures.may_write()
        {
            tracing::warn!(label = excerpt(label), error, left_out, "xapi does not tell which bridge a network has");
        }
        self.remember_bridge(label, said.clone());
        drop(turn);
        said.map_err(XapiError::Said)
    }

    /// Waits for the turn to ask.
    pub(super) async fn wait_turn(&self, xe: &Xe) -> Result<SemaphorePermit<'_>, XapiError> {
        let turn = tokio::time::timeout(xe.timeout(), self.turns.acquire()).await;
        turn.ok().and_then(Result::ok).ok_or(XapiError::Busy)
    }

    async fn ask_xapi(&self, xe: &Xe, label: &str) -> Result<Option<String>, XeError> {
        match xe.networks_of_label(label).await?.as_slice() {
            [network] => Ok(Some(xe.network_param(*network, "bridge").await?)),
            [] => Ok(None),
            several => {
                if let Some(left_out) = self.failures.may_write() {
                    let (label, networks) = (excerpt(label), several.len());
                    tracing::warn!(label, networks, left_out, "several networks of xapi have the same name-label");
                }
                Ok(None)
            }
        }
    }

    fn remembered_bridge(&self, label: &str) -> Option<Said> {
        let said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.get(label).filter(|(at, _)| at.elapsed() < FRESH).map(|(_, said)| said.clone())
    }

    fn remember_bridge(&self, label: &str, new: Said) {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        said.retain(|_, (at, _)| at.elapsed() < FRESH);
        if said.len() < REMEMBERED {
            said.insert(label.to_owned(), (Instant::now(), new));
        }
    }
}
