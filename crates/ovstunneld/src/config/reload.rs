//! What of a new configuration a running daemon takes up.
//!
//! What it does: names the keys that differ, and says which of them need a restart. What it must not do: take anything
//! up; that is done by whoever uses it.

use std::collections::BTreeMap;

use ovstunnel_server::config::Tls;
use serde_json::Value;

use super::{Config, Ovs};

/// Keys that hold for the life of the process. All others are taken up on SIGHUP.
pub const NEEDS_RESTART: [&str; 10] = [
    "api.listen",
    "api.socket",
    "ovs.rundir",
    "ovs.bin_dir",
    "ovs.timeout",
    "ovs.writes",
    "xapi.enabled",
    "xapi.xe",
    "xapi.timeout",
    "xapi.inventory",
];

/// The keys in which two configurations differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Those that are taken up at once.
    pub taken_up: Vec<String>,
    /// Those that need a restart.
    pub needs_restart: Vec<String>,
}

impl Config {
    /// Each key, such as `log.level`, with its value; `tls.clients` is one. Keys without a value are left out.
    pub fn config_values(&self) -> BTreeMap<String, Value> {
        // Text, numbers and lists of them: serde_json cannot fail on it.
        let Ok(Value::Object(sections)) = serde_json::to_value(self) else { return BTreeMap::new() };
        let keys = sections.into_iter().flat_map(|(section, keys)| {
            let Value::Object(keys) = keys else { return Vec::new() };
            keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)).collect()
        });
        keys.filter(|(_, value)| !value.is_null()).collect()
    }

    /// What is different in `of`, the key in a file of the same name included.
    pub fn difference(&self, of: &Config) -> Difference {
        let (old, new) = (self.config_values(), of.config_values());
        let mut names: Vec<String> = old.keys().chain(new.keys()).cloned().collect();
        names.sort();
        names.dedup();
        let other_key = self.tunnel.ipsec_psk_file != of.tunnel.ipsec_psk_file;
        names.retain(|name| old.get(name) != new.get(name) || (other_key && name == "tunnel.ipsec_psk_file"));
        let (needs_restart, taken_up) = names.into_iter().partition(|name| NEEDS_RESTART.contains(&name.as_str()));
        Difference { taken_up, needs_restart }
    }

    /// `new`, with what needs a restart as it is here. While HTTPS is served its files are never without a name.
    #[must_use]
    pub fn with_what_can_change(&self, new: &Config) -> Config {
        let ovs = Ovs { datapath_type: new.ovs.datapath_type.clone(), ..self.ovs.clone() };
        let tls: Option<Tls> = new.tls.clone().or_else(|| self.tls.clone());
        Config { api: self.api.clone(), ovs, xapi: self.xapi.clone(), tls, ..new.clone() }
    }
}
