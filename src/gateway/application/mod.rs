//! The application under care: whether it answers, what it enforces, and its own way to bring a subject in line with Stripe.

use crate::config::secret::Credential;
use crate::config::{Config, Writer};
use crate::domain::entitlement::{Entitlement, FeatureUse};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::text::clean;
use crate::protocol::command::Outcome;
use crate::protocol::query::{Query, Reply};
use serde_json::Value;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

/// A handle on the application's HTTP API, cheap to clone.
#[derive(Clone)]
pub struct Application {
    shared: Arc<Shared>,
}

struct Shared {
    http: reqwest::Client,
    base: String,
    token: Option<Credential>,
    writer: Writer,
}

/// Where the entitlements are, the subject's key behind it.
const ENTITLEMENTS: &str = "/admin/licensing/entitlements";
const READ_PATIENCE: Duration = Duration::from_secs(3);
const WRITE_PATIENCE: Duration = Duration::from_secs(30);

impl Application {
    /// `None` where no `app_url` is configured.
    #[must_use]
    pub fn new(config: &Config) -> Option<Self> {
        let base = config.app_url.clone()?;
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("nightdesk/", env!("CARGO_PKG_VERSION")))
            .build()
            .ok()?;
        let shared = Shared { http, base, token: config.admin_token.clone(), writer: config.writer.clone() };
        Some(Self { shared: Arc::new(shared) })
    }

    /// Answers a query whose source is the application.
    ///
    /// # Errors
    /// What kept it from answering.
    pub async fn answer(&self, query: &Query) -> Result<Reply, Fault> {
        match query {
            Query::Entitlement(subject) => self.entitlement(subject).await.map(Reply::Entitlement),
            _ => Err(fault(FaultKind::Refused, "this question is not the application's")),
        }
    }

    /// Whether it is ready: unlike its health, that touches the database.
    ///
    /// # Errors
    /// What it answered instead, or why it did not.
    pub async fn ready(&self) -> Result<(), Fault> {
        let url = format!("{}/ready", self.shared.base);
        let answer = self.shared.http.get(url).timeout(READ_PATIENCE).send().await.map_err(|e| transport(&e))?;
        match answer.status().as_u16() {
            200..=299 => Ok(()),
            status => Err(fault(FaultKind::Unreachable, format!("the application is not ready: /ready answered {status}"))),
        }
    }

    async fn entitlement(&self, subject: &SubjectKey) -> Result<Option<Entitlement>, Fault> {
        let token = self.shared.token.as_ref().ok_or_else(|| {
            fault(FaultKind::NotSetUp, "what the app enforces is not read: give admin_token in the configuration, or APP_ADMIN_TOKEN")
        })?;
        let url = format!("{}{ENTITLEMENTS}/{}", self.shared.base, encoded(subject.as_str()));
        let request = self.shared.http.get(url).timeout(READ_PATIENCE).bearer_auth(token.expose());
        let answer = request.send().await.map_err(|e| transport(&e))?;
        match answer.status().as_u16() {
            200 => {}
            401 | 403 => return Err(fault(FaultKind::Auth, "the application refuses the admin token")),
            404 => return Ok(None),
            status => return Err(fault(FaultKind::Unreachable, format!("the application answered {status} when asked what it enforces"))),
        }
        let body: Value = answer.json().await.map_err(|_| unreadable())?;
        decode(&body).map(Some).ok_or_else(unreadable)
    }

    /// Performs the configured resync. A time-out or a broken line after sending is [`Outcome::Unknown`].
    pub async fn resync(&self, subject: &SubjectKey, customer: &str, key: &str) -> Outcome {
        match &self.shared.writer {
            Writer::Sql => Outcome::NotDone(fault(FaultKind::NotSetUp, "no resync is configured: the writer is sql")),
            Writer::Http { path } => self.resync_by_http(&filled(path, subject, customer), key).await,
            Writer::Command { argv } => resync_by_command(argv, subject, customer, key).await,
        }
    }

    async fn resync_by_http(&self, path: &str, key: &str) -> Outcome {
        let mut request =
            self.shared.http.post(format!("{}{path}", self.shared.base)).timeout(WRITE_PATIENCE).header("Idempotency-Key", key);
        if let Some(token) = &self.shared.token {
            request = request.bearer_auth(token.expose());
        }
        match request.send().await {
            Ok(answer) => match answer.status().as_u16() {
                status @ 200..=299 => Outcome::Done { note: format!("the application answered {status}") },
                status @ 400..=499 => Outcome::NotDone(fault(FaultKind::Refused, format!("the application refused with {status}"))),
                // It may have worked before it failed.
                status => Outcome::Unknown(fault(FaultKind::Unreachable, format!("the application answered {status}"))),
            },
            Err(e) if e.is_connect() => Outcome::NotDone(transport(&e)),
            Err(e) => Outcome::Unknown(transport(&e)),
        }
    }
}

