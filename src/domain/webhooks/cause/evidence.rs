//! What a cause is found from: the facts of one event, and the scene that all events of a look share. It concludes nothing.

use super::trail::Trail;
use super::{Cause, Remedy};
use crate::domain::At;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::webhooks::deploy::Deploy;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::judge::Received;
use crate::domain::webhooks::probe::{Came, Probed, Shot};
use crate::domain::webhooks::verdict::Verdict;
use chrono::Duration;
use serde::{Deserialize, Serialize};

/// The first delivery of an event comes within so many seconds.
const DELIVERED_SECONDS: i64 = 60;

/// What is the same for all events that are looked at together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scene {
    /// As they are registered in Stripe now. `None`: not read.
    pub endpoints: Option<Vec<Endpoint>>,
    /// The webhook URL in the configuration.
    pub url: Option<String>,
    /// Until when no endpoint led there, where that was seen and is over.
    #[serde(default)]
    pub astray_until: Option<At>,
    /// Whether our own key is a live one. `None`: not known.
    pub livemode: Option<bool>,
    pub probe: Option<Probed>,
    /// When it was probed: what the application logged then, it logged about the probe.
    pub probed_at: Option<At>,
    /// `None`: no log is set up, or it could not be read.
    pub log: Option<Trail>,
    pub deploys: Vec<Deploy>,
    /// The application does not answer our own polls.
    pub application_down: bool,
    /// When it answered last, where it ever did: what happened before then has another reason.
    #[serde(default)]
    pub application_answered: Option<At>,
    /// Policy lets us deliver stored events to the endpoint ourselves, and there is a secret to sign them with.
    #[serde(default)]
    pub deliver: bool,
}

/// The facts of one event whose effect is missing. What is not known stays at its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Evidence {
    pub event: StripeId,
    pub kind: String,
    /// When Stripe made it.
    pub at: At,
    pub verdict: Verdict,
    /// The other ids that a log line may name it by: its object, customer, subscription.
    pub names: Vec<StripeId>,
    /// The version that its object is rendered at.
    pub api_version: Option<String>,
    pub livemode: bool,
    /// Stripe still owes a delivery of it.
    pub pending: bool,
    pub held: Held,
    pub named: Named,
    /// The price that the configuration maps to no tier, where that is so.
    pub unmapped: Option<String>,
    /// The older event of the same subscription whose demand the row holds.
    pub older_in_row: Option<StripeId>,
    /// When the application processed that older event last, by its own record.
    pub older_processed: Option<At>,
    /// The row was written after the event had happened. `None`: no column says when.
    pub written_since: Option<bool>,
    pub receipt: Receipt,
    /// The row that the event is judged by was read before the application said that it had processed it: by now the effect may be there.
    pub processed_unread: bool,
    /// What the endpoint answered when we delivered this event ourselves.
    pub answer: Option<Answer>,
    /// The tier that the application enforces.
    pub enforced: Option<String>,
    /// An event of the same type made later was applied, by the application where its log tells: what stood in the way is over.
    pub recovered: bool,
    /// One is sent before the others, and shows whether what stood in the way is over.
    pub canary: bool,
}

/// What the subject's row holds in place of the customer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Held {
    /// Not read, or nobody knows whose row it would be.
    #[default]
    Unknown,
    /// The event's customer.
    Customer,
    /// An id that the application made up at checkout.
    Placeholder(String),
    /// The id of another customer, or none.
    Other(Option<String>),
    /// The profile has no row.
    NoRow,
    /// No row holds the customer, and whose row it would be was not read.
    Nowhere,
}

/// The profile that Stripe's objects name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// Not read.
    #[default]
    Unknown,
    /// Nothing names one.
    Nobody,
    /// No key of this database's type.
    Malformed(String),
    /// A sound key, and no such profile.
    Gone(SubjectKey),
    Profile(SubjectKey),
}

/// What the application's own record of events says, where it keeps one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// It keeps none, or it was not read.
    #[default]
    Unknown,
    /// It keeps one, and this event is not in it.
    Absent,
    /// It came in, and was not processed to the end.
    Taken,
    Processed(Option<At>),
}

impl Receipt {
    /// Where a record is kept: what it says, if it has the event.
    #[must_use]
    pub fn of(received: Option<&Received>) -> Self {
        match received {
            None => Receipt::Absent,
            Some(r) if r.processed == Some(false) => Receipt::Taken,
            Some(r) => Receipt::Processed(r.processed_at),
        }
    }
}

/// An answer to a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    pub status: u16,
    /// The first of its body, cleaned and cut.
    pub body: String,
}

/// A cause with its reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributed {
    pub cause: Cause,
    /// The rule that applied; empty for an unknown cause.
    pub rule: String,
    /// Why, in one sentence.
    pub because: String,
    /// What helps, in one sentence.
    pub helps: String,
    pub remedy: Remedy,
    /// What was said or answered, in its own words.
    pub raw: Option<String>,
    /// What it rests on, a line each.
    pub evidence: Vec<String>,
}

impl Evidence {
    /// The facts that the event itself carries; everything else is not known yet.
    #[must_use]
    pub fn of(event: StripeId, kind: &str, at: At, verdict: Verdict) -> Self {
        Self {
            event,
            kind: kind.to_string(),
            at,
            verdict,
            names: Vec::new(),
            api_version: None,
            livemode: false,
            pending: false,
            held: Held::default(),
            named: Named::default(),
            unmapped: None,
            older_in_row: None,
            older_processed: None,
            written_since: None,
            receipt: Receipt::default(),
            processed_unread: false,
            answer: None,
            enforced: None,
            recovered: false,
            canary: false,
        }
    }

    /// What stood in the way of it need not stand there any more.
    #[must_use]
    pub fn may_be_over(&self) -> bool {
        self.recovered || self.canary
    }
}

impl Scene {
    /// The endpoint that the application is behind: the enabled one for the configured URL, else any for it, else the only one there is.
    #[must_use]
    pub fn endpoint(&self) -> Option<&Endpoint> {
        let all = self.endpoints.as_deref()?;
        match &self.url {
            Some(url) => all.iter().filter(|e| e.is_for(url)).max_by_key(|e| e.enabled),
            None if all.len() == 1 => all.first(),
            None => None,
        }
    }

    /// The application has a webhook URL, and no endpoint is registered for it.
    #[must_use]
    pub fn leads_astray(&self) -> bool {
        self.endpoints.as_ref().zip(self.url.as_ref()).is_some_and(|(all, url)| !all.iter().any(|e| e.is_for(url)))
    }

    /// The application did not answer when that happened, or a delivery of it could still have found it down.
    #[must_use]
    pub fn was_down(&self, at: At) -> bool {
        self.application_down && self.application_answered.is_none_or(|answered| at >= answered - Duration::seconds(DELIVERED_SECONDS))
    }

    /// As things stand now the application takes no event: it does not answer, or a probe did not come through.
    #[must_use]
    pub fn takes_nothing(&self) -> bool {
        let unanswered = |p: &Probed| p.came(Shot::Unsigned).is_some_and(|came| !matches!(came, Came::Answer { .. }));
        self.application_down || self.probe.as_ref().is_some_and(unanswered)
    }

    /// The newest deploy that is no younger than the moment, and not half an hour older.
    #[must_use]
    pub fn deployed_before(&self, at: At) -> Option<&Deploy> {
        let near = |d: &&Deploy| d.at <= at && (at - d.at).num_minutes() < 30;
        self.deploys.iter().filter(near).max_by_key(|d| d.at)
    }
}
