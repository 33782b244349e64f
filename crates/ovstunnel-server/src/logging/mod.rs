//! The log: set up once, before anything else runs.
//!
//! What it does: writes each line to the log file on a thread of its own, so that a slow disk never holds up a request,
//! errors and warnings also to standard error (the journal under systemd), and the audit also to a file that no other line
//! can push it out of (docs/adr/0023-strangers.md). Level, format and file can be changed and
//! the file reopened while the daemon runs. What it must not do: stop or block the program for whatever happens to the file; lines
//! that cannot be kept are counted, and the count is logged once that is possible again.

mod file;
mod library;
mod line;
pub mod place;
mod stderr;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;
use tracing::Dispatch;
use tracing::dispatcher::{SetGlobalDefaultError, set_global_default};
use tracing_appender::non_blocking::{NonBlocking, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{DynFilterFn, LevelFilter, Targets};
use tracing_subscriber::fmt::format::{JsonFields, Writer};
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::{Layer, Registry, fmt as lines, reload};

use crate::config::{Level, Log, LogFormat};
use file::{Control, Kind, LogFile};
use stderr::Stderr;

/// Target of what is said when the program cannot run: standard error gets it in a sentence, not as a line of the log.
pub const LAST_WORDS: &str = "ovstunnel::last_words";

/// Target of the lines that the log has of itself.
const TARGET: &str = "ovstunnel_server::logging";

/// Lines that may wait for the disk; more are lost, and counted. The queue takes about 32 bytes a place.
const WAITING_LINES: usize = 8192;

/// The running log. Dropping it writes out what waits, for up to a second: hold it until the very end of `main`.
pub struct Logging {
    program: &'static str,
    in_force: Mutex<InForce>,
    sinks: [Sink; 2],
    #[cfg(feature = "otel")]
    _traces: Option<crate::trace::Collected>,
}

/// One of the two files, and its filters.
struct Sink {
    kind: Kind,
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

/// Starts the log of this process and logs panics too. `program` is the name of the program and of its crate.
///
/// # Errors
/// When this process has a log already. A file that cannot be opened is no error: the lines go to standard error then.
pub fn init_logging(program: &'static str, config: &Log) -> Result<Logging, SetGlobalDefaultError> {
    let (dispatch, logging) = build_logging(program, config);
    set_global_default(dispatch)?;
    // Without a log there is no logger either: nobody else makes one.
    let _ = library::capture_libraries();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let message = text.or(payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
        tracing::error!(place, "panic: {}", message);
    }));
    Ok(logging)
}

type BoxedLayer = Box<dyn Layer<Registry> + Send + Sync>;

/// The log without making it this process's: for tests.
fn build_logging(program: &'static str, config: &Log) -> (Dispatch, Logging) {
    let mut layers: Vec<BoxedLayer> = Vec::new();
    let sinks = [Kind::Log, Kind::Audit].map(|kind| Sink::new(kind, program, config, &mut layers));
    let [log, _] = &sinks;
    layers.push(stderr_layer(program, Arc::clone(&log.control)).boxed());
    #[cfg(feature = "otel")]
    let traces = collected_traces(program, &mut layers);
    let in_force = Mutex::new(InForce { log: config.clone(), level: config.level.clone() });
    let logging = Logging {
        program,
        in_force,
        sinks,
        #[cfg(feature = "otel")]
        _traces: traces,
    };
    (Dispatch::new(Registry::default().with(layers)), logging)
}

/// Has spans handed to a collector, where the environment names one.
#[cfg(feature = "otel")]
fn collected_traces(program: &'static str, layers: &mut Vec<BoxedLayer>) -> Option<crate::trace::Collected> {
    match crate::trace::Collected::from_environment(program) {
        Ok(traces) => {
            layers.extend(traces.iter().map(|traces| traces.layer(program)));
            traces
        }
        Err(error) => {
            report_failure(program, &format!("no traces are collected: {error}"));
            None
        }
    }
}

impl Sink {
    /// Opens the file, and adds its layers: one for each format, of which one is silent.
    fn new(kind: Kind, program: &'static str, config: &Log, layers: &mut Vec<BoxedLayer>) -> Self {
        let control = Arc::new(Control::new(kind, config));
        let file = LogFile::open(program, Arc::clone(&control));
        let name = match kind {
            Kind::Log => "log",
            Kind::Audit => "audit",
        };
        let (writer, guard) = NonBlockingBuilder::default()
            .lossy(true)
            .buffered_lines_limit(WAITING_LINES)
            .thread_name(name)
            .finish(file);
        control.count_dropped(writer.error_counter());
        let mut handle = |format| {
            let (filter, handle) =
                reload::Layer::new(layer_targets(kind, format, config.format, &config.level, program));
            layers.push(file_layer(format, writer.clone()).with_filter(filter).boxed());
            handle
        };
        let (text, json) = (handle(LogFormat::Text), handle(LogFormat::Json));
        Sink { kind, text, json, control, _writes_the_rest: guard }
    }

