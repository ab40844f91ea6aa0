//! API keys: who is asking, and what a restricted key may do. The sentences are Stripe's.

use std::collections::HashMap;

use axum::http::{HeaderMap, header};
use serde::Serialize;

use super::failure::Failure;
use crate::sandbox::population::ids::{digits, mix};

pub struct Keys {
    seed: u64,
    secret: String,
    restricted: HashMap<String, Vec<String>>,
}

/// What kind of key a request came with; the key itself is kept nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    Secret,
    Restricted,
}

/// Who a request came from: the key itself, and what it may do (`None`: everything).
pub struct Caller<'a> {
    pub key: String,
    permissions: Option<&'a [String]>,
}

impl Keys {
    pub fn new(seed: u64) -> Self {
        Self { seed, secret: format!("sk_test_51{}", digits(mix(seed, 0x5EC2), 97)), restricted: HashMap::new() }
    }

    pub fn secret(&self) -> &str {
        &self.secret
    }

    pub fn add_restricted(&mut self, permissions: &[&str]) -> String {
        let key = format!("rk_test_51{}", digits(mix(self.seed ^ 0x2A4B, self.restricted.len() as u64), 97));
        self.restricted.insert(key.clone(), permissions.iter().map(ToString::to_string).collect());
        key
    }

    /// The caller, by Bearer or Basic (the key as user name, no password).
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<Caller<'_>, Failure> {
        let Some(key) = presented(headers) else {
            return Err(Failure::new(
                401,
                "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY'). See https://stripe.com/docs/api#authentication for details, or we can help at https://support.stripe.com/.",
            ));
        };
        if key.starts_with("pk_") {
            return Err(Failure::new(403, "This API call cannot be made with a publishable API key. Please use a secret API key. You can find a list of your API keys at https://dashboard.stripe.com/account/apikeys.").code("secret_key_required"));
        }
        if key == self.secret {
            return Ok(Caller { key, permissions: None });
        }
        match self.restricted.get(&key) {
            Some(permissions) => Ok(Caller { permissions: Some(permissions), key }),
            // A live key is no key here either: nothing in this place may pretend to touch real money.
            None => Err(Failure::new(401, format!("Invalid API Key provided: {}", redacted(&key)))),
        }
    }
}

impl Caller<'_> {
    pub fn kind(&self) -> KeyKind {
        if self.permissions.is_none() { KeyKind::Secret } else { KeyKind::Restricted }
    }

    /// A permission to write includes the one to read.
    pub fn check(&self, permission: &str, account: &str) -> Result<(), Failure> {
        let Some(held) = self.permissions else { return Ok(()) };
        let write = permission.strip_suffix("_read").map(|stem| format!("{stem}_write"));
        if held.iter().any(|p| p == permission || Some(p) == write.as_ref()) {
            return Ok(());
        }
        Err(Failure::new(
            403,
            format!(
                "The provided key '{}' does not have the required permissions for this endpoint on account '{account}'. Having the '{permission}' permission would allow this request to continue.",
                redacted(&self.key)
            ),
        ))
    }
}

/// `sk_test_` and the last four characters; everything between is starred.
fn redacted(key: &str) -> String {
    let chars: Vec<char> = key.chars().collect();
    let shown = if chars.len() > 12 { 8 } else { 0 };
    let tail = if chars.len() > 16 { chars.len() - 4 } else { chars.len() };
    chars.iter().enumerate().map(|(i, c)| if i < shown || i >= tail { *c } else { '*' }).collect()
}

fn presented(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, rest) = value.split_once(' ')?;
    let key = match scheme.to_ascii_lowercase().as_str() {
        "bearer" => rest.trim().to_string(),
        "basic" => {
            let text = String::from_utf8(decode_base64(rest.trim())?).ok()?;
            text.split_once(':').map_or(text.clone(), |(user, _)| user.to_string())
        }
        _ => return None,
    };
    (!key.is_empty()).then_some(key)
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut held) = (0u32, 0u32);
    for b in text.trim_end_matches('=').bytes() {
        let digit = match b {
            b'A'..=b'Z' => b - b'A',
            b'a'..=b'z' => b - b'a' + 26,
            b'0'..=b'9' => b - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(digit);
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
            bits &= (1 << held) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().expect("a header"))])
    }

    #[test]
    fn bearer_and_basic_name_the_same_key() {
        assert_eq!(presented(&headers("Bearer sk_test_abc")).as_deref(), Some("sk_test_abc"));
        // printf 'sk_test_abc:' | base64
        assert_eq!(presented(&headers("Basic c2tfdGVzdF9hYmM6")).as_deref(), Some("sk_test_abc"));
        assert_eq!(presented(&headers("Basic ???")), None);
        assert_eq!(presented(&headers("Bearer ")), None);
    }

    #[test]
    fn keys_are_never_repeated_whole() {
        assert_eq!(redacted("sk_live_1234567890abcd"), "sk_live_**********abcd");
        assert_eq!(redacted("short"), "*****");
        let mut keys = Keys::new(1);
        let key = keys.add_restricted(&["rak_event_write"]);
        let caller = keys.authenticate(&headers(&format!("Bearer {key}"))).expect("known");
        assert!(caller.check("rak_event_read", "acct_1").is_ok());
        let refused = caller.check("rak_customer_read", "acct_1").expect_err("not held");
        assert!(refused.message.contains("'rak_customer_read'") && !refused.message.contains(&key));
        let refused = keys.authenticate(&headers("Bearer sk_live_51abcdefghijklmnop")).err().expect("refused");
        assert!(refused.status == 401 && refused.message.starts_with("Invalid API Key provided: sk_live_*"));
    }
}
