//! What a bug report needs of this manager, as named texts.
//!
//! What it does: puts together configuration, findings, the zone's hosts and networks with the proofs of those that are not whole, what has
//! happened, the database's numbers, and the ends of log and audit. What it must not do: open a key file, show an address of a database with its
//! password, or grow without bound: each text has a limit, and what is cut says so.

use ovstunnel_api::{DoctorAnswer, SupportPart};
use ovstunnel_bundle::leave_out;
use ovstunnel_manager_api::{NetworkState, Overview};
use ovstunnel_server::bounded::{end, keep_beginning};
use ovstunnel_server::logging::audit_file;
use serde::Serialize;
use serde_json::json;
use time::OffsetDateTime;

use crate::certificates;
use crate::config::Config;
use crate::document::complete_proof;
use crate::records::{Records, Wanted};
use crate::zone::{Page, Zone};

/// Longest of a single text, in bytes.
const PART: usize = 2 << 20;

/// Networks that are not whole which are listed.
const NETWORKS: usize = 500;

/// Those of them whose proofs are there, too.
const PROOFS: usize = 20;

/// Events, the newest.
const EVENTS: usize = 1000;

/// The running manager.
#[derive(Debug)]
pub struct Running<'a> {
    /// The configuration in force.
    pub config: &'a Config,
    /// The zone.
    pub zone: &'a Zone,
    /// The database.
    pub records: &'a Records,
    /// The zone in numbers.
    pub overview: Overview,
    /// What is wrong.
    pub found: DoctorAnswer,
    /// The numbers for Prometheus.
    pub metrics: String,
}

/// Puts the parts together. What cannot be had is said in its part.
pub async fn collect_parts(running: &Running<'_>) -> Vec<SupportPart> {
    let Running { config, zone, records, overview, found, metrics } = running;
    let mut parts = of_files(config);
    let page = Page {
        states: Some(vec![NetworkState::Broken, NetworkState::Settling]),
        host: None,
        search: None,
        page: 1,
        limit: NETWORKS,
    };
    let (networks, total) = zone.networks(&page);
    let worst = networks.iter().take(PROOFS).filter_map(|network| zone.proof(zone.network_key(&network.name)?));
    let proofs: Vec<_> = worst.map(|proof| complete_proof(proof, None)).collect();
    let events = records.events(Wanted { limit: EVENTS, ..Wanted::default() }).await;
    parts.extend([
        new_part("doctor.json", to_pretty_json(found)),
        new_part("overview.json", to_pretty_json(overview)),
        new_part("hosts.json", to_pretty_json(&zone.hosts())),
        new_part("networks-not-whole.json", to_pretty_json(&json!({"total": total, "networks": networks}))),
        new_part("proofs-not-whole.json", to_pretty_json(&proofs)),
        new_part(
            "events.json",
            events.map_or_else(|error| format!("cannot be read: {error}\n"), |events| to_pretty_json(&events)),
        ),
        new_part("database.txt", database_lines(records).await),
        new_part("metrics.txt", metrics.clone()),
    ]);
    parts
}

/// What can be had without a running manager.
pub fn of_files(config: &Config) -> Vec<SupportPart> {
    let mut parts = vec![
        new_part("versions.txt", version_lines()),
        new_part("configuration.json", redacted_config(config)),
        new_part("certificates.txt", certificate_lines(config)),
        new_part("log.txt", end(&config.log.file, PART)),
    ];
    parts.extend(audit_file(&config.log).map(|audit| new_part("log-audit.txt", end(&audit, PART))));
    parts
}

fn new_part(name: &str, mut text: String) -> SupportPart {
    leave_out(&mut text);
    SupportPart { name: name.to_owned(), text: keep_beginning(text, PART) }
}

fn to_pretty_json(value: &impl Serialize) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|error| error.to_string())
}

fn version_lines() -> String {
    let time = OffsetDateTime::now_utc();
    format!("ovstunnel-manager {}\ntime: {time}\n", env!("CARGO_PKG_VERSION"))
}

/// The address of CloudStack's database is left out as a whole: it is never written.
fn redacted_config(config: &Config) -> String {
    let is_set = if config.database.cloudstack_url.is_some() { "is set, and left out here" } else { "is not set" };
    format!("{}\n\ndatabase.cloudstack_url {is_set}\n", to_pretty_json(config))
}

/// Whose, and until when: nothing else of them.
fn certificate_lines(config: &Config) -> String {
    let mut text = String::new();
    for file in certificates::certificate_files(config) {
        text.push_str(&format!("[{}] {} = {}\n", file.section, file.key, file.path.display()));
        match file.content {
            Err(error) => text.push_str(&format!("  {error}\n")),
            Ok(all) => all.iter().for_each(|one| {
                let (subject, issuer) = (&one.subject, &one.issuer);
                text.push_str(&format!("  {subject}, of {issuer}, from {} to {}\n", one.not_before, one.not_after));
            }),
        }
    }
    if text.is_empty() { "none are named\n".to_owned() } else { text }
}

async fn database_lines(records: &Records) -> String {
    let said = match records.inspect_database().await {
        Ok(said) => format!("{}, schema {} of {}, damage: {:?}\n", said.engine, said.schema, said.known, said.damage),
        Err(error) => format!("cannot be inspected: {error}\n"),
    };
    let rows = match records.count_rows().await {
        Ok(counts) => counts.iter().map(|(table, rows)| format!("{table}: {rows} rows\n")).collect(),
        Err(error) => format!("cannot be counted: {error}\n"),
    };
    said + &rows
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use std::path::Path;

    use super::*;

    #[test]
    fn the_address_of_a_database_is_never_told() {
        let url = "mysql://reader:geheim@192.0.2.9/cloud";
        let text = format!("[database]\ncloudstack_url = \"{url}\"\n");
        let config = Config::parse(&text, Path::new("m.toml")).unwrap();
        let told: String = of_files(&config).into_iter().map(|part| part.text).collect();
        assert!(told.contains("cloudstack_url is set") && !told.contains("geheim"), "{told}");
        let mut line = format!("a line of a log: cannot connect to {url}\n");
        leave_out(&mut line);
        assert!(!line.contains("geheim") && line.contains("192.0.2.9/cloud"), "{line}");
    }
}
