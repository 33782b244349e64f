//! `import`: what differs between CloudStack's database, the hosts of the zone, and what the manager has.
//!
//! What it does: reads CloudStack's database, asks the running manager by its Unix socket, has both compared, and says what differs. What
//! it must not do: write, to whichever database, or ask a host by itself.

pub mod compare;
pub mod finding;
mod report;

use std::time::Duration;

use ovstunnel_client::{ClientError, Manager};
use ovstunnel_manager_api::{Host, HostState};
use ovstunnel_store::cloudstack::{CloudStack, CloudStackError, CloudZone, Tables};

use crate::config::Config;
use compare::{Picture, SeenHost};
pub(crate) use report::align_columns;
pub use report::{Answered, Counts, Report};

/// How long each question to the manager may take.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(20);

/// Why nothing was compared.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// Without `--dry-run`.
    #[error("import writes nothing yet: say --dry-run to see what differs")]
    OnlyDry,
    /// The configuration does not say where CloudStack's database is.
    #[error(
        "database.cloudstack_url: is needed to import; it is the address of CloudStack's database, such as \
         mysql://reader:PASSWORD@192.0.2.9/cloud"
    )]
    NoAddress,
    /// It cannot be read.
    #[error("database.cloudstack_url: {0}")]
    CloudStack(#[from] CloudStackError),
    /// It has no such zone.
    #[error("CloudStack has no zone {wanted:?}, but {}; name one of them with --zone", zone_names(.zones))]
    NoZone {
        /// What was looked for.
        wanted: String,
        /// The zones that there are.
        zones: Vec<CloudZone>,
    },
}

fn zone_names(zones: &[CloudZone]) -> String {
    match zones {
        [] => "none at all".to_owned(),
        zones => zones.iter().map(|zone| format!("{:?}", zone.name)).collect::<Vec<_>>().join(", "),
    }
}

/// Compares, and says what differs.
///
/// # Errors
/// CloudStack's database cannot be read, or does not have the zone. A manager that does not answer is no error: then the tables are
/// compared with each other.
pub async fn compare_zone(config: &Config, zone: Option<&str>) -> Result<Report, ImportError> {
    let url = config.database.cloudstack_url.as_deref().ok_or(ImportError::NoAddress)?;
    let cloud = CloudStack::open(url).await?;
    let tables = cloud.read_tables().await;
    cloud.close().await;
    let tables = tables?;
    let of = zone_of(&tables, zone, &config.zone)?;
    let manager = Manager::unix(&config.api.socket, TIMEOUT);
    let seen = fetch_picture(&manager, &config.sdn.ovs.default_label).await;
    let findings = compare::compare(&tables, of.id, seen.as_ref().ok());
    let answered = match &seen {
        Ok(picture) => {
            let heard = picture.hosts.values().filter(|host| host.tunnels.is_some()).count();
            Answered::Yes { hosts: picture.hosts.len(), heard }
        }
        Err(error) => Answered::No { reason: ovstunnel_types::text::error_chain(error) },
    };
    Ok(Report::new(&tables, of, answered, findings))
}

/// The zone that is wanted: the one that is named, else the one that has the name of ours, else the only one.
pub(crate) fn zone_of(tables: &Tables, named: Option<&str>, own: &str) -> Result<CloudZone, ImportError> {
    let by_name = |name: &str| tables.zones.iter().find(|zone| zone.name == name).cloned();
    let only = || match tables.zones.as_slice() {
        [only] if named.is_none() => Some(only.clone()),
        _ => None,
    };
    let wanted = named.unwrap_or(own);
    by_name(wanted)
        .or_else(only)
        .ok_or_else(|| ImportError::NoZone { wanted: wanted.to_owned(), zones: tables.zones.clone() })
}

/// The hosts as the manager sees them.
pub(crate) async fn fetch_picture(manager: &Manager, default_label: &str) -> Result<Picture, ClientError> {
    let mut picture = Picture::default();
    for host in manager.hosts().await?.hosts {
        let Host { name, number, label, state, ip, netmask, mac, .. } = host;
        let tunnels = match state {
            HostState::Ok | HostState::Degraded => manager.host_tunnels(&name).await?.tunnels,
            HostState::Connecting | HostState::Silent => None,
        };
        let label = label.unwrap_or_else(|| default_label.to_owned());
        picture.hosts.insert(number, SeenHost { name, label, ip, netmask, mac, tunnels });
    }
    Ok(picture)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    #[test]
    fn the_zone_is_named_or_has_our_name_or_is_the_only_one() {
        let zone = |id: u64, name: &str| CloudZone { id, name: name.into() };
        let two = Tables { zones: vec![zone(1, "dc1"), zone(2, "dc2")], ..Tables::default() };
        let one = Tables { zones: vec![zone(7, "Zone 7")], ..Tables::default() };
        assert_eq!(zone_of(&two, None, "dc2").unwrap().id, 2);
        assert_eq!(zone_of(&two, Some("dc1"), "dc2").unwrap().id, 1);
        assert_eq!(zone_of(&one, None, "zone1").unwrap().id, 7);
        assert!(zone_of(&one, Some("zone1"), "zone1").is_err());
        let error = zone_of(&two, None, "zone1").unwrap_err().to_string();
        assert_eq!(error, r#"CloudStack has no zone "zone1", but "dc1", "dc2"; name one of them with --zone"#);
        let none = zone_of(&Tables::default(), None, "zone1").unwrap_err().to_string();
        assert!(none.contains("but none at all"), "{none}");
    }
}