async fn resync_by_command(argv: &[String], subject: &SubjectKey, customer: &str, key: &str) -> Outcome {
    let argv: Vec<String> = argv.iter().map(|a| filled(a, subject, customer)).collect();
    let Some((program, arguments)) = argv.split_first() else {
        return Outcome::NotDone(fault(FaultKind::NotSetUp, "the resync command is empty"));
    };
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .env("NIGHTDESK_IDEMPOTENCY_KEY", key)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match child {
        Ok(child) => child,
        Err(e) => return Outcome::NotDone(fault(FaultKind::Refused, format!("the resync command could not be run: {e}"))),
    };
    match tokio::time::timeout(WRITE_PATIENCE, child.wait()).await {
        Ok(Ok(status)) if status.success() => Outcome::Done { note: "the resync command ended well".into() },
        // A command that failed may have done half of its work.
        Ok(Ok(status)) => Outcome::Unknown(fault(FaultKind::Refused, format!("the resync command ended with {status}"))),
        Ok(Err(e)) => Outcome::Unknown(fault(FaultKind::Refused, format!("the resync command was lost: {e}"))),
        Err(_) => Outcome::Unknown(fault(FaultKind::Timeout, "the resync command is still running after 30 s")),
    }
}

/// `{ok, data:{tier, features:{<feature>:{value, used}}}}`.
fn decode(body: &Value) -> Option<Entitlement> {
    let data = body.get("data")?;
    let features = data.get("features").and_then(Value::as_object).into_iter().flatten();
    let feature =
        |v: &Value| Some(FeatureUse { value: v.get("value").and_then(Value::as_i64)?, used: v.get("used").and_then(Value::as_i64) });
    Some(Entitlement {
        tier: data.get("tier").and_then(Value::as_str).map(clean)?,
        features: features.filter_map(|(name, v)| Some((clean(name), feature(v)?))).collect(),
    })
}

fn filled(template: &str, subject: &SubjectKey, customer: &str) -> String {
    template.replace("{subject}", subject.as_str()).replace("{customer}", customer)
}

/// A path segment: everything that is not a letter, a digit or a hyphen is escaped.
fn encoded(segment: &str) -> String {
    segment.bytes().map(|b| if b.is_ascii_alphanumeric() || b == b'-' { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

fn fault(kind: FaultKind, say: impl Into<String>) -> Fault {
    Fault::new(Source::Application, kind, say)
}

fn unreadable() -> Fault {
    fault(FaultKind::Schema, "the application's answer about entitlements has not the expected shape (data.tier, data.features)")
}

fn transport(error: &reqwest::Error) -> Fault {
    if error.is_timeout() {
        return fault(FaultKind::Timeout, "the application did not answer in time");
    }
    if error.is_connect() {
        fault(FaultKind::Unreachable, "nobody answers at app_url")
    } else {
        fault(FaultKind::Unreachable, "the connection to the application broke off")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_documented_answer_is_read() {
        let body = json!({"ok":true,"data":{"tier":"PRO","features":{"searches":{"value":100,"used":7},"exports":{"value":-1}}}});
        let e = decode(&body).expect("it is");
        assert_eq!((e.tier.as_str(), e.features["searches"].used, e.features["exports"].value), ("PRO", Some(7), -1));
        assert!(decode(&json!({"ok":false})).is_none());
    }

    #[test]
    fn a_key_cannot_leave_its_path_segment() {
        assert_eq!(encoded("a/../b?x"), "a%2F%2E%2E%2Fb%3Fx");
    }
}
