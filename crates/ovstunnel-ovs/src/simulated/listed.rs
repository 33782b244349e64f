//! Rows of a simulated switch as `ovs-vsctl list` would print them. Must not have columns that the real one has not.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::SimulatedSwitch;
use crate::{Row, Rows};

/// What was set beside the mirror: table and name of the row, its columns.
pub(super) type Columns = BTreeMap<(String, String), Row>;

impl SimulatedSwitch {
    /// Sets a column that the mirror does not have: `mtu` or `statistics` of an Interface, `controller` or
    /// `datapath_type` of a Bridge.
    pub fn set_column(&self, table: &str, name: &str, column: &str, value: Value) {
        let row = (table.to_owned(), name.to_owned());
        self.lock_state().columns.entry(row).or_default().insert(column.to_owned(), value);
    }

    pub(crate) fn list_rows(&self) -> Rows {
        let columns = self.lock_state().columns.clone();
        let row = |table: &str, name: &str, own: Value| {
            let own = own.as_object().cloned().unwrap_or_default().into_iter();
            let more = columns.get(&(table.to_owned(), name.to_owned())).cloned().unwrap_or_default();
            own.chain([("name".to_owned(), json!(name))]).chain(more).collect::<Row>()
        };
        let map = |pairs: &super::Pairs| pairs.iter().map(|(k, v)| (k.to_string(), json!(v))).collect::<Value>();
        self.observer.read(|db| Rows {
            bridges: (db.bridges.values())
                .map(|b| row("Bridge", &b.name, json!({"controller": [], "external_ids": map(&b.external_ids)})))
                .collect(),
            ports: (db.ports.values())
                .map(|p| row("Port", &p.name, json!({"protected": p.protected, "external_ids": map(&p.external_ids)})))
                .collect(),
            interfaces: (db.interfaces.values())
                .map(|i| row("Interface", &i.name, json!({"type": i.kind, "options": map(&i.options)})))
                .collect(),
        })
    }
}
