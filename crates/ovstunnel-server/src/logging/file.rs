//! The log file as something to write lines to.
//!
//! What it does: appends lines, opens the file anew when asked or when it is not there any more, begins a new one when it
//! is full, counts lines that it cannot write and says how many once it can again. What it must not do: fail or panic,
//! whatever the disk does, or take more than twice the size that it may.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use time::OffsetDateTime;
use tracing_appender::non_blocking::ErrorCounter;

use super::line::{bounded_line, single_line};
use super::stderr::Stderr;
use super::{TARGET, format_timestamp};
use crate::config::{Log, LogFormat};

/// How often it is looked whether the file is still the one under that name, and tried to open one that could not be.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Where lines go.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    path: PathBuf,
    format: LogFormat,
    /// Bytes.
    max_size: u64,
}

/// Which of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// All lines that the level lets through.
    Log,
    /// Those of the audit alone, which no other line can push out.
    Audit,
}

impl Place {
    fn of_kind(kind: Kind, log: &Log) -> Self {
        let path = match kind {
            Kind::Log => log.file.clone(),
            // Where there is none its lines are in the log.
            Kind::Audit => super::audit_file(log).unwrap_or_else(|| "/dev/null".into()),
        };
        Place { path, format: log.format, max_size: log.max_size.as_u64() }
    }
}

/// What the rest of the program and the writing thread tell each other.
#[derive(Debug)]
pub(super) struct Control {
    kind: Kind,
    reopen: AtomicBool,
    place: Mutex<Place>,
    all_to_stderr: AtomicBool,
    unwritten: AtomicU64,
    /// Why the file cannot be written now.
    trouble: Mutex<Option<String>>,
    dropped: OnceLock<ErrorCounter>,
}

impl Control {
    pub(super) fn new(kind: Kind, log: &Log) -> Self {
        Control {
            kind,
            reopen: AtomicBool::new(false),
            place: Mutex::new(Place::of_kind(kind, log)),
            all_to_stderr: AtomicBool::new(false),
            unwritten: AtomicU64::new(0),
            trouble: Mutex::default(),
            dropped: OnceLock::new(),
        }
    }

    /// Adds the count of lines dropped before they reach the writing thread.
    pub(super) fn count_dropped(&self, counter: ErrorCounter) {
        // A second counter is never given; if it were, the first one stays.
        let _ = self.dropped.set(counter);
    }

    pub(super) fn ask_reopen(&self) {
        self.reopen.store(true, Ordering::Release);
    }

