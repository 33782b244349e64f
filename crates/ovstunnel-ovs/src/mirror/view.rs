//! The mirror as planning sees it. Must not copy more than what is asked for.

use std::cell::{Cell, OnceCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use ovstunnel_plan::{
    DesiredBridge, FlowLimit, GreKey, ObservedBridge, ObservedInterface, ObservedMirror, ObservedPort, TunnelEndpoint,
    TunnelKind, View, ids, tunnel_udp_port,
};
use uuid::Uuid;

use super::db::{BridgeRow, InterfaceRow, MirrorRow, Pairs, PortRow};
use super::kept::Since;
use crate::Db;

/// Questions that are answered by looking at each row: an index, of which every change makes a new one necessary, costs as
/// much as some dozens of them.
const FEW: usize = 16;

/// From how many ports on a bridge is kept. One below it is read in less time than it takes to note what changed.
const LARGE: usize = if cfg!(test) { 1 } else { 64 };

/// Where tunnels go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TunnelAddresses {
    /// Addresses of the other ends: `options:remote_ip`.
    pub remotes: BTreeSet<IpAddr>,
    /// Addresses of this end where they are fixed: `options:local_ip`.
    pub locals: BTreeSet<IpAddr>,
    /// UDP ports to which tunnels send.
    pub udp_ports: BTreeSet<u16>,
}

/// The network of neighbours of an address, by how networks are mostly made: /24, and /64 of IPv6.
pub fn small_network(ip: IpAddr) -> IpNet {
    IpNet::new(ip, if ip.is_ipv4() { 24 } else { 64 }).unwrap_or_else(|_| IpNet::from(ip)).trunc()
}

/// A look at the mirror. Its indexes are made once they are worth it, so one view should serve one batch.
#[derive(Debug)]
pub struct SwitchView<'a> {
    db: &'a Db,
    endpoints: Index<HashMap<TunnelEndpoint, Vec<Uuid>>>,
    bridges: Index<HashMap<&'a str, Uuid>>,
    ports: Index<HashMap<&'a str, Uuid>>,
    keys: OnceCell<HashMap<GreKey, Vec<String>>>,
}

/// An index that is made for many questions, and not for few.
#[derive(Debug)]
struct Index<T> {
    made: OnceCell<T>,
    asked: Cell<usize>,
}

impl<T> Index<T> {
    fn new() -> Self {
        Index { made: OnceCell::new(), asked: Cell::new(0) }
    }

    /// The index, unless this is one of the first questions.
    fn get_or_build(&self, make: impl FnOnce() -> T) -> Option<&T> {
        let asked = self.asked.replace(self.asked.get().saturating_add(1));
        (asked >= FEW).then(|| self.made.get_or_init(make))
    }
}

