//! The zone and its hosts.
//!
//! What it does: their rows. What it must not do: know whether a host answers.

use std::str::FromStr;

use ovstunnel_types::HostNumber;
use uuid::Uuid;

use super::check::{Text, check_path_name};
use crate::{Result, StoreError};

/// The zone that a database is for; made with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its name, as in the configuration.
    pub name: String,
    /// Its UUID, which tells it from others of that name.
    pub uuid: Uuid,
}

/// What the manager does with a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HostMode {
    /// All.
    Manage,
    /// It looks and never writes.
    Observe,
    /// No new NIC.
    Drain,
}

impl HostMode {
    /// The word for it, in the database and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            HostMode::Manage => "manage",
            HostMode::Observe => "observe",
            HostMode::Drain => "drain",
        }
    }
}

impl FromStr for HostMode {
    type Err = StoreError;

    fn from_str(text: &str) -> Result<Self> {
        let known = [HostMode::Manage, HostMode::Observe, HostMode::Drain];
        let rule = "must be manage, observe or drain";
        known.into_iter().find(|mode| mode.as_str() == text).ok_or_else(|| StoreError::invalid("host.mode", rule, text))
    }
}

/// A registered host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostRow {
    /// Its number, unique in the zone; never changes.
    pub number: HostNumber,
    /// Its name, unique in the zone.
    pub name: String,
    /// Address of its daemon's API, `https://…`; at most 512 characters.
    pub api: String,
    /// Where it stands; at most 63 characters.
    pub rack: Option<String>,
    /// Label of its endpoint, where it differs from the physical network's; at most 45 characters.
    pub label: Option<String>,
    /// What the manager does with it.
    pub mode: HostMode,
    /// When it was first put there, in seconds since 1970.
    pub registered: i64,
}

/// A host to be registered or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewHost {
    /// Its number; the next free one if there is none, and what it has already if it is registered.
    pub number: Option<HostNumber>,
    /// Its name.
    pub name: String,
    /// Address of its daemon's API.
    pub api: String,
    /// Where it stands.
    pub rack: Option<String>,
    /// Label of its endpoint.
    pub label: Option<String>,
    /// What the manager does with it.
    pub mode: HostMode,
    /// Now, in seconds since 1970; a host that is registered keeps its own.
    pub registered: i64,
}

const API: Text = Text { field: "host.api", rule: "must have at most 512 characters, none of control", max: 512 };
const RACK: Text = Text { field: "host.rack", rule: "must have at most 63 characters, none of control", max: 63 };
const LABEL: Text = Text { field: "host.label", rule: "must have at most 45 characters, none of control", max: 45 };

impl NewHost {
    pub(crate) fn check_fields(&self) -> Result<()> {
        check_path_name("host.name", &self.name)?;
        API.check_text(&self.api)?;
        RACK.check_some(self.rack.as_deref())?;
        LABEL.check_some(self.label.as_deref())
    }

    /// The row of it over the one that is there.
    pub(crate) fn merged_over(&self, known: &HostRow) -> Result<HostRow> {
        match self.number.filter(|number| *number != known.number) {
            Some(other) => {
                Err(StoreError::conflict("host.name", format!("{}, which is not number {other}", self.name)))
            }
            None => Ok(self.to_row(known.number, known.registered)),
        }
    }

    /// The row of it.
    pub(crate) fn to_row(&self, number: HostNumber, registered: i64) -> HostRow {
        let NewHost { number: _, name, api, rack, label, mode, registered: _ } = self.clone();
        HostRow { number, name, api, rack, label, mode, registered }
    }
}

impl From<HostRow> for NewHost {
    fn from(row: HostRow) -> NewHost {
        let HostRow { number, name, api, rack, label, mode, registered } = row;
        NewHost { number: Some(number), name, api, rack, label, mode, registered }
    }
}
