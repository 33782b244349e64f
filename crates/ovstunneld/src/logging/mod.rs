//! The log: set up once, before anything else runs.
//!
//! What it does: writes each line to the log file on a thread of its own, so that a slow disk never holds up a request,
//! and errors and warnings also to standard error (the journal under systemd). Level, format and file can be changed and
//! the file reopened while the daemon runs. What it must not do: stop or block the daemon for whatever happens to the file; lines
//! that cannot be kept are counted, and the count is logged once that is possible again.

mod file;
mod stderr;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tracing::Dispatch;
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{DynFilterFn, LevelFilter, Targets};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry, fmt as lines, reload};

use crate::config::{Level, Log, LogFormat};
use file::{Control, LogFile};
use stderr::Stderr;

/// Lines that may wait for the disk; more are lost, and counted. The queue takes about 32 bytes a place.
const WAITING_LINES: usize = 8192;

/// The running log. Dropping it writes out what waits, for up to a second: hold it until the very end of `main`.
pub struct Logging {
    in_force: Mutex<InForce>,
    text: reload::Handle<Targets, Registry>,
    json: reload::Handle<Targets, Registry>,
    control: Arc<Control>,
    _writes_the_rest: WorkerGuard,
}

/// What the log follows now.
#[derive(Clone, Debug)]
struct InForce {
    log: Log,
    /// Differs from the configured one where it was set by hand.
    level: Level,
}

impl fmt::Debug for Logging {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logging").field("level", &self.level().as_str()).finish_non_exhaustive()
    }
}

/// The level could not be changed.
#[derive(Debug, thiserror::Error)]
#[error("cannot change the log level")]
pub struct LevelError(#[from] reload::Error);

/// Starts the log of this process and logs panics too.
///
/// # Errors
/// When this process has a log already. A file that cannot be opened is no error: the lines go to standard error then.
pub fn init(config: &Log) -> Result<Logging, tracing_subscriber::util::TryInitError> {
    let (dispatch, logging) = build(config);
    dispatch.try_init()?;
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        tracing::error!(place, "panic: {}", message);
    }));
    Ok(logging)
}

/// The log without making it this process's: for tests.
fn build(config: &Log) -> (Dispatch, Logging) {
    let control = Arc::new(Control::new(config));
    let file = LogFile::open(Arc::clone(&control));
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).buffered_lines_limit(WAITING_LINES).thread_name("log").finish(file);
    control.count_dropped(writer.error_counter());
    // One layer for each format, of which one is silent.
    let (text_filter, text) = reload::Layer::new(targets(LogFormat::Text, config.format, &config.level));
    let (json_filter, json) = reload::Layer::new(targets(LogFormat::Json, config.format, &config.level));
    let layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = vec![
        file_layer(LogFormat::Text, writer.clone()).with_filter(text_filter).boxed(),
        file_layer(LogFormat::Json, writer).with_filter(json_filter).boxed(),
        stderr_layer(Arc::clone(&control)).boxed(),
    ];
    let in_force = Mutex::new(InForce { log: config.clone(), level: config.level.clone() });
    (
        Dispatch::new(Registry::default().with(layers)),
        Logging { in_force, text, json, control, _writes_the_rest: guard },
    )
}

/// What the layer of one format lets through while another is in force.
fn targets(layer: LogFormat, in_force: LogFormat, level: &Level) -> Targets {
    if layer == in_force { level.targets() } else { Targets::new() }
}

fn file_layer(format: LogFormat, writer: NonBlocking) -> Box<dyn Layer<Registry> + Send + Sync> {
    let layer = lines::layer().with_ansi(false).with_timer(Utc).log_internal_errors(false).with_writer(writer);
    match format {
        LogFormat::Text => Box::new(layer),
        LogFormat::Json => Box::new(
            layer
                .json()
                .fmt_fields(JsonFields::new())
                .flatten_event(true)
                .with_current_span(false)
                .with_span_list(true),
        ),
    }
}

/// Errors and warnings, unless all lines go to standard error anyway because the log file could not be opened.
fn stderr_layer<S>(control: Arc<Control>) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let wanted = DynFilterFn::new(move |about, _| *about.level() <= LevelFilter::WARN && !control.all_to_stderr())
        .with_max_level_hint(LevelFilter::WARN);
    lines::layer()
        .with_ansi(false)
        .with_timer(Utc)
        .log_internal_errors(false)
        .with_writer(Stderr::here())
        .with_filter(wanted)
}

impl Logging {
    /// The level in force.
    pub fn level(&self) -> Level {
        self.in_force().level.clone()
    }

    /// What the configuration says, whatever was set by hand.
    pub fn configured(&self) -> Log {
        self.in_force().log.clone()
    }

    /// Changes the level, from the next line on, until the configuration is read again.
    ///
    /// # Errors
    /// When the log is gone, at the end of the process.
    pub fn set_level(&self, level: &Level) -> Result<(), LevelError> {
        let mut in_force = self.in_force();
        self.filter(in_force.log.format, level)?;
        in_force.level = level.clone();
        Ok(())
    }

    /// Follows a configuration: level, format, file and its size. A file that cannot be opened is tried again and again,
    /// while the old one is kept.
    ///
    /// # Errors
    /// As [`Logging::set_level`].
    pub fn configure(&self, log: &Log) -> Result<(), LevelError> {
        let mut in_force = self.in_force();
        self.filter(log.format, &log.level)?;
        *in_force = InForce { log: log.clone(), level: log.level.clone() };
        self.control.ask_move(log);
        Ok(())
    }

    fn filter(&self, format: LogFormat, level: &Level) -> Result<(), LevelError> {
        self.text.reload(targets(LogFormat::Text, format, level))?;
        self.json.reload(targets(LogFormat::Json, format, level))?;
        Ok(())
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the file opened anew before the next line, as after a rotation. If that fails, the old one is kept.
    pub fn reopen(&self) {
        self.control.ask_reopen();
    }

    /// How many lines were lost since the start: not written, or dropped because too many waited.
    pub fn lost_lines(&self) -> u64 {
        self.control.lost_lines()
    }
}

/// Says on standard error why the daemon cannot run; in the journal as an error.
pub fn complain(what: &str) {
    Stderr::here().complain(what);
}

/// RFC 3339 in UTC with milliseconds.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(&timestamp(OffsetDateTime::now_utc()))
    }
}

fn timestamp(t: OffsetDateTime) -> String {
    let (date, time) = (t.date(), t.time());
    format!(
        "{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        date.year(),
        u8::from(date.month()),
        date.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond()
    )
}

#[cfg(test)]
mod tests;
