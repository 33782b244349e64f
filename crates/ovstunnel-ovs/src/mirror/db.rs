//! The mirrored rows, and how an update of the database changes them (RFC 7047 and `ovsdb-server(7)`, `update2`).
//!
//! What it does: applies inserts, deletes and differences; keeps who owns which port; notes which bridges were touched.
//! What it must not do: know where an update came from.

use std::collections::{BTreeSet, HashMap};

use compact_str::CompactString;
use ovstunnel_plan::{Vlan, ids};
use uuid::Uuid;

use super::kept::Kept;
use super::keys::Keys;
pub(crate) use super::tables::{Bfd, BridgeRow, FlowTableRow, InterfaceRow, MirrorRow, Pairs, PortRow};
use super::tables::{
    BridgeColumns, FlowTableColumns, InterfaceColumns, MirrorColumns, PortColumns, RootColumns, RowUpdate, Rows, Update,
};

/// Names of touched bridges that are kept for whoever tells of changes: of more it is told that it may be any.
const MANY: usize = 4096;

/// The mirrored part of the database.
#[derive(Clone, Debug, Default)]
pub struct Db {
    pub(crate) bridges: Rows<BridgeRow>,
    pub(crate) ports: Rows<PortRow>,
    pub(crate) interfaces: Rows<InterfaceRow>,
    pub(crate) bridge_of: Rows<Uuid>,
    pub(crate) port_of: Rows<Uuid>,
    pub(crate) touched: BTreeSet<String>,
    /// Its own row was.
    pub(crate) touched_itself: bool,
    /// The same for whoever asks the switch itself.
    pub(crate) touched_for_witness: BTreeSet<String>,
    /// The same for whoever tells of changes; none where it may be any, and before it is first asked for.
    pub(crate) touched_for_watch: Option<BTreeSet<String>>,
    /// The configuration that vswitchd was last asked to take up.
    pub(crate) next_cfg: i64,
    /// The configuration that vswitchd has taken up.
    pub(crate) cur_cfg: i64,
    pub(crate) version: Option<String>,
    /// Number of the connection that this is the content of.
    pub(crate) connection: u64,
    /// `next_cfg` of the first answer on it.
    pub(crate) next_cfg_at_first: i64,
    pub(crate) mirrors: Rows<MirrorRow>,
    pub(crate) flow_tables: Rows<FlowTableRow>,
    /// Column `other_config` of the switch itself.
    pub(crate) other_config: Pairs,
    /// Column `external_ids` of the switch itself.
    pub(crate) external_ids: Pairs,
    pub(crate) kept: Kept,
}

impl Db {
    /// Applies one transaction.
    pub(super) fn apply_update(&mut self, update: Update) {
        let (planned, all) = (Keys::planned_keys(&update), Keys::all_keys(&update));
        // A bridge that loses a port is told from the old owners, one that gains a port from the new ones.
        self.note_touched(&planned, &all);
        let of_others = !(update.mirrors.is_empty() && update.flow_tables.is_empty());
        self.note_kept(&all, of_others);
        if of_others {
            self.touched_for_watch = None;
        }
        for (uuid, row) in &update.root {
            self.apply_root(uuid, row);
        }
        let Update { bridges, ports, interfaces, mirrors, flow_tables, .. } = Update { root: HashMap::new(), ..update };
        mirrors.into_iter().for_each(|(uuid, row)| self.apply_mirror(uuid, row));
        flow_tables.into_iter().for_each(|(uuid, row)| self.apply_flow_table(uuid, row));
        interfaces.into_iter().for_each(|(uuid, row)| self.apply_interface(uuid, row));
        ports.into_iter().for_each(|(uuid, row)| self.apply_port(uuid, row));
        bridges.into_iter().for_each(|(uuid, row)| self.apply_bridge(uuid, row));
        self.note_touched(&planned, &all);
        self.note_kept(&all, of_others);
    }

    /// Of the bridge that is kept, which rows a transaction changes: told before it and after it, as above.
    fn note_kept(&mut self, keys: &Keys, of_others: bool) {
        let Some(bridge) = self.kept.row() else { return };
        if !self.bridges.contains_key(&bridge) {
            self.kept = Kept::default();
            return;
        }
        if of_others || keys.bridges.contains(&bridge) {
            self.kept.note_change();
        }
        let of_interfaces = keys.interfaces.iter().filter_map(|uuid| self.port_of.get(uuid));
        for port in keys.ports.iter().chain(of_interfaces).filter(|port| self.bridge_of.get(port) == Some(&bridge)) {
            self.kept.note_port(*port, self.ports.get(port).map(|row| row.name.to_string()));
        }
    }

