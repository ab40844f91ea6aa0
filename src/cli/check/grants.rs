//! What `nightdesk check` prints for the database's owner to run: grants, and the DDL for questions about limits. It runs none of it.

use crate::cli::End;
use crate::config::schema::{Column, CounterMap, LimitMap, SchemaMap};
use crate::config::{Config, Writer};
use crate::gateway::postgres::Privilege;
use crate::gateway::sources::Sources;
use std::sync::Arc;

/// Prints the least that the console's database role and Stripe key need. The database itself says what it has, where it answers;
/// else the map alone must do.
pub async fn grants(config: &Arc<Config>) {
    let sources = Sources::open(Arc::clone(config));
    let report = match sources.database() {
        Ok(database) => database.report().await.ok(),
        Err(_) => None,
    };
    sources.close().await;
    let needed = report.map(|r| {
        let mirror = r.mirror.map(|m| m.needed).unwrap_or_default();
        if r.needed.is_empty() { Vec::new() } else { r.needed.into_iter().chain(mirror).collect() }
    });
    for line in sql_grants(config, needed.unwrap_or_default()) {
        println!("{line}");
    }
    println!("\n-- Stripe: a restricted key with these permissions, read");
    for slug in READ_PERMISSIONS {
        println!("--   {slug}");
    }
    println!("\n-- Stripe: for stripe_write_key, to have events sent again, this one");
    println!("--   rak_webhook_write");
}

/// Prints the DDL for questions about limits.
///
/// # Errors
/// The database does not answer, or has nothing to watch: one sentence.
pub async fn ddl(config: &Arc<Config>) -> Result<End, String> {
    let sources = Sources::open(Arc::clone(config));
    let printed = match sources.database() {
        Ok(database) => database.quota_ddl().await,
        Err(fault) => Err(fault),
    };
    sources.close().await;
    println!("{}", printed.map_err(|f| f.say)?);
    Ok(End::Well)
}

/// What the console reads of Stripe. Payment intents, charges (their refunds with them) and disputes: to find whose a pasted one is.
const READ_PERMISSIONS: [&str; 13] = [
    "rak_account_read",
    "rak_balance_read",
    "rak_customer_read",
    "rak_subscription_read",
    "rak_plan_read",
    "rak_product_read",
    "rak_checkout_session_read",
    "rak_invoice_read",
    "rak_payment_intent_read",
    "rak_charge_read",
    "rak_dispute_read",
    "rak_event_read",
    "rak_webhook_read",
];

/// The statements for what the database said is needed, or for what the map names where it said nothing.
fn sql_grants(config: &Config, found: Vec<Privilege>) -> Vec<String> {
    let mut lines = vec![
        "CREATE ROLE nightdesk LOGIN;  -- and its password or certificate".to_string(),
        "GRANT pg_monitor, pg_signal_backend TO nightdesk;".into(),
    ];
    let map = &config.schema;
    let asked = !found.is_empty();
    let needed = if asked { found } else { mapped(map) };
    let mut schemas: Vec<&str> = needed.iter().filter_map(|p| p.table.split_once('.')).map(|(schema, _)| schema).collect();
    schemas.dedup();
    lines.extend(schemas.into_iter().map(|s| format!("GRANT USAGE ON SCHEMA {} TO nightdesk;", quoted(s))));
    if !asked {
        lines.push("-- The database did not answer; this is from the configured map alone.".into());
        let subject = &map.subject;
        let unsaid: Vec<&str> =
            [("email", &subject.email), ("name", &subject.name)].iter().filter(|(_, c)| c.is_none()).map(|(n, _)| *n).collect();
        if !unsaid.is_empty() {
            lines.push(format!("-- It does not say where {} stands. One of these:", unsaid.join(" and ")));
            for columns in [&unsaid[..], &["data"]] {
                lines.push(format!("--   {}", grant("SELECT", columns, &subject.table, "nightdesk")));
            }
        }
    }
    if config.writer != Writer::Sql {
        lines.push("-- UPDATE only to take a repair back: the configured writer is not sql.".into());
    }
    let same = |a: &Privilege, b: &Privilege| (a.privilege, &a.table) == (b.privilege, &b.table);
    for group in needed.chunk_by(same) {
        let columns: Vec<&str> = group.iter().map(|p| p.column.as_str()).collect();
        let table = &group[0].table;
        let optional = !asked && (*table == CounterMap::default().table || *table == LimitMap::default().table);
        let note = if optional { "  -- where there is such a table" } else { "" };
        lines.push(format!("{}{note}", grant(group[0].privilege, &columns, table, "nightdesk")));
    }
    lines
}

