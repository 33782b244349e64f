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
            PkiError::File { .. } => "file_failed",
            PkiError::Make { .. } => "certificate_failed",
        }
    }
}