impl Db {
    /// A look at the mirror.
    pub fn view(&self) -> SwitchView<'_> {
        SwitchView {
            db: self,
            endpoints: Index::new(),
            bridges: Index::new(),
            ports: Index::new(),
            keys: OnceCell::new(),
        }
    }

    /// The names of all bridges.
    pub fn bridge_names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.bridges.values().map(|row| row.name.clone()).collect();
        names.sort();
        names
    }

    /// Addresses to which tunnels of a kind of ours go, whosever they are: one of each small network.
    pub fn remote_addresses(&self) -> Vec<IpAddr> {
        let tunnels = self.interfaces.values().filter(|row| row.is_of_our_kind());
        let remotes = tunnels.filter_map(|row| row.options.iter().find(|(key, _)| key == "remote_ip"));
        let by_network: BTreeMap<IpNet, IpAddr> =
            remotes.filter_map(|(_, ip)| ip.parse().ok()).map(|ip| (small_network(ip), ip)).collect();
        by_network.into_values().collect()
    }

    /// Where all tunnels go, whosever they are.
    pub fn tunnel_addresses(&self) -> TunnelAddresses {
        let mut found = TunnelAddresses::default();
        for row in self.interfaces.values() {
            let option = |name| row.options.iter().find(|(key, _)| key == name).map(|(_, value)| value);
            let address = |name| option(name).and_then(|ip| ip.parse().ok());
            match address("local_ip") {
                Some(local) => drop(found.locals.insert(local)),
                None => found.remotes.extend(address("remote_ip")),
            }
            let usual = tunnel_udp_port(&row.kind);
            let port = |usual| option("dst_port").and_then(|port| port.parse().ok()).unwrap_or(usual);
            found.udp_ports.extend(usual.map(port));
        }
        found
    }

    /// The other hosts to which tunnels of ours go, by their record, each with how many tunnels do.
    pub fn tunnels_by_host(&self) -> BTreeMap<IpAddr, usize> {
        let recorded = |row: &PortRow| {
            let (_, text) = row.external_ids.iter().find(|(key, _)| key == ids::REMOTE_IP)?;
            text.parse::<IpAddr>().ok()
        };
        let mut found = BTreeMap::new();
        self.ports.values().filter_map(recorded).for_each(|ip| *found.entry(ip).or_default() += 1);
        found
    }

    /// Whether a tunnel, whosever it is, takes packets with this key from this address.
    pub fn has_tunnel(&self, key: u64, from: IpAddr) -> bool {
        let key = key.to_string();
        let takes = |row: &InterfaceRow| {
            let option =
                |name: &str| row.options.iter().find(|(there, _)| there == name).map(|(_, value)| value.as_str());
            let keys = option("in_key").or_else(|| option("key")).unwrap_or("0");
            let from_there = option("remote_ip").is_some_and(|ip| ip == "flow" || ip.parse() == Ok(from));
            row.is_of_our_kind() && (keys == key || keys == "flow") && from_there
        };
        self.interfaces.values().any(takes)
    }

    /// Whether a bridge of ours with tunnels is in user space.
    pub fn is_userspace(&self) -> bool {
        let tunnel = |port: &Uuid| {
            self.ports.get(port).is_some_and(|row| row.external_ids.iter().any(|(key, _)| key == ids::REMOTE_IP))
        };
        self.bridges.values().any(|row| row.datapath_type == "netdev" && row.ports.iter().any(tunnel))
    }

    /// A value of the switch's own `other_config`.
    pub fn other_config(&self, key: &str) -> Option<&str> {
        self.other_config.iter().find(|(there, _)| there == key).map(|(_, value)| value.as_str())
    }

    /// Which configuration vswitchd was last asked to take up, and which it has taken up.
    pub fn configuration_numbers(&self) -> (i64, i64) {
        (self.next_cfg, self.cur_cfg)
    }
}

impl<'a> SwitchView<'a> {
    fn bridge_row(&self, name: &str) -> Option<(Uuid, &'a BridgeRow)> {
        let rows = &self.db.bridges;
        let uuid =
            match self.bridges.get_or_build(|| rows.iter().map(|(uuid, row)| (row.name.as_str(), *uuid)).collect()) {
                Some(index) => *index.get(name)?,
                None => *rows.iter().find(|(_, row)| row.name == name)?.0,
            };
        Some((uuid, rows.get(&uuid)?))
    }

    fn port_uuid(&self, name: &str) -> Option<Uuid> {
        let rows = &self.db.ports;
        match self.ports.get_or_build(|| rows.iter().map(|(uuid, row)| (row.name.as_str(), *uuid)).collect()) {
            Some(index) => index.get(name).copied(),
            None => rows.iter().find(|(_, row)| row.name == name).map(|(uuid, _)| *uuid),
        }
    }

    fn owner_of(&self, port: &Uuid) -> Option<&BridgeRow> {
        self.db.bridges.get(self.db.bridge_of.get(port)?)
    }

