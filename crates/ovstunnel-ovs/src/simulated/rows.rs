//! The rows of a simulated switch's database: made, edited and removed.
//!
//! What it does: keeps rows and who owns them consistent, and notes which bridges were touched. What it must not do: refuse
//! anything; what the real database refuses is checked before.

use ovstunnel_plan::{BridgeEdit, Epoch, NO_VLAN, PortEdit, SwitchEdit, Vlan, ids};
use uuid::Uuid;

use crate::mirror::{Bfd, BridgeRow, Db, InterfaceRow, Pairs, PortRow};

/// OpenFlow port number of a bridge's own port.
const OFPP_LOCAL: i64 = 65534;

/// Records an epoch at the switch itself, or takes it away.
pub(super) fn record_epoch(db: &mut Db, epoch: Option<Epoch>) {
    db.external_ids.retain(|(key, _)| key != ids::EPOCH);
    db.external_ids.extend(epoch.map(|epoch| (ids::EPOCH.into(), epoch.to_string().into())));
    db.external_ids.sort();
}

pub(super) fn edit_switch(db: &mut Db, edit: &SwitchEdit) {
    match edit {
        SwitchEdit::SetConfig(key, value) => set_pair(&mut db.other_config, key, Some(value)),
        SwitchEdit::DropConfig(key) => set_pair(&mut db.other_config, key, None),
        SwitchEdit::SetId(key, value) => set_pair(&mut db.external_ids, key, Some(value)),
        SwitchEdit::DropId(key) => set_pair(&mut db.external_ids, key, None),
    }
}

pub(super) fn add_bridge(db: &mut Db, name: &str, protected: bool, external_ids: Pairs, other_config: Pairs) {
    let uuid = Uuid::new_v4();
    let row = BridgeRow { name: name.to_owned(), external_ids, other_config, ..BridgeRow::default() };
    db.bridges.insert(uuid, row);
    let own = PortRow { name: name.into(), protected, ..PortRow::default() };
    let interface = InterfaceRow {
        name: name.into(),
        kind: "internal".into(),
        ofport: Some(OFPP_LOCAL),
        ..InterfaceRow::default()
    };
    add_port(db, name, own, interface);
}

pub(super) fn add_port(db: &mut Db, bridge: &str, mut row: PortRow, interface: InterfaceRow) {
    let Some(bridge) = bridge_uuid(db, bridge) else { return };
    let (port_uuid, interface_uuid) = (Uuid::new_v4(), Uuid::new_v4());
    row.interfaces.push(interface_uuid);
    db.interfaces.insert(interface_uuid, interface);
    db.ports.insert(port_uuid, row);
    db.port_of.insert(interface_uuid, port_uuid);
    db.bridge_of.insert(port_uuid, bridge);
    if let Some(bridge_row) = db.bridges.get_mut(&bridge) {
        bridge_row.ports.insert(port_uuid);
    }
    db.touch_rows(&[bridge], &[], &[]);
}

pub(super) fn remove_port(db: &mut Db, uuid: Uuid) {
    db.touch_rows(&[], &[uuid], &[]);
    if let Some(bridge) = db.bridge_of.remove(&uuid).and_then(|bridge| db.bridges.get_mut(&bridge)) {
        bridge.ports.remove(&uuid);
    }
    for interface in db.ports.remove(&uuid).map(|row| row.interfaces).unwrap_or_default() {
        db.interfaces.remove(&interface);
        db.port_of.remove(&interface);
    }
}

pub(super) fn remove_bridge(db: &mut Db, uuid: Uuid) {
    db.touch_rows(&[uuid], &[], &[]);
    let ports = db.bridges.get(&uuid).map(|row| row.ports.clone()).unwrap_or_default();
    ports.into_iter().for_each(|port| remove_port(db, port));
    db.bridges.remove(&uuid);
}

pub(super) fn bridge_uuid(db: &Db, name: &str) -> Option<Uuid> {
    db.bridges.iter().find(|(_, row)| row.name == name).map(|(uuid, _)| *uuid)
}

