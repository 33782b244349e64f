//! Whether the log can be written. Must not write to it.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use ovstunnel_api::Finding;

use super::finding::{About, fail, ok, or_ok, warn};
use super::{Program, room};
use crate::logging::place::LITTLE;

/// Whether a file can be opened for writing, without making it.
pub type Open = Result<(), (ErrorKind, String)>;

/// What was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The log.
    pub file: PathBuf,
    /// Whether it can be written.
    pub open: Open,
    /// Bytes that may still be written on its file system.
    pub free: Option<u64>,
    /// The same of the audit's file, where there is one.
    pub audit: Option<(PathBuf, Open)>,
    /// Lines that were lost since the start.
    pub lost: u64,
    /// Why it cannot be written now, as the program found.
    pub trouble: Option<String>,
}

fn can_be_opened(file: &Path) -> Open {
    OpenOptions::new().append(true).open(file).map(drop).map_err(|error| (error.kind(), error.to_string()))
}

/// Looks at the files; `lost` and `trouble` are what the running program says.
pub fn collect_facts(file: &Path, audit: Option<PathBuf>, lost: u64, trouble: Option<String>) -> Facts {
    let folder = file.parent().unwrap_or(Path::new("/"));
    let free = room::free_bytes(folder);
    let audit = audit.map(|audit| (audit.clone(), can_be_opened(&audit)));
    Facts { file: file.to_owned(), open: can_be_opened(file), free, audit, lost, trouble }
}

/// That a file cannot be written.
fn unwritable_finding(program: Program, what: &str, file: &Path, open: &Open) -> Option<Finding> {
    let shown = file.display();
    let finding = match open {
        Ok(()) => return None,
        Err((ErrorKind::NotFound, _)) => warn(
            "log",
            format!("the {what} {shown} is not there: it was moved or deleted"),
            format!("`systemctl reload {}` has it opened anew; its folder must be there", program.unit),
        ),
        Err((_, error)) => fail(
            "log",
            format!("the {what} {shown} cannot be written: {error}"),
            format!(
                "mend the folder, its rights or the file system, then `systemctl reload {}`; meanwhile the journal has the lines",
                program.unit
            ),
        ),
    };
    Some(finding.about(shown))
}

/// What is wrong with them.
pub fn check_log(program: Program, facts: &Facts) -> Vec<Finding> {
    let word = program.word;
    let file = facts.file.display();
    let open = unwritable_finding(program, "log file", &facts.file, &facts.open);
    let audit = facts.audit.as_ref().and_then(|(file, open)| unwritable_finding(program, "audit's file", file, open));
    let full = facts.free.filter(|free| *free < LITTLE).map(|free| {
        let reason = format!("the file system of {file} has {} KiB left", free / 1024);
        let remedy = format!("make room: the {word} goes on without its log, but lines are lost");
        if free == 0 { fail("log", reason, remedy) } else { warn("log", reason, remedy) }
    });
    // It says why, so that the count alone says no more.
    let failing = facts.trouble.as_ref().filter(|_| open.is_none() && full.is_none()).map(|trouble| {
        let reason = format!("the log cannot be written: {trouble}; {} lines are lost", facts.lost);
        fail(
            "log",
            reason,
            format!(
                "make room, or mend the file system: the {word} goes on and writes again by itself; warnings are in the journal, too"
            ),
        )
    });
    let lost = (facts.lost > 0 && failing.is_none() && full.is_none() && open.is_none()).then(|| {
        let reason = format!("{} lines of the log were lost since the {word} started", facts.lost);
        warn(
            "log",
            reason,
            "see that the file can be written and its disk is fast enough; a lower `[log] level` writes less",
        )
    });
    let about_log = [full, failing, lost].into_iter().flatten().map(|finding| finding.about(&file));
    let findings = [open, audit].into_iter().flatten().chain(about_log);
    or_ok(findings.collect(), || ok("log", format!("{file} can be written")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use ovstunnel_api::Level;

    use super::*;

    const DAEMON: Program = Program { unit: "d", word: "daemon", callers: "" };

    #[test]
    fn a_log_that_is_gone_full_or_closed_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        let levels = |facts: &Facts| check_log(DAEMON, facts).iter().map(|f| f.level).collect::<Vec<_>>();
        assert_eq!(levels(&collect_facts(&file, None, 0, None)), [Level::Warn]);
        std::fs::write(&file, "").unwrap();
        let good = collect_facts(&file, None, 0, None);
        assert_eq!(levels(&good), [Level::Ok]);
        assert_eq!(levels(&Facts { free: Some(0), ..good.clone() }), [Level::Fail]);
        assert_eq!(levels(&Facts { free: Some(4096), lost: 3, ..good.clone() }), [Level::Warn]);
        assert_eq!(levels(&Facts { lost: 3, ..good.clone() }), [Level::Warn]);
        assert_eq!(levels(&Facts { lost: 3, trouble: Some("x".into()), ..good }), [Level::Fail]);
        assert_eq!(levels(&collect_facts(dir.path(), None, 0, None)), [Level::Fail], "a folder in its place");
        let audit = dir.path().join("audit");
        let found = check_log(DAEMON, &collect_facts(&file, Some(audit.clone()), 0, None));
        assert_eq!((found[0].level, found[0].subject.as_deref()), (Level::Warn, audit.to_str()));
    }
}
