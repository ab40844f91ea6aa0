//! A small world to read cases from: objects with sensible defaults, and a pure stand-in for every source. No network.

use chrono::{DateTime, Duration, TimeZone, Utc};
use nightdesk::domain::At;
use nightdesk::domain::desk::DeskState;
use nightdesk::domain::entitlement::{Entitlement, FeatureUse};
use nightdesk::domain::facts::{Case, Handle};
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::ids::{StripeId, StripeKind, SubjectKey};
use nightdesk::domain::mirror::Mirrored;
use nightdesk::domain::money::Money;
use nightdesk::domain::payments::Payments;
use nightdesk::domain::quota::{NearPage, ServedBy};
use nightdesk::domain::row::{Counter, Field, Image, Record, Subject, SubscriptionRow, Value};
use nightdesk::domain::sessions::{Activity, PoolerPool};
use nightdesk::domain::shape::{IntervalWords, KeyType, Shape, Trust};
use nightdesk::domain::stripe::{
    CheckoutSession, Customer, Interval, Invoice, Item, Metadata, Payment, Period, Price, Status, StripeEvent, Subscription,
};
use nightdesk::domain::tiers::TierRules;
use nightdesk::domain::webhooks::deploy::Deploy;
use nightdesk::domain::webhooks::log::LogLine;
use nightdesk::protocol::answers::{Answers, assemble, next_reads};
use nightdesk::protocol::query::{Hit, Locator, Query, Reply};
use nightdesk::protocol::record::{Recorded, RunSummary};
use std::collections::BTreeMap;

pub const PROFILE: &str = "7f3a5b7c-0000-4000-8000-000000000011";
pub const OTHER: &str = "99aa5b7c-0000-4000-8000-000000000022";
pub const CUSTOMER: &str = "cus_QxAbCdEf98d";
pub const PLACEHOLDER: &str = "cus_temp_ab12";
pub const SUBSCRIPTION: &str = "sub_1PabcdefGH2x";

/// 22 November 2026, 03:12 UTC.
pub fn now() -> At {
    Utc.with_ymd_and_hms(2026, 11, 22, 3, 12, 0).single().expect("a moment")
}

pub fn ago(minutes: i64) -> DateTime<Utc> {
    now() - Duration::minutes(minutes)
}

pub fn id(text: &str) -> StripeId {
    StripeId::parse(text).expect("a Stripe id")
}

pub fn key(text: &str) -> SubjectKey {
    SubjectKey(text.into())
}

pub fn metadata(pairs: &[(&str, &str)]) -> Metadata {
    pairs.iter().map(|(k, v)| ((*k).to_string(), (*v).to_string())).collect()
}

pub fn shape() -> Shape {
    Shape {
        server: "PostgreSQL 16.4".into(),
        database: "app".into(),
        profiles_in_json: true,
        naive_timestamps: true,
        key: KeyType::Uuid,
        interval: IntervalWords { month: Some("month".into()), year: Some("year".into()), found_in: "constraint".into() },
        status_words: None,
        plan_features: true,
        updatable: true,
        mirror: false,
        trust: Trust::Full,
        replica_lag: None,
    }
}

pub fn subject(profile: &str, email: Option<&str>) -> Subject {
    Subject { key: key(profile), email: email.map(String::from), name: Some("Jane Doe".into()), created_at: Some(ago(60 * 24 * 40)) }
}

/// A row as the application writes it at sign-up.
pub fn free_row(profile: &str, customer: &str) -> SubscriptionRow {
    let image = Image::from([
        (Field::Tier, Value::text("FREE")),
        (Field::Customer, Value::text(customer)),
        (Field::Subscription, Value::Null),
        (Field::Status, Value::text("active")),
        (Field::Interval, Value::Null),
        (Field::PeriodStart, Value::Null),
        (Field::PeriodEnd, Value::Null),
        (Field::CancelAt, Value::Null),
        (Field::CancelAtPeriodEnd, Value::Bool(false)),
        (Field::UpdatedAt, Value::Time(ago(60 * 24 * 2))),
    ]);
    SubscriptionRow { subject: key(profile), image }
}

