//! Which rows a transaction of the database changes. Must not know what is mirrored of them.

use std::collections::HashMap;

use uuid::Uuid;

use super::tables::{BridgeColumns, InterfaceColumns, RowUpdate, Update};

/// Rows that a transaction changes.
pub(super) struct Keys {
    pub(super) bridges: Vec<Uuid>,
    pub(super) ports: Vec<Uuid>,
    pub(super) interfaces: Vec<Uuid>,
}

impl Keys {
    /// Those that planning has to look at again.
    pub(super) fn planned_keys(update: &Update) -> Keys {
        fn row_keys<T>(rows: &HashMap<Uuid, RowUpdate<T>>, planned: impl Fn(&T) -> bool) -> Vec<Uuid> {
            let matters = |row: &RowUpdate<T>| !matches!(row, RowUpdate::Modify(columns) if !planned(columns));
            rows.iter().filter(|(_, row)| matters(row)).map(|(uuid, _)| *uuid).collect()
        }
        Keys {
            bridges: row_keys(&update.bridges, BridgeColumns::has_planned_column),
            ports: row_keys(&update.ports, |_| true),
            interfaces: row_keys(&update.interfaces, InterfaceColumns::has_planned_column),
        }
    }

    /// A port that changes its owner, and nothing else, is in the column of the bridges alone.
    pub(super) fn all_keys(update: &Update) -> Keys {
        let columns = update.bridges.values().filter_map(|row| match row {
            RowUpdate::Initial(columns) | RowUpdate::Insert(columns) | RowUpdate::Modify(columns) => Some(columns),
            RowUpdate::Delete(()) => None,
        });
        let of_bridges = columns.filter_map(|columns| columns.ports.as_ref()).flatten();
        Keys {
            bridges: update.bridges.keys().copied().collect(),
            ports: update.ports.keys().chain(of_bridges).copied().collect(),
            interfaces: update.interfaces.keys().copied().collect(),
        }
    }
}
