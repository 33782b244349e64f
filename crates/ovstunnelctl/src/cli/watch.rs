//! `--watch`: reads again and again, until it is interrupted.
//!
//! What it does: at a terminal the new text takes the old one's place; elsewhere a text is written where it differs from the last
//! one. What it must not do: end because the daemon is away for a moment; that is told, and it asks again.

use std::io::{self, Write};
use std::time::Duration;

use super::report::at_a_terminal;
use super::{Failure, Report};

/// Between two readings.
const INTERVAL: Duration = Duration::from_secs(1);

/// Moves the cursor of a terminal to its first place and clears all that follows.
const CLEAR: &str = "\u{1b}[H\u{1b}[2J";

/// Calls `read` once where `watching` is false, else every second.
///
/// # Errors
/// When the first reading fails, so that a wrong name is told at once, or when nothing can be written.
pub(super) async fn repeat(
    watching: bool,
    mut read: impl AsyncFnMut() -> Result<Report, Failure>,
) -> Result<Report, Failure> {
    let mut last = read().await?;
    if !watching {
        return Ok(last);
    }
    let terminal = at_a_terminal();
    let mut written = last.write(if terminal { CLEAR } else { "" });
    loop {
        match written {
            // The reader went away (`| head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Report::raw(String::new())),
            Err(error) => return Err(Failure::Output(error)),
            Ok(()) => tokio::time::sleep(INTERVAL).await,
        }
        written = match read().await {
            Ok(report) if terminal => report.write(CLEAR),
            Ok(report) if report.is_like(&last) => Ok(()),
            Ok(report) => {
                last = report;
                last.write("")
            }
            Err(failure @ Failure::Client(_)) => told(&failure, terminal),
            Err(failure) => return Err(failure),
        };
    }
}

fn told(failure: &Failure, terminal: bool) -> io::Result<()> {
    if terminal {
        print!("{CLEAR}");
        io::stdout().flush()?;
    }
    failure.print(false);
    Ok(())
}
