//! A world in memory for procedures: one customer in three sources, faults by name, and a driver that plays the console's part
//! with the real lane, gate and journal.

mod counters;
mod driver;
mod sessions;

pub use driver::Driver;

use crate::made;
use chrono::{Duration, Utc};
use nightdesk::domain::At;
use nightdesk::domain::entitlement::Entitlement;
use nightdesk::domain::facts::Handle;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::ids::{StripeId, SubjectKey};
use nightdesk::domain::money::Money;
use nightdesk::domain::row::{Change, Field, Image, Record, Subject, SubscriptionRow, Value};
use nightdesk::domain::sessions::Session;
use nightdesk::domain::shape::{IntervalWords, KeyType, Shape, Trust};
use nightdesk::domain::stripe::{
    CheckoutSession, Customer, Interval, Invoice, Item, Metadata, Period, Price, Status, StripeEvent, Subscription, named_profile,
};
use nightdesk::domain::tiers::TierRules;
use nightdesk::domain::webhooks::endpoint::Endpoint;
use nightdesk::domain::webhooks::probe::{Came, Probed, Shot};
use nightdesk::gateway::hooks;
use nightdesk::gateway::writes::Performer;
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::environment::{Environment, Offers, Writer};
use nightdesk::protocol::gate::Permit;
use nightdesk::protocol::query::{Locator, Query, Reply};
use nightdesk::protocol::run::Inputs;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex};

pub const PROFILE: &str = "7f3a5b7c-0000-4000-8000-000000000011";
pub const CUSTOMER: &str = "cus_Real00000001";
pub const SUBSCRIPTION: &str = "sub_Main00000001";
pub const PLACEHOLDER: &str = "cus_temp_ab12";

/// What the database does with a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Answers,
    /// Does it, and the answer is lost.
    DoesAndIsSilent,
    /// The same, and the database is gone from then on.
    DoesAndFalls,
    /// The statement is lost on the way.
    LosesIt,
}

/// Everything there is, and what was done to it.
#[derive(Debug)]
pub struct World {
    pub shape: Shape,
    pub records: Vec<Record>,
    pub customers: Vec<Customer>,
    pub subscriptions: Vec<Subscription>,
    pub sessions: Vec<CheckoutSession>,
    pub invoices: Vec<Invoice>,
    /// Sources that do not answer reads.
    pub down: BTreeSet<Source>,
    /// What the app enforces, whatever the row says.
    pub app_insists: Option<String>,
    /// For how many reads it still answers the old tier.
    pub app_lags: u32,
    pub manner: Manner,
    /// Somebody else puts the row right a moment before the write comes.
    pub overtaken: bool,
    /// What the application's own resync changes.
    pub truth: Vec<Change>,
    /// Events that were sent once more; each has `truth` for its effect.
    pub resent: Vec<StripeId>,
    /// The database's sessions.
    pub pool: Vec<Session>,
    /// This one ends by itself when the first one is ended.
    pub goes_along: Option<i32>,
    /// The next writes are refused with these, one after the other, and do nothing.
    pub refusals: VecDeque<Fault>,
    /// How the webhook endpoint answers what is forged.
    pub endpoint: Came,
    /// The shell's script that is configured to restart the application.
    pub hook: &'static str,
    /// Rows really changed.
    pub writes: u32,
    /// Statements that arrived.
    pub sent: u32,
}

pub type Shared = Arc<Mutex<World>>;

pub fn id(text: &str) -> StripeId {
    StripeId::parse(text).expect("a sound id")
}

pub fn subject() -> SubjectKey {
    SubjectKey(PROFILE.into())
}

pub fn born() -> At {
    At::from_timestamp(1_790_000_000, 0).expect("in range")
}

pub fn image(tier: &str, customer: &str) -> Image {
    Image::from([
        (Field::Tier, Value::text(tier)),
        (Field::Customer, Value::text(customer)),
        (Field::Subscription, Value::Null),
        (Field::Status, Value::text("active")),
        (Field::Interval, Value::Null),
        (Field::PeriodStart, Value::Null),
        (Field::PeriodEnd, Value::Null),
        (Field::CancelAt, Value::Null),
        (Field::CancelAtPeriodEnd, Value::Bool(false)),
        (Field::UpdatedAt, Value::Time(born())),
    ])
}

pub fn record(key: &str, email: &str, image: Image) -> Record {
    let key = SubjectKey(key.into());
    Record {
        subject: Subject { key: key.clone(), email: Some(email.into()), name: None, created_at: None },
        row: Some(SubscriptionRow { subject: key, image }),
        counters: Vec::new(),
        limits: BTreeMap::new(),
    }
}

