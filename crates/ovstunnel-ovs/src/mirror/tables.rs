//! The tables that are mirrored: their rows as they are kept, and as updates bring them.
//!
//! What it does: says which columns are followed, as far as this version of Open vSwitch has them. What it must not do: have a
//! column that grows a row of which there are thousands, without need.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, DefaultHasher};

use compact_str::CompactString;
use ovstunnel_plan::Vlan;
use serde::Deserialize;
use serde::de::IgnoredAny;
use uuid::Uuid;

use super::columns;

/// A map of strings, sorted. Nearly all are short enough to stand in this one allocation: a mirror of 10,000 tunnels has
/// 60,000 of them.
pub(crate) type Pairs = Vec<(CompactString, CompactString)>;

pub(super) type Rows<T> = HashMap<Uuid, T, BuildHasherDefault<DefaultHasher>>;

#[derive(Clone, Debug, Default)]
pub(crate) struct BridgeRow {
    pub name: String,
    pub ports: BTreeSet<Uuid>,
    pub external_ids: Pairs,
    pub other_config: Pairs,
    pub stp_enable: bool,
    pub rstp_enable: bool,
    pub protocols: BTreeSet<String>,
    pub fail_mode: Option<String>,
    pub datapath_type: String,
    pub mcast_snooping: bool,
    pub controllers: BTreeSet<Uuid>,
    pub mirrors: BTreeSet<Uuid>,
    /// By number of the table.
    pub flow_tables: BTreeMap<i64, Uuid>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct PortRow {
    pub name: CompactString,
    /// Sorted; nearly always one.
    pub interfaces: Vec<Uuid>,
    pub protected: bool,
    pub external_ids: Pairs,
    /// Nearly no port has any.
    pub vlan: Option<Box<Vlan>>,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct InterfaceRow {
    pub name: CompactString,
    pub kind: CompactString,
    pub options: Pairs,
    pub external_ids: Pairs,
    pub ofport: Option<i64>,
    pub error: Option<String>,
    pub admin_up: Option<bool>,
    pub link_up: Option<bool>,
    pub mtu: Option<u32>,
    pub mtu_request: Option<u32>,
    /// Nearly no interface has any.
    pub bfd: Option<Box<Bfd>>,
}

/// The columns of an interface that are about BFD.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bfd {
    /// Column `bfd`.
    pub config: Pairs,
    /// Column `bfd_status`.
    pub status: Pairs,
}

/// A row of table Mirror: copies of frames.
#[derive(Clone, Debug, Default)]
pub(crate) struct MirrorRow {
    pub name: String,
    pub select_all: bool,
    pub select_src_port: BTreeSet<Uuid>,
    pub select_dst_port: BTreeSet<Uuid>,
    pub output_port: Option<Uuid>,
    pub output_vlan: Option<i64>,
}

/// A row of table Flow_Table: limits of an OpenFlow table.
#[derive(Clone, Debug, Default)]
pub(crate) struct FlowTableRow {
    pub flow_limit: Option<i64>,
    pub overflow_policy: Option<String>,
}

/// A change of one row: what `initial`, `insert` and `modify` carry has the same columns, all of them optional.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum RowUpdate<T> {
    Initial(T),
    Insert(T),
    Modify(T),
    Delete(()),
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct BridgeColumns {
    pub(super) name: Option<String>,
    #[serde(default, deserialize_with = "columns::uuids")]
    pub(super) ports: Option<Vec<Uuid>>,
    #[serde(default, deserialize_with = "columns::map")]
    pub(super) external_ids: Option<Pairs>,
    #[serde(default, deserialize_with = "columns::map")]
    pub(super) other_config: Option<Pairs>,
    pub(super) stp_enable: Option<bool>,
    pub(super) rstp_enable: Option<bool>,
    #[serde(default, deserialize_with = "columns::atoms")]
    pub(super) protocols: Option<Vec<String>>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) fail_mode: Option<Option<String>>,
    pub(super) datapath_type: Option<String>,
    pub(super) mcast_snooping_enable: Option<bool>,
    #[serde(default, deserialize_with = "columns::uuids")]
    pub(super) controller: Option<Vec<Uuid>>,
    #[serde(default, deserialize_with = "columns::uuids")]
    pub(super) mirrors: Option<Vec<Uuid>>,
    #[serde(default, deserialize_with = "columns::numbered")]
    pub(super) flow_tables: Option<Vec<(i64, Uuid)>>,
}