pub(super) fn sorted_pairs(pairs: Vec<(&'static str, String)>) -> Pairs {
    let mut pairs: Pairs = pairs.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
    pairs.sort();
    pairs
}

pub(super) fn set_pair(pairs: &mut Pairs, key: &str, value: Option<&str>) {
    pairs.retain(|(there, _)| **there != *key);
    pairs.extend(value.map(|value| (key.into(), value.into())));
    pairs.sort();
}

pub(super) fn edit_bridge(db: &mut Db, name: &str, edit: &BridgeEdit) {
    let Some(uuid) = bridge_uuid(db, name) else { return };
    for own in db.ports.values_mut().filter(|row| row.name == name) {
        match edit {
            BridgeEdit::Protect(on) => own.protected = *on,
            BridgeEdit::NoVlan => own.vlan = None,
            _ => {}
        }
    }
    if let BridgeEdit::MtuRequest(mtu) = edit {
        set_mtu_request(db, name, *mtu);
    }
    let Some(row) = db.bridges.get_mut(&uuid) else { return };
    match edit {
        BridgeEdit::SetId(key, value) => set_pair(&mut row.external_ids, key, Some(value)),
        BridgeEdit::DropId(key) => set_pair(&mut row.external_ids, key, None),
        BridgeEdit::SetConfig(key, value) => set_pair(&mut row.other_config, key, Some(value)),
        BridgeEdit::DropConfig(key) => set_pair(&mut row.other_config, key, None),
        BridgeEdit::StpOff => row.stp_enable = false,
        BridgeEdit::RstpOff => row.rstp_enable = false,
        BridgeEdit::OpenFlow14(true) => drop(row.protocols.insert("OpenFlow14".into())),
        BridgeEdit::OpenFlow14(false) => drop(row.protocols.remove("OpenFlow14")),
        BridgeEdit::FailMode(mode) => row.fail_mode = mode.map(|mode| mode.as_str().to_owned()),
        BridgeEdit::McastSnooping(on) => row.mcast_snooping = *on,
        BridgeEdit::Protect(_) | BridgeEdit::NoVlan | BridgeEdit::MtuRequest(_) => {}
    }
    db.touch_rows(&[uuid], &[], &[]);
}

/// Of a bridge's own interface.
pub(super) fn set_mtu_request(db: &mut Db, bridge: &str, mtu: Option<u32>) {
    for own in db.interfaces.values_mut().filter(|row| row.name == bridge) {
        own.mtu_request = mtu;
    }
}

/// What vswitchd notes at a tunnel that it has looked at.
pub(super) fn report_tunnel(interface: &mut InterfaceRow, refused: bool, ofport: i64) {
    let error = format!("could not add network device {} to ofproto (File exists)", interface.name);
    (interface.ofport, interface.error) = if refused { (Some(-1), Some(error)) } else { (Some(ofport), None) };
}

/// Edits a tunnel's port; gives its interface.
pub(super) fn edit_port<'a>(db: &'a mut Db, name: &str, edits: &[PortEdit]) -> Option<&'a mut InterfaceRow> {
    let uuid = db.ports.iter().find(|(_, row)| row.name == name).map(|(uuid, _)| *uuid)?;
    db.touch_rows(&[], &[uuid], &[]);
    let row = db.ports.get_mut(&uuid)?;
    for edit in edits {
        match edit {
            PortEdit::SetId(key, value) => set_pair(&mut row.external_ids, key, Some(value)),
            PortEdit::DropId(key) => set_pair(&mut row.external_ids, key, None),
            PortEdit::Protect => row.protected = true,
            PortEdit::NoVlan => row.vlan = None,
            PortEdit::ReceiveOnly => row.vlan = receive_only(),
            PortEdit::Detach | PortEdit::MakeTunnel(_) | PortEdit::SetOption(..) | PortEdit::DropOption(_) => {}
            PortEdit::SetBfd(..) | PortEdit::DropBfd(_) => {}
        }
    }
    let interface = db.interfaces.get_mut(row.interfaces.first()?)?;
    edits.iter().for_each(|edit| edit_interface(interface, edit));
    Some(interface)
}

/// The VLAN columns of a tunnel that only receives.
pub(super) fn receive_only() -> Option<Box<Vlan>> {
    Some(Box::new(Vlan { tag: Some(NO_VLAN), ..Vlan::default() }))
}

fn edit_interface(interface: &mut InterfaceRow, edit: &PortEdit) {
    match edit {
        PortEdit::Detach => (interface.kind, interface.ofport) = ("null".into(), Some(-1)),
        PortEdit::MakeTunnel(kind) => interface.kind = kind.interface_type().into(),
        PortEdit::SetOption(key, value) => set_pair(&mut interface.options, key, Some(value)),
        PortEdit::DropOption(key) => set_pair(&mut interface.options, key, None),
        PortEdit::SetBfd(key, value) => set_bfd(interface, key, Some(value)),
        PortEdit::DropBfd(key) => set_bfd(interface, key, None),
        PortEdit::SetId(..) | PortEdit::DropId(_) | PortEdit::Protect => {}
        PortEdit::NoVlan | PortEdit::ReceiveOnly => {}
    }
}

/// A session that nobody answers is down: what vswitchd notes of each whose peer is not there.
const UNANSWERED: [(&str, &str); 6] = [
    ("diagnostic", "No Diagnostic"),
    ("flap_count", "0"),
    ("forwarding", "false"),
    ("remote_diagnostic", "No Diagnostic"),
    ("remote_state", "down"),
    ("state", "down"),
];

fn set_bfd(interface: &mut InterfaceRow, key: &str, value: Option<&str>) {
    let mut bfd = interface.bfd.take().unwrap_or_default();
    set_pair(&mut bfd.config, key, value);
    note_bfd(&mut bfd);
    interface.bfd = Some(bfd).filter(|bfd| !bfd.config.is_empty());
}

/// The columns of an interface on which BFD is to run from the beginning.
pub(super) fn with_bfd(columns: impl Iterator<Item = (&'static str, String)>) -> Option<Box<Bfd>> {
    let mut bfd = Bfd { config: sorted_pairs(columns.collect()), status: Pairs::new() };
    note_bfd(&mut bfd);
    Some(Box::new(bfd)).filter(|bfd| !bfd.config.is_empty())
}

fn note_bfd(bfd: &mut Bfd) {
    let runs = bfd.config.iter().any(|(key, value)| key == "enable" && value == "true");
    bfd.status = match (runs, bfd.status.is_empty()) {
        (true, true) => UNANSWERED.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect(),
        (true, false) => std::mem::take(&mut bfd.status),
        (false, _) => Pairs::new(),
    };
}