pub fn item(number: u32, price: &str, tier: Option<&str>) -> Item {
    let metadata = tier.map(|t| Metadata::from([("tier".to_string(), t.to_string())])).unwrap_or_default();
    Item {
        id: id(&format!("si_Item0000000{number}")),
        price: Price {
            id: id(price),
            lookup_key: None,
            interval: Some(Interval::Month),
            interval_count: 1,
            unit_amount: Some(Money::new(4900, "eur")),
            product: None,
            metadata,
            product_metadata: Metadata::new(),
        },
        quantity: 1,
        period: Some(Period { start: born(), end: born() + Duration::days(30) }),
    }
}

pub fn subscription(sub: &str, customer: &str) -> Subscription {
    Subscription {
        id: id(sub),
        customer: id(customer),
        status: Status::Active,
        items: vec![item(1, "price_Pro0000001", Some("PRO"))],
        period: None,
        created: born(),
        cancel_at: None,
        cancel_at_period_end: false,
        canceled_at: None,
        ended_at: None,
        trial_end: None,
        pause: None,
        schedule: None,
        metadata: Metadata::new(),
        latest_invoice: Some(id("in_Paid00000001")),
    }
}

impl World {
    /// Paid for, and the row still holds the placeholder of the checkout.
    pub fn placeholder() -> Self {
        let customer = Customer {
            id: id(CUSTOMER),
            deleted: false,
            email: Some("jane@acme.com".into()),
            name: None,
            created: born(),
            livemode: false,
            metadata: Metadata::new(),
        };
        let session = CheckoutSession {
            id: id("cs_test_Sess00000001"),
            customer: Some(id(CUSTOMER)),
            subscription: Some(id(SUBSCRIPTION)),
            client_reference_id: Some(PROFILE.into()),
            metadata: Metadata::new(),
            status: "complete".into(),
            payment_status: "paid".into(),
            created: born(),
        };
        let invoice = Invoice {
            id: id("in_Paid00000001"),
            customer: Some(id(CUSTOMER)),
            subscription: Some(id(SUBSCRIPTION)),
            status: "paid".into(),
            total: Money::new(4900, "eur"),
            amount_paid: Money::new(4900, "eur"),
            created: born(),
            paid_at: Some(born()),
            payments: Vec::new(),
        };
        Self {
            shape: Shape {
                server: "PostgreSQL".into(),
                database: "test".into(),
                profiles_in_json: true,
                naive_timestamps: true,
                key: KeyType::Uuid,
                interval: IntervalWords::stripes_own(),
                status_words: None,
                plan_features: true,
                updatable: true,
                mirror: false,
                trust: Trust::Full,
                replica_lag: None,
            },
            records: vec![record(PROFILE, "jane@acme.com", image("FREE", PLACEHOLDER))],
            customers: vec![customer],
            subscriptions: vec![subscription(SUBSCRIPTION, CUSTOMER)],
            sessions: vec![session],
            invoices: vec![invoice],
            down: BTreeSet::new(),
            app_insists: None,
            app_lags: 0,
            manner: Manner::Answers,
            overtaken: false,
            truth: Vec::new(),
            resent: Vec::new(),
            pool: Vec::new(),
            goes_along: None,
            refusals: VecDeque::new(),
            endpoint: answers(400),
            hook: "echo no such unit; exit 1",
            writes: 0,
            sent: 0,
        }
    }

    /// Linked, and the webhook never arrived.
    pub fn missed() -> Self {
        let mut world = Self::placeholder();
        world.set(Field::Customer, Value::text(CUSTOMER));
        world
    }

    pub fn shared(self) -> Shared {
        Arc::new(Mutex::new(self))
    }

    pub fn image(&self) -> &Image {
        &self.records[0].row.as_ref().expect("there is a row").image
    }

    pub fn set(&mut self, field: Field, value: Value) {
        self.records[0].row.as_mut().expect("there is a row").image.insert(field, value);
    }

