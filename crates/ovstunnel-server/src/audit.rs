//! The audit: one line for each request that changes something or is refused to its client; of those of a client that is
//! refused again and again, one a second. What comes all the time and changes nothing that stays says so of itself, and is told at `debug`
//! where it is done.
//!
//! What it does: says who asked for what and what became of it, also where the client did not wait for the answer. What it
//! must not do: speak of mere looks, or depend on the log level: only `off` and a level of its own silence it
//! ([`AUDIT`]).

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::response::Response;
use http::{Method, StatusCode};
use ovstunnel_api::Changed;

use crate::config::AUDIT;
use crate::listen::Peer;
use crate::problem::ApiError;
use crate::seldom::Seldom;
use ovstunnel_types::text::excerpt;

/// What a change did, in a word, such as `created` or `unchanged`, and what it changed: an extension of its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effect {
    word: String,
    changes: Option<String>,
    is_routine: bool,
}

/// Changes that a line names; of more it says how many.
const NAMED: usize = 30;

impl Effect {
    /// A word, or another text of the answer, which is shortened.
    pub fn new(word: &str) -> Self {
        Effect { word: excerpt(word), changes: None, is_routine: false }
    }

    /// The same of something that programs ask for all the time, and that leaves nothing behind: told at `debug`.
    #[must_use]
    pub fn as_routine(self) -> Self {
        Effect { is_routine: true, ..self }
    }

    /// The same, with what was changed.
    #[must_use]
    pub fn with_changes(self, changes: &[Changed]) -> Self {
        // What was removed comes first: it is what somebody will look for.
        let (removed, others): (Vec<_>, Vec<_>) = changes.iter().partition(|change| change.after.is_none());
        self.with_words(removed.into_iter().chain(others))
    }

    /// The same, with what was changed in words.
    #[must_use]
    pub fn with_words<T: ToString>(mut self, changes: impl IntoIterator<Item = T>) -> Self {
        let mut changes = changes.into_iter();
        let mut words: Vec<String> = changes.by_ref().take(NAMED).map(|change| change.to_string()).collect();
        let more = changes.count();
        if more > 0 {
            words.push(format!("and {more} more"));
        }
        self.changes = (!words.is_empty()).then(|| words.join("; "));
        self
    }

    /// The same answer, saying this of itself.
    pub fn mark_response(word: &str, response: Response) -> Response {
        Effect::new(word).attach_to(response)
    }

    /// An answer that says this of itself.
    pub fn attach_to(self, mut response: Response) -> Response {
        response.extensions_mut().insert(self);
        response
    }
}

/// A request under way. What is not answered when this goes is told as such.
#[derive(Debug)]
pub struct Audit {
    peer: Option<Peer>,
    method: Method,
    path: String,
    id: String,
    started: Instant,
    told: bool,
}

impl Audit {
    /// A request begins; `path` is without its query.
    pub fn begin_request(peer: Option<Peer>, method: &Method, path: &str, id: &str) -> Self {
        let (method, path, id) = (method.clone(), path.to_owned(), id.to_owned());
        Audit { peer, method, path, id, started: Instant::now(), told: false }
    }

    /// It is answered.
    pub fn end_request(mut self, response: &Response) {
        self.told = true;
        let status = response.status();
        if self.is_look() && status != StatusCode::FORBIDDEN {
            return;
        }
        let effect = response.extensions().get::<Effect>();
        if effect.is_some_and(|effect| effect.is_routine) && status.is_success() {
            return self.tell_routine(effect.map(|effect| effect.word.as_str()));
        }
        let (effect, changes) = (effect.map(|effect| effect.word.as_str()), effect.and_then(|e| e.changes.as_deref()));
        let error = response.extensions().get::<ApiError>();
        let word = match status {
            status if status.is_success() => "done",
            StatusCode::FORBIDDEN => "refused",
            _ => "failed",
        };
        // Whoever may do nothing must not push out what others did.
        let left_out = match status {
            StatusCode::FORBIDDEN => match refusal_of(&self.peer_words()) {
                Some(left_out) => left_out,
                None => return,
            },
            _ => None,
        };
        let outcome = effect.or(error.map(|error| error.problem().code.as_str()));
        self.write_line(word, Some(status), left_out, outcome, changes);
    }

    fn is_look(&self) -> bool {
        matches!(self.method, Method::GET | Method::HEAD | Method::OPTIONS)
    }

    fn peer_words(&self) -> String {
        match &self.peer {
            Some(peer) => peer.name(),
            None => "?".to_owned(),
        }
    }

    fn tell_routine(&self, outcome: Option<&str>) {
        let who = self.peer_words();
        tracing::debug!(target: AUDIT, parent: None, who, path = self.path, id = self.id, outcome, "done");
    }

    fn write_line(
        &self,
        word: &str,
        status: Option<StatusCode>,
        left_out: Option<u64>,
        outcome: Option<&str>,
        changes: Option<&str>,
    ) {
        let (address, pid) = match &self.peer {
            Some(Peer::Root { pid }) => (None, *pid),
            Some(peer) => (peer.address(), None),
            None => (None, None),
        };
        let who = self.peer_words();
        tracing::info!(
            target: AUDIT,
            parent: None,
            who,
            address = address.map(tracing::field::display),
            pid,
            method = %excerpt(self.method.as_str()),
            path = self.path,
            id = self.id,
            status = status.map(|status| status.as_u16()),
            outcome,
            changes,
            left_out,
            ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            "{word}"
        );
    }
}

/// Names whose refusals are counted apart; all others are counted together.
const NAMES: usize = 256;

/// Leave to tell of a refusal: of each client 100 at once, then one a second.
fn refusal_of(who: &str) -> Option<Option<u64>> {
    static REFUSED: LazyLock<Mutex<HashMap<String, Seldom>>> = LazyLock::new(Mutex::default);
    let mut refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    let who = if refused.len() < NAMES || refused.contains_key(who) { who } else { "" };
    refused.entry(who.to_owned()).or_insert_with(|| Seldom::new(100, Duration::from_secs(1))).may_write()
}

impl Drop for Audit {
    fn drop(&mut self) {
        if !self.told && !self.is_look() {
            self.write_line("the client went away before the answer", None, None, None, None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_names_the_first_changes_and_counts_the_rest() {
        let words: Vec<String> = (0..NAMED + 2).map(|n| format!("change {n}")).collect();
        let changes = |words: &[String]| Effect::new("updated").with_words(words).changes;
        assert_eq!(changes(&words[..2]).as_deref(), Some("change 0; change 1"));
        assert!(changes(&words).is_some_and(|told| told.ends_with("change 29; and 2 more")));
        assert_eq!(changes(&[]), None);
    }
}