    fn set_filter(&self, program: &str, format: LogFormat, level: &Level) -> Result<(), LevelError> {
        self.text.reload(layer_targets(self.kind, LogFormat::Text, format, level, program))?;
        self.json.reload(layer_targets(self.kind, LogFormat::Json, format, level, program))?;
        Ok(())
    }
}

/// What the layer of one format lets through while another is in force.
fn layer_targets(kind: Kind, layer: LogFormat, in_force: LogFormat, level: &Level, program: &str) -> Targets {
    match kind {
        _ if layer != in_force => Targets::new(),
        Kind::Log => level.targets(program),
        Kind::Audit => level.targets_of_audit(),
    }
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
fn stderr_layer<S>(program: &'static str, control: Arc<Control>) -> impl Layer<S>
where
    S: tracing::Subscriber + for<'a> tracing_subscriber::registry::LookupSpan<'a>,
{
    let wanted = DynFilterFn::new(move |about, _| {
        *about.level() <= LevelFilter::WARN && !control.all_to_stderr() && about.target() != LAST_WORDS
    })
    .with_max_level_hint(LevelFilter::WARN);
    lines::layer()
        .with_ansi(false)
        .with_timer(Utc)
        .log_internal_errors(false)
        .with_writer(Stderr::of_process(program))
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
        self.set_filters(in_force.log.format, level)?;
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
        self.set_filters(log.format, &log.level)?;
        *in_force = InForce { log: log.clone(), level: log.level.clone() };
        self.sinks.iter().for_each(|sink| sink.control.ask_move(log));
        Ok(())
    }

    fn set_filters(&self, format: LogFormat, level: &Level) -> Result<(), LevelError> {
        self.sinks.iter().try_for_each(|sink| sink.set_filter(self.program, format, level))
    }

    fn in_force(&self) -> MutexGuard<'_, InForce> {
        self.in_force.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the file opened anew before the next line, as after a rotation. If that fails, the old one is kept.
    pub fn reopen(&self) {
        self.sinks.iter().for_each(|sink| sink.control.ask_reopen());
    }

    /// Why one of the files cannot be written now.
    pub fn trouble(&self) -> Option<String> {
        self.sinks.iter().find_map(|sink| sink.control.trouble())
    }

    /// How many lines were lost since the start: not written, or dropped because too many waited.
    pub fn lost_lines(&self) -> u64 {
        self.sinks.iter().map(|sink| sink.control.lost_lines()).sum()
    }
}

/// The audit's file. None where the log is a device or a pipe, and no file is named for the audit.
pub fn audit_file(log: &Log) -> Option<PathBuf> {
    if log.audit_file.is_some() {
        return log.audit_file.clone();
    }
    if std::fs::metadata(&log.file).is_ok_and(|there| !there.is_file() && !there.is_dir()) {
        return None;
    }
    let mut name = log.file.file_stem()?.to_owned();
    name.push("-audit");
    if let Some(ending) = log.file.extension() {
        name.push(".");
        name.push(ending);
    }
    Some(log.file.with_file_name(name))
}

/// Writes into the log why the program cannot run where its configuration cannot be read: into the file that `config` names,
/// as far as that can be told, else into the `usual` one.
pub fn last_words(program: &'static str, config: &Path, usual: Option<&Path>, what: &str) {
    let text = std::fs::read_to_string(config).unwrap_or_default();
    let table = toml::from_str::<toml::Table>(&text).ok();
    let log = table.as_ref().and_then(|table| table.get("log")?.as_table());
    let named = log.and_then(|log| log.get("file")?.as_str()).map(PathBuf::from);
    let usual = || usual.map(Path::to_owned);
    let Some(file) = named.or_else(usual).filter(|file| file.is_absolute()) else { return };
    // It writes what waits when it goes.
    let (dispatch, _writes) = build_logging(program, &Log::at_file(file));
    tracing::dispatcher::with_default(&dispatch, || tracing::error!(target: LAST_WORDS, error = %what, "cannot run"));
}

/// Says on standard error why the program cannot run; in the journal as an error.
pub fn report_failure(program: &'static str, what: &str) {
    Stderr::of_process(program).write_complaint(what);
}

/// RFC 3339 in UTC with milliseconds.
struct Utc;

impl FormatTime for Utc {
    fn format_time(&self, w: &mut Writer<'_>) -> fmt::Result {
        w.write_str(&format_timestamp(OffsetDateTime::now_utc()))
    }
}

fn format_timestamp(t: OffsetDateTime) -> String {
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
