//! The manager's command line.
//!
//! What it does: names the few options and explains them. What it must not do: hold settings; those are in the configuration file.

use std::path::PathBuf;

use clap::Parser;

/// Watches the hosts of a zone, and says which virtual networks are whole and which are not.
#[derive(Clone, Debug, Parser)]
#[command(
    version,
    about,
    after_help = "Signals: SIGHUP reads certificates again and reopens the log; SIGTERM and SIGINT finish the requests in flight and \
                  end.\nExit status: 0 after an ordinary end or a good --check, 1 when the manager could not start or the check failed, \
                  2 for a wrong command line."
)]
pub struct Cli {
    /// Configuration file [default: /etc/ovstunnel/manager.toml, which may be missing]
    #[arg(long, short, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Check the configuration, the certificate files that it names and the database, say what is wrong, and exit
    #[arg(long)]
    pub check: bool,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn options_are_read_and_the_definition_is_sound() {
        Cli::command().debug_assert();
        let cli = Cli::try_parse_from(["ovstunnel-manager", "--config", "/x", "--check"]).unwrap();
        assert_eq!((cli.config, cli.check), (Some("/x".into()), true));
        assert!(Cli::try_parse_from(["ovstunnel-manager", "stray"]).is_err());
    }
}
