//! `nightdesk check`: what would fail tonight, found by day. Each line is OK, WARN or FAIL, and says what to do.

mod commands;
mod grants;

pub use grants::{ddl, grants};
use grants::{grant, quoted};

use super::hands::journal;
use super::{End, print_json};
use crate::config::secret::Kept;
use crate::config::{Config, Writer};
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::mirror::Mirror;
use crate::domain::policy::Mode;
use crate::domain::shape::{KeyType, Shape};
use crate::domain::skew;
use crate::domain::text::capitalised;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::gateway::application::ApplicationReport;
use crate::gateway::journal::store::Store;
use crate::gateway::logs::Look;
use crate::gateway::postgres::{DatabaseReport, MirrorReport};
use crate::gateway::sources::Sources;
use crate::gateway::stripe::PermissionCheck;
use chrono::Utc;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde::Serialize;
use std::sync::Arc;
use std::time::Duration;

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

/// The lines so far; where people read it, each is printed as it is known.
#[derive(Default)]
struct Report {
    lines: Vec<Line>,
    prints: bool,
}

/// What was looked at.
enum Looked {
    Database(Box<Result<DatabaseReport, Fault>>),
    Application(Result<ApplicationReport, Fault>),
    Logs(Vec<Look>),
    Commands(Report),
    Stripe(Box<Result<StripeReport, Fault>>),
}

/// What Stripe said of the key and of the endpoints.
struct StripeReport {
    /// The account's name, and whether it is live.
    account: (String, bool),
    permissions: Result<Vec<PermissionCheck>, Fault>,
    endpoints: Result<Vec<Endpoint>, Fault>,
    ahead: Option<i64>,
}

/// So long one line may be waited for.
const LIMIT: Duration = Duration::from_secs(10);

/// Looks at everything that the configuration names: at all of it at once, and what Stripe has to say comes last.
///
/// # Errors
/// None of its own: what cannot be looked at is a line.
pub async fn run(config: &Arc<Config>, json: bool) -> Result<End, String> {
    let mut report = Report { prints: !json, ..Report::default() };
    report.configuration(config);
    let sources = Sources::open(Arc::clone(config));
    let looks: [BoxFuture<Option<Looked>>; 5] = [
        Box::pin(async {
            let found = match sources.database() {
                Ok(database) => within(Source::Database, database.report()).await.and_then(|found| found),
                Err(fault) => Err(fault),
            };
            Some(Looked::Database(Box::new(found)))
        }),
        Box::pin(async {
            let found = match sources.application() {
                Ok(application) => within(Source::Application, application.report()).await,
                Err(fault) => Err(fault),
            };
            Some(Looked::Application(found))
        }),
        Box::pin(async { Some(Looked::Logs(within(Source::Log, sources.logs().ok()?.look()).await.ok()?)) }),
        Box::pin(async {
            let mut part = Report::default();
            part.commands(config, &sources).await;
            Some(Looked::Commands(part))
        }),
        Box::pin(async { Some(Looked::Stripe(Box::new(stripe(&sources).await))) }),
    ];
    report.journal(config).await;
    report.store(config).await;
    let mut looks = futures_util::stream::iter(looks).buffered(5);
    let (mut mirror, mut ahead) = (None, None);
    while let Some(looked) = looks.next().await {
        match looked {
            None => {}
            Some(Looked::Database(found)) => {
                mirror = found.as_ref().as_ref().ok().and_then(|found| found.mirror.clone());
                report.database(config, *found);
            }
            Some(Looked::Application(Ok(found))) => report.application(&found),
            Some(Looked::Application(Err(fault))) => report.fault("application", &fault),
            Some(Looked::Logs(looks)) => {
                for look in looks {
                    let (verdict, says) = super::logs::judged(&look, Utc::now());
                    // A command's failure names it already.
                    let named = if says.starts_with(&look.name) { says } else { format!("{}: {says}", look.name) };
                    report.say(verdict, "log", named);
                }
            }
            Some(Looked::Commands(part)) => part.lines.into_iter().for_each(|line| report.line(line)),
            Some(Looked::Stripe(found)) => match *found {
                Ok(found) => {
                    ahead = found.ahead;
                    report.stripe(config, found);
                }
                Err(fault) => report.fault("stripe", &fault),
            },
        }
    }
    // By Stripe's clock, where it has answered: stamps are of that.
    if let Some(mirror) = &mirror {
        report.mirror(mirror, Utc::now() + skew::correction(ahead.unwrap_or(0)));
    }
    drop(looks);
    sources.close().await;
    if json {
        print_json(&report.lines);
    }
    let worst = report.lines.iter().map(|l| l.verdict).max();
    Ok(if worst == Some(Verdict::Fail) { End::Badly } else { End::Well })
}