    /// Who plans has to look again at what is `planned`; who tells of changes, at `all`: health depends on more than plans do.
    fn note_touched(&mut self, planned: &Keys, all: &Keys) {
        let names = self.bridges_of(planned);
        self.touched_for_witness.extend(names.iter().cloned());
        self.touched.extend(names);
        if self.touched_for_watch.is_some() {
            let names = self.bridges_of(all);
            let touched = self.touched_for_watch.get_or_insert_default();
            touched.extend(names);
            if touched.len() > MANY {
                self.touched_for_watch = None;
            }
        }
    }

    pub(crate) fn touch_rows(&mut self, bridges: &[Uuid], ports: &[Uuid], interfaces: &[Uuid]) {
        let keys = Keys { bridges: bridges.to_vec(), ports: ports.to_vec(), interfaces: interfaces.to_vec() };
        self.note_touched(&keys, &keys);
        // Whoever says so has changed rows before, of which nobody knows any more how they were.
        self.kept = Kept::default();
    }

    /// Names of the bridges that these rows belong to.
    fn bridges_of(&self, keys: &Keys) -> BTreeSet<String> {
        let of_interfaces = keys.interfaces.iter().filter_map(|uuid| self.port_of.get(uuid));
        let of_ports = keys.ports.iter().chain(of_interfaces).filter_map(|uuid| self.bridge_of.get(uuid));
        keys.bridges.iter().chain(of_ports).filter_map(|uuid| Some(self.bridges.get(uuid)?.name.clone())).collect()
    }

    fn apply_root(&mut self, _: &Uuid, row: &RowUpdate<RootColumns>) {
        if let RowUpdate::Initial(columns) | RowUpdate::Insert(columns) | RowUpdate::Modify(columns) = row {
            self.next_cfg = columns.next_cfg.unwrap_or(self.next_cfg);
            self.cur_cfg = columns.cur_cfg.unwrap_or(self.cur_cfg);
            self.version = columns.ovs_version.clone().unwrap_or(self.version.take());
            let before = self.configured();
            columns.other_config.iter().for_each(|difference| change_pairs(&mut self.other_config, difference.clone()));
            columns.external_ids.iter().for_each(|difference| change_pairs(&mut self.external_ids, difference.clone()));
            self.touched_itself |= before != self.configured();
        }
    }

    /// What planning looks at of the switch's own row.
    fn configured(&self) -> (Pairs, Option<CompactString>) {
        let mark = self.external_ids.iter().find(|(key, _)| key == ids::IPSEC).map(|(_, value)| value.clone());
        (self.other_config.clone(), mark)
    }

    fn apply_bridge(&mut self, uuid: Uuid, update: RowUpdate<BridgeColumns>) {
        let columns = match update {
            RowUpdate::Delete(()) => {
                let ports = self.bridges.remove(&uuid).map(|row| row.ports).unwrap_or_default();
                return ports.iter().for_each(|port| remove_owner(&mut self.bridge_of, port, uuid));
            }
            RowUpdate::Initial(columns) | RowUpdate::Insert(columns) | RowUpdate::Modify(columns) => columns,
        };
        let row = self.bridges.entry(uuid).or_default();
        replace_column(&mut row.name, columns.name);
        replace_column(&mut row.stp_enable, columns.stp_enable);
        replace_column(&mut row.rstp_enable, columns.rstp_enable);
        replace_column(&mut row.fail_mode, columns.fail_mode);
        replace_column(&mut row.datapath_type, columns.datapath_type);
        replace_column(&mut row.mcast_snooping, columns.mcast_snooping_enable);
        change_all(&mut row.controllers, columns.controller);
        change_all(&mut row.mirrors, columns.mirrors);
        for (table, uuid) in columns.flow_tables.into_iter().flatten() {
            match row.flow_tables.get(&table) == Some(&uuid) {
                true => drop(row.flow_tables.remove(&table)),
                false => drop(row.flow_tables.insert(table, uuid)),
            }
        }
        columns.external_ids.into_iter().for_each(|difference| change_pairs(&mut row.external_ids, difference));
        columns.other_config.into_iter().for_each(|difference| change_pairs(&mut row.other_config, difference));
        change_all(&mut row.protocols, columns.protocols);
        for port in columns.ports.into_iter().flatten() {
            match change_set(&mut row.ports, port) {
                true => add_owner(&mut self.bridge_of, port, uuid),
                false => remove_owner(&mut self.bridge_of, &port, uuid),
            }
        }
    }

