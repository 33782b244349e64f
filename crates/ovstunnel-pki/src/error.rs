//! What can go wrong with certificates. Display does not print its source.

use std::io;
use std::path::PathBuf;

/// Why no certificate was made.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file of that name is there; it was left alone.
    #[error("{} is already there; nothing was written", .0.display())]
    Exists(PathBuf),
    /// There is no CA in the directory.
    #[error("no CA in {}", .0.display())]
    NoAuthority(PathBuf),
    /// The CA's time is over.
    #[error("the CA {} expired on {on}", path.display())]
    AuthorityExpired {
        /// The CA's certificate.
        path: PathBuf,
        /// The day.
        on: time::Date,
    },
    /// A file is not what it should be.
    #[error("{} is not {expected}", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What it should be.
        expected: &'static str,
    },
    /// A step of the change of the CA's key that is not the next one.
    #[error("{0}; nothing was changed")]
    Step(&'static str),
    /// Certificates that end with the CA before.
    #[error("{} of the CA before, and would not be trusted any more; nothing was changed", named(.0))]
    StillUsed(Vec<String>),
    /// A file or directory could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// The operating system's words.
        source: io::Error,
    },
    /// The certificate library refused.
    #[error("cannot make the certificate of {name}")]
    Make {
        /// Whose.
        name: String,
        /// Why.
        source: rcgen::Error,
    },
}

impl PkiError {
    /// What the operator can do about it.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            PkiError::Exists(_) => Some("certificates and keys are never overwritten: move the old ones away first"),
            PkiError::NoAuthority(_) => Some("`ovstunnelctl pki init --dir DIR` makes one"),
            PkiError::AuthorityExpired { .. } => {
                Some("make a new CA in another directory, and new certificates from it")
            }
            PkiError::Step(_) => Some(
                "`pki rotate begin`, `switch`, `finish`, in this order; `pki show DIR/ca.crt` shows both certificates",
            ),
            PkiError::StillUsed(_) => Some(
                "`pki renew` them, or wait until hosts that joined have renewed theirs; revoke those that nobody needs",
            ),
            PkiError::Unfit { .. } | PkiError::File { .. } | PkiError::Make { .. } => None,
        }
    }

    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            PkiError::Exists(_) => "already_exists",
            PkiError::NoAuthority(_) => "no_ca",
            PkiError::AuthorityExpired { .. } => "ca_expired",
            PkiError::Unfit { .. } => "unfit_file",
            PkiError::Step(_) => "wrong_step",
            PkiError::StillUsed(_) => "still_used",
            PkiError::File { .. } => "file_failed",
            PkiError::Make { .. } => "certificate_failed",
        }
    }
}

/// The first of these names, and how many more there are.
fn named(names: &[String]) -> String {
    let (first, more) = (names.iter().take(10).cloned().collect::<Vec<_>>().join(", "), names.len().saturating_sub(10));
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    format!("{first}{more} {}", if names.len() == 1 { "is" } else { "are" })
}
