//! `--check`: whether the manager could start, and what of it would not work.
//!
//! What it must not do: change anything, but for making a database where there is none.

use ovstunnel_api::Level;
use ovstunnel_pki::Authority;
use ovstunnel_server::fault::Fault;
use ovstunnel_server::logging::place;
use ovstunnel_store::StoreError;
use time::OffsetDateTime;

use crate::certificates;
use crate::cloudstack::CloudStack;
use crate::config::Config;
use crate::inventory::physical;
use crate::store;
use crate::zone::Zone;

/// A configuration that is good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it would do, in a sentence.
    pub sentence: String,
    /// What may be meant so, or is bad later only.
    pub warnings: Vec<String>,
}

/// All that is wrong, a line for each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct Bad(Vec<String>);

/// Checks certificates, database and log.
///
/// # Errors
/// Names all that keeps the manager from its work.
pub async fn check_config(config: &Config) -> Result<Checked, Bad> {
    let (mut bad, mut warnings) = (Vec::new(), Vec::new());
    let mut sort = |level: Level, text: String| if level == Level::Fail { bad.push(text) } else { warnings.push(text) };
    certificate_faults(config).iter().for_each(|fault| sort(fault.level, fault.to_string()));
    place::log_faults(&config.log).iter().for_each(|fault| sort(fault.level, fault.to_string()));
    if config.identity_files().is_none() {
        warnings.push("no certificate, key and ca are named under [hosts]: no host can be asked".to_owned());
    }
    if let Some(folder) = &config.enrolment.authority
        && let Err(error) = Authority::open(folder).and_then(|authority| authority.can_write())
    {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        bad.push(format!("[enrolment] authority: {error}{cause}"));
    }
    if let Err(error) = CloudStack::from_config(&config.cloudstack, &Zone::new(&config.zone).0) {
        bad.push(error.to_string());
    }
    let (hosts, differences) = check_database(config).await.unwrap_or_else(|error| {
        let names_its_key = matches!(&error, StoreError::Invalid { field, .. } if field.starts_with("[database]"));
        bad.push(if names_its_key { error.to_string() } else { format!("[database] url: {error}") });
        (0, Vec::new())
    });
    warnings.extend(differences);
    if !bad.is_empty() {
        return Err(Bad(bad));
    }
    let https = config.https_listener().map_or_else(|| "off".to_owned(), |(listen, _)| format!("on {listen}"));
    let (zone, socket) = (&config.zone, config.api.socket.display());
    let sentence =
        format!("the configuration is good: zone {zone}, {hosts} hosts, HTTPS {https}, Unix socket {socket}");
    Ok(Checked { sentence, warnings })
}

/// How many hosts are registered, and where the configuration's physical networks differ from those that are recorded.
async fn check_database(config: &Config) -> Result<(usize, Vec<String>), StoreError> {
    let store = store::open_store(config).await?;
    let recorded = store.physical_networks().await?;
    // An empty table is filled at start.
    let configured = if recorded.is_empty() { &[][..] } else { &config.physical_networks };
    Ok((store.hosts().await?.len(), physical::physical_differences(configured, &recorded)))
}

fn certificate_faults(config: &Config) -> Vec<Fault> {
    certificates::certificate_faults(config, None, OffsetDateTime::now_utc())
}

/// Says in the log what is wrong with the certificates of a manager that starts with them all the same.
pub fn tell_of_certificates(config: &Config) {
    certificate_faults(config).iter().for_each(Fault::tell_of_certificate);
}