    pub fn answer(&mut self, query: &Query) -> Result<Reply, Fault> {
        if self.down.contains(&query.source()) {
            return Err(Fault::new(query.source(), FaultKind::Timeout, "It does not answer"));
        }
        let of = |customer: &StripeId, wanted: &StripeId| customer == wanted;
        Ok(match query {
            Query::Shape => Reply::Shape(Box::new(self.shape.clone())),
            Query::Records(locator) => Reply::Records(self.records.iter().filter(|r| located(r, locator)).cloned().collect()),
            Query::RowsOf(ids) => Reply::Rows(
                self.records
                    .iter()
                    .filter_map(|r| r.row.clone().map(|row| (row, r.subject.clone())))
                    .filter(|(row, _)| ids.iter().any(|i| row.text(Field::Customer) == Some(i.as_str())))
                    .collect(),
            ),
            Query::Customer(wanted) => Reply::Customers(self.customers.iter().filter(|c| c.id == *wanted).cloned().collect()),
            Query::CustomerOf(object) => {
                let owner = self.subscriptions.iter().find(|s| s.id == *object).map(|s| s.customer.clone());
                Reply::Customers(self.customers.iter().filter(|c| Some(&c.id) == owner.as_ref()).cloned().collect())
            }
            Query::CustomersFor { email, subject } => Reply::Customers(
                self.customers
                    .iter()
                    .filter(|c| (email.is_some() && c.email == *email) || named_profile(&c.metadata).as_ref() == Some(subject))
                    .cloned()
                    .collect(),
            ),
            Query::SubscriptionsOf(c) => Reply::Subscriptions(self.subscriptions.iter().filter(|s| of(&s.customer, c)).cloned().collect()),
            Query::SessionsOf(c) => Reply::Sessions(self.sessions.iter().filter(|s| s.customer.as_ref() == Some(c)).cloned().collect()),
            Query::InvoicesOf(c) => Reply::Invoices(self.invoices.iter().filter(|i| i.customer.as_ref() == Some(c)).cloned().collect()),
            Query::Entitlement(key) => Reply::Entitlement(self.enforced(key)),
            Query::Counters(key) => Reply::Counters(Some(self.sheet(key))),
            Query::Subscription(id) => Reply::Subscriptions(self.subscriptions.iter().filter(|s| s.id == *id).cloned().collect()),
            Query::EventPage(range) => {
                let kept = self.events().into_iter().filter(|e| e.created >= range.since).collect();
                Reply::EventPage { events: kept, raw: Vec::new(), next: None, clock_ahead: None }
            }
            Query::Endpoints => Reply::Endpoints(vec![Endpoint {
                id: id("we_Main00000001"),
                url: "https://app.acme.example/webhooks/stripe".into(),
                enabled: true,
                api_version: None,
                events: vec!["*".into()],
                livemode: false,
            }]),
            Query::Probe => {
                let shots = [Shot::Health, Shot::Ready, Shot::Unsigned, Shot::WronglySigned];
                let url = "https://app.acme.example/webhooks/stripe".into();
                Reply::Probed(Probed { url, shots: shots.into_iter().map(|s| (s, self.endpoint.clone())).collect() })
            }
            Query::Logs(search) => Reply::Logs { lines: Vec::new(), complete: true, covers: Some(search.since), note: None },
            Query::Runs | Query::TeamRuns => Reply::Runs(Vec::new()),
            Query::Received(_) => Reply::Received(None),
            Query::Activity => Reply::Activity(Box::new(made::activity(chrono::Utc::now(), self.pool.clone()))),
            Query::SessionTexts(ids) => Reply::SessionTexts(ids.iter().map(|id| (*id, "SELECT $1".to_string())).collect()),
            other => panic!("no procedure asks {other:?}"),
        })
    }

    /// Each subscription's newest state as the event that told it, two hours ago.
    fn events(&self) -> Vec<StripeEvent> {
        let event = |(nth, s): (usize, &Subscription)| StripeEvent {
            id: id(&format!("evt_Made0000000{nth}")),
            kind: "customer.subscription.updated".into(),
            created: Utc::now() - Duration::hours(2),
            object: Some(s.id.clone()),
            customer: Some(s.customer.clone()),
            subscription_id: Some(s.id.clone()),
            subscription: Some(Box::new(s.clone())),
            previous: None,
            profile: None,
            api_version: None,
            pending_webhooks: 0,
            livemode: false,
        };
        self.subscriptions.iter().enumerate().map(event).collect()
    }

    fn enforced(&mut self, key: &SubjectKey) -> Option<Entitlement> {
        let row = self.records.iter().find(|r| r.subject.key == *key)?.row.as_ref()?;
        let mut tier = row.text(Field::Tier)?.to_string();
        if self.writes > 0 && self.app_lags > 0 {
            self.app_lags -= 1;
            tier = "FREE".into();
        }
        let features = counters::enforced(self.records.iter().find(|r| r.subject.key == *key)?);
        Some(Entitlement { tier: self.app_insists.clone().unwrap_or(tier), features })
    }

