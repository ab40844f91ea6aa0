//! What somebody pasted or typed: an id, a piece of one, an e-mail address, a dashboard link, a name. Classified once, for every search.

use super::ids::{StripeId, StripeKind, is_placeholder, kind_of_prefix};
use serde::{Deserialize, Serialize};

/// A search term by what it can match. Made by [`Needle::parse`], total: every text is one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Needle {
    /// A whole Stripe id, as far as its shape tells.
    Stripe(StripeId),
    /// The beginning of one: too short to be whole, at least the prefix and a character.
    StripePrefix {
        kind: StripeKind,
        text: String,
    },
    /// `cus_temp_…`: only the database can know it.
    Placeholder(String),
    /// 36 characters, hyphenated, lower case.
    Uuid(String),
    /// At least four hex digits of one, as typed but lower case.
    UuidPrefix(String),
    /// A whole or partial bigint key.
    Number(String),
    Email(String),
    /// Anything else: a name, or a piece of an address.
    Words(String),
}

impl Needle {
    /// `None` for blank text. Surrounding quotes, brackets, commas and a leading `mailto:` are dropped; of a dashboard URL the last id counts.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim().trim_matches(|c: char| matches!(c, '"' | '\'' | '`' | '<' | '>' | '(' | ')' | '[' | ']' | ',' | ';')).trim();
        let text = text.strip_prefix("mailto:").unwrap_or(text);
        if text.is_empty() {
            return None;
        }
        if text.starts_with("http://") || text.starts_with("https://") {
            return Some(from_url(text).unwrap_or_else(|| Needle::Words(text.to_string())));
        }
        Some(classify(text))
    }

    /// The text to look for.
    #[must_use]
    pub fn text(&self) -> &str {
        match self {
            Needle::Stripe(id) => id.as_str(),
            Needle::StripePrefix { text, .. } => text,
            Needle::Placeholder(t) | Needle::Uuid(t) | Needle::UuidPrefix(t) | Needle::Number(t) | Needle::Email(t) | Needle::Words(t) => t,
        }
    }
}

fn classify(text: &str) -> Needle {
    if is_placeholder(text) {
        return Needle::Placeholder(text.to_string());
    }
    if let Ok(id) = StripeId::parse(text) {
        let tail = text.rsplit('_').next().unwrap_or_default();
        return if tail.len() >= 8 { Needle::Stripe(id) } else { Needle::StripePrefix { kind: id.kind(), text: text.to_string() } };
    }
    if let Some(kind) = kind_of_prefix(text).filter(|_| text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')) {
        return Needle::StripePrefix { kind, text: text.to_string() };
    }
    let lower = text.to_ascii_lowercase();
    if uuid::Uuid::try_parse(&lower).is_ok() && lower.len() == 36 {
        return Needle::Uuid(lower);
    }
    if text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 19 {
        return Needle::Number(text.to_string());
    }
    let hex = lower.bytes().filter(u8::is_ascii_hexdigit).count();
    if hex >= 4 && lower.len() < 36 && lower.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-') {
        return Needle::UuidPrefix(lower);
    }
    let is_email = text.split_once('@').is_some_and(|(l, h)| !l.is_empty() && h.contains('.') && !h.ends_with('.') && !text.contains(' '));
    if is_email { Needle::Email(text.to_string()) } else { Needle::Words(text.to_string()) }
}

/// The last path segment or query value that is an id.
fn from_url(url: &str) -> Option<Needle> {
    url.split(['/', '?', '&', '=', '#'])
        .rev()
        .map(classify)
        .find(|n| matches!(n, Needle::Stripe(_) | Needle::Uuid(_) | Needle::Placeholder(_)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Needle {
        Needle::parse(text).expect("not blank")
    }

    #[test]
    fn pastes_are_told_apart() {
        assert!(matches!(parse("cus_QxAbCdEf98d"), Needle::Stripe(_)));
        assert!(matches!(parse(" \"sub_1PabcdefGHIJ\", "), Needle::Stripe(_)));
        assert!(matches!(parse("cus_Q"), Needle::StripePrefix { kind: StripeKind::Customer, .. }));
        assert!(matches!(parse("cus_temp_ab12"), Needle::Placeholder(_)));
        assert!(matches!(parse("7F3A5B7C-0000-4000-8000-000000000011"), Needle::Uuid(_)));
        assert!(matches!(parse("7f3a5b"), Needle::UuidPrefix(_)));
        assert!(matches!(parse("1004"), Needle::Number(_)));
        assert!(matches!(parse("mailto:jane@acme.com"), Needle::Email(_)));
        assert!(matches!(parse("jane@ac"), Needle::Words(_)));
        assert!(matches!(parse("Jane Doe"), Needle::Words(_)));
        assert_eq!(Needle::parse("  "), None);
    }

    #[test]
    fn a_dashboard_link_gives_its_id() {
        let n = parse("https://dashboard.stripe.com/test/subscriptions/sub_1PabcdefGHIJ?tab=events");
        assert_eq!(n.text(), "sub_1PabcdefGHIJ");
    }
}
