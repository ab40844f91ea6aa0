//! The configuration: environments, credentials, schema map, tiers, policy. Parsed once, passed down.
//!
//! It comes from a TOML file, from the environment variables that the sandbox prints, or from both: [`variables`] says which of them
//! may fill what the file leaves out. Every error is one sentence with its place and what to do.

pub mod file;
pub mod place;
pub mod schema;
pub mod secret;
mod variables;

use crate::domain::stripe::Status;
use crate::domain::tiers::TierRules;
use file::{Env, File};
use schema::SchemaMap;
use secret::{Credential, Kept, SecretRef};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;
use variables::Variables;

/// One environment, ready to connect to. Credentials are types that cannot be printed.
#[derive(Debug, Clone)]
pub struct Config {
    /// The environment's name: `prod`, `sandbox`, or `env` when only variables are set.
    pub name: String,
    /// Nobody named it: which database it is about, as [`place`] tells it. `None` where it has a name, or no database.
    pub unnamed: Option<String>,
    pub production: bool,
    pub operator: String,
    pub database_url: Option<Credential>,
    /// Only `nightdesk migrate` fetches it: who has not got it can do everything else.
    pub admin_url: Option<SecretRef>,
    pub rescue_url: Option<Credential>,
    /// The pooler's admin console.
    pub pooler_url: Option<Credential>,
    pub store_url: Option<Credential>,
    pub stripe_key: Option<Credential>,
    /// Fetched when writes are turned on; without one `stripe_key` writes too.
    pub stripe_write_key: Option<Kept>,
    /// Without a trailing slash.
    pub stripe_base: String,
    pub app_url: Option<String>,
    pub webhook_url: Option<String>,
    /// Fetched for what is signed with it: a probe that policy allows, a delivery of ours.
    pub webhook_secret: Option<Kept>,
    pub admin_token: Option<Credential>,
    /// One secret for all consoles of the environment, from which subjects get their keyed hashes in the journal.
    pub subject_key: Option<Credential>,
    pub sandbox_url: Option<String>,
    pub schema: SchemaMap,
    pub tiers: TierRules,
    /// Tier → feature → value, where the database has no limits table.
    pub limits: BTreeMap<String, BTreeMap<String, i64>>,
    pub quota: Quota,
    pub writer: Writer,
    pub policy: Policy,
    pub hooks: Hooks,
    /// While this file is there, bulk work stands still.
    pub pause_file: Option<PathBuf>,
    /// Stripe reads per second in the background.
    pub stripe_background_per_s: u32,
    /// Events that Stripe is asked to send again, per second.
    pub stripe_resends_per_s: u32,
    /// Connections that one of the application's pools opens at most.
    pub pool_max: Option<u32>,
    pub contacts: Vec<file::ContactEntry>,
    /// Where the application's log lines are read.
    pub logs: Vec<LogSource>,
}

/// Where log lines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogSource {
    File(PathBuf),
    /// This argv, never a shell line; what it prints, standard error too.
    Command(Vec<String>),
}

/// How use is read, and what is known about features.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// So many helpers the server may give one of our scans.
    pub workers: u8,
    /// A scan of all counters may take so long on the server.
    pub limit: Duration,
    /// The table that the database's owner keeps of counters near their limit.
    pub watch: String,
    /// Whether a feature resets with its period, where that is to be said here.
    pub resets: BTreeMap<String, bool>,
}

/// What the operator's organisation lets the console do beyond its defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Policy {
    /// A probe may send events that nobody handles, signed with the real secret.
    pub signed_probe: bool,
    /// Stored events may be delivered to the webhook endpoint by us.
    pub deliver: bool,
}

/// Configured commands: argv, never a shell line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hooks {
    /// Restarts the application.
    pub restart_app: Option<Vec<String>>,
    /// Calls somebody: the message comes on its standard input, `{contact}` in an argument is whom it is for.
    pub escalate: Option<Vec<String>>,
    /// Prints what was deployed.
    pub deploys: Option<Vec<String>>,
    /// How long the outcome of a hook that changes something is waited for.
    pub limit: Duration,
}

/// How repairs of the subscription row are written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Writer {
    /// Compare-and-set on the row.
    Sql,
    /// `POST` to this path of the application; `{subject}` and `{customer}` are replaced.
    Http { path: String },
    /// This argv, `{subject}` and `{customer}` replaced in each argument; never a shell line.
    /// After `limit` its outcome is unknown, and read back.
    Command { argv: Vec<String>, limit: Duration },
}

