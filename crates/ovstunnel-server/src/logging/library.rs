//! What libraries say through the crate `log`, above all rustls of clients' bytes.
//!
//! What it does: cuts each of their lines, and lets few warnings through. What it must not do: hold back what somebody asked
//! for by a level below warnings.

use std::time::Duration;

use log::{Log, Metadata, Record};
use tracing_log::LogTracer;

use crate::seldom::Seldom;
use ovstunnel_types::text::foreign_message;

/// Warnings at once, and the time for each one more.
const WARNINGS: (u32, Duration) = (20, Duration::from_secs(10));

/// Passes on to `tracing`.
struct Library {
    tracer: LogTracer,
    warnings: Seldom,
}

/// Has libraries' lines come to the log of this process.
///
/// # Errors
/// When this process has a logger already.
pub(super) fn capture_libraries() -> Result<(), log::SetLoggerError> {
    let (burst, pause) = WARNINGS;
    log::set_boxed_logger(Box::new(Library { tracer: LogTracer::new(), warnings: Seldom::new(burst, pause) }))?;
    log::set_max_level(log::LevelFilter::Trace);
    Ok(())
}

impl Log for Library {
    fn enabled(&self, about: &Metadata<'_>) -> bool {
        self.tracer.enabled(about)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.tracer.enabled(record.metadata()) {
            return;
        }
        let held_back = match record.level() {
            log::Level::Error | log::Level::Warn => match self.warnings.may_write() {
                Some(held_back) => held_back,
                None => return,
            },
            _ => None,
        };
        let mut said = foreign_message(record.args());
        if let Some(more) = held_back {
            said.push_str(&format!(" ({more} more warnings of libraries were left out)"));
        }
        self.tracer.log(
            &Record::builder()
                .metadata(record.metadata().clone())
                .args(format_args!("{said}"))
                .module_path(record.module_path())
                .file(record.file())
                .line(record.line())
                .build(),
        );
    }

    fn flush(&self) {}
}
