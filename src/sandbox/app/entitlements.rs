//! The admin API of the application: what it enforces for a profile, and the reset of its counters.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;

use super::process::{Shared, answer, authorized};
use crate::sandbox::schema::{LIMITS, STOCK, TIERS};

/// `GET /admin/licensing/entitlements/{profile_id}`.
pub async fn show(State(shared): State<Arc<Shared>>, Path(profile): Path<String>, headers: HeaderMap) -> Response {
    serve(&shared, &profile, &headers, false).await
}

/// `POST /admin/licensing/entitlements/{profile_id}/reset`.
pub async fn reset(State(shared): State<Arc<Shared>>, Path(profile): Path<String>, headers: HeaderMap) -> Response {
    serve(&shared, &profile, &headers, true).await
}

async fn serve(shared: &Shared, profile: &str, headers: &HeaderMap, reset: bool) -> Response {
    if !authorized(shared, headers) {
        return answer(StatusCode::UNAUTHORIZED, json!({ "ok": false, "error": "Unauthorized" }));
    }
    match entitlements(shared, profile, reset).await {
        Ok(Some(data)) => answer(StatusCode::OK, json!({ "ok": true, "data": data })),
        Ok(None) => {
            shared.log.warn("Profile not found", &json!({ "profileId": profile }));
            answer(StatusCode::NOT_FOUND, json!({ "ok": false, "error": "Profile not found" }))
        }
        Err(error) => {
            shared.log_database(Utc::now(), "Entitlements failed", &error, json!({ "profileId": profile }));
            answer(StatusCode::INTERNAL_SERVER_ERROR, json!({ "ok": false, "error": "Internal error" }))
        }
    }
}

type Counter = (String, i32, Option<f64>, Option<f64>);

/// `None` when there is no such profile.
async fn entitlements(shared: &Shared, profile: &str, reset: bool) -> Result<Option<Value>, sqlx::Error> {
    if !shared.shape.names().is_key(profile) {
        return Ok(None);
    }
    let sql = &shared.statements;
    let mut connection = shared.pool.acquire().await?;
    let tier: Option<(Option<String>,)> =
        sqlx::query_as(AssertSqlSafe(sql.tier.as_str())).bind(profile).fetch_optional(&mut *connection).await?;
    let Some((tier,)) = tier else { return Ok(None) };
    let tier = tier.unwrap_or_else(|| TIERS[0].to_string());
    if reset {
        let features: Vec<_> = LIMITS.iter().map(|(feature, _)| *feature).filter(|f| *f != STOCK).collect();
        sqlx::query(AssertSqlSafe(sql.reset.as_str())).bind(profile).bind(features).execute(&mut *connection).await?;
        shared.log.info("Counters reset", &json!({ "profileId": profile }));
    }
    let (in_table,): (bool,) = sqlx::query_as(AssertSqlSafe(sql.has_limits.as_str())).fetch_one(&mut *connection).await?;
    let limits: Vec<(String, i32)> = if in_table {
        sqlx::query_as(AssertSqlSafe(sql.limits.as_str())).bind(&tier).fetch_all(&mut *connection).await?
    } else {
        // Without the table the limits are those the application was built with.
        let column = TIERS.iter().position(|t| *t == tier).unwrap_or(0);
        LIMITS.iter().map(|(feature, values)| ((*feature).to_string(), values[column])).collect()
    };
    let counters: Vec<Counter> = sqlx::query_as(AssertSqlSafe(sql.counters.as_str())).bind(profile).fetch_all(&mut *connection).await?;
    let counters: HashMap<_, _> = counters.into_iter().map(|(feature, used, start, end)| (feature, (used, start, end))).collect();
    let features: Map<String, Value> = limits
        .into_iter()
        .map(|(feature, value)| {
            let (used, start, end) = counters.get(&feature).copied().unwrap_or_default();
            let facts = json!({
                "value": value,
                "used": used,
                "resets": feature != STOCK,
                "periodStart": start.and_then(iso),
                "periodEnd": end.and_then(iso),
            });
            (feature, facts)
        })
        .collect();
    Ok(Some(json!({ "tier": tier, "features": features })))
}

/// Unix seconds as the API writes times.
pub(super) fn iso(seconds: f64) -> Option<String> {
    #[expect(clippy::cast_possible_truncation, reason = "times of this century in milliseconds fit")]
    let millis = (seconds * 1000.0) as i64;
    DateTime::from_timestamp_millis(millis).map(|t| t.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}