/// Why there is no configuration to work with: one sentence, with the place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("{path}: {why}")]
    Unreadable { path: String, why: String },
    #[error("{path}:{line}:{column}: {why}")]
    Malformed { path: String, line: usize, column: usize, why: String },
    #[error("{path}: no environment named `{wanted}`; it has {}", list(.known))]
    NoSuchEnvironment { path: String, wanted: String, known: Vec<String> },
    #[error("{path}: several environments ({}); choose one with --env", list(.known))]
    WhichEnvironment { path: String, known: Vec<String> },
    #[error("{what}: {why}")]
    Secret { what: String, why: String },
    #[error("{what}: {why}")]
    Invalid { what: String, why: String },
    #[error(
        "nothing to connect to: set DATABASE_URL, or write a configuration file and name it with --config; `nightdesk sandbox` needs neither"
    )]
    Nothing,
    #[error(
        "[env.{name}] is marked production and names nothing to connect to: no variable fills it; write database_url = {{ env = \"DATABASE_URL\" }}, and stripe_key and app_url likewise"
    )]
    NothingNamed { name: String },
}

/// Stripe's own address, where no other is configured.
pub const STRIPE_BASE: &str = "https://api.stripe.com";

impl Config {
    /// Reads the file, if there is one, chooses the environment, and fills what is left from `variables`.
    ///
    /// # Errors
    /// [`ConfigError`], each a sentence with its place.
    pub fn load(path: Option<&Path>, wanted: Option<&str>, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let (file, shown) = match path {
            Some(path) => (File::read(path)?, path.display().to_string()),
            None => (File::default(), "the environment".to_string()),
        };
        let (name, env) = choose(&file, wanted, &shown)?;
        let config = Self::assemble(name, env, file, variables)?;
        if config.database_url.is_none() && config.stripe_key.is_none() && config.app_url.is_none() {
            return Err(if config.production { ConfigError::NothingNamed { name: config.name } } else { ConfigError::Nothing });
        }
        Ok(config)
    }

    /// The end of a sentence that asks for a key of the file: that this variable would do as well, where it would.
    #[must_use]
    pub fn or_variable(&self, name: &str) -> String {
        if self.production { String::new() } else { format!(", or {name}") }
    }

