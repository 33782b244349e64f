//! Whether the clock is plainly wrong. It can only be compared with what this host knows: that it is right cannot be known.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use ovstunnel_api::Finding;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::Program;
use super::finding::{fail, ok, warn};

/// So far may the clock be behind a file's time: file systems of other hosts have clocks of their own.
const TOLERANCE: Duration = Duration::from_secs(600);

/// So far may it move against the time that has passed before it is said.
const STEP: Duration = Duration::from_secs(60);

/// Before this nobody can run this program: 2025-01-01.
const EPOCH: Duration = Duration::from_secs(1_735_689_600);

/// Times by two clocks, taken at once.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    /// By the clock on the wall.
    pub wall: SystemTime,
    /// By the one that never jumps.
    pub running: Instant,
}

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Moment { wall: SystemTime::now(), running: Instant::now() }
    }
}

/// When files were written that cannot be of the future: name and time. `root` stands for `/`.
pub fn file_times(root: &Path, log: &Path) -> Vec<(String, SystemTime)> {
    let program = std::env::current_exe().ok();
    // Where systemd-timesyncd and chrony keep the time.
    let kept = ["var/lib/systemd/timesync/clock", "var/lib/chrony/drift"].map(|path| root.join(path));
    let files = program.into_iter().chain(kept).chain([log.to_owned()]);
    files.filter_map(|path| Some((path.display().to_string(), path.metadata().ok()?.modified().ok()?))).collect()
}

/// Compares the clock with what is known. `started` is when the program was.
pub fn check_clock(program: Program, started: Moment, now: Moment, files: &[(String, SystemTime)]) -> Finding {
    const SET: &str =
        "set it, and keep it set: `timedatectl set-ntp true`, or `chronyc makestep` on XenServer and XCP-ng";
    // To the second.
    let shown = |time: SystemTime| {
        let time = OffsetDateTime::from(time);
        time.replace_nanosecond(0).unwrap_or(time).format(&Rfc3339).unwrap_or_default()
    };
    let ahead = files.iter().filter(|(_, time)| *time > now.wall + TOLERANCE).max_by_key(|(_, time)| *time);
    let expected = started.wall + now.running.saturating_duration_since(started.running);
    let step = now.wall.duration_since(expected).unwrap_or_else(|error| error.duration());
    match ahead {
        _ if now.wall < SystemTime::UNIX_EPOCH + EPOCH => {
            fail("clock", format!("the clock says {}: it was never set", shown(now.wall)), SET)
        }
        Some((file, time)) => fail(
            "clock",
            format!("the clock says {}, and {file} is of {}: it is behind", shown(now.wall), shown(*time)),
            SET,
        ),
        None if step > STEP => warn(
            "clock",
            format!(
                "the clock has moved by {} s against the time that has passed since the {} started",
                step.as_secs(),
                program.word
            ),
            "see that it is right now (`timedatectl`, `chronyc tracking`); the times in the log before that are by the old clock",
        ),
        None => ok("clock", format!("{} is not plainly wrong", shown(now.wall))),
    }
}

#[cfg(test)]
mod tests {
    use ovstunnel_api::Level;

    use super::*;

    const DAEMON: Program = Program { unit: "d", word: "daemon", callers: "" };

    #[test]
    fn a_clock_that_is_plainly_wrong_is_found() {
        let now = Moment::now();
        let later = |seconds| Moment { wall: now.wall + Duration::from_secs(seconds), running: now.running };
        let file = |seconds| vec![("f".to_owned(), now.wall + Duration::from_secs(seconds))];
        assert_eq!(check_clock(DAEMON, now, now, &file(0)).level, Level::Ok);
        assert_eq!(check_clock(DAEMON, now, now, &file(500)).level, Level::Ok);
        assert_eq!(check_clock(DAEMON, now, now, &file(7200)).level, Level::Fail);
        assert_eq!(check_clock(DAEMON, now, later(90), &[]).level, Level::Warn);
        assert_eq!(check_clock(DAEMON, later(90), now, &[]).level, Level::Warn);
        let never = Moment { wall: SystemTime::UNIX_EPOCH + Duration::from_secs(5), running: now.running };
        assert_eq!(check_clock(DAEMON, never, never, &[]).level, Level::Fail);
    }
}
