//! The statements that read CloudStack's tables.
//!
//! What it does: each table in one statement that MySQL, MariaDB and SQLite have, all in one read-only transaction; dates are asked for
//! only by whether they are there. What it must not do: leave a row out because it looks wrong.

use std::collections::{BTreeSet, HashSet};

use sea_query::{Expr, ExprTrait, Func, JoinType, Query, SelectStatement};

use super::rows::{Endpoint, Host, Member, Network, PhysicalNetwork, Setting, TABLES, Tables, TakenKey, Tunnel, Zone};
use super::{CloudStackError, error_reason};
use crate::sql::{Kind, Pool, Row, Tx};

type Result<T> = std::result::Result<T, CloudStackError>;

/// States of a VM in which it may have frames to send or to get on its host. One that migrates counts on both.
const LIVING: [&str; 5] = ["Running", "Starting", "Stopping", "Unknown", "Migrating"];

/// VMs that are parts of a mesh.
const KINDS: [&str; 2] = ["User", "DomainRouter"];

struct Reader {
    tx: Tx,
    there: HashSet<String>,
}

pub(super) async fn read_tables(pool: &Pool) -> Result<Tables> {
    let mut tx = pool.begin_snapshot().await.map_err(unreachable_error)?;
    let names = table_names(tx.kind());
    let there = tx.fetch_all(&names, |row| row.text("name")).await.map_err(unreachable_error)?;
    let there = there.into_iter().map(|name| name.to_lowercase()).collect();
    let mut reader = Reader { tx, there };
    let mut tables = Tables {
        missing: TABLES.into_iter().filter(|table| !reader.there.contains(*table)).collect(),
        zones: reader.read_zones().await?,
        hosts: reader.read_hosts().await?,
        networks: reader.read_networks().await?,
        physical_networks: reader.physical_networks().await?,
        taken: reader.read_taken_keys().await?,
        endpoints: reader.read_endpoints().await?,
        tunnels: reader.read_tunnels().await?,
        members: reader.read_members().await?,
        ..Tables::default()
    };
    (tables.controller, tables.default_label) = reader.read_settings().await?;
    Ok(tables)
}

fn unreachable_error(error: crate::StoreError) -> CloudStackError {
    CloudStackError::Unreachable { reason: error_reason(error) }
}

fn unreadable_error(table: &'static str) -> impl Fn(crate::StoreError) -> CloudStackError {
    move |error| CloudStackError::Unreadable { table, reason: error_reason(error) }
}

/// Which tables there are.
fn table_names(kind: Kind) -> SelectStatement {
    let mut names = Query::select();
    if kind == Kind::Sqlite {
        names.expr_as(Expr::col("name"), "name").from("sqlite_master");
    } else {
        names.expr_as(Expr::col("table_name"), "name").from(("information_schema", "tables"));
        names.and_where(Expr::col("table_schema").eq(Func::cust("DATABASE")));
    }
    names
}

fn select_columns(table: &'static str, columns: &[&'static str]) -> SelectStatement {
    Query::select().columns(columns.iter().copied()).from(table).to_owned()
}

/// The same, and as `gone` whether the row was removed.
fn with_removed(table: &'static str, columns: &[&'static str]) -> SelectStatement {
    select_columns(table, columns).expr_as(Expr::col("removed").is_not_null(), "gone").to_owned()
}

/// A number that is no id of CloudStack's if it is negative.
fn cloud_id(row: &Row<'_>, column: &str) -> crate::Result<Option<u64>> {
    Ok(row.maybe_int(column)?.and_then(|number| u64::try_from(number).ok()))
}

