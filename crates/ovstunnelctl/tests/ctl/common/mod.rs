//! The built command, and a daemon of canned answers for it to ask.

use std::ops::Deref;

use assert_cmd::Command;
pub use ovstunnel_test_support::*;

/// A daemon of canned answers that the command is pointed at.
pub struct FakeDaemon(ovstunnel_test_support::FakeDaemon);

impl FakeDaemon {
    pub fn answering(answers: Vec<Canned>) -> Self {
        FakeDaemon(ovstunnel_test_support::FakeDaemon::answering(answers))
    }

    /// `ovstunnelctl --socket … ARGS`.
    pub fn ctl(&self, args: &str) -> Command {
        let mut command = ctl();
        command.arg("--socket").arg(&self.socket).args(args.split_whitespace());
        command
    }
}

impl Deref for FakeDaemon {
    type Target = ovstunnel_test_support::FakeDaemon;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

/// The built command, with nothing of the caller's environment that it listens to.
pub fn ctl() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ovstunnelctl"));
    let manager = ["MANAGER_SOCKET", "MANAGER_URL", "MANAGER_HOST"];
    for name in ["SOCKET", "URL", "HOST", "HOSTS", "CA", "CERT", "KEY"].into_iter().chain(manager) {
        command.env_remove(format!("OVSTUNNEL_{name}"));
    }
    command
}
