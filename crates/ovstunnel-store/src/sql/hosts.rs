//! Hosts, in SQL.
//!
//! What it does: their calls. What it must not do: know a tunnel but to remove it with its host.

use ovstunnel_types::HostNumber;
use sea_query::{Condition, Expr, ExprTrait, Order, Query, SelectStatement};

use super::SqlStore;
use super::act::nic_row;
use super::engine::{Row, Tx};
use super::schema::{HOST, INTERFACE, TUNNEL};
use super::statements::{Fields, Int, insert_statement, update_statement};
use crate::{HostRow, NewHost, Result, StoreError};

fn select_hosts() -> SelectStatement {
    let columns = ["number", "name", "api", "rack", "label", "mode", "registered"];
    Query::select().columns(columns).from(HOST).order_by("number", Order::Asc).to_owned()
}

fn host_row(row: Row<'_>) -> Result<HostRow> {
    Ok(HostRow {
        number: row.number("number")?,
        name: row.text("name")?,
        api: row.text("api")?,
        rack: row.maybe_text("rack")?,
        label: row.maybe_text("label")?,
        mode: row.parsed_text("mode")?,
        registered: row.int("registered")?,
    })
}

fn host_fields(row: &HostRow) -> Fields {
    vec![
        ("number", row.number.int().into()),
        ("name", row.name.clone().into()),
        ("api", row.api.clone().into()),
        ("rack", row.rack.clone().into()),
        ("label", row.label.clone().into()),
        ("mode", row.mode.as_str().into()),
        ("registered", row.registered.into()),
    ]
}

impl Tx {
    pub(crate) async fn find_host(&mut self, name: &str) -> Result<Option<HostRow>> {
        self.fetch_first(select_hosts().and_where(Expr::col("name").eq(name)), host_row).await
    }

    pub(crate) async fn has_host(&mut self, number: HostNumber) -> Result<bool> {
        let found =
            self.fetch_first(select_hosts().and_where(Expr::col("number").eq(number.int())), |_| Ok(())).await?;
        Ok(found.is_some())
    }

    async fn new_host(&mut self, host: &NewHost) -> Result<HostRow> {
        let number = match host.number {
            Some(number) if self.has_host(number).await? => return Err(StoreError::conflict("host.number", number)),
            Some(number) => number,
            None => {
                let next = self.give_free("host", HOST).await?;
                next.try_into().map_err(|_| StoreError::conflict("host.number", next))?
            }
        };
        let row = host.to_row(number, host.registered);
        self.run_insert(&insert_statement(HOST, vec![host_fields(&row)])?).await?;
        Ok(row)
    }

    async fn remove_host(&mut self, host: &HostRow) -> Result<()> {
        let number = host.number.int();
        if let Some(nic) = self.fetch_first(&super::act::nics_on(host.number), nic_row).await? {
            return Err(StoreError::InUse { what: "host", name: host.name.clone(), by: nic.describe_nic() });
        }
        let of = |table, condition| Query::delete().from_table(table).cond_where(condition).to_owned();
        let its = |column: &'static str| Expr::col(column).eq(number);
        self.run_delete(&of(INTERFACE, Condition::all().add(its("host_id")))).await?;
        self.run_delete(&of(TUNNEL, Condition::any().add(its("from")).add(its("to")))).await?;
        self.run_delete(&of(HOST, Condition::all().add(its("number")))).await.map(drop)
    }
}

impl SqlStore {
    pub(crate) async fn hosts(&self) -> Result<Vec<HostRow>> {
        self.begin_read().await?.fetch_all(&select_hosts(), host_row).await
    }

    pub(crate) async fn host(&self, name: &str) -> Result<Option<HostRow>> {
        self.begin_read().await?.find_host(name).await
    }

    pub(crate) async fn put_host(&self, host: &NewHost) -> Result<HostRow> {
        host.check_fields()?;
        let mut change = self.begin_change().await?;
        let row = match change.tx.find_host(&host.name).await? {
            Some(known) => {
                let row = host.merged_over(&known)?;
                let mut statement = update_statement(HOST, host_fields(&row));
                change.tx.run_update(statement.and_where(Expr::col("number").eq(row.number.int()))).await?;
                row
            }
            None => change.tx.new_host(host).await?,
        };
        change.commit().await?;
        Ok(row)
    }

    pub(crate) async fn delete_host(&self, name: &str) -> Result<bool> {
        let mut change = self.begin_change().await?;
        let Some(host) = change.tx.find_host(name).await? else { return Ok(false) };
        change.tx.remove_host(&host).await?;
        change.commit().await?;
        Ok(true)
    }

    pub(crate) async fn rename_host(&self, name: &str, to: &str) -> Result<HostRow> {
        let mut change = self.begin_change().await?;
        let mut row = change.tx.find_host(name).await?.ok_or_else(|| StoreError::not_found("host", name))?;
        if change.tx.find_host(to).await?.is_some_and(|other| other.number != row.number) {
            return Err(StoreError::conflict("host.name", to));
        }
        to.clone_into(&mut row.name);
        NewHost::from(row.clone()).check_fields()?;
        let its = Expr::col("number").eq(row.number.int());
        change.tx.run_update(update_statement(HOST, host_fields(&row)).and_where(its)).await?;
        change.commit().await?;
        Ok(row)
    }

    pub(crate) async fn renumber_host(&self, name: &str, to: HostNumber) -> Result<HostRow> {
        let mut change = self.begin_change().await?;
        let before = change.tx.find_host(name).await?.ok_or_else(|| StoreError::not_found("host", name))?;
        if before.number == to {
            return Ok(before);
        }
        if change.tx.has_host(to).await? {
            return Err(StoreError::conflict("host.number", to));
        }
        change.tx.remove_host(&before).await?;
        let row = HostRow { number: to, ..before };
        change.tx.run_insert(&insert_statement(HOST, vec![host_fields(&row)])?).await?;
        change.tx.wait_for_host(before.number, to).await?;
        change.commit().await?;
        Ok(row)
    }
}
