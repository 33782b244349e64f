//! Hosts, in SQL.
//!
//! What it does: their calls. What it must not do: know a tunnel but to remove it with its host.

use ovstunnel_types::HostNumber;
use sea_query::{Condition, Expr, ExprTrait, Order, Query, SelectStatement};

use super::SqlStore;
use super::act::nic_row;
use super::engine::{Row, Tx};
use super::schema::{HOST, INTERFACE, TUNNEL};
use super::statements::{Fields, Int, insert, update};
use crate::{HostRow, NewHost, Result, StoreError};

fn select() -> SelectStatement {
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
        mode: row.parsed("mode")?,
        registered: row.int("registered")?,
    })
}

fn fields(row: &HostRow) -> Fields {
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
    pub(crate) async fn host(&mut self, name: &str) -> Result<Option<HostRow>> {
        self.first(select().and_where(Expr::col("name").eq(name)), host_row).await
    }

    pub(crate) async fn has_host(&mut self, number: HostNumber) -> Result<bool> {
        let found = self.first(select().and_where(Expr::col("number").eq(number.int())), |_| Ok(())).await?;
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
        let row = host.row(number, host.registered);
        self.insert(&insert(HOST, vec![fields(&row)])?).await?;
        Ok(row)
    }

    async fn remove_host(&mut self, host: &HostRow) -> Result<()> {
        let number = host.number.int();
        if let Some(nic) = self.first(&super::act::nics_on(host.number), nic_row).await? {
            return Err(StoreError::InUse { what: "host", name: host.name.clone(), by: nic.described() });
        }
        let of = |table, condition| Query::delete().from_table(table).cond_where(condition).to_owned();
        let its = |column: &'static str| Expr::col(column).eq(number);
        self.delete(&of(INTERFACE, Condition::all().add(its("host_id")))).await?;
        self.delete(&of(TUNNEL, Condition::any().add(its("from")).add(its("to")))).await?;
        self.delete(&of(HOST, Condition::all().add(its("number")))).await.map(drop)
    }
}

impl SqlStore {
    pub(crate) async fn hosts(&self) -> Result<Vec<HostRow>> {
        self.read().await?.all(&select(), host_row).await
    }

    pub(crate) async fn host(&self, name: &str) -> Result<Option<HostRow>> {
        self.read().await?.host(name).await
    }

    pub(crate) async fn put_host(&self, host: &NewHost) -> Result<HostRow> {
        host.check()?;
        let mut change = self.change().await?;
        let row = match change.tx.host(&host.name).await? {
            Some(known) => {
                let row = host.over(&known)?;
                let mut statement = update(HOST, fields(&row));
                change.tx.update(statement.and_where(Expr::col("number").eq(row.number.int()))).await?;
                row
            }
            None => change.tx.new_host(host).await?,
        };
        change.commit().await?;
        Ok(row)
    }

    pub(crate) async fn delete_host(&self, name: &str) -> Result<bool> {
        let mut change = self.change().await?;
        let Some(host) = change.tx.host(name).await? else { return Ok(false) };
        change.tx.remove_host(&host).await?;
        change.commit().await?;
        Ok(true)
    }

    pub(crate) async fn rename_host(&self, name: &str, to: &str) -> Result<HostRow> {
        let mut change = self.change().await?;
        let mut row = change.tx.host(name).await?.ok_or_else(|| StoreError::not_found("host", name))?;
        if change.tx.host(to).await?.is_some_and(|other| other.number != row.number) {
            return Err(StoreError::conflict("host.name", to));
        }
        to.clone_into(&mut row.name);
        NewHost::from(row.clone()).check()?;
        let its = Expr::col("number").eq(row.number.int());
        change.tx.update(update(HOST, fields(&row)).and_where(its)).await?;
        change.commit().await?;
        Ok(row)
    }

    pub(crate) async fn renumber_host(&self, name: &str, to: HostNumber) -> Result<HostRow> {
        let mut change = self.change().await?;
        let before = change.tx.host(name).await?.ok_or_else(|| StoreError::not_found("host", name))?;
        if before.number == to {
            return Ok(before);
        }
        if change.tx.has_host(to).await? {
            return Err(StoreError::conflict("host.number", to));
        }
        change.tx.remove_host(&before).await?;
        let row = HostRow { number: to, ..before };
        change.tx.insert(&insert(HOST, vec![fields(&row)])?).await?;
        change.tx.wait_for_host(before.number, to).await?;
        change.commit().await?;
        Ok(row)
    }
}
