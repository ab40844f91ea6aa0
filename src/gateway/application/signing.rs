//! Stripe's signature scheme for deliveries.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The value of `Stripe-Signature`: HMAC-SHA-256 of `{at}.{body}` under the whole `whsec_…` text; `at` in Unix seconds.
pub fn signature(secret: &str, at: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("invariant: HMAC takes a key of any length");
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use stripe_webhook::{Webhook, WebhookError};

    #[test]
    fn stripe_s_own_library_takes_the_signature() {
        let (body, now) = ("{\"id\":\"evt_1\"}", chrono::Utc::now().timestamp());
        let header = signature("whsec_abc", now, body.as_bytes());
        let refused = |secret: &str| matches!(Webhook::construct_event(body, &header, secret), Err(WebhookError::BadSignature));
        assert!(!refused("whsec_abc"));
        assert!(refused("whsec_abd"), "the test can fail");
    }
}
