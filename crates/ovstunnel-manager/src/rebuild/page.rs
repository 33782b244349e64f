//! What is to be recorded, as a page.
//!
//! What it must not do: decide what is.

use std::fmt::Write as _;

use super::Plan;
use crate::import::align_columns;

impl Plan {
    /// The page.
    pub fn to_text(&self) -> String {
        let uuid = self.zone.map_or_else(|| "a new one: no host records any".to_owned(), |zone| zone.to_string());
        let epoch = self.epoch.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
        let mut page = align_columns([["the zone's UUID:", &uuid], ["highest epoch of a host:", &epoch]]);
        let mut rows = vec![["HOST", "NUMBER", "BRIDGES", "MODE", "API"].map(str::to_owned)];
        rows.extend(self.hosts.iter().map(|(number, host, bridges)| {
            let (number, bridges, mode) = (number.to_string(), bridges.to_string(), host.mode.as_str().to_owned());
            [host.name.clone(), number, bridges, mode, host.api.clone()]
        }));
        page.push('\n');
        page.push_str(&align_columns(rows));
        let mut rows = vec![["NETWORK", "NUMBER", "KEY", "PHYSICAL NETWORK", "KIND", "HOSTS"].map(str::to_owned)];
        rows.extend(self.networks.iter().map(|network| {
            let number = network.number.map_or_else(|| "the next".to_owned(), |number| number.to_string());
            let (key, kind) = (network.key.to_string(), network.kind.to_string());
            [network.name.clone(), number, key, network.physical_network.clone(), kind, network.hosts.to_string()]
        }));
        page.push('\n');
        page.push_str(&align_columns(rows));
        page.push('\n');
        // Writing to a String cannot fail, here and below.
        for note in &self.notes {
            let _ = writeln!(page, "{note}");
        }
        for host in &self.left_out {
            let _ = writeln!(
                page,
                "host {host} is left out: register it once it answers, and look at ovstunnelctl zone holds"
            );
        }
        page.push_str(match self.is_recorded {
            true => "Recorded. NICs are not known any more: have them prepared again.\n",
            false => "Nothing was recorded: --apply does it.\n",
        });
        page
    }
}
