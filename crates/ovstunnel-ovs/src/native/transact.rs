//! Steps as one JSON-RPC `transact` of the database (RFC 7047, section 5.2): the same change that [`crate::vsctl`] writes as arguments.
//!
//! What it does: names rows that are there by their UUID in the mirror, each guarded by a `wait` that it still has its name, and new
//! ones by a name of this transaction; has `ovs-vswitchd` take it up by `next_cfg`. What it must not do: send anything, or change
//! what [`crate::vsctl`] would not.

use std::collections::{BTreeMap, HashMap, HashSet};

use ovstunnel_plan::{BridgeEdit, BridgeSpec, DesiredTunnel, NO_VLAN, PortEdit, Step, SwitchEdit, ids};
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{Insert, Mutate, Pairs, RowRef, TunnelInterface, TunnelPort, row_name};
use crate::Db;

/// Tables whose rows have names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Table {
    Bridge,
    Port,
    Interface,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Table::Bridge => "Bridge",
            Table::Port => "Port",
            Table::Interface => "Interface",
        }
    }
}

/// A row that the steps name and that is not there; nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("no row \"{name}\" in table {}", table.name())]
pub(crate) struct NoSuchRow {
    table: Table,
    name: String,
}

/// The operations of one transaction, and what of them guards what.
#[derive(Debug, Default)]
pub(crate) struct Operations {
    ops: Vec<Box<RawValue>>,
    /// By position in `ops`: what is no longer so where that one fails.
    guards: BTreeMap<usize, String>,
}

impl Operations {
    /// The operations, in order. The last one tells `next_cfg`.
    pub fn as_slice(&self) -> &[Box<RawValue>] {
        &self.ops
    }

    #[expect(
        clippy::expect_used,
        reason = "what an operation is made of can always be written: its maps have strings as keys"
    )]
    fn add(&mut self, operation: &impl Serialize) {
        self.ops.push(to_raw_value(operation).expect("an operation is JSON"));
    }

    /// What is no longer so, where the operation at this position guards something.
    pub fn guard_failure(&self, position: usize) -> Option<&str> {
        self.guards.get(&position).map(String::as_str)
    }
}

/// The transaction that carries out the steps on what the mirror shows.
pub(crate) fn transaction_operations(steps: &[Step], db: &Db) -> Result<Operations, NoSuchRow> {
    let mut transaction = Transaction::new(db);
    transaction.guard_root();
    steps.iter().try_for_each(|step| transaction.add_step(step))?;
    Ok(transaction.finish_operations())
}

/// Ports that join a bridge and leave it: one change of its row, however many.
#[derive(Debug, Default)]
struct Members {
    come: Vec<RowRef>,
    go: Vec<RowRef>,
}

struct Transaction<'a> {
    db: &'a Db,
    done: Operations,
    /// Rows that are there, by name, of tables that were asked for.
    there: HashMap<Table, HashMap<&'a str, Uuid>>,
    /// Rows that this transaction makes and that it may name again.
    made: HashMap<(Table, String), RowRef>,
    guarded: HashSet<Uuid>,
    /// By bridge, in the order of their first port.
    members: Vec<(RowRef, Members)>,
    named: usize,
}

impl<'a> Transaction<'a> {
    fn new(db: &'a Db) -> Self {
        Transaction {
            db,
            done: Operations::default(),
            there: HashMap::new(),
            made: HashMap::new(),
            guarded: HashSet::new(),
            members: Vec::new(),
            named: 0,
        }
    }

