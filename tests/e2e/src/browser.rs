//! Views of a manager's page in a real browser: Debian's chromium, driven by node (`scripts/browser` installs what that takes).
//!
//! What it does: runs `tests/browser/zone.js` beside a manager, and says what it found. What it must not do: know what a view shows.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use ovstunnel_lab::{Daemon, wait_until_every};

/// How long the browser may take for all of it, and how often it is looked what it says.
const DEADLINE: Duration = Duration::from_secs(600);
const LOOK: Duration = Duration::from_millis(50);

/// What a browser is to look at.
#[derive(Clone, Copy, Debug, Default)]
pub struct Views<'a> {
    /// Where the manager can be reached.
    pub url: &'a str,
    /// The path of a one-time link, by which it signs in.
    pub link: &'a str,
    /// Name and path of each view.
    pub views: &'a [(&'a str, &'a str)],
    /// Path and words: there it then waits until the words appear, and until they are gone.
    pub fault: Option<(&'a str, &'a str)>,
    /// The folder that gets a picture of each view in each shape.
    pub pictures: Option<&'a Path>,
}

/// A browser that looks at the page.
#[derive(Debug)]
pub struct Browser(Daemon);

impl Browser {
    /// Starts it with `node`, a command that runs Node.js where the manager can be reached. `log` gets what it says.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(mut node: Command, views: &Views<'_>, log: &Path) -> Result<Browser> {
        node.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../browser/zone.js"));
        node.env("PAGE_URL", views.url).env("PAGE_LINK", views.link);
        node.env("PAGE_VIEWS", serde_json::to_string(views.views)?);
        if let Some((path, words)) = views.fault {
            node.env("PAGE_FAULT_AT", path).env("PAGE_FAULT", words);
        }
        node.envs(views.pictures.map(|folder| ("PAGE_PICTURES", folder)));
        Ok(Browser(Daemon::start("the browser", node, log)?))
    }

    /// Waits until it says this: `watching`, `found` or `gone`.
    ///
    /// # Errors
    /// When it ends before, or does not say it.
    pub fn wait_for(&mut self, word: &str) -> Result<()> {
        wait_until_every(LOOK, format!("the browser to say {word}"), DEADLINE, || {
            let said = self.0.log();
            let is_said = said.lines().any(|line| line == word);
            match self.0.status()? {
                None if !is_said => Err(anyhow!("{said}")),
                // Whoever has ended says nothing more.
                _ => Ok(ensure_said(is_said, &said)),
            }
        })?
    }

    /// Waits until it has ended, with nothing found.
    ///
    /// # Errors
    /// What was found.
    pub fn finish(mut self) -> Result<()> {
        let status = self.0.wait(DEADLINE)?;
        ensure!(status.success(), "{}", self.0.log());
        print!("{}", self.0.log());
        Ok(())
    }
}

fn ensure_said(is_said: bool, said: &str) -> Result<()> {
    ensure!(is_said, "the browser has ended: {said}");
    Ok(())
}
