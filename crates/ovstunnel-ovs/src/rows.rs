//! Rows of the database as `ovs-vsctl list` prints them: for what the mirror does not have, and is needed only when somebody
//! asks what is wrong. Must not be used on the way of a request that changes anything.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

/// A row: each column's name and value. A set is an array, or its only member; a map an object, a reference a string.
pub type Row = BTreeMap<String, Value>;

/// All rows of three tables.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rows {
    /// Table Bridge.
    pub bridges: Vec<Row>,
    /// Table Port.
    pub ports: Vec<Row>,
    /// Table Interface.
    pub interfaces: Vec<Row>,
}

/// The commands of one `ovs-vsctl` that print them.
pub(crate) const LISTS: [&str; 10] =
    ["--format=json", "--", "list", "Bridge", "--", "list", "Port", "--", "list", "Interface"];

#[derive(Deserialize)]
struct Table {
    headings: Vec<String>,
    data: Vec<Vec<Value>>,
}

impl Rows {
    /// Reads what those commands print: a JSON document for each table.
    pub(crate) fn parse(printed: &str) -> Result<Rows, String> {
        let mut tables = serde_json::Deserializer::from_str(printed).into_iter::<Table>().map(|table| {
            let Table { headings, data } = table.map_err(|error| format!("ovs-vsctl printed no table: {error}"))?;
            let row = |values: Vec<Value>| headings.iter().cloned().zip(values.into_iter().map(plain_json)).collect();
            Ok::<Vec<Row>, String>(data.into_iter().map(row).collect())
        });
        let mut next = || tables.next().unwrap_or_else(|| Err("ovs-vsctl printed too few tables".to_owned()));
        Ok(Rows { bridges: next()?, ports: next()?, interfaces: next()? })
    }
}

/// The database's notation (RFC 7047, section 5.1) as plain JSON.
pub(crate) fn plain_json(value: Value) -> Value {
    let Value::Array(parts) = value else { return value };
    match <[Value; 2]>::try_from(parts) {
        Ok([Value::String(tag), Value::Array(items)]) if tag == "set" => items.into_iter().map(plain_json).collect(),
        Ok([Value::String(tag), Value::Array(pairs)]) if tag == "map" => {
            let pair = |pair: Value| match pair {
                Value::Array(pair) => {
                    let [key, value] = <[Value; 2]>::try_from(pair).ok()?;
                    Some((key.as_str().map_or_else(|| key.to_string(), str::to_owned), plain_json(value)))
                }
                _ => None,
            };
            Value::Object(pairs.into_iter().filter_map(pair).collect::<Map<_, _>>())
        }
        Ok([Value::String(tag), value]) if tag == "uuid" => value,
        Ok(other) => other.into_iter().collect(),
        Err(other) => Value::Array(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tables_become_rows_of_plain_values() {
        let bridge = json!({"headings": ["_uuid", "name", "controller", "ports", "external_ids"], "data": [[
            ["uuid", "4c0f"], "xapi1", ["set", []], ["set", [["uuid", "1"], ["uuid", "2"]]], ["map", [["a", "b"]]]
        ]]});
        let empty = json!({"headings": ["name"], "data": []});
        let printed = format!("{bridge}\n\n{empty}\n{empty}\n");
        let rows = Rows::parse(&printed).unwrap();
        let row = &rows.bridges[0];
        assert_eq!((&row["_uuid"], &row["controller"], &row["name"]), (&json!("4c0f"), &json!([]), &json!("xapi1")));
        assert_eq!((&row["ports"], &row["external_ids"]), (&json!(["1", "2"]), &json!({"a": "b"})));
        assert!(rows.ports.is_empty() && rows.interfaces.is_empty());
        assert!(Rows::parse("nonsense").unwrap_err().contains("no table"));
        assert!(Rows::parse(&bridge.to_string()).unwrap_err().contains("too few"));
    }
}
