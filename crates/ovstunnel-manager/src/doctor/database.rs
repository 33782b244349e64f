//! Whether the database can be used, is whole, of this program's schema, and has room. Must not write to it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use ovstunnel_api::Finding;
use ovstunnel_server::doctor::finding::{About, fail, ok, or_ok, warn};
use ovstunnel_server::doctor::room;
use ovstunnel_server::logging::place::LITTLE;
use ovstunnel_store::{Inspection, StoreError};

use super::PATIENCE;
use crate::config::Config;

/// What the database said of itself; nothing where it did not in time.
pub(super) type Said = Option<Result<Inspection, StoreError>>;

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The zone in the configuration.
    zone: String,
    /// SQLite's file, where it is SQLite.
    file: Option<File>,
    said: Said,
    /// A manager has it open.
    is_open: bool,
}

/// SQLite's file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct File {
    path: PathBuf,
    /// Mode; none where it is not there.
    mode: Option<u32>,
    /// Bytes that may still be written on its file system.
    free: Option<u64>,
}

/// The path of SQLite's file.
pub(super) fn sqlite_path(config: &Config) -> Option<PathBuf> {
    config.database.url.as_str().strip_prefix("sqlite://").map(PathBuf::from)
}

pub(super) fn collect_facts(config: &Config, said: Said, is_open: bool) -> Facts {
    let file = sqlite_path(config).map(|path| {
        let about = std::fs::metadata(&path).ok();
        let folder = path.parent().unwrap_or(Path::new("/"));
        File { mode: about.map(|about| about.mode() & 0o777), free: room::free_bytes(folder), path }
    });
    Facts { zone: config.zone.clone(), file, said, is_open }
}

pub(super) fn check_database(facts: &Facts) -> Vec<Finding> {
    // In a test nothing is in a file.
    let in_memory = matches!(&facts.said, Some(Ok(said)) if said.engine == "memory");
    let file = facts.file.as_ref().filter(|_| !in_memory);
    let mut findings = Vec::new();
    match file {
        Some(File { path, mode: None, .. }) if !facts.is_open => {
            return vec![ok("database", format!("{} is not there yet: the first start makes it", path.display()))];
        }
        Some(File { path, mode: None, .. }) => {
            let reason = format!("{} is not there: it was moved or deleted while the manager runs", path.display());
            let remedy = "put it back with the manager stopped; what was written since then is lost with the next restart otherwise";
            findings.push(fail("database", reason, remedy));
        }
        _ => {}
    }
    findings.extend(of_content(facts));
    findings.extend(file.and_then(of_rights));
    findings.extend(file.and_then(of_room));
    let about = file.map(|file| file.path.display().to_string());
    let findings = findings.into_iter().map(|finding| match &about {
        Some(path) => finding.about(path),
        None => finding,
    });
    or_ok(findings.collect(), || healthy_finding(facts))
}

fn healthy_finding(facts: &Facts) -> Finding {
    match &facts.said {
        Some(Ok(said)) => {
            ok("database", format!("{} with schema {} can be used and is whole", said.engine, said.schema))
        }
        // It would have been told.
        _ => ok("database", "nothing is known against it"),
    }
}

fn of_content(facts: &Facts) -> Vec<Finding> {
    const RESTORE: &str =
        "`systemctl stop ovstunnel-manager`, keep the file, put a backup in its place, and start it again";
    let said = match &facts.said {
        Some(Ok(said)) => said,
        Some(Err(error)) => return vec![fail("database", error.to_string(), error_remedy(error))],
        None => {
            let reason = format!("it did not say within {} s how it is", PATIENCE.as_secs());
            return vec![warn("database", reason, "see whether its disk is slow or busy, and ask again")];
        }
    };
    let mut findings = Vec::new();
    if said.schema > said.known {
        let reason = format!(
            "it has schema {}, which a newer program made; this one knows {}: the next start would fail",
            said.schema, said.known
        );
        findings.push(fail("database", reason, "install the newer program again, or restore a backup from before"));
    }
    if let Some(zone) = said.zone.as_ref().filter(|zone| **zone != facts.zone) {
        let reason = format!("it is that of zone {zone}, and the configuration says {}", facts.zone);
        findings.push(fail("database", reason, format!("set `zone = \"{zone}\"`, or name another `[database] url`")));
    }
    if let Some(damage) = &said.damage {
        findings.push(fail("database", format!("it is damaged: {}", damage.replace('\n', " ")), RESTORE));
    }
    findings
}

