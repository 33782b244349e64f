//! The mirror as planning sees it. Must not copy more than what is asked for.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use ovstunnel_core::{GreIdentity, ObservedBridge, ObservedInterface, ObservedPort, View};
use uuid::Uuid;

use super::db::{BridgeRow, InterfaceRow, Pairs, PortRow};
use crate::Db;

/// A look at the mirror. Its indexes are made when they are first needed, so one view should serve one batch.
#[derive(Debug)]
pub struct SwitchView<'a> {
    db: &'a Db,
    gre: OnceCell<HashMap<GreIdentity, Vec<Uuid>>>,
    names: OnceCell<Names<'a>>,
}

#[derive(Debug, Default)]
struct Names<'a> {
    bridges: HashMap<&'a str, Uuid>,
    ports: HashMap<&'a str, Uuid>,
}

impl Db {
    /// A look at the mirror.
    pub fn view(&self) -> SwitchView<'_> {
        SwitchView { db: self, gre: OnceCell::new(), names: OnceCell::new() }
    }

    /// The names of all bridges.
    pub fn bridge_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.bridges.values().map(|row| row.name.clone()).collect();
        names.sort();
        names
    }

    /// Which configuration vswitchd was last asked to take up, and which it has taken up.
    pub fn configurations(&self) -> (i64, i64) {
        (self.next_cfg, self.cur_cfg)
    }
}

impl SwitchView<'_> {
    fn names(&self) -> &Names<'_> {
        self.names.get_or_init(|| Names {
            bridges: self.db.bridges.iter().map(|(uuid, row)| (row.name.as_str(), *uuid)).collect(),
            ports: self.db.ports.iter().map(|(uuid, row)| (row.name.as_str(), *uuid)).collect(),
        })
    }

    fn bridge_row(&self, name: &str) -> Option<(Uuid, &BridgeRow)> {
        let uuid = *self.names().bridges.get(name)?;
        Some((uuid, self.db.bridges.get(&uuid)?))
    }

    fn owner(&self, port: &Uuid) -> Option<&BridgeRow> {
        self.db.bridges.get(self.db.bridge_of.get(port)?)
    }

    fn gre(&self) -> &HashMap<GreIdentity, Vec<Uuid>> {
        self.gre.get_or_init(|| {
            let mut users: HashMap<GreIdentity, Vec<Uuid>> = HashMap::new();
            for (uuid, row) in &self.db.ports {
                if row.may_be_gre(self.db) {
                    let identities = observed_port(self.db, *uuid, row).gre_identities();
                    identities.for_each(|identity| users.entry(identity).or_default().push(*uuid));
                }
            }
            users
        })
    }
}

impl PortRow {
    /// Whether it is a GRE tunnel or has marks that may say so: to look into no other port.
    fn may_be_gre(&self, db: &Db) -> bool {
        let gre = |uuid| db.interfaces.get(uuid).is_some_and(|row| row.kind == "gre");
        !self.external_ids.is_empty() || self.interfaces.iter().any(gre)
    }
}

impl View for SwitchView<'_> {
    fn bridge(&self, name: &str) -> Option<ObservedBridge> {
        let (uuid, row) = self.bridge_row(name)?;
        Some(observed_bridge(self.db, uuid, row, &row.ports))
    }

    fn bare_bridge(&self, name: &str) -> Option<ObservedBridge> {
        let (uuid, row) = self.bridge_row(name)?;
        let own = self.names().ports.get(name).copied().filter(|port| row.ports.contains(port));
        Some(observed_bridge(self.db, uuid, row, &own.into_iter().collect()))
    }

    fn port(&self, bridge: &str, port: &str) -> Option<ObservedPort> {
        let uuid = *self.names().ports.get(port)?;
        self.owner(&uuid).filter(|owner| owner.name == bridge)?;
        Some(observed_port(self.db, uuid, self.db.ports.get(&uuid)?))
    }

    fn bridge_of_port(&self, port: &str) -> Option<String> {
        self.owner(self.names().ports.get(port)?).map(|bridge| bridge.name.clone())
    }

    fn gre_users(&self, identity: GreIdentity) -> Vec<(String, String)> {
        let ports = self.gre().get(&identity).into_iter().flatten();
        let names = |uuid| Some((self.owner(uuid)?.name.clone(), self.db.ports.get(uuid)?.name.to_string()));
        ports.filter_map(names).collect()
    }
}

fn observed_bridge(db: &Db, uuid: Uuid, row: &BridgeRow, ports: &BTreeSet<Uuid>) -> ObservedBridge {
    let ports = ports.iter().filter_map(|uuid| Some(observed_port(db, *uuid, db.ports.get(uuid)?)));
    ObservedBridge {
        uuid,
        name: row.name.clone(),
        external_ids: tree(&row.external_ids),
        other_config: tree(&row.other_config),
        stp_enable: row.stp_enable,
        rstp_enable: row.rstp_enable,
        protocols: row.protocols.iter().cloned().collect(),
        fail_mode: row.fail_mode.clone(),
        ports: ports.map(|port| (port.name.clone(), port)).collect(),
    }
}

fn observed_port(db: &Db, uuid: Uuid, row: &PortRow) -> ObservedPort {
    let interfaces = row.interfaces.iter().filter_map(|uuid| Some(observed_interface(*uuid, db.interfaces.get(uuid)?)));
    ObservedPort {
        uuid,
        name: row.name.to_string(),
        protected: row.protected,
        external_ids: tree(&row.external_ids),
        interfaces: interfaces.collect(),
    }
}

fn observed_interface(uuid: Uuid, row: &InterfaceRow) -> ObservedInterface {
    ObservedInterface {
        uuid,
        name: row.name.to_string(),
        kind: row.kind.to_string(),
        options: tree(&row.options),
        external_ids: tree(&row.external_ids),
        ofport: row.ofport,
        error: row.error.clone(),
    }
}

fn tree(pairs: &Pairs) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}
