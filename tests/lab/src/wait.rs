//! Waits for a condition, and says what it waited for when it gives up.
//!
//! This is the only place of the lab that sleeps while something else is to happen: nobody else guesses how long a thing
//! takes. It must not hide the reason: the last state that was seen is part of the error.

use std::{
    env,
    fmt::Display,
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

/// Time between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(2);

/// How long starting and stopping something on this machine may take before the lab gives up: generous, because a
/// loaded machine is slow and a test that fails for that reason teaches nothing.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How many times slower than a usual machine this one is, of which `OVSTUNNEL_SLOWNESS` tells: a virtual machine without
/// acceleration is ten times as slow.
const SLOWNESS: &str = "OVSTUNNEL_SLOWNESS";

/// A time that is long enough on a usual machine, made long enough on this one. Every deadline of the lab goes through here
/// already; this is for those of others.
pub fn unhurried(time: Duration) -> Duration {
    static FACTOR: OnceLock<u32> = OnceLock::new();
    time * *FACTOR.get_or_init(|| env::var(SLOWNESS).ok().and_then(|text| text.parse().ok()).unwrap_or(1).max(1))
}

/// Looks every 2 ms until `look` returns `Ok`, and returns that value: [`wait_until_every`].
///
/// # Errors
/// As that one.
pub fn wait_until<T, E: Display>(
    what: impl Display,
    deadline: Duration,
    look: impl FnMut() -> Result<T, E>,
) -> Result<T> {
    wait_until_every(INTERVAL, what, deadline, look)
}

/// Looks with a pause of `interval` in between until `look` returns `Ok`, and returns that value: for looks that cost something.
///
/// `look` says with `Err` what it sees instead; `what` names the condition.
///
/// # Errors
/// When `deadline`, made [`unhurried`], has passed: what was waited for, for how long, and what was seen last.
pub fn wait_until_every<T, E: Display>(
    interval: Duration,
    what: impl Display,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> Result<T> {
    let (start, deadline) = (Instant::now(), unhurried(deadline));
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(seen) if start.elapsed() >= deadline => {
                return Err(anyhow!("waited {deadline:?} for {what}; seen last: {seen:#}"));
            }
            Err(_) => thread::sleep(interval),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_with_what_was_seen() {
        let error = wait_until("rain", Duration::from_millis(5), || Err::<(), _>("sunshine")).unwrap_err();
        assert_eq!(error.to_string(), "waited 5ms for rain; seen last: sunshine");
    }

    #[test]
    fn returns_the_value_as_soon_as_it_is_there() {
        let mut looks = 0;
        let value = wait_until("three looks", DEADLINE, || {
            looks += 1;
            if looks == 3 { Ok(looks) } else { Err("not yet") }
        });
        assert_eq!(value.unwrap(), 3);
    }
}
