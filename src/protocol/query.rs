//! Reads: every question the console and the procedures can ask, and what answers it. None of them changes anything.

use crate::domain::At;
use crate::domain::desk::DeskState;
use crate::domain::entitlement::Entitlement;
use crate::domain::fault::Source;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::mirror::{Mirror, Mirrored};
use crate::domain::needle::Needle;
use crate::domain::payments::Payments;
use crate::domain::quota::{CounterSheet, NearKey, NearPage, QuotaFilter, QuotaTotal, Threshold, TierUse};
use crate::domain::row::{Record, Subject, SubscriptionRow};
use crate::domain::sessions::{Activity, PoolerPool, SessionId};
use crate::domain::shape::Shape;
use crate::domain::stripe::{Account, CheckoutSession, Customer, Invoice, StripeEvent, Subscription};
use crate::domain::webhooks::deploy::Deploy;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::feed::RawEvent;
use crate::domain::webhooks::judge::Received;
use crate::domain::webhooks::log::{LogLine, LogSearch};
use crate::domain::webhooks::probe::Probed;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Which profiles to read. Every variant is answered by index or by a bounded scan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Locator {
    Subjects(Vec<SubjectKey>),
    /// The row's Stripe customer id, placeholders included.
    CustomerId(String),
    SubscriptionId(String),
    Email(String),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Query {
    // -- the product's database
    /// The shape behind the contracts and how far rows can be trusted.
    Shape,
    /// Hits for a search, best first, at most `limit`.
    FindInDatabase {
        needle: NeedleText,
        limit: u32,
    },
    /// Profiles with their row and counters; at most 20.
    Records(Locator),
    /// Rows by their Stripe customer id, for many customers at once: what Home compares with.
    RowsOf(Vec<StripeId>),
    /// What the application itself noted of these events; `None` where it keeps no record.
    Received(Vec<StripeId>),
    /// Rows that hold one of these subscriptions, or belong to one of these profiles, whatever customer they name.
    RowsNaming {
        subscriptions: Vec<StripeId>,
        subjects: Vec<SubjectKey>,
    },
    /// One page of all rows by their key, which `after` was the last of.
    RowPage {
        after: Option<SubjectKey>,
    },
    /// Whether bulk work has to stand back for production at the moment.
    Pressure,
    /// Copies of Stripe's objects in the database's mirror of Stripe; `None` where it has none that can be read.
    Mirrored(MirrorOf),
    /// Hits for a search in that mirror, best first; none where there is no mirror.
    FindInMirror {
        needle: NeedleText,
        limit: u32,
    },
    /// All sessions of the server, their room and what our role sees of them; without the text of their statements.
    Activity,
    /// The statements of these sessions, literals hidden; at most 200.
    SessionTexts(Vec<SessionId>),
    /// The pools of the configured pooler, from its admin console.
    Pooler,
    /// A page of the counters that have reached this share of their limit, the fullest first; at most [`crate::domain::quota::PAGE`].
    NearLimit {
        threshold: Threshold,
        filter: QuotaFilter,
        /// The last one of the page before; `None`: the first page.
        after: Option<NearKey>,
    },
    /// How many are near their limit, by tier and feature. Takes longer than a page: ask for the page first.
    QuotaTotals {
        threshold: Threshold,
        filter: QuotaFilter,
    },
    /// How much each tier uses of each feature.
    TierUsage(QuotaFilter),
    /// Who has renewed and is blocked by the use of the period before, the first page of them; `None` where no index makes that cheap to tell.
    Unreset,
    /// One subject's counters, and what may be done to them; `None` where there is no counter table.
    Counters(SubjectKey),
    // -- Stripe
    Account,
    /// Hits for a search at Stripe, best first.
    FindInStripe {
        needle: NeedleText,
        limit: u32,
    },
    /// A customer by id, deleted ones included; empty where Stripe has none.
    Customer(StripeId),
    /// The customer that an object of any other kind belongs to (subscription, invoice, session, payment, charge, event).
    CustomerOf(StripeId),
    /// Customers that a profile may own: by e-mail, and by metadata that names it.
    CustomersFor {
        email: Option<String>,
        subject: SubjectKey,
    },
    /// All subscriptions of a customer, ended ones included, newest first.
    SubscriptionsOf(StripeId),
    SessionsOf(StripeId),
    /// The newest invoices of a customer with their payments, at most 24.
    InvoicesOf(StripeId),
    /// One page of a range of events, newest first.
    EventPage(EventRange),
    /// One event with its whole object, as Stripe renders it; empty where it is older than Stripe keeps events.
    Event(StripeId),
    /// A subscription by id, ended ones included; empty where Stripe has none.
    Subscription(StripeId),
    /// One page of all customers' subscriptions, ended ones included, newest first.
    SubscriptionPage(SubscriptionRange),
    /// The webhook endpoints as they are registered.
    Endpoints,
    /// How many payments succeeded and failed in this time, from the newest pages of charges.
    Payments {
        from: At,
        until: At,
    },
    // -- the application
    /// What it enforces; `None` where it does not know the subject.
    Entitlement(SubjectKey),
    /// Asks the webhook endpoint with forged events, and signed ones where policy allows. Changes nothing; asked for once on LIVE.
    Probe,
    /// What was deployed, newest first, by the configured command.
    Deploys,
    // -- the application's logs
    /// Lines out of all configured logs together, in the order that the search asks for.
    Logs(LogSearch),
    // -- our own journal
    /// Runs of this operator and environment that are not finished, and the newest finished ones.
    Runs,
    /// Runs of other operators of the environment, newest first, as far as the shared store has them; without their payloads.
    TeamRuns,
    /// What the journal says about one run, oldest first.
    Recorded(Uuid),
    /// What operators have said about causes and drift.
    Desk,
}

/// Which of the mirror's copies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum MirrorOf {
    Subscriptions(Vec<StripeId>),
    /// These customers, those of these subscriptions and addresses, and all their subscriptions.
    Customers {
        ids: Vec<StripeId>,
        subscriptions: Vec<StripeId>,
        email: Option<String>,
    },
}