/// What Stripe says; one that does not answer the first question is not asked the others.
async fn stripe(sources: &Sources) -> Result<StripeReport, Fault> {
    let stripe = sources.stripe()?;
    let account = within(Source::Stripe, stripe.account()).await??;
    let (permissions, endpoints) =
        tokio::join!(within(Source::Stripe, stripe.permissions()), within(Source::Stripe, stripe.webhook_endpoints()));
    let (account, endpoints) = ((account.name, account.livemode), endpoints.and_then(|found| found));
    Ok(StripeReport { account, permissions, endpoints, ahead: stripe.clock_ahead() })
}

/// What comes of it in [`LIMIT`].
async fn within<T>(source: Source, look: impl Future<Output = T>) -> Result<T, Fault> {
    let late = |_| {
        let say = format!("{} did not answer within {} s: it is silent, or the way to it is", capitalised(source.name()), LIMIT.as_secs());
        Fault::new(source, FaultKind::Timeout, say)
    };
    tokio::time::timeout(LIMIT, look).await.map_err(late)
}

impl Report {
    fn say(&mut self, verdict: Verdict, what: &str, says: impl Into<String>) {
        self.line(Line { verdict, what: what.into(), says: says.into() });
    }

    fn line(&mut self, line: Line) {
        if self.prints {
            let word = match line.verdict {
                Verdict::Ok => "OK",
                Verdict::Warn => "WARN",
                Verdict::Fail => "FAIL",
            };
            println!("{word:<5} {:<22} {}", line.what, line.says);
        }
        self.lines.push(line);
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

    /// The shared store, where one is set up.
    async fn store(&mut self, config: &Config) {
        let listed = match Store::of(config) {
            None => return,
            Some(Ok(store)) => store.lists_runs().await,
            Some(Err(fault)) => Err(fault),
        };
        match listed {
            Ok(true) => self.say(Verdict::Ok, "store", "the shared store answers, and its schema is this program's"),
            Ok(false) => {
                let says = "the shared store is not set up, or an older program's: `nightdesk migrate` brings it up to date";
                self.say(Verdict::Warn, "store", says);
            }
            Err(fault) => self.say(Verdict::Warn, "store", fault.say),
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
        if !report.sees_sessions || !report.signals_sessions {
            self.say(
                Verdict::Warn,
                "session rights",
                "without pg_monitor and pg_signal_backend other roles' sessions stay closed to the console",
            );
        }
    }

    fn mirror(&mut self, found: &MirrorReport, now: At) {
        let mirror = Mirror { newest: found.newest, notes: Vec::new() };
        if found.usable {
            let stale = mirror.is_stale(now);
            let age = mirror.age_said(now);
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

    fn stripe(&mut self, config: &Config, found: StripeReport) {
        if let Some(says) = found.ahead.and_then(skew::says) {
            self.say(Verdict::Warn, "clock", format!("{says}: set this machine's; events are judged by Stripe's meanwhile"));
        }
        let (name, livemode) = found.account;
        self.say(Verdict::Ok, "stripe", format!("account {name}, {} mode", if livemode { "live" } else { "test" }));
        if Mode::of(Some(livemode), config.production) == Mode::Mixed {
            let says = if config.production {
                "a test key with a production database"
            } else {
                "a live key with a database that is not marked production"
            };
            self.say(Verdict::Fail, "mode", format!("{says}: writes stay off; set production, or use the other key"));
        }
        match found.permissions {
            Ok(checks) => {
                for check in checks {
                    if let Err(fault) = check.result {
                        self.say(Verdict::Fail, "stripe permission", format!("{}: {}", check.reads, fault.say));
                    }
                }
            }
            Err(fault) => self.fault("stripe permission", &fault),
        }
        match (found.endpoints, &config.webhook_url) {
            // Where the key may not, or Stripe did not answer, a line above says so.
            (Err(fault), _) if matches!(fault.kind, FaultKind::Permission { .. }) => {}
            (Err(fault), _) => self.fault("webhook URL", &fault),
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