    fn apply_port(&mut self, uuid: Uuid, update: RowUpdate<PortColumns>) {
        let columns = match update {
            RowUpdate::Delete(()) => {
                let interfaces = self.ports.remove(&uuid).map(|row| row.interfaces).unwrap_or_default();
                return interfaces.iter().for_each(|interface| remove_owner(&mut self.port_of, interface, uuid));
            }
            RowUpdate::Initial(columns) | RowUpdate::Insert(columns) | RowUpdate::Modify(columns) => columns,
        };
        let row = self.ports.entry(uuid).or_default();
        replace_column(&mut row.name, columns.name);
        replace_column(&mut row.protected, columns.protected.map(Option::unwrap_or_default));
        columns.external_ids.into_iter().for_each(|difference| change_pairs(&mut row.external_ids, difference));
        change_vlan(row, columns.tag, columns.trunks, columns.vlan_mode);
        for interface in columns.interfaces.into_iter().flatten() {
            match change_sorted(&mut row.interfaces, interface) {
                true => add_owner(&mut self.port_of, interface, uuid),
                false => remove_owner(&mut self.port_of, &interface, uuid),
            }
        }
    }

    fn apply_interface(&mut self, uuid: Uuid, update: RowUpdate<InterfaceColumns>) {
        let columns = match update {
            RowUpdate::Delete(()) => return drop(self.interfaces.remove(&uuid)),
            RowUpdate::Initial(columns) | RowUpdate::Insert(columns) | RowUpdate::Modify(columns) => columns,
        };
        let row = self.interfaces.entry(uuid).or_default();
        replace_column(&mut row.name, columns.name);
        replace_column(&mut row.kind, columns.kind);
        replace_column(&mut row.ofport, columns.ofport);
        replace_column(&mut row.error, columns.error);
        let up = |state: Option<CompactString>| state.map(|state| state == "up");
        replace_column(&mut row.admin_up, columns.admin_state.map(up));
        replace_column(&mut row.link_up, columns.link_state.map(up));
        replace_column(&mut row.mtu, columns.mtu);
        replace_column(&mut row.mtu_request, columns.mtu_request);
        columns.options.into_iter().for_each(|difference| change_pairs(&mut row.options, difference));
        columns.external_ids.into_iter().for_each(|difference| change_pairs(&mut row.external_ids, difference));
        change_bfd(row, columns.bfd, columns.bfd_status);
    }
}

/// Most rows have neither column, and no place for them.
fn change_bfd(row: &mut InterfaceRow, config: Option<Pairs>, status: Option<Pairs>) {
    if config.as_ref().is_none_or(Vec::is_empty) && status.as_ref().is_none_or(Vec::is_empty) {
        return;
    }
    let mut bfd = row.bfd.take().unwrap_or_default();
    config.into_iter().for_each(|difference| change_pairs(&mut bfd.config, difference));
    status.into_iter().for_each(|difference| change_pairs(&mut bfd.status, difference));
    row.bfd = Some(bfd).filter(|bfd| !(bfd.config.is_empty() && bfd.status.is_empty()));
}

impl Db {
    fn apply_mirror(&mut self, uuid: Uuid, update: RowUpdate<MirrorColumns>) {
        let (RowUpdate::Initial(columns) | RowUpdate::Insert(columns) | RowUpdate::Modify(columns)) = update else {
            return drop(self.mirrors.remove(&uuid));
        };
        let row = self.mirrors.entry(uuid).or_default();
        replace_column(&mut row.name, columns.name);
        replace_column(&mut row.select_all, columns.select_all);
        change_all(&mut row.select_src_port, columns.select_src_port);
        change_all(&mut row.select_dst_port, columns.select_dst_port);
        replace_column(&mut row.output_port, columns.output_port);
        replace_column(&mut row.output_vlan, columns.output_vlan);
    }

