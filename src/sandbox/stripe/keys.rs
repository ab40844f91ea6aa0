//! API keys: who is asking, and what a restricted key may do. The sentences are Stripe's.

use axum::http::{HeaderMap, header};
use serde::Serialize;

use super::failure::Failure;
use crate::sandbox::population::ids::{digits, mix};

pub struct Keys {
    seed: u64,
    /// In order of making; the first is the account's own.
    all: Vec<Key>,
}

/// What kind of key a request came with; the key itself is kept nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum KeyKind {
    Secret,
    Restricted,
}

struct Key {
    text: String,
    name: String,
    /// `None`: everything.
    permissions: Option<Vec<String>>,
    expired: bool,
}

/// A key without its secret part, for lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct KnownKey {
    pub name: String,
    pub key: String,
    pub permissions: Option<Vec<String>>,
    pub expired: bool,
}

/// Who a request came from.
pub struct Caller<'a> {
    /// What the key was called when it was made.
    pub name: &'a str,
    key: String,
    permissions: Option<&'a [String]>,
}

impl Keys {
    pub fn new(seed: u64) -> Self {
        let text = format!("sk_test_51{}", digits(mix(seed, 0x5EC2), 97));
        Self { seed, all: vec![Key { text, name: "secret".to_string(), permissions: None, expired: false }] }
    }

    /// The account's own secret key.
    pub fn secret(&self) -> &str {
        &self.all[0].text
    }

    /// A key that may do nothing but say whose account it is.
    pub fn publishable(&self) -> String {
        format!("pk_test_51{}", digits(mix(self.seed, 0x9B11), 97))
    }

    /// A further key: restricted to permissions, or (`None`) a secret one that may do everything.
    pub fn add(&mut self, name: &str, permissions: Option<&[&str]>) -> String {
        let prefix = if permissions.is_some() { "rk" } else { "sk" };
        let text = format!("{prefix}_test_51{}", digits(mix(self.seed ^ 0x2A4B, self.all.len() as u64), 97));
        let permissions = permissions.map(|all| all.iter().map(ToString::to_string).collect());
        self.all.push(Key { text: text.clone(), name: name.to_string(), permissions, expired: false });
        text
    }

    /// Ends a key, named by itself or by its name. False: there is none.
    pub fn expire(&mut self, key: &str) -> bool {
        let mut found = false;
        for known in self.all.iter_mut().filter(|k| k.text == key || k.name == key) {
            known.expired = true;
            found = true;
        }
        found
    }

    pub fn known(&self) -> Vec<KnownKey> {
        let shown =
            |k: &Key| KnownKey { name: k.name.clone(), key: redacted(&k.text), permissions: k.permissions.clone(), expired: k.expired };
        self.all.iter().map(shown).collect()
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
        match self.all.iter().find(|k| k.text == key) {
            Some(known) if known.expired => {
                Err(Failure::new(401, format!("Expired API Key provided: {}", redacted(&key))).code("api_key_expired"))
            }
            Some(known) => Ok(Caller { name: &known.name, permissions: known.permissions.as_deref(), key }),
            // A live key is no key here either: nothing in this place may pretend to touch real money.
            None => Err(Failure::new(401, format!("Invalid API Key provided: {}", redacted(&key)))),
        }
    }
}

impl Caller<'_> {
    pub fn kind(&self) -> KeyKind {
        if self.permissions.is_none() { KeyKind::Secret } else { KeyKind::Restricted }
    }

    /// Why it may not act for another account: there is none that is connected.
    pub fn stranger(&self, account: &str) -> Failure {
        let key = redacted(&self.key);
        let message = format!(
            "The provided key '{key}' does not have access to account '{account}' (or that account does not exist). Application access may have been revoked."
        );
        Failure::new(403, message).code("account_invalid")
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
        let key = keys.add("resender", Some(&["rak_event_write"]));
        let caller = keys.authenticate(&headers(&format!("Bearer {key}"))).expect("known");
        assert!(caller.check("rak_event_read", "acct_1").is_ok() && caller.name == "resender");
        let refused = caller.check("rak_customer_read", "acct_1").expect_err("not held");
        assert!(refused.message.contains("'rak_customer_read'") && !refused.message.contains(&key));
        let refused = keys.authenticate(&headers("Bearer sk_live_51abcdefghijklmnop")).err().expect("refused");
        assert!(refused.status == 401 && refused.message.starts_with("Invalid API Key provided: sk_live_*"));
        let second = keys.add("second", None);
        assert!(keys.authenticate(&headers(&format!("Bearer {second}"))).is_ok_and(|c| c.check("rak_x_write", "acct_1").is_ok()));
        assert!(keys.expire("second") && !keys.expire("third"));
        let refused = keys.authenticate(&headers(&format!("Bearer {second}"))).err().expect("expired");
        assert_eq!((refused.status, refused.code.as_deref()), (401, Some("api_key_expired")));
        assert!(keys.known().iter().all(|k| k.key.contains("****")));
    }
}