    fn assemble(name: String, env: Env, file: File, variables: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let filling = Variables::beside(&env, variables);
        let credential = |what: &str, given: Option<SecretRef>, variable: Option<String>| -> Result<Option<Credential>, ConfigError> {
            match given {
                Some(secret) => secret.resolve(what, variables).map(Some),
                None => Ok(variable.map(Credential::new)),
            }
        };
        // Fetched by the one who needs it, so that nobody else has to be able to.
        let kept = |what: &str, given: Option<SecretRef>| -> Result<Option<SecretRef>, ConfigError> {
            given.as_ref().map_or(Ok(()), |secret| secret.allowed(what)).map(|()| given)
        };
        let held = |what: &'static str, given: Option<SecretRef>| -> Result<Option<Kept>, ConfigError> {
            Ok(kept(what, given)?.map(|from| Kept::new(what, from, variables)))
        };
        let in_variable = |name: &str, set: Option<String>| set.map(|_| SecretRef::Env { env: name.into() });
        let named = !file.env.is_empty();
        let mut tiers = TierRules::default();
        if let Some(t) = file.tiers {
            tiers.prices = t.prices;
            tiers.lookup_keys = t.lookup_keys;
            tiers.metadata_key = t.metadata_key.unwrap_or(tiers.metadata_key);
            tiers.ladder = t.ladder.unwrap_or(tiers.ladder);
            if tiers.ladder.is_empty() {
                return Err(ConfigError::Invalid {
                    what: "[tiers] ladder".into(),
                    why: "it needs at least the tier of those who pay nothing".into(),
                });
            }
        }
        if let Some(words) = file.access.and_then(|a| a.keeps_tier) {
            tiers.keeps_tier = words.into_iter().map(Status::from).collect();
        }
        let (hooks, resync) = hooks(file.hooks.unwrap_or_default())?;
        let rules = file.policy.unwrap_or_default();
        let policy = Policy { signed_probe: rules.signed_probe, deliver: rules.deliver };
        let pause_file = rules.pause_file.clone();
        let writer = writer(rules, resync, hooks.limit)?;
        let stripe = file.stripe.unwrap_or_default();
        let mut logs = env.logs.into_iter().map(file::LogEntry::source).collect::<Result<Vec<_>, _>>()?;
        if logs.is_empty() {
            logs.extend(filling.application("APP_LOG").map(|path| LogSource::File(path.into())));
        }
        // Whose hands these are is said by the shell that they are in, in production too.
        let somebody = |name: &str| variables(name).filter(|v| !v.is_empty());
        let operator = env.operator.filter(|who| !who.is_empty());
        let operator = operator.or_else(|| somebody("NIGHTDESK_OPERATOR")).or_else(|| somebody("USER")).or_else(|| somebody("LOGNAME"));
        let pool_max = match file.pool.unwrap_or_default().max {
            Some(max) if !(1..=10_000).contains(&max) => {
                return Err(ConfigError::Invalid { what: "[pool] max".into(), why: format!("{max} is not within 1 and 10000") });
            }
            max => max,
        };
        let database_url = credential("database_url", env.database_url, filling.database("DATABASE_URL"))?;
        let stripe_key = credential("stripe_key", env.stripe_key, filling.stripe("STRIPE_SECRET_KEY"))?;
        let stripe_base = stripe_base(env.stripe_base, filling.stripe("STRIPE_API_BASE"), stripe_key.as_ref())?;
        let address = |given: Option<String>, variable: Option<String>| given.filter(|v| !v.is_empty()).or(variable);
        let app_url = address(env.app_url, filling.application("APP_URL"));
        let webhook_url = address(env.webhook_url, filling.application("APP_WEBHOOK_URL"));
        let admin_url = env.admin_url.or_else(|| in_variable("ADMIN_DATABASE_URL", filling.database("ADMIN_DATABASE_URL")));
        let signing = env.webhook_secret.or_else(|| in_variable("STRIPE_WEBHOOK_SECRET", filling.application("STRIPE_WEBHOOK_SECRET")));
        Ok(Self {
            production: env.production,
            operator: operator.unwrap_or_else(|| "operator".into()),
            unnamed: database_url.as_ref().filter(|_| !named).and_then(|url| place::of(url.expose())),
            database_url,
            admin_url: kept("admin_url", admin_url)?,
            rescue_url: credential("rescue_url", env.rescue_url, None)?,
            pooler_url: credential("pooler_url", env.pooler_url, None)?,
            store_url: credential("store_url", env.store_url, None)?,
            stripe_key,
            stripe_write_key: held("stripe_write_key", env.stripe_write_key)?,
            stripe_base,
            app_url: url("app_url", app_url)?,
            webhook_url: url("webhook_url", webhook_url)?,
            webhook_secret: held("webhook_secret", signing)?,
            admin_token: credential("admin_token", env.admin_token, filling.application("APP_ADMIN_TOKEN"))?,
            subject_key: credential("subject_key", env.subject_key, None)?,
            sandbox_url: filling.sandbox("NIGHTDESK_SANDBOX_URL")?,
            schema: file.schema.unwrap_or_default(),
            tiers,
            limits: file.limits,
            quota: quota(file.quota.unwrap_or_default())?,
            writer,
            policy,
            hooks,
            stripe_background_per_s: stripe.background_per_s.unwrap_or(5).max(1),
            stripe_resends_per_s: stripe.resends_per_s.unwrap_or(2).max(1),
            pool_max,
            pause_file,
            contacts: file.contacts,
            logs,
            name,
        })
    }
}

fn url(what: &str, text: Option<String>) -> Result<Option<String>, ConfigError> {
    match text {
        Some(t) if !t.starts_with("http://") && !t.starts_with("https://") => {
            let why = format!("`{t}` is not a URL: it must begin with http:// or https://");
            Err(ConfigError::Invalid { what: what.into(), why })
        }
        other => Ok(other.map(|t| t.trim_end_matches('/').to_string())),
    }
}

