//! The specification's two tables, in SQL.
//!
//! What it does: their calls, each of which skips the lock row. What it must not do: touch a lock row.

use std::collections::BTreeMap;

use ovstunnel_types::{HostNumber, NetworkNumber};
use sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};

use super::SqlStore;
use super::engine::{Row, Tx};
use super::schema::{INTERFACE, TUNNEL};
use super::statements::{Fields, Int, ROWS, insert_statement, update_statement};
use crate::{HostTunnels, InterfaceRow, NewInterface, Result, RowState, RowsWritten, StateWords, TunnelRow};

/// What stands in the table until a host has told a port's name.
const NO_PORT: &str = "[]";

/// All endpoints. A lock row has host 0, whatever its id: 1, or 5 where CloudStack was upgraded from 3.0.
fn select_interfaces() -> SelectStatement {
    let mut select = Query::select();
    select.columns(["id", "ip", "netmask", "mac", "host_id", "label"]).from(INTERFACE);
    select.and_where(Expr::col("host_id").ne(0i64)).order_by("id", Order::Asc);
    select
}

fn interface_row(row: Row<'_>) -> Result<InterfaceRow> {
    Ok(InterfaceRow {
        id: row.count("id")?,
        host: row.number("host_id")?,
        label: row.text("label")?,
        ip: row.parsed_text("ip")?,
        netmask: row.parsed_text("netmask")?,
        mac: row.maybe_parsed("mac")?,
    })
}

fn interface_fields(interface: &NewInterface) -> Fields {
    vec![
        ("ip", interface.ip.to_string().into()),
        ("netmask", interface.netmask.to_string().into()),
        ("mac", interface.mac.map(|mac| mac.to_string()).into()),
        ("host_id", interface.host.int().into()),
        ("label", interface.label.clone().into()),
    ]
}

fn select_rows() -> SelectStatement {
    let mut select = Query::select();
    select.columns(["id", "from", "to", "network_id", "key", "port_name", "state"]).from(TUNNEL);
    select
}

/// The rows of a network; the lock row is of none.
fn select_tunnels(network: NetworkNumber) -> SelectStatement {
    let mut select = select_rows();
    select.and_where(Expr::col("network_id").eq(network.int()));
    select.order_by("from", Order::Asc).order_by("to", Order::Asc);
    select
}

fn select_tunnels_from(network: NetworkNumber, from: HostNumber) -> SelectStatement {
    select_tunnels(network).and_where(Expr::col("from").eq(from.int())).to_owned()
}

fn tunnel_row(row: &Row<'_>) -> Result<TunnelRow> {
    Ok(TunnelRow {
        network: row.number("network_id")?,
        from: row.number("from")?,
        to: row.number("to")?,
        key: row.key("key")?,
        port_name: row.maybe_text("port_name")?.filter(|name| !name.is_empty() && name != NO_PORT),
        state: RowState::from_word(&row.text("state")?),
    })
}

fn tunnel_fields(row: &TunnelRow, words: StateWords) -> Fields {
    vec![
        ("from", row.from.int().into()),
        ("to", row.to.int().into()),
        ("network_id", row.network.int().into()),
        ("key", row.key.int().into()),
        ("port_name", row.port_name.clone().unwrap_or_else(|| NO_PORT.to_owned()).into()),
        ("state", row.state.state_word(words).into()),
    ]
}

/// A row as it stands there: with its id, and the word for its state.
struct Known {
    id: u64,
    row: TunnelRow,
    word: String,
}

fn known_row(row: Row<'_>) -> Result<Known> {
    Ok(Known { id: row.count("id")?, row: tunnel_row(&row)?, word: row.text("state")? })
}

impl Tx {
    async fn delete_tunnels(&mut self, ids: &[u64]) -> Result<()> {
        for some in ids.chunks(ROWS) {
            let ids = some.iter().map(|id| id.int());
            let mut statement = Query::delete();
            statement.from_table(TUNNEL).and_where(Expr::col("id").is_in(ids));
            self.run_delete(&statement).await?;
        }
        Ok(())
    }

    /// Rows of which nothing but the state is other.
    async fn set_states(&mut self, state: RowState, ids: &[u64], words: StateWords) -> Result<()> {
        for some in ids.chunks(ROWS) {
            let mut statement = update_statement(TUNNEL, vec![("state", state.state_word(words).into())]);
            self.run_update(statement.and_where(Expr::col("id").is_in(some.iter().map(|id| id.int())))).await?;
        }
        Ok(())
    }

