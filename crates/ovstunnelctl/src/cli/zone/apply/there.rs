//! What is recorded of the zone, and how it differs from what a file says.
//!
//! What it must not do: decide what becomes of it.

use std::collections::BTreeMap;

use ovstunnel_manager_api::Nic;
use serde::Serialize;
use serde_json::{Map, Value};

use super::document::{Body, Entry, Kind, Wanted};
use crate::cli::zone::fetch_networks;
use crate::client::{ClientError, Manager, NetworksWanted};

/// All that is recorded, each thing as the manager shows it.
#[derive(Debug, Default)]
pub(super) struct There(BTreeMap<(Kind, String), Map<String, Value>>);

/// Fields of requests that say how something is done, and not what it is.
const HOW: [&str; 3] = ["adopt", "move", "wait"];

fn to_fields(value: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value) {
        Ok(Value::Object(fields)) => fields,
        // Structs with named fields: nothing else comes of them.
        _ => Map::new(),
    }
}

impl There {
    /// Asks for it; for NICs of networks only where the files have any.
    pub(super) async fn fetch_existing(manager: &Manager, wanted: &Wanted) -> Result<There, ClientError> {
        let mut there = There::default();
        for physical in manager.physical_networks().await?.physical_networks {
            there.0.insert((Kind::PhysicalNetwork, physical.name.clone()), to_fields(&physical));
        }
        for host in manager.hosts().await?.hosts {
            there.0.insert((Kind::Host, host.name.clone()), to_fields(&host));
        }
        for network in fetch_networks(manager, &NetworksWanted::default()).await?.networks {
            let Some(record) = &network.record else { continue };
            let mut found = to_fields(record);
            found.extend(network.key.map(|key| ("key".to_owned(), key.into())));
            there.0.insert((Kind::Network, network.name.clone()), found);
            if wanted.kinds.contains(&Kind::Nic) && record.nics > 0 {
                let nics = manager.nics(&network.name).await?.nics;
                there
                    .0
                    .extend(nics.iter().map(|nic| ((Kind::Nic, format!("{}/{}", network.name, nic.id)), of_nic(nic))));
            }
        }
        Ok(there)
    }

    pub(super) fn has_entry(&self, kind: Kind, name: &str) -> bool {
        self.0.contains_key(&(kind, name.to_owned()))
    }

    /// Whether all that a thing needs is recorded, so that the manager can say what it would do with it.
    pub(super) fn has_what_it_needs(&self, entry: &Entry) -> bool {
        match &entry.body {
            Body::PhysicalNetwork(_) | Body::Host(_) => true,
            Body::Network { body, .. } => self.has_entry(Kind::PhysicalNetwork, &body.physical_network),
            Body::Nic { network, body, .. } => {
                self.has_entry(Kind::Network, network) && self.has_entry(Kind::Host, &body.host)
            }
        }
    }

    /// Those of the kinds of which the files have lists, and that no file names; what others need last.
    pub(super) fn unnamed_entries(&self, wanted: &Wanted) -> Vec<(Kind, String)> {
        let is_unnamed =
            |(kind, name): &&(Kind, String)| wanted.kinds.contains(kind) && !wanted.names_entry(*kind, name);
        self.0.keys().rev().filter(is_unnamed).cloned().collect()
    }

    /// What a thing gets, a line for each field that is another one.
    pub(super) fn entry_changes(&self, entry: &Entry) -> Vec<String> {
        let (new, may_go): (Map<String, Value>, &[&str]) = match &entry.body {
            Body::PhysicalNetwork(body) => (to_fields(body), &["label", "label_xen", "label_kvm"]),
            Body::Host(body) => (to_fields(body), &["rack", "label"]),
            Body::Network { body, kind } => {
                let mut new = to_fields(body);
                new.extend(kind.map(|kind| ("kind".to_owned(), kind.to_string().into())));
                (new, &["ipv6", "mtu"])
            }
            // What is left out of a NIC stays.
            Body::Nic { body, .. } => (to_fields(body), &[]),
        };
        let empty = Map::new();
        let old = self.0.get(&(entry.kind, entry.name.clone())).unwrap_or(&empty);
        let said = |value: Option<&Value>| match value {
            None | Some(Value::Null) => "none".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        };
        let is_new = |field: &str| said(old.get(field)) != said(new.get(field));
        let names = new.keys().map(String::as_str).filter(|field| !HOW.contains(field));
        let gone = may_go.iter().copied().filter(|field| !new.contains_key(*field));
        let differing = names.chain(gone).filter(|field| is_new(field));
        differing.map(|field| format!("{field}: {} → {}", said(old.get(field)), said(new.get(field)))).collect()
    }
}

/// A NIC that is moving counts on the host that it moves to.
fn of_nic(nic: &Nic) -> Map<String, Value> {
    let mut found = to_fields(nic);
    if let Some(to) = &nic.moving_to {
        found.insert("host".to_owned(), to.clone().into());
    }
    found
}