    /// Compare-and-set, as the database does it.
    fn write(&mut self, command: &Command) -> Outcome {
        if let Some(fault) = self.refusals.pop_front() {
            return Outcome::NotDone(fault);
        }
        let (subject, shown, changes) = match command {
            Command::SetSubscriptionRow { subject, shown, changes } => (subject, shown.clone(), changes.clone()),
            Command::ResyncByHttp { subject, .. } | Command::ResyncByCommand { subject, .. } => (subject, Image::new(), self.truth.clone()),
            Command::ResendEvent { event, subject: Some(subject), .. } => {
                self.resent.push(event.clone());
                let row = self.records.iter_mut().find(|r| r.subject.key == *subject).and_then(|r| r.row.as_mut()).expect("a row");
                row.image.extend(self.truth.iter().map(|c| (c.field, c.to.clone())));
                return match self.manner {
                    Manner::Answers => Outcome::done("queued".into()),
                    _ => Outcome::Unknown(Fault::new(Source::Stripe, FaultKind::Timeout, "no answer within 5 s")),
                };
            }
            Command::ResetEntitlement { .. } | Command::ResetCounters { .. } | Command::RestoreCounters { .. } => {
                return self.count(command);
            }
            Command::EndSession { session, .. } => return self.end(*session),
            other => panic!("this world does no such thing: {other:?}"),
        };
        self.sent += 1;
        if self.manner == Manner::LosesIt {
            return Outcome::Unknown(Fault::new(Source::Database, FaultKind::Timeout, "no answer within 5 s"));
        }
        let row = self.records.iter_mut().find(|r| r.subject.key == *subject).and_then(|r| r.row.as_mut()).expect("there is a row");
        if self.overtaken {
            row.image.extend(changes.iter().map(|c| (c.field, c.to.clone())));
        }
        if shown.iter().any(|(f, v)| row.image.get(f) != Some(v)) {
            return Outcome::NotDone(Fault::new(Source::Database, FaultKind::Conflict, "The row changed since it was shown"));
        }
        for change in changes {
            row.image.insert(change.field, change.to.clone());
        }
        self.writes += 1;
        row.image.insert(Field::UpdatedAt, Value::Time(born() + Duration::seconds(i64::from(self.writes))));
        if self.manner == Manner::DoesAndFalls {
            self.down.insert(Source::Database);
        }
        match self.manner {
            Manner::DoesAndIsSilent | Manner::DoesAndFalls => {
                Outcome::Unknown(Fault::new(Source::Database, FaultKind::Timeout, "no answer within 5 s"))
            }
            _ => Outcome::done("1 row".into()),
        }
    }
}

/// A webhook endpoint that answers with this status.
pub fn answers(status: u16) -> Came {
    Came::Answer { status, milliseconds: 3, body: String::new(), location: None, skew_seconds: Some(0) }
}

fn located(record: &Record, locator: &Locator) -> bool {
    let held = |field| record.row.as_ref().and_then(|r| r.text(field));
    match locator {
        Locator::Subjects(keys) => keys.contains(&record.subject.key),
        Locator::CustomerId(id) => held(Field::Customer) == Some(id),
        Locator::SubscriptionId(id) => held(Field::Subscription) == Some(id),
        Locator::Email(email) => record.subject.email.as_ref() == Some(email),
    }
}

pub fn environment() -> Environment {
    Environment {
        name: "test".into(),
        production: false,
        operator: "ada".into(),
        tiers: TierRules::default(),
        writer: Writer::Sql,
        set_up: [Source::Stripe, Source::Database, Source::Application].into(),
        sandbox: true,
        webhook_url: None,
        offers: Offers::default(),
        contacts: Vec::new(),
    }
}

pub fn by_customer() -> Inputs {
    Inputs::of(Handle::Stripe(id(CUSTOMER)))
}

#[derive(Debug, Clone)]
pub struct InMemory(pub Shared);

impl Performer for InMemory {
    async fn perform(&self, permit: &Permit, key: &str) -> Outcome {
        assert!(key.starts_with("nd-"));
        if matches!(permit.command(), Command::RunHook { .. }) {
            let argv = ["sh", "-c", self.0.lock().unwrap().hook].map(String::from);
            return hooks::run(&argv, None, std::time::Duration::from_secs(10), key, &tokio::sync::broadcast::channel(1).0).await;
        }
        self.0.lock().unwrap().write(permit.command())
    }
}
