//! Credentials: where they come from, and a type that cannot be printed.

use super::ConfigError;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// A resolved credential. `Debug` shows nothing of it; whoever sends it says so with [`Credential::expose`].
#[derive(Debug, Clone)]
pub struct Credential(SecretString);

/// Where a credential is kept. Its text stands in no file of ours.
#[derive(Clone, Deserialize)]
#[serde(untagged)]
pub enum SecretRef {
    Env {
        env: String,
    },
    File {
        file: PathBuf,
    },
    /// argv, never a shell line; its standard output, trimmed.
    Command {
        command: Vec<String>,
    },
    /// Only for addresses that hold no password.
    Plain(String),
}

/// A credential that is fetched where it is needed, and not before: whoever has not got it can do everything else.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Its key in the file.
    pub what: &'static str,
    pub from: SecretRef,
    /// What the variable holds, where it is kept in one: the variables are not asked again.
    variable: Option<Credential>,
}

impl Kept {
    #[must_use]
    pub fn new(what: &'static str, from: SecretRef, variables: &dyn Fn(&str) -> Option<String>) -> Self {
        let named = if let SecretRef::Env { env } = &from { variables(env) } else { None };
        Self { what, from, variable: named.map(Credential::new) }
    }

    /// Fetches it; a command may ask the operator in the terminal. Only where there is no screen.
    ///
    /// # Errors
    /// As [`SecretRef::resolve`].
    pub fn resolve(&self) -> Result<Credential, ConfigError> {
        self.from.resolve(self.what, &|_| self.variable.as_ref().map(|v| v.expose().to_string()))
    }
}

impl Credential {
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(SecretString::from(text))
    }

    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The mode that a Stripe key's own prefix claims (`true`: live); `None` for a key of no known kind.
    #[must_use]
    pub fn claims_livemode(&self) -> Option<bool> {
        let kind = ["sk_", "rk_"].iter().find_map(|p| self.expose().trim_start().strip_prefix(p))?;
        if kind.starts_with("live_") { Some(true) } else { kind.starts_with("test_").then_some(false) }
    }
}

impl std::fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretRef::Env { env } => write!(f, "env {env}"),
            SecretRef::File { file } => write!(f, "file {}", file.display()),
            SecretRef::Command { command } => write!(f, "command {}", command.first().map_or("", String::as_str)),
            SecretRef::Plain(_) => f.write_str("plain text"),
        }
    }
}

impl SecretRef {
    /// Whether it may stand in the file: known without fetching anything.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] for a secret written out.
    pub fn allowed(&self, what: &str) -> Result<(), ConfigError> {
        let SecretRef::Plain(text) = self else { return Ok(()) };
        let is_url = text.starts_with("postgres://") || text.starts_with("postgresql://");
        let has_password = text.split_once("://").and_then(|(_, r)| r.split_once('@')).is_some_and(|(user, _)| user.contains(':'));
        if is_url && !has_password {
            return Ok(());
        }
        let why = "a secret does not stand in this file; use { env = \"NAME\" }, { file = \"path\" } or { command = [\"…\"] }";
        Err(ConfigError::Secret { what: what.into(), why: why.into() })
    }

    /// Fetches the credential. `what` is its key in the file, for the error.
    ///
    /// # Errors
    /// [`ConfigError::Secret`] when the variable is not set, the file cannot be read, the command fails or answers nothing.
    pub fn resolve(&self, what: &str, variables: &dyn Fn(&str) -> Option<String>) -> Result<Credential, ConfigError> {
        let fail = |why: String| ConfigError::Secret { what: what.into(), why };
        let text = match self {
            SecretRef::Env { env } => variables(env).ok_or_else(|| fail(format!("the environment variable {env} is not set")))?,
            SecretRef::File { file } => std::fs::read_to_string(file).map_err(|e| fail(format!("{}: {e}", file.display())))?,
            SecretRef::Command { command } => run(command).map_err(fail)?,
            SecretRef::Plain(text) => {
                self.allowed(what)?;
                text.clone()
            }
        };
        let text = text.trim();
        if text.is_empty() { Err(fail("it is empty".into())) } else { Ok(Credential::new(text.to_string())) }
    }
}

/// The command's standard output. Its standard error goes to the operator's: a password manager may ask there.
fn run(argv: &[String]) -> Result<String, String> {
    let Some((program, arguments)) = argv.split_first() else { return Err("the command is empty".into()) };
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::inherit())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|e| format!("{program} could not be run: {e}"))?;
    if !output.status.success() {
        return Err(format!("{program} ended with {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{program} answered something that is not text"))
}
