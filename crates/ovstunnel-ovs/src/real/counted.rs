//! What tunnels have counted, as the database says. Must not ask `ovs-vswitchd`, or run a command.

use std::collections::BTreeMap;

use ovstunnel_plan::TunnelKind;
use serde_json::{Value, json};

use super::RealSwitch;
use crate::native::select_rows;
use crate::rows::plain_json;
use crate::{CommitError, Row};

/// What a tunnel has counted since its port was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Packets that came by it.
    pub rx_packets: u64,
    /// Packets that went by it. A datapath in user space counts those twice that were sent by `packet-out`.
    pub tx_packets: u64,
}

impl Counted {
    /// What these rows of table Interface say, by name. Of one that was not counted yet, nothing.
    pub(crate) fn of_rows(rows: Vec<Row>) -> BTreeMap<String, Counted> {
        let of = |row: Row| {
            let counter = |which: &str| row.get("statistics")?.get(which)?.as_u64();
            let counted = Counted { rx_packets: counter("rx_packets")?, tx_packets: counter("tx_packets")? };
            Some((row.get("name")?.as_str()?.to_owned(), counted))
        };
        rows.into_iter().filter_map(of).collect()
    }
}

/// The question for the counters of all tunnels of a kind: a condition of the database knows no "or".
fn of_kind(kind: TunnelKind) -> Value {
    let is_tunnel = json!([["type", "==", kind.interface_type()]]);
    json!({"op": "select", "table": "Interface", "where": is_tunnel, "columns": ["name", "statistics"]})
}

/// A row of the database's answer.
fn parse_row(value: Value) -> Row {
    let Value::Object(columns) = value else { return Row::new() };
    columns.into_iter().map(|(name, value)| (name, plain_json(value))).collect()
}

impl RealSwitch {
    pub(crate) async fn tunnel_counters(&self) -> Result<BTreeMap<String, Counted>, CommitError> {
        let socket = self.tools.rundir.join("db.sock");
        let late = |_| CommitError::Unavailable("its database has not answered in time".to_owned());
        let questions = TunnelKind::ALL.map(of_kind);
        let asked = tokio::time::timeout(self.tools.timeout, select_rows(&socket, &questions));
        let rows = asked.await.map_err(late)??;
        Ok(Counted::of_rows(rows.into_iter().map(parse_row).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_parsed_and_what_was_not_counted_is_left_out() {
        let rows = vec![
            json!({"name": "t1001-1-2", "statistics": ["map", [["rx_bytes", 9], ["rx_packets", 3], ["tx_packets", 5]]]}),
            json!({"name": "t1001-1-3", "statistics": ["map", []]}),
        ];
        let counted = Counted::of_rows(rows.into_iter().map(parse_row).collect());
        assert_eq!(counted, BTreeMap::from([("t1001-1-2".to_owned(), Counted { rx_packets: 3, tx_packets: 5 })]));
    }
}
