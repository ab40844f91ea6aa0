//! What can go wrong in the sandbox: the list of incidents, a file each. What one broke is written down as labels, by what it did
//! and by no rule of the console's.

mod check;
mod clock_skew;
mod database_restart;
mod deploy;
mod dispute;
mod drift;
mod endpoint_down;
mod erase_request;
mod error;
mod ground;
mod half_done_run;
mod happenings;
mod healthy;
mod label;
mod misregistered;
mod missed_webhooks;
mod people;
mod placeholder_customers;
mod pool_exhausted;
mod quota_spent;
mod refund_wanted;
mod requests;
mod settled;
mod slow_application;
mod stripe_down;
mod webhook_500;
mod wrong_secret;

use clap::ValueEnum;
use clap::builder::PossibleValue;
use futures_util::future::BoxFuture;
use serde::{Serialize, Serializer};

pub use check::{Check, Expected, Passing};
pub use error::IncidentError;
pub use ground::{Ground, House};
pub use label::{Cause, Label, Subject, Truth};
pub use pool_exhausted::{Fate, Session};
pub use quota_spent::{Counter, Due};
pub use requests::Request;
pub use settled::{Erased, Refunded, Settled, Wanted};

use ground::Turn;

/// Every incident there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Incident {
    MissedWebhooks,
    PlaceholderCustomers,
    WrongSecret,
    EndpointDown,
    Webhook500,
    SlowApplication,
    ClockSkew,
    Misregistered,
    StripeDown,
    Drift,
    Deploy,
    Healthy,
    RefundWanted,
    Dispute,
    EraseRequest,
    PoolExhausted,
    QuotaSpent,
    HalfDoneRun,
    DatabaseRestart,
}

type Done<'a, T> = BoxFuture<'a, Result<T, IncidentError>>;

/// What an incident is made of: the one constant of its file.
struct Spec {
    /// On the command line and in URLs.
    name: &'static str,
    /// One line that says what happened.
    title: &'static str,
    /// How many it hits in an ordinary start.
    background: usize,
    /// How many it hits when it is asked for by name.
    usual: usize,
    /// Breaks something and says what. Errors before anything was broken, where people are lacking.
    strike: for<'a> fn(&'a Ground, Turn) -> Done<'a, Vec<Label>>,
    /// Ends what a change of configuration or a restart ends, and repairs no row. Absent: there is nothing of that kind.
    lift: Option<for<'a> fn(&'a Ground) -> Done<'a, ()>>,
}

impl Incident {
    pub const ALL: &'static [Self] = &[
        Self::MissedWebhooks,
        Self::PlaceholderCustomers,
        Self::WrongSecret,
        Self::EndpointDown,
        Self::Webhook500,
        Self::SlowApplication,
        Self::ClockSkew,
        Self::Misregistered,
        Self::StripeDown,
        Self::Drift,
        Self::Deploy,
        Self::Healthy,
        Self::RefundWanted,
        Self::Dispute,
        Self::EraseRequest,
        Self::PoolExhausted,
        Self::QuotaSpent,
        Self::HalfDoneRun,
        // The last, since it takes away what the others need.
        Self::DatabaseRestart,
    ];

    /// The name on the command line and in URLs.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.spec().name
    }

    /// One line that says what happened.
    #[must_use]
    pub fn title(self) -> &'static str {
        self.spec().title
    }

    /// How many subjects it hits in an ordinary start of the sandbox; most incidents happen only when they are asked for.
    #[must_use]
    pub fn background(self) -> usize {
        self.spec().background
    }

    /// How many subjects it hits when it is asked for by name.
    #[must_use]
    pub fn usual(self) -> usize {
        self.spec().usual
    }

    /// Whether a change of configuration or a restart ends something of it.
    #[must_use]
    pub fn ends(self) -> bool {
        self.spec().lift.is_some()
    }

    /// Whether it begins and ends by itself: who is to see it has to be there when it happens.
    #[must_use]
    pub fn passes(self) -> bool {
        matches!(self, Self::StripeDown | Self::DatabaseRestart)
    }

    fn spec(self) -> &'static Spec {
        match self {
            Self::MissedWebhooks => &missed_webhooks::SPEC,
            Self::PlaceholderCustomers => &placeholder_customers::SPEC,
            Self::WrongSecret => &wrong_secret::SPEC,
            Self::EndpointDown => &endpoint_down::SPEC,
            Self::Webhook500 => &webhook_500::SPEC,
            Self::SlowApplication => &slow_application::SPEC,
            Self::ClockSkew => &clock_skew::SPEC,
            Self::Misregistered => &misregistered::SPEC,
            Self::StripeDown => &stripe_down::SPEC,
            Self::Drift => &drift::SPEC,
            Self::Deploy => &deploy::SPEC,
            Self::Healthy => &healthy::SPEC,
            Self::RefundWanted => &refund_wanted::SPEC,
            Self::Dispute => &dispute::SPEC,
            Self::EraseRequest => &erase_request::SPEC,
            Self::PoolExhausted => &pool_exhausted::SPEC,
            Self::QuotaSpent => &quota_spent::SPEC,
            Self::HalfDoneRun => &half_done_run::SPEC,
            Self::DatabaseRestart => &database_restart::SPEC,
        }
    }
}

impl ValueEnum for Incident {
    fn value_variants<'a>() -> &'a [Self] {
        Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()).help(self.title()))
    }
}

impl Serialize for Incident {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
