//! Who is asked, and where: what each message about a request that failed begins with.
//!
//! What it must not do: know what is asked for.

use std::fmt;

/// Which of the two services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Service {
    /// A host's `ovstunneld`.
    Daemon,
    /// A zone's `ovstunnel-manager`.
    Manager,
}

impl Service {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Service::Daemon => "daemon",
            Service::Manager => "manager",
        }
    }
}

/// A service at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Which service.
    pub service: Service,
    /// Where it is: the socket's path or the URL.
    pub at: String,
}

impl Peer {
    /// The daemon at this place.
    pub fn daemon_at(at: impl Into<String>) -> Peer {
        Peer { service: Service::Daemon, at: at.into() }
    }

    /// Whether it is asked over HTTPS.
    pub fn is_remote(&self) -> bool {
        self.at.starts_with("https:")
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the {} at {}", self.service.as_str(), self.at)
    }
}
