//! The webhook endpoint of the application: signature, the four handled types, and what it answers in either manner.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;
use sqlx::AssertSqlSafe;

use super::process::{Shared, answer};
use super::{Flaw, Manner, Taken};
use crate::sandbox::population::Interval;
use crate::sandbox::schema::{TIERS, tier_of_price};

/// How old or how far in the future a signature may be, in seconds.
const TOLERANCE: i64 = 300;
const NO_MATCH: &str = "No signatures found matching the expected signature for payload";
const TOO_OLD: &str = "Timestamp outside the tolerance zone";

/// Why an event had no effect.
pub(super) enum Failure {
    Database(sqlx::Error),
    /// No row holds the event's customer.
    NoRow,
    /// A sentence for the log.
    Odd(&'static str),
    /// What the handler's own mistake threw.
    Thrown(&'static str),
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

/// `POST` to the webhook path; other methods are refused.
pub async fn receive(State(shared): State<Arc<Shared>>, method: Method, headers: HeaderMap, body: Bytes) -> Response {
    if shared.cut.load(Ordering::Relaxed) {
        // What stands in front answers: the application sees and logs nothing.
        return (StatusCode::BAD_GATEWAY, Html("<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"))
            .into_response();
    }
    if method != Method::POST {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
    }
    let honest = shared.manner() == Manner::Honest;
    let signature = headers.get("stripe-signature").and_then(|v| v.to_str().ok()).unwrap_or_default();
    let now = Utc::now() + shared.settings.clock_off;
    if let Err(reason) = verify(&shared.settings.webhook_secret, signature, &body, now.timestamp()) {
        refuse(&shared, reason, now);
        let status = if honest { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        return answer(status, json!({ "ok": false, "error": "signature verification failed" }));
    }
    // A task of its own: a sender that gives up does not stop the work, and its effect comes all the same.
    let work = tokio::spawn(async move {
        let event: Value = serde_json::from_slice(&body).unwrap_or_default();
        if let Some(takes) = shared.settings.handler_takes {
            tokio::time::sleep(takes[shared.received.fetch_add(1, Ordering::Relaxed) % 2]).await;
        }
        let now = Utc::now() + shared.settings.clock_off;
        take(&shared, &event, now).await
    });
    match work.await {
        Ok(Taken::Handled) => answer(StatusCode::OK, json!({ "received": true })),
        _ => answer(if honest { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }, json!({ "ok": false })),
    }
}

/// An event signed with `secret` at that moment: what verifies it comes first, as over HTTP.
pub(super) async fn knock(shared: &Shared, event: &Value, secret: &str, at: DateTime<Utc>) -> Taken {
    let here = at + shared.settings.clock_off;
    let reason = if shared.settings.webhook_secret != secret {
        NO_MATCH
    } else if (here - at).num_seconds().abs() > TOLERANCE {
        TOO_OLD
    } else {
        return take(shared, event, here).await;
    };
    refuse(shared, reason, here);
    Taken::Refused
}

fn refuse(shared: &Shared, reason: &str, at: DateTime<Utc>) {
    shared.log.write(at, 50, "Webhook signature verification failed", &json!({ "err": { "type": "Error", "message": reason } }));
}

/// Handles an event whose signature is right, at that moment, and logs what came of it.
async fn take(shared: &Shared, event: &Value, at: DateTime<Utc>) -> Taken {
    let about = json!({ "eventId": event["id"], "type": event["type"] });
    match handle(shared, event, at).await {
        Ok(()) => {
            shared.log.write(at, 30, "Webhook processed", &about);
            Taken::Handled
        }
        Err(failure) => {
            tell(shared, at, failure, about);
            Taken::Failed
        }
    }
}

pub(super) fn tell(shared: &Shared, at: DateTime<Utc>, failure: Failure, mut about: Value) {
    let err = match failure {
        Failure::Database(error) => return shared.log_database(at, "Failed to sync webhook to DB", &error, about),
        Failure::NoRow => json!({ "type": "Error", "message": "Profile not found" }),
        Failure::Odd(message) => json!({ "type": "Error", "message": message }),
        Failure::Thrown(message) => {
            let stack = format!(
                "TypeError: {message}\n    at syncSubscription (/app/{}/webhooks/stripe.js:118:34)",
                shared.settings.deploy.version
            );
            json!({ "type": "TypeError", "message": message, "stack": stack })
        }
    };
    about["err"] = err;
    shared.log.write(at, 50, "Webhook error:", &about);
}

async fn handle(shared: &Shared, event: &Value, at: DateTime<Utc>) -> Result<(), Failure> {
    let (Some(id), Some(kind)) = (event["id"].as_str(), event["type"].as_str()) else { return Err(Failure::Odd("not an event")) };
    let sql = &shared.statements;
    let (processed,): (bool,) = sqlx::query_as(AssertSqlSafe(sql.record_event.as_str()))
        .bind(id)
        .bind(kind)
        .bind(&event["data"])
        .bind(seconds(at))
        .fetch_one(&shared.pool)
        .await?;
    if processed {
        return Ok(());
    }
    let object = &event["data"]["object"];
    match kind {
        "customer.subscription.created" | "customer.subscription.updated" => sync(shared, object, at).await?,
        "customer.subscription.deleted" => end(shared, object, at).await?,
        "invoice.payment_failed" => past_due(shared, object, at).await?,
        _ => {}
    }
    sqlx::query(AssertSqlSafe(sql.event_done.as_str())).bind(id).bind(seconds(at)).execute(&shared.pool).await?;
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "milliseconds of this century are exact")]
fn seconds(at: DateTime<Utc>) -> f64 {
    at.timestamp_millis() as f64 / 1_000.0
}

fn customer(object: &Value) -> Result<&str, Failure> {
    // A string, or the whole customer where the event was expanded.
    object["customer"].as_str().or_else(|| object["customer"]["id"].as_str()).ok_or(Failure::Odd("the object names no customer"))
}

pub(super) fn one(done: &sqlx::postgres::PgQueryResult) -> Result<(), Failure> {
    if done.rows_affected() == 0 { Err(Failure::NoRow) } else { Ok(()) }
}

pub(super) async fn sync(shared: &Shared, subscription: &Value, at: DateTime<Utc>) -> Result<(), Failure> {
    let item = &subscription["items"]["data"][0];
    let status = subscription["status"].as_str().unwrap_or_default();
    let tier = match status {
        "active" | "trialing" | "past_due" => {
            tier_of_price(item["price"]["id"].as_str().unwrap_or_default()).ok_or(Failure::Odd("unknown price"))?.0
        }
        _ => TIERS[0],
    };
    let interval = match item["price"]["recurring"]["interval"].as_str() {
        Some("month") => Some(shared.shape.interval_word(Interval::Month)),
        Some("year") => Some(shared.shape.interval_word(Interval::Year)),
        _ => None,
    };
    if shared.settings.deploy.flaw == Some(Flaw::PeriodFromSubscription) && subscription.get("current_period_end").is_none() {
        return Err(Failure::Thrown("Cannot read properties of undefined (reading 'toISOString')"));
    }
    // Objects of old API versions have the period on the subscription itself.
    let period = |name: &str| item[name].as_f64().or_else(|| subscription[name].as_f64());
    let done = sqlx::query(AssertSqlSafe(shared.statements.sync.as_str()))
        .bind(customer(subscription)?)
        .bind(tier)
        .bind(status)
        .bind(subscription["id"].as_str())
        .bind(interval)
        .bind(period("current_period_start"))
        .bind(period("current_period_end"))
        .bind(subscription["cancel_at"].as_f64())
        .bind(subscription["cancel_at_period_end"].as_bool().unwrap_or(false))
        .bind(seconds(at))
        .execute(&shared.pool)
        .await?;
    one(&done)
}

async fn end(shared: &Shared, subscription: &Value, at: DateTime<Utc>) -> Result<(), Failure> {
    let done = sqlx::query(AssertSqlSafe(shared.statements.end.as_str()))
        .bind(customer(subscription)?)
        .bind(subscription["status"].as_str().unwrap_or("canceled"))
        .bind(subscription["cancel_at"].as_f64())
        .bind(subscription["cancel_at_period_end"].as_bool().unwrap_or(false))
        .bind(seconds(at))
        .execute(&shared.pool)
        .await?;
    one(&done)
}

async fn past_due(shared: &Shared, invoice: &Value, at: DateTime<Utc>) -> Result<(), Failure> {
    let sql = shared.statements.past_due.as_str();
    one(&sqlx::query(AssertSqlSafe(sql)).bind(customer(invoice)?).bind(seconds(at)).execute(&shared.pool).await?)
}

/// Stripe's scheme: `t=…,v1=…[,v1=…]`, HMAC-SHA-256 over `t.body`.
fn verify(secret: &str, header: &str, body: &[u8], now: i64) -> Result<(), &'static str> {
    let part =
        |wanted: &'static str| header.split(',').filter_map(move |p| p.trim().split_once('=')).filter(move |(name, _)| *name == wanted);
    let stamp = part("t").next().map(|(_, value)| value).ok_or(NO_MATCH)?;
    let sent: i64 = stamp.parse().map_err(|_| "Unable to extract timestamp and signatures from header")?;
    if (now - sent).abs() > TOLERANCE {
        return Err(TOO_OLD);
    }
    let genuine = part("v1").any(|(_, signature)| {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("invariant: any length of key will do");
        mac.update(stamp.as_bytes());
        mac.update(b".");
        mac.update(body);
        hex::decode(signature).is_ok_and(|signature| mac.verify_slice(&signature).is_ok())
    });
    if genuine { Ok(()) } else { Err(NO_MATCH) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(secret: &str, at: i64, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(format!("{at}.").as_bytes());
        mac.update(body);
        format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
    }

    #[test]
    fn only_a_fresh_signature_with_the_right_secret_passes() {
        let (now, body) = (1_790_000_000, br#"{"id":"evt_1"}"#.as_slice());
        let good = header("whsec_a", now, body);
        assert_eq!(verify("whsec_a", &good, body, now), Ok(()));
        assert_eq!(verify("whsec_a", &good, body, now + TOLERANCE), Ok(()));
        assert!(verify("whsec_a", &good, body, now + TOLERANCE + 1).is_err());
        assert!(verify("whsec_a", &good, b"{}", now).is_err());
        assert!(verify("whsec_b", &good, body, now).is_err());
        assert!(verify("whsec_a", "test", body, now).is_err());
        assert!(verify("whsec_a", "", body, now).is_err());
        let rotated = format!("{good},v1={}", header("whsec_b", now, body).split_once("v1=").unwrap().1);
        assert_eq!(verify("whsec_b", &rotated, body, now), Ok(()), "one of several signatures is enough");
    }
}
