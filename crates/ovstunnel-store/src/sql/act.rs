//! NICs, keys and the lease, in SQL.
//!
//! What it does: their calls. What it must not do: allocate a key; decide who should lead.

use std::collections::BTreeMap;

use ovstunnel_types::{GreKey, HostNumber, NetworkNumber};
use sea_query::{Condition, Expr, ExprTrait, LockType, Order, Query, SelectStatement};

use super::engine::{Kind, Row, Tx};
#[cfg(feature = "mysql")]
use super::schema::COUNTER;
use super::schema::{KEY, KEY_HOST, LEASE, NIC};
use super::statements::{Fields, Int, ROWS, insert_statement, update_statement};
use super::{Fence, SqlStore};
use crate::{KeyRow, KeyState, LeaseRow, NicRow, Result, StoreError};

/// The row of [`COUNTER`] that each change of a database with several writers writes.
#[cfg(feature = "mysql")]
const CHANGES: &str = "change";

fn select_nics() -> SelectStatement {
    let columns = ["network", "id", "vm", "mac", "ip", "host", "moving_to"];
    Query::select().columns(columns).from(NIC).order_by("network", Order::Asc).order_by("id", Order::Asc).to_owned()
}

pub(crate) fn nics_of(network: NetworkNumber) -> SelectStatement {
    select_nics().and_where(Expr::col("network").eq(network.int())).to_owned()
}

pub(crate) fn nics_on(host: HostNumber) -> SelectStatement {
    let its = |column: &'static str| Expr::col(column).eq(host.int());
    select_nics().cond_where(Condition::any().add(its("host")).add(its("moving_to"))).to_owned()
}

pub(crate) fn nic_row(row: Row<'_>) -> Result<NicRow> {
    Ok(NicRow {
        network: row.number("network")?,
        id: row.text("id")?,
        vm: row.maybe_text("vm")?,
        mac: row.maybe_parsed("mac")?,
        ip: row.maybe_parsed("ip")?,
        host: row.number("host")?,
        moving_to: row.maybe_number("moving_to")?,
    })
}

fn nic_fields(nic: &NicRow) -> Fields {
    vec![
        ("network", nic.network.int().into()),
        ("id", nic.id.clone().into()),
        ("vm", nic.vm.clone().into()),
        ("mac", nic.mac.map(|mac| mac.to_string()).into()),
        ("ip", nic.ip.map(|ip| ip.to_string()).into()),
        ("host", nic.host.int().into()),
        ("moving_to", nic.moving_to.map(Int::int).into()),
    ]
}

/// Engines differ in the order of texts.
fn in_order(mut nics: Vec<NicRow>) -> Vec<NicRow> {
    nics.sort_by(|one, other| (one.network, &one.id).cmp(&(other.network, &other.id)));
    nics
}

fn select_lease() -> SelectStatement {
    Query::select().columns(["leader", "epoch", "until"]).from(LEASE).and_where(Expr::col("id").eq(1i64)).to_owned()
}

fn lease_row(row: Row<'_>) -> Result<LeaseRow> {
    Ok(LeaseRow { leader: row.text("leader")?, epoch: row.count("epoch")?, until: row.int("until")? })
}

/// Milliseconds since 1970 by the database's clock: the one that all managers share.
fn select_now(kind: Kind) -> SelectStatement {
    let now = match kind {
        Kind::Sqlite => "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
        #[cfg(feature = "mysql")]
        Kind::MySql => "CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)",
        #[cfg(feature = "postgres")]
        Kind::Postgres => "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000 AS BIGINT)",
    };
    Query::select().expr_as(Expr::cust(now), "now").to_owned()
}

impl Tx {
    /// Time and lease; nobody else takes the lease until this transaction ends.
    async fn lock_lease(&mut self) -> Result<(i64, Option<LeaseRow>)> {
        let row = self.fetch_first(select_lease().lock(LockType::Update), lease_row).await?;
        Ok((self.database_time().await?, row.filter(|lease| lease.epoch > 0)))
    }

    async fn database_time(&mut self) -> Result<i64> {
        let now = self.fetch_first(&select_now(self.kind()), |row| row.int("now")).await?;
        now.ok_or_else(|| StoreError::corrupt(LEASE, "now", "nothing"))
    }

