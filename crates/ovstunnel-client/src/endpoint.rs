//! Where a daemon is: a Unix socket on this host, or an HTTPS URL with the files that prove who is who.
//!
//! What it must not do: read the files, or look at the environment.

use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "https")]
use url::Url;

/// The daemon's Unix socket as configured unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/ovstunnel/ovstunneld.sock";

/// The files of mutual TLS, all PEM.
#[cfg(feature = "https")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Certificates of the CAs that the daemon's certificate must come from; no other CA is trusted.
    pub ca: PathBuf,
    /// The client's certificate, with its chain if it has one.
    pub cert: PathBuf,
    /// The client's private key.
    pub key: PathBuf,
}

/// A daemon's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The Unix socket, for root on the same host.
    Unix(PathBuf),
    /// HTTPS with a client certificate.
    #[cfg(feature = "https")]
    Https {
        /// `https://host:port`.
        url: Url,
        /// Who we are and whom we trust.
        identity: Identity,
    },
}

#[cfg(feature = "https")]
impl Endpoint {
    /// Reads `https://host[:port]`.
    ///
    /// # Errors
    /// Says what is wrong with `text`: not a URL, another scheme, or more than scheme, host and port.
    pub fn parse_url(text: &str) -> Result<Url, String> {
        let url = Url::parse(text).map_err(|e| format!("not a URL ({e}); expected https://HOST:PORT"))?;
        if url.scheme() != "https" || !url.has_host() {
            return Err("expected https://HOST:PORT; nothing else than HTTPS is spoken".to_owned());
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err("expected https://HOST:PORT without a path: the paths are the API's".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("expected https://HOST:PORT without a user: the client certificate says who asks".to_owned());
        }
        Ok(url)
    }
}

impl Default for Endpoint {
    fn default() -> Self {
        Endpoint::Unix(PathBuf::from(DEFAULT_SOCKET))
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "{}", path.display()),
            #[cfg(feature = "https")]
            Endpoint::Https { url, .. } => f.write_str(url.as_str().trim_end_matches('/')),
        }
    }
}

#[cfg(all(test, feature = "https"))]
mod tests {
    use super::*;

    #[test]
    fn urls_are_https_host_and_port_alone() {
        assert!(Endpoint::parse_url("https://host1:8443").is_ok());
        assert!(Endpoint::parse_url("https://[2001:db8::1]:8443/").is_ok());
        for bad in
            ["host1:8443", "http://host1:8443", "https://h/v1", "https://h?x", "https://u@h", "https://u:p@h", ""]
        {
            assert!(Endpoint::parse_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_endpoint_is_shown_as_an_operator_would_write_it() {
        assert_eq!(Endpoint::default().to_string(), DEFAULT_SOCKET);
        let identity = Identity { ca: "a".into(), cert: "b".into(), key: "c".into() };
        let url = Endpoint::parse_url("https://host1:8443/").unwrap();
        assert_eq!(Endpoint::Https { url, identity }.to_string(), "https://host1:8443");
    }
}
