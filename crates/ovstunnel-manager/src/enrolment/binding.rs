//! Which certificate is which host's: kept under the host's number, so that it stays its own under another name.
//!
//! What it must not do: end a certificate that another host has.

use ovstunnel_pki::{Name, PkiError};
use ovstunnel_store::StoreError;
use ovstunnel_types::HostNumber;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;

use super::Enrolment;
use crate::records::Records;

/// Names of the settings that keep it, before a host's number.
const HOST: &str = "enrolment.host.";

/// A host's certificate: the name that it had when it joined, and its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Binding {
    name: String,
    /// SHA-256.
    key: String,
    /// Serial numbers of what was signed for it, and until when each is good: Unix time, seconds.
    serials: Vec<(String, i64)>,
}

impl Binding {
    /// Of a certificate of this name and key, of which no serial number is known yet.
    pub(crate) fn new(name: &str, key: &str) -> Binding {
        Binding { name: name.to_owned(), key: key.to_owned(), serials: Vec::new() }
    }

    /// The same for this name and key, where it had others.
    #[must_use]
    pub(crate) fn of(self, name: &str, key: &str) -> Binding {
        Binding { name: name.to_owned(), key: key.to_owned(), ..self }
    }

    /// With one more that was signed, and without those that are over.
    #[must_use]
    pub(crate) fn with(mut self, serial: &str, ends: OffsetDateTime, now: OffsetDateTime) -> Binding {
        self.serials.retain(|(known, ends)| known != serial && *ends > now.unix_timestamp());
        self.serials.push((serial.to_owned(), ends.unix_timestamp()));
        self
    }

    fn is_of(&self, name: &str, key: &str) -> bool {
        self.name == name && self.key == key
    }
}

/// All bindings, by the numbers of their hosts.
#[derive(Debug, Default)]
pub(crate) struct Bindings(Vec<(HostNumber, Binding)>);

impl Bindings {
    /// As they are kept.
    ///
    /// # Errors
    /// The database does not answer; this holds for each function below.
    pub(crate) async fn read(records: &Records) -> Result<Bindings, StoreError> {
        let read = |(name, value): (String, String)| {
            let number = name.strip_prefix(HOST)?.parse().ok()?;
            Some((number, serde_json::from_str(&value).ok()?))
        };
        Ok(Bindings(records.settings().await?.into_iter().filter_map(read).collect()))
    }

    /// That of a host.
    pub(crate) fn of(&self, number: HostNumber) -> Option<&Binding> {
        self.0.iter().find(|(known, _)| *known == number).map(|(_, binding)| binding)
    }

    /// Whose a certificate is: one host's, but while that gets another number.
    pub(crate) fn owners(&self, name: &str, key: &str) -> impl Iterator<Item = HostNumber> {
        self.0.iter().filter(move |(_, binding)| binding.is_of(name, key)).map(|(number, _)| *number)
    }
}

/// Keeps the certificate of a host, or forgets it.
pub(crate) async fn bind(records: &Records, number: HostNumber, binding: Option<&Binding>) -> Result<(), StoreError> {
    // Texts and numbers: this cannot fail.
    let value = binding.and_then(|binding| serde_json::to_string(binding).ok());
    records.set_setting(&format!("{HOST}{number}"), value.as_deref()).await
}

impl Enrolment {
    /// The certificate of a host of which none is kept, as those that joined before any was: the one of its name, where that is nobody else's.
    ///
    /// # Errors
    /// The CA cannot be used as it is.
    pub(crate) fn found(&self, bindings: &Bindings, host: &str) -> Result<Option<Binding>, PkiError> {
        let Ok(name) = host.parse::<Name>() else { return Ok(None) };
        let Some(found) = self.open_authority()?.standing(&name)? else { return Ok(None) };
        let (key, now) = (found.key_sum(), OffsetDateTime::now_utc());
        let free = bindings.owners(host, &key).next().is_none();
        Ok(free.then(|| Binding::new(host, &key).with(&found.serial, found.not_after, now)))
    }

    /// Revokes the certificates of a host that is removed; gives their serial numbers. What lies under its name and is another host's stays.
    ///
    /// # Errors
    /// The CA cannot be used as it is; then the certificates may be revoked all the same.
    pub(crate) fn retire(&self, bindings: &Bindings, number: HostNumber, host: &str) -> Result<Vec<String>, PkiError> {
        let (own, by_name) = (bindings.of(number).cloned(), self.found(bindings, host)?);
        let mut ended = Vec::new();
        for Binding { name, key, serials } in own.into_iter().chain(by_name) {
            let Ok(name) = name.parse::<Name>() else { continue };
            let serials: Vec<String> = serials.into_iter().map(|(serial, _)| serial).collect();
            ended.extend(self.open_authority()?.retire(&name, &key, &serials, OffsetDateTime::now_utc())?);
        }
        Ok(ended)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_binding_is_found_by_name_and_key_and_forgets_what_is_over() {
        let records = Records::new(ovstunnel_store::Store::in_memory("dc1"));
        let (now, one) = (OffsetDateTime::now_utc(), HostNumber::try_from(1).unwrap());
        let binding = Binding::new("h1", "aa").with("01", now - Duration::days(1), now);
        let binding = binding.with("02", now + Duration::days(1), now).with("02", now + Duration::days(2), now);
        bind(&records, one, Some(&binding)).await.unwrap();
        let kept = Bindings::read(&records).await.unwrap();
        assert_eq!(kept.of(one).unwrap().serials, [("02".to_owned(), (now + Duration::days(2)).unix_timestamp())]);
        let owner = |name, key| kept.owners(name, key).next();
        assert_eq!((owner("h1", "aa"), owner("h1", "bb"), owner("h2", "aa")), (Some(one), None, None));
        bind(&records, one, None).await.unwrap();
        assert!(Bindings::read(&records).await.unwrap().of(one).is_none());
    }
}
