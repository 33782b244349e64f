//! `ovstunnel-vif` as a host's udev runs it. Must not do what it does.

use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::{Node, program};

/// The helper, told where things are on one host.
#[derive(Clone, Debug)]
pub struct Helper {
    argv: Vec<String>,
    host: ovstunnel_lab::Host,
}

impl Helper {
    /// The helper on a host.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn on(node: &Node) -> Result<Self> {
        let paths = [program("ovstunnel-vif")?, node.socket(), program("ovstunneld")?, node.config_file()];
        let [helper, socket, daemon, config] = paths.map(|path| path.display().to_string());
        let words = [helper, "--socket".into(), socket, "--daemon".into(), daemon, "--config".into(), config];
        Ok(Helper { argv: words.to_vec(), host: node.host().clone() })
    }

    /// Program and options, to be followed by action and device.
    pub fn argv(&self) -> &[String] {
        &self.argv
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command(&self.argv[0]);
        command.args(&self.argv[1..]).args(arguments);
        command
    }

    /// Runs it to its end, which must be status 0 whatever it is given; what it says on standard error.
    ///
    /// # Errors
    /// When it ends with anything else, or takes longer than 10 s.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = ovstunnel_lab::output(self.command(arguments), std::time::Duration::from_secs(10))?;
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        ensure!(output.status.success(), "ovstunnel-vif {arguments:?} ended with {}: {stderr}", output.status);
        Ok(stderr)
    }

    /// Starts it and does not wait.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&self, arguments: &[&str]) -> Result<Child> {
        let mut command = self.command(arguments);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().context("ovstunnel-vif")
    }
}
