//! The requests to CloudStack's API: each a list, read page by page.
//!
//! What it does: asks, and says in words why there is no answer. What it must not do: change anything there; show a key or a signature.

use std::path::Path;
use std::time::Duration;

use ovstunnel_types::text::{error_chain, excerpt};
use reqwest::{Certificate, Client, Url};
use ring::hmac;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::CloudStackError;
use super::signature::{Keys, algorithm, signed_query};
use crate::config::CloudStack as Config;

/// What of a page is asked for: as many as CloudStack gives where nobody has set it otherwise.
const PAGE: usize = 500;

/// Pages of a list at most: a server that never comes to an end is none.
const PAGES: usize = 2000;

/// For how long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Bytes of an answer at most.
const ANSWER: usize = 64 << 20;

/// Who asks.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    url: Url,
    keys: Keys,
    zone: Option<String>,
}

/// Why a list could not be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    /// It was changed while it was read.
    #[error("{0} changed while it was read")]
    Changed(&'static str),
    /// Something else.
    #[error("{0}: {1}")]
    Failed(&'static str, String),
}

/// A list of CloudStack's.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    pub command: &'static str,
    /// What its answer has them under.
    pub field: &'static str,
    pub more: &'static [(&'static str, &'static str)],
}

fn read_file(field: &'static str, path: &Path) -> Result<Vec<u8>, CloudStackError> {
    std::fs::read(path).map_err(|error| CloudStackError { field, reason: format!("{}: {error}", path.display()) })
}

/// The secret of a webhook, without blanks at its ends.
pub(super) fn read_secret(path: &Path) -> Result<hmac::Key, CloudStackError> {
    let text = read_file("webhook_secret", path)?;
    let secret = text.trim_ascii();
    if secret.is_empty() {
        return Err(CloudStackError { field: "webhook_secret", reason: format!("{} is empty", path.display()) });
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, secret))
}

fn read_keys(path: &Path, config: &Config) -> Result<Keys, CloudStackError> {
    let bad = |what: &str| CloudStackError {
        field: "keys",
        reason: format!(
            "{} {what}; expected the API key in its first line and the secret key in its second",
            path.display()
        ),
    };
    let text = String::from_utf8(read_file("keys", path)?).map_err(|_| bad("is no text"))?;
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let [api, secret] = lines[..] else { return Err(bad(&format!("has {} lines", lines.len()))) };
    Ok(Keys { api: api.to_owned(), secret: hmac::Key::new(algorithm(config.signature), secret.as_bytes()) })
}

impl Api {
    pub(super) fn new(config: &Config, url: &str, keys: &Path) -> Result<Api, CloudStackError> {
        let url: Url = url.parse().map_err(|_| CloudStackError { field: "url", reason: "is no address".to_owned() })?;
        // Whoever was first has installed the same one.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut client = Client::builder().timeout(PATIENCE).redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &config.ca {
            let bad = |error: String| CloudStackError { field: "ca", reason: format!("{}: {error}", path.display()) };
            let all = Certificate::from_pem_bundle(&read_file("ca", path)?).map_err(|error| bad(error.to_string()))?;
            if all.is_empty() {
                return Err(bad("has no certificate in it".to_owned()));
            }
            client = client.tls_certs_only(all);
        }
        let failed = |error: reqwest::Error| CloudStackError { field: "url", reason: error.without_url().to_string() };
        Ok(Api {
            client: client.build().map_err(failed)?,
            url,
            keys: read_keys(keys, config)?,
            zone: config.zone.clone(),
        })
    }

    /// Host and port.
    pub(super) fn server(&self) -> String {
        let host = self.url.host_str().unwrap_or_default();
        self.url.port_or_known_default().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
    }

    /// All of a list.
    pub(super) async fn read_list<T: DeserializeOwned>(&self, list: List) -> Result<Vec<T>, ReadError> {
        let (mut found, mut count) = (Vec::new(), None::<u64>);
        for page in 1..=PAGES {
            let answer = self.ask_page(list, page).await?;
            let total = answer.get("count").and_then(Value::as_u64).unwrap_or_default();
            if count.is_some_and(|count| count != total) {
                return Err(ReadError::Changed(list.command));
            }
            count = Some(total);
            let items = match answer.get(list.field) {
                Some(items) => serde_json::from_value::<Vec<T>>(items.clone()).map_err(|error| {
                    ReadError::Failed(list.command, format!("the answer is not as expected: {error}"))
                })?,
                None => Vec::new(),
            };
            let is_last = items.is_empty() || (found.len() + items.len()) as u64 >= total;
            found.extend(items);
            if is_last {
                let is_all = found.len() as u64 == total;
                return if is_all { Ok(found) } else { Err(ReadError::Changed(list.command)) };
            }
        }
        Err(ReadError::Failed(list.command, format!("it does not end after {PAGES} pages")))
    }

    /// A page of a list, without what is around it.
    async fn ask_page(&self, list: List, page: usize) -> Result<Value, ReadError> {
        let failed = |why: String| ReadError::Failed(list.command, why);
        let (page, size) = (page.to_string(), PAGE.to_string());
        let mut parameters = vec![("command", list.command), ("page", &page), ("pagesize", &size)];
        parameters.extend(self.zone.as_deref().map(|zone| ("zoneid", zone)));
        parameters.extend(list.more);
        let mut url = self.url.clone();
        url.set_query(Some(&signed_query(&self.keys, &parameters)));
        // The address has the key and the signature in it.
        let words = |error: reqwest::Error| failed(error_chain(&error.without_url()));
        let answer = self.client.get(url).header("accept", "application/json").send().await.map_err(words)?;
        let status = answer.status();
        if answer.content_length().is_some_and(|length| length > ANSWER as u64) {
            return Err(failed(format!("the answer has more than {ANSWER} bytes")));
        }
        let body = answer.bytes().await.map_err(words)?;
        let value: Value = serde_json::from_slice(&body).unwrap_or_default();
        let inner = value.as_object().and_then(|all| all.values().next()).cloned().unwrap_or_default();
        if let Some(text) = inner.get("errortext").and_then(Value::as_str) {
            return Err(failed(format!("{}: {}", status.as_u16(), excerpt(text))));
        }
        if !status.is_success() || !inner.is_object() {
            return Err(failed(format!("the server answered {} and no list", status.as_u16())));
        }
        Ok(inner)
    }
}