    /// The ports that keep others from leading there.
    fn endpoint_ports(&self, endpoint: TunnelEndpoint) -> Vec<Uuid> {
        match self.endpoints.get_or_build(|| self.all_endpoint_ports()) {
            Some(index) => index.get(&endpoint).cloned().unwrap_or_default(),
            None => {
                // An IPv4 address has one text only.
                let remote = endpoint.remote_ip.to_string();
                let may_be = |row: &PortRow| endpoint.remote_ip.is_ipv6() || row.has_value(&remote, self.db);
                let rows = self.db.ports.iter().filter(|(_, row)| row.may_be_tunnel(self.db) && may_be(row));
                let users = rows.filter(|(uuid, row)| {
                    observed_port(self.db, **uuid, row).tunnel_endpoints().any(|used| used == endpoint)
                });
                users.map(|(uuid, _)| *uuid).collect()
            }
        }
    }

    fn all_endpoint_ports(&self) -> HashMap<TunnelEndpoint, Vec<Uuid>> {
        let mut users: HashMap<TunnelEndpoint, Vec<Uuid>> = HashMap::new();
        for (uuid, row) in &self.db.ports {
            if row.may_be_tunnel(self.db) {
                let endpoints = observed_port(self.db, *uuid, row).tunnel_endpoints();
                endpoints.for_each(|endpoint| users.entry(endpoint).or_default().push(*uuid));
            }
        }
        users
    }
}

impl InterfaceRow {
    fn is_of_our_kind(&self) -> bool {
        TunnelKind::of_interface_type(&self.kind).is_some()
    }
}

impl PortRow {
    /// Whether it is a tunnel of a kind of ours or has marks that may say so: to look into no other port.
    fn may_be_tunnel(&self, db: &Db) -> bool {
        !self.external_ids.is_empty() || self.interface_rows(db).any(InterfaceRow::is_of_our_kind)
    }

    /// Whether its marks or options have this text as a value.
    fn has_value(&self, text: &str, db: &Db) -> bool {
        let has = |pairs: &Pairs| pairs.iter().any(|(_, value)| value == text);
        has(&self.external_ids) || self.interface_rows(db).any(|row| has(&row.options))
    }

    fn interface_rows<'a>(&'a self, db: &'a Db) -> impl Iterator<Item = &'a InterfaceRow> {
        self.interfaces.iter().filter_map(|uuid| db.interfaces.get(uuid))
    }
}

impl View for SwitchView<'_> {
    fn bridge(&self, name: &str) -> Option<Arc<ObservedBridge>> {
        let (uuid, row) = self.bridge_row(name)?;
        let read = || observed_bridge(self.db, uuid, row, &row.ports);
        if row.ports.len() < LARGE {
            return Some(Arc::new(read()));
        }
        Some(self.db.kept.bridge(uuid, read, |kept, since| read_again(self.db, (uuid, row), kept, since)))
    }

    fn bare_bridge(&self, name: &str) -> Option<ObservedBridge> {
        let (uuid, row) = self.bridge_row(name)?;
        let own = self.port_uuid(name).filter(|port| row.ports.contains(port));
        Some(observed_bridge(self.db, uuid, row, &own.into_iter().collect()))
    }

    fn port(&self, bridge: &str, port: &str) -> Option<ObservedPort> {
        let uuid = self.port_uuid(port)?;
        self.owner_of(&uuid).filter(|owner| owner.name == bridge)?;
        Some(observed_port(self.db, uuid, self.db.ports.get(&uuid)?))
    }

    fn bridge_of_port(&self, port: &str) -> Option<String> {
        self.owner_of(&self.port_uuid(port)?).map(|bridge| bridge.name.clone())
    }

    fn endpoint_users(&self, endpoint: TunnelEndpoint) -> Vec<(String, String)> {
        let names = |uuid| Some((self.owner_of(&uuid)?.name.clone(), self.db.ports.get(&uuid)?.name.to_string()));
        self.endpoint_ports(endpoint).into_iter().filter_map(names).collect()
    }

    fn switch_id(&self, key: &str) -> Option<String> {
        self.db.external_ids.iter().find(|(there, _)| there == key).map(|(_, value)| value.to_string())
    }

    fn switch_config(&self, key: &str) -> Option<String> {
        self.db.other_config(key).map(str::to_owned)
    }

    fn key_users(&self, key: GreKey) -> Vec<String> {
        self.keys.get_or_init(|| all_keys(self.db)).get(&key).cloned().unwrap_or_default()
    }
}