    fn apply_flow_table(&mut self, uuid: Uuid, update: RowUpdate<FlowTableColumns>) {
        let (RowUpdate::Initial(columns) | RowUpdate::Insert(columns) | RowUpdate::Modify(columns)) = update else {
            return drop(self.flow_tables.remove(&uuid));
        };
        let row = self.flow_tables.entry(uuid).or_default();
        replace_column(&mut row.flow_limit, columns.flow_limit);
        replace_column(&mut row.overflow_policy, columns.overflow_policy);
    }
}

fn add_owner(owners: &mut Rows<Uuid>, item: Uuid, owner: Uuid) {
    owners.insert(item, owner);
}

/// A port that moves may have its new owner already when the old one lets it go.
fn remove_owner(owners: &mut Rows<Uuid>, item: &Uuid, owner: Uuid) {
    if owners.get(item) == Some(&owner) {
        owners.remove(item);
    }
}

fn replace_column<T>(column: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *column = value;
    }
}

/// A difference of a set has the items that come and those that go. True where the item came.
fn change_set<T: Ord>(set: &mut BTreeSet<T>, item: T) -> bool {
    !set.remove(&item) && set.insert(item)
}

fn change_all<T: Ord>(set: &mut BTreeSet<T>, difference: Option<Vec<T>>) {
    for item in difference.into_iter().flatten() {
        change_set(set, item);
    }
}

/// VLAN columns of a port; one that has none of them takes no room for them.
fn change_vlan(row: &mut PortRow, tag: Option<Option<u16>>, trunks: Option<Vec<u16>>, mode: Option<Option<String>>) {
    let mut vlan = row.vlan.take().map(|vlan| *vlan).unwrap_or_default();
    replace_column(&mut vlan.tag, tag);
    replace_column(&mut vlan.mode, mode);
    for trunk in trunks.into_iter().flatten() {
        change_sorted(&mut vlan.trunks, trunk);
    }
    row.vlan = (vlan != Vlan::default()).then(|| vlan.into());
}

/// The same, where nearly all sets have one item.
fn change_sorted<T: Ord>(set: &mut Vec<T>, item: T) -> bool {
    match set.binary_search(&item) {
        Ok(at) => {
            set.remove(at);
            false
        }
        Err(at) => {
            set.reserve_exact(1);
            set.insert(at, item);
            true
        }
    }
}

