//! What Stripe's errors mean to an operator: class, missing permission, one sentence. Keys never get into it.

use crate::domain::fault::{Fault, FaultKind, Source};
use serde_json::Value;

/// The fault behind an answer that is no success. `body` is the answer, where it was JSON.
pub fn of(status: u16, request: Option<&str>, body: Option<&Value>) -> Fault {
    let new = |kind, say: String| Fault::new(Source::Stripe, kind, say);
    let reference = request.filter(|r| r.len() < 60).map(|r| format!(", request {r}")).unwrap_or_default();
    let Some(error) = body.map(|b| &b["error"]).filter(|e| e.is_object()) else {
        let hint = "something else answers at Stripe's address: check stripe_base, and any proxy";
        let kind = match status {
            429 => FaultKind::Limit,
            500..=599 => FaultKind::Unreachable,
            _ => FaultKind::Schema,
        };
        return new(kind, format!("the answer ({status}) is not Stripe's JSON; {hint}"));
    };
    let message = error["message"].as_str().unwrap_or_default();
    match status {
        401 => new(FaultKind::Auth, "Stripe does not accept the key: check stripe_key".into()),
        403 => match slug(message) {
            Some(slug) => {
                let say = format!("the Stripe key lacks the permission {slug}: add it to the key in Stripe's dashboard");
                new(FaultKind::Permission { missing: Some(slug) }, say)
            }
            None => new(
                FaultKind::Permission { missing: None },
                format!("the Stripe key may not do this{reference}: use a secret or restricted key"),
            ),
        },
        404 => new(FaultKind::NotFound, "Stripe has no such object".into()),
        429 => new(FaultKind::Limit, format!("Stripe limits our requests{reference}; they go on by themselves")),
        500..=599 => new(FaultKind::Refused, format!("Stripe answered {status}{reference}; see its status page")),
        _ => {
            let code = error["code"].as_str().or(error["type"].as_str()).unwrap_or("no code");
            let parameter = error["param"].as_str().map(|p| format!(" for {p}")).unwrap_or_default();
            new(FaultKind::Refused, format!("Stripe refused the request: {status} {code}{parameter}{reference}"))
        }
    }
}

/// The permission that Stripe's sentence names: `Having the 'rak_…' permission would allow …`.
fn slug(message: &str) -> Option<String> {
    let start = message.find("'rak_")? + 1;
    let slug: String = message[start..].chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
    Some(slug)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_missing_permission_is_named_and_the_key_is_not() {
        let sentence = "The provided key 'rk_test_*********abcd' does not have the required permissions for this endpoint on account 'acct_1'. Having the 'rak_subscription_read' permission would allow this request to continue.";
        let fault = of(403, Some("req_1"), Some(&json!({ "error": { "message": sentence } })));
        assert_eq!(fault.kind, FaultKind::Permission { missing: Some("rak_subscription_read".into()) });
        assert!(!fault.say.contains("rk_test"), "{fault}");
    }

    #[test]
    fn what_is_not_json_is_no_answer_of_stripe_s() {
        assert_eq!(of(502, None, None).kind, FaultKind::Unreachable);
        assert_eq!(of(200, None, None).kind, FaultKind::Schema);
        assert_eq!(of(404, None, Some(&json!("<html>"))).kind, FaultKind::Schema, "a wrong address is not a missing customer");
    }
}
