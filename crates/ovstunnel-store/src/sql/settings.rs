//! Settings, in SQL.
//!
//! What it does: names and texts. What it must not do: know what a setting means.

use sea_query::{Expr, ExprTrait, Query, SelectStatement};

use super::SqlStore;
use super::engine::Tx;
use super::schema;
use super::statements::{insert_statement, update_statement};
use crate::Result;
use crate::rows::{SETTING, check_path_name};

fn select_settings() -> SelectStatement {
    Query::select().columns(["name", "value"]).from(schema::SETTING).to_owned()
}

impl Tx {
    async fn find_setting(&mut self, name: &str) -> Result<Option<String>> {
        self.fetch_first(select_settings().and_where(Expr::col("name").eq(name)), |row| row.text("value")).await
    }
}

impl SqlStore {
    pub(crate) async fn settings(&self) -> Result<Vec<(String, String)>> {
        let mut all = self
            .begin_read()
            .await?
            .fetch_all(&select_settings(), |row| Ok((row.text("name")?, row.text("value")?)))
            .await?;
        all.sort();
        Ok(all)
    }

    pub(crate) async fn setting(&self, name: &str) -> Result<Option<String>> {
        self.begin_read().await?.find_setting(name).await
    }

    pub(crate) async fn set_setting(&self, name: &str, value: Option<&str>) -> Result<()> {
        check_path_name("setting.name", name)?;
        SETTING.check_some(value)?;
        let its = || Expr::col("name").eq(name);
        let mut change = self.begin_change().await?;
        match (change.tx.find_setting(name).await?, value) {
            (Some(_), Some(value)) => {
                let mut statement = update_statement(schema::SETTING, vec![("value", value.into())]);
                change.tx.run_update(statement.and_where(its())).await?;
            }
            (None, Some(value)) => {
                let row = vec![("name", name.into()), ("value", value.into())];
                change.tx.run_insert(&insert_statement(schema::SETTING, vec![row])?).await?;
            }
            (_, None) => {
                let mut statement = Query::delete();
                change.tx.run_delete(statement.from_table(schema::SETTING).and_where(its())).await?;
            }
        }
        change.commit().await
    }
}
