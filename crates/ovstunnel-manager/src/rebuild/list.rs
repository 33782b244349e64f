//! The list of hosts, as a TOML file.
//!
//! What it must not do: ask a host.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::path::Path;

use ovstunnel_client::Endpoint;
use ovstunnel_manager_api::Mode;
use ovstunnel_server::config::{self, ConfigError};
use ovstunnel_types::{GreKey, HostNumber, NetworkNumber, TunnelKind, is_plain_name};
use serde::Deserialize;

use crate::config::{NAME_MAX, is_label};

const NAME: &str =
    "must be 1 to 63 characters of A-Z, a-z, 0-9, `.`, `_` and `-`, of which the first is not `.` or `-`";

/// The hosts of the zone, and what nobody but the operator knows of its networks.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct List {
    /// The hosts.
    pub hosts: Vec<Listed>,
    /// Networks that have another name than `net-<key>`, or of which hosts do not say enough.
    #[serde(default)]
    pub networks: Vec<Named>,
}

/// A host.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed {
    /// Its name.
    pub name: String,
    /// Where its daemon listens.
    pub api: String,
    /// Its number, where its bridges do not say it.
    pub number: Option<u64>,
    /// The rack it is in.
    pub rack: Option<String>,
    /// Its own label.
    pub label: Option<String>,
    /// What may be done to it.
    #[serde(default)]
    pub mode: Mode,
}

/// A network.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Named {
    /// Its key, which the hosts have.
    pub key: u32,
    /// Its name.
    pub name: String,
    /// Its number: CloudStack's id.
    pub number: Option<u64>,
    /// Its physical network, where several have the key in their ranges.
    pub physical_network: Option<String>,
    /// The kind that its tunnels are to have, where it is not the one that its bridges have.
    pub kind: Option<TunnelKind>,
}

impl List {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be read, or a value in it breaks its rule: named with its place.
    pub fn read_file(file: &Path) -> Result<List, ConfigError> {
        let list: List = config::parse_config(&config::read_config(file, false)?, file)?;
        list.check_rules().map_err(|what| ConfigError::Refused { file: file.to_owned(), what })?;
        Ok(list)
    }

    fn check_rules(&self) -> Result<(), String> {
        if self.hosts.is_empty() {
            return Err("hosts: must name at least one host".to_owned());
        }
        self.hosts
            .iter()
            .enumerate()
            .try_for_each(|(at, host)| host.check_rules(&|field| format!("hosts[{at}].{field}")))?;
        let networks = &self.networks;
        networks
            .iter()
            .enumerate()
            .try_for_each(|(at, network)| network.check_rules(&|field| format!("networks[{at}].{field}")))?;
        check_unique("hosts", "name", self.hosts.iter().map(|host| Some(&host.name)))?;
        check_unique("hosts", "api", self.hosts.iter().map(|host| Some(&host.api)))?;
        check_unique("hosts", "number", self.hosts.iter().map(|host| host.number.as_ref()))?;
        check_unique("networks", "key", networks.iter().map(|network| Some(&network.key)))?;
        check_unique("networks", "name", networks.iter().map(|network| Some(&network.name)))?;
        check_unique("networks", "number", networks.iter().map(|network| network.number.as_ref()))
    }
}

fn broken_rule(place: &str, rule: &str, value: impl Display) -> String {
    format!("{place}: {rule}; got {:?}", value.to_string())
}

/// That no value stands twice.
fn check_unique<T: Ord + Display>(
    of: &str,
    field: &str,
    values: impl Iterator<Item = Option<T>>,
) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for (at, value) in values.enumerate() {
        let Some(value) = value else { continue };
        if seen.contains(&value) {
            return Err(broken_rule(&format!("{of}[{at}].{field}"), "is that of another one above", value));
        }
        seen.insert(value);
    }
    Ok(())
}

impl Listed {
    fn check_rules(&self, place: &dyn Fn(&str) -> String) -> Result<(), String> {
        if !is_plain_name(&self.name, NAME_MAX) {
            return Err(broken_rule(&place("name"), NAME, &self.name));
        }
        Endpoint::parse_url(&self.api).map_err(|rule| broken_rule(&place("api"), &rule, &self.api))?;
        if let Some(Err(bad)) = self.number.map(HostNumber::try_from) {
            return Err(broken_rule(&place("number"), bad.rule, bad.value));
        }
        if let Some(bad) = self.rack.as_ref().filter(|rack| !is_plain_name(rack, NAME_MAX)) {
            return Err(broken_rule(&place("rack"), NAME, bad));
        }
        match self.label.as_ref().filter(|label| !is_label(label)) {
            Some(bad) => {
                Err(broken_rule(&place("label"), "must be 1 to 45 characters, none of them a control character", bad))
            }
            None => Ok(()),
        }
    }
}

impl Named {
    fn check_rules(&self, place: &dyn Fn(&str) -> String) -> Result<(), String> {
        if let Err(bad) = GreKey::try_from(i64::from(self.key)) {
            return Err(broken_rule(&place("key"), bad.rule, bad.value));
        }
        if let Some(kind) = self.kind.filter(|kind| !kind.keys().contains(&self.key)) {
            return Err(broken_rule(&place("key"), &kind.key_rule(), self.key));
        }
        if let Some(Err(bad)) = self.number.map(NetworkNumber::try_from) {
            return Err(broken_rule(&place("number"), bad.rule, bad.value));
        }
        match is_plain_name(&self.name, NAME_MAX) && !self.name.starts_with("key-") {
            true => Ok(()),
            false => Err(broken_rule(&place("name"), &format!("{NAME}, and must not begin with `key-`"), &self.name)),
        }
    }
}