/// What to do where it cannot even say how it is.
fn error_remedy(error: &StoreError) -> &'static str {
    match error {
        StoreError::Corrupt { .. } => {
            "`systemctl stop ovstunnel-manager`, keep the file, put a backup in its place, and start it again"
        }
        StoreError::Full { .. } => "make room where it lies; nothing has been lost",
        StoreError::ReadOnly { .. } => "make the file, its folder and its file system writable",
        StoreError::Locked { .. } => "end the other program that has it open, such as a backup",
        _ => "see that `[database] url` names it, and that the manager may read it",
    }
}

fn of_rights(file: &File) -> Option<Finding> {
    let mode = file.mode.filter(|mode| mode & 0o077 != 0)?;
    let shown = file.path.display();
    let reason = format!("it can be read or changed by others than its owner (mode {mode:04o})");
    Some(warn("database", reason, format!("`chmod 600 {shown}`")))
}

fn of_room(file: &File) -> Option<Finding> {
    let free = file.free.filter(|free| *free < LITTLE)?;
    let reason = format!("its file system has {} KiB left", free / 1024);
    let remedy = "make room, or keep events for a shorter time (`[events] keep`): without room hosts cannot be registered, and events wait";
    Some(if free == 0 { fail("database", reason, remedy) } else { warn("database", reason, remedy) })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ovstunnel_api::Level;

    use super::*;

    fn facts() -> Facts {
        let said = Inspection { engine: "SQLite", schema: 1, known: 1, zone: Some("dc1".into()), damage: None };
        let file = File { path: "/x/m.db".into(), mode: Some(0o600), free: Some(1 << 40) };
        Facts { zone: "dc1".into(), file: Some(file), said: Some(Ok(said)), is_open: true }
    }

    fn with(said: impl FnOnce(&mut Inspection), file: impl FnOnce(&mut File)) -> Facts {
        let mut facts = facts();
        if let Some(Ok(of)) = &mut facts.said {
            said(of);
        }
        file(facts.file.as_mut().unwrap());
        facts
    }

    #[test]
    fn each_fault_has_its_reason_and_remedy() {
        assert_eq!(check_database(&facts()).iter().map(|f| f.level).collect::<Vec<_>>(), [Level::Ok]);
        for (facts, level, words) in [
            (with(|said| said.schema = 7, |_| {}), Level::Fail, "schema 7"),
            (with(|said| said.zone = Some("dc2".into()), |_| {}), Level::Fail, "that of zone dc2"),
            (with(|said| said.damage = Some("page 7".into()), |_| {}), Level::Fail, "page 7"),
            (with(|_| {}, |file| file.mode = Some(0o644)), Level::Warn, "mode 0644"),
            (with(|_| {}, |file| file.mode = None), Level::Fail, "moved or deleted"),
            (with(|_| {}, |file| file.free = Some(4096)), Level::Warn, "4 KiB left"),
            (with(|_| {}, |file| file.free = Some(0)), Level::Fail, "0 KiB left"),
            (Facts { said: None, ..facts() }, Level::Warn, "did not say within"),
            (
                Facts { said: Some(Err(StoreError::Full { reason: "disk".into() })), ..facts() },
                Level::Fail,
                "has no space left",
            ),
        ] {
            let found = check_database(&facts);
            assert_eq!((found.len(), found[0].level), (1, level), "{found:?}");
            assert!(found[0].reason.contains(words) && found[0].remedy.is_some(), "{words}: {found:?}");
        }
        let not_made = Facts { is_open: false, ..with(|_| {}, |file| file.mode = None) };
        assert_eq!(check_database(&not_made)[0].level, Level::Ok);
    }
}
