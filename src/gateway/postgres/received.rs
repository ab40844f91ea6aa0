//! What the application itself noted of the events it was sent, where it keeps a record of them.

use super::connect::Session;
use super::fault::Trouble;
use super::found;
use crate::config::Config;
use crate::domain::At;
use crate::domain::ids::StripeId;
use crate::domain::text::clean;
use crate::domain::webhooks::judge::Received;
use sqlx::Row;

/// Its rows for those events. `None` where no record is kept: there is no table, or nothing was ever put into it.
pub async fn of(session: &mut Session, config: &Config, events: &[StripeId]) -> Result<Option<Vec<Received>>, Trouble> {
    let found = found::of(session, &config.schema).await?;
    let Some(table) = &found.event else { return Ok(None) };
    let or_null = |column: Option<String>, kind: &str| column.unwrap_or_else(|| format!("NULL::{kind}"));
    let statement = format!(
        "SELECT {} AS event, {} AS processed, {} AS processed_at FROM {} AS e WHERE {} = ANY ($1::text[])",
        table.id.text("e"),
        or_null(table.processed.as_ref().map(|c| c.flag("e")), "boolean"),
        or_null(table.processed_at.as_ref().map(|c| c.time("e")), "timestamptz"),
        table.table.sql,
        table.id.comparable("e"),
    );
    let ids: Vec<&str> = events.iter().map(StripeId::as_str).collect();
    let rows = session.sql(statement).bind(ids).fetch_all(&mut session.conn).await?;
    let mut received = Vec::with_capacity(rows.len());
    for row in &rows {
        let id: Option<String> = row.try_get("event")?;
        let Some(event) = id.and_then(|id| StripeId::parse(&clean(&id)).ok()) else { continue };
        received.push(Received {
            event,
            processed: row.try_get("processed")?,
            processed_at: row.try_get::<Option<At>, _>("processed_at")?,
        });
    }
    if received.is_empty() {
        let any = format!("SELECT 1 AS one FROM {} LIMIT 1", table.table.sql);
        if session.sql(any).fetch_optional(&mut session.conn).await?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some(received))
}