    /// That a change may be made; nobody else takes the lease until this transaction ends.
    pub(super) async fn check_fence(&mut self, fence: &Fence) -> Result<()> {
        let (now, lease) = self.lock_lease().await?;
        let living = lease.filter(|lease| lease.until > now).map(|lease| lease.leader);
        let may = match fence {
            Fence::Open => true,
            Fence::Closed(_) => false,
            Fence::Held(leader) => living.as_ref() == Some(leader),
            Fence::Unled => living.is_none(),
        };
        let nobody = || "no other manager, and its own lease has run out".to_owned();
        if may { self.meet_others().await } else { Err(StoreError::NotLeading { by: living.unwrap_or_else(nobody) }) }
    }

    /// Writes the row that each change writes, and each that takes the lease. Nodes of Galera know of each other's transactions only what they have
    /// written, not what they have locked: of a change and a new lease at the same moment one is thus taken back.
    async fn meet_others(&mut self) -> Result<()> {
        match self.kind() {
            #[cfg(feature = "mysql")]
            Kind::MySql => {
                let mut counted = Query::update();
                counted.table(COUNTER).value("last", Expr::col("last").add(1));
                if self.run_update(counted.and_where(Expr::col("name").eq(CHANGES))).await? == 0 {
                    let row = vec![("name", CHANGES.into()), ("last", 1i64.into())];
                    self.run_insert(&insert_statement(COUNTER, vec![row])?).await?;
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn write_lease(&mut self, lease: &LeaseRow) -> Result<()> {
        let leader = lease.leader.as_str().into();
        let fields = vec![("leader", leader), ("epoch", lease.epoch.int().into()), ("until", lease.until.into())];
        self.run_update(update_statement(LEASE, fields).and_where(Expr::col("id").eq(1i64))).await?;
        self.meet_others().await
    }

    /// What waits for a host waits for it under another number.
    pub(crate) async fn wait_for_host(&mut self, from: HostNumber, to: HostNumber) -> Result<()> {
        // Where something waits for both, a row of each would be the same.
        let mut both = Query::select();
        both.column("key").from(KEY_HOST).and_where(Expr::col("host").eq(to.int()));
        let both: Vec<i64> = self.fetch_all(&both, |row| row.int("key")).await?;
        let its = || Expr::col("host").eq(from.int());
        let mut doubled = Query::delete();
        doubled.from_table(KEY_HOST).and_where(its()).and_where(Expr::col("key").is_in(both));
        self.run_delete(&doubled).await?;
        self.run_update(update_statement(KEY_HOST, vec![("host", to.int().into())]).and_where(its())).await.map(drop)
    }

    async fn delete_key(&mut self, key: GreKey) -> Result<bool> {
        let of = |table| Query::delete().from_table(table).and_where(Expr::col("key").eq(key.int())).to_owned();
        self.run_delete(&of(KEY_HOST)).await?;
        Ok(self.run_delete(&of(KEY)).await? > 0)
    }
}

impl SqlStore {
    pub(crate) async fn nics(&self, network: NetworkNumber) -> Result<Vec<NicRow>> {
        Ok(in_order(self.begin_read().await?.fetch_all(&nics_of(network), nic_row).await?))
    }

    pub(crate) async fn nics_on(&self, host: HostNumber) -> Result<Vec<NicRow>> {
        Ok(in_order(self.begin_read().await?.fetch_all(&nics_on(host), nic_row).await?))
    }

    pub(crate) async fn every_nic(&self) -> Result<Vec<NicRow>> {
        Ok(in_order(self.begin_read().await?.fetch_all(&select_nics(), nic_row).await?))
    }

    pub(crate) async fn put_nic(&self, nic: &NicRow) -> Result<()> {
        nic.check_fields()?;
        let mut change = self.begin_change().await?;
        if !change.tx.has_network(nic.network).await? {
            return Err(StoreError::not_found("network", nic.network));
        }
        for host in std::iter::once(nic.host).chain(nic.moving_to) {
            if !change.tx.has_host(host).await? {
                return Err(StoreError::not_found("host", host));
            }
        }
        let its = || Expr::col("id").eq(nic.id.as_str());
        let known = change.tx.fetch_first(nics_of(nic.network).and_where(its()), nic_row).await?;
        if known.is_some() {
            let mut statement = update_statement(NIC, nic_fields(nic));
            statement.and_where(Expr::col("network").eq(nic.network.int())).and_where(its());
            change.tx.run_update(&statement).await?;
        } else {
            change.tx.run_insert(&insert_statement(NIC, vec![nic_fields(nic)])?).await?;
        }
        change.commit().await
    }

    pub(crate) async fn delete_nic(&self, network: NetworkNumber, id: &str) -> Result<bool> {
        let mut change = self.begin_change().await?;
        let mut statement = Query::delete();
        statement.from_table(NIC).and_where(Expr::col("network").eq(network.int())).and_where(Expr::col("id").eq(id));
        let gone = change.tx.run_delete(&statement).await? > 0;
        change.commit().await?;
        Ok(gone)
    }

    pub(crate) async fn keys(&self) -> Result<Vec<KeyRow>> {
        let mut keys = Query::select();
        keys.columns(["key", "state", "network", "since"]).from(KEY).order_by("key", Order::Asc);
        let mut hosts = Query::select();
        hosts.columns(["key", "host"]).from(KEY_HOST).order_by("key", Order::Asc).order_by("host", Order::Asc);
        let mut tx = self.begin_read().await?;
        let mut of: BTreeMap<GreKey, Vec<HostNumber>> = BTreeMap::new();
        let keys = tx.fetch_all(&keys, |row| {
            let (key, state, network) = (row.key("key")?, row.parsed_text("state")?, row.maybe_number("network")?);
            Ok(KeyRow { key, state, network, since: row.int("since")?, hosts: vec![] })
        });
        let mut keys = keys.await?;
        for (key, host) in tx.fetch_all(&hosts, |row| Ok((row.key("key")?, row.number("host")?))).await? {
            of.entry(key).or_default().push(host);
        }
        for key in &mut keys {
            key.hosts = of.remove(&key.key).unwrap_or_default();
        }
        Ok(keys)
    }

    pub(crate) async fn put_key(&self, key: &KeyRow) -> Result<()> {
        let mut change = self.begin_change().await?;
        if let (KeyState::Allocated, Some(network)) = (key.state, key.network) {
            let mut others = Query::select();
            others.column("key").from(KEY).and_where(Expr::col("network").eq(network.int()));
            others.and_where(Expr::col("state").eq(key.state.as_str())).and_where(Expr::col("key").ne(key.key.int()));
            if change.tx.fetch_first(&others, |_| Ok(())).await?.is_some() {
                return Err(StoreError::conflict("key.network", network));
            }
        }
        change.tx.delete_key(key.key).await?;
        let number = || key.key.int().into();
        let row = vec![
            ("key", number()),
            ("state", key.state.as_str().into()),
            ("network", key.network.map(Int::int).into()),
            ("since", key.since.into()),
        ];
        change.tx.run_insert(&insert_statement(KEY, vec![row])?).await?;
        let hosts = key.with_sorted_hosts().hosts;
        for some in hosts.chunks(ROWS) {
            let rows = some.iter().map(|host| vec![("key", number()), ("host", host.int().into())]);
            change.tx.run_insert(&insert_statement(KEY_HOST, rows.collect())?).await?;
        }
        change.commit().await
    }

    pub(crate) async fn delete_key(&self, key: GreKey) -> Result<bool> {
        let mut change = self.begin_change().await?;
        let gone = change.tx.delete_key(key).await?;
        change.commit().await?;
        Ok(gone)
    }

    pub(crate) async fn lease(&self) -> Result<Option<LeaseRow>> {
        let lease = self.begin_read().await?.fetch_first(&select_lease(), lease_row).await?;
        Ok(lease.filter(|lease| lease.epoch > 0))
    }

    pub(crate) async fn take_lease(&self, leader: &str, milliseconds: u32, at_least: u64) -> Result<LeaseRow> {
        crate::rows::check_path_name("lease.leader", leader)?;
        let (mut tx, _turn) = self.change_lease().await?;
        let (now, known) = tx.lock_lease().await?;
        let lease = LeaseRow::after_request(known.as_ref(), leader, now, milliseconds, at_least)?;
        if known.as_ref() != Some(&lease) {
            tx.write_lease(&lease).await?;
        }
        tx.commit().await?;
        Ok(lease)
    }

    pub(crate) async fn living_lease(&self) -> Result<Option<LeaseRow>> {
        let mut tx = self.begin_read().await?;
        let lease = tx.fetch_first(&select_lease(), lease_row).await?;
        let now = tx.database_time().await?;
        Ok(lease.filter(|lease| lease.epoch > 0 && lease.until > now))
    }

    pub(crate) async fn release_lease(&self, leader: &str) -> Result<bool> {
        let (mut tx, _turn) = self.change_lease().await?;
        let (now, known) = tx.lock_lease().await?;
        let Some(known) = known.filter(|lease| lease.leader == leader && lease.until > now) else { return Ok(false) };
        tx.write_lease(&LeaseRow { until: now, ..known }).await?;
        tx.commit().await?;
        Ok(true)
    }
}
