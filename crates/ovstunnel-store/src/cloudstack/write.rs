//! What may be written to CloudStack's database: rows of its two tables of tunnels, under its own locks.
//!
//! What it does: each change as a statement that names all that was read of the row, all of them in one transaction. What it must not do:
//! write to another table, but for the locks; write a row that is not any more as it was read.

use std::time::Duration;

use sea_query::{DeleteStatement, Expr, ExprTrait, InsertStatement, Query, UpdateStatement};
use tokio::time::{Instant, sleep};

use super::{CloudStack, CloudStackError, Endpoint, Tunnel, error_reason};
use crate::StoreError;
use crate::sql::{Fields, Int, Tx, insert_statement, update_statement};

type Result<T> = std::result::Result<T, CloudStackError>;

const ENDPOINTS: &str = "ovs_tunnel_interface";
const TUNNELS: &str = "ovs_tunnel_network";
const LOCKS: &str = "op_lock";

/// What CloudStack's servers lock before they add or remove rows: the name of the table, and the id that its lock row had at first.
pub const NAMES: [&str; 2] = ["ovs_tunnel_interface1", "ovs_tunnel_network1"];

/// As whom we hold them, in the columns where a server writes its id and the name of its thread.
const OWNER: [&str; 2] = ["ovstunnel", "export"];

/// How long to wait between two attempts to get a lock, which servers hold for the time of one statement.
const PAUSE: Duration = Duration::from_millis(100);

/// An address at which tunnels end, as the table has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address.
    pub ip: String,
    /// Its netmask, dotted.
    pub netmask: Option<String>,
    /// Ethernet address of the device that has it.
    pub mac: Option<String>,
}

/// A change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A tunnel is recorded.
    AddTunnel(Tunnel),
    /// Key, port and state of a row become other ones.
    SetTunnel {
        /// The row as it was read.
        before: Tunnel,
        /// The row as it will be: its ends and its network are the same.
        after: Tunnel,
    },
    /// A tunnel is recorded no more.
    RemoveTunnel(Tunnel),
    /// An endpoint is recorded.
    AddEndpoint {
        /// Id of the row.
        id: u64,
        /// The host.
        host: u64,
        /// The label that it was asked by.
        label: String,
        /// What it said.
        address: Address,
    },
    /// An endpoint has another address.
    SetEndpoint {
        /// The row as it was read.
        before: Endpoint,
        /// The address that it gets.
        address: Address,
    },
    /// An endpoint is recorded no more: a server asks the host again.
    RemoveEndpoint(Endpoint),
}

enum Statement {
    Insert(InsertStatement),
    Update(UpdateStatement),
    Delete(DeleteStatement),
}

fn text_value(column: &'static str, value: Option<&str>) -> Expr {
    match value {
        Some(value) => Expr::col(column).eq(value),
        None => Expr::col(column).is_null(),
    }
}

/// The row, where nobody has changed it.
fn is_tunnel(row: &Tunnel) -> Expr {
    let ends = Expr::col("from").eq(row.from.int()).and(Expr::col("to").eq(row.to.int()));
    let network = Expr::col("network_id").eq(row.network.int()).and(Expr::col("key").eq(row.key.int()));
    let said = text_value("port_name", row.port.as_deref()).and(text_value("state", row.state.as_deref()));
    Expr::col("id").eq(row.id.int()).and(ends).and(network).and(said)
}

fn is_endpoint(row: &Endpoint) -> Expr {
    let host = match row.host {
        Some(host) => Expr::col("host_id").eq(host.int()),
        None => Expr::col("host_id").is_null(),
    };
    let said = text_value("ip", row.ip.as_deref()).and(text_value("label", row.label.as_deref()));
    Expr::col("id").eq(row.id.int()).and(host).and(said)
}

fn said_of(row: &Tunnel) -> Fields {
    let (port, state) = (row.port.clone(), row.state.clone());
    vec![("key", row.key.int().into()), ("port_name", port.into()), ("state", state.into())]
}

fn address_fields(address: &Address) -> Fields {
    let Address { ip, netmask, mac } = address.clone();
    vec![("ip", ip.into()), ("netmask", netmask.into()), ("mac", mac.into())]
}

impl Change {
    fn build_statement(&self) -> crate::Result<Statement> {
        Ok(match self {
            Change::AddTunnel(row) => {
                let mut fields: Fields = vec![
                    ("id", row.id.int().into()),
                    ("from", row.from.int().into()),
                    ("to", row.to.int().into()),
                    ("network_id", row.network.int().into()),
                ];
                fields.extend(said_of(row));
                Statement::Insert(insert_statement(TUNNELS, vec![fields])?)
            }
            Change::SetTunnel { before, after } => {
                Statement::Update(update_statement(TUNNELS, said_of(after)).and_where(is_tunnel(before)).to_owned())
            }
            Change::RemoveTunnel(row) => {
                Statement::Delete(Query::delete().from_table(TUNNELS).and_where(is_tunnel(row)).to_owned())
            }
            Change::AddEndpoint { id, host, label, address } => {
                let mut fields: Fields =
                    vec![("id", id.int().into()), ("host_id", host.int().into()), ("label", label.clone().into())];
                fields.extend(address_fields(address));
                Statement::Insert(insert_statement(ENDPOINTS, vec![fields])?)
            }
            Change::SetEndpoint { before, address } => {
                let statement =
                    update_statement(ENDPOINTS, address_fields(address)).and_where(is_endpoint(before)).to_owned();
                Statement::Update(statement)
            }
            Change::RemoveEndpoint(row) => {
                Statement::Delete(Query::delete().from_table(ENDPOINTS).and_where(is_endpoint(row)).to_owned())
            }
        })
    }