    async fn set_tunnels(&mut self, known: Vec<Known>, wanted: &[TunnelRow], words: StateWords) -> Result<RowsWritten> {
        let mut missing: BTreeMap<_, &TunnelRow> = wanted.iter().map(|row| ((row.network, row.to), row)).collect();
        let (mut superfluous, mut other) = (Vec::new(), Vec::new());
        let (mut good, mut failed) = (Vec::new(), Vec::new());
        for Known { id, row, word } in known {
            match missing.remove(&(row.network, row.to)) {
                Some(wanted) if *wanted == row && word == row.state.state_word(words) => {}
                Some(wanted) if *wanted == (TunnelRow { state: wanted.state, ..row }) => match wanted.state {
                    RowState::Success => good.push(id),
                    RowState::Failed => failed.push(id),
                },
                Some(wanted) => other.push((id, wanted)),
                None => superfluous.push(id),
            }
        }
        self.delete_tunnels(&superfluous).await?;
        self.set_states(RowState::Success, &good, words).await?;
        self.set_states(RowState::Failed, &failed, words).await?;
        for (id, row) in &other {
            let mut statement = update_statement(TUNNEL, tunnel_fields(row, words));
            self.run_update(statement.and_where(Expr::col("id").eq(id.int()))).await?;
        }
        let missing: Vec<Fields> = missing.into_values().map(|row| tunnel_fields(row, words)).collect();
        for some in missing.chunks(ROWS) {
            self.run_insert(&insert_statement(TUNNEL, some.to_vec())?).await?;
        }
        let changed = (good.len() + failed.len() + other.len()) as u64;
        Ok(RowsWritten { added: missing.len() as u64, changed, removed: superfluous.len() as u64 })
    }
}

impl SqlStore {
    pub(crate) async fn interfaces(&self) -> Result<Vec<InterfaceRow>> {
        self.begin_read().await?.fetch_all(&select_interfaces(), interface_row).await
    }

    pub(crate) async fn put_interface(&self, interface: &NewInterface) -> Result<InterfaceRow> {
        interface.check_fields()?;
        let its = |column: &'static str| match column {
            "label" => Expr::col("label").eq(interface.label.as_str()),
            _ => Expr::col("host_id").eq(interface.host.int()),
        };
        let mut same = select_interfaces();
        same.and_where(its("host_id")).and_where(its("label"));
        let mut change = self.begin_change().await?;
        let known = change.tx.fetch_all(&same, |row| row.count("id")).await?;
        let fields = interface_fields(interface);
        match known.first() {
            Some(id) => {
                let mut doubles = Query::delete();
                doubles.from_table(INTERFACE).and_where(its("host_id")).and_where(its("label"));
                change.tx.run_delete(doubles.and_where(Expr::col("id").ne(id.int()))).await?;
                let mut statement = update_statement(INTERFACE, fields);
                change.tx.run_update(statement.and_where(Expr::col("id").eq(id.int()))).await?;
            }
            None => {
                change.tx.run_insert(&insert_statement(INTERFACE, vec![fields])?).await?;
            }
        }
        let row = change.tx.fetch_first(&same, interface_row).await?;
        change.commit().await?;
        row.ok_or_else(|| crate::StoreError::corrupt(INTERFACE, "host_id", interface.host))
    }

    pub(crate) async fn delete_interfaces(&self, host: HostNumber) -> Result<u64> {
        let mut change = self.begin_change().await?;
        let mut statement = Query::delete();
        statement.from_table(INTERFACE).and_where(Expr::col("host_id").eq(host.int()));
        let gone = change.tx.run_delete(&statement).await?;
        change.commit().await?;
        Ok(gone)
    }

    pub(crate) async fn tunnel_rows(&self, network: NetworkNumber) -> Result<Vec<TunnelRow>> {
        self.begin_read().await?.fetch_all(&select_tunnels(network), |row| tunnel_row(&row)).await
    }

    pub(crate) async fn tunnel_rows_from(&self, network: NetworkNumber, from: HostNumber) -> Result<Vec<TunnelRow>> {
        self.begin_read().await?.fetch_all(&select_tunnels_from(network, from), |row| tunnel_row(&row)).await
    }

    pub(crate) async fn set_tunnel_rows(
        &self,
        network: NetworkNumber,
        from: HostNumber,
        rows: &[TunnelRow],
    ) -> Result<()> {
        TunnelRow::check_all(network, from, rows)?;
        let known = select_tunnels_from(network, from);
        let mut change = self.begin_change().await?;
        let known = change.tx.fetch_all(&known, known_row).await?;
        change.tx.set_tunnels(known, rows, self.words).await?;
        change.commit().await
    }

    pub(crate) async fn set_host_tunnels(&self, hosts: &[HostTunnels]) -> Result<RowsWritten> {
        hosts.iter().try_for_each(HostTunnels::check_fields)?;
        let mut change = self.begin_change().await?;
        let mut written = RowsWritten::default();
        for HostTunnels { host, rows } in hosts {
            let known = select_rows().and_where(Expr::col("from").eq(host.int())).to_owned();
            let known = change.tx.fetch_all(&known, known_row).await?;
            written += change.tx.set_tunnels(known, rows, self.words).await?;
        }
        change.commit().await?;
        Ok(written)
    }

    pub(crate) async fn hosts_with_tunnel_rows(&self) -> Result<Vec<HostNumber>> {
        let mut hosts = Query::select();
        // The lock row starts at host 0.
        hosts.column("from").distinct().from(TUNNEL).and_where(Expr::col("from").gt(0i64));
        hosts.order_by("from", Order::Asc);
        self.begin_read().await?.fetch_all(&hosts, |row| row.number("from")).await
    }

    pub(crate) async fn delete_tunnel_rows(&self, network: NetworkNumber) -> Result<u64> {
        let mut change = self.begin_change().await?;
        let mut statement = Query::delete();
        statement.from_table(TUNNEL).and_where(Expr::col("network_id").eq(network.int()));
        let gone = change.tx.run_delete(&statement).await?;
        change.commit().await?;
        Ok(gone)
    }
}
