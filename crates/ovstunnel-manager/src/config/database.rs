//! `[database]`: where the zone is kept.
//!
//! What it must not do: show the password in an address, wherever a configuration is shown; know a table.

use std::fmt;
use std::path::PathBuf;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::values;

/// `[database]`: where the zone is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Database {
    /// `sqlite://` and an absolute path, for one manager; or for several `mysql://USER:PASSWORD@HOST/DATABASE` (MariaDB and MySQL; also
    /// `mariadb://`) or `postgres://USER:PASSWORD@HOST/DATABASE`. The database must be there, and be the zone's alone. With a password in it,
    /// the file should be readable by root alone.
    pub url: Url,
    /// Certificates of the authorities that the database server's certificate must come from (PEM, absolute path): with it the server is talked to
    /// by TLS only, and must be the host that `url` names. Without it `url` decides: `?ssl-mode=VERIFY_IDENTITY` (MariaDB, MySQL) or
    /// `?sslmode=verify-full` (PostgreSQL) for the authorities of the system.
    #[serde(deserialize_with = "values::some_path")]
    pub ca: Option<PathBuf>,
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
        let url = Url("sqlite:///var/lib/ovstunnel/manager.db".to_owned());
        Database { url, ca: None, states: States::default(), cloudstack_url: None }
    }
}

/// The address of a database. Shown, it has no password.
#[derive(Clone, PartialEq, Eq)]
pub struct Url(String);

const RULE: &str = "expected sqlite:// and an absolute path, such as \"sqlite:///var/lib/ovstunnel/manager.db\", or \
                    mysql://USER:PASSWORD@HOST/DATABASE or postgres://USER:PASSWORD@HOST/DATABASE; the value is not shown";

impl Url {
    /// All of it, for who connects.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the database is a server's, which other managers may share.
    pub fn is_shared(&self) -> bool {
        !self.0.starts_with("sqlite://")
    }

    fn is_good(text: &str) -> bool {
        match text.split_once("://") {
            Some(("sqlite", path)) => {
                path.starts_with('/') && !path.ends_with('/') && !path.contains(['\0', '?', '#', '%'])
            }
            Some(("mysql" | "mariadb" | "postgres" | "postgresql", rest)) => {
                let parts = rest.split_once('/');
                parts.is_some_and(|(host, name)| !host.is_empty() && !name.is_empty() && !name.starts_with('?'))
            }
            _ => false,
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((scheme, rest)) = self.0.split_once("://").filter(|_| self.is_shared()) else {
            return to.write_str(&self.0);
        };
        // What follows `?` may have a password, too; and a password that is not written as it should be may have any of these signs.
        let (place, query) = rest.rsplit_once('?').unwrap_or((rest, ""));
        match place.rsplit_once('@') {
            Some((user, place)) => {
                write!(to, "{scheme}://{}:…@{place}", user.split(':').next().unwrap_or_default())
            }
            None if query.contains('@') => write!(to, "{scheme}://…"),
            None => write!(to, "{scheme}://{place}"),
        }
    }
}

impl fmt::Debug for Url {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, to)
    }
}

impl Serialize for Url {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Url {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Url, D::Error> {
        let text = String::deserialize(d)?;
        if Url::is_good(&text) { Ok(Url(text)) } else { Err(D::Error::custom(RULE)) }
    }
}
