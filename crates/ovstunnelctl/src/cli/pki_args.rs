//! The command line of `ovstunnelctl pki`. Must not make or read a file.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::client::Url;
use clap::{Args, Subcommand, ValueEnum};

use super::{examples, values};
use crate::pki;

/// `pki` asks no daemon. The options that say which one are taken here and not passed on, since some of its commands have a --host
/// or a --ca that means something else.
#[derive(Args, Debug)]
#[command(after_help = examples::PKI)]
#[allow(dead_code, reason = "taken and not used")]
pub(super) struct Pki {
    #[arg(long, hide = true)]
    socket: Option<PathBuf>,
    #[arg(long, hide = true)]
    host: Option<String>,
    #[arg(long, hide = true, value_parser = crate::client::Endpoint::parse_url)]
    url: Option<Url>,
    #[arg(long, hide = true)]
    ca: Option<PathBuf>,
    #[arg(long, hide = true)]
    cert: Option<PathBuf>,
    #[arg(long, hide = true)]
    client_key: Option<PathBuf>,
    #[command(subcommand)]
    pub(super) command: PkiCommand,
}

#[derive(Debug, Subcommand)]
pub(super) enum PkiCommand {
    /// Make a CA: ca.crt and ca.key.
    #[command(after_help = examples::PKI_INIT)]
    Init {
        /// Directory for the files; made, for its owner only, if it is not there.
        #[arg(long)]
        dir: PathBuf,
        /// Common name of the CA.
        #[arg(long, default_value = "ovstunnel CA", value_parser = values::common_name)]
        name: String,
        /// Lifetime in days.
        #[arg(long, default_value_t = pki::CA_DAYS, value_parser = values::within(pki::CA_DAYS_ALLOWED))]
        days: u32,
    },
    /// Issue a certificate from the CA: NAME.crt and NAME.key.
    #[command(after_help = examples::PKI_ISSUE)]
    Issue(Issue),
    /// Renew certificates for the same names, or the CA's own. The old files stay beside the new ones.
    #[command(after_help = examples::PKI_RENEW)]
    Renew(Renew),
    /// Change the CA's key, in three steps: both CAs are trusted for a while, hosts' and clients' certificates are renewed, the one before goes.
    #[command(after_help = examples::PKI_ROTATE)]
    Rotate(Rotate),
    /// Show what certificates say: names, issuer, validity, key, fingerprint. Exit status 1 where one is not valid now.
    #[command(after_help = examples::PKI_SHOW)]
    Show {
        /// Files, and directories of `.crt` and `.pem` files.
        #[arg(value_name = "PATH", required = true)]
        paths: Vec<PathBuf>,
    },
    /// Put a certificate on the CA's list of revoked ones, ca.crl, which hosts have as `client_crl`.
    #[command(after_help = examples::PKI_REVOKE)]
    Revoke {
        /// Directory of the CA's files.
        #[arg(long)]
        dir: PathBuf,
        /// The certificate to be revoked, PEM.
        #[arg(value_name = "FILE")]
        certificate: PathBuf,
    },
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("who").required(true).args(["for_host", "client", "manager"]))]
pub(super) struct Issue {
    /// Directory of the CA's files, and for the new ones.
    #[arg(long)]
    pub(super) dir: PathBuf,
    /// For the daemon on this host, which clients call by this DNS name (or address).
    #[arg(long = "host", value_name = "NAME")]
    pub(super) for_host: Option<pki::Name>,
    /// For a client of this name: a management server, an operator.
    #[arg(long, value_name = "NAME")]
    pub(super) client: Option<pki::Name>,
    /// For the zone's manager, which calls the hosts' daemons and is called by this DNS name (or address).
    #[arg(long, value_name = "NAME")]
    pub(super) manager: Option<pki::Name>,
    /// An address by which clients call the host or the manager; may be repeated.
    #[arg(long = "address", value_name = "IP", conflicts_with = "client", value_parser = values::ip)]
    pub(super) addresses: Vec<IpAddr>,
    /// Lifetime in days, 825 at most; never longer than the CA's.
    #[arg(long, default_value_t = pki::LEAF_DAYS, value_parser = values::within(pki::LEAF_DAYS_ALLOWED))]
    pub(super) days: u32,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("which").required(true).args(["names", "due", "authority"]))]
pub(super) struct Renew {
    /// Directory of the CA's files and of the certificates.
    #[arg(long)]
    pub(super) dir: PathBuf,
    /// Names of hosts and clients, as they were issued.
    #[arg(value_name = "NAME")]
    pub(super) names: Vec<pki::Name>,
    /// All hosts' and clients' that expire within so many days.
    #[arg(long, value_name = "DAYS", value_parser = values::within(pki::LEAF_DAYS_ALLOWED))]
    pub(super) due: Option<u32>,
    /// The CA's own certificate.
    #[arg(long = "ca")]
    pub(super) authority: bool,
    /// Make a new key, too: where the old one may be known to others.
    #[arg(long, conflicts_with = "authority")]
    pub(super) new_key: bool,
    /// Lifetime from now on in days [default: 825, and 3650 for the CA]; never longer than the CA's.
    #[arg(long, value_parser = values::within(pki::CA_DAYS_ALLOWED))]
    pub(super) days: Option<u32>,
}

#[derive(Args, Debug)]
pub(super) struct Rotate {
    #[arg(value_enum)]
    pub(super) step: RotateStep,
    /// Directory of the CA's files.
    #[arg(long)]
    pub(super) dir: PathBuf,
    /// Common name of the new CA; for `begin` [default: that of the one before, with a number].
    #[arg(long, value_parser = values::common_name)]
    pub(super) name: Option<String>,
    /// Lifetime of the new CA in days; for `begin`.
    #[arg(long, default_value_t = pki::CA_DAYS, value_parser = values::within(pki::CA_DAYS_ALLOWED))]
    pub(super) days: u32,
}

/// A step of the change of the CA's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum RotateStep {
    /// Make the new CA: ca.crt has both from now on, and the one before signs.
    Begin,
    /// Have the new CA sign.
    Switch,
    /// Take the one before out, once no certificate of it is good any more.
    Finish,
}
