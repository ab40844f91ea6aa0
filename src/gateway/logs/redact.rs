//! What a log line must not carry any further: secrets are cut to their kind, e-mail addresses masked. Also the ids of Stripe's that it names.

use crate::domain::ids::StripeId;
use crate::domain::mask;
use crate::domain::text::clean;

const MASK: &str = "•••";
/// What these begin is a secret, and the beginning says of which kind.
const SECRETS: &[&str] = &["sk_live_", "sk_test_", "rk_live_", "rk_test_", "whsec_", "ghp_", "xoxb-", "AKIA", "eyJ"];
/// The value behind a name that ends like this is a secret.
const NAMES: &[&str] =
    &["password", "passwd", "pwd", "secret", "token", "apikey", "api_key", "api-key", "authorization", "cookie", "access_key", "v1"];
/// The word behind these is a secret.
const SCHEMES: &[&str] = &["bearer", "basic"];
const MOST_IDS: usize = 16;

/// The text with secrets cut and addresses masked.
pub fn redact(text: &str) -> String {
    let text = urls(text);
    let mut out = String::with_capacity(text.len());
    let mut rest = text.as_str();
    // What the word at hand is to become: the words before it decide.
    let mut next = Next::Anything;
    while !rest.is_empty() {
        let word = rest.find(is_boundary).map_or(rest, |end| &rest[..end]);
        if word.is_empty() {
            let c = rest.chars().next().expect("invariant: it is not empty");
            next = next.after(c);
            out.push(c);
            rest = &rest[c.len_utf8()..];
            continue;
        }
        rest = &rest[word.len()..];
        let shown = match next {
            Next::Secret if SCHEMES.iter().any(|s| word.eq_ignore_ascii_case(s)) => word.to_string(),
            Next::Secret => MASK.to_string(),
            Next::Likely if looks_random(word) => MASK.to_string(),
            _ => own(word),
        };
        let lower = word.to_ascii_lowercase();
        next = if SCHEMES.contains(&lower.as_str()) && rest.starts_with(' ') {
            Next::Scheme
        } else if NAMES.iter().any(|n| if *n == "v1" { lower == "v1" } else { lower.ends_with(n) }) {
            Next::Name
        } else {
            Next::Anything
        };
        out.push_str(&shown);
    }
    out
}

/// What another program said, as it may be shown and kept: no control characters, secrets cut, addresses masked, at most so many characters.
pub fn said(text: &str, most: usize) -> String {
    // Cut last: half a secret is not recognised as one.
    redact(&clean(text)).trim_end().chars().take(most).collect()
}

/// Stripe's ids in the text, each once, in order; at most sixteen.
pub fn ids(text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for word in text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_') {
        // `in_progress` and `re_try` are words.
        let issued = word.len() >= 8
            && word.split_once('_').is_some_and(|(_, tail)| tail.bytes().any(|b| b.is_ascii_digit() || b.is_ascii_uppercase()));
        if issued && found.len() < MOST_IDS && !found.iter().any(|f| f == word) && StripeId::parse(word).is_ok() {
            found.push(word.to_string());
        }
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Anything,
    /// A name of secrets came: an equals sign or a colon makes the next word one.
    Name,
    /// `token: x`: prose as often as not.
    Likely,
    Secret,
    /// `Bearer`, and the blank behind it is still to come.
    Scheme,
}

impl Next {
    /// What it is behind this separator.
    fn after(self, c: char) -> Self {
        match (self, c) {
            (Next::Name, '=') => Next::Secret,
            (Next::Name, ':') | (Next::Scheme, ' ') => Next::Likely,
            // `"token":"…"`, `\"token\": \"…\"`: quoted values are data.
            (Next::Name, '"' | '\'' | '\\') => Next::Name,
            (Next::Likely | Next::Secret, '"' | '\'') => Next::Secret,
            (Next::Likely, ' ' | '\\') => Next::Likely,
            (Next::Secret, '\\') => Next::Secret,
            _ => Next::Anything,
        }
    }
}

fn is_boundary(c: char) -> bool {
    c.is_whitespace()
        || matches!(c, '"' | '\'' | '=' | ':' | ',' | ';' | '(' | ')' | '{' | '}' | '[' | ']' | '<' | '>' | '\\' | '|' | '&' | '?')
}

