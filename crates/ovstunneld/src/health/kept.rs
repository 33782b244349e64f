//! An answer that is kept for a moment, so that who asks often does not cost more than a hundredth of the time. Must not be asked
//! for what has to be true now.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

/// How old an answer may be in any case.
const FRESH: Duration = Duration::from_secs(1);

/// An answer that took long to get may be so many times as old as that.
const SHARE: u32 = 100;

/// The last answer, and until when it will do. Clones share it.
#[derive(Debug)]
pub struct Kept<T> {
    last: Arc<RwLock<(Arc<T>, Instant)>>,
    turn: Arc<Mutex<()>>,
}

impl<T> Clone for Kept<T> {
    fn clone(&self) -> Self {
        Kept { last: Arc::clone(&self.last), turn: Arc::clone(&self.turn) }
    }
}

impl<T: Default> Default for Kept<T> {
    fn default() -> Self {
        Kept { last: Arc::new(RwLock::new((Arc::default(), Instant::now()))), turn: Arc::default() }
    }
}

impl<T> Kept<T> {
    /// The last answer, however old.
    pub fn latest(&self) -> Arc<T> {
        Arc::clone(&self.last.read().unwrap_or_else(PoisonError::into_inner).0)
    }

    /// The last answer, where it will still do; else a new one. One is made at a time.
    pub async fn get(&self, make: impl AsyncFnOnce() -> T) -> Arc<T> {
        if Instant::now() < self.last.read().unwrap_or_else(PoisonError::into_inner).1 {
            return self.latest();
        }
        self.make_anew(make).await
    }

    /// A new answer in any case: for who asks seldom.
    pub async fn make_anew(&self, make: impl AsyncFnOnce() -> T) -> Arc<T> {
        let _turn = self.turn.lock().await;
        let began = Instant::now();
        let answer = Arc::new(make().await);
        let until = Instant::now() + FRESH.max(began.elapsed() * SHARE);
        *self.last.write().unwrap_or_else(PoisonError::into_inner) = (answer, until);
        self.latest()
    }
}