    /// The statement as a text, for whoever runs it by hand.
    ///
    /// # Errors
    /// Never in practice: the statements are made here.
    #[cfg(feature = "mysql")]
    pub fn to_sql(&self) -> crate::Result<String> {
        let builder = sea_query::MysqlQueryBuilder;
        Ok(match self.build_statement()? {
            Statement::Insert(statement) => statement.to_string(builder),
            Statement::Update(statement) => statement.to_string(builder),
            Statement::Delete(statement) => statement.to_string(builder),
        })
    }

    async fn run_change(&self, tx: &mut Tx) -> crate::Result<u64> {
        match self.build_statement()? {
            Statement::Insert(statement) => tx.run_insert(&statement).await,
            Statement::Update(statement) => tx.run_update(&statement).await,
            Statement::Delete(statement) => tx.run_delete(&statement).await,
        }
    }

    /// `row 7 of ovs_tunnel_network`
    pub fn row_name(&self) -> String {
        match self {
            Change::AddTunnel(row) | Change::SetTunnel { before: row, .. } | Change::RemoveTunnel(row) => {
                format!("row {} of {TUNNELS}", row.id)
            }
            Change::AddEndpoint { id, .. } => format!("row {id} of {ENDPOINTS}"),
            Change::SetEndpoint { before: row, .. } | Change::RemoveEndpoint(row) => {
                format!("row {} of {ENDPOINTS}", row.id)
            }
        }
    }
}

impl CloudStack {
    /// Takes both locks, as a server of CloudStack's does: a row of `op_lock` for each, which is there or not.
    ///
    /// # Errors
    /// [`CloudStackError::Held`] after `patience`, where somebody else has one: then none is kept.
    pub async fn take_locks(&self, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        for (at, name) in NAMES.iter().enumerate() {
            while let Err(error) = self.take_lock(name).await {
                let is_held = matches!(error, StoreError::Conflict { .. });
                if is_held && Instant::now() < until {
                    sleep(PAUSE).await;
                    continue;
                }
                let error = match is_held {
                    true => self.held_error(name).await,
                    false => {
                        CloudStackError::Unwritable { what: format!("table {LOCKS}"), reason: error_reason(error) }
                    }
                };
                self.give_back(&NAMES[..at]).await?;
                return Err(error);
            }
        }
        Ok(())
    }

    /// Gives both locks back.
    ///
    /// # Errors
    /// No answer: then they stay, and the error says how they are removed.
    pub async fn release_locks(&self) -> Result<()> {
        self.give_back(&NAMES).await
    }

    async fn take_lock(&self, name: &str) -> crate::Result<()> {
        let [server, thread] = OWNER;
        let row: Fields = vec![
            ("key", name.into()),
            ("mac", server.into()),
            ("ip", thread.into()),
            ("thread", std::process::id().to_string().into()),
            ("waiters", 1i64.into()),
        ];
        let mut tx = self.pool.begin_write().await?;
        tx.run_insert(&insert_statement(LOCKS, vec![row])?).await?;
        tx.commit().await
    }

    async fn give_back(&self, names: &[&str]) -> Result<()> {
        if names.is_empty() {
            return Ok(());
        }
        let ours = Query::delete()
            .from_table(LOCKS)
            .and_where(Expr::col("key").is_in(names.iter().copied()))
            .and_where(Expr::col("mac").eq(OWNER[0]))
            .and_where(Expr::col("thread").eq(std::process::id().to_string()))
            .to_owned();
        let given = async {
            let mut tx = self.pool.begin_write().await?;
            tx.run_delete(&ours).await?;
            tx.commit().await
        };
        given.await.map_err(|error| CloudStackError::LocksStay { reason: error_reason(error) })
    }

    async fn held_error(&self, name: &'static str) -> CloudStackError {
        let mut holder = Query::select();
        holder.columns(["mac", "ip", "thread"]).expr_as(Expr::col("acquired_on").cast_as("char"), "since");
        holder.from(LOCKS).and_where(Expr::col("key").eq(name));
        let found = async {
            let mut tx = self.pool.begin_read().await?;
            let text = |row: crate::sql::Row<'_>| {
                let since = row.text("since")?;
                Ok(format!(
                    "server {}, thread {} ({}), since {since}",
                    row.text("mac")?,
                    row.text("ip")?,
                    row.text("thread")?
                ))
            };
            tx.fetch_first(&holder, text).await
        };
        let by = found.await.ok().flatten().unwrap_or_else(|| "somebody who has given it back meanwhile".to_owned());
        CloudStackError::Held { name, by: ovstunnel_types::text::sanitize(&by, 200) }
    }

    /// Makes all changes in one transaction, each to a row that is as it was read.
    ///
    /// # Errors
    /// A row has changed, or the database refuses: then none is made.
    pub async fn apply_changes(&self, changes: &[Change]) -> Result<()> {
        let refused = |change: &Change| {
            let what = change.row_name();
            |error: StoreError| CloudStackError::Unwritable { what, reason: error_reason(error) }
        };
        let all = |error: StoreError| CloudStackError::Unwritable {
            what: "the rows".to_owned(),
            reason: error_reason(error),
        };
        let mut tx = self.pool.begin_write().await.map_err(all)?;
        for change in changes {
            if change.run_change(&mut tx).await.map_err(refused(change))? != 1 {
                let reason = "somebody has changed it meanwhile".to_owned();
                return Err(CloudStackError::Unwritable { what: change.row_name(), reason });
            }
        }
        tx.commit().await.map_err(all)
    }
}
