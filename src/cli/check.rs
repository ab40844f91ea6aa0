//! `nightdesk check`: what would fail tonight, found by day. Each line is OK, WARN or FAIL, and says what to do.

mod commands;

use super::hands::journal;
use super::{End, print_json};
use crate::config::schema::{Column, CounterMap, LimitMap, SchemaMap};
use crate::config::secret::Kept;
use crate::config::{Config, Writer};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::mirror::{Mirror, age_in_words};
use crate::domain::policy::Mode;
use crate::domain::shape::{KeyType, Shape};
use crate::domain::skew;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::gateway::application::ApplicationReport;
use crate::gateway::postgres::{DatabaseReport, MirrorReport, Privilege};
use crate::gateway::sources::Sources;
use crate::gateway::stripe::PermissionCheck;
use chrono::Utc;
use serde::Serialize;
use std::sync::Arc;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Verdict {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Line {
    verdict: Verdict,
    what: String,
    says: String,
}

#[derive(Default)]
struct Report(Vec<Line>);

/// Looks at everything that the configuration names.
///
/// # Errors
/// None of its own: what cannot be looked at is a line.
pub async fn run(config: &Arc<Config>, json: bool) -> Result<End, String> {
    let mut report = Report::default();
    report.configuration(config);
    report.journal(config).await;
    let sources = Sources::open(Arc::clone(config));
    let (database, stripe, application, logs) = tokio::join!(
        async {
            match sources.database() {
                Ok(database) => Some(database.report().await),
                Err(fault) => Some(Err(fault)),
            }
        },
        async {
            match sources.stripe() {
                Ok(stripe) => {
                    let (account, permissions, endpoints) =
                        tokio::join!(stripe.account(), stripe.permissions(), stripe.webhook_endpoints());
                    Ok((account.map(|a| (a.name, a.livemode)), permissions, endpoints, stripe.clock_ahead()))
                }
                Err(fault) => Err(fault),
            }
        },
        async {
            match sources.application() {
                Ok(application) => Ok(application.report().await),
                Err(fault) => Err(fault),
            }
        },
        async {
            match sources.logs() {
                Ok(logs) => Some(logs.look().await),
                Err(_) => None,
            }
        }
    );
    if let Some(database) = database {
        report.database(config, database);
    }
    match stripe {
        Ok((account, permissions, endpoints, ahead)) => {
            if let Some(says) = ahead.and_then(skew::says) {
                report.say(Verdict::Warn, "clock", format!("{says}: set this machine's; events are judged by Stripe's meanwhile"));
            }
            report.stripe(config, account, permissions, endpoints);
        }
        Err(fault) => report.fault("stripe", &fault),
    }
    match application {
        Ok(found) => report.application(&found),
        Err(fault) => report.fault("application", &fault),
    }
    for look in logs.into_iter().flatten() {
        let (verdict, says) = super::logs::judged(&look, Utc::now());
        report.say(verdict, "log", format!("{}: {says}", look.name));
    }
    report.commands(config, &sources).await;
    sources.close().await;
    if json {
        print_json(&report.0);
    } else {
        for line in &report.0 {
            let word = match line.verdict {
                Verdict::Ok => "OK",
                Verdict::Warn => "WARN",
                Verdict::Fail => "FAIL",
            };
            println!("{word:<5} {:<22} {}", line.what, line.says);
        }
    }
    let worst = report.0.iter().map(|l| l.verdict).max();
    Ok(if worst == Some(Verdict::Fail) { End::Badly } else { End::Well })
}

impl Report {
    fn say(&mut self, verdict: Verdict, what: &str, says: impl Into<String>) {
        self.0.push(Line { verdict, what: what.into(), says: says.into() });
    }

    fn fault(&mut self, what: &str, fault: &Fault) {
        let verdict = if fault.kind == FaultKind::NotSetUp { Verdict::Warn } else { Verdict::Fail };
        self.say(verdict, what, fault.say.clone());
    }

    fn configuration(&mut self, config: &Config) {
        let production = if config.production { "production" } else { "not production" };
        self.say(Verdict::Ok, "configuration", format!("environment {}, {production}, operator {}", config.name, config.operator));
        if config.tiers.prices.is_empty() && config.tiers.lookup_keys.is_empty() {
            let key = &config.tiers.metadata_key;
            self.say(
                Verdict::Ok,
                "tiers",
                format!("no price is mapped by id or lookup key: `{key}` in the metadata of price or product decides"),
            );
        }
        match config.webhook_secret.as_ref().map(Kept::resolve) {
            None => {}
            Some(Err(error)) => self.say(Verdict::Warn, "webhook secret", error.to_string()),
            Some(Ok(secret)) if !secret.expose().starts_with("whsec_") => {
                self.say(Verdict::Warn, "webhook secret", "it is no signing secret of Stripe's: those begin with whsec_")
            }
            Some(Ok(_)) => self.say(Verdict::Ok, "webhook secret", "a signing secret of Stripe's"),
        }
        if let (Writer::Http { .. }, None) = (&config.writer, &config.app_url) {
            self.say(Verdict::Fail, "writer", "[policy] writer = \"http\" needs app_url");
        }
        if config.production && config.subject_key.is_none() {
            self.say(
                Verdict::Warn,
                "subject key",
                "none configured: every console makes its own, and journals of several consoles cannot be compared",
            );
        }
    }

    async fn journal(&mut self, config: &Config) {
        match journal(config) {
            Ok(journal) => match journal.verify().await {
                Ok(found) if found.is_ok() => {
                    self.say(Verdict::Ok, "journal", format!("{} records, whole, in {}", found.records, journal.path().display()))
                }
                Ok(found) => {
                    let what = found.broken.map(|b| b.what).unwrap_or_default();
                    self.say(Verdict::Fail, "journal", format!("{}: {what}; keep the file and tell security", journal.path().display()));
                }
                Err(error) => self.say(Verdict::Fail, "journal", error.to_string()),
            },
            Err(why) => self.say(Verdict::Fail, "journal", why),
        }
    }

    fn database(&mut self, config: &Config, found: Result<DatabaseReport, Fault>) {
        let report = match found {
            Ok(report) => report,
            Err(fault) => return self.fault("database", &fault),
        };
        self.say(Verdict::Ok, "database", format!("PostgreSQL {}, database {}, role {}", report.version, report.database, report.role));
        if report.superuser {
            self.say(
                Verdict::Warn,
                "database role",
                format!("{} is a superuser: give the console a role of its own (nightdesk check --grants)", report.role),
            );
        }
        if report.pooler {
            self.say(Verdict::Warn, "pooler", "a pooler stands between: reads and writes work, a direct connection is better");
        }
        if report.replica {
            self.say(
                Verdict::Fail,
                "replica",
                "this is a read replica: rows may be late, nothing can be repaired here; connect to the primary",
            );
        }
        for table in &report.row_security {
            let fix = "rows may be hidden, so nothing is ever called missing; give the role BYPASSRLS or a policy that shows all rows";
            self.say(Verdict::Fail, "row-level security", format!("active on {table} for {}: {fix}", report.role));
        }
        match report.shape {
            Ok(shape) => self.shape(config, &shape),
            Err(fault) => self.fault("schema", &fault),
        }
        for m in &report.missing {
            let verdict = if m.privilege == "SELECT" { Verdict::Fail } else { Verdict::Warn };
            self.say(
                verdict,
                "privilege",
                format!(
                    "{} on {}.{} is missing: {}",
                    m.privilege,
                    m.table,
                    m.column,
                    grant(m.privilege, &[&m.column], &m.table, &quoted(&report.role))
                ),
            );
        }
        if let Some(mirror) = &report.mirror {
            self.mirror(mirror);
        }
        if !report.sees_sessions || !report.signals_sessions {
            self.say(
                Verdict::Warn,
                "session rights",
                "without pg_monitor and pg_signal_backend other roles' sessions stay closed to the console",
            );
        }
    }

    fn mirror(&mut self, found: &MirrorReport) {
        let now = Utc::now();
        let mirror = Mirror { newest: found.newest, notes: Vec::new() };
        if found.usable {
            let stale = mirror.is_stale(now);
            let age = mirror.age(now).map_or_else(|| "of an age that cannot be told".into(), |a| format!("{} old", age_in_words(a)));
            let use_of_it = if stale { "shown where Stripe is silent, and not believed" } else { "asked before Stripe about suspects" };
            self.say(if stale { Verdict::Warn } else { Verdict::Ok }, "stripe mirror", format!("schema stripe, {age}: {use_of_it}"));
        }
        for says in &found.says {
            self.say(Verdict::Warn, "stripe mirror", says.clone());
        }
    }

    fn shape(&mut self, config: &Config, shape: &Shape) {
        let profiles = if shape.profiles_in_json { "profiles in JSON" } else { "profiles in columns" };
        let times = if shape.naive_timestamps { "times without zone (read as UTC)" } else { "times with zone" };
        let key = match shape.key {
            KeyType::Uuid => "uuid keys",
            KeyType::BigInt => "bigint keys",
            KeyType::Text => "text keys",
        };
        self.say(Verdict::Ok, "schema", format!("{profiles}, {times}, {key}"));
        match (&shape.interval.month, &shape.interval.year) {
            (Some(month), Some(year)) => {
                self.say(Verdict::Ok, "interval words", format!("{month} / {year}, from {}", shape.interval.found_in))
            }
            _ => self.say(
                Verdict::Warn,
                "interval words",
                "the column's words for month and year were not found; repairs that need one are refused",
            ),
        }
        if !shape.plan_features && config.limits.is_empty() {
            self.say(
                Verdict::Warn,
                "limits",
                "no limits table, and no [limits.TIER] in the configuration: quotas are shown without limits",
            );
        }
        for reason in shape.trust.reasons() {
            self.say(Verdict::Fail, "trust", reason.clone());
        }
    }

    fn stripe(
        &mut self,
        config: &Config,
        account: Result<(String, bool), Fault>,
        permissions: Vec<PermissionCheck>,
        endpoints: Result<Vec<Endpoint>, Fault>,
    ) {
        let livemode = match account {
            Ok((name, livemode)) => {
                self.say(Verdict::Ok, "stripe", format!("account {name}, {} mode", if livemode { "live" } else { "test" }));
                Some(livemode)
            }
            Err(fault) => return self.fault("stripe", &fault),
        };
        if Mode::of(livemode, config.production) == Mode::Mixed {
            let says = if config.production {
                "a test key with a production database"
            } else {
                "a live key with a database that is not marked production"
            };
            self.say(Verdict::Fail, "mode", format!("{says}: writes stay off; set production, or use the other key"));
        }
        for check in permissions {
            if let Err(fault) = check.result {
                self.say(Verdict::Fail, "stripe permission", format!("{}: {}", check.reads, fault.say));
            }
        }
        match (endpoints, &config.webhook_url) {
            (Err(_), _) => {}
            (Ok(_), None) => {
                self.say(Verdict::Warn, "webhook URL", "not configured: it cannot be compared with what is registered at Stripe")
            }
            (Ok(all), Some(url)) => match all.iter().find(|e| e.is_for(url)) {
                Some(endpoint) if endpoint.enabled => {
                    self.say(Verdict::Ok, "webhook URL", format!("registered and enabled ({})", endpoint.id))
                }
                Some(endpoint) => {
                    self.say(Verdict::Fail, "webhook URL", format!("{} is disabled at Stripe: nothing is delivered", endpoint.id))
                }
                None => {
                    let registered: Vec<&str> = all.iter().map(|e| e.url.as_str()).collect();
                    let listed = if registered.is_empty() { "none".into() } else { registered.join(", ") };
                    self.say(Verdict::Fail, "webhook URL", format!("{url} is not registered at Stripe; registered: {listed}"));
                }
            },
        }
    }

    fn application(&mut self, found: &ApplicationReport) {
        match &found.health {
            Ok(status) if (200..300).contains(status) => self.say(Verdict::Ok, "application", "its process runs"),
            Ok(status) => self.say(Verdict::Fail, "application", format!("/health answers {status}")),
            Err(fault) => return self.fault("application", fault),
        }
        match &found.ready {
            Ok(status) if (200..300).contains(status) => {}
            Ok(404) => self.say(Verdict::Warn, "readiness", "it has no /ready: that its database works cannot be told"),
            Ok(status) => self.say(Verdict::Fail, "readiness", format!("/ready answers {status}: look at its database")),
            Err(fault) => self.fault("readiness", fault),
        }
        match &found.admin {
            Ok(()) => self.say(Verdict::Ok, "entitlements", "the admin API takes the token"),
            Err(fault) => self.fault("entitlements", fault),
        }
    }
}

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
fn grant(privilege: &str, columns: &[&str], on: &str, role: &str) -> String {
    let columns: Vec<String> = columns.iter().map(|c| quoted(c)).collect();
    let table = on.split('.').map(quoted).collect::<Vec<_>>().join(".");
    format!("GRANT {privilege} ({}) ON {table} TO {role};", columns.join(", "))
}

fn quoted(name: &str) -> String {
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
