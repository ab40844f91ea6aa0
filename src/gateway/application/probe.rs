//! The probe's requests: what is sent to the webhook endpoint and to the application, and what comes back. What it means is the domain's.

use super::signing::signature;
use crate::config::Config;
use crate::config::secret::Credential;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::text::clean;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::probe::{Came, Probed, Shot, Target, shown, target};
use crate::gateway::hooks;
use crate::gateway::http::{self, Lost};
use chrono::Utc;
use serde_json::json;
use std::time::{Duration, Instant};

/// How each request may take, its answer included.
const PATIENCE: Duration = Duration::from_secs(5);
/// So much of an answer is read, in bytes.
const BODY: usize = 1_024;
const LOCATION: usize = 300;
/// Twice what Stripe's libraries tolerate, in seconds.
const OFF: i64 = 600;
/// What forgeries are signed with: of the right form, and nobody's.
const NOBODYS_SECRET: &str = "whsec_nightdesk_probe_has_no_secret";
const AGENT: &str = concat!("nightdesk-probe/", env!("CARGO_PKG_VERSION"));
/// Always the same, so that an application that keeps what it takes keeps it once.
const EVENT: &str = "evt_nightdesk_probe";

/// What a probe is about to ask, and with what.
pub struct Aim {
    url: String,
    livemode: bool,
    /// `Err`: why no shot is signed rightly.
    secret: Result<Credential, String>,
}

impl Aim {
    /// The URL as it may be kept and shown.
    #[must_use]
    pub fn endpoint(&self) -> String {
        shown(&self.url)
    }

    /// Whether some shots are signed with the real secret.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.secret.is_ok()
    }
}

/// What would be asked now. Nothing is sent yet.
///
/// # Errors
/// There is no URL to ask, or it cannot be told which.
pub async fn aim(config: &Config, endpoints: Option<&[Endpoint]>) -> Result<Aim, Fault> {
    let fault = |say: &str| Fault::new(Source::Application, FaultKind::NotSetUp, say);
    let or_variable = config.or_variable("APP_WEBHOOK_URL");
    let (url, livemode) = match target(endpoints.unwrap_or_default(), config.webhook_url.as_deref()) {
        Target::Registered(endpoint) => (endpoint.url.clone(), endpoint.livemode),
        Target::Configured(url) => (url.to_string(), config.production),
        Target::Unclear => {
            return Err(fault(&format!(
                "several webhook endpoints are registered in Stripe: say with webhook_url{or_variable}, which is the application's"
            )));
        }
        Target::Nothing if endpoints.is_none() => {
            return Err(fault(&format!("no webhook URL is known: set webhook_url{or_variable}; Stripe does not say which is registered")));
        }
        Target::Nothing => return Err(fault("no webhook URL is known: none is registered in Stripe, and webhook_url is not set")),
    };
    let secret = match &config.webhook_secret {
        _ if !config.policy.signed_probe => Err("[policy] signed_probe is off".to_string()),
        None => Err("no webhook_secret is configured".to_string()),
        Some(kept) => hooks::fetch(kept, Source::Application).await.map_err(|f| f.say),
    };
    Ok(Aim { url, livemode, secret })
}

/// Sends every shot that may be sent, all at the same time. `ahead`: how far Stripe's clock is ahead of ours, in seconds.
pub async fn shoot(config: &Config, aim: Aim, ahead: i64) -> Probed {
    let Aim { url, livemode, secret } = aim;
    let now = Utc::now().timestamp() + ahead;
    let body = event(now, livemode);
    let shots = Shot::ALL.map(|shot| {
        let post = |signature: Option<String>| Sent::Post { url: &url, body: &body, signature };
        let get = |path: &str| match &config.app_url {
            Some(base) => Sent::Get(format!("{base}{path}")),
            None => Sent::Nothing("no app_url is configured".into()),
        };
        let signed = |at: i64| match &secret {
            Ok(secret) => post(Some(signature(secret.expose(), at, body.as_bytes()))),
            Err(why) => Sent::Nothing(why.clone()),
        };
        let sent = match shot {
            Shot::Health => get("/health"),
            Shot::Ready => get("/ready"),
            Shot::Unsigned => post(None),
            Shot::WronglySigned => post(Some(signature(NOBODYS_SECRET, now, body.as_bytes()))),
            Shot::TooOld => signed(now - OFF),
            Shot::TooNew => signed(now + OFF),
            Shot::Signed => signed(now),
        };
        async move { (shot, sent.send(ahead).await) }
    });
    let shots = futures_util::future::join_all(shots).await;
    Probed { url, shots }
}

/// One request, before it is sent.
enum Sent<'a> {
    Get(String),
    Post { url: &'a str, body: &'a str, signature: Option<String> },
    Nothing(String),
}

impl Sent<'_> {
    async fn send(self, ahead: i64) -> Came {
        let (url, post) = match &self {
            Sent::Nothing(why) => return Came::NotSent(why.clone()),
            Sent::Get(url) => (url.as_str(), None),
            Sent::Post { url, body, signature } => (*url, Some((*body, signature.clone()))),
        };
        let client = match http::client(Source::Application, url) {
            Ok(client) => client,
            Err(fault) => return Came::Broken(fault.say),
        };
        let mut request = match post {
            None => client.get(url),
            Some((body, signature)) => {
                let request = client.post(url).header("Content-Type", "application/json; charset=utf-8").body(body.to_string());
                signature.into_iter().fold(request, |request, value| request.header("Stripe-Signature", value))
            }
        };
        request = request.timeout(PATIENCE).header("User-Agent", AGENT);
        let begun = Instant::now();
        match request.send().await {
            Ok(response) => answer(response, begun, ahead).await,
            Err(error) => match http::lost(&error) {
                Lost::Timeout => Came::Timeout,
                Lost::Dns => Came::Dns,
                Lost::Refused => Came::Refused,
                Lost::Tls(why) => Came::Tls(clean(&why)),
                Lost::Broken(why) => Came::Broken(clean(&why)),
            },
        }
    }
}

async fn answer(mut response: reqwest::Response, begun: Instant, ahead: i64) -> Came {
    let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
    let header = |name: &str| response.headers().get(name).and_then(|v| v.to_str().ok());
    let skew_seconds = http::date(&response).map(|date| date.timestamp() - (Utc::now().timestamp() + ahead));
    let location = header("location").map(|l| clean(l).chars().take(LOCATION).collect());
    let status = response.status().as_u16();
    let mut body = Vec::new();
    // The status has come: what of the body does not is not waited for longer than the request may take.
    while body.len() < BODY {
        match response.chunk().await {
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) | Err(_) => break,
        }
    }
    body.truncate(BODY);
    Came::Answer { status, milliseconds, body: clean(&String::from_utf8_lossy(&body)), location, skew_seconds }
}

/// An event of a type that nobody handles.
fn event(now: i64, livemode: bool) -> String {
    json!({
        "id": EVENT,
        "object": "event",
        "api_version": null,
        "created": now,
        "data": { "object": { "id": "nightdesk_probe", "object": "nightdesk_probe" } },
        "livemode": livemode,
        "pending_webhooks": 0,
        "request": { "id": null, "idempotency_key": null },
        "type": "nightdesk.probe",
    })
    .to_string()
}
