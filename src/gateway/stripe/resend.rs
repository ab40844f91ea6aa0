//! Asking Stripe to send an event to an endpoint once more. Its answer means queued, not delivered, and is told as that.

use super::Stripe;
use super::client::Priority;
use super::fault;
use crate::config::secret::Credential;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::StripeId;
use crate::protocol::command::Outcome;
use bytes::Bytes;
use serde_json::Value;
use std::collections::BTreeMap;
use stripe_client_core::{RequestBuilder, StripeMethod, StripeRequest};
use stripe_core::event::RetrieveEvent;

impl Stripe {
    /// Has Stripe send the event to the endpoint once more, under the idempotency key; with `key`, where there is one for writes.
    pub async fn resend(&self, key: Option<&Credential>, event: &StripeId, endpoint: &StripeId, idempotency: &str) -> Outcome {
        let form = BTreeMap::from([("webhook_endpoint", endpoint.as_str())]);
        let request = RequestBuilder::new(StripeMethod::Post, format!("/events/{event}/retry")).form(&form);
        let answer = match self.inner.client.write(&request, key, idempotency).await {
            Ok(answer) => answer,
            // Nobody took the request, so nobody acted on it.
            Err((fault, true)) => return Outcome::NotDone(fault),
            Err((fault, false)) => return Outcome::Unknown(fault),
        };
        let body = serde_json::from_slice::<Value>(&answer.body).ok();
        outcome(answer.status, answer.request_id.as_deref(), body.as_ref(), endpoint)
    }

    /// The event as Stripe renders it, byte for byte; `None` where Stripe no longer has it.
    ///
    /// # Errors
    /// The read's fault.
    pub async fn event_body(&self, event: &StripeId) -> Result<Option<Bytes>, Fault> {
        // Its intent is journaled: it waits behind no scan. Deliveries are paced one by one.
        let answer = self.lane(Priority::Interactive).send(&RetrieveEvent::new(event.as_str()).build()).await?;
        if (200..300).contains(&answer.status) {
            return Ok(Some(answer.body));
        }
        let body = serde_json::from_slice::<Value>(&answer.body).ok();
        match fault::of(answer.status, answer.request_id.as_deref(), body.as_ref()) {
            fault if fault.kind == FaultKind::NotFound => Ok(None),
            fault => Err(fault),
        }
    }

    /// How far Stripe's clock is ahead of ours, in whole seconds; `None` before its first answer.
    #[must_use]
    pub fn clock_ahead(&self) -> Option<i64> {
        self.inner.client.ahead()
    }

    /// # Errors
    /// The key is of the other mode than the one that reads: what it would write is not what is shown. Or it is a live one, and would be
    /// sent in the clear.
    pub fn suits(&self, write_key: &Credential) -> Result<(), Fault> {
        match (self.key_livemode(), write_key.claims_livemode()) {
            (Some(reads), Some(writes)) if reads != writes => {
                let say = "stripe_write_key and stripe_key are of different modes: give both of live mode, or both of test mode";
                Err(Fault::new(Source::Stripe, FaultKind::Auth, say))
            }
            (_, Some(true)) if !self.inner.client.is_encrypted() => {
                let say = "stripe_write_key is a live key, and stripe_base is not https: it is sent nowhere in the clear";
                Err(Fault::new(Source::Stripe, FaultKind::Auth, say))
            }
            _ => Ok(()),
        }
    }
}

/// What Stripe's answer says of what it did.
fn outcome(status: u16, request: Option<&str>, body: Option<&Value>, endpoint: &StripeId) -> Outcome {
    let new = |kind, say: String| Fault::new(Source::Stripe, kind, say);
    let message = body.and_then(|b| b["error"]["message"].as_str()).unwrap_or_default().to_lowercase();
    match status {
        200..=299 => Outcome::done("Stripe has queued it; whether it takes effect, the row tells".into()),
        400 | 404 if message.contains("no such webhook endpoint") => Outcome::NotDone(new(
            FaultKind::NotFound,
            format!("{endpoint} is no longer registered in Stripe: it was deleted; resend to an endpoint that is"),
        )),
        400 | 404 if message.contains("not subscribed") => Outcome::NotDone(new(
            FaultKind::Refused,
            format!("{endpoint} was not subscribed to this type when the event was made, so Stripe sends it nothing: copy Stripe's truth"),
        )),
        400 if message.contains("disabled") => {
            Outcome::NotDone(new(FaultKind::Refused, format!("{endpoint} is disabled in Stripe: enable it there first")))
        }
        404 if body.is_some_and(|b| b["error"].is_object()) => Outcome::NotDone(new(
            FaultKind::NotFound,
            "Stripe no longer has this event (it keeps them for 30 days), and cannot send it again: copy Stripe's truth".into(),
        )),
        401 => Outcome::NotDone(new(FaultKind::Auth, "Stripe does not accept the key: check stripe_write_key, or stripe_key".into())),
        // The same request may be at work, or its answer be lost behind this one.
        408 | 409 | 424 | 500..=599 => Outcome::Unknown(fault::of(status, request, body)),
        400..=499 => Outcome::NotDone(fault::of(status, request, body)),
        _ => Outcome::Unknown(fault::of(status, request, body)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(status: u16, message: &str) -> Outcome {
        let endpoint = StripeId::parse("we_1Aaaaaaaaa").expect("an id");
        outcome(status, None, Some(&json!({ "error": { "type": "invalid_request_error", "message": message } })), &endpoint)
    }

    #[test]
    fn why_stripe_sends_nothing_is_told() {
        for (status, message, words) in [
            (404, "No such notification: 'evt_1'", "30 days"),
            (404, "No such webhook endpoint: 'we_1'", "was deleted"),
            (404, "The webhook endpoint 'we_1' is not subscribed to events of type 'x'.", "not subscribed"),
            (400, "The webhook endpoint 'we_1' is disabled.", "enable it"),
            (429, "Too many requests", "limits our requests"),
            (403, "Having the 'rak_webhook_write' permission would allow this request to continue.", "rak_webhook_write"),
        ] {
            let outcome = of(status, message);
            assert!(matches!(&outcome, Outcome::NotDone(f) if f.say.contains(words)), "{status} {message}: {outcome:?}");
        }
        for status in [409, 500, 502, 503, 504, 302] {
            assert!(matches!(of(status, "later"), Outcome::Unknown(_)), "{status}");
        }
        assert!(matches!(of(200, ""), Outcome::Done { .. }));
    }
}