impl BridgeColumns {
    /// Whether there is a column in it that planning looks at.
    pub(super) fn has_planned_column(&self) -> bool {
        self.name.is_some()
            || self.ports.is_some()
            || self.external_ids.is_some()
            || self.other_config.is_some()
            || self.stp_enable.is_some()
            || self.rstp_enable.is_some()
            || self.protocols.is_some()
            || self.fail_mode.is_some()
            || self.mcast_snooping_enable.is_some()
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct PortColumns {
    pub(super) name: Option<CompactString>,
    #[serde(default, deserialize_with = "columns::uuids")]
    pub(super) interfaces: Option<Vec<Uuid>>,
    /// A set of none or one in the schema of newer versions, a boolean in older ones.
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) protected: Option<Option<bool>>,
    #[serde(default, deserialize_with = "columns::map")]
    pub(super) external_ids: Option<Pairs>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) tag: Option<Option<u16>>,
    #[serde(default, deserialize_with = "columns::atoms")]
    pub(super) trunks: Option<Vec<u16>>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) vlan_mode: Option<Option<String>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct InterfaceColumns {
    pub(super) name: Option<CompactString>,
    #[serde(rename = "type")]
    pub(super) kind: Option<CompactString>,
    #[serde(default, deserialize_with = "columns::map")]
    pub(super) options: Option<Pairs>,
    #[serde(default, deserialize_with = "columns::map")]
    pub(super) external_ids: Option<Pairs>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) ofport: Option<Option<i64>>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) error: Option<Option<String>>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) admin_state: Option<Option<CompactString>>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) link_state: Option<Option<CompactString>>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) mtu: Option<Option<u32>>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) mtu_request: Option<Option<u32>>,
    #[serde(default, deserialize_with = "columns::map")]
    pub(super) bfd: Option<Pairs>,
    #[serde(default, deserialize_with = "columns::map")]
    pub(super) bfd_status: Option<Pairs>,
}

impl InterfaceColumns {
    /// Whether there is a column in it that planning looks at.
    pub(super) fn has_planned_column(&self) -> bool {
        self.name.is_some()
            || self.kind.is_some()
            || self.options.is_some()
            || self.external_ids.is_some()
            || self.ofport.is_some()
            || self.error.is_some()
            || self.mtu_request.is_some()
            || self.bfd.is_some()
    }
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct MirrorColumns {
    pub(super) name: Option<String>,
    pub(super) select_all: Option<bool>,
    #[serde(default, deserialize_with = "columns::uuids")]
    pub(super) select_src_port: Option<Vec<Uuid>>,
    #[serde(default, deserialize_with = "columns::uuids")]
    pub(super) select_dst_port: Option<Vec<Uuid>>,
    #[serde(default, deserialize_with = "columns::reference")]
    pub(super) output_port: Option<Option<Uuid>>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) output_vlan: Option<Option<i64>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct FlowTableColumns {
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) flow_limit: Option<Option<i64>>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) overflow_policy: Option<Option<String>>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct RootColumns {
    pub(super) next_cfg: Option<i64>,
    pub(super) cur_cfg: Option<i64>,
    #[serde(default, deserialize_with = "columns::optional")]
    pub(super) ovs_version: Option<Option<String>>,
    #[serde(default, deserialize_with = "columns::map")]
    pub(super) other_config: Option<Pairs>,
    #[serde(default, deserialize_with = "columns::map")]
    pub(super) external_ids: Option<Pairs>,
}

