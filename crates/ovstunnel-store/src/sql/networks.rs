//! Physical networks and networks, in SQL.
//!
//! What it does: their calls. What it must not do: know a tunnel but to remove it with its network.

use ovstunnel_types::{Ipv6Policy, NetworkNumber};
use sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};

use super::SqlStore;
use super::act::{nic_row, nics_of};
use super::engine::{Row, Tx};
use super::schema::{NETWORK, PHYSICAL_NETWORK, TUNNEL};
use super::statements::{Fields, Int, insert_statement, update_statement};
use crate::{NetworkRow, NewNetwork, NewPhysicalNetwork, PhysicalNetworkRow, Result, StoreError};

fn select_physical() -> SelectStatement {
    let columns = ["name", "isolation", "vnet", "label", "label_xen", "label_kvm"];
    Query::select().columns(columns).from(PHYSICAL_NETWORK).to_owned()
}

fn physical_row(row: Row<'_>) -> Result<PhysicalNetworkRow> {
    Ok(PhysicalNetworkRow {
        name: row.text("name")?,
        isolation: row.parsed_text("isolation")?,
        vnet: row.text("vnet")?,
        label: row.maybe_text("label")?,
        label_xen: row.maybe_text("label_xen")?,
        label_kvm: row.maybe_text("label_kvm")?,
    })
}

fn physical_fields(row: &PhysicalNetworkRow) -> Fields {
    vec![
        ("name", row.name.clone().into()),
        ("isolation", row.isolation.as_str().into()),
        ("vnet", row.vnet.clone().into()),
        ("label", row.label.clone().into()),
        ("label_xen", row.label_xen.clone().into()),
        ("label_kvm", row.label_kvm.clone().into()),
    ]
}

fn select_networks() -> SelectStatement {
    let columns = ["number", "name", "physical_network", "key", "ipv6", "mtu", "created"];
    Query::select().columns(columns).from(NETWORK).order_by("number", Order::Asc).to_owned()
}

fn network_row(row: Row<'_>) -> Result<NetworkRow> {
    let policies = [Ipv6Policy::Drop, Ipv6Policy::Allow];
    let policy = |word: String| {
        let known = policies.into_iter().find(|policy| policy.as_str() == word);
        known.ok_or_else(|| StoreError::corrupt(NETWORK, "ipv6", word))
    };
    let mtu = |mtu: i64| u32::try_from(mtu).map_err(|_| StoreError::corrupt(NETWORK, "mtu", mtu));
    Ok(NetworkRow {
        number: row.number("number")?,
        name: row.text("name")?,
        physical_network: row.text("physical_network")?,
        key: row.maybe_key("key")?,
        ipv6: row.maybe_text("ipv6")?.map(policy).transpose()?,
        mtu: row.maybe_int("mtu")?.map(mtu).transpose()?,
        created: row.int("created")?,
    })
}

fn network_fields(row: &NetworkRow) -> Fields {
    vec![
        ("number", row.number.int().into()),
        ("name", row.name.clone().into()),
        ("physical_network", row.physical_network.clone().into()),
        ("key", row.key.map(Int::int).into()),
        ("ipv6", row.ipv6.map(|policy| policy.as_str().to_owned()).into()),
        ("mtu", row.mtu.map(i64::from).into()),
        ("created", row.created.into()),
    ]
}

impl Tx {
    async fn find_physical(&mut self, name: &str) -> Result<Option<PhysicalNetworkRow>> {
        self.fetch_first(select_physical().and_where(Expr::col("name").eq(name)), physical_row).await
    }

    async fn find_network(&mut self, name: &str) -> Result<Option<NetworkRow>> {
        self.fetch_first(select_networks().and_where(Expr::col("name").eq(name)), network_row).await
    }

    pub(crate) async fn has_network(&mut self, number: NetworkNumber) -> Result<bool> {
        let found =
            self.fetch_first(select_networks().and_where(Expr::col("number").eq(number.int())), |_| Ok(())).await?;
        Ok(found.is_some())
    }

    async fn new_network(&mut self, network: &NewNetwork) -> Result<NetworkRow> {
        let number = match network.number {
            Some(number) if self.has_network(number).await? => {
                return Err(StoreError::conflict("network.number", number));
            }
            Some(number) => number,
            None => {
                let next = self.give_free("network", NETWORK).await?;
                next.try_into().map_err(|_| StoreError::conflict("network.number", next))?
            }
        };
        let row = network.to_row(number, network.created);
        self.run_insert(&insert_statement(NETWORK, vec![network_fields(&row)])?).await?;
        Ok(row)
    }

