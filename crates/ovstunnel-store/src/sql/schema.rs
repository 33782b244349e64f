//! The tables, and how a database gets them.
//!
//! What it does: names of tables; migrations, numbered from 1, each of which leads from one schema to the next and is never
//! changed once it was released. What it must not do: read or write what stands in the tables, but the lock rows.

use sea_query::{ColumnDef, Expr, ForeignKey, Func, Index, IndexCreateStatement, Query, Table, TableCreateStatement};

use super::engine::{Kind, Tx};
use super::failure::store_error;
use super::statements::insert_statement;
use crate::inspection::KNOWN;
use crate::{Result, StoreError};

pub(crate) const SCHEMA: &str = "ovstunnel_schema";
pub(crate) const ZONE: &str = "ovstunnel_zone";
pub(crate) const COUNTER: &str = "ovstunnel_counter";
pub(crate) const HOST: &str = "ovstunnel_host";
pub(crate) const PHYSICAL_NETWORK: &str = "ovstunnel_physical_network";
pub(crate) const NETWORK: &str = "ovstunnel_network";
pub(crate) const NIC: &str = "ovstunnel_nic";
pub(crate) const KEY: &str = "ovstunnel_key";
pub(crate) const KEY_HOST: &str = "ovstunnel_key_host";
pub(crate) const LEASE: &str = "ovstunnel_lease";
pub(crate) const EVENT: &str = "ovstunnel_event";
pub(crate) const SETTING: &str = "ovstunnel_setting";
/// The specification's own.
pub(crate) const INTERFACE: &str = "ovs_tunnel_interface";
/// The specification's own.
pub(crate) const TUNNEL: &str = "ovs_tunnel_network";

/// All tables.
pub(crate) const TABLES: [&str; 14] = [
    INTERFACE,
    TUNNEL,
    COUNTER,
    EVENT,
    HOST,
    KEY,
    KEY_HOST,
    LEASE,
    NETWORK,
    NIC,
    PHYSICAL_NETWORK,
    SCHEMA,
    SETTING,
    ZONE,
];

/// What numbers are given out of.
const COUNTERS: [&str; 3] = ["event", "host", "network"];

/// Makes the tables that are missing and answers the last migration that was done as a whole; a database of a newer program is
/// refused and not touched. MySQL ends its transaction at each statement that makes a table, so these may be repeated after
/// they were interrupted, and what stands in the tables follows in a transaction of its own ([`fill_tables`]).
pub(crate) async fn make_tables(tx: &mut Tx) -> Result<u32> {
    let kind = tx.kind();
    let mut table = Table::create();
    table.table(SCHEMA).if_not_exists().col(int_column("number").primary_key()).col(int_column("applied").not_null());
    run_definition(tx, create_statement(kind, &mut table)).await?;
    let last = Query::select().expr_as(Func::max(Expr::col("number")), "last").from(SCHEMA).to_owned();
    let found = tx.fetch_first(&last, |row| row.maybe_int("last")).await?.flatten().unwrap_or_default();
    let found = u32::try_from(found).unwrap_or(u32::MAX);
    if found > KNOWN {
        return Err(StoreError::Newer { found, known: KNOWN });
    }
    if found < 1 {
        let mut tables = vec![
            zone_table(),
            counter_table(),
            host_table(),
            physical_network(),
            network_table(),
            nic_table(),
            key_table(),
            key_host(),
        ];
        tables.extend([lease_table(), event_table(), setting_table(), interface_table(), tunnel_table(kind)]);
        for table in &mut tables {
            run_definition(tx, create_statement(kind, table.if_not_exists())).await?;
        }
        for index in all_indexes() {
            run_definition(tx, index_statement(kind, &index)).await?;
        }
    }
    Ok(found)
}

/// Writes the rows that a database begins with, for what it has not had yet, and notes which schema it has now.
pub(crate) async fn fill_tables(tx: &mut Tx, found: u32, now: i64) -> Result<()> {
    if found >= 1 {
        return Ok(());
    }
    let zero = || sea_query::Value::from(0i64);
    let text = |text: &str| sea_query::Value::from(text);
    let counters = COUNTERS.map(|name| vec![("name", text(name)), ("last", zero())]);
    tx.run_insert(&insert_statement(COUNTER, counters.into())?).await?;
    let lease = vec![("id", 1i64.into()), ("leader", text("")), ("epoch", zero()), ("until", zero())];
    tx.run_insert(&insert_statement(LEASE, vec![lease])?).await?;
    // CloudStack takes for granted that these are the first rows; each query of the mesh skips them.
    let addresses = ["ip", "netmask", "mac"].map(|column| (column, text("0")));
    let row = addresses.into_iter().chain([("host_id", zero()), ("label", text("lock"))]).collect();
    tx.run_insert(&insert_statement(INTERFACE, vec![row])?).await?;
    let numbers = ["from", "to", "network_id", "key"].map(|column| (column, zero()));
    let row = numbers.into_iter().chain([("port_name", text("lock")), ("state", text("SUCCESS"))]).collect();
    tx.run_insert(&insert_statement(TUNNEL, vec![row])?).await?;
    let done = vec![("number", i64::from(KNOWN).into()), ("applied", now.into())];
    tx.run_insert(&insert_statement(SCHEMA, vec![done])?).await.map(|_| ())
}

