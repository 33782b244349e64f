//! Hosts that join by a token: the CA that signs for them, the tokens in the database, and how often a stranger may try.
//!
//! What it must not do: sign for a name that somebody has, or for a certificate that could be shown by a client (docs/adr/0049-hosts-join-by-a-token.md).

pub(crate) mod binding;
pub(crate) mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use ovstunnel_manager_api::TokenText;
use ovstunnel_pki::{Authority, LEAF_DAYS, Leaf, Name, PkiError, Role};
use ovstunnel_server::seldom::Seldom;
use ovstunnel_store::StoreError;
use time::OffsetDateTime;

use crate::records::Records;
use token::{BadToken, Kept};

/// Names of the settings that keep tokens, before a token's id.
const TOKEN: &str = "enrolment.token.";

/// The settings of all tokens, where `%` stands for anything.
pub(crate) const ALL_TOKENS: &str = "enrolment.token.%";

/// For how long a token that has ended is still listed.
const LISTED: time::Duration = time::Duration::days(7);

/// Addresses whose attempts are counted apart; all others are counted together.
const ADDRESSES: usize = 1024;

/// Attempts of one address at once; then one in each pause.
const ATTEMPTS: (u32, Duration) = (50, Duration::from_millis(500));

/// Refusals that are kept as events at once; then one in each pause. The audit has all.
const EVENTS: (u32, Duration) = (50, Duration::from_secs(10));

/// Where hosts join.
#[derive(Debug)]
pub struct Enrolment {
    folder: PathBuf,
    own: Vec<PathBuf>,
    attempts: Mutex<HashMap<Option<IpAddr>, Seldom>>,
    events: Seldom,
}

impl Enrolment {
    /// By the CA in this folder. `own` are the files of the manager's own certificates, whose names nobody gets.
    ///
    /// # Errors
    /// There is no CA in the folder that can be used.
    pub fn open(folder: &Path, own: Vec<PathBuf>) -> Result<Enrolment, PkiError> {
        Authority::open(folder)?;
        let events = Seldom::new(EVENTS.0, EVENTS.1);
        Ok(Enrolment { folder: folder.to_owned(), own, attempts: Mutex::default(), events })
    }

    /// The CA as it is now.
    pub(crate) fn open_authority(&self) -> Result<Authority, PkiError> {
        Authority::open(&self.folder)
    }

    /// The CA's certificate, PEM.
    pub(crate) fn ca_certificate(&self) -> Result<String, PkiError> {
        let path = self.open_authority()?.certificate().to_owned();
        std::fs::read_to_string(&path).map_err(|source| PkiError::File { action: "read", path, source })
    }

    /// Whether one more attempt from this address is heard.
    pub(crate) fn allows_attempt(&self, address: Option<IpAddr>) -> bool {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let apart = attempts.len() < ADDRESSES || attempts.contains_key(&address);
        let counted = attempts.entry(address.filter(|_| apart)).or_insert_with(|| Seldom::new(ATTEMPTS.0, ATTEMPTS.1));
        counted.may_write().is_some()
    }

    /// Whether one more refusal is kept as an event.
    pub(crate) fn keeps_refusal(&self) -> bool {
        self.events.may_write().is_some()
    }

    /// Whether this name or address is one of the manager's own.
    ///
    /// # Errors
    /// The manager's certificates cannot be read.
    pub(crate) fn is_own(&self, name: &str) -> Result<bool, PkiError> {
        for file in &self.own {
            let shown = ovstunnel_pki::read_details(file)?;
            let mut names = shown.iter().flat_map(|one| one.name.iter().chain(&one.names));
            if names.any(|own| own.eq_ignore_ascii_case(name)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All tokens, by id.
    pub(crate) async fn load_tokens(&self, records: &Records) -> Result<Vec<(String, Kept)>, StoreError> {
        let read = |(name, value): (String, String)| {
            Some((name.strip_prefix(TOKEN)?.to_owned(), serde_json::from_str(&value).ok()?))
        };
        Ok(records.settings().await?.into_iter().filter_map(read).collect())
    }

    /// Keeps a token, or forgets it.
    pub(crate) async fn store_token(&self, records: &Records, id: &str, kept: Option<&Kept>) -> Result<(), StoreError> {
        // A struct of texts and numbers: serde_json cannot fail on it.
        let text = kept.map(|kept| serde_json::to_string(kept).unwrap_or_default());
        records.set_setting(&format!("{TOKEN}{id}"), text.as_deref()).await
    }

    /// Forgets tokens that ended long ago.
    pub(crate) async fn forget_expired(&self, records: &Records, now: OffsetDateTime) -> Result<(), StoreError> {
        for (id, kept) in self.load_tokens(records).await? {
            if kept.ends < (now - LISTED).unix_timestamp() {
                self.store_token(records, &id, None).await?;
            }
        }
        Ok(())
    }

    /// The token of this text, where it lets a host in now.
    pub(crate) async fn find_token(
        &self,
        records: &Records,
        text: &str,
        now: OffsetDateTime,
    ) -> Result<Result<(String, Kept), BadToken>, StoreError> {
        let Some(TokenText { id, secret, .. }) = TokenText::parse_token(text) else {
            return Ok(Err(BadToken::Unknown));
        };
        let found = self.load_tokens(records).await?.into_iter().find(|(known, _)| known == id);
        let Some((id, kept)) = found else { return Ok(Err(BadToken::Unknown)) };
        Ok(kept.check_secret(secret, now).map(|()| (id, kept)))
    }
}

/// The certificate that a host gets: for servers, by its name and at most one address.
pub(crate) fn host_leaf(name: Name, address: Option<IpAddr>) -> Leaf {
    Leaf { name, role: Role::Host { addresses: address.into_iter().collect() }, days: LEAF_DAYS }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn one_address_is_not_heard_for_ever_and_another_one_is() {
        let dir = tempfile::tempdir().unwrap();
        Authority::create(dir.path(), "test", 90, OffsetDateTime::now_utc()).unwrap();
        let enrolment = Enrolment::open(dir.path(), vec![dir.path().join("ca.crt")]).unwrap();
        let (one, other) = ("192.0.2.1".parse().ok(), "192.0.2.2".parse().ok());
        assert!((0..10_000).any(|_| !enrolment.allows_attempt(one)));
        assert!(enrolment.allows_attempt(other));
        assert!(enrolment.is_own("TEST").unwrap() && !enrolment.is_own("h1").unwrap());
    }
}