    /// Whether what a network refers to is there, and its key is free.
    async fn check_network(&mut self, network: &NewNetwork) -> Result<()> {
        if self.find_physical(&network.physical_network).await?.is_none() {
            return Err(StoreError::not_found("physical network", &network.physical_network));
        }
        let Some(key) = network.key else { return Ok(()) };
        let mut others = select_networks();
        others.and_where(Expr::col("key").eq(key.int())).and_where(Expr::col("name").ne(network.name.as_str()));
        match self.fetch_first(&others, |_| Ok(())).await? {
            Some(()) => Err(StoreError::conflict("network.key", key)),
            None => Ok(()),
        }
    }
}

impl SqlStore {
    pub(crate) async fn physical_networks(&self) -> Result<Vec<PhysicalNetworkRow>> {
        let mut rows = self.begin_read().await?.fetch_all(&select_physical(), physical_row).await?;
        // Engines differ in the order of texts.
        rows.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(rows)
    }

    pub(crate) async fn put_physical_network(&self, network: &NewPhysicalNetwork) -> Result<()> {
        network.check_fields()?;
        let mut change = self.begin_change().await?;
        match change.tx.find_physical(&network.name).await? {
            Some(_) => {
                let mut statement = update_statement(PHYSICAL_NETWORK, physical_fields(network));
                change.tx.run_update(statement.and_where(Expr::col("name").eq(network.name.as_str()))).await?;
            }
            None => {
                change.tx.run_insert(&insert_statement(PHYSICAL_NETWORK, vec![physical_fields(network)])?).await?;
            }
        }
        change.commit().await
    }

    pub(crate) async fn delete_physical_network(&self, name: &str) -> Result<bool> {
        let mut change = self.begin_change().await?;
        let mut users = select_networks();
        users.and_where(Expr::col("physical_network").eq(name)).limit(1);
        if let Some(network) = change.tx.fetch_first(&users, network_row).await? {
            let by = format!("network {:?}", network.name);
            return Err(StoreError::InUse { what: "physical network", name: name.to_owned(), by });
        }
        let mut statement = Query::delete();
        statement.from_table(PHYSICAL_NETWORK).and_where(Expr::col("name").eq(name));
        let gone = change.tx.run_delete(&statement).await? > 0;
        change.commit().await?;
        Ok(gone)
    }

    pub(crate) async fn networks(&self) -> Result<Vec<NetworkRow>> {
        self.begin_read().await?.fetch_all(&select_networks(), network_row).await
    }

    pub(crate) async fn network(&self, name: &str) -> Result<Option<NetworkRow>> {
        self.begin_read().await?.find_network(name).await
    }

    pub(crate) async fn put_network(&self, network: &NewNetwork) -> Result<NetworkRow> {
        network.check_fields()?;
        let mut change = self.begin_change().await?;
        change.tx.check_network(network).await?;
        let row = match change.tx.find_network(&network.name).await? {
            Some(known) => {
                let row = network.merged_over(&known)?;
                let mut statement = update_statement(NETWORK, network_fields(&row));
                change.tx.run_update(statement.and_where(Expr::col("number").eq(row.number.int()))).await?;
                row
            }
            None => change.tx.new_network(network).await?,
        };
        change.commit().await?;
        Ok(row)
    }

    pub(crate) async fn delete_network(&self, name: &str) -> Result<bool> {
        let mut change = self.begin_change().await?;
        let Some(network) = change.tx.find_network(name).await? else { return Ok(false) };
        if let Some(nic) = change.tx.fetch_first(nics_of(network.number).limit(1), nic_row).await? {
            return Err(StoreError::InUse { what: "network", name: name.to_owned(), by: nic.describe_nic() });
        }
        for (table, column) in [(TUNNEL, "network_id"), (NETWORK, "number")] {
            let mut statement = Query::delete();
            statement.from_table(table).and_where(Expr::col(column).eq(network.number.int()));
            change.tx.run_delete(&statement).await?;
        }
        change.commit().await?;
        Ok(true)
    }
}
