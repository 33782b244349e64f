//! Whether a daemon of Open vSwitch that says nothing hangs, or is busy.
//!
//! What it does: judges by how long a question has had no answer, and whether the main thread has used the processor since.
//! Deleting 10,000 tunnels takes `ovs-vswitchd` 17 s in which it answers nothing and computes all the time; one that is
//! stopped, or waits for something that never comes, computes nothing. What it must not do: ask; that is the followers'.

use std::collections::VecDeque;
use std::fs;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;

/// How often in a second the process is looked at.
pub(crate) const LOOKS: u32 = 4;

const LOOK_EVERY: Duration = Duration::from_millis(1000 / LOOKS as u64);

/// Who says nothing for so long hangs or is busy.
const SILENT: Duration = Duration::from_secs(3);

/// Who has used no processor for so long, too, hangs.
const IDLE: Duration = Duration::from_secs(2);

/// Less than that is none.
const NO_CPU: Duration = Duration::from_millis(1);

/// How a daemon is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Pulse {
    /// It answers, or has not been silent for long.
    Answers,
    /// It says nothing, and computes; since when.
    Busy(Instant),
    /// It says nothing and does nothing; since when, and what was seen.
    Hangs(Instant, String),
}

/// What a look at a process saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// What its main thread has computed so far.
    cpu: Duration,
    /// The letter of its state, `T` for stopped.
    state: char,
}

/// Judges one daemon.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    asked: Option<Instant>,
    heard: bool,
    looks: VecDeque<(Instant, Option<Seen>)>,
}

impl Judge {
    /// Whether a question is due: at the beginning, and each second where none waits for its answer.
    pub fn is_due(&self, second_begins: bool) -> bool {
        self.asked.is_none() && (second_begins || !self.heard)
    }

    /// A question goes out. One that has had no answer yet counts from its own time, also over another connection.
    pub fn question_sent(&mut self, now: Instant) {
        self.asked.get_or_insert(now);
    }

    /// Something came.
    pub fn answer_received(&mut self) {
        *self = Judge { heard: true, ..Judge::default() };
    }

    /// How it is; `look` looks at the process, if that is needed.
    pub fn judge_pulse(&mut self, now: Instant, look: impl FnOnce() -> Option<Seen>) -> Pulse {
        let Some(asked) = self.asked.filter(|asked| now.saturating_duration_since(*asked) >= LOOK_EVERY) else {
            return Pulse::Answers;
        };
        let seen = look();
        self.looks.push_back((now, seen));
        // The newest look that is old enough stays, and all after it.
        while self.looks.get(1).is_some_and(|(at, _)| now.saturating_duration_since(*at) >= IDLE) {
            self.looks.pop_front();
        }
        let silent = now.saturating_duration_since(asked);
        if silent < SILENT {
            return Pulse::Answers;
        }
        let earlier = self.looks.front().filter(|(at, _)| now.saturating_duration_since(*at) >= IDLE);
        match (earlier, seen) {
            (Some((_, Some(before))), Some(seen)) if seen.cpu.saturating_sub(before.cpu) < NO_CPU => {
                let stopped = if seen.state == 'T' { ": it is stopped by a signal" } else { "" };
                let (silent, idle) = (SILENT.as_secs(), IDLE.as_secs());
                Pulse::Hangs(asked, format!("no answer for {silent} s, nothing computed for {idle} s{stopped}"))
            }
            _ => Pulse::Busy(asked),
        }
    }
}

/// Whose process it is that is connected to.
pub(crate) fn process_of(connection: &UnixStream) -> Option<i32> {
    connection.peer_cred().ok()?.pid().filter(|pid| *pid > 0)
}