/// The row that the subscription demands.
pub fn right_row(profile: &str, s: &Subscription) -> SubscriptionRow {
    let mut row = free_row(profile, s.customer.as_str());
    let demanded = nightdesk::domain::expected::expected(s, &TierRules::default(), &shape(), None).expect("a demand");
    row.image.extend(demanded.image);
    row
}

pub fn record(profile: &str, email: Option<&str>, row: Option<SubscriptionRow>) -> Record {
    let searches =
        Counter { feature: "searches".into(), used: 5, period_start: Some(ago(60 * 24 * 8)), period_end: Some(now() + Duration::days(22)) };
    Record { subject: subject(profile, email), row, counters: vec![searches], limits: BTreeMap::from([("searches".into(), 5)]) }
}

pub fn customer(cus: &str, email: Option<&str>) -> Customer {
    Customer {
        id: id(cus),
        deleted: false,
        email: email.map(String::from),
        name: Some("Jane Doe".into()),
        created: ago(60 * 24 * 3),
        livemode: false,
        metadata: Metadata::new(),
    }
}

pub fn price(price: &str, tier: Option<&str>) -> Price {
    Price {
        id: id(price),
        lookup_key: None,
        interval: Some(Interval::Month),
        interval_count: 1,
        unit_amount: Some(Money::new(4900, "eur")),
        product: Some(id("prod_Pro")),
        metadata: tier.map(|t| metadata(&[("tier", t)])).unwrap_or_default(),
        product_metadata: Metadata::new(),
    }
}

pub fn item(si: &str, price: Price, start: At) -> Item {
    Item { id: id(si), price, quantity: 1, period: Some(Period { start, end: start + Duration::days(30) }) }
}

/// An active PRO subscription, begun 28 minutes ago.
pub fn subscription(sub: &str, cus: &str) -> Subscription {
    Subscription {
        id: id(sub),
        customer: id(cus),
        status: Status::Active,
        items: vec![item("si_1", price("price_pro_month", Some("PRO")), ago(28))],
        period: None,
        created: ago(28),
        cancel_at: None,
        cancel_at_period_end: false,
        canceled_at: None,
        ended_at: None,
        trial_end: None,
        pause: None,
        schedule: None,
        metadata: Metadata::new(),
        latest_invoice: Some(id("in_1Pabcdefgh3c")),
    }
}

pub fn invoice(inv: &str, s: &Subscription) -> Invoice {
    let total = Money::new(4900, "eur");
    let payment = Payment {
        id: id("inpay_1Pabcdefgh"),
        intent: Some(id("pi_3Pabcdefgh9x")),
        status: "paid".into(),
        amount: total.clone(),
        paid_at: Some(s.created),
    };
    Invoice {
        id: id(inv),
        customer: Some(s.customer.clone()),
        subscription: Some(s.id.clone()),
        status: "paid".into(),
        amount_paid: total.clone(),
        total,
        created: s.created,
        paid_at: Some(s.created),
        payments: vec![payment],
    }
}

pub fn session(cs: &str, s: &Subscription, profile: &str) -> CheckoutSession {
    CheckoutSession {
        id: id(cs),
        customer: Some(s.customer.clone()),
        subscription: Some(s.id.clone()),
        client_reference_id: Some(profile.into()),
        metadata: Metadata::new(),
        status: "complete".into(),
        payment_status: "paid".into(),
        created: s.created - Duration::seconds(40),
    }
}

pub fn event(evt: &str, kind: &str, s: &Subscription, created: At) -> StripeEvent {
    StripeEvent {
        id: id(evt),
        kind: kind.into(),
        created,
        object: Some(s.id.clone()),
        customer: Some(s.customer.clone()),
        subscription_id: Some(s.id.clone()),
        subscription: Some(Box::new(s.clone())),
        previous: None,
        profile: None,
        api_version: None,
        pending_webhooks: 0,
        livemode: false,
    }
}

