//! What `zone apply` reads: lists of physical networks, hosts, networks and NICs, with the fields of the manager's PUT requests.
//!
//! What it must not do: know the manager's rules for values, but for the names of which URLs are made, and for a key that does not fit the kind
//! beside it: the manager is asked for a network's kind once the network is recorded.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ovstunnel_api::TunnelKind;
use ovstunnel_manager_api::{PutHost, PutNetwork, PutNic, PutPhysicalNetwork};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::cli::apply::document::{parse_documents, read_texts, refused_file};
use crate::cli::{Failure, values};

type Fields = Map<String, Value>;

/// A document; a list that is left out says nothing, an empty one that there is nothing of its kind.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    physical_networks: Option<Vec<Fields>>,
    hosts: Option<Vec<Fields>>,
    networks: Option<Vec<Fields>>,
    nics: Option<Vec<Fields>>,
}

/// What a thing is, in the order in which they are recorded: each needs those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Kind {
    PhysicalNetwork,
    Host,
    Network,
    Nic,
}

impl Kind {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Kind::PhysicalNetwork => "physical network",
            Kind::Host => "host",
            Kind::Network => "network",
            Kind::Nic => "NIC",
        }
    }

    fn list_name(self) -> &'static str {
        match self {
            Kind::PhysicalNetwork => "physical_networks",
            Kind::Host => "hosts",
            Kind::Network => "networks",
            Kind::Nic => "nics",
        }
    }
}

/// The request that records it.
#[derive(Clone, Debug)]
pub(super) enum Body {
    PhysicalNetwork(PutPhysicalNetwork),
    Host(PutHost),
    /// Its kind has a request of its own: left out, it stays.
    Network {
        body: PutNetwork,
        kind: Option<TunnelKind>,
    },
    Nic {
        network: String,
        nic: String,
        body: PutNic,
    },
}

/// A thing as a file says it.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    /// Its name; a NIC's with its network: `web/7f3a`.
    pub(super) name: String,
    /// File and place in it.
    pub(super) place: String,
    pub(super) body: Body,
}

/// All that the files say.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// By kind, and in the order of the files.
    pub(super) entries: Vec<Entry>,
    /// Kinds of which there is a list.
    pub(super) kinds: Vec<Kind>,
}

impl Wanted {
    /// Whether a file names it.
    pub(super) fn names_entry(&self, kind: Kind, name: &str) -> bool {
        self.entries.iter().any(|entry| entry.kind == kind && entry.name == name)
    }
}

/// Reads all files.
///
/// # Errors
/// Names the file, the place and the field: it cannot be read, is no such document, or has a thing twice.
pub(super) fn read_files(paths: &[PathBuf]) -> Result<Wanted, Failure> {
    let (mut wanted, mut places) = (Wanted::default(), BTreeMap::new());
    for (file, text) in read_texts(paths)? {
        let documents: Vec<Document> = parse_documents(&text, "hosts:, networks:, nics: or physical_networks:")
            .map_err(|reason| refused_file(&file, &reason))?;
        for Document { physical_networks, hosts, networks, nics } in documents {
            let lists = [
                (Kind::PhysicalNetwork, physical_networks),
                (Kind::Host, hosts),
                (Kind::Network, networks),
                (Kind::Nic, nics),
            ];
            for (kind, list) in lists {
                let Some(list) = list else { continue };
                wanted.kinds.push(kind);
                for (at, fields) in list.into_iter().enumerate() {
                    let entry = parse_entry(&file, kind, at, fields).map_err(|reason| refused_file(&file, &reason))?;
                    let key = (kind, entry.name.clone());
                    if let Some(other) = places.insert(key, entry.place.clone()) {
                        let reason =
                            format!("{} {} is there twice; the other one is {other}", kind.as_str(), entry.name);
                        return Err(refused_file(&file, &reason));
                    }
                    wanted.entries.push(entry);
                }
            }
        }
    }
    wanted.entries.sort_by_key(|entry| entry.kind);
    Ok(wanted)
}

fn parse_entry(file: &Path, kind: Kind, at: usize, mut fields: Fields) -> Result<Entry, String> {
    let place = format!("{}[{at}]", kind.list_name());
    let own = take_name(&place, "name", &mut fields)?;
    let (name, body) = match kind {
        Kind::PhysicalNetwork => (own, Body::PhysicalNetwork(parse_rest(&place, fields)?)),
        Kind::Host => (own, Body::Host(parse_rest(&place, fields)?)),
        Kind::Network => (own, parse_network(&place, fields)?),
        Kind::Nic => {
            let network = take_name(&place, "network", &mut fields)?;
            (format!("{network}/{own}"), Body::Nic { network, nic: own, body: parse_rest(&place, fields)? })
        }
    };
    Ok(Entry { kind, name, place: format!("{}: {place}", file.display()), body })
}

fn parse_network(place: &str, mut fields: Fields) -> Result<Body, String> {
    let kind = fields.remove("kind").unwrap_or_default();
    let kind: Option<TunnelKind> = serde_json::from_value(kind).map_err(|error| format!("{place}.kind: {error}"))?;
    let body: PutNetwork = parse_rest(place, fields)?;
    match (kind, body.key) {
        (Some(kind), Some(key)) if !kind.keys().contains(&key) => {
            Err(format!("{place}.key: {}; got `{key}`", kind.key_rule()))
        }
        _ => Ok(Body::Network { body, kind }),
    }
}

/// A name, which is taken out of the fields.
fn take_name(place: &str, field: &str, fields: &mut Fields) -> Result<String, String> {
    let text = match fields.remove(field) {
        Some(Value::String(text)) => text,
        // 007 and yes are a number and a truth value in YAML.
        Some(other) => return Err(format!("{place}.{field}: must be a text: write it in quotes; got {other}")),
        None => return Err(format!("{place}.{field}: is missing")),
    };
    values::zone_name(&text).map_err(|rule| format!("{place}.{field}: {rule}; got {text:?}"))
}

fn parse_rest<T: DeserializeOwned>(place: &str, fields: Fields) -> Result<T, String> {
    serde_json::from_value(Value::Object(fields)).map_err(|error| format!("{place}: {error}"))
}
