//! The TOML file's own shape. Unknown keys are errors, and every error names its line and column.

use super::schema::SchemaMap;
use super::secret::SecretRef;
use super::{ConfigError, LogSource};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    #[serde(default)]
    pub env: BTreeMap<String, Env>,
    pub schema: Option<SchemaMap>,
    pub tiers: Option<Tiers>,
    #[serde(default)]
    pub limits: BTreeMap<String, BTreeMap<String, i64>>,
    pub access: Option<Access>,
    pub quota: Option<Quota>,
    pub policy: Option<Policy>,
    pub stripe: Option<Stripe>,
    pub pool: Option<Pool>,
    pub hooks: Option<Hooks>,
    #[serde(default)]
    pub contacts: Vec<ContactEntry>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Env {
    #[serde(default)]
    pub production: bool,
    pub operator: Option<String>,
    pub database_url: Option<SecretRef>,
    pub admin_url: Option<SecretRef>,
    pub rescue_url: Option<SecretRef>,
    pub pooler_url: Option<SecretRef>,
    pub store_url: Option<SecretRef>,
    pub stripe_key: Option<SecretRef>,
    pub stripe_write_key: Option<SecretRef>,
    pub stripe_base: Option<String>,
    pub app_url: Option<String>,
    pub webhook_url: Option<String>,
    pub webhook_secret: Option<SecretRef>,
    pub admin_token: Option<SecretRef>,
    pub subject_key: Option<SecretRef>,
    #[serde(default)]
    pub logs: Vec<LogEntry>,
}

/// One of the application's logs: a file, or a command that prints it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogEntry {
    pub file: Option<PathBuf>,
    pub command: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tiers {
    #[serde(default)]
    pub prices: BTreeMap<String, String>,
    #[serde(default)]
    pub lookup_keys: BTreeMap<String, String>,
    pub metadata_key: Option<String>,
    pub ladder: Option<Vec<String>>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    pub keeps_tier: Option<Vec<String>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub workers: Option<u8>,
    pub timeout_s: Option<u64>,
    pub watch: Option<String>,
    #[serde(default)]
    pub resets: BTreeMap<String, bool>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    pub writer: Option<String>,
    pub resync_path: Option<String>,
    #[serde(default)]
    pub signed_probe: bool,
    #[serde(default)]
    pub deliver: bool,
    pub pause_file: Option<PathBuf>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stripe {
    pub background_per_s: Option<u32>,
    pub resends_per_s: Option<u32>,
}

/// The application's own connection pools.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pool {
    pub max: Option<u32>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hooks {
    pub resync: Option<Vec<String>>,
    pub restart_app: Option<Vec<String>>,
    pub escalate: Option<Vec<String>>,
    pub deploys: Option<Vec<String>>,
    pub timeout_s: Option<u64>,
}

/// Whom to call, for which kind of trouble.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactEntry {
    pub issue: String,
    pub contact: String,
    #[serde(default)]
    pub responds: String,
}

impl LogEntry {
    /// # Errors
    /// [`ConfigError::Invalid`] where it names neither or both, or nothing.
    pub fn source(self) -> Result<LogSource, ConfigError> {
        let invalid = |why: &str| Err(ConfigError::Invalid { what: "[[env.NAME.logs]]".into(), why: why.into() });
        match (self.file, self.command) {
            (Some(file), None) if !file.as_os_str().is_empty() => Ok(LogSource::File(file)),
            (None, Some(argv)) if argv.first().is_some_and(|p| !p.is_empty()) => Ok(LogSource::Command(argv)),
            (Some(_), Some(_)) => invalid("file or command, not both: write one entry for each"),
            _ => invalid("it needs file = \"…\", or command = [\"docker\", \"logs\", \"-f\", \"…\"]"),
        }
    }
}

impl File {
    /// # Errors
    /// [`ConfigError::Unreadable`] or [`ConfigError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let shown = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|e| ConfigError::Unreadable { path: shown.clone(), why: e.to_string() })?;
        Self::parse(&text, &shown)
    }

    /// # Errors
    /// [`ConfigError::Malformed`] with line and column, counted from 1.
    pub fn parse(text: &str, shown: &str) -> Result<Self, ConfigError> {
        toml::from_str(text).map_err(|e| {
            let at = e.span().map_or(0, |s| s.start).min(text.len());
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            let why = e.message().lines().collect::<Vec<_>>().join(" ");
            ConfigError::Malformed { path: shown.into(), line, column, why }
        })
    }
}