/// Which events: by time and type, and where the page begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventRange {
    pub since: At,
    /// Not after this; `None`: up to now.
    pub until: Option<At>,
    /// Only types that can change a row.
    pub handled_only: bool,
    /// Only events with a delivery that failed or is still owed.
    pub undelivered_only: bool,
    /// The last event of the page before; `None`: the first page.
    pub after: Option<StripeId>,
}

/// Which subscriptions, by the time of their creation, and where the page begins.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SubscriptionRange {
    /// Not before this; `None`: from the beginning.
    pub since: Option<At>,
    /// Before this; `None`: up to now.
    pub before: Option<At>,
    /// The last one of the page before; `None`: the first page.
    pub after: Option<StripeId>,
}

/// A needle in a form that can key a map.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NeedleText(pub String);

/// A search hit, from one source.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hit {
    pub source: Source,
    pub handle: crate::domain::facts::Handle,
    pub name: Option<String>,
    pub email: Option<String>,
    /// The profile's key, where the source knows it.
    pub subject: Option<SubjectKey>,
    /// The Stripe customer id, placeholders included.
    pub customer: Option<String>,
    /// What stands beside it: the tier in the database, the kind of object at Stripe.
    pub note: String,
    /// 0 exact, 1 prefix, 2 elsewhere.
    pub rank: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Shape(Box<Shape>),
    Hits {
        hits: Vec<Hit>,
        truncated: bool,
    },
    /// Hits in the mirror of Stripe, and how far it may be believed.
    MirrorHits {
        hits: Vec<Hit>,
        truncated: bool,
        mirror: Mirror,
    },
    Records(Vec<Record>),
    /// Rows with the customer id they hold and the profile they belong to.
    Rows(Vec<(SubscriptionRow, Subject)>),
    Received(Option<Vec<Received>>),
    RowPage {
        rows: Vec<SubscriptionRow>,
        /// Where the next page begins; `None`: this was the last.
        next: Option<SubjectKey>,
    },
    /// Why to stand back, a sentence each; none: go on.
    Pressure(Vec<String>),
    Mirrored(Option<Box<Mirrored>>),
    Activity(Box<Activity>),
    /// Those of the sessions that are still there, in the order asked for; empty text: it never ran a statement.
    SessionTexts(Vec<(SessionId, String)>),
    Pooler(Vec<PoolerPool>),
    NearLimit(NearPage),
    /// Tiers and features with nobody near are left out.
    QuotaTotals(Vec<QuotaTotal>),
    TierUsage(Vec<TierUse>),
    Unreset(Option<NearPage>),
    Counters(Option<CounterSheet>),
    Account(Account),
    Customers(Vec<Customer>),
    Subscriptions(Vec<Subscription>),
    SubscriptionPage {
        subscriptions: Vec<Subscription>,
        /// Elements that could not be read as subscriptions.
        raw: Vec<RawEvent>,
        /// Where the next page begins; `None`: this was the last.
        next: Option<StripeId>,
    },
    Sessions(Vec<CheckoutSession>),
    Invoices(Vec<Invoice>),
    EventPage {
        events: Vec<StripeEvent>,
        /// Elements that could not be read as events.
        raw: Vec<RawEvent>,
        /// Where the next page begins; `None`: this was the last.
        next: Option<StripeId>,
        /// How far the clock of whoever answered is ahead of ours, in seconds; `None` where it did not say.
        clock_ahead: Option<i64>,
    },
    /// The event as JSON text, cleaned; empty where Stripe no longer has it.
    Event(Option<String>),
    Endpoints(Vec<Endpoint>),
    Payments(Payments),
    Entitlement(Option<Entitlement>),
    Probed(Probed),
    Deploys(Vec<Deploy>),
    Logs {
        lines: Vec<LogLine>,
        /// Whether these are all there are: no log failed, none begins later than asked, the limit was not reached.
        complete: bool,
        /// From here on these are all there are, complete or not; `None` where lines may lack anywhere.
        covers: Option<At>,
        /// Why not, in one sentence.
        note: Option<String>,
    },
    Runs(Vec<super::record::RunSummary>),
    Recorded(Vec<super::record::Recorded>),
    Desk(DeskState),
}

