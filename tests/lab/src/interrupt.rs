//! Knows whether a signal has come, so that its consequences are not taken for a failure.
//!
//! On Ctrl-C a terminal signals every process in the foreground: commands that a program has under way die as well, and it
//! would report that they failed. The lab's own handler takes everything down and ends the process with status 130; all
//! there is to do is not to be in its way. For programs that make labs; must not take anything down itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// How long a signal may be on its way to this process after a child of it has died of one.
const ON_ITS_WAY: Duration = Duration::from_millis(100);

/// Whether the program was told to end.
#[derive(Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on SIGINT, SIGTERM and SIGHUP take all labs down and end the process with status 130.
    ///
    /// # Errors
    /// When the signal handlers cannot be installed.
    pub fn install() -> Result<Self> {
        let flag = Arc::new(AtomicBool::new(false));
        // Before the lab's, so that the flag is up before anything is taken down.
        let register = |signal| signal_hook::flag::register(signal, Arc::clone(&flag));
        let registered: io::Result<Vec<_>> = [SIGINT, SIGTERM, SIGHUP].into_iter().map(register).collect();
        registered.context("cannot install signal handlers")?;
        crate::cleanup_on_signal()?;
        Ok(Self(flag))
    }

    /// Returns when nobody has interrupted; otherwise waits for the end of the process.
    pub fn give_way(&self, after_failure: bool) {
        if after_failure {
            thread::sleep(ON_ITS_WAY);
        }
        if self.0.load(Ordering::SeqCst) {
            Self::wait_for_ever();
        }
    }

    /// Waits for the signal that ends the process.
    pub fn wait_for_ever() -> ! {
        loop {
            thread::park();
        }
    }
}
