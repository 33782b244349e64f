//! The address of a database.
//!
//! What it does: says which are taken. What it must not do: show the password in one, wherever a configuration is shown.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

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

impl Default for Url {
    fn default() -> Self {
        Url("sqlite:///var/lib/ovstunnel/manager.db".to_owned())
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
