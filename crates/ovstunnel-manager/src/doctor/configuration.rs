//! What the configuration file says beside what is in force. Must not take anything up.

use std::collections::BTreeMap;
use std::path::Path;

use ovstunnel_api::Level;
use ovstunnel_server::doctor::configuration::Facts;
use serde_json::Value;
use time::OffsetDateTime;

use super::Doctor;
use crate::certificates::{self, under_hosts_key};
use crate::config::{Config, DEFAULT_PATH};

pub(super) fn collect_facts(doctor: &Doctor) -> Facts {
    let file = doctor.subjects.file.as_deref();
    let mut facts = Facts { file: file.unwrap_or(Path::new(DEFAULT_PATH)).display().to_string(), ..Facts::default() };
    match Config::load(file) {
        Err(error) => facts.stops = Some(error.to_string()),
        Ok(new) => {
            facts.stops = start_failure(&doctor.config, &new);
            // A reload takes up no key.
            facts.to_restart = differing_keys(&doctor.config, &new);
        }
    }
    facts.files = replaced_files(doctor);
    facts
}

/// Why a start with this configuration would fail for its certificates. What is wrong with the files in force is told as such.
fn start_failure(in_force: &Config, new: &Config) -> Option<String> {
    let files = |config: &Config| config.identity_files().map(|files| format!("{files:?}"));
    if new.tls == in_force.tls && files(new) == files(in_force) {
        return None;
    }
    let faults = certificates::certificate_faults(new, None, OffsetDateTime::now_utc());
    let worst = faults.into_iter().find(|fault| fault.level == Level::Fail)?;
    Some(worst.to_string().replace("\n ", ":"))
}

/// Sections with their keys whose files were replaced and not read again.
fn replaced_files(doctor: &Doctor) -> Vec<(&'static str, Vec<&'static str>)> {
    let of_listener = doctor.subjects.tls.as_ref().zip(doctor.config.https_listener());
    let changed = of_listener.map(|(tls, (_, files))| tls.changed_files(&files)).unwrap_or_default();
    let is_stale = doctor.subjects.signer.as_ref().is_some_and(|signer| signer.is_stale());
    match (doctor.config.tls.is_some(), changed.is_empty(), is_stale) {
        (false, false, _) => vec![("hosts", changed.into_iter().map(under_hosts_key).collect())],
        (_, _, true) => vec![("hosts", vec!["certificate"]), ("tls", changed)],
        _ => vec![("tls", changed)],
    }
}

/// The keys in which two configurations differ.
fn differing_keys(old: &Config, new: &Config) -> Vec<String> {
    let (old, new) = (config_values(old), config_values(new));
    let mut names: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
    names.sort();
    names.dedup();
    names.retain(|name| old.get(name) != new.get(name));
    names
}

/// Each key, such as `log.level`, with its value. The address of CloudStack's database is not among them: the running manager does not use it.
fn config_values(config: &Config) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    // Text, numbers and lists of them: serde_json cannot fail on it.
    flatten_value("", serde_json::to_value(config).unwrap_or_default(), &mut all);
    all
}

fn flatten_value(name: &str, value: Value, all: &mut BTreeMap<String, Value>) {
    match value {
        Value::Null => {}
        Value::Object(pairs) => pairs.into_iter().for_each(|(key, value)| {
            let name = if name.is_empty() { key } else { format!("{name}.{key}") };
            flatten_value(&name, value, all);
        }),
        value => {
            all.insert(name.to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn keys_that_differ_are_named_in_full() {
        let config = |text: &str| Config::parse(text, Path::new("m.toml")).unwrap();
        let (old, new) = (
            config("zone = \"dc1\"\n[database]\ncloudstack_url = \"mysql://u:geheim@h/cloud\"\n"),
            config("zone = \"dc2\"\nsdn.ovs.default_label = \"eth1\"\n[log]\nlevel = \"debug\"\n"),
        );
        assert_eq!(differing_keys(&old, &new), ["log.level", "sdn.ovs.default_label", "zone"]);
        assert_eq!(differing_keys(&old, &old), Vec::<String>::new());
    }
}
