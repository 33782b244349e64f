//! Certificates for the API: a CA of one's own, one certificate for each host, one for each client.
//!
//! What it does: makes them with ECDSA P-256 keys and writes them as PEM files into one directory: `ca.crt`, `ca.key`,
//! `NAME.crt`, `NAME.key`. The files are the record: issuing reads the CA back from them. What it must not do: lose
//! a file (a renewed one stays beside the new one), leave a key readable by others, talk to a daemon, or read the clock (the caller says what time it is).

mod authority;
mod error;
mod files;
mod leaf;
mod name;
mod renew;
mod request;
mod revoke;
mod rotation;
mod show;
mod standing;
mod subject;
mod succession;

use std::ops::RangeInclusive;
use std::path::PathBuf;

use time::{Duration, OffsetDateTime};

pub use authority::Authority;
pub use error::PkiError;
pub use files::readable_by_others;
pub use leaf::{Leaf, Role};
pub use name::Name;
pub use renew::{Key, Renewed};
pub use request::{Asking, Request, Requested, Signed, judge_request};
pub use revoke::Revoked;
pub use rotation::{Rotation, replace_ca};
pub use show::{Details, Purpose, read_details, sha256_fingerprint};
pub use standing::Standing;
pub use succession::Succession;

/// Days that a CA lives unless told otherwise: ten years, longer than a host is in service, since a new CA has to
/// reach every host.
pub const CA_DAYS: u32 = 3650;

/// Days that a host's or client's certificate lives unless told otherwise, and the most that it may: 825, what strict
/// TLS clients accept for a private CA.
pub const LEAF_DAYS: u32 = 825;

/// Lifetimes that a CA may have, in days.
pub const CA_DAYS_ALLOWED: RangeInclusive<i64> = 1..=7300;

/// Lifetimes that other certificates may have, in days.
pub const LEAF_DAYS_ALLOWED: RangeInclusive<i64> = 1..=LEAF_DAYS as i64;

/// How far before now a certificate begins to be valid: hosts without a working NTP are some minutes off, and a
/// certificate must work on them at once.
const SKEW: Duration = Duration::hours(1);

/// A certificate and key that were written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The certificate, PEM.
    pub certificate: PathBuf,
    /// Its private key, PEM, for its owner only.
    pub key: PathBuf,
    /// What it is valid for: DNS names and addresses of a host, the name of a client, the CA's name.
    pub names: Vec<String>,
    /// When it begins to be valid.
    pub not_before: OffsetDateTime,
    /// When it expires.
    pub not_after: OffsetDateTime,
    /// True when it expires earlier than asked for, together with its CA.
    pub shortened: bool,
}
