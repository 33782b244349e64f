//! What `apply` reads and `export` writes: bridges in YAML or JSON, with the fields of `PUT /v1/bridges/{bridge}`.
//!
//! What it does: reads files, folders and standard input, and says file, line and what was expected where one is bad. What it must
//! not do: know the daemon's rules for values, but for the names of which URLs are made.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ovstunnel_api::{Bridge, Id, Ipv6Policy, NeighbourState, PutBridge, PutNeighbour, PutTunnel, TunnelKind};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};

use crate::cli::{Failure, values};

/// Endings of the files of a folder that are read.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];

/// A document; a YAML file may have several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Document {
    pub(super) bridges: Vec<Entry>,
}

/// A bridge. What is left out stays as it is, and has the daemon's default on a new one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub(super) name: String,
    key: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    network_uuid: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    host_id: Option<Id>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ipv6: Option<Ipv6Policy>,
    /// Null says that there is none any more.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_or_text")]
    uplink: Option<Option<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<TunnelKind>,
    /// The complete set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tunnels: Option<Vec<PutTunnel>>,
    /// The complete set, told anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    neighbours: Option<Vec<PutNeighbour>>,
}

fn null_or_text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Entry {
    /// A bridge as it is; none for a VPC's, which is not set up by a request for a bridge.
    pub(super) fn from_bridge(bridge: &Bridge) -> Option<Self> {
        let id = |text: &str| values::id(text).unwrap_or_else(|_| Id::Text(text.to_owned()));
        let tunnels = bridge.tunnels.iter().map(|tunnel| PutTunnel {
            to: id(&tunnel.to),
            remote_ip: tunnel.remote_ip.clone(),
            from: (bridge.host_id.as_ref() != Some(&tunnel.from)).then(|| id(&tunnel.from)),
        });
        // What is withdrawn is not told again by the way.
        let told = bridge.neighbours.iter().filter(|one| one.state != NeighbourState::Withdrawn);
        let told = told.map(|one| PutNeighbour { ip: one.ip.clone(), mac: one.mac.clone() });
        Some(Entry {
            name: bridge.name.clone(),
            key: i64::from(bridge.key?),
            network_uuid: bridge.network_uuid.clone(),
            host_id: bridge.host_id.as_deref().map(id),
            ipv6: Some(bridge.ipv6),
            uplink: bridge.uplink.clone().map(Some),
            kind: Some(bridge.kind),
            tunnels: Some(tunnels.collect()),
            neighbours: (!bridge.neighbours.is_empty()).then(|| told.collect()),
        })
    }

    /// The body of the request that sets it up.
    pub(super) fn request_body(&self) -> PutBridge {
        let Entry { name: _, key, network_uuid, host_id, ipv6, uplink, kind, tunnels, neighbours } = self.clone();
        PutBridge { key, network_uuid, host_id, ipv6, uplink, kind, tunnels, neighbours }
    }
}

/// All bridges of these files, folders and standard input (`-`), in this order.
///
/// # Errors
/// Names the file, and line and field where they are known: it cannot be read, is no such document, or has a bridge that is
/// somewhere else, too.
pub(super) fn read_all(paths: &[PathBuf]) -> Result<Vec<Entry>, Failure> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut places: BTreeMap<String, PathBuf> = BTreeMap::new();
    for (file, text) in read_texts(paths)? {
        for entry in parse_entries(&text).map_err(|reason| refused_file(&file, &reason))? {
            values::bridge(&entry.name)
                .map_err(|rule| refused_file(&file, &format!("bridge `{}`: {rule}", entry.name)))?;
            if let Some(other) = places.insert(entry.name.clone(), file.clone()) {
                let text = format!("bridge {} is there twice; the other one is in {}", entry.name, other.display());
                return Err(refused_file(&file, &text));
            }
            entries.push(entry);
        }
    }
    Ok(entries)
}

/// The files that are meant: those of a folder by name, without those of folders in it.
fn expand_paths(paths: &[PathBuf]) -> Result<Vec<PathBuf>, Failure> {
    let mut files = Vec::new();
    for path in paths {
        if !path.is_dir() {
            files.push(path.clone());
            continue;
        }
        let failed = |source| Failure::File { action: "read", path: path.clone(), source };
        let found = fs::read_dir(path).map_err(failed)?.map(|entry| entry.map(|entry| entry.path()));
        let mut found: Vec<PathBuf> = found.collect::<io::Result<_>>().map_err(failed)?;
        let ending = |file: &Path| file.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known));
        found.retain(|file| file.is_file() && ending(file));
        if found.is_empty() {
            return Err(refused_file(path, "no file in it ends with .yaml, .yml or .json"));
        }
        found.sort();
        files.extend(found);
    }
    Ok(files)
}