impl Query {
    /// The source that answers it.
    #[must_use]
    pub fn source(&self) -> Source {
        match self {
            Query::Shape
            | Query::FindInDatabase { .. }
            | Query::Records(_)
            | Query::RowsOf(_)
            | Query::RowsNaming { .. }
            | Query::RowPage { .. }
            | Query::Received(_)
            | Query::Mirrored(_)
            | Query::FindInMirror { .. }
            | Query::Pressure
            | Query::Activity
            | Query::SessionTexts(_)
            | Query::Pooler
            | Query::NearLimit { .. }
            | Query::QuotaTotals { .. }
            | Query::TierUsage(_)
            | Query::Unreset
            | Query::Counters(_) => Source::Database,
            Query::Account
            | Query::FindInStripe { .. }
            | Query::Customer(_)
            | Query::CustomerOf(_)
            | Query::CustomersFor { .. }
            | Query::SubscriptionsOf(_)
            | Query::SessionsOf(_)
            | Query::InvoicesOf(_)
            | Query::EventPage(_)
            | Query::Event(_)
            | Query::Subscription(_)
            | Query::SubscriptionPage(_)
            | Query::Endpoints
            | Query::Payments { .. } => Source::Stripe,
            Query::Entitlement(_) | Query::Probe | Query::Deploys => Source::Application,
            Query::Logs(_) => Source::Log,
            Query::Runs | Query::TeamRuns | Query::Recorded(_) | Query::Desk => Source::Store,
        }
    }
}

impl NeedleText {
    #[must_use]
    pub fn needle(&self) -> Option<Needle> {
        Needle::parse(&self.0)
    }
}
