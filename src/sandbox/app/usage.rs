//! The product's own use of its quotas: one endpoint that counts a use or refuses it, by the tier in the row and nothing else.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::Utc;
use serde::Deserialize;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use super::entitlements::iso;
use super::process::{Shared, answer};
use crate::sandbox::schema::STOCK;

/// Who uses the product; the gateway in front of an application like this one has authenticated them.
const PROFILE: &str = "x-profile-id";
/// The most that one request may use.
const MOST: i32 = 100_000;

/// The body, which may be left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    amount: i32,
}

/// tier, limit, used and the period's end in Unix seconds; the last two only where the use was counted.
type Counted = (String, Option<i32>, Option<i32>, Option<f64>);

/// `POST /v1/usage/{feature}`: 200 with what remains, 429 where the limit is reached, 403 where the plan lacks the feature.
pub async fn count(State(shared): State<Arc<Shared>>, Path(feature): Path<String>, headers: HeaderMap, body: Bytes) -> Response {
    let Some(profile) = headers.get(PROFILE).and_then(|v| v.to_str().ok()) else {
        return answer(StatusCode::UNAUTHORIZED, json!({ "ok": false, "error": "unauthorized" }));
    };
    let amount = if body.is_empty() { Some(1) } else { serde_json::from_slice::<Wanted>(&body).ok().map(|w| w.amount) };
    let Some(amount) = amount.filter(|a| (1..=MOST).contains(a)) else {
        let error = format!("amount must be a whole number from 1 to {MOST}");
        return answer(StatusCode::BAD_REQUEST, json!({ "ok": false, "error": error }));
    };
    match enforce(&shared, profile, &feature, amount).await {
        Ok(Some((status, body))) => answer(status, body),
        Ok(None) => {
            shared.log.warn("Profile not found", &json!({ "profileId": profile }));
            answer(StatusCode::NOT_FOUND, json!({ "ok": false, "error": "profile_not_found" }))
        }
        Err(error) => {
            shared.log_database(Utc::now(), "Usage failed", &error, json!({ "profileId": profile, "feature": feature }));
            answer(StatusCode::INTERNAL_SERVER_ERROR, json!({ "ok": false, "error": "internal_error" }))
        }
    }
}

/// `None` when there is no such profile.
async fn enforce(shared: &Shared, profile: &str, feature: &str, amount: i32) -> Result<Option<(StatusCode, Value)>, sqlx::Error> {
    if !shared.shape.names().is_key(profile) {
        return Ok(None);
    }
    let sql = &shared.statements;
    let mut connection = shared.pool.acquire().await?;
    let (in_table,): (bool,) = sqlx::query_as(AssertSqlSafe(sql.has_limits.as_str())).fetch_one(&mut *connection).await?;
    let statement = if in_table { &sql.count_use } else { &sql.count_use_built_in };
    let counted: Option<Counted> = sqlx::query_as(AssertSqlSafe(statement.as_str()))
        .bind(profile)
        .bind(feature)
        .bind(amount)
        .bind(feature != STOCK)
        .fetch_optional(&mut *connection)
        .await?;
    let Some((tier, limit, used, end)) = counted else { return Ok(None) };
    let Some(limit) = limit.filter(|l| *l != 0) else {
        let body = json!({ "ok": false, "error": "feature_not_in_plan", "feature": feature, "tier": tier, "limit": 0 });
        return Ok(Some((StatusCode::FORBIDDEN, body)));
    };
    let state = |used: i32, end: Option<f64>| {
        let remaining = (limit > 0).then(|| (limit - used).max(0));
        json!({ "feature": feature, "tier": tier, "limit": limit, "used": used, "remaining": remaining, "resets_at": end.and_then(iso) })
    };
    if let Some(used) = used {
        return Ok(Some((StatusCode::OK, json!({ "ok": true, "data": state(used, end) }))));
    }
    // Read after the refusal: whoever lost against others sees what the others used.
    let counters: Vec<(String, i32, Option<f64>, Option<f64>)> =
        sqlx::query_as(AssertSqlSafe(sql.counters.as_str())).bind(profile).fetch_all(&mut *connection).await?;
    let (used, end) = counters.into_iter().find(|c| c.0 == feature).map_or((0, None), |c| (c.1, c.3));
    let mut body = state(used, end);
    body["ok"] = false.into();
    body["error"] = "quota_exceeded".into();
    shared.log.warn("Quota exceeded", &json!({ "profileId": profile, "feature": feature, "limit": limit, "used": used }));
    Ok(Some((StatusCode::TOO_MANY_REQUESTS, body)))
}
