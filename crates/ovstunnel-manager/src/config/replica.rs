//! `[replica]`: what this manager is for the others of its zone.
//!
//! What it must not do: name the others; they find each other in the database.

use ovstunnel_client::Endpoint;
use ovstunnel_server::config::values::parse_text;
use ovstunnel_types::is_plain_name;
use serde::de::{Error, Unexpected};
use serde::{Deserialize, Deserializer, Serialize};

/// `[replica]`: what this manager is for the others of its zone, where several share one database.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Replica {
    /// Its name, in `zone status` and the log: 1 to 32 characters of A-Z, a-z, 0-9, `.`, `_` and `-`. Default: this machine's name, cut at 32.
    #[serde(deserialize_with = "name")]
    pub name: Option<String>,
    /// By what address others reach its API, such as `"https://m1.example.net:8444"`: a manager that does not lead sends those who want something
    /// changed there. Default: this machine's name, or the address in `[api] listen`, and the port.
    #[serde(deserialize_with = "address")]
    pub address: Option<String>,
    /// The zone's managers, by the common names of their certificates under `[hosts]`, the same list in each one's file: a manager that does not lead
    /// then sends changes that clients with certificates ask it for on to the one that leads, and that one takes them from these managers, as asked
    /// by those clients. Empty: nothing is sent on, and nothing that was is taken.
    #[serde(deserialize_with = "managers")]
    pub managers: Vec<String>,
}

/// Longest name of a replica, characters.
pub const REPLICA_MAX: usize = 32;

impl Replica {
    /// Its name.
    pub fn name(&self) -> String {
        self.name.clone().unwrap_or_else(own_name)
    }
}

/// This machine's name.
pub(super) fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

fn own_name() -> String {
    let good = |c: &char| c.is_ascii_alphanumeric() || ['.', '_', '-'].contains(c);
    let name: String = host_name().chars().filter(good).take(REPLICA_MAX).collect();
    if is_plain_name(&name, REPLICA_MAX) { name } else { "localhost".to_owned() }
}

fn name<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    parse_text(d, "a name: 1 to 32 characters of A-Z, a-z, 0-9, `.`, `_` and `-`", |t| {
        is_plain_name(t, REPLICA_MAX).then(|| Some(t.to_owned()))
    })
}

fn managers<'de, D: Deserializer<'de>>(d: D) -> Result<Vec<String>, D::Error> {
    let names = Vec::<String>::deserialize(d)?;
    let bad = names.iter().find(|name| !(1..=64).contains(&name.chars().count()) || name.chars().any(char::is_control));
    match bad {
        Some(bad) => {
            let rule = "common names of certificates, such as [\"m1\", \"m2\"]: 1 to 64 characters each, none of them a control character";
            Err(D::Error::invalid_value(Unexpected::Str(bad), &rule))
        }
        None => Ok(names),
    }
}

fn address<'de, D: Deserializer<'de>>(d: D) -> Result<Option<String>, D::Error> {
    parse_text(d, "https://HOST:PORT, such as \"https://m1.example.net:8444\"", |t| {
        let t = t.trim_end_matches('/');
        Endpoint::parse_url(t).is_ok().then(|| Some(t.to_owned()))
    })
}