/// One transaction's changes of the mirrored tables.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Update {
    #[serde(rename = "Bridge", default)]
    pub(super) bridges: HashMap<Uuid, RowUpdate<BridgeColumns>>,
    #[serde(rename = "Port", default)]
    pub(super) ports: HashMap<Uuid, RowUpdate<PortColumns>>,
    #[serde(rename = "Interface", default)]
    pub(super) interfaces: HashMap<Uuid, RowUpdate<InterfaceColumns>>,
    #[serde(rename = "Mirror", default)]
    pub(super) mirrors: HashMap<Uuid, RowUpdate<MirrorColumns>>,
    #[serde(rename = "Flow_Table", default)]
    pub(super) flow_tables: HashMap<Uuid, RowUpdate<FlowTableColumns>>,
    #[serde(rename = "Open_vSwitch", default)]
    pub(super) root: HashMap<Uuid, RowUpdate<RootColumns>>,
}

/// What is followed, and which of it an Open vSwitch of any version that is supported has. The others are asked for where its
/// schema has them.
const FOLLOWED: [(&str, &[&str], &[&str]); 6] = [
    ("Open_vSwitch", &["next_cfg", "cur_cfg", "ovs_version", "external_ids"], &["other_config"]),
    (
        "Bridge",
        &["name", "ports", "external_ids", "other_config", "stp_enable", "rstp_enable", "protocols", "fail_mode"],
        &["datapath_type", "mcast_snooping_enable", "controller", "mirrors", "flow_tables"],
    ),
    ("Port", &["name", "interfaces", "protected", "external_ids"], &["tag", "trunks", "vlan_mode"]),
    (
        "Interface",
        &["name", "type", "options", "external_ids", "ofport", "error"],
        &["admin_state", "link_state", "mtu", "mtu_request", "bfd", "bfd_status"],
    ),
    ("Mirror", &[], &["name", "select_all", "select_src_port", "select_dst_port", "output_port", "output_vlan"]),
    ("Flow_Table", &[], &["flow_limit", "overflow_policy"]),
];

/// The schema of a database, as far as it matters: which columns each table has.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Schema {
    tables: HashMap<String, Table>,
}

#[derive(Debug, Default, Deserialize)]
struct Table {
    columns: HashMap<String, IgnoredAny>,
}

/// The mirrored tables and columns that a database of this schema has: the argument of `monitor_cond`.
pub(super) fn monitor_request(schema: &Schema) -> serde_json::Value {
    let table = |(name, always, where_known): &(&str, &[&str], &[&str])| {
        let has = |column: &&&str| schema.tables.get(*name).is_some_and(|table| table.columns.contains_key(**column));
        let columns: Vec<&str> = always.iter().chain(where_known.iter().filter(has)).copied().collect();
        (!columns.is_empty()).then(|| ((*name).to_owned(), serde_json::json!([{"columns": columns}])))
    };
    FOLLOWED.iter().filter_map(table).collect::<serde_json::Map<_, _>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_version_does_not_have_is_not_asked_for() {
        let all = |schema: &str| monitor_request(&serde_json::from_str(schema).unwrap());
        let old = all(
            r#"{"name": "Open_vSwitch", "tables": {"Bridge": {"columns": {"name": {"type": "string"}, "mirrors": {}}},
                         "Mirror": {"columns": {"output_vlan": {}}}}}"#,
        );
        let bridge = old["Bridge"][0]["columns"].as_array().unwrap();
        assert!(bridge.contains(&"mirrors".into()) && !bridge.contains(&"mcast_snooping_enable".into()), "{old}");
        assert!(bridge.contains(&"stp_enable".into()), "what every version has is asked for in any case: {old}");
        assert_eq!((&old["Mirror"][0]["columns"][0], old.get("Flow_Table")), (&"output_vlan".into(), None));
    }
}
