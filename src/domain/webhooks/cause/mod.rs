//! The named causes of missing effects, one word each, and what helps against them. Which evidence leads to which is the rule book's.

mod book;
mod evidence;
mod look;
mod remedy;
mod rules;
#[cfg(test)]
mod tests;
mod trail;

pub use super::saying::{NEEDLES, Saying, saying};
pub use evidence::{Answer, Attributed, Evidence, Held, Named, Receipt, Scene};
pub use rules::{attribute, likely};
pub use trail::Trail;

use serde::{Deserialize, Serialize};

/// Why the effects of events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// The application verifies with another secret than the endpoint's.
    BadSignature,
    /// The endpoint's URL leads to a path that the application does not serve.
    WrongPath,
    /// It answers with a redirect, which Stripe does not follow.
    Redirect,
    Tls,
    Dns,
    /// It answers after Stripe has stopped waiting.
    Timeout,
    /// Nothing listens.
    Down,
    /// The application's database refused or did not answer the handler.
    Database,
    /// The profile named in metadata does not exist, or is no key at all.
    ProfileNotFound,
    /// The row holds a placeholder, or another customer: the handler finds nobody.
    NoRowForCustomer,
    PriceNotMapped,
    TypeNotHandled,
    NotSubscribed,
    EndpointDisabled,
    /// Stripe made no delivery of it: the endpoint was off, or not subscribed, when it happened.
    NeverSent,
    /// An older object was applied after a newer one.
    OlderApplied,
    /// The application took it for one that it had handled already.
    Duplicate,
    /// A live event at a test endpoint, or the reverse.
    ModeMismatch,
    /// The application cannot read objects of this API version.
    ApiVersion,
    /// Its clock is off by more than the signature allows.
    ClockSkew,
    /// The effect was there and was lost again: written over by hand, or restored from before.
    WrittenOver,
    /// Not sure: the raw text is shown instead.
    Unknown,
}

impl Cause {
    /// Every cause, in the order of the list.
    pub const ALL: [Cause; 22] = [
        Cause::BadSignature,
        Cause::WrongPath,
        Cause::Redirect,
        Cause::Tls,
        Cause::Dns,
        Cause::Timeout,
        Cause::Down,
        Cause::Database,
        Cause::ProfileNotFound,
        Cause::NoRowForCustomer,
        Cause::PriceNotMapped,
        Cause::TypeNotHandled,
        Cause::NotSubscribed,
        Cause::EndpointDisabled,
        Cause::NeverSent,
        Cause::OlderApplied,
        Cause::Duplicate,
        Cause::ModeMismatch,
        Cause::ApiVersion,
        Cause::ClockSkew,
        Cause::WrittenOver,
        Cause::Unknown,
    ];

    /// It stands at the endpoint itself: no event has an effect until that is mended.
    #[must_use]
    pub fn is_endpoints(self) -> bool {
        matches!(
            self,
            Cause::BadSignature
                | Cause::WrongPath
                | Cause::Redirect
                | Cause::Tls
                | Cause::Dns
                | Cause::Timeout
                | Cause::Down
                | Cause::EndpointDisabled
                | Cause::NeverSent
                | Cause::ClockSkew
        )
    }

    /// Something in what was deployed can bring it about: the handler, its secret, its path.
    #[must_use]
    pub fn may_be_deployed(self) -> bool {
        !matches!(
            self,
            Cause::ProfileNotFound
                | Cause::NoRowForCustomer
                | Cause::NotSubscribed
                | Cause::EndpointDisabled
                | Cause::NeverSent
                | Cause::WrittenOver
        )
    }

    /// A word or two for lists.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Cause::BadSignature => "bad signature",
            Cause::WrongPath => "wrong path",
            Cause::Redirect => "redirect",
            Cause::Tls => "TLS",
            Cause::Dns => "DNS",
            Cause::Timeout => "time-out",
            Cause::Down => "endpoint down",
            Cause::Database => "database error",
            Cause::ProfileNotFound => "profile not found",
            Cause::NoRowForCustomer => "no row for customer",
            Cause::PriceNotMapped => "price not mapped",
            Cause::TypeNotHandled => "type not handled",
            Cause::NotSubscribed => "not subscribed",
            Cause::EndpointDisabled => "endpoint disabled",
            Cause::NeverSent => "never sent",
            Cause::OlderApplied => "older object applied last",
            Cause::Duplicate => "duplicate",
            Cause::ModeMismatch => "live/test mismatch",
            Cause::ApiVersion => "API version",
            Cause::ClockSkew => "clock skew",
            Cause::WrittenOver => "written over",
            Cause::Unknown => "unknown",
        }
    }
}

/// What brings the effect about, where something does.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remedy {
    /// Stripe sends the event once more.
    Resend,
    /// We deliver the stored event, signed anew, to our own endpoint.
    Deliver,
    /// Stripe's truth is copied to the row.
    Apply,
    /// The row is linked to the customer, then Stripe's truth is copied.
    Link,
    /// Nothing that we send can help; why.
    Skip(String),
}