    /// Has lines go elsewhere, or in another format, from the next one on.
    pub(super) fn ask_move(&self, log: &Log) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Place::of_kind(self.kind, log);
        self.ask_reopen();
    }

    fn current_place(&self) -> Place {
        self.place.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn all_to_stderr(&self) -> bool {
        self.all_to_stderr.load(Ordering::Relaxed)
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_trouble(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn lost_lines(&self) -> u64 {
        self.unwritten.load(Ordering::Relaxed) + self.dropped.get().map_or(0, |c| c.dropped_lines() as u64)
    }
}

/// The log file. Each `write` is one line.
#[derive(Debug)]
pub(super) struct LogFile {
    place: Place,
    control: Arc<Control>,
    stderr: Stderr,
    file: Option<File>,
    /// Bytes in it, as far as we know.
    size: u64,
    /// The last write stopped inside a line.
    torn: bool,
    /// Losing lines now: said on standard error once.
    failing: bool,
    /// Lost lines that the log has spoken of.
    told: u64,
    /// What was last said about a file that cannot be opened.
    complaint: Option<String>,
    looked: Instant,
}

impl LogFile {
    /// Opens the file for appending. If that fails, says so on standard error, where all lines go until it succeeds.
    pub(super) fn open(program: &'static str, control: Arc<Control>) -> Self {
        let mut this = LogFile {
            place: control.current_place(),
            control,
            stderr: Stderr::of_process(program),
            file: None,
            size: 0,
            torn: false,
            failing: false,
            told: 0,
            complaint: None,
            looked: Instant::now(),
        };
        this.reopen();
        this
    }

    fn reopen(&mut self) {
        match OpenOptions::new().append(true).create(true).mode(0o640).open(&self.place.path) {
            Ok(file) => {
                self.size = file.metadata().map_or(0, |metadata| metadata.len());
                self.file = Some(file);
                self.torn = false;
                if self.complaint.take().is_some() {
                    let words = "the log file can be opened again; what was said meanwhile is in the old one or on standard error";
                    // Should that fail, the next line says how many are lost.
                    let _ = self.write_note(words);
                }
            }
            Err(e) => {
                // A file without a name is one that nobody will read.
                if self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|metadata| metadata.nlink() == 0)) {
                    self.file = None;
                }
                self.complain_of_opening(&e);
            }
        }
        self.control.all_to_stderr.store(self.file.is_none(), Ordering::Relaxed);
    }

    /// Once, not at each of the attempts.
    fn complain_of_opening(&mut self, e: &io::Error) {
        let then = if self.file.is_some() { "the old one is kept" } else { "logging to standard error" };
        let complaint = format!("cannot open the log file {}: {e}; {then}", self.place.path.display());
        if self.complaint.as_ref() != Some(&complaint) {
            self.stderr.write_complaint(&complaint);
            self.complaint = Some(complaint);
        }
    }

    /// Whether there is none, or it was deleted or moved without a SIGHUP: lines must not go on into a file that nobody sees.
    fn should_be_opened(&mut self) -> bool {
        if self.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked = Instant::now();
        let Some(file) = &self.file else { return true };
        match (file.metadata(), std::fs::metadata(&self.place.path)) {
            (Ok(open), Ok(named)) => {
                self.size = open.len();
                !is_same(&open, &named)
            }
            (_, Err(e)) => e.kind() == io::ErrorKind::NotFound,
            (Err(_), _) => false,
        }
    }

    /// Begins a new file where the line would make this one too large.
    fn make_room(&mut self, line: usize) -> io::Result<()> {
        let needed = |size: u64| size > 0 && size + line as u64 > self.place.max_size;
        let Some(file) = self.file.as_ref().filter(|_| needed(self.size)) else { return Ok(()) };
        let open = file.metadata()?;
        // Somebody may have cut it meanwhile (copytruncate); and a device or a pipe has no size.
        self.size = if open.is_file() { open.len() } else { 0 };
        if !needed(self.size) {
            return Ok(());
        }
        if let Err(e) = rotate_file(&self.place.path, &open) {
            self.stderr.write_complaint(&format!("cannot rename the full log file: {e}; it is emptied"));
            file.set_len(0)?;
            self.size = 0;
            return self.write_note(&format!("the log file was full and could not be renamed: {e}; it was emptied"));
        }
        self.reopen();
        Ok(())
    }

    fn write_line(&mut self, line: &[u8]) -> io::Result<()> {
        self.make_room(line.len())?;
        if self.file.is_none() {
            return self.stderr.pass_on(line);
        }
        if std::mem::take(&mut self.torn) {
            self.write_bytes(b"\n")?;
        }
        let lost = self.control.lost_lines();
        if lost > self.told {
            let lines = if lost - self.told == 1 { "line was" } else { "lines were" };
            self.write_note(&format!("{} {lines} lost", lost - self.told))?;
            self.told = lost;
        }
        self.write_bytes(line)
    }

    /// A line of our own.
    fn write_note(&mut self, words: &str) -> io::Result<()> {
        let now = format_timestamp(OffsetDateTime::now_utc());
        let line = match self.place.format {
            LogFormat::Text => format!("{now}  WARN {TARGET}: {words}\n"),
            LogFormat::Json => {
                let line = serde_json::json!({"timestamp": now, "level": "WARN", "message": words, "target": TARGET});
                format!("{line}\n")
            }
        };
        self.write_bytes(line.as_bytes())
    }

    /// Writes all of `bytes`, or notes that only a part could be written.
    fn write_bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut rest = bytes;
        while !rest.is_empty() {
            match file.write(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(n) => {
                    rest = &rest[n..];
                    self.size += n as u64;
                    self.torn = !rest.is_empty();
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

/// Gives the full file its older name, also where the log's name is a link to it. One that another process has begun anew
/// already is left alone.
fn rotate_file(path: &Path, full: &Metadata) -> io::Result<()> {
    let real = std::fs::canonicalize(path)?;
    if !is_same(&std::fs::metadata(&real)?, full) {
        return Ok(());
    }
    let mut older = real.clone().into_os_string();
    older.push(".1");
    std::fs::rename(&real, older)
}

impl Write for LogFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.control.reopen.swap(false, Ordering::AcqRel) {
            self.place = self.control.current_place();
            self.reopen();
        } else if self.should_be_opened() {
            self.reopen();
        }
        match self.write_line(&bounded_line(&single_line(line))) {
            Ok(()) => {
                if std::mem::take(&mut self.failing) {
                    self.control.set_trouble(None);
                }
            }
            Err(e) => {
                self.control.unwritten.fetch_add(1, Ordering::Relaxed);
                if !std::mem::replace(&mut self.failing, true) {
                    self.control.set_trouble(Some(format!("{}: {e}", self.place.path.display())));
                    let path = self.place.path.display();
                    self.stderr
                        .write_complaint(&format!("cannot write the log file {path}: {e}; lines are being lost"));
                }
            }
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(()) // nothing is held back
    }
}
