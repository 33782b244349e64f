//! Waits for a condition, and says what it waited for when it gives up.
//!
//! This is the only place of the lab that sleeps while something else is to happen: nobody else guesses how long a thing
//! takes. It must not hide the reason: the last state that was seen is part of the error.

use std::{
    fmt::Display,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Result, anyhow};

/// Time between two looks at a condition.
const INTERVAL: Duration = Duration::from_millis(2);

/// How long starting and stopping something on this machine may take before the lab gives up: generous, because a
/// loaded machine is slow and a test that fails for that reason teaches nothing.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// Looks every 2 ms until `look` returns `Ok`, and returns that value.
///
/// `look` says with `Err` what it sees instead; `what` names the condition.
///
/// # Errors
/// When `deadline` has passed: what was waited for, for how long, and what was seen last.
pub fn wait_until<T, E: Display>(
    what: impl Display,
    deadline: Duration,
    mut look: impl FnMut() -> Result<T, E>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        match look() {
            Ok(value) => return Ok(value),
            Err(seen) if start.elapsed() >= deadline => {
                return Err(anyhow!("waited {deadline:?} for {what}; seen last: {seen:#}"));
            }
            Err(_) => thread::sleep(INTERVAL),
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
