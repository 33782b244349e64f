//! Settings, in SQL.
//!
//! What it does: names and texts. What it must not do: know what a setting means.

use sea_query::{Expr, ExprTrait, Query, SelectStatement};

use super::SqlStore;
use super::engine::Tx;
use super::schema;
use super::statements::{insert, update};
use crate::Result;
use crate::rows::{SETTING, keyed};

fn select() -> SelectStatement {
    Query::select().columns(["name", "value"]).from(schema::SETTING).to_owned()
}

impl Tx {
    async fn setting(&mut self, name: &str) -> Result<Option<String>> {
        self.first(select().and_where(Expr::col("name").eq(name)), |row| row.text("value")).await
    }
}

impl SqlStore {
    pub(crate) async fn settings(&self) -> Result<Vec<(String, String)>> {
        let mut all = self.read().await?.all(&select(), |row| Ok((row.text("name")?, row.text("value")?))).await?;
        all.sort();
        Ok(all)
    }

    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>> {
        self.read().await?.setting(name).await
    }

    pub(crate) async fn set_setting(&self, name: &str, value: Option<&str>) -> Result<()> {
        keyed("setting.name", name)?;
        SETTING.check_some(value)?;
        let its = || Expr::col("name").eq(name);
        let mut change = self.change().await?;
        match (change.tx.setting(name).await?, value) {
            (Some(_), Some(value)) => {
                let mut statement = update(schema::SETTING, vec![("value", value.into())]);
                change.tx.update(statement.and_where(its())).await?;
            }
            (None, Some(value)) => {
                let row = vec![("name", name.into()), ("value", value.into())];
                change.tx.insert(&insert(schema::SETTING, vec![row])?).await?;
            }
            (_, None) => {
                let mut statement = Query::delete();
                change.tx.delete(statement.from_table(schema::SETTING).and_where(its())).await?;
            }
        }
        change.commit().await
    }
}
