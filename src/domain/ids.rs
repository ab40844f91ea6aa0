//! Identifiers: Stripe's prefixed ids, and the product's own subject key. Parsed once, so that no unchecked text reaches a URL.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;

/// What a Stripe id names, told by its prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StripeKind {
    Customer,
    Subscription,
    SubscriptionItem,
    Price,
    Product,
    Invoice,
    InvoicePayment,
    PaymentIntent,
    Charge,
    CheckoutSession,
    Event,
    WebhookEndpoint,
    Refund,
    Dispute,
    Account,
    Request,
}

/// Longer prefixes before shorter ones that they begin with (`sub_sched_` is not ours, `cs_test_` before `cs_`).
const PREFIXES: &[(&str, StripeKind)] = &[
    ("cus_", StripeKind::Customer),
    ("sub_", StripeKind::Subscription),
    ("si_", StripeKind::SubscriptionItem),
    ("price_", StripeKind::Price),
    ("plan_", StripeKind::Price),
    ("prod_", StripeKind::Product),
    ("inpay_", StripeKind::InvoicePayment),
    ("in_", StripeKind::Invoice),
    ("pi_", StripeKind::PaymentIntent),
    ("ch_", StripeKind::Charge),
    ("py_", StripeKind::Charge),
    ("cs_", StripeKind::CheckoutSession),
    ("evt_", StripeKind::Event),
    ("we_", StripeKind::WebhookEndpoint),
    ("re_", StripeKind::Refund),
    ("dp_", StripeKind::Dispute),
    ("du_", StripeKind::Dispute),
    ("acct_", StripeKind::Account),
    ("req_", StripeKind::Request),
];

/// A syntactically sound Stripe id. It may be put into a URL: it holds nothing but `[A-Za-z0-9_]` behind a known prefix,
/// and never is a placeholder such as `cus_temp_…`. Its text is shared by its copies: a hundred thousand events name the same few.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StripeId(Arc<Text>);

/// Nearly all of Stripe's ids are short: held in place, so that a copy of one is a pointer and no more.
#[derive(PartialEq, Eq, Hash)]
enum Text {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

const SHORT: usize = 30;

/// The key of a profile in the product's database, as text, whatever its column's type (uuid, bigint, text).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SubjectKey(pub String);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    #[error("`{0}` is not a Stripe id: expected a known prefix such as cus_, sub_, in_, evt_ and letters or digits behind it")]
    Malformed(String),
    #[error("`{0}` is a placeholder written at checkout, not an id that Stripe knows")]
    Placeholder(String),
}

impl StripeId {
    /// # Errors
    /// [`IdError::Placeholder`] for `cus_temp_…`, [`IdError::Malformed`] for anything else that Stripe would not have issued.
    pub fn parse(text: &str) -> Result<Self, IdError> {
        if is_placeholder(text) {
            return Err(IdError::Placeholder(text.to_string()));
        }
        let tail = PREFIXES.iter().find_map(|(p, _)| text.strip_prefix(p));
        let sound = tail.is_some_and(|t| {
            let t = t.strip_prefix("test_").or_else(|| t.strip_prefix("live_")).unwrap_or(t);
            !t.is_empty() && t.len() <= 200 && t.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        });
        if sound { Ok(Self(Arc::new(Text::of(text)))) } else { Err(IdError::Malformed(text.chars().take(80).collect())) }
    }

    /// As [`StripeId::parse`], and of that kind.
    #[must_use]
    pub fn of(kind: StripeKind, text: &str) -> Option<Self> {
        Self::parse(text).ok().filter(|id| id.kind() == kind)
    }

    #[must_use]
    pub fn kind(&self) -> StripeKind {
        kind_of_prefix(self.as_str()).expect("invariant: parsed ids carry a known prefix")
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(self.0.bytes()).expect("invariant: parsed ids are ASCII")
    }
}

impl Text {
    fn of(text: &str) -> Self {
        let mut bytes = [0; SHORT];
        match (u8::try_from(text.len()), bytes.get_mut(..text.len())) {
            (Ok(length), Some(room)) => {
                room.copy_from_slice(text.as_bytes());
                Text::Short { length, bytes }
            }
            _ => Text::Long(text.into()),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Text::Short { length, bytes } => &bytes[..usize::from(*length)],
            Text::Long(text) => text.as_bytes(),
        }
    }
}

impl Ord for StripeId {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.bytes().cmp(other.0.bytes())
    }
}

impl PartialOrd for StripeId {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The kind that the text's prefix announces, sound or not: `cus_` alone already says customer.
#[must_use]
pub fn kind_of_prefix(text: &str) -> Option<StripeKind> {
    PREFIXES.iter().find(|(p, _)| text.starts_with(p)).map(|(_, k)| *k)
}

/// A customer id that the application made up at checkout and that Stripe never saw.
#[must_use]
pub fn is_placeholder(text: &str) -> bool {
    ["cus_temp_", "cus_pending_", "cus_placeholder_"].iter().any(|p| text.starts_with(p))
}

impl SubjectKey {
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for StripeId {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        Self::parse(&text)
    }
}

impl From<StripeId> for String {
    fn from(id: StripeId) -> Self {
        id.as_str().to_string()
    }
}

impl fmt::Display for StripeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for StripeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_by_their_prefix() {
        assert_eq!(StripeId::parse("cus_Qx81").map(|i| i.kind()), Ok(StripeKind::Customer));
        assert_eq!(StripeId::parse("cs_test_a1b2").map(|i| i.kind()), Ok(StripeKind::CheckoutSession));
        assert_eq!(StripeId::parse("inpay_9").map(|i| i.kind()), Ok(StripeKind::InvoicePayment));
    }

    #[test]
    fn short_and_long_ids_are_alike() {
        let long = format!("cs_test_{}", "a1".repeat(29));
        let mut ids: Vec<StripeId> = [long.as_str(), "evt_1MtJUT2eZvKYlo2CNaw2HvEv", "cs_test_a1", "cus_Qx81"]
            .map(|text| StripeId::parse(text).expect("an id"))
            .into();
        ids.sort();
        assert_eq!(ids.iter().map(StripeId::as_str).collect::<Vec<_>>(), ["cs_test_a1", &long, "cus_Qx81", "evt_1MtJUT2eZvKYlo2CNaw2HvEv"]);
        assert_eq!(size_of::<StripeId>(), size_of::<usize>(), "a hundred thousand events hold half a million of them");
    }

    #[test]
    fn nothing_that_could_bend_a_url_is_an_id() {
        for bad in ["", "cus_", "cus_a/b", "cus_a?x=1", "sub_ä", "cus_a b", "abc", "cs_test_"] {
            assert!(StripeId::parse(bad).is_err(), "{bad}");
        }
        assert!(matches!(StripeId::parse("cus_temp_ab12"), Err(IdError::Placeholder(_))));
    }
}
