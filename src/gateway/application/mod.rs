//! The application: its health, what it enforces, and the ways to have it bring one subject in line. Judges nothing.

mod resync;

use crate::config::Config;
use crate::domain::entitlement::{Entitlement, FeatureUse};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::text::clean;
use crate::gateway::http::{self, segment};
use crate::protocol::command::Outcome;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The way to the application. Clones share connections.
#[derive(Clone)]
pub struct Application {
    config: Arc<Config>,
    base: String,
}

/// What `nightdesk check` says about the application.
#[derive(Debug, Clone)]
pub struct ApplicationReport {
    /// The status of `/health`.
    pub health: Result<u16, Fault>,
    /// The status of `/ready`, which touches its database.
    pub ready: Result<u16, Fault>,
    /// Whether the admin API takes the token.
    pub admin: Result<(), Fault>,
}

const READ: Duration = Duration::from_secs(3);

#[derive(Deserialize)]
struct Answer {
    data: Option<Entitled>,
}

#[derive(Deserialize)]
struct Entitled {
    tier: String,
    #[serde(default)]
    features: BTreeMap<String, Value>,
}

impl Application {
    /// `None` where no address is configured.
    #[must_use]
    pub fn of(config: Arc<Config>) -> Option<Self> {
        let base = config.app_url.clone()?;
        Some(Self { config, base })
    }

    /// What it enforces for the subject; `None` where it knows no such profile.
    ///
    /// # Errors
    /// No answer in three seconds, a refused token, or an answer of another shape.
    pub async fn entitlement(&self, subject: &SubjectKey) -> Result<Option<Entitlement>, Fault> {
        let url = format!("{}/admin/licensing/entitlements/{}", self.base, segment(subject.as_str()));
        let mut request = http::client(Source::Application, &self.base)?.get(url).timeout(READ);
        match &self.config.admin_token {
            Some(token) => request = request.bearer_auth(token.expose()),
            None => {
                return Err(fault(FaultKind::NotSetUp, "what the application enforces is read with admin_token, and none is configured"));
            }
        }
        let response = request.send().await.map_err(|e| http::fault(Source::Application, &e))?;
        let status = response.status().as_u16();
        let body = response.bytes().await.map_err(|e| http::fault(Source::Application, &e))?;
        let json = serde_json::from_slice::<Value>(&body).ok();
        match status {
            200 => {}
            401 | 403 => return Err(fault(FaultKind::Auth, "the application does not accept the admin token: check admin_token")),
            // Its own "no such profile" is JSON; a server that has no such path answers otherwise.
            404 if json.as_ref().is_some_and(|j| j["ok"] == false) => return Ok(None),
            404 => return Err(fault(FaultKind::Schema, "the application has no entitlements path at app_url: check the address")),
            other => return Err(fault(FaultKind::Refused, &format!("the application answered {other} when asked for entitlements"))),
        }
        let odd = || fault(FaultKind::Schema, "the application's entitlements have another shape than {ok, data: {tier, features}}");
        let answer: Answer = json.and_then(|j| serde_json::from_value(j).ok()).ok_or_else(odd)?;
        let data = answer.data.ok_or_else(odd)?;
        let feature = |value: &Value| Some(FeatureUse { value: value["value"].as_i64()?, used: value["used"].as_i64() });
        let features = data.features.iter().filter_map(|(name, v)| Some((clean(name), feature(v)?))).collect();
        Ok(Some(Entitlement { tier: clean(&data.tier), features }))
    }

    /// Whether its process runs and says that it is ready.
    ///
    /// # Errors
    /// Why not.
    pub async fn poll(&self) -> Result<(), Fault> {
        let health = self.status("/health").await?;
        if !(200..300).contains(&health) {
            return Err(fault(FaultKind::Refused, &format!("the application's /health answered {health}")));
        }
        let ready = self.status("/ready").await?;
        // Not everybody has a readiness check.
        if (200..300).contains(&ready) || ready == 404 {
            return Ok(());
        }
        Err(fault(FaultKind::Refused, &format!("the application runs and is not ready: /ready answered {ready}")))
    }

    /// What `nightdesk check` says about it.
    pub async fn report(&self) -> ApplicationReport {
        // Nobody's key: the answer "not found" proves token and path as well as any.
        let nobody = SubjectKey("00000000-0000-0000-0000-000000000000".into());
        let (health, ready, admin) = tokio::join!(self.status("/health"), self.status("/ready"), self.entitlement(&nobody));
        ApplicationReport { health, ready, admin: admin.map(drop) }
    }

    /// Has the application bring the subject in line with Stripe, by the configured admin path. Not repeated.
    pub async fn resync_by_http(&self, subject: &SubjectKey, customer: &str, key: &str) -> Outcome {
        resync::by_http(&self.config, &self.base, subject, customer, key).await
    }

    async fn status(&self, path: &str) -> Result<u16, Fault> {
        let request = http::client(Source::Application, &self.base)?.get(format!("{}{path}", self.base)).timeout(READ);
        let response = request.send().await.map_err(|e| http::fault(Source::Application, &e))?;
        Ok(response.status().as_u16())
    }
}

/// Has a configured command bring the subject in line with Stripe. Not repeated.
pub async fn resync_by_command(config: &Config, subject: &SubjectKey, customer: &str, key: &str) -> Outcome {
    resync::by_command(config, subject, customer, key).await
}

fn fault(kind: FaultKind, say: &str) -> Fault {
    Fault::new(Source::Application, kind, say)
}
