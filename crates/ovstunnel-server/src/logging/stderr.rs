//! Standard error, which is the journal under systemd.
//!
//! What it does: writes lines there, for the journal with their priority in front, so that `journalctl -p err` finds them.
//! What it must not do: fail; standard error may be closed, and then nobody can be told.

use std::io::{self, Write};

use tracing::{Level, Metadata};
use tracing_subscriber::fmt::MakeWriter;

use super::line::{bounded_line, single_line};

/// Priorities of sd-daemon(3).
const ERROR: &str = "<3>";
const WARNING: &str = "<4>";
const INFO: &str = "<6>";
const DEBUG: &str = "<7>";

/// Makes writers for standard error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stderr {
    program: &'static str,
    is_journal: bool,
}

impl Stderr {
    /// The one of this process: systemd says in `JOURNAL_STREAM` which file the journal is.
    pub(super) fn of_process(program: &'static str) -> Self {
        let told = std::env::var("JOURNAL_STREAM").ok();
        let opened = nix::sys::stat::fstat(io::stderr()).ok();
        let is_journal =
            told.zip(opened).is_some_and(|(told, file)| told == format!("{}:{}", file.st_dev, file.st_ino));
        Stderr { program, is_journal }
    }

    fn with_priority(self, priority: &'static str) -> Line {
        Line { priority: if self.is_journal { priority } else { "" }, of_log: false }
    }

    /// Passes a line of the log on.
    pub(super) fn pass_on(self, line: &[u8]) -> io::Result<()> {
        Line { of_log: true, ..self.with_priority(line_priority(line)) }.write_all(line)
    }

    /// Says something where the log itself is the trouble.
    pub(super) fn write_complaint(self, what: &str) {
        let _ = self.with_priority(ERROR).write_all(format!("{}: {what}\n", self.program).as_bytes());
    }
}

impl<'a> MakeWriter<'a> for Stderr {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { of_log: true, ..self.with_priority(INFO) }
    }

    fn make_writer_for(&'a self, about: &Metadata<'_>) -> Line {
        let line = self.with_priority(match *about.level() {
            Level::ERROR => ERROR,
            Level::WARN => WARNING,
            Level::INFO => INFO,
            _ => DEBUG,
        });
        Line { of_log: true, ..line }
    }
}

/// Writes what it is given, each line of it with a priority in front.
#[derive(Debug)]
pub(super) struct Line {
    priority: &'static str,
    /// It is one of the log, and has no breaks inside.
    of_log: bool,
}

impl Write for Line {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let single = if self.of_log { single_line(text) } else { text.into() };
        let bounded = bounded_line(&single);
        let lines = bounded.split_inclusive(|byte| *byte == b'\n');
        // All at once, so that lines of several threads do not mix.
        io::stderr()
            .write_all(&lines.flat_map(|line| [self.priority.as_bytes(), line]).collect::<Vec<_>>().concat())?;
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

/// The priority of a line of the log, of either format.
fn line_priority(line: &[u8]) -> &'static str {
    let line = String::from_utf8_lossy(line);
    let after = match line.split_once("\"level\":\"") {
        Some((_, after)) if line.starts_with('{') => after,
        // The time has no spaces.
        _ => line.split_once(' ').map_or("", |(_, after)| after).trim_start(),
    };
    match after.split([' ', '"']).next() {
        Some("ERROR") => ERROR,
        Some("WARN") => WARNING,
        Some("DEBUG" | "TRACE") => DEBUG,
        _ => INFO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lines_priority_is_its_level() {
        let cases = [
            ("2026-01-02T03:04:05.678Z ERROR ovstunneld: WARN", ERROR),
            ("2026-01-02T03:04:05.678Z  WARN x: y", WARNING),
            ("2026-01-02T03:04:05.678Z  INFO x: ERROR", INFO),
            ("2026-01-02T03:04:05.678Z DEBUG x", DEBUG),
            ("{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"level\":\"ERROR\",\"message\":\"x\"}", ERROR),
            ("{\"timestamp\":\"2026-01-02T03:04:05.678Z\",\"level\":\"INFO\",\"message\":\"ERROR\"}", INFO),
            ("", INFO),
        ];
        for (line, expected) in cases {
            assert_eq!(line_priority(line.as_bytes()), expected, "{line}");
        }
    }
}
