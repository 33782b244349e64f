//! `--watch`: reads anew whenever something changes, until it is interrupted.
//!
//! What it does: at a terminal the new text takes the old one's place; elsewhere a text is written where it differs from the last
//! one. What it must not do: end because the daemon is away for a moment; that is told, and it asks again.

use std::io::{self, Write};
use std::time::Duration;

use ovstunnel_api::{Code, Position, WatchEvent};
use ovstunnel_manager_api::ZoneEvent;

use super::report::at_a_terminal;
use super::{Failure, Report};
use crate::client::{Client, ClientError, Manager, Watch};

/// Between two readings where nothing tells of changes, and between two tries to be told.
const INTERVAL: Duration = Duration::from_secs(1);

/// Changes that come so close together are shown together.
const TOGETHER: Duration = Duration::from_millis(100);

/// As long as changes go on, they are shown at least so often; where there are none, what is no change of the host (how old
/// something is) is read so often.
const AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// Moves the cursor of a terminal to its first place and clears all that follows.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Who tells of changes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// A host's daemon.
    Daemon(&'a Client),
    /// A zone's manager.
    Manager(&'a Manager),
    /// Nobody.
    Nobody,
}

/// Calls `read` once where `watching` is false, else whenever something has changed on the daemon's host or in the manager's zone, or every
/// second where nobody tells of changes.
///
/// # Errors
/// When the first reading fails, so that a wrong name is told at once, or when nothing can be written.
pub(super) async fn repeat_report(
    source: Source<'_>,
    watching: bool,
    mut read: impl AsyncFnMut() -> Result<Report, Failure>,
) -> Result<Report, Failure> {
    let mut last = read().await?;
    if !watching {
        return Ok(last);
    }
    let terminal = at_a_terminal();
    let mut changes = Changes::from_source(source);
    let mut written = last.write(if terminal { CLEAR } else { "" });
    loop {
        match written {
            // The reader went away (`| head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Report::from_text(String::new())),
            Err(error) => return Err(Failure::Output(error)),
            Ok(()) => changes.wait_change().await,
        }
        written = match read().await {
            Ok(report) if terminal => report.write(CLEAR),
            Ok(report) if report.is_like(&last) => Ok(()),
            Ok(report) => {
                last = report;
                last.write("")
            }
            Err(failure @ Failure::Client(_)) => print_failure(&failure, terminal),
            Err(failure) => return Err(failure),
        };
    }
}

/// A stream of changes.
enum Stream {
    Host(Watch),
    Zone(Watch<ZoneEvent>),
}

impl Stream {
    /// The next event: its position, and whether it tells of a change; nothing at the end.
    async fn next(&mut self) -> Option<(Option<Position>, bool)> {
        match self {
            Stream::Host(watch) => {
                let (position, event) = watch.next().await.ok()??;
                Some((position, event != WatchEvent::Ping))
            }
            Stream::Zone(watch) => {
                let (position, event) = watch.next().await.ok()??;
                Some((position, event != ZoneEvent::Ping))
            }
        }
    }
}

impl Source<'_> {
    async fn open_stream(self, last: Option<&Position>) -> Option<Result<Stream, ClientError>> {
        match self {
            Source::Daemon(client) => Some(client.watch(last).await.map(Stream::Host)),
            Source::Manager(manager) => Some(manager.watch(last).await.map(Stream::Zone)),
            Source::Nobody => None,
        }
    }
}

/// What is told of changes.
pub(super) struct Changes<'a> {
    source: Source<'a>,
    watch: Option<Stream>,
    last: Option<Position>,
    /// There is nobody, or it is of a version that does not tell.
    told_by_none: bool,
}

impl<'a> Changes<'a> {
    /// Nothing yet: it begins with the first wait.
    pub(super) fn from_source(source: Source<'a>) -> Changes<'a> {
        Changes { source, watch: None, last: None, told_by_none: matches!(source, Source::Nobody) }
    }

    /// Waits until there may be something to read.
    pub(super) async fn wait_change(&mut self) {
        if self.told_by_none || !self.is_there().await {
            return tokio::time::sleep(INTERVAL).await;
        }
        let changed = async {
            while self.next().await == Some(false) {}
            let end = tokio::time::Instant::now() + AT_LEAST_EVERY;
            while tokio::time::Instant::now() < end && self.changes_within(TOGETHER).await {}
        };
        drop(tokio::time::timeout(2 * AT_LEAST_EVERY, changed).await);
        if self.watch.is_none() {
            // It is away, or hangs: reading tells.
            tokio::time::sleep(TOGETHER).await;
        }
    }

    /// Begins to watch where that is not so.
    async fn is_there(&mut self) -> bool {
        if self.watch.is_none() {
            match self.source.open_stream(self.last.as_ref()).await {
                Some(Ok(watch)) => self.watch = Some(watch),
                Some(Err(ClientError::Problem(problem))) if problem.code == Code::NotFound => {
                    let every = INTERVAL.as_secs();
                    let who = if matches!(self.source, Source::Manager(_)) { "manager" } else { "daemon" };
                    eprintln!("This {who} does not tell of changes, as newer ones do; it is asked every {every} s.");
                    self.told_by_none = true;
                }
                Some(Err(_)) | None => {}
            }
        }
        self.watch.is_some()
    }

    /// The next event: whether it tells of a change; nothing where the watch has ended.
    async fn next(&mut self) -> Option<bool> {
        match self.watch.as_mut()?.next().await {
            Some((position, is_change)) => {
                self.last = position.or(self.last.take());
                Some(is_change)
            }
            None => {
                self.watch = None;
                None
            }
        }
    }

    async fn changes_within(&mut self, time: Duration) -> bool {
        tokio::time::timeout(time, self.next()).await.is_ok_and(|event| event == Some(true))
    }
}

fn print_failure(failure: &Failure, terminal: bool) -> io::Result<()> {
    if terminal {
        print!("{CLEAR}");
        io::stdout().flush()?;
    }
    failure.print(false);
    Ok(())
}