fn all_keys(db: &Db) -> HashMap<GreKey, Vec<String>> {
    let mut keys: HashMap<GreKey, Vec<String>> = HashMap::new();
    for (uuid, row) in &db.bridges {
        let of = DesiredBridge::recorded_keys(&observed_bridge(db, *uuid, row, &BTreeSet::new()));
        of.into_iter().for_each(|key| keys.entry(key).or_default().push(row.name.clone()));
    }
    keys
}

pub(super) fn observed_bridge(db: &Db, uuid: Uuid, row: &BridgeRow, ports: &BTreeSet<Uuid>) -> ObservedBridge {
    let ports = ports.iter().filter_map(|uuid| Some(observed_port(db, *uuid, db.ports.get(uuid)?)));
    ObservedBridge {
        uuid,
        name: row.name.clone(),
        external_ids: to_tree(&row.external_ids),
        other_config: to_tree(&row.other_config),
        stp_enable: row.stp_enable,
        rstp_enable: row.rstp_enable,
        protocols: row.protocols.iter().cloned().collect(),
        fail_mode: row.fail_mode.clone(),
        datapath_type: row.datapath_type.clone(),
        mcast_snooping: row.mcast_snooping,
        controllers: row.controllers.len(),
        mirrors: row.mirrors.iter().filter_map(|uuid| Some(observed_mirror(db, db.mirrors.get(uuid)?))).collect(),
        flow_limit: flow_limit(db, row),
        ports: ports.map(|port| (port.name.clone(), port)).collect(),
    }
}

/// Brings what was read of a bridge up to date.
fn read_again(db: &Db, (uuid, row): (Uuid, &BridgeRow), kept: &mut Arc<ObservedBridge>, since: &Since) {
    if since.ports.len() * 2 > row.ports.len() {
        *kept = Arc::new(observed_bridge(db, uuid, row, &row.ports));
        return;
    }
    let bridge = Arc::make_mut(kept);
    since.names.iter().for_each(|name| drop(bridge.ports.remove(name)));
    for port in since.ports.iter().filter(|port| row.ports.contains(port)) {
        let port = db.ports.get(port).map(|row| observed_port(db, *port, row));
        bridge.ports.extend(port.map(|port| (port.name.clone(), port)));
    }
    let ports = std::mem::take(&mut bridge.ports);
    *bridge = ObservedBridge { ports, ..observed_bridge(db, uuid, row, &BTreeSet::new()) };
}

fn observed_port(db: &Db, uuid: Uuid, row: &PortRow) -> ObservedPort {
    let interfaces = row.interfaces.iter().filter_map(|uuid| Some(observed_interface(*uuid, db.interfaces.get(uuid)?)));
    ObservedPort {
        uuid,
        name: row.name.to_string(),
        protected: row.protected,
        external_ids: to_tree(&row.external_ids),
        vlan: row.vlan.as_deref().cloned().unwrap_or_default(),
        interfaces: interfaces.collect(),
    }
}

fn observed_interface(uuid: Uuid, row: &InterfaceRow) -> ObservedInterface {
    ObservedInterface {
        uuid,
        name: row.name.to_string(),
        kind: row.kind.to_string(),
        options: to_tree(&row.options),
        external_ids: to_tree(&row.external_ids),
        bfd: row.bfd.as_ref().map(|bfd| to_tree(&bfd.config)).unwrap_or_default(),
        bfd_status: row.bfd.as_ref().map(|bfd| to_tree(&bfd.status)).unwrap_or_default(),
        ofport: row.ofport,
        error: row.error.clone(),
        admin_up: row.admin_up,
        link_up: row.link_up,
        mtu: row.mtu,
        mtu_request: row.mtu_request,
    }
}

