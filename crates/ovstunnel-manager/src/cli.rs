//! The manager's command line.
//!
//! What it does: names the few options and explains them. What it must not do: hold settings; those are in the configuration file.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::export::States;

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
    #[arg(long, short, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,

    /// Check the configuration, the certificate files that it names and the database, say what is wrong, and exit
    #[arg(long)]
    pub check: bool,

    /// What to do in place of running.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What the program does in place of running.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Say what differs between CloudStack's database, the hosts, and what is registered here
    ///
    /// Reads the database that `cloudstack_url` in its section `database` names, asks the manager that runs on this machine what its hosts have, and
    /// compares them. Where no manager answers, CloudStack's tables are compared with each other alone. Nothing is written anywhere.
    #[command(
        after_help = "Exit status: 0 nothing differs, 1 it could not be compared, 2 a wrong command line, 3 something differs.\n\
                            Example: ovstunnel-manager import --dry-run --json | jq '.findings[] | select(.what == \"key_doubled\")'"
    )]
    Import(Import),

    /// Make CloudStack's tables of tunnels say what the hosts have, so that its own OVS tunnel manager can go on
    ///
    /// Asks the manager that runs on this machine what its hosts have, compares that with the tables ovs_tunnel_interface and ovs_tunnel_network of the
    /// database that `cloudstack_url` in its section `database` names, and prints the differences as SQL, in one transaction. With --apply they are
    /// written, under the locks that CloudStack's servers take for these tables (`op_lock`). Rows of hosts that are not heard of stay.
    #[command(
        after_help = "Exit status: 0 nothing differs or all is written, 1 nothing was changed since something failed, 2 a wrong command line, \
                            3 something differs and was not written.\n\
                            Example: ovstunnel-manager export > /root/tunnels.sql"
    )]
    Export(Export),

    /// Make the database anew after it was lost, from what the hosts' switches record
    ///
    /// Asks each host of the list for its bridges and for the epoch under which managers may write to it, with the certificate in section `hosts`,
    /// and prints which hosts, numbers, networks and keys that gives. With --apply they are recorded, in a database in which nothing stands yet; end the
    /// manager first. Nothing is written to a host. The list is a TOML file with tables `[[hosts]]` (name, api; number, rack, label and mode where they
    /// are not the default) and `[[networks]]` (key, name; number, physical_network) for networks that are not to be called net-KEY.
    #[command(
        after_help = "Exit status: 0 all is printed, and recorded with --apply; 1 nothing was recorded, 2 a wrong command line.\n\
                            Example: ovstunnel-manager rebuild --hosts /root/hosts.toml --without h7 --apply"
    )]
    Rebuild(Rebuild),

    /// Copy the database to a file, while the manager runs or not
    ///
    /// The copy is as of one moment, for its owner alone. Nothing is changed. For SQLite; a server has its own programs for this.
    #[command(
        after_help = "Exit status: 0 the file is written, 1 it could not be and is not there, 2 a wrong command line.\n\
                            Example: ovstunnel-manager backup /var/backups/ovstunnel-$(date +%F).db"
    )]
    Backup(Backup),

    /// Put a copy in place of the database, and keep the one that was there beside it
    ///
    /// End the manager first. When it is started again, it asks before it removes anything from a host, until what hosts have and what the database says agree:
    /// see 'ovstunnelctl zone holds'.
    #[command(
        after_help = "Exit status: 0 it is in place, 1 it is not and nothing was changed, 2 a wrong command line.\n\
                            Example: ovstunnel-manager restore /var/backups/ovstunnel-2026-01-31.db"
    )]
    Restore(Restore),

    /// Say what is wrong with the manager and its zone, why, and what to do about it; also where the manager does not run
    ///
    /// Asks the manager that runs on this machine by its Unix socket. Where none answers, it says what configuration, certificates, database and log
    /// tell. Nothing is changed. For root.
    #[command(
        after_help = "Exit status: 0 nothing is wrong, 1 something needs attention, 2 something has failed, or the manager does not answer, or a \
                            wrong command line, 3 it could not look.\n\
                            Example: ovstunnel-manager doctor --json | jq -r '.findings[] | select(.level != \"ok\") | .reason'"
    )]
    Doctor(Doctor),

    /// Write one archive for a bug report: configuration, doctor, hosts, networks that are not whole, events, log; no keys
    ///
    /// Asks the manager that runs on this machine by its Unix socket; where none answers, what can be read without it is in the archive. For root.
    #[command(after_help = "Exit status: 0 the file is written, 1 it could not be, 2 a wrong command line.\n\
                            Example: ovstunnel-manager support-bundle -o /root/manager.tar.gz")]
    SupportBundle(SupportBundle),
}

/// Where the copy goes.
#[derive(Clone, Debug, clap::Args)]
pub struct Backup {
    /// File to write; it must not be there
    #[arg(value_name = "FILE")]
    pub to: PathBuf,
}

/// Where the copy is.
#[derive(Clone, Debug, clap::Args)]
pub struct Restore {
    /// The copy
    #[arg(value_name = "FILE")]
    pub from: PathBuf,
}

/// Where the archive goes.
#[derive(Clone, Debug, clap::Args)]
pub struct SupportBundle {
    /// File to write; one that is there is not overwritten [default: ovstunnel-manager-support-HOST-TIME.tar.gz]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// How to tell what is wrong.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Doctor {
    /// Also say what is as it should be
    #[arg(long)]
    pub all: bool,

    /// Print JSON, with what is as it should be
    #[arg(long)]
    pub json: bool,
}

/// What the database is made anew from.
#[derive(Clone, Debug, clap::Args)]
pub struct Rebuild {
    /// The list of hosts
    #[arg(long, value_name = "FILE")]
    pub hosts: PathBuf,

    /// A host of the list that is not asked and not recorded; may be given several times
    #[arg(long, value_name = "HOST")]
    pub without: Vec<String>,

    /// Record what is printed
    #[arg(long)]
    pub apply: bool,
}

/// How CloudStack's tables are written.
#[derive(Clone, Debug, clap::Args)]
pub struct Export {
    /// Write what is printed
    #[arg(long)]
    pub apply: bool,

    /// Name of CloudStack's zone [default: the one that has the name of `zone`, or the only one]
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,

    /// Words for the state of a tunnel: `cloudstack` from 4.3 on (Established, Failed), `specification` before (SUCCESS, FAILED)
    #[arg(long, value_name = "WORDS", value_enum, default_value = "cloudstack", hide_possible_values = true)]
    pub states: States,
}

/// How to compare.
#[derive(Clone, Debug, clap::Args)]
pub struct Import {
    /// Only say what differs. Must be given: this version takes nothing over
    #[arg(long)]
    pub dry_run: bool,

    /// Name of CloudStack's zone [default: the one that has the name of `zone`, or the only one]
    #[arg(long, value_name = "NAME")]
    pub zone: Option<String>,

    /// Print JSON, with all differences
    #[arg(long)]
    pub json: bool,
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
        let import = Cli::try_parse_from(["ovstunnel-manager", "import", "--dry-run", "--config", "/x"]).unwrap();
        let Some(Command::Import(Import { dry_run: true, zone: None, json: false })) = import.command else {
            panic!("{import:?}")
        };
        assert_eq!(import.config, Some("/x".into()));
        let before = Cli::try_parse_from(["ovstunnel-manager", "--config", "/x", "import", "--json"]).unwrap();
        assert_eq!((before.config, before.command.is_some()), (Some("/x".into()), true));
    }
}
