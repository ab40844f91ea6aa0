//! What Stripe's refusals mean, in one sentence each.

use crate::domain::fault::{Fault, FaultKind, Source};
use serde_json::Value;

/// A status other than 200, with its body.
pub(super) fn classify(status: u16, body: &[u8], request_id: Option<&str>) -> Fault {
    let json: Value = serde_json::from_slice(body).unwrap_or_default();
    let message = json.pointer("/error/message").and_then(Value::as_str).unwrap_or_default();
    let asked = request_id.map(|r| format!(" ({r})")).unwrap_or_default();
    let fault = |kind, say: String| Fault::new(Source::Stripe, kind, say);
    match status {
        401 => fault(FaultKind::Auth, format!("Stripe refuses the key: it is wrong, rolled or expired{asked}")),
        403 => {
            let missing = missing_permission(message);
            let say = match &missing {
                Some(slug) => format!("the Stripe key lacks the permission {slug}: add it to the restricted key{asked}"),
                None => format!("Stripe forbids this to the key{asked}"),
            };
            fault(FaultKind::Permission { missing }, say)
        }
        404 => fault(FaultKind::NotFound, format!("Stripe has no such object{asked}")),
        429 => fault(FaultKind::Limit, format!("Stripe limits us (429); asking less often{asked}")),
        500.. => fault(FaultKind::Unreachable, format!("Stripe answered {status}{asked}")),
        // The request was ours, so the sentence about it is for us: without the parameters, which may hold an address.
        _ => fault(FaultKind::Refused, format!("Stripe refused the request with {status}{asked}")),
    }
}

/// The line failed; with the fault, whether another attempt may help.
pub(super) fn transport(error: &reqwest::Error) -> (Fault, bool) {
    let fault = |kind, say: &str| Fault::new(Source::Stripe, kind, say);
    if error.is_timeout() {
        // Once is enough: the operator has waited five seconds already.
        return (fault(FaultKind::Timeout, "Stripe did not answer within 5 s"), false);
    }
    let text = format!("{error:?}").to_ascii_lowercase();
    if text.contains("certificate") || text.contains("tls") {
        return (fault(FaultKind::Tls, "no trusted TLS connection to Stripe; look at the clock, the certificates and any proxy"), false);
    }
    if error.is_connect() {
        return (fault(FaultKind::Unreachable, "Stripe cannot be reached from here"), true);
    }
    (fault(FaultKind::Unreachable, "the connection to Stripe broke off"), true)
}

/// `Having the 'rak_subscription_read' permission would allow this request to continue.`
fn missing_permission(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("Having the '")?;
    let (slug, _) = rest.split_once('\'')?;
    slug.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_').then(|| slug.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_read_names_the_permission() {
        let body = br#"{"error":{"message":"The provided key 'rk_test_x' does not have the required permissions for this endpoint on account 'acct_1'. Having the 'rak_invoice_read' permission would allow this request to continue.","type":"invalid_request_error"}}"#;
        let fault = classify(403, body, Some("req_1"));
        assert_eq!(fault.kind, FaultKind::Permission { missing: Some("rak_invoice_read".into()) });
        assert!(fault.say.contains("rak_invoice_read") && !fault.say.contains("rk_test_x"), "{fault}");
    }

    #[test]
    fn a_page_of_a_proxy_keeps_its_status() {
        assert_eq!(classify(502, b"<html>bad gateway</html>", None).say, "Stripe answered 502");
    }
}