fn looks_random(word: &str) -> bool {
    let mixed = word.bytes().skip(1).any(|b| b.is_ascii_uppercase()) && word.bytes().any(|b| b.is_ascii_lowercase());
    word.len() >= 8 && (mixed || word.bytes().any(|b| b.is_ascii_digit()))
}

/// A word that is a secret or an address by itself.
fn own(word: &str) -> String {
    if let Some(at) = SECRETS.iter().find_map(|s| word.find(s).map(|i| i + s.len())) {
        let token = word[at..].len() >= 8;
        if token {
            return format!("{}{MASK}", &word[..at]);
        }
    }
    if let Some((id, _)) = word.split_once("_secret_") {
        return format!("{id}_secret_{MASK}");
    }
    match word.split_once('@') {
        // `user:password@host` is a URL's.
        Some((local, host)) if !local.is_empty() && !local.starts_with('•') && host.contains('.') && !word.contains('/') => {
            mask::email(word.trim_end_matches('.'))
        }
        _ => word.to_string(),
    }
}

/// The password in `scheme://user:password@host`.
fn urls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, behind) = rest.split_at(at + 3);
        out.push_str(before);
        let end = behind.find(|c: char| c.is_whitespace() || matches!(c, '/' | '"' | '\'' | '<' | '>')).unwrap_or(behind.len());
        let authority = &behind[..end];
        match authority.rsplit_once('@').and_then(|(user, host)| Some((user.split_once(':')?.0, host))) {
            Some((user, host)) => out.push_str(&format!("{user}:{MASK}@{host}")),
            None => out.push_str(authority),
        }
        rest = &behind[end..];
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_secret_survives() {
        let hidden = "S3cretV4lue99";
        for text in [
            format!("key sk_live_{hidden} used"),
            format!("Invalid API Key provided: sk_test_{hidden}"),
            format!("secret whsec_{hidden}"),
            format!("Authorization: Bearer {hidden}"),
            format!("authorization=Bearer {hidden}"),
            format!("{{\"authorization\":\"Bearer {hidden}\"}}"),
            format!("{{\"password\": \"{hidden}\"}}"),
            format!("{{\\\"token\\\": \\\"{hidden}\\\"}}"),
            format!("password={hidden} host=db"),
            format!("GET /x?access_token={hidden}&y=1"),
            format!("postgres://api:{hidden}@db.internal:5432/app"),
            format!("postgres://api:p@{hidden}@db/app"),
            format!("t=1795315267,v1={hidden}"),
            format!("pi_3Nabc_secret_{hidden}"),
            format!("jwt eyJhbGciOi.{hidden}.x"),
            format!("admin_token: {hidden}"),
        ] {
            let shown = redact(&text);
            assert!(!shown.contains(hidden) && shown.contains(MASK), "{text} → {shown}");
        }
    }

    #[test]
    fn addresses_are_masked_and_prose_is_left_alone() {
        assert_eq!(redact("mail to jane.doe@acme.example.com failed"), "mail to j•••@a•••.com failed");
        assert_eq!(redact("user=<jane@acme.com>"), "user=<j•••@a•••.com>");
        for text in [
            "Unexpected token < in JSON at position 0",
            "No signatures found matching the expected signature for payload",
            "password authentication failed for user \"api\"",
            "Webhook secret: none configured",
            "at syncSubscription (/app/v413/webhooks/stripe.js:118:34)",
            "GET https://api.stripe.com/v1/events 200",
            "@types/node is old",
        ] {
            assert_eq!(redact(text), text);
        }
    }

    #[test]
    fn what_a_program_said_is_harmless_and_cut_only_then() {
        assert_eq!(said("\u{1b}[1mrestarting\u{1b}[0m for jane.doe@acme.com", 300), "�[1mrestarting�[0m for j•••@a•••.com");
        assert_eq!(said("postgres://a:b@db/x user@host done \n", 300), "postgres://a:•••@db/x user@host done");
        assert_eq!(said("key sk_live_S3cretV4lue99", 20), "key sk_live_•••");
        assert_eq!(said(&"x".repeat(9_000), 300).len(), 300);
    }

    #[test]
    fn ids_are_found_and_words_are_not() {
        let text = r#"{"eventId":"evt_1PZqq8N3fu","of":"cus_Real00000001","again":"cus_Real00000001","state":"in_progress","re_use":1,"t":"cus_temp_ab12"}"#;
        assert_eq!(ids(text), ["evt_1PZqq8N3fu", "cus_Real00000001"]);
    }
}