    /// `ovs-vsctl` would make this row where it is missing; whoever runs `ovs-vswitchd` has done that.
    fn guard_root(&mut self) {
        let op = json!({"op": "wait", "timeout": 0, "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"], "until": "!=", "rows": []});
        self.add_guard(op, "table Open_vSwitch has no row: run `ovs-vsctl init`".to_owned());
    }

    fn add_guard(&mut self, op: Value, what: String) {
        self.done.guards.insert(self.done.ops.len(), what);
        self.done.add(&op);
    }

    fn add_step(&mut self, step: &Step) -> Result<(), NoSuchRow> {
        match step {
            Step::CreateBridge(spec) => self.create_bridge(spec),
            Step::EditBridge { bridge, edits } => return self.edit_bridge(bridge.as_str(), edits),
            Step::DeleteBridge { uuid, .. } => {
                self.mutate_row(
                    "Open_vSwitch",
                    None,
                    json!([["bridges", "delete", ovsdb_set([RowRef::There(*uuid)])]]),
                );
            }
            Step::AddTunnel { bridge, tunnel } => return self.add_tunnel(bridge.as_str(), tunnel),
            Step::EditTunnel { port, edits, .. } => return self.edit_tunnel(port.as_str(), edits),
            Step::RemoveTunnel { bridge, uuid, .. } => {
                // Nothing is to be done where the bridge has gone with all on it.
                if let Ok(row) = self.guarded_row(Table::Bridge, bridge) {
                    self.members_of(row).go.push(RowRef::There(*uuid));
                }
            }
            Step::TryAgain { attempt } => {
                self.set_key("Open_vSwitch", None, "external_ids", (ids::RETRY, &attempt.to_string()))
            }
            Step::RecordEpoch(Some(epoch)) => {
                self.set_key("Open_vSwitch", None, "external_ids", (ids::EPOCH, &epoch.to_string()));
            }
            Step::RecordEpoch(None) => self.drop_key("Open_vSwitch", None, "external_ids", ids::EPOCH),
            Step::EditSwitch(edits) => edits.iter().for_each(|edit| self.edit_switch(edit)),
        }
        Ok(())
    }

    /// The row of this name, guarded where this transaction does not make it itself.
    fn guarded_row(&mut self, table: Table, name: &str) -> Result<RowRef, NoSuchRow> {
        if let Some(row) = self.made.get(&(table, name.to_owned())) {
            return Ok(*row);
        }
        let db = self.db;
        let rows = self.there.entry(table).or_insert_with(|| rows_by_name(table, db));
        let missing = || NoSuchRow { table, name: name.to_owned() };
        let uuid = *rows.get(name).ok_or_else(missing)?;
        let row = RowRef::There(uuid);
        if self.guarded.insert(uuid) {
            let op = json!({
                "op": "wait", "timeout": 0, "table": table.name(), "where": [["_uuid", "==", row]],
                "columns": ["name"], "until": "==", "rows": [{"name": name}],
            });
            self.add_guard(op, format!("row \"{name}\" of table {} has changed meanwhile", table.name()));
        }
        Ok(row)
    }

    /// Inserts a row under a name of this transaction.
    fn insert_row(&mut self, table: Table, row: impl Serialize) -> RowRef {
        self.named += 1;
        self.done.add(&Insert { table: table.name(), row_name: row_name(self.named), row });
        RowRef::Made(self.named)
    }

    fn edit_switch(&mut self, edit: &SwitchEdit) {
        match edit {
            SwitchEdit::SetConfig(key, value) => self.set_key("Open_vSwitch", None, "other_config", (key, value)),
            SwitchEdit::DropConfig(key) => self.drop_key("Open_vSwitch", None, "other_config", key),
            SwitchEdit::SetId(key, value) => self.set_key("Open_vSwitch", None, "external_ids", (key, value)),
            SwitchEdit::DropId(key) => self.drop_key("Open_vSwitch", None, "external_ids", key),
        }
    }

    fn create_bridge(&mut self, spec: &BridgeSpec) {
        let name = spec.name.as_str();
        let mut own = json!({"name": name, "type": "internal"});
        if let Some(mtu) = spec.mtu_request {
            own["mtu_request"] = mtu.into();
        }
        let interface = self.insert_row(Table::Interface, own);
        let port = self.insert_row(Table::Port, json!({"name": name, "interfaces": interface, "protected": true}));
        let mut columns = json!({
            "name": name, "ports": port, "stp_enable": false,
            "external_ids": Pairs(spec.external_ids.iter().collect()), "other_config": Pairs(spec.other_config.iter().collect()),
        });
        if !spec.datapath_type.is_empty() {
            columns["datapath_type"] = spec.datapath_type.as_str().into();
        }
        if let Some(mode) = spec.fail_mode {
            columns["fail_mode"] = mode.as_str().into();
        }
        let bridge = self.insert_row(Table::Bridge, columns);
        // The bridge and its own port can be named by other steps; of a new tunnel there is none.
        self.made.insert((Table::Port, name.to_owned()), port);
        self.made.insert((Table::Bridge, name.to_owned()), bridge);
        self.mutate_row("Open_vSwitch", None, json!([["bridges", "insert", ovsdb_set([bridge])]]));
    }

    fn add_tunnel(&mut self, bridge: &str, tunnel: &DesiredTunnel) -> Result<(), NoSuchRow> {
        let (bridge, name) = (self.guarded_row(Table::Bridge, bridge)?, tunnel.port_name());
        let interface = self.insert_row(
            Table::Interface,
            TunnelInterface {
                name: name.as_str(),
                kind: tunnel.encap.kind().interface_type(),
                options: Pairs(tunnel.interface_options()),
                bfd: tunnel.bfd.map(|interval| Pairs(interval.bfd_column().into())),
            },
        );
        let port = self.insert_row(
            Table::Port,
            TunnelPort {
                name: name.as_str(),
                interfaces: interface,
                protected: true,
                external_ids: Pairs(tunnel.external_ids()),
                tag: tunnel.second.then_some(NO_VLAN),
            },
        );
        self.members_of(bridge).come.push(port);
        Ok(())
    }

    fn members_of(&mut self, bridge: RowRef) -> &mut Members {
        // Steps of a bridge stand together: it is the last one, mostly.
        let at = self.members.iter().rposition(|(row, _)| *row == bridge).unwrap_or_else(|| {
            self.members.push((bridge, Members::default()));
            self.members.len() - 1
        });
        &mut self.members[at].1
    }

    fn edit_bridge(&mut self, name: &str, edits: &[BridgeEdit]) -> Result<(), NoSuchRow> {
        for edit in edits {
            // Of its own port and interface, the others of the bridge.
            let table = match edit {
                BridgeEdit::MtuRequest(_) => Table::Interface,
                BridgeEdit::NoVlan | BridgeEdit::Protect(_) => Table::Port,
                _ => Table::Bridge,
            };
            let row = self.guarded_row(table, name)?;
            match edit {
                BridgeEdit::NoVlan => self.no_vlan(row),
                BridgeEdit::Protect(on) => self.update_row("Port", row, json!({"protected": on})),
                BridgeEdit::MtuRequest(mtu) => {
                    let mtu = mtu.map_or_else(|| ovsdb_set::<&str>([]), Into::into);
                    self.update_row("Interface", row, json!({"mtu_request": mtu}));
                }
                BridgeEdit::SetId(key, value) => self.set_key("Bridge", Some(row), "external_ids", (key, value)),
                BridgeEdit::DropId(key) => self.drop_key("Bridge", Some(row), "external_ids", key),
                BridgeEdit::SetConfig(key, value) => self.set_key("Bridge", Some(row), "other_config", (key, value)),
                BridgeEdit::DropConfig(key) => self.drop_key("Bridge", Some(row), "other_config", key),
                BridgeEdit::StpOff => self.update_row("Bridge", row, json!({"stp_enable": false})),
                BridgeEdit::RstpOff => self.update_row("Bridge", row, json!({"rstp_enable": false})),
                BridgeEdit::OpenFlow14(on) => {
                    let verb = if *on { "insert" } else { "delete" };
                    self.mutate_row("Bridge", Some(row), json!([["protocols", verb, ovsdb_set(["OpenFlow14"])]]));
                }
                BridgeEdit::FailMode(mode) => {
                    let mode = mode.map_or_else(|| ovsdb_set::<&str>([]), |mode| mode.as_str().into());
                    self.update_row("Bridge", row, json!({"fail_mode": mode}));
                }
                BridgeEdit::McastSnooping(on) => self.update_row("Bridge", row, json!({"mcast_snooping_enable": on})),
            }
        }
        Ok(())
    }

    fn edit_tunnel(&mut self, name: &str, edits: &[PortEdit]) -> Result<(), NoSuchRow> {
        for edit in edits {
            let table = match edit {
                PortEdit::SetId(..) | PortEdit::DropId(_) | PortEdit::Protect => Table::Port,
                PortEdit::NoVlan | PortEdit::ReceiveOnly => Table::Port,
                PortEdit::Detach | PortEdit::MakeTunnel(_) => Table::Interface,
                PortEdit::SetOption(..) | PortEdit::DropOption(_) => Table::Interface,
                PortEdit::SetBfd(..) | PortEdit::DropBfd(_) => Table::Interface,
            };
            let row = self.guarded_row(table, name)?;
            match edit {
                PortEdit::SetId(key, value) => self.set_key("Port", Some(row), "external_ids", (key, value)),
                PortEdit::DropId(key) => self.drop_key("Port", Some(row), "external_ids", key),
                PortEdit::Protect => self.update_row("Port", row, json!({"protected": true})),
                PortEdit::NoVlan => self.no_vlan(row),
                PortEdit::ReceiveOnly => {
                    self.update_row(
                        "Port",
                        row,
                        json!({"tag": NO_VLAN, "trunks": ovsdb_set::<&str>([]), "vlan_mode": ovsdb_set::<&str>([])}),
                    );
                }
                PortEdit::Detach => self.update_row("Interface", row, json!({"type": "null"})),
                PortEdit::MakeTunnel(kind) => self.update_row("Interface", row, json!({"type": kind.interface_type()})),
                PortEdit::SetOption(key, value) => self.set_key("Interface", Some(row), "options", (key, value)),
                PortEdit::DropOption(key) => self.drop_key("Interface", Some(row), "options", key),
                PortEdit::SetBfd(key, value) => self.set_key("Interface", Some(row), "bfd", (key, value)),
                PortEdit::DropBfd(key) => self.drop_key("Interface", Some(row), "bfd", key),
            }
        }
        Ok(())
    }

    fn no_vlan(&mut self, port: RowRef) {
        self.update_row(
            "Port",
            port,
            json!({"tag": ovsdb_set::<&str>([]), "trunks": ovsdb_set::<&str>([]), "vlan_mode": ovsdb_set::<&str>([])}),
        );
    }

    fn update_row(&mut self, table: &str, row: RowRef, columns: Value) {
        self.done.add(&json!({"op": "update", "table": table, "where": [["_uuid", "==", row]], "row": columns}));
    }

    /// An insert leaves a key that is there as it is: so it goes first.
    fn set_key(&mut self, table: &str, row: Option<RowRef>, column: &str, (key, value): (&str, &str)) {
        let mutations = json!([[column, "delete", ovsdb_set([key])], [column, "insert", ["map", [[key, value]]]]]);
        self.mutate_row(table, row, mutations);
    }

    fn drop_key(&mut self, table: &str, row: Option<RowRef>, column: &str, key: &str) {
        self.mutate_row(table, row, json!([[column, "delete", ovsdb_set([key])]]));
    }

    /// Mutates a row, or without one the only one of its table.
    fn mutate_row(&mut self, table: &str, row: Option<RowRef>, mutations: impl Serialize) {
        let condition: Vec<_> = row.map(|row| ("_uuid", "==", row)).into_iter().collect();
        self.done.add(&Mutate { table, condition, mutations });
    }

    fn finish_operations(mut self) -> Operations {
        for (bridge, Members { come, go }) in std::mem::take(&mut self.members) {
            let changes = [("delete", go), ("insert", come)].into_iter().filter(|(_, ports)| !ports.is_empty());
            let mutations: Vec<_> = changes.map(|(verb, ports)| ("ports", verb, ("set", ports))).collect();
            self.mutate_row("Bridge", Some(bridge), mutations);
        }
        self.mutate_row("Open_vSwitch", None, json!([["next_cfg", "+=", 1]]));
        self.done.add(&json!({"op": "comment", "comment": "ovstunneld"}));
        self.done.add(&json!({"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]}));
        self.done
    }
}

/// The rows of a table that the mirror has.
fn rows_by_name(table: Table, db: &Db) -> HashMap<&str, Uuid> {
    match table {
        Table::Bridge => db.bridges.iter().map(|(uuid, row)| (row.name.as_str(), *uuid)).collect(),
        Table::Port => db.ports.iter().map(|(uuid, row)| (row.name.as_str(), *uuid)).collect(),
        Table::Interface => db.interfaces.iter().map(|(uuid, row)| (row.name.as_str(), *uuid)).collect(),
    }
}

fn ovsdb_set<T: Serialize>(items: impl IntoIterator<Item = T>) -> Value {
    json!(["set", items.into_iter().collect::<Vec<_>>()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunnels_join_a_bridge_in_one_mutation_and_guard_its_rows() {
        let uuid: Uuid = "4c0fed29-03a1-4d36-88b9-982057a0e28f".parse().unwrap();
        let mut db = Db::default();
        db.bridges.entry(uuid).or_default().name = "xapi1".into();
        let tunnel = |to: &str| {
            let (from, key, remote_ip) = ("1".parse().unwrap(), "5".parse().unwrap(), "192.0.2.2".parse().unwrap());
            let tunnel = DesiredTunnel::new(from, to.parse().unwrap(), key, remote_ip, ovstunnel_plan::Encap::GRE);
            Step::AddTunnel { bridge: "xapi1".parse().unwrap(), tunnel }
        };
        let done = transaction_operations(&[tunnel("2"), tunnel("3")], &db).unwrap();
        let ops: Vec<Value> = done.as_slice().iter().map(|op| serde_json::from_str(op.get()).unwrap()).collect();
        let kinds: Vec<&str> = ops.iter().filter_map(|op| op["op"].as_str()).collect();
        let expected =
            ["wait", "wait", "insert", "insert", "insert", "insert", "mutate", "mutate", "comment", "select"];
        assert_eq!(kinds, expected);
        assert_eq!(done.guard_failure(1), Some("row \"xapi1\" of table Bridge has changed meanwhile"));
        let ports = json!([["ports", "insert", ["set", [["named-uuid", "row2"], ["named-uuid", "row4"]]]]]);
        assert_eq!(ops[6]["mutations"], ports);
        let edit = Step::EditBridge { bridge: "xapi2".parse().unwrap(), edits: vec![BridgeEdit::StpOff] };
        let missing = transaction_operations(&[edit], &db).unwrap_err().to_string();
        assert_eq!(missing, "no row \"xapi2\" in table Bridge");
    }
}
