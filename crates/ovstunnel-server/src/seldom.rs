//! What strangers can make us say as often as they like, said seldom.
//!
//! What it does: lets some lines through at once and then one for each pause, and counts what it held back, for the next
//! line to tell. What it must not do: hold back what the daemon did to the switch.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A source of lines.
#[derive(Debug)]
pub struct Seldom {
    burst: u32,
    pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    left: u32,
    filled: Instant,
    held_back: u64,
}

impl Seldom {
    /// So many lines at once, and then one in each `pause`.
    pub fn new(burst: u32, pause: Duration) -> Self {
        Seldom { burst, pause, state: Mutex::new(State { left: burst, filled: Instant::now(), held_back: 0 }) }
    }

    /// Whether a line may be written now, with how many were held back since the last one: none where that is 0, as a field
    /// that is left out.
    pub fn may_write(&self) -> Option<Option<u64>> {
        // Nothing panics while it is held.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let pauses = state.filled.elapsed().as_nanos() / self.pause.as_nanos().max(1);
        if let Ok(pauses @ 1..) = u32::try_from(pauses.min(u128::from(self.burst))) {
            state.left = state.left.saturating_add(pauses).min(self.burst);
            state.filled = Instant::now();
        }
        match state.left.checked_sub(1) {
            Some(left) => {
                state.left = left;
                Some(Some(std::mem::take(&mut state.held_back)).filter(|held_back| *held_back > 0))
            }
            None => {
                state.held_back += 1;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_lines_become_few_and_the_next_one_says_how_many() {
        let seldom = Seldom::new(3, Duration::from_millis(40));
        let said: Vec<_> = (0..100).filter_map(|_| seldom.may_write()).collect();
        assert_eq!(said, [None, None, None]);
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(seldom.may_write(), Some(Some(97)));
        assert_eq!(seldom.may_write(), None);
    }
}