impl Reader {
    /// The rows of a table that is there; none of one that is not.
    async fn read_rows<T: Send>(
        &mut self,
        table: &'static str,
        statement: &SelectStatement,
        decode: impl Fn(Row<'_>) -> crate::Result<T> + Send,
    ) -> Result<Vec<T>> {
        match self.there.contains(table) {
            true => self.tx.fetch_all(statement, decode).await.map_err(unreadable_error(table)),
            false => Ok(Vec::new()),
        }
    }

    async fn read_zones(&mut self) -> Result<Vec<Zone>> {
        let mut statement = select_columns("data_center", &["id", "name"]);
        statement.and_where(Expr::col("removed").is_null());
        let zone = |row: Row<'_>| Ok(Zone { id: row.count("id")?, name: row.maybe_text("name")?.unwrap_or_default() });
        self.read_rows("data_center", &statement, zone).await
    }

    async fn read_settings(&mut self) -> Result<(Setting, Setting)> {
        let mut statement = select_columns("configuration", &["name", "value"]);
        let (controller, label) = ("sdn.ovs.controller", "sdn.ovs.controller.default.label");
        statement.and_where(Expr::col("name").is_in([controller, label]));
        let rows = self.read_rows("configuration", &statement, |row| Ok((row.text("name")?, row.maybe_text("value")?)));
        let rows = rows.await?;
        let setting = |wanted: &str| match rows.iter().find(|(name, _)| name == wanted) {
            Some((_, Some(value))) => Setting::Value(value.clone()),
            Some((_, None)) => Setting::Default,
            None => Setting::Absent,
        };
        Ok((setting(controller), setting(label)))
    }

    async fn read_hosts(&mut self) -> Result<Vec<Host>> {
        let mut statement = with_removed("host", &["id", "name", "data_center_id", "hypervisor_type"]);
        statement.and_where(Expr::col("type").eq("Routing"));
        let host = |row: Row<'_>| {
            Ok(Host {
                id: row.count("id")?,
                name: row.maybe_text("name")?.unwrap_or_default(),
                zone: cloud_id(&row, "data_center_id")?,
                hypervisor: row.maybe_text("hypervisor_type")?,
                is_removed: row.int("gone")? != 0,
            })
        };
        self.read_rows("host", &statement, host).await
    }