/// The texts of these files, of those in these folders, and of standard input (`-`), each with its file.
///
/// # Errors
/// Names the file that cannot be read.
pub(in crate::cli) fn read_texts(paths: &[PathBuf]) -> Result<Vec<(PathBuf, String)>, Failure> {
    expand_paths(paths)?.into_iter().map(|file| read_file(&file).map(|text| (file, text))).collect()
}

fn read_file(file: &Path) -> Result<String, Failure> {
    let failed = |source| Failure::File { action: "read", path: file.to_owned(), source };
    let mut text = String::new();
    match file.as_os_str() == "-" {
        true => io::stdin().lock().read_to_string(&mut text).map(drop),
        false => fs::read_to_string(file).map(|content| text = content),
    }
    .map_err(failed)?;
    Ok(text)
}

/// The bridges of a text.
pub(super) fn parse_entries(text: &str) -> Result<Vec<Entry>, String> {
    let documents: Vec<Document> = parse_documents(text, "bridges:")?;
    Ok(documents.into_iter().flat_map(|document| document.bridges).collect())
}

/// The documents of a text in YAML or JSON.
///
/// # Errors
/// What is wrong with it, and where; or that there is none, and what was expected.
pub(in crate::cli) fn parse_documents<T: DeserializeOwned>(text: &str, expected: &str) -> Result<Vec<T>, String> {
    // Most JSON is YAML, but for tabs.
    if let (true, Ok(document)) = (text.trim_start().starts_with('{'), serde_json::from_str(text)) {
        return Ok(vec![document]);
    }
    let documents: Vec<T> = serde_saphyr::from_multiple(text).map_err(|error| error.without_snippet().to_string())?;
    match documents.is_empty() {
        true => Err(format!("there is no document in it: expected `{expected}`")),
        false => Ok(documents),
    }
}

/// That a file is refused.
pub(in crate::cli) fn refused_file(file: &Path, reason: &str) -> Failure {
    let file = if file.as_os_str() == "-" { "standard input".to_owned() } else { file.display().to_string() };
    Failure::Document(format!("{file}: {reason}; nothing was changed"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const YAML: &str = "\
bridges:
  - name: xapi12
    key: 1001
    host_id: 1
    ipv6: drop
    tunnels:
      - {to: 2, remote_ip: 192.0.2.2}
      - {to: host-3, remote_ip: 192.0.2.3}
---
bridges:
  - name: xapi13
    key: 1002
    uplink: null
";

    #[test]
    fn a_file_may_have_several_documents_and_leave_out_what_stays() {
        let entries = parse_entries(YAML).unwrap();
        let bodies: Vec<serde_json::Value> =
            entries.iter().map(|entry| serde_json::to_value(entry.request_body()).unwrap()).collect();
        let tunnels = serde_json::json!([
            {"to": 2, "remote_ip": "192.0.2.2"}, {"to": "host-3", "remote_ip": "192.0.2.3"}
        ]);
        assert_eq!(bodies[0], serde_json::json!({"key": 1001, "host_id": 1, "ipv6": "drop", "tunnels": tunnels}));
        assert_eq!(bodies[1], serde_json::json!({"key": 1002, "uplink": null}));
        let json = serde_json::to_string(&Document { bridges: entries.clone() }).unwrap();
        assert_eq!(parse_entries(&json).unwrap(), entries, "JSON says the same");
        assert_eq!(parse_entries("{\n\t\"bridges\": []\n}"), Ok(vec![]));
    }

    #[test]
    fn what_is_bad_is_named_with_its_line() {
        let cases = [
            ("bridges:\n  - name: a\n    kee: 1\n", "kee"),
            ("bridges:\n  - name: a\n", "key"),
            ("bridges:\n  - name: a\n    key: many\n", "line 3"),
            ("bridge: []\n", "bridge"),
            ("", "expected `bridges:`"),
            ("bridges:\n  - name: a\n    key: 1\n    tunnels: [{to: 2.5, remote_ip: 192.0.2.2}]\n", "whole number"),
        ];
        for (text, words) in cases {
            let error = parse_entries(text).unwrap_err();
            assert!(error.contains(words) && !error.contains('\n'), "{text}: {error}");
        }
    }

    /// An id that looks like a number or a truth value stays the text that it is.
    #[test]
    fn what_is_written_is_read_as_it_was() {
        for id in ["007", "no", "1e3", "a: b", "2", "~"] {
            let tunnel = PutTunnel { to: values::id(id).unwrap(), remote_ip: "192.0.2.2".to_owned(), from: None };
            let entry = Entry { tunnels: Some(vec![tunnel]), ..parse_entries(YAML).unwrap()[1].clone() };
            let document = Document { bridges: vec![entry] };
            let text = serde_saphyr::to_string(&document).unwrap();
            assert_eq!(parse_entries(&text), Ok(document.bridges), "{text}");
        }
    }
}