/// Everything there is, and who of the sources is silent.
#[derive(Debug, Clone)]
pub struct World {
    pub shape: Shape,
    pub records: Vec<Record>,
    pub customers: Vec<Customer>,
    pub subscriptions: Vec<Subscription>,
    pub sessions: Vec<CheckoutSession>,
    pub invoices: Vec<Invoice>,
    pub entitlements: BTreeMap<SubjectKey, Entitlement>,
    pub events: Vec<StripeEvent>,
    pub logs: Vec<LogLine>,
    pub runs: Vec<RunSummary>,
    pub team: Vec<RunSummary>,
    pub recorded: Vec<Recorded>,
    pub desk: DeskState,
    /// Payments of the last hour, and of the same hour last week.
    pub paid: (Payments, Payments),
    pub hits: Vec<Hit>,
    /// What the mirror of Stripe says, where there is one: `shape.mirror` says so too.
    pub mirror: Option<Mirrored>,
    /// The database's sessions, or why there are none.
    pub pool: Result<Activity, Fault>,
    /// What PgBouncer says of itself; none: it is not set up.
    pub pooler: Vec<PoolerPool>,
    pub down: Vec<Source>,
    /// By how many seconds Stripe's clock is ahead of ours.
    pub clock_ahead: Option<i64>,
    /// What was deployed; empty: no command tells.
    pub deploys: Vec<Deploy>,
}

/// What reading a case took.
#[derive(Debug)]
pub struct Read {
    pub case: Case,
    pub answers: Answers,
    pub rounds: usize,
    pub first_round_stripe: usize,
    pub most_stripe_at_once: usize,
    pub stripe_calls: usize,
}

impl World {
    pub fn empty() -> Self {
        Self {
            shape: shape(),
            records: Vec::new(),
            customers: Vec::new(),
            subscriptions: Vec::new(),
            sessions: Vec::new(),
            invoices: Vec::new(),
            entitlements: BTreeMap::new(),
            events: Vec::new(),
            logs: Vec::new(),
            runs: Vec::new(),
            team: Vec::new(),
            recorded: Vec::new(),
            desk: DeskState::default(),
            paid: (Payments::default(), Payments::default()),
            hits: Vec::new(),
            mirror: None,
            pool: Err(Fault::new(Source::Database, FaultKind::NotSetUp, "no sessions here")),
            pooler: Vec::new(),
            down: Vec::new(),
            clock_ahead: None,
            deploys: Vec::new(),
        }
    }

    /// One who paid half an hour ago and whose row holds a placeholder; the checkout names the profile.
    pub fn placeholder() -> Self {
        let mut w = Self::empty();
        let s = subscription(SUBSCRIPTION, CUSTOMER);
        w.records.push(record(PROFILE, Some("jane.doe@acme.com"), Some(free_row(PROFILE, PLACEHOLDER))));
        w.customers.push(customer(CUSTOMER, Some("jane.doe@acme.com")));
        w.invoices.push(invoice("in_1Pabcdefgh3c", &s));
        w.sessions.push(session("cs_test_a1b2c3d4e5", &s, PROFILE));
        w.events.push(event("evt_1Pabcdefghijka", "customer.subscription.created", &s, s.created));
        w.subscriptions.push(s);
        w.enforce(PROFILE, "FREE", 5);
        w
    }

    /// One who paid, whose row is linked, and who is served.
    pub fn healthy() -> Self {
        let mut w = Self::placeholder();
        w.records[0].row = Some(right_row(PROFILE, &w.subscriptions[0]));
        w.records[0].limits = BTreeMap::from([("searches".into(), 500)]);
        w.enforce(PROFILE, "PRO", 500);
        w
    }

    pub fn enforce(&mut self, profile: &str, tier: &str, searches: i64) {
        let features = BTreeMap::from([("searches".to_string(), FeatureUse { value: searches, used: Some(5), resets: None })]);
        self.entitlements.insert(key(profile), Entitlement { tier: tier.into(), features });
    }

