//! The daemon's command line.
//!
//! What it does: names the few options and explains them. What it must not do: hold settings; those are in the
//! configuration file.

use std::path::PathBuf;

use clap::Parser;

/// Sets up bridges and GRE tunnels in Open vSwitch for a cloud's virtual networks, asked over HTTPS.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Signals: SIGHUP reads configuration and certificates again and reopens the log; SIGTERM and SIGINT finish the requests \
                  in flight and end.\nExit status: 0 after an ordinary end, a good --check or a --once that left nothing undone, 1 \
                  when the daemon could not start, the check failed or something is left undone, 2 for a wrong command line."
)]
pub struct Cli {
    /// Configuration file [default: /etc/ovstunnel/ovstunneld.toml, which may be missing]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration, the certificate files that it names and that the log can be written, say what is wrong, and exit
    #[arg(long)]
    pub check: bool,

    /// Do one reconcile run, repair what differs, and exit: for when no daemon runs, and safe while one does
    #[arg(long, conflicts_with_all = ["check", "simulate"])]
    pub once: bool,

    /// Run on the built-in simulated switch: nothing on this host is changed and no Open vSwitch is needed
    #[arg(long)]
    pub simulate: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn options_are_read_and_the_definition_is_sound() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["ovstunneld", "--config", "/x", "--check"]).unwrap();
        assert_eq!((cli.config, cli.check, cli.simulate), (Some("/x".into()), true, false));
        assert!(Cli::try_parse_from(["ovstunneld", "stray"]).is_err());
    }
}