fn observed_mirror(db: &Db, row: &MirrorRow) -> ObservedMirror {
    ObservedMirror {
        name: row.name.clone(),
        selects: row.select_all || !row.select_src_port.is_empty() || !row.select_dst_port.is_empty(),
        output_vlan: row.output_vlan,
        output_port: row.output_port.and_then(|uuid| Some(db.ports.get(&uuid)?.name.to_string())),
    }
}

/// The limit of the table in which every frame begins.
fn flow_limit(db: &Db, row: &BridgeRow) -> Option<FlowLimit> {
    let table = db.flow_tables.get(row.flow_tables.get(&0)?)?;
    let flows = u64::try_from(table.flow_limit?).ok()?;
    Some(FlowLimit { flows, evicts: table.overflow_policy.as_deref() == Some("evict") })
}

fn to_tree(pairs: &Pairs) -> BTreeMap<String, String> {
    pairs.iter().map(|(key, value)| (key.to_string(), value.to_string())).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;

    fn db() -> Db {
        let mut db = Db::default();
        let bridge = Uuid::from_u128(1);
        db.bridges.insert(bridge, BridgeRow { name: "b1".to_owned(), ..BridgeRow::default() });
        let pairs =
            |pairs: &[(&str, &str)]| -> Pairs { pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect() };
        let recorded: &[(&str, &str)] = &[
            ("ovstunnel-from", "1"),
            ("ovstunnel-key", "5"),
            ("ovstunnel-remote-ip", "10.0.0.9"),
            ("ovstunnel-to", "2"),
        ];
        let ports: [(&str, &str, Pairs, Pairs); 5] = [
            ("six", "gre", pairs(&[("key", "5"), ("remote_ip", "2001:DB8:0::1")]), Pairs::new()),
            ("is", "gre", pairs(&[("key", "5"), ("remote_ip", "10.0.0.1")]), Pairs::new()),
            ("recorded", "gre", pairs(&[("key", "6"), ("remote_ip", "10.0.0.1")]), pairs(recorded)),
            ("other", "vxlan", pairs(&[("key", "5"), ("remote_ip", "10.0.0.1")]), Pairs::new()),
            ("vif", "", Pairs::new(), Pairs::new()),
        ];
        for (n, (name, kind, options, external_ids)) in (2..).step_by(2).zip(ports) {
            let (port, interface) = (Uuid::from_u128(n), Uuid::from_u128(n + 1));
            let row = InterfaceRow { name: name.into(), kind: kind.into(), options, ..InterfaceRow::default() };
            db.interfaces.insert(interface, row);
            let row = PortRow { name: name.into(), interfaces: vec![interface], external_ids, ..PortRow::default() };
            db.ports.insert(port, row);
            db.bridge_of.insert(port, bridge);
        }
        db
    }

    #[test]
    fn few_questions_and_many_have_the_same_answers() {
        let db = db();
        let answers = |view: &SwitchView<'_>| {
            let users = |ip: &str, key| {
                view.endpoint_users(TunnelEndpoint { kind: TunnelKind::Gre, remote_ip: ip.parse().unwrap(), key })
            };
            let ports = ["is", "vif", "none"].map(|port| view.bridge_of_port(port));
            let bridges = ["b1", "b2"].map(|name| view.bridge(name).map(|bridge| bridge.ports.len()));
            let users = [("10.0.0.1", 5), ("10.0.0.9", 5), ("10.0.0.1", 6), ("10.0.0.9", 6), ("2001:db8::1", 5)]
                .map(|(ip, key)| users(ip, key));
            (ports, bridges, users)
        };
        let used = |port: &str| vec![("b1".to_owned(), port.to_owned())];
        let view = db.view();
        for _ in 0..FEW {
            let (ports, bridges, users) = answers(&view);
            assert_eq!(ports, [Some("b1".to_owned()), Some("b1".to_owned()), None]);
            assert_eq!(bridges, [Some(0), None]);
            assert_eq!(users, [used("is"), used("recorded"), used("recorded"), vec![], used("six")]);
        }
        assert!(
            view.endpoints.made.get().is_some() && view.ports.made.get().is_some() && view.bridges.made.get().is_some()
        );
    }
}