    pub fn answer(&self, query: &Query) -> Result<Reply, Fault> {
        let source = query.source();
        if self.down.contains(&source) {
            let say = format!("{} did not answer in time", source.word());
            return Err(Fault::new(source, FaultKind::Timeout, say));
        }
        Ok(match query {
            Query::Shape => Reply::Shape(Box::new(self.shape.clone())),
            Query::Records(locator) => Reply::Records(self.records.iter().filter(|r| found(r, locator)).cloned().collect()),
            Query::RowsOf(ids) => {
                let held = |r: &&Record| {
                    let text = r.row.as_ref().and_then(|r| r.text(Field::Customer));
                    ids.iter().any(|i| Some(i.as_str()) == text)
                };
                Reply::Rows(self.records.iter().filter(held).filter_map(|r| Some((r.row.clone()?, r.subject.clone()))).collect())
            }
            Query::RowsNaming { subscriptions, subjects } => {
                let named = |r: &&Record| {
                    let held = r.row.as_ref().and_then(|r| r.text(Field::Subscription));
                    subjects.contains(&r.subject.key) || subscriptions.iter().any(|i| Some(i.as_str()) == held)
                };
                Reply::Rows(self.records.iter().filter(named).filter_map(|r| Some((r.row.clone()?, r.subject.clone()))).collect())
            }
            Query::RowPage { .. } => Reply::RowPage { rows: self.records.iter().filter_map(|r| r.row.clone()).collect(), next: None },
            Query::Pressure => Reply::Pressure(Vec::new()),
            Query::Unreset => Reply::Unreset(None),
            Query::Mirrored(_) => Reply::Mirrored(self.mirror.clone().map(Box::new)),
            Query::Activity => Reply::Activity(Box::new(self.pool.clone()?)),
            Query::SessionTexts(ids) => Reply::SessionTexts(ids.iter().map(|id| (*id, format!("SELECT ? /* {} */", id.pid))).collect()),
            Query::Pooler if self.pooler.is_empty() => return Err(Fault::new(source, FaultKind::NotSetUp, "no pooler here")),
            Query::Pooler => Reply::Pooler(self.pooler.clone()),
            Query::Customer(of) => Reply::Customers(self.customers.iter().filter(|c| c.id == *of).cloned().collect()),
            Query::CustomerOf(object) => {
                let owner = match object.kind() {
                    StripeKind::Subscription => self.subscriptions.iter().find(|s| s.id == *object).map(|s| s.customer.clone()),
                    StripeKind::Invoice => self.invoices.iter().find(|i| i.id == *object).and_then(|i| i.customer.clone()),
                    StripeKind::CheckoutSession => self.sessions.iter().find(|s| s.id == *object).and_then(|s| s.customer.clone()),
                    _ => None,
                };
                Reply::Customers(self.customers.iter().filter(|c| Some(&c.id) == owner.as_ref()).cloned().collect())
            }
            Query::CustomersFor { email, subject } => {
                let of = |c: &&Customer| {
                    let same = email.as_deref().zip(c.email.as_deref()).is_some_and(|(a, b)| a.eq_ignore_ascii_case(b));
                    same || c.metadata.get("profileId") == Some(&subject.0)
                };
                Reply::Customers(self.customers.iter().filter(of).cloned().collect())
            }
            Query::SubscriptionsOf(of) => Reply::Subscriptions(self.subscriptions.iter().filter(|s| s.customer == *of).cloned().collect()),
            Query::SessionsOf(of) => Reply::Sessions(self.sessions.iter().filter(|s| s.customer.as_ref() == Some(of)).cloned().collect()),
            Query::InvoicesOf(of) => Reply::Invoices(self.invoices.iter().filter(|i| i.customer.as_ref() == Some(of)).cloned().collect()),
            Query::EventPage(range) => {
                let owed = |e: &StripeEvent| !range.undelivered_only || e.pending_webhooks > 0;
                let within = |e: &&StripeEvent| e.created >= range.since && range.until.is_none_or(|u| e.created <= u) && owed(e);
                Reply::EventPage {
                    events: self.events.iter().filter(within).cloned().collect(),
                    raw: Vec::new(),
                    next: None,
                    clock_ahead: self.clock_ahead,
                }
            }
            Query::Event(of) => Reply::Event(self.events.iter().find(|e| e.id == *of).map(|e| format!("{{ \"id\": \"{}\" }}", e.id))),
            Query::Subscription(of) => Reply::Subscriptions(self.subscriptions.iter().filter(|s| s.id == *of).cloned().collect()),
            Query::Received(_) => Reply::Received(None),
            Query::SubscriptionPage(range) => {
                let within = |s: &&Subscription| range.since.is_none_or(|t| s.created >= t) && range.before.is_none_or(|t| s.created < t);
                Reply::SubscriptionPage {
                    subscriptions: self.subscriptions.iter().filter(within).cloned().collect(),
                    raw: Vec::new(),
                    next: None,
                }
            }
            Query::Endpoints => Reply::Endpoints(Vec::new()),
            Query::Entitlement(of) => Reply::Entitlement(self.entitlements.get(of).cloned()),
            Query::NearLimit { .. } => {
                Reply::NearLimit(NearPage { rows: Vec::new(), next: None, by: ServedBy::Tables, limits_known: true })
            }
            Query::QuotaTotals { .. } => Reply::QuotaTotals(Vec::new()),
            Query::TierUsage(_) => Reply::TierUsage(Vec::new()),
            Query::Counters(_) => Reply::Counters(None),
            Query::Deploys if !self.deploys.is_empty() => Reply::Deploys(self.deploys.clone()),
            Query::Probe | Query::Deploys => return Err(Fault::new(source, FaultKind::NotSetUp, "not set up in this world")),
            Query::Logs(search) => Reply::Logs { lines: self.logs.clone(), complete: true, covers: Some(search.since), note: None },
            Query::Runs => Reply::Runs(self.runs.clone()),
            Query::TeamRuns => Reply::Runs(self.team.clone()),
            Query::Recorded(run) => Reply::Recorded(self.recorded.iter().filter(|r| r.entry.run() == Some(*run)).cloned().collect()),
            Query::Desk => Reply::Desk(self.desk.clone()),
            Query::Payments { until, .. } => Reply::Payments(if *until > now() - Duration::days(1) { self.paid.0 } else { self.paid.1 }),
            Query::FindInMirror { .. } => {
                let hits = self.hits.iter().filter(|h| self.mirror.is_some() && h.source == Source::Stripe).cloned().collect();
                let mirror = self.mirror.as_ref().map(|m| m.mirror.clone()).unwrap_or_default();
                Reply::MirrorHits { hits, truncated: false, mirror }
            }
            Query::FindInDatabase { .. } | Query::FindInStripe { .. } => {
                Reply::Hits { hits: self.hits.iter().filter(|h| h.source == source).cloned().collect(), truncated: false }
            }
            Query::Account => unreachable!("no pane asks for the account"),
        })
    }

