//! What one answer to one request of a probe says: refused, taken, swallowed, or not the handler's at all.

use super::Came;
use serde_json::Value;

/// What stands behind an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// Refused with a status that says so.
    Refused,
    /// Success, and a body that says that it failed.
    Swallowed,
    /// Success, and nothing that says what became of it.
    Silent,
    /// Success, and a body that says that it was taken.
    Taken,
    /// The handler failed.
    Failed,
    /// What stands in front cannot reach the handler.
    Gateway,
    /// Refused without a word about signatures: by something that knows nothing of webhooks, or by a handler of few words.
    Proxy,
    Moved,
    NoSuchPath,
    /// 429: somebody limits us.
    Limited,
    /// The port speaks TLS, and the URL does not.
    WantsTls,
    /// No answer, or none was asked for.
    None,
}

/// Words of those who verify signatures.
const OF_HANDLERS: [&str; 7] = ["signature", "webhook", "stripe", "timestamp", "payload", "secret", "signing"];
const OF_FAILURE: [&str; 6] = ["signature", "invalid", "error", "fail", "unauthorized", "denied"];

pub fn read(came: &Came) -> Reading {
    let Came::Answer { status, body, .. } = came else { return Reading::None };
    let lower = body.to_lowercase();
    let says = |words: &[&str]| words.iter().any(|w| lower.contains(w));
    match status {
        200..=299 => success(body, says(&OF_FAILURE)),
        300..=399 => Reading::Moved,
        400 if lower.contains("plain http request") || lower.contains("http request to an https") => Reading::WantsTls,
        404 | 405 | 410 if !says(&["signature"]) => Reading::NoSuchPath,
        401 | 403 | 407 if !says(&OF_HANDLERS) => Reading::Proxy,
        429 => Reading::Limited,
        502..=504 | 520..=530 => Reading::Gateway,
        500..=599 => Reading::Failed,
        _ => Reading::Refused,
    }
}

/// Whether the answer speaks of the signature's age.
pub fn speaks_of_time(came: &Came) -> bool {
    let Came::Answer { body, .. } = came else { return false };
    let lower = body.to_lowercase();
    lower.contains("timestamp") || lower.contains("tolerance")
}

/// Whether it speaks of the signature at all.
pub fn speaks_of_signature(came: &Came) -> bool {
    let Came::Answer { body, .. } = came else { return false };
    body.to_lowercase().contains("signature")
}

fn success(body: &str, speaks_of_failure: bool) -> Reading {
    let json = serde_json::from_str::<Value>(body).ok();
    let is = |name: &str, wanted: bool| json.as_ref().is_some_and(|j| j[name] == wanted);
    let words = ["ok", "success", "received", "processed", "handled"];
    if words.iter().any(|w| is(w, false)) || json.as_ref().is_some_and(|j| !j["error"].is_null() && j["error"] != false) {
        return Reading::Swallowed;
    }
    let status = json.as_ref().and_then(|j| j["status"].as_str()).unwrap_or_default();
    if words.iter().any(|w| is(w, true)) || ["ok", "success", "processed", "received"].contains(&status) {
        return Reading::Taken;
    }
    if speaks_of_failure { Reading::Swallowed } else { Reading::Silent }
}
