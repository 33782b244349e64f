//! Tells on standard error what is being done and how long each step took. Must not write to standard output.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// Steps, one after the other.
#[derive(Debug)]
pub struct Progress {
    /// None where nobody watches: then there is a line for each step that is done.
    spinner: Option<ProgressBar>,
}

impl Progress {
    pub fn new() -> Self {
        let spinner = std::io::stderr().is_terminal().then(|| {
            let spinner = ProgressBar::new_spinner();
            // The template is a constant; should it be wrong, the default one does.
            if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} {elapsed}") {
                spinner.set_style(style.tick_chars("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏ "));
            }
            spinner.enable_steady_tick(Duration::from_millis(100));
            spinner
        });
        Self { spinner }
    }

    /// Does one step.
    pub fn step<T, E>(&self, what: &str, work: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let start = Instant::now();
        if let Some(spinner) = &self.spinner {
            spinner.reset_elapsed();
            spinner.set_message(what.to_owned());
        }
        let result = work();
        let mark = if result.is_ok() { '✓' } else { '✗' };
        let line = format!("  {mark} {what} ({:.1} s)", start.elapsed().as_secs_f64());
        match &self.spinner {
            Some(spinner) => spinner.println(line),
            None => eprintln!("{line}"),
        }
        result
    }

    /// Takes the moving line away.
    pub fn finish(self) {
        if let Some(spinner) = self.spinner {
            spinner.finish_and_clear();
        }
    }
}