/// Looks at a process.
pub(crate) fn look_at(pid: i32) -> Option<Seen> {
    let schedstat = fs::read_to_string(format!("/proc/{pid}/task/{pid}/schedstat")).ok()?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let cpu = Duration::from_nanos(schedstat.split_whitespace().next()?.parse().ok()?);
    // Behind the name, which stands in parentheses and can be anything.
    let state = stat.rsplit(')').next()?.trim_start().chars().next()?;
    Some(Seen { cpu, state })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Has a daemon be silent while its process is seen as `cpu` says of the milliseconds since; gives how it is judged each
    /// quarter of a second.
    fn silent_for(seconds: u64, cpu: impl Fn(u64) -> Option<Seen>) -> Vec<(u64, Pulse)> {
        let (start, mut judge) = (Instant::now(), Judge::default());
        assert!(judge.is_due(false));
        judge.question_sent(start);
        let looks = (0..=seconds * 4).map(|n| n * 250);
        looks.map(|ms| (ms, judge.judge_pulse(start + Duration::from_millis(ms), || cpu(ms)))).collect()
    }

    fn seen(ms: u64, state: char) -> Option<Seen> {
        Some(Seen { cpu: Duration::from_millis(ms), state })
    }

    #[test]
    fn who_is_stopped_hangs_after_three_seconds() {
        let judged = silent_for(10, |_| seen(7, 'T'));
        let (before, after): (Vec<_>, Vec<_>) = judged.into_iter().partition(|(ms, _)| *ms < 3000);
        assert!(before.iter().all(|(_, pulse)| *pulse == Pulse::Answers), "{before:?}");
        assert!(after.iter().all(|(_, pulse)| matches!(pulse, Pulse::Hangs(..))), "{after:?}");
        let Pulse::Hangs(_, words) = &after[0].1 else { panic!("{after:?}") };
        assert_eq!(words, "no answer for 3 s, nothing computed for 2 s: it is stopped by a signal");
    }

    /// Recorded while 10,000 tunnels were deleted: state R, 0.4 s of processor in each 0.4 s.
    #[test]
    fn who_computes_is_busy_however_long() {
        let judged = silent_for(90, |ms| seen(ms, 'R'));
        assert!(judged.iter().all(|(_, pulse)| !matches!(pulse, Pulse::Hangs(..))));
        assert!(matches!(judged.last(), Some((_, Pulse::Busy(_)))));
        // It shares the processor with others, and gets little.
        let judged = silent_for(90, |ms| seen(ms / 2000 * 2, 'R'));
        assert!(judged.iter().all(|(_, pulse)| !matches!(pulse, Pulse::Hangs(..))));
    }

    #[test]
    fn who_cannot_be_looked_at_is_not_said_to_hang() {
        let judged = silent_for(10, |_| None);
        assert!(judged.iter().all(|(_, pulse)| !matches!(pulse, Pulse::Hangs(..))));
    }

    #[test]
    fn who_has_computed_and_stops_hangs_then() {
        let judged = silent_for(20, |ms| seen(ms.min(10_000), if ms > 10_000 { 'T' } else { 'R' }));
        let first = judged.iter().find(|(_, pulse)| matches!(pulse, Pulse::Hangs(..)));
        assert_eq!(first.map(|(ms, _)| *ms), Some(12_000));
    }

    #[test]
    fn an_answer_ends_it_until_the_next_second() {
        let (start, mut judge) = (Instant::now(), Judge::default());
        let at = |ms| start + Duration::from_millis(ms);
        judge.question_sent(at(0));
        for ms in (0..5000).step_by(250) {
            judge.judge_pulse(at(ms), || seen(1, 'S'));
        }
        assert!(!judge.is_due(true));
        judge.answer_received();
        assert_eq!(judge.judge_pulse(at(5000), || seen(1, 'S')), Pulse::Answers);
        assert_eq!([false, true].map(|begins| judge.is_due(begins)), [false, true]);
    }

    #[test]
    fn this_process_can_be_looked_at() {
        let pid = i32::try_from(std::process::id()).unwrap();
        assert!(matches!(look_at(pid), Some(Seen { state: 'R' | 'S', .. })));
        assert_eq!(look_at(i32::MAX), None);
    }
}