    /// Reads the case as a screen does: whatever is wanted goes out at once, all of it is answered, and so on.
    pub fn read(&self, handle: &Handle, chosen: Option<&SubjectKey>) -> Read {
        let mut answers = Answers::default();
        let (mut rounds, mut first, mut most, mut calls) = (0, 0, 0, 0);
        loop {
            let wanted = next_reads(handle, chosen, &answers);
            if wanted.is_empty() {
                break;
            }
            rounds += 1;
            let of_stripe = wanted.iter().filter(|q| q.source() == Source::Stripe).count();
            if rounds == 1 {
                first = of_stripe;
            }
            most = most.max(of_stripe);
            calls += of_stripe;
            assert!(rounds < 12, "no end to it: {wanted:?}");
            for query in wanted {
                answers.asked(query.clone());
                let result = self.answer(&query);
                answers.put(query, result, now());
            }
        }
        let case = assemble(handle, chosen, &answers);
        Read { case, answers, rounds, first_round_stripe: first, most_stripe_at_once: most, stripe_calls: calls }
    }

    pub fn diagnose(&self, handle: &Handle) -> nightdesk::domain::diagnosis::Diagnosis {
        nightdesk::domain::diagnosis::diagnose(&self.read(handle, None).case, &TierRules::default(), now())
    }
}

fn found(r: &Record, locator: &Locator) -> bool {
    let row = |field| r.row.as_ref().and_then(|row| row.text(field));
    match locator {
        Locator::Subjects(keys) => keys.contains(&r.subject.key),
        Locator::CustomerId(cus) => row(Field::Customer) == Some(cus),
        Locator::SubscriptionId(sub) => row(Field::Subscription) == Some(sub),
        Locator::Email(email) => r.subject.email.as_deref().is_some_and(|e| e.eq_ignore_ascii_case(email)),
    }
}

pub fn by_customer() -> Handle {
    Handle::Stripe(id(CUSTOMER))
}

pub fn by_profile() -> Handle {
    Handle::Subject(key(PROFILE))
}

pub fn by_email() -> Handle {
    Handle::Email("jane.doe@acme.com".into())
}
