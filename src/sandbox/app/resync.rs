//! The admin path that brings one profile in line with Stripe: asks with the application's own key, links, and writes as the webhook does.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::process::{Shared, answer, authorized};
use super::webhook::{Failure, one, sync, tell};

#[derive(Deserialize)]
pub struct Asked {
    customer: Option<String>,
}

/// `POST /admin/licensing/resync/{profile_id}?customer=cus_…`.
pub async fn resync(
    State(shared): State<Arc<Shared>>,
    Path(profile): Path<String>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Response {
    if !authorized(&shared, &headers) {
        return answer(StatusCode::UNAUTHORIZED, json!({ "ok": false, "error": "Unauthorized" }));
    }
    let Some(customer) = asked.customer else {
        return answer(StatusCode::BAD_REQUEST, json!({ "ok": false, "error": "customer is missing" }));
    };
    let about = json!({ "profileId": profile, "customer": customer });
    match bring_in_line(&shared, &profile, &customer).await {
        Ok(()) => {
            shared.log.info("Profile resynced", &about);
            answer(StatusCode::OK, json!({ "ok": true }))
        }
        Err(failure) => {
            let status = if matches!(failure, Failure::NoRow) { StatusCode::NOT_FOUND } else { StatusCode::INTERNAL_SERVER_ERROR };
            tell(&shared, Utc::now(), failure, about);
            answer(status, json!({ "ok": false, "error": "Resync failed" }))
        }
    }
}

async fn bring_in_line(shared: &Shared, profile: &str, customer: &str) -> Result<(), Failure> {
    if !shared.shape.names().is_key(profile) {
        return Err(Failure::NoRow);
    }
    let subscription = subscription(shared, customer).await?;
    let linked = sqlx::query(AssertSqlSafe(shared.statements.link.as_str())).bind(profile).bind(customer).execute(&shared.pool).await?;
    one(&linked)?;
    sync(shared, &subscription, Utc::now()).await
}

/// The customer's newest subscription that runs, else the newest.
async fn subscription(shared: &Shared, customer: &str) -> Result<Value, Failure> {
    if !customer.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return Err(Failure::Odd("not a customer id"));
    }
    let url = format!("{}/v1/subscriptions?customer={customer}&status=all&limit=10", shared.stripe.base);
    let lost = |_| Failure::Odd("Stripe did not answer");
    let response = shared.stripe.http.get(url).bearer_auth(&shared.stripe.key).send().await.map_err(lost)?;
    if !response.status().is_success() {
        return Err(Failure::Odd("Stripe refused the request"));
    }
    let list: Value = response.json().await.map_err(lost)?;
    let runs = |s: &&Value| matches!(s["status"].as_str(), Some("active" | "trialing" | "past_due"));
    let all = list["data"].as_array().map_or(&[][..], Vec::as_slice);
    all.iter().find(runs).or_else(|| all.first()).cloned().ok_or(Failure::Odd("the customer has no subscription"))
}