async fn run_definition(tx: &mut Tx, sql: String) -> Result<()> {
    match tx.run_definition(sql).await {
        #[cfg(feature = "mysql")]
        Err(sqlx::Error::Database(said)) if is_double_index(said.as_ref()) => Ok(()),
        done => done.map_err(store_error),
    }
}

/// MySQL has no IF NOT EXISTS for an index: ER_DUP_KEYNAME.
#[cfg(feature = "mysql")]
fn is_double_index(said: &dyn sqlx::error::DatabaseError) -> bool {
    said.try_downcast_ref::<sqlx::mysql::MySqlDatabaseError>().is_some_and(|said| said.number() == 1061)
}

/// The statement that makes a table. On MySQL names differ by case and texts have all of Unicode, as with the others.
fn create_statement(kind: Kind, table: &mut TableCreateStatement) -> String {
    match kind {
        Kind::Sqlite => table.to_string(sea_query::SqliteQueryBuilder),
        #[cfg(feature = "mysql")]
        Kind::MySql => table
            .engine("InnoDB")
            .character_set("utf8mb4")
            .collate("utf8mb4_bin")
            .to_string(sea_query::MysqlQueryBuilder),
        #[cfg(feature = "postgres")]
        Kind::Postgres => table.to_string(sea_query::PostgresQueryBuilder),
    }
}

fn index_statement(kind: Kind, index: &IndexCreateStatement) -> String {
    match kind {
        Kind::Sqlite => index.clone().if_not_exists().to_string(sea_query::SqliteQueryBuilder),
        #[cfg(feature = "mysql")]
        Kind::MySql => index.to_string(sea_query::MysqlQueryBuilder),
        #[cfg(feature = "postgres")]
        Kind::Postgres => index.clone().if_not_exists().to_string(sea_query::PostgresQueryBuilder),
    }
}

fn int_column(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.big_integer();
    column
}

fn text_column(name: &'static str, most: u32) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.string_len(most);
    column
}

fn long_column(name: &'static str) -> ColumnDef {
    let mut column = ColumnDef::new(name);
    column.text();
    column
}

fn zone_table() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(ZONE)
        .col(int_column("id").primary_key())
        .col(text_column("name", 63).not_null())
        .col(text_column("uuid", 36).not_null());
    table
}

/// Last numbers that were given out.
fn counter_table() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(COUNTER).col(text_column("name", 63).primary_key()).col(int_column("last").not_null());
    table
}

fn host_table() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(HOST).col(int_column("number").primary_key()).col(text_column("name", 63).not_null().unique_key());
    table.col(text_column("api", 512).not_null()).col(text_column("rack", 63)).col(text_column("label", 45));
    table.col(text_column("mode", 16).not_null()).col(int_column("registered").not_null());
    table
}

fn physical_network() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(PHYSICAL_NETWORK)
        .col(text_column("name", 63).primary_key())
        .col(text_column("isolation", 16).not_null());
    table
        .col(long_column("vnet").not_null())
        .col(text_column("label", 45))
        .col(text_column("label_xen", 45))
        .col(text_column("label_kvm", 45));
    table
}

fn network_table() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(NETWORK).col(int_column("number").primary_key()).col(text_column("name", 63).not_null().unique_key());
    table
        .col(text_column("physical_network", 63).not_null())
        .col(int_column("key").unique_key())
        .col(text_column("ipv6", 16));
    table.col(int_column("mtu")).col(int_column("created").not_null());
    let lies_on = ForeignKey::create().from(NETWORK, "physical_network").to(PHYSICAL_NETWORK, "name").to_owned();
    table.foreign_key(&mut lies_on.to_owned());
    table
}

