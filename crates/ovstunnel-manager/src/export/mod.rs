//! `export`: CloudStack's two tables of tunnels made to say what the hosts have, so that its own OVS tunnel manager can go on.
//!
//! What it does: reads CloudStack's database, asks the running manager by its Unix socket, and says as SQL what has to change; writes it, under
//! CloudStack's locks, where that is asked for. What it must not do: write anything else, or of a host that is not heard of.

mod plan;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::time::Duration;

use ovstunnel_client::{ClientError, Manager};
use ovstunnel_store::cloudstack::{Change, CloudStack, CloudStackError, CloudZone, Tables};
use ovstunnel_types::text::{error_chain, sanitize};

use crate::config::Config;
use crate::import::compare::Picture;
use crate::import::{self, ImportError};
pub use plan::{Item, Plan, States, plan_export};

/// For how long to wait for a lock that a server of CloudStack's has.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The configuration does not say where CloudStack's database is.
    #[error(
        "database.cloudstack_url: is needed to export; it is the address of CloudStack's database, such as \
         mysql://cloud:PASSWORD@192.0.2.9/cloud"
    )]
    NoAddress,
    /// There is nobody who says what the hosts have.
    #[error("the manager does not answer, and it alone says what the hosts have: {}", error_chain(.0))]
    NoManager(ClientError),
    /// Without these tables it cannot be told what has to be there.
    #[error("CloudStack's database has no table {}; nothing was changed", .0.join(", "))]
    Incomplete(Vec<&'static str>),
    /// It cannot be read or written.
    #[error("database.cloudstack_url: {0}")]
    CloudStack(#[from] CloudStackError),
    /// It has no such zone.
    #[error("{0}")]
    Zone(#[from] ImportError),
    /// A statement could not be made a text.
    #[error("{0}")]
    Statement(#[from] ovstunnel_store::StoreError),
}

/// How it is exported.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// Name of CloudStack's zone, where one is named.
    pub zone: Option<&'a str>,
    /// Which words stand for states.
    pub states: States,
    /// That it is written.
    pub apply: bool,
    /// For how long to wait for a lock.
    pub patience: Duration,
}

/// What was found, and done.
#[derive(Clone, Debug, PartialEq)]
pub struct Export {
    /// CloudStack's zone.
    pub zone: CloudZone,
    /// How many hosts are registered with the manager, and how many of them it has heard of.
    pub hosts: (usize, usize),
    /// What has to change.
    pub plan: Plan,
    /// Whether it was written.
    pub is_written: bool,
}

/// Says what has to change, and writes it where that is asked for.
///
/// # Errors
/// The manager does not answer, CloudStack's database cannot be read or does not have the zone; where it is written: a lock is held, or a
/// row has changed meanwhile. Then nothing was changed.
pub async fn export(config: &Config, wanted: Wanted<'_>) -> Result<Export, ExportError> {
    let url = config.database.cloudstack_url.as_deref().ok_or(ExportError::NoAddress)?;
    let manager = Manager::unix(&config.api.socket, import::TIMEOUT);
    let picture =
        import::fetch_picture(&manager, &config.sdn.ovs.default_label).await.map_err(ExportError::NoManager)?;
    let cloud = match wanted.apply {
        true => CloudStack::open_to_write(url).await?,
        false => CloudStack::open(url).await?,
    };
    let done = in_database(&cloud, config, &picture, wanted).await;
    cloud.close().await;
    done
}

async fn in_database(
    cloud: &CloudStack,
    config: &Config,
    picture: &Picture,
    wanted: Wanted<'_>,
) -> Result<Export, ExportError> {
    let found = read(cloud, config, picture, wanted).await?;
    if !wanted.apply || found.plan.items.is_empty() {
        return Ok(found);
    }
    cloud.take_locks(wanted.patience).await?;
    // Read again: a server may have written until it was locked.
    let write = async {
        let found = read(cloud, config, picture, wanted).await?;
        let changes: Vec<Change> = found.plan.items.iter().map(|item| item.change.clone()).collect();
        cloud.apply_changes(&changes).await?;
        Ok(Export { is_written: true, ..found })
    };
    let written: Result<Export, ExportError> = write.await;
    let unlocked = cloud.release_locks().await;
    let written = written?;
    unlocked?;
    Ok(written)
}

async fn read(
    cloud: &CloudStack,
    config: &Config,
    picture: &Picture,
    wanted: Wanted<'_>,
) -> Result<Export, ExportError> {
    let tables: Tables = cloud.read_tables().await?;
    let zone = import::zone_of(&tables, wanted.zone, &config.zone)?;
    let plan = plan_export(&tables, zone.id, picture, wanted.states).map_err(ExportError::Incomplete)?;
    let heard = picture.hosts.values().filter(|host| host.tunnels.is_some()).count();
    Ok(Export { zone, hosts: (picture.hosts.len(), heard), plan, is_written: false })
}

impl Export {
    /// As SQL for MySQL and MariaDB, with comments that say what each statement is for.
    ///
    /// # Errors
    /// Never in practice: the statements are made here.
    pub fn sql(&self) -> Result<String, ExportError> {
        let (registered, heard) = self.hosts;
        let mut page = format!(
            "-- CloudStack's zone {}; {registered} hosts are registered, {heard} of them are heard of\n",
            sanitize(&self.zone.name, 60)
        );
        for left in &self.plan.left {
            // Writing to a String cannot fail, here and below.
            let _ = writeln!(page, "-- left as it is: {left}");
        }
        if self.plan.items.is_empty() {
            page.push_str("-- nothing differs; nothing was changed\n");
            return Ok(page);
        }
        page.push_str("START TRANSACTION;\n");
        for Item { change, why } in &self.plan.items {
            let _ = writeln!(page, "-- {why}\n{};", change.to_sql()?);
        }
        page.push_str("COMMIT;\n");
        let many = self.plan.items.len();
        let rows = if many == 1 { "1 row".to_owned() } else { format!("{many} rows") };
        page.push_str(&match self.is_written {
            true => format!("-- {rows} written, under CloudStack's locks\n"),
            false => {
                format!("-- {rows} to write; nothing was changed. --apply writes them, under CloudStack's locks\n")
            }
        });
        Ok(page)
    }
}
