//! What others do to a simulated switch, in the words of `ovs-vsctl`.
//!
//! What it does: a small part of the tool's commands, so that a test's case can be told to a simulated switch and to a
//! real one in the same words. What it must not do: be used by the daemon.

use ovstunnel_plan::Vlan;
use uuid::Uuid;

use super::SimulatedSwitch;
use super::rows::{add_bridge, add_port, bridge_uuid, remove_bridge, remove_port, set_pair};
use crate::Db;
use crate::mirror::{InterfaceRow, Pairs, PortRow};

impl SimulatedSwitch {
    /// Carries out one command of `ovs-vsctl`: `add-br`, `del-br`, `add-port`, `del-port`, `set` and `remove` of one
    /// column of a Bridge, a Port or an Interface, or of the switch's own `external_ids`. A GRE port is up at once.
    ///
    /// # Errors
    /// When it is none of these, or what it names is not there.
    pub fn run_vsctl(&self, command: &str) -> Result<(), String> {
        let words: Vec<&str> = command.split_whitespace().collect();
        let ofport = self.next_ofport();
        let done = self.observer.write(|db| match words.as_slice() {
            ["add-br", name] => {
                add_bridge(db, name, false, Pairs::new(), Pairs::new());
                Some(())
            }
            ["del-br", name] => bridge_uuid(db, name).map(|uuid| remove_bridge(db, uuid)),
            ["add-port", bridge, name] => {
                let interface = InterfaceRow { name: (*name).into(), ofport: Some(ofport), ..InterfaceRow::default() };
                let row = PortRow { name: (*name).into(), ..PortRow::default() };
                bridge_uuid(db, bridge).map(|_| add_port(db, bridge, row, interface))
            }
            ["del-port", name] => port_uuid(db, name).map(|uuid| remove_port(db, uuid)),
            ["set", table, name, assignment] => {
                let (column, value) = assignment.split_once('=')?;
                write_column(db, table, name, column, Some(value))
            }
            ["remove", table, name, column, key] => write_column(db, table, name, &format!("{column}:{key}"), None),
            _ => None,
        });
        done.ok_or_else(|| format!("the simulated switch cannot do `{command}`"))
    }
}

fn port_uuid(db: &Db, name: &str) -> Option<Uuid> {
    db.ports.iter().find(|(_, row)| row.name == name).map(|(uuid, _)| *uuid)
}

/// Sets a column, or a key of one; with no value the key goes.
fn write_column(db: &mut Db, table: &str, name: &str, column: &str, value: Option<&str>) -> Option<()> {
    let (column, key) = column.split_once(':').unwrap_or((column, ""));
    if let ("Open_vSwitch", ".", "external_ids") = (table, name, column) {
        set_pair(&mut db.external_ids, key, value);
        return Some(());
    }
    if table == "Bridge" {
        let uuid = bridge_uuid(db, name)?;
        db.touch_rows(&[uuid], &[], &[]);
        let row = db.bridges.get_mut(&uuid)?;
        match (column, value) {
            ("external_ids", value) => set_pair(&mut row.external_ids, key, value),
            ("other_config", value) => set_pair(&mut row.other_config, key, value),
            ("stp_enable", Some(value)) => row.stp_enable = value == "true",
            ("rstp_enable", Some(value)) => row.rstp_enable = value == "true",
            ("fail_mode", value) => row.fail_mode = value.map(str::to_owned),
            ("mcast_snooping_enable", Some(value)) => row.mcast_snooping = value == "true",
            ("datapath_type", Some(value)) => row.datapath_type = value.to_owned(),
            ("controller", value) => row.controllers = value.map(|_| Uuid::new_v4()).into_iter().collect(),
            ("protocols", Some(value)) => row.protocols = value.split(',').map(str::to_owned).collect(),
            _ => return None,
        }
        return Some(());
    }
    let uuid = port_uuid(db, name)?;
    db.touch_rows(&[], &[uuid], &[]);
    let row = db.ports.get_mut(&uuid)?;
    match (table, column, value) {
        ("Port", "external_ids", value) => set_pair(&mut row.external_ids, key, value),
        ("Port", "protected", Some(value)) => row.protected = value == "true",
        ("Port", "tag", value) => {
            let tag = value.and_then(|value| value.parse().ok());
            row.vlan = tag.map(|tag| Vlan { tag: Some(tag), ..Vlan::default() }.into());
        }
        ("Interface", column, value) => {
            let interface = db.interfaces.get_mut(row.interfaces.first()?)?;
            match column {
                "type" => interface.kind = value.unwrap_or_default().into(),
                "admin_state" => interface.admin_up = value.map(|value| value == "up"),
                "mtu" => interface.mtu = value.and_then(|value| value.parse().ok()),
                "options" => set_pair(&mut interface.options, key, value),
                "external_ids" => set_pair(&mut interface.external_ids, key, value),
                _ => return None,
            }
        }
        _ => return None,
    }
    Some(())
}
