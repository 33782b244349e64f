//! `[database]`: where the zone is kept.
//!
//! What it must not do: know a table.

use std::path::PathBuf;

use ovstunnel_store::{OwnFiles, TlsFiles};
use serde::{Deserialize, Serialize};

use super::url::Url;
use super::values;

/// `[database]`: where the zone is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite://` and an absolute path, for one manager; or for several `mysql://USER:PASSWORD@HOST/DATABASE` (MariaDB and MySQL; also
    /// `mariadb://`) or `postgres://USER:PASSWORD@HOST/DATABASE`. The database must be there, and be the zone's alone. With a password in it,
    /// the file should be readable by root alone.
    pub url: Url,
    /// Certificates of the authorities that the database server's certificate must come from (PEM, absolute path), beside
    /// those that the system trusts: with it the server is talked to by TLS only, and must be the host that `url` names. Without it `url` decides, and
    /// asks for TLS at best, without a look at the certificate, where it says nothing: `?ssl-mode=VERIFY_IDENTITY` (MariaDB, MySQL) or
    /// `?sslmode=verify-full` (PostgreSQL) for the authorities of the system.
    #[serde(deserialize_with = "values::some_path")]
    pub ca: Option<PathBuf>,
    /// The certificate that the manager shows the database server, followed by any intermediate ones (PEM, absolute path), for a user who must have one.
    /// Needs `ca` and `key`.
    #[serde(deserialize_with = "values::some_path")]
    pub certificate: Option<PathBuf>,
    /// Private key of that certificate, unencrypted.
    #[serde(deserialize_with = "values::some_path")]
    pub key: Option<PathBuf>,
    /// Which words stand for the state of a tunnel in the table `ovs_tunnel_network`: `"specification"` (`SUCCESS` and `FAILED`) or
    /// `"cloudstack"` (`Established` and `Failed`). Rows that are there are changed to it.
    pub states: States,
    /// CloudStack's database, which `ovstunnel-manager import` reads and `ovstunnel-manager export --apply` alone writes:
    /// `mysql://USER:PASSWORD@HOST/DATABASE`. With a password in it, the file should be readable by root alone.
    #[serde(deserialize_with = "values::cloudstack", skip_serializing)]
    pub cloudstack_url: Option<String>,
}

/// Which words stand for the state of a tunnel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum States {
    /// `SUCCESS` and `FAILED`.
    #[default]
    Specification,
    /// `Established` and `Failed`.
    #[serde(rename = "cloudstack")]
    CloudStack,
}

impl Default for Database {
    fn default() -> Self {
        let url = Url::default();
        Database { url, ca: None, certificate: None, key: None, states: States::default(), cloudstack_url: None }
    }
}

impl Database {
    /// The files of TLS with a server.
    pub fn tls_files(&self) -> TlsFiles {
        let own = self.certificate.clone().zip(self.key.clone());
        TlsFiles { ca: self.ca.clone(), own: own.map(|(certificate, key)| OwnFiles { certificate, key }) }
    }

    /// What one key alone cannot tell.
    pub(super) fn check_consistency(&self) -> Result<(), String> {
        match (&self.certificate, &self.key) {
            (Some(_), None) => Err("database.key: is needed too; the certificate is of no use without it".to_owned()),
            (None, Some(_)) => Err("database.certificate: is needed too; the key is of no use without it".to_owned()),
            (Some(_), Some(_)) if self.ca.is_none() => {
                Err("database.ca: is needed too; a certificate is shown only to a server that is known".to_owned())
            }
            _ => Ok(()),
        }
    }
}
