//! Columns of the database as JSON: atoms, sets and maps (RFC 7047, section 5.1).
//! Must not know what a column means.

use serde::{Deserialize, Deserializer};
use uuid::Uuid;

#[derive(Deserialize)]
enum SetTag {
    #[serde(rename = "set")]
    Set,
}

#[derive(Deserialize)]
enum MapTag {
    #[serde(rename = "map")]
    Map,
}

#[derive(Deserialize)]
enum UuidTag {
    #[serde(rename = "uuid")]
    Uuid,
}

#[derive(Deserialize)]
struct MapColumn<'a>(MapTag, #[serde(borrow)] Vec<(std::borrow::Cow<'a, str>, std::borrow::Cow<'a, str>)>);

#[derive(Deserialize)]
struct UuidAtom(UuidTag, Uuid);

#[derive(Deserialize)]
struct NumberedColumn(MapTag, Vec<(i64, UuidAtom)>);

/// `["set", [atom, …]]`, or one atom by itself.
#[derive(Deserialize)]
#[serde(untagged)]
enum SetColumn<T> {
    Set(SetTag, Vec<T>),
    One(T),
}

impl<T> SetColumn<T> {
    fn into_vec(self) -> Vec<T> {
        match self {
            SetColumn::Set(SetTag::Set, items) => items,
            SetColumn::One(item) => vec![item],
        }
    }
}

/// A set of row references.
pub(super) fn uuids<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Uuid>>, D::Error> {
    let atoms = SetColumn::<UuidAtom>::deserialize(from)?.into_vec();
    Ok(Some(atoms.into_iter().map(|UuidAtom(UuidTag::Uuid, uuid)| uuid).collect()))
}

/// One row reference or none. `Some(None)` says that the column is there and empty.
pub(super) fn reference<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Uuid>>, D::Error> {
    Ok(Some(uuids(from)?.unwrap_or_default().pop()))
}

/// A map from numbers to row references.
pub(super) fn numbered<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<(i64, Uuid)>>, D::Error> {
    let NumberedColumn(MapTag::Map, pairs) = NumberedColumn::deserialize(from)?;
    Ok(Some(pairs.into_iter().map(|(number, UuidAtom(UuidTag::Uuid, uuid))| (number, uuid)).collect()))
}

/// A set of atoms.
pub(super) fn atoms<'de, D, T>(from: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Some(SetColumn::deserialize(from)?.into_vec()))
}

/// An optional atom: a set of none or one. `Some(None)` says that the column is there and empty.
pub(super) fn optional<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    Ok(Some(SetColumn::<T>::deserialize(from)?.into_vec().pop()))
}

/// A map of strings.
pub(super) fn map<'de, D: Deserializer<'de>>(from: D) -> Result<Option<super::Pairs>, D::Error> {
    let MapColumn(MapTag::Map, pairs) = MapColumn::deserialize(from)?;
    Ok(Some(pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect()))
}
