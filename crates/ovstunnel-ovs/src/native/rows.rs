//! What operations of a transaction say of rows, as JSON of RFC 7047 (section 5.1).
//!
//! What it does: writes it as text at once: a network of 2,000 tunnels is 4,000 rows, of which trees of values would be made and thrown away. What
//! it must not do: know what a row is for.

use std::fmt::Display;

use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// A row, as operations name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RowRef {
    /// It is there.
    There(Uuid),
    /// This transaction makes it.
    Made(usize),
}

/// A row's name in the transaction that makes it.
pub(super) fn row_name(number: usize) -> String {
    format!("row{number}")
}

impl Serialize for RowRef {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self {
            RowRef::There(uuid) => ("uuid", Shown(uuid)).serialize(to),
            RowRef::Made(number) => ("named-uuid", row_name(*number)).serialize(to),
        }
    }
}

/// As text.
struct Shown<T>(T);

impl<T: Display> Serialize for Shown<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

/// A map of strings.
#[derive(Debug)]
pub(super) struct Pairs<K, V>(pub Vec<(K, V)>);

impl<K: Serialize, V: Serialize> Serialize for Pairs<K, V> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        ("map", &self.0).serialize(to)
    }
}

/// A new row.
#[derive(Serialize)]
#[serde(tag = "op", rename = "insert")]
pub(super) struct Insert<'a, T> {
    pub table: &'a str,
    #[serde(rename = "uuid-name")]
    pub row_name: String,
    pub row: T,
}

/// A change of a row, or without a condition of the only one of its table.
#[derive(Serialize)]
#[serde(tag = "op", rename = "mutate")]
pub(super) struct Mutate<'a, T> {
    pub table: &'a str,
    #[serde(rename = "where")]
    pub condition: Vec<(&'a str, &'a str, RowRef)>,
    pub mutations: T,
}

/// The interface of a new tunnel.
#[derive(Serialize)]
pub(super) struct TunnelInterface<'a> {
    pub name: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub options: Pairs<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bfd: Option<Pairs<&'static str, String>>,
}

/// The port of a new tunnel.
#[derive(Serialize)]
pub(super) struct TunnelPort<'a> {
    pub name: &'a str,
    pub interfaces: RowRef,
    pub protected: bool,
    pub external_ids: Pairs<&'static str, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<u16>,
}

/// The parameters of `transact`: the database, then the operations.
pub(super) struct Params<'a, T>(pub &'a [T]);

impl<T: Serialize> Serialize for Params<'_, T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut all = to.serialize_seq(Some(1 + self.0.len()))?;
        all.serialize_element("Open_vSwitch")?;
        self.0.iter().try_for_each(|operation| all.serialize_element(operation))?;
        all.end()
    }
}