fn nic_table() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(NIC)
        .col(int_column("network").not_null())
        .col(text_column("id", 63).not_null())
        .col(text_column("vm", 255));
    table
        .col(text_column("mac", 18))
        .col(text_column("ip", 45))
        .col(int_column("host").not_null())
        .col(int_column("moving_to"));
    table.primary_key(Index::create().col("network").col("id"));
    for (column, to) in [("network", NETWORK), ("host", HOST), ("moving_to", HOST)] {
        table.foreign_key(ForeignKey::create().from(NIC, column).to(to, "number"));
    }
    table
}

fn key_table() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(KEY).col(int_column("key").primary_key()).col(text_column("state", 16).not_null());
    table.col(int_column("network")).col(int_column("since").not_null());
    table
}

/// Hosts that may have a key.
fn key_host() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(KEY_HOST).col(int_column("key").not_null()).col(int_column("host").not_null());
    table.primary_key(Index::create().col("key").col("host"));
    table.foreign_key(ForeignKey::create().from(KEY_HOST, "key").to(KEY, "key"));
    table
}

fn lease_table() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(LEASE).col(int_column("id").primary_key()).col(text_column("leader", 63).not_null());
    table.col(int_column("epoch").not_null()).col(int_column("until").not_null());
    table
}

fn event_table() -> TableCreateStatement {
    let mut table = Table::create();
    table
        .table(EVENT)
        .col(int_column("id").primary_key())
        .col(int_column("at").not_null())
        .col(text_column("kind", 63).not_null());
    table
        .col(text_column("host", 63))
        .col(text_column("network", 63))
        .col(text_column("actor", 255))
        .col(text_column("request_id", 128));
    table.col(long_column("before")).col(long_column("after")).col(long_column("text").not_null());
    table
}

fn setting_table() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(SETTING).col(text_column("name", 63).primary_key()).col(long_column("value").not_null());
    table
}

/// As CloudStack has it, column for column: all but the id may be NULL, and doubles are possible.
fn interface_table() -> TableCreateStatement {
    let mut table = Table::create();
    table.table(INTERFACE).col(int_column("id").auto_increment().primary_key());
    table
        .col(text_column("ip", 16))
        .col(text_column("netmask", 16))
        .col(text_column("mac", 18))
        .col(int_column("host_id"))
        .col(text_column("label", 45));
    table
}

/// As CloudStack has it since 4.9: the id is the primary key. Only MySQL has unsigned numbers, as CloudStack's tables there.
fn tunnel_table(kind: Kind) -> TableCreateStatement {
    let number = |name: &'static str| match kind {
        #[cfg(feature = "mysql")]
        Kind::MySql => ColumnDef::new(name).big_unsigned().to_owned(),
        _ => int_column(name),
    };
    let mut table = Table::create();
    table.table(TUNNEL).col(number("id").auto_increment().primary_key());
    for name in ["from", "to", "network_id"] {
        table.col(number(name).not_null());
    }
    let key = match kind {
        #[cfg(feature = "mysql")]
        Kind::MySql => ColumnDef::new("key").unsigned().to_owned(),
        _ => int_column("key"),
    };
    table.col(key.to_owned().not_null()).col(text_column("port_name", 32));
    table.col(text_column("state", 16).not_null().default("FAILED"));
    table
}

fn all_indexes() -> Vec<IndexCreateStatement> {
    let index = |name: &str, table: &'static str, columns: &[&'static str]| {
        let mut index = Index::create();
        index.name(name).table(table);
        for column in columns {
            index.col(*column);
        }
        index
    };
    let mut indexes = vec![index("i_to_from_network_id", TUNNEL, &["to", "from", "network_id"]).unique().to_owned()];
    indexes.push(index("ovstunnel_i_network_from_to", TUNNEL, &["network_id", "from", "to"]));
    indexes.push(index("ovstunnel_i_from", TUNNEL, &["from"]));
    indexes.push(index("ovstunnel_i_interface_host", INTERFACE, &["host_id"]));
    indexes.push(index("ovstunnel_i_network_physical", NETWORK, &["physical_network"]));
    indexes.push(index("ovstunnel_i_nic_host", NIC, &["host"]));
    indexes.push(index("ovstunnel_i_nic_moving_to", NIC, &["moving_to"]));
    indexes.push(index("ovstunnel_i_key_network", KEY, &["network"]));
    indexes.push(index("ovstunnel_i_event_at", EVENT, &["at"]));
    for (name, column) in [("kind", "kind"), ("host", "host"), ("network", "network"), ("actor", "actor")] {
        indexes.push(index(&format!("ovstunnel_i_event_{name}"), EVENT, &[column, "id"]));
    }
    indexes
}
