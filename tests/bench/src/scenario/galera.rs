//! NICs that come and go while the manager's database is three nodes of a Galera cluster: answers, rows, memory, and the size of the events that are
//! kept. Must not kill anything.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use anyhow::{Result, ensure};
use ovstunnel_e2e::Databases;
use ovstunnel_hollow::{Hollow, Manager, Plan};

use super::nics;
use crate::page::{MANAGER, grouped};
use crate::report::{Found, Goal, Line, Unit};
use crate::scale::Scale;

/// The same zone each time.
const SEED: u64 = 1;

/// Nodes of the cluster.
const NODES: usize = 3;

/// How many events are kept at most, as the manager's configuration has it.
const KEPT: f64 = 1_500_000.0;

pub fn run(scale: &Scale) -> Result<Found> {
    crate::progress(&format!("{NODES} nodes of Galera, and {} hollow hosts", grouped(scale.zone.hosts)));
    let dir = tempfile::Builder::new().prefix("ovstunnel-galera-").tempdir()?;
    // The servers run as another user.
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o755))?;
    let databases = Databases::on_loopback(dir.path(), NODES)?;
    let hollow = Hollow::new(Plan::new(scale.zone, SEED)?, |_| false)?;
    let mut manager = Manager::with_database(&hollow, "off", &databases.url(1))?;
    manager.register(&hollow)?;
    manager.wait_until_whole(&hollow)?;
    let before = nics::last_event(&manager)?;
    let mut lines = nics::events(&hollow, &manager, scale)?;
    ensure!(hollow.counts().writes == 0, "the manager has sent a host a request that writes: {:?}", hollow.counts());
    let rows = nics::last_event(&manager)?;
    ensure!(rows > before, "no event was kept");
    // Of few rows a table's file tells too much.
    #[allow(clippy::cast_precision_loss)]
    let each = databases.table_size(1, "ovstunnel_event")? as f64 / rows as f64;
    lines.push(Line::new(MANAGER, "the same: bytes of an event in the table", Unit::Number, each, 1));
    let what = "the same: all events that are kept at most";
    lines.push(Line::new(MANAGER, what, Unit::Bytes, each * KEPT, 1).goal(Goal::at_most(
        each * KEPT / 1e9,
        1.0,
        "GB",
        "for `[events] most`",
    )));
    Ok(Found { lines, curves: vec![] })
}