/// Where Stripe is asked: at the file's address, the variable's, or its own. A live key goes nowhere in the clear.
fn stripe_base(given: Option<String>, variable: Option<String>, key: Option<&Credential>) -> Result<String, ConfigError> {
    let given = given.filter(|b| !b.is_empty());
    let from = if given.is_none() && variable.is_some() { "STRIPE_API_BASE" } else { "stripe_base" };
    let base = url(from, given.or(variable))?.unwrap_or_else(|| STRIPE_BASE.into());
    if key.and_then(Credential::claims_livemode) == Some(true) && !base.starts_with("https://") {
        let why = format!("`{base}` is not https, and the Stripe key is a live one: give a test key, or leave the address out");
        return Err(ConfigError::Invalid { what: from.into(), why });
    }
    Ok(base)
}

fn quota(given: file::Quota) -> Result<Quota, ConfigError> {
    let invalid = |key: &str, why: String| ConfigError::Invalid { what: format!("[quota] {key}"), why };
    let seconds = given.timeout_s.unwrap_or(10);
    if !(1..=120).contains(&seconds) {
        return Err(invalid("timeout_s", format!("{seconds} is not within 1 and 120")));
    }
    let workers = given.workers.unwrap_or(0);
    if workers > 16 {
        return Err(invalid("workers", format!("{workers} is more than 16")));
    }
    let watch = given.watch.unwrap_or_else(|| "quota_watch".into());
    if watch.trim().is_empty() {
        return Err(invalid("watch", "name the table, or leave the line out".into()));
    }
    Ok(Quota { workers, limit: Duration::from_secs(seconds), watch, resets: given.resets })
}

/// The hooks that are known by name, and the one that a writer may be.
fn hooks(given: file::Hooks) -> Result<(Hooks, Option<Vec<String>>), ConfigError> {
    let limit = match given.timeout_s.unwrap_or(60) {
        seconds @ 1..=600 => Duration::from_secs(seconds),
        other => {
            return Err(ConfigError::Invalid { what: "[hooks] timeout_s".into(), why: format!("{other} is not within 1 and 600") });
        }
    };
    let argv = |name: &str, argv: Option<Vec<String>>| match argv {
        Some(argv) if argv.first().is_none_or(|program| program.trim().is_empty()) => Err(ConfigError::Invalid {
            what: format!("[hooks] {name}"),
            why: "it is empty: give the program and its arguments, each a text of its own".into(),
        }),
        argv => Ok(argv),
    };
    let known = Hooks {
        restart_app: argv("restart_app", given.restart_app)?,
        escalate: argv("escalate", given.escalate)?,
        deploys: argv("deploys", given.deploys)?,
        limit,
    };
    Ok((known, argv("resync", given.resync)?))
}

fn writer(rules: file::Policy, resync: Option<Vec<String>>, limit: Duration) -> Result<Writer, ConfigError> {
    let invalid = |why: String| ConfigError::Invalid { what: "[policy] writer".into(), why };
    match rules.writer.as_deref() {
        None | Some("sql") => Ok(Writer::Sql),
        Some("http") => {
            let missing = || invalid("`http` needs resync_path, the application's path that brings one subject in line with Stripe".into());
            Ok(Writer::Http { path: rules.resync_path.ok_or_else(missing)? })
        }
        Some("command") => {
            let missing = || invalid("`command` needs [hooks] resync, the argv that brings one subject in line with Stripe".into());
            Ok(Writer::Command { argv: resync.ok_or_else(missing)?, limit })
        }
        Some(other) => Err(invalid(format!("`{other}` is none of sql, http, command"))),
    }
}

/// The one environment, or the one that was asked for.
fn choose(file: &File, wanted: Option<&str>, shown: &str) -> Result<(String, Env), ConfigError> {
    let known: Vec<String> = file.env.keys().cloned().collect();
    match (wanted, known.as_slice()) {
        (Some(name), _) => match file.env.get(name) {
            Some(env) => Ok((name.to_string(), env.clone())),
            None => Err(ConfigError::NoSuchEnvironment { path: shown.into(), wanted: name.into(), known }),
        },
        (None, []) => Ok(("env".into(), Env::default())),
        (None, [one]) => Ok((one.clone(), file.env[one].clone())),
        (None, _) => Err(ConfigError::WhichEnvironment { path: shown.into(), known }),
    }
}

fn list(names: &[String]) -> String {
    if names.is_empty() { "none".into() } else { names.join(", ") }
}

#[cfg(test)]
mod tests;