    async fn read_networks(&mut self) -> Result<Vec<Network>> {
        let columns = ["id", "name", "data_center_id", "physical_network_id", "broadcast_domain_type", "broadcast_uri"];
        let network = |row: Row<'_>| {
            Ok(Network {
                id: row.count("id")?,
                name: row.maybe_text("name")?,
                zone: cloud_id(&row, "data_center_id")?,
                physical_network: cloud_id(&row, "physical_network_id")?,
                domain_type: row.maybe_text("broadcast_domain_type")?,
                uri: row.maybe_text("broadcast_uri")?,
                is_removed: row.int("gone")? != 0,
            })
        };
        self.read_rows("networks", &with_removed("networks", &columns), network).await
    }

    async fn physical_networks(&mut self) -> Result<Vec<PhysicalNetwork>> {
        let mut statement = select_columns("physical_network", &["id", "name", "data_center_id", "vnet"]);
        statement.and_where(Expr::col("removed").is_null());
        let physical = |row: Row<'_>| {
            Ok(PhysicalNetwork {
                id: row.count("id")?,
                name: row.maybe_text("name")?,
                zone: cloud_id(&row, "data_center_id")?,
                vnet: row.maybe_text("vnet")?,
                methods: Vec::new(),
                label_xen: None,
                label_kvm: None,
            })
        };
        let mut all = self.read_rows("physical_network", &statement, physical).await?;
        let methods = "physical_network_isolation_methods";
        let statement = select_columns(methods, &["physical_network_id", "isolation_method"]);
        let method = |row: Row<'_>| Ok((cloud_id(&row, "physical_network_id")?, row.maybe_text("isolation_method")?));
        for (of, method) in self.read_rows(methods, &statement, method).await? {
            if let Some(physical) = all.iter_mut().find(|physical| Some(physical.id) == of) {
                physical.methods.extend(method);
            }
        }
        let types = "physical_network_traffic_types";
        let mut statement = select_columns(types, &["physical_network_id", "xen_network_label", "kvm_network_label"]);
        statement.and_where(Expr::col("traffic_type").eq("Guest"));
        let labels = |row: Row<'_>| {
            let label = |column| row.maybe_text(column);
            Ok((cloud_id(&row, "physical_network_id")?, label("xen_network_label")?, label("kvm_network_label")?))
        };
        for (of, xen, kvm) in self.read_rows(types, &statement, labels).await? {
            if let Some(physical) = all.iter_mut().find(|physical| Some(physical.id) == of) {
                (physical.label_xen, physical.label_kvm) = (xen, kvm);
            }
        }
        Ok(all)
    }

    async fn read_taken_keys(&mut self) -> Result<Vec<TakenKey>> {
        let mut statement = select_columns("op_dc_vnet_alloc", &["vnet", "physical_network_id", "data_center_id"]);
        statement.and_where(Expr::col("taken").is_not_null());
        let taken = |row: Row<'_>| {
            Ok(TakenKey {
                vnet: row.maybe_text("vnet")?,
                physical_network: cloud_id(&row, "physical_network_id")?,
                zone: cloud_id(&row, "data_center_id")?,
            })
        };
        self.read_rows("op_dc_vnet_alloc", &statement, taken).await
    }

    async fn read_endpoints(&mut self) -> Result<Vec<Endpoint>> {
        let statement = select_columns("ovs_tunnel_interface", &["id", "ip", "host_id", "label"]);
        let endpoint = |row: Row<'_>| {
            Ok(Endpoint {
                id: row.count("id")?,
                ip: row.maybe_text("ip")?,
                host: cloud_id(&row, "host_id")?,
                label: row.maybe_text("label")?,
            })
        };
        self.read_rows("ovs_tunnel_interface", &statement, endpoint).await
    }

    /// Both layouts have the same columns: up to 4.8 (`from`, `to`, `network_id`) is the primary key, from 4.9 on `id`.
    async fn read_tunnels(&mut self) -> Result<Vec<Tunnel>> {
        let columns = ["id", "from", "to", "network_id", "key", "port_name", "state"];
        let tunnel = |row: Row<'_>| {
            Ok(Tunnel {
                id: row.count("id")?,
                from: row.count("from")?,
                to: row.count("to")?,
                network: row.count("network_id")?,
                key: row.count("key")?,
                port: row.maybe_text("port_name")?,
                state: row.maybe_text("state")?,
            })
        };
        self.read_rows("ovs_tunnel_network", &select_columns("ovs_tunnel_network", &columns), tunnel).await
    }

    /// A router counts by its NICs and by `router_network_ref`, and only while it lives.
    async fn read_members(&mut self) -> Result<Vec<Member>> {
        let mut found = BTreeSet::new();
        if self.there.contains("vm_instance") {
            for (table, vm, leaves_rows) in [("nics", "instance_id", true), ("router_network_ref", "router_id", false)]
            {
                for (host, states) in [("host_id", &LIVING[..]), ("last_host_id", &["Migrating"][..])] {
                    let statement = members_of(table, vm, leaves_rows, host, states);
                    let member = |row: Row<'_>| Ok(cloud_id(&row, "network")?.zip(cloud_id(&row, "host")?));
                    found.extend(self.read_rows(table, &statement, member).await?.into_iter().flatten());
                }
            }
        }
        Ok(found.into_iter().map(|(network, host)| Member { network, host }).collect())
    }
}

fn members_of(
    table: &'static str,
    vm: &'static str,
    leaves_rows: bool,
    host: &'static str,
    states: &[&'static str],
) -> SelectStatement {
    let mut statement = Query::select();
    statement
        .distinct()
        .expr_as(Expr::col((table, "network_id")), "network")
        .expr_as(Expr::col(("vm_instance", host)), "host")
        .from(table)
        .join(JoinType::InnerJoin, "vm_instance", Expr::col(("vm_instance", "id")).equals((table, vm)))
        .and_where(Expr::col(("vm_instance", "removed")).is_null())
        .and_where(Expr::col(("vm_instance", "type")).is_in(KINDS))
        .and_where(Expr::col(("vm_instance", "state")).is_in(states.iter().copied()))
        .and_where(Expr::col(("vm_instance", host)).is_not_null());
    if leaves_rows {
        statement.and_where(Expr::col((table, "removed")).is_null());
    }
    statement
}