/// A difference of a map: a pair that is there already goes, any other comes or replaces its key's.
pub(crate) fn change_pairs(pairs: &mut Pairs, difference: Pairs) {
    pairs.reserve_exact(if pairs.is_empty() { difference.len() } else { 0 });
    for (key, value) in difference {
        match pairs.binary_search_by(|(there, _)| there.cmp(&key)) {
            Ok(at) if pairs[at].1 == value => drop(pairs.remove(at)),
            Ok(at) => pairs[at].1 = value,
            Err(at) => pairs.insert(at, (key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use ovstunnel_plan::{TunnelHealth, View};

    use super::*;

    const BRIDGE: &str = "4c0fed29-03a1-4d36-88b9-982057a0e28f";
    const PORT: &str = "48cabbd8-8311-4ef6-9401-2e38e4251a61";
    const INTERFACE: &str = "8fee4b0a-4604-4507-a037-f970235a2963";

    fn apply(db: &mut Db, update: serde_json::Value) {
        db.apply_update(serde_json::from_value(update).unwrap());
    }

    fn with_tunnel() -> Db {
        let mut db = Db::default();
        let text = serde_json::json!({
            "Bridge": {BRIDGE: {"initial": {"name": "b1", "ports": ["uuid", PORT], "stp_enable": false,
                "external_ids": ["map", [["ovstunnel-key", "5"]]], "protocols": ["set", []]}}},
            "Port": {PORT: {"initial": {"name": "t1", "interfaces": ["uuid", INTERFACE], "protected": true}}},
            "Interface": {INTERFACE: {"initial": {"name": "t1", "type": "gre", "ofport": ["set", []],
                "options": ["map", [["key", "5"], ["remote_ip", "192.0.2.3"]]]}}},
            "Open_vSwitch": {PORT: {"initial": {"next_cfg": 2, "ovs_version": "3.1.0"}}},
        });
        // Strings are borrowed from the text, as they are from the socket.
        db.apply_update(serde_json::from_str(&text.to_string()).unwrap());
        db
    }

    #[test]
    fn the_content_is_seen_as_bridges_with_ports() {
        let db = with_tunnel();
        let bridge = db.view().bridge("b1").unwrap();
        assert_eq!(bridge.external_ids.get("ovstunnel-key").map(String::as_str), Some("5"));
        let interface = bridge.ports["t1"].interface().unwrap();
        assert!(bridge.ports["t1"].protected);
        assert_eq!(interface.health(), TunnelHealth::Pending);
        assert_eq!(
            db.view().endpoint_users(interface.tunnel_endpoint().unwrap()),
            [("b1".to_owned(), "t1".to_owned())]
        );
        assert_eq!((db.version.as_deref(), db.configuration_numbers()), (Some("3.1.0"), (2, 0)));
    }

    #[test]
    fn a_difference_replaces_adds_and_removes() {
        let mut db = with_tunnel();
        db.touched.clear();
        apply(
            &mut db,
            serde_json::json!({"Interface": {INTERFACE: {"modify": {"ofport": 7, "error": ["set", []],
            "options": ["map", [["key", "6"], ["remote_ip", "192.0.2.3"], ["tos", "1"]]]}}}}),
        );
        let bridge = db.view().bridge("b1").unwrap();
        let interface = bridge.ports["t1"].interface().unwrap();
        assert_eq!(interface.health(), TunnelHealth::Up(7));
        let options: Vec<_> = interface.options.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(options, ["key=6", "tos=1"], "the same pair again means that it goes");
        assert_eq!(db.touched.iter().collect::<Vec<_>>(), ["b1"], "a change of an interface touches its bridge");

        db.touched.clear();
        db.touched_for_watch = Some(BTreeSet::new());
        apply(&mut db, serde_json::json!({"Interface": {INTERFACE: {"modify": {"mtu": 600, "admin_state": "down"}}}}));
        assert!(db.touched.is_empty(), "no plan depends on it");
        assert_eq!(db.touched_for_watch, Some(["b1".to_owned()].into()), "health does");

        apply(&mut db, serde_json::json!({"Interface": {INTERFACE: {"modify": {"error": "no", "ofport": -1}}}}));
        let bridge = db.view().bridge("b1").unwrap();
        assert_eq!(bridge.ports["t1"].interface().unwrap().health(), TunnelHealth::Refused("no".into()));
    }

    #[test]
    fn what_is_planned_of_the_switch_itself_is_looked_at_again() {
        let mut db = with_tunnel();
        let mut touched = |columns: serde_json::Value| {
            db.touched_itself = false;
            apply(&mut db, serde_json::json!({"Open_vSwitch": {BRIDGE: {"modify": columns}}}));
            db.touched_itself
        };
        assert!(touched(serde_json::json!({"other_config": ["map", [["ipsec_skb_mark", "1/1"]]]})));
        assert!(touched(serde_json::json!({"external_ids": ["map", [["ovstunnel-ipsec", "ipsec_skb_mark"]]]})));
        assert!(!touched(serde_json::json!({"external_ids": ["map", [["ovstunnel-retry", "7"]]], "cur_cfg": 9})));
    }

    #[test]
    fn a_port_that_goes_leaves_nothing_behind() {
        let mut db = with_tunnel();
        db.touched.clear();
        apply(
            &mut db,
            serde_json::json!({
                "Bridge": {BRIDGE: {"modify": {"ports": ["uuid", PORT]}}},
                "Port": {PORT: {"delete": null}},
                "Interface": {INTERFACE: {"delete": null}},
            }),
        );
        assert!(db.view().bridge("b1").unwrap().ports.is_empty());
        assert!(db.bridge_of.is_empty() && db.port_of.is_empty() && db.interfaces.is_empty() && db.ports.is_empty());
        assert_eq!(db.touched.iter().collect::<Vec<_>>(), ["b1"]);

        db.touched.clear();
        apply(&mut db, serde_json::json!({"Bridge": {BRIDGE: {"delete": null}}}));
        assert!(db.bridges.is_empty());
        assert_eq!(db.touched.iter().collect::<Vec<_>>(), ["b1"], "the name of a bridge that went is told");
    }
}
