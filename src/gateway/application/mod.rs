//! The application: its health, what it enforces, its webhook endpoint, and the ways to have it bring one subject in line. Judges nothing.

pub mod deliver;
pub mod probe;
mod resync;
mod signing;

use crate::config::secret::Credential;
use crate::config::{Config, Writer};
use crate::domain::entitlement::{Entitlement, FeatureUse};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::text::clean;
use crate::gateway::http::{self, segment};
use crate::protocol::command::Outcome;
use crate::protocol::query::{Query, Reply};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;

/// The way to the application. Clones share connections.
#[derive(Clone)]
pub struct Application {
    shared: Arc<Shared>,
}

struct Shared {
    base: String,
    token: Option<Credential>,
    writer: Writer,
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

impl Application {
    /// `None` where no address is configured.
    #[must_use]
    pub fn new(config: &Config) -> Option<Self> {
        let base = config.app_url.clone()?;
        Some(Self { shared: Arc::new(Shared { base, token: config.admin_token.clone(), writer: config.writer.clone() }) })
    }

    /// Answers a query whose source is the application.
    ///
    /// # Errors
    /// As [`Application::entitlement`].
    pub async fn answer(&self, query: &Query) -> Result<Reply, Fault> {
        match query {
            Query::Entitlement(subject) => self.entitlement(subject).await.map(Reply::Entitlement),
            other => unreachable!("invariant: {:?} is routed to another source", other.source()),
        }
    }

    /// What it enforces for the subject; `None` where it knows no such profile.
    ///
    /// # Errors
    /// No answer in three seconds, a refused token, or an answer of another shape.
    pub async fn entitlement(&self, subject: &SubjectKey) -> Result<Option<Entitlement>, Fault> {
        let url = format!("{}/admin/licensing/entitlements/{}", self.shared.base, segment(subject.as_str()));
        let mut request = http::client(Source::Application, &self.shared.base)?.get(url).timeout(READ);
        match &self.shared.token {
            Some(token) => request = request.bearer_auth(token.expose()),
            None => {
                return Err(fault(FaultKind::NotSetUp, "what the application enforces is read with admin_token, and none is configured"));
            }
        }
        let response = request.send().await.map_err(|e| http::fault(Source::Application, &e))?;
        let status = response.status().as_u16();
        let body = http::body(response).await.map_err(|e| http::fault(Source::Application, &e))?;
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
        json.as_ref().and_then(decode).map(Some).ok_or_else(odd)
    }

    /// Whether its process runs and says that it is ready.
    ///
    /// # Errors
    /// Why not.
    pub async fn ready(&self) -> Result<(), Fault> {
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
    pub async fn resync(&self, subject: &SubjectKey, customer: &str, key: &str) -> Outcome {
        resync::by_http(&self.shared, subject, customer, key).await
    }

    /// Has the application reset the subject's counters: every feature that resets, with a new period. Not repeated.
    pub async fn reset(&self, subject: &SubjectKey, key: &str) -> Outcome {
        resync::reset(&self.shared, subject, key).await
    }

    async fn status(&self, path: &str) -> Result<u16, Fault> {
        let request = http::client(Source::Application, &self.shared.base)?.get(format!("{}{path}", self.shared.base)).timeout(READ);
        let response = request.send().await.map_err(|e| http::fault(Source::Application, &e))?;
        Ok(response.status().as_u16())
    }
}

/// Has a configured command bring the subject in line with Stripe. Not repeated.
pub async fn resync_by_command(writer: &Writer, subject: &SubjectKey, customer: &str, key: &str) -> Outcome {
    resync::by_command(writer, subject, customer, key).await
}

fn fault(kind: FaultKind, say: &str) -> Fault {
    Fault::new(Source::Application, kind, say)
}

/// `{ok, data: {tier, features: {<feature>: {value, used, …}}}}`.
fn decode(body: &Value) -> Option<Entitlement> {
    let data = &body["data"];
    let feature = |value: &Value| {
        Some(FeatureUse { value: value["value"].as_i64()?, used: value["used"].as_i64(), resets: value["resets"].as_bool() })
    };
    let features = data["features"].as_object().into_iter().flatten();
    Some(Entitlement {
        tier: clean(data["tier"].as_str()?),
        features: features.filter_map(|(name, v)| Some((clean(name), feature(v)?))).collect(),
    })
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
}