/// What the map names, by table.
fn mapped(map: &SchemaMap) -> Vec<Privilege> {
    let (s, c, l) = (&map.subscription, &map.counter, &map.limit);
    let fields = [
        &s.tier,
        &s.stripe_customer_id,
        &s.stripe_subscription_id,
        &s.status,
        &s.billing_interval,
        &s.current_period_start,
        &s.current_period_end,
        &s.cancel_at,
        &s.cancel_at_period_end,
        &s.updated_at,
    ];
    let fields: Vec<&str> = fields.into_iter().filter_map(column).collect();
    let subject = [Some(map.subject.key.as_str()), map.subject.email.as_ref().and_then(column), map.subject.name.as_ref().and_then(column)];
    let subject: Vec<&str> = subject.into_iter().flatten().chain(column(&map.subject.created_at)).collect();
    let row: Vec<&str> = std::iter::once(s.subject.as_str()).chain(fields.iter().copied()).collect();
    let counter =
        [c.subject.as_str(), &c.feature, &c.used].into_iter().chain([&c.period_start, &c.period_end].into_iter().filter_map(column));
    let written = std::iter::once(c.used.as_str()).chain([&c.period_start, &c.period_end].into_iter().filter_map(column));
    let all = [
        ("SELECT", &map.subject.table, subject),
        ("SELECT", &s.table, row),
        ("SELECT", &c.table, counter.collect()),
        ("SELECT", &l.table, vec![&l.tier, &l.feature, &l.value]),
        ("UPDATE", &s.table, fields),
        ("UPDATE", &c.table, written.collect()),
    ];
    let mut needed: Vec<Privilege> = Vec::new();
    for (privilege, table, columns) in all {
        for column in columns {
            let one = Privilege { privilege, table: table.clone(), column: column.into() };
            // Several values may stand in one document.
            if !needed.contains(&one) {
                needed.push(one);
            }
        }
    }
    needed
}

fn column(column: &Column) -> Option<&str> {
    match column {
        Column::Plain(name) | Column::Json { column: name, .. } => Some(name),
        Column::Off => None,
    }
}

/// `role` as it stands in a statement.
pub(super) fn grant(privilege: &str, columns: &[&str], on: &str, role: &str) -> String {
    let columns: Vec<String> = columns.iter().map(|c| quoted(c)).collect();
    let table = on.split('.').map(quoted).collect::<Vec<_>>().join(".");
    format!("GRANT {privilege} ({}) ON {table} TO {role};", columns.join(", "))
}

pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grants_follow_the_map_and_stay_small() {
        let given = |name: &str| (name == "APP_URL").then(|| "http://127.0.0.1:1".to_string());
        let mut config = Config::load(None, None, &given).expect("enough");
        config.schema.subscription.table = "billing.subs".into();
        config.schema.subscription.status = Column::Off;
        config.schema.subject.email = Some(Column::Json { column: "doc".into(), path: vec!["email".into()] });
        config.schema.subject.name = Some(Column::Json { column: "doc".into(), path: vec!["name".into()] });
        let sql = sql_grants(&config, Vec::new()).join("\n");
        assert!(sql.contains("GRANT SELECT (\"id\", \"doc\", \"created_at\") ON \"profiles\" TO nightdesk;"), "{sql}");
        assert!(sql.contains("GRANT UPDATE (\"tier\", \"stripe_customer_id\", \"stripe_subscription_id\", \"billing_interval\""), "{sql}");
        assert!(sql.contains("ON \"billing\".\"subs\" TO nightdesk") && sql.contains("GRANT USAGE ON SCHEMA \"billing\""), "{sql}");
        assert!(sql.contains("ON \"plan_features\" TO nightdesk;  -- where there is such a table"), "{sql}");
        assert!(!sql.contains("DELETE") && !sql.contains("status"), "{sql}");
    }
}
