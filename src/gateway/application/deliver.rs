//! Delivery of a stored event to the application's own webhook endpoint, signed anew: what Stripe would send, sent by us.

use super::fault;
use super::signing::signature;
use crate::config::Config;
use crate::domain::fault::{FaultKind, Source};
use crate::domain::ids::StripeId;
use crate::gateway::logs::redact;
use crate::gateway::stripe::Stripe;
use crate::gateway::{hooks, http};
use crate::protocol::command::Outcome;
use chrono::Utc;
use std::time::Duration;

/// Longer than any handler that Stripe would have waited for.
const PATIENCE: Duration = Duration::from_secs(30);
/// So much of the answer is told, in characters.
const NOTE: usize = 200;

/// Sends the event once. What a 2xx brought about is not this answer's to tell.
pub async fn deliver(config: &Config, stripe: &Stripe, event: &StripeId) -> Outcome {
    let not_set_up = |say: &str| Outcome::NotDone(fault(FaultKind::NotSetUp, say));
    if !config.policy.deliver {
        return not_set_up("[policy] deliver is off: stored events are not delivered by us");
    }
    let Some(url) = &config.webhook_url else {
        return not_set_up(&format!("no webhook URL is configured: set webhook_url{}", config.or_variable("APP_WEBHOOK_URL")));
    };
    let Some(kept) = &config.webhook_secret else {
        return not_set_up("a delivery is signed with webhook_secret, and none is configured");
    };
    let (secret, body) = match tokio::join!(hooks::fetch(kept, Source::Application), stripe.event_body(event)) {
        (Err(fault), _) | (_, Err(fault)) => return Outcome::NotDone(fault),
        (_, Ok(None)) => {
            let say = "Stripe no longer has this event (it keeps them for 30 days): copy Stripe's truth";
            return Outcome::NotDone(fault(FaultKind::NotFound, say));
        }
        (Ok(secret), Ok(Some(body))) => (secret, body),
    };
    let client = match http::client(Source::Application, url) {
        Ok(client) => client,
        Err(fault) => return Outcome::NotDone(fault),
    };
    let now = Utc::now().timestamp() + stripe.clock_ahead().unwrap_or_default();
    let request = client
        .post(url)
        .timeout(PATIENCE)
        .header("Content-Type", "application/json; charset=utf-8")
        .header("Stripe-Signature", signature(secret.expose(), now, &body))
        .body(body);
    let response = match request.send().await {
        Ok(response) => response,
        // Nobody took the request, so nobody acted on it.
        Err(error) if error.is_connect() => return Outcome::NotDone(http::fault(Source::Application, &error)),
        Err(error) => return Outcome::Unknown(http::fault(Source::Application, &error)),
    };
    let status = response.status().as_u16();
    let body = http::body(response).await.unwrap_or_default();
    outcome(status, &String::from_utf8_lossy(&body))
}

fn outcome(status: u16, body: &str) -> Outcome {
    let words = redact::said(body.trim(), NOTE);
    let said = if words.is_empty() { String::new() } else { format!(": {words}") };
    let refused = |say: &str| fault(FaultKind::Refused, &format!("the webhook endpoint answered {status}{say}{said}"));
    match status {
        200..=299 => Outcome::done(format!("the webhook endpoint answered {status}{said}")),
        300..=399 => Outcome::NotDone(refused(" and redirects; check webhook_url")),
        // It, or what stands in front of it, may be at work on this request all the same.
        408 | 409 | 425 | 429 => Outcome::Unknown(refused("")),
        400 | 401 | 403 => Outcome::NotDone(refused("; is webhook_secret the one it verifies with?")),
        400..=499 => Outcome::NotDone(refused("")),
        _ => Outcome::Unknown(refused("; how far its handler came is unknown")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_and_only_a_plain_refusal_has_done_nothing() {
        let done = outcome(200, "{\"ok\":false}\u{1b}");
        assert!(matches!(&done, Outcome::Done { note, .. } if note.contains("{\"ok\":false}") && !note.contains('\u{1b}')), "{done:?}");
        let refused = outcome(400, "no row for jane.doe@acme.com, key sk_live_S3cretV4lue99");
        assert!(!format!("{refused:?}").contains("jane.doe") && !format!("{refused:?}").contains("S3cret"), "{refused:?}");
        for status in [301, 400, 401, 404, 422] {
            assert!(matches!(outcome(status, ""), Outcome::NotDone(_)), "{status}");
        }
        for status in [408, 409, 429, 500, 502, 504] {
            assert!(matches!(outcome(status, ""), Outcome::Unknown(_)), "{status}");
        }
    }
}
