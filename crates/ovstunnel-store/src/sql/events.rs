//! Events, in SQL.
//!
//! What it does: adds them, pages through them, removes old ones. What it must not do: change one.

use sea_query::{Expr, ExprTrait, Order, Query, SelectStatement};

use super::SqlStore;
use super::engine::Row;
use super::schema::EVENT;
use super::statements::{Fields, Int, ROWS, insert_statement};
use crate::{EventFilter, EventPage, EventRow, NewEvent, PAGE_MAX, Result};

/// Most events that are removed in one transaction.
const PURGED: u64 = 5000;

fn select_events(filter: &EventFilter) -> SelectStatement {
    let columns = ["id", "at", "kind", "host", "network", "actor", "request_id", "before", "after", "text"];
    let mut select = Query::select();
    select.columns(columns).from(EVENT).order_by("id", Order::Desc);
    let same = [("kind", &filter.kind), ("host", &filter.host), ("network", &filter.network), ("actor", &filter.actor)];
    for (column, wanted) in same {
        if let Some(wanted) = wanted {
            select.and_where(Expr::col(column).eq(wanted.as_str()));
        }
    }
    if let Some(since) = filter.since {
        select.and_where(Expr::col("at").gte(since));
    }
    if let Some(until) = filter.until {
        select.and_where(Expr::col("at").lt(until));
    }
    select
}

fn event_row(row: Row<'_>) -> Result<EventRow> {
    let event = NewEvent {
        at: row.int("at")?,
        kind: row.text("kind")?,
        host: row.maybe_text("host")?,
        network: row.maybe_text("network")?,
        actor: row.maybe_text("actor")?,
        request_id: row.maybe_text("request_id")?,
        before: row.maybe_text("before")?,
        after: row.maybe_text("after")?,
        text: row.text("text")?,
    };
    Ok(EventRow { id: row.count("id")?, event })
}

fn event_fields(id: u64, event: &NewEvent) -> Fields {
    let NewEvent { at, kind, host, network, actor, request_id, before, after, text } = event.clone();
    vec![
        ("id", id.int().into()),
        ("at", at.into()),
        ("kind", kind.into()),
        ("host", host.into()),
        ("network", network.into()),
        ("actor", actor.into()),
        ("request_id", request_id.into()),
        ("before", before.into()),
        ("after", after.into()),
        ("text", text.into()),
    ]
}

impl SqlStore {
    /// Numbers are given out in the transaction that adds the events: with those of an engine an event could become visible after
    /// one with a higher number, and a reader with a cursor would miss it.
    pub(crate) async fn append_events(&self, events: &[NewEvent]) -> Result<Vec<u64>> {
        events.iter().try_for_each(NewEvent::check_fields)?;
        if events.is_empty() {
            return Ok(vec![]);
        }
        let mut change = self.begin_change().await?;
        let first = change.tx.next_numbers("event", events.len() as u64).await?;
        let numbered: Vec<(u64, &NewEvent)> = (first..).zip(events).collect();
        for some in numbered.chunks(ROWS) {
            let rows = some.iter().map(|(id, event)| event_fields(*id, event)).collect();
            change.tx.run_insert(&insert_statement(EVENT, rows)?).await?;
        }
        change.commit().await?;
        Ok(numbered.into_iter().map(|(id, _)| id).collect())
    }

    pub(crate) async fn events(&self, filter: &EventFilter, cursor: Option<u64>, limit: u32) -> Result<EventPage> {
        let limit = limit.clamp(1, PAGE_MAX);
        let mut select = select_events(filter);
        select.limit(u64::from(limit) + 1);
        if let Some(cursor) = cursor {
            select.and_where(Expr::col("id").lt(cursor.int()));
        }
        let rows = self.begin_read().await?.fetch_all(&select, event_row).await?;
        Ok(EventPage::cut_page(rows, limit as usize))
    }

    pub(crate) async fn purge_events(&self, older_than: i64) -> Result<u64> {
        let mut old = Query::select();
        old.column("id").from(EVENT).and_where(Expr::col("at").lt(older_than)).order_by("at", Order::Asc);
        self.remove_events(old).await
    }

    /// By their numbers, which have no gap but where one was removed before.
    pub(crate) async fn cut_events(&self, most: u64) -> Result<u64> {
        let mut newest = Query::select();
        newest.column("id").from(EVENT).order_by("id", Order::Desc).limit(1);
        let newest =
            self.begin_read().await?.fetch_all(&newest, |row| row.count("id")).await?.pop().unwrap_or_default();
        let mut old = Query::select();
        old.column("id").from(EVENT).and_where(Expr::col("id").lte(newest.saturating_sub(most).int()));
        old.order_by("id", Order::Asc);
        self.remove_events(old).await
    }

    /// Those with these numbers, in portions, so that others have their turn in between.
    async fn remove_events(&self, mut old: SelectStatement) -> Result<u64> {
        old.limit(PURGED);
        let mut gone = 0;
        loop {
            let mut change = self.begin_change().await?;
            let ids = change.tx.fetch_all(&old, |row| row.count("id")).await?;
            for some in ids.chunks(ROWS) {
                let mut statement = Query::delete();
                statement.from_table(EVENT).and_where(Expr::col("id").is_in(some.iter().map(|id| id.int())));
                gone += change.tx.run_delete(&statement).await?;
            }
            change.commit().await?;
            if (ids.len() as u64) < PURGED {
                return Ok(gone);
            }
        }
    }
}
