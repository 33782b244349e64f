//! The log file as something to write lines to.
//!
//! What it does: appends lines, opens the file anew when asked or when it is not there any more, counts lines that it
//! cannot write and says how many once it can again. What it must not do: fail or panic, whatever the disk does.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tracing_appender::non_blocking::ErrorCounter;

use super::timestamp;
use crate::config::LogFormat;

/// How often it is looked whether the file is still the one under that name.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What the rest of the daemon and the writing thread tell each other.
#[derive(Debug, Default)]
pub(super) struct Control {
    reopen: AtomicBool,
    all_to_stderr: AtomicBool,
    unwritten: AtomicU64,
    dropped: OnceLock<ErrorCounter>,
}

impl Control {
    /// Adds the count of lines dropped before they reach the writing thread.
    pub(super) fn count_dropped(&self, counter: ErrorCounter) {
        // A second counter is never given; if it were, the first one stays.
        let _ = self.dropped.set(counter);
    }

    pub(super) fn ask_reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    pub(super) fn all_to_stderr(&self) -> bool {
        self.all_to_stderr.load(Ordering::Relaxed)
    }

    pub(super) fn lost_lines(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed) + self.dropped.get().map_or(0, |c| c.dropped_lines() as u64)
    }
}

/// The log file. Each `write` is one line.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    format: LogFormat,
    control: Arc<Control>,
    file: Option<File>,
    /// The last write stopped inside a line.
    torn: bool,
    /// Losing lines now: said on standard error once.
    failing: bool,
    /// Lost lines that the log has spoken of.
    told: u64,
    looked: Instant,
}

impl LogFile {
    /// Opens `path` for appending. If that fails, says so on standard error, where all lines go until a reopen succeeds.
    pub(super) fn open(path: &Path, format: LogFormat, control: Arc<Control>) -> Self {
        let mut this = LogFile {
            path: path.to_owned(),
            format,
            control,
            file: None,
            torn: false,
            failing: false,
            told: 0,
            looked: Instant::now(),
        };
        this.reopen();
        this
    }

    fn reopen(&mut self) {
        match OpenOptions::new().append(true).create(true).mode(0o640).open(&self.path) {
            Ok(file) => {
                self.file = Some(file);
                self.torn = false;
            }
            Err(e) => {
                let then = if self.file.is_some() { "the old one is kept" } else { "logging to standard error" };
                complain(&format!("cannot open the log file {}: {e}; {then}", self.path.display()));
            }
        }
        self.control.all_to_stderr.store(self.file.is_none(), Ordering::Relaxed);
    }

    /// Deleted or moved without a SIGHUP: lines must not go on into a file that nobody sees.
    fn is_gone(&mut self) -> bool {
        let Some(file) = &self.file else { return false };
        if self.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked = Instant::now();
        match (file.metadata(), std::fs::metadata(&self.path)) {
            (Ok(open), Ok(named)) => (open.dev(), open.ino()) != (named.dev(), named.ino()),
            (_, Err(e)) => e.kind() == io::ErrorKind::NotFound,
            (Err(_), _) => false,
        }
    }

    fn line(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return io::stderr().write_all(line) };
        if self.torn {
            put(file, b"\n", &mut self.torn)?;
            self.torn = false;
        }
        let lost = self.control.lost_lines();
        if lost > self.told {
            put(file, notice(lost - self.told, self.format).as_bytes(), &mut self.torn)?;
            self.told = lost;
        }
        put(file, line, &mut self.torn)
    }
}

/// Writes all of `bytes`; `torn` becomes true when only a part could be written.
fn put(file: &mut File, bytes: &[u8], torn: &mut bool) -> io::Result<()> {
    let mut rest = bytes;
    while !rest.is_empty() {
        match file.write(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                rest = &rest[n..];
                *torn = !rest.is_empty();
            }
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

fn notice(lost: u64, format: LogFormat) -> String {
    let now = timestamp(OffsetDateTime::now_utc());
    let lines = if lost == 1 { "1 line was lost".to_owned() } else { format!("{lost} lines were lost") };
    match format {
        LogFormat::Text => format!("{now}  WARN ovstunneld::logging: {lines}\n"),
        LogFormat::Json => {
            format!(
                "{{\"timestamp\":\"{now}\",\"level\":\"WARN\",\"message\":\"{lines}\",\"target\":\"ovstunneld::logging\"}}\n"
            )
        }
    }
}

/// Says something where the log file itself is the trouble. Standard error may be closed: then nobody can be told.
fn complain(what: &str) {
    let _ = writeln!(io::stderr(), "ovstunneld: {what}");
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.control.reopen.swap(false, Ordering::AcqRel) || self.is_gone() {
            self.reopen();
        }
        match self.line(line) {
            Ok(()) => self.failing = false,
            Err(e) => {
                self.control.unwritten.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    complain(&format!("cannot write the log file {}: {e}; lines are being lost", self.path.display()));
                }
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is held back
    }
}
