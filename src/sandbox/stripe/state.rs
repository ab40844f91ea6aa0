//! What the simulator remembers: the population's objects by computation, and an overlay of everything made or changed since.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value, json};

use super::acts::{self, AfterRetries, Redactions};
use super::agenda::{Agenda, Deed};
use super::catalog;
use super::delivery::{Ledger, Notice};
use super::endpoint::Endpoint;
use super::form::Bounds;
use super::previous;
use super::resources::{
    balance_transactions, charges, customers, events, invoice_payments, invoices, payment_intents, payment_methods, sessions,
    subscription_items, subscriptions,
};
use super::timeline::{Collection, Direction, Key, People, Selection, Walk, of_people};
use crate::sandbox::population::ids::{Kind, digits, mix};
use crate::sandbox::population::{Person, Population};

/// The API version whose shapes every object has.
pub const API_VERSION: &str = "2026-09-30.endive";

/// Events can be listed, read and sent again for thirty days.
pub const EVENT_HORIZON_SECONDS: i64 = 30 * 86_400;

/// How sessions and subscriptions name the profile that paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProfileReference {
    #[default]
    Uuid,
    /// For databases whose profiles have bigint keys.
    Serial,
}

pub struct State {
    pub population: Arc<Population>,
    pub account: String,
    pub endpoints: Vec<Endpoint>,
    pub reference: ProfileReference,
    /// Search finds a new customer only after so many seconds.
    pub search_lag: i64,
    /// What becomes of a subscription that is not paid for in the end.
    pub after_retries: AfterRetries,
    /// Events that wait for their first delivery, with its time where that is not now.
    pub outbox: Vec<(String, Option<DateTime<Utc>>)>,
    /// Who has yet to take which event.
    pub ledger: Ledger,
    pub notices: Vec<Notice>,
    /// The API request that is being served; `None`: what happens now happens by itself.
    pub cause: Option<Cause>,
    /// The customer a person got here who had none, or got a new one.
    pub linked: HashMap<u64, String>,
    /// Made objects, and population objects as they were changed.
    objects: HashMap<String, Value>,
    /// People with a changed customer or subscription: for them the population's facts no longer hold.
    touched: HashSet<u64>,
    order: BTreeMap<(Collection, Key), String>,
    keys: HashMap<String, (Collection, Key)>,
    by_customer: HashMap<String, Vec<String>>,
    /// The subscription of every item in a subscription that was made or changed.
    items: HashMap<String, String>,
    made: u64,
    /// Payment methods that may not be saved to a customer any more.
    spent: HashSet<String>,
    /// What made checkout sessions sell, by session.
    pub line_items: HashMap<String, Vec<Value>>,
    /// What is to become of the payments and subscriptions of open checkout sessions, by session: `description`, `metadata`, `trial_end`.
    pub intentions: HashMap<String, Value>,
    /// `http://127.0.0.1:PORT`, once it serves.
    pub base_url: String,
    agenda: Agenda,
    /// What redaction jobs were given and found, and what they took out.
    pub redactions: Redactions,
    /// The time of the entry on the agenda that is being done.
    settling: Option<DateTime<Utc>>,
}

/// What an event names as its `request`.
#[derive(Debug, Clone)]
pub struct Cause {
    pub request: String,
    pub idempotency_key: Option<String>,
}

impl State {
    pub fn new(population: Arc<Population>) -> Self {
        let account = format!("acct_1{}", digits(mix(population.seed(), 0xACC7), 15));
        Self {
            population,
            account,
            endpoints: Vec::new(),
            reference: ProfileReference::default(),
            search_lag: 60,
            after_retries: AfterRetries::default(),
            outbox: Vec::new(),
            ledger: Ledger::default(),
            notices: Vec::new(),
            cause: None,
            linked: HashMap::new(),
            objects: HashMap::new(),
            touched: HashSet::new(),
            order: BTreeMap::new(),
            keys: HashMap::new(),
            by_customer: HashMap::new(),
            items: HashMap::new(),
            made: 0,
            spent: HashSet::new(),
            line_items: HashMap::new(),
            intentions: HashMap::new(),
            base_url: String::new(),
            agenda: Agenda::default(),
            redactions: Redactions::default(),
            settling: None,
        }
    }

    /// An id of a made object: Stripe's shape, deterministic by seed and order of making, never one of the population's.
    pub fn fresh(&mut self, prefix: &str, length: usize) -> String {
        self.made += 1;
        format!("{prefix}{}", digits(mix(self.population.seed() ^ 0xF2E5, self.made), length))
    }

    /// The object with that id, as the API shows it without expansion.
    pub fn get(&self, id: &str) -> Option<Value> {
        if let Some(value) = self.objects.get(id) {
            let mut value = value.clone();
            if value["object"] == "event" {
                value["pending_webhooks"] = json!(self.pending_webhooks(id));
            }
            return Some(value);
        }
        if let Some(subscription) = self.items.get(id) {
            return subscription_items::within(self, subscription, id);
        }
        if let Some(endpoint) = self.endpoints.iter().find(|e| e.id == id) {
            return Some(endpoint.object());
        }
        let Some((kind, place)) = self.population.locate(id) else {
            return catalog::find(id, self.population.born());
        };
        let person = self.population.person(place.number);
        match kind {
            Kind::Customer => Some(customers::of_person(&person)),
            Kind::Subscription => subscriptions::of_person(self, &person),
            Kind::Invoice => invoices::of_person(self, &person, place.cycle),
            Kind::InvoicePayment => invoice_payments::of_person(self, &person, place.cycle),
            Kind::Session => sessions::of_person(self, &person),
            Kind::Event => events::of_person(self, &person, place),
            Kind::PaymentIntent => payment_intents::of_person(self, &person, place.cycle),
            Kind::PaymentMethod => payment_methods::of_person(&person),
            Kind::Charge => charges::of_person(self, &person, place.cycle),
            Kind::BalanceTransaction => balance_transactions::of_person(self, &person, place.cycle),
            Kind::Item => subscription_items::within(self, &person.plan?.subscription, id),
            Kind::InvoiceLine => None,
        }
    }

    /// The object, if it is of that kind (`object` in its JSON) and not deleted.
    pub fn live(&self, id: &str, object: &str) -> Option<Value> {
        self.get(id).filter(|v| v["object"] == object && v.get("deleted").is_none())
    }

    /// A price by id: one that was there from the start, as it is now, or one made since.
    pub fn price(&self, id: &str) -> Option<Value> {
        self.live(id, "price")
    }

    /// All prices, newest first: few enough to stand in memory.
    pub fn prices(&self) -> Vec<Value> {
        self.goods(Collection::Prices, catalog::price_ids())
    }

    /// All products that are not deleted, newest first.
    pub fn products(&self) -> Vec<Value> {
        self.goods(Collection::Products, catalog::product_ids())
    }

    /// The position of an object in its list: what a cursor names.
    pub fn key_of(&self, collection: Collection, id: &str) -> Option<Key> {
        if let Some((found, key)) = self.keys.get(id) {
            return (*found == collection).then_some(*key);
        }
        let (kind, place) = self.population.locate(id)?;
        (Some(kind) == collection.kind()).then(|| Key::of_place(&self.population, place))
    }

    pub fn is_touched(&self, number: u64) -> bool {
        self.touched.contains(&number)
    }

    /// The changed people, and these: all who can match where the population's own facts match nobody else.
    pub fn touched_and(&self, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
        let mut numbers: Vec<u64> = self.touched.iter().copied().chain(numbers).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// Everything in a collection beyond a key, merged from the population and what was made, in order.
    pub fn walk<'a>(&'a self, collection: Collection, selection: Selection<'a>) -> impl Iterator<Item = (Key, String)> + 'a {
        let direction = selection.direction;
        let mut made = self.walk_made(collection, &selection).into_iter().peekable();
        let computed: Box<dyn Iterator<Item = (Key, String)> + 'a> = match (selection.people.clone(), collection.kind()) {
            (_, None) => Box::new(std::iter::empty()),
            (People::Where(filter), Some(kind)) => Box::new(Walk::new(&self.population, (collection, kind), selection, filter)),
            (People::Since(oldest, filter), Some(kind)) => {
                let bounds = Bounds { from: selection.bounds.from.max(oldest), ..selection.bounds };
                Box::new(Walk::new(&self.population, (collection, kind), Selection { bounds, ..selection }, filter))
            }
            (People::Only(numbers), _) => Box::new(self.walk_few(collection, &selection, &numbers).into_iter()),
        };
        let mut computed = computed.peekable();
        std::iter::from_fn(move || {
            let made_first = match (made.peek(), computed.peek()) {
                (Some((a, _)), Some((b, _))) => (a > b) == (direction == Direction::NewestFirst),
                (a, _) => a.is_some(),
            };
            if made_first { made.next() } else { computed.next() }
        })
    }

    /// One customer's objects of a collection, newest first, within bounds.
    pub fn of_customer(&self, collection: Collection, customer: &str, bounds: Bounds) -> Vec<(Key, String)> {
        let number = self.population.customer_number(customer);
        let mut found = of_people(&self.population, collection, number.as_slice(), u8::MAX);
        let theirs = self.by_customer.get(customer).into_iter().flatten();
        found.extend(theirs.filter_map(|id| {
            let (of, key) = self.keys.get(id)?;
            (*of == collection).then(|| (*key, id.clone()))
        }));
        found.retain(|(key, _)| bounds.contain(key.at));
        found.sort_by(|a, b| b.cmp(a));
        found
    }

    /// Adds a made object to its collection.
    pub fn insert(&mut self, collection: Collection, object: Value) -> String {
        let id = object["id"].as_str().expect("invariant: every object made here has an id").to_string();
        // Invoice items call it their date.
        let created = object["created"].as_i64().or(object["date"].as_i64());
        let key = Key::of_made(created.unwrap_or_default(), self.keys.len() as u64 + 1);
        if let Some(customer) = object["customer"].as_str() {
            self.by_customer.entry(customer.to_string()).or_default().push(id.clone());
        }
        self.order.insert((collection, key), id.clone());
        self.keys.insert(id.clone(), (collection, key));
        self.keep(&id, object);
        id
    }

    /// Makes an object that belongs to a customer without naming it in its JSON (invoice payments) findable by the customer.
    pub fn belongs(&mut self, id: &str, customer: &str) {
        let theirs = self.by_customer.entry(customer.to_string()).or_default();
        if !theirs.iter().any(|known| known == id) {
            theirs.push(id.to_string());
        }
    }

    /// Replaces an object as a whole.
    pub fn replace(&mut self, id: &str, object: Value) {
        if let Some((_, place)) = self.population.locate(id) {
            self.touched.insert(place.number);
        }
        self.keep(id, object);
    }

    /// Changes an object and returns the previous values of what changed, as events give them; `None` where nothing did, or there is no such object.
    pub fn change(&mut self, id: &str, change: impl FnOnce(&mut Map<String, Value>)) -> Option<Value> {
        let Some(Value::Object(before)) = self.get(id) else { return None };
        let mut after = before.clone();
        change(&mut after);
        let previous = previous::attributes(&before, &after);
        if previous.is_empty() {
            return None;
        }
        self.replace(id, Value::Object(after));
        Some(Value::Object(previous))
    }

    /// Records that something happened to an object, as it is now. Returns the event's id.
    pub fn emit(&mut self, kind: &str, at: DateTime<Utc>, object: &Value, previous: Option<Value>) -> String {
        let id = self.fresh("evt_1", 23);
        let event = events::render(&id, kind, at, object.clone(), previous, self.cause.as_ref());
        self.insert(Collection::Events, event);
        self.ledger.owe(&id, self.endpoints.iter().filter(|e| e.wants(kind)).map(|e| e.id.clone()).collect());
        self.outbox.push((id.clone(), self.settling));
        id
    }

    /// How many endpoints have yet to take an event. One that is disabled is not waited for; one that all attempts failed at is.
    pub fn pending_webhooks(&self, event: &str) -> usize {
        let enabled = |id: &str| self.endpoints.iter().any(|e| e.enabled && e.id == id);
        self.ledger.debts(event).into_iter().flatten().filter(|d| !d.taken && enabled(&d.endpoint)).count()
    }

    /// Whether every endpoint took it that it was owed to; neither one that may yet, nor one at which it failed, is left.
    pub fn is_delivered(&self, event: &str) -> bool {
        self.pending_webhooks(event) == 0 && self.ledger.debts(event).into_iter().flatten().all(|d| d.taken || !d.failed)
    }

    /// Marks a payment method as one that may not be saved to a customer any more.
    pub fn spend(&mut self, payment_method: &str) {
        self.spent.insert(payment_method.to_string());
    }

    pub fn is_spent(&self, payment_method: &str) -> bool {
        self.spent.contains(payment_method)
    }

    /// Has something happen to an object at its time; see [`Self::settle`].
    pub fn later(&mut self, at: DateTime<Utc>, deed: Deed, id: &str) {
        self.agenda.add(at, deed, id);
    }

    /// Keeps a moment of an object (Unix seconds) from coming: what would happen then has happened.
    pub fn forestall(&mut self, at: i64, id: &str) {
        self.agenda.add_moment(at, None, id);
    }

    /// Whether anything on the agenda is due.
    pub fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.agenda.is_due(now)
    }

    /// Lets happen, in order, all that is due by now; each at its own time.
    pub fn settle(&mut self, now: DateTime<Utc>) {
        self.cause = None;
        while let Some((at, deed, id)) = self.agenda.next(now) {
            self.settling = Some(at);
            deed(self, &id, at);
        }
        self.settling = None;
    }

    /// A new secret for an endpoint, the old one in force until then; `None`: no such endpoint.
    pub fn rotate_secret(&mut self, endpoint: &str, old_until: DateTime<Utc>) -> Option<String> {
        let secret = self.fresh("whsec_", 32);
        self.endpoints.iter_mut().find(|e| e.id == endpoint)?.rotate(secret.clone(), old_until);
        Some(secret)
    }

    /// When something is due next: on the agenda, or to be delivered.
    pub fn next_due(&self) -> Option<DateTime<Utc>> {
        self.agenda.first().into_iter().chain(self.ledger.next_due()).min()
    }

    /// What sessions and subscriptions call this person's profile.
    pub fn profile_reference(&self, person: &Person) -> String {
        match self.reference {
            ProfileReference::Uuid => person.profile.to_string(),
            ProfileReference::Serial => person.profile_serial().to_string(),
        }
    }

    /// The person whose profile is called that.
    pub fn profile_number(&self, reference: &str) -> Option<u64> {
        match self.reference {
            ProfileReference::Uuid => self.population.profile_number(reference.parse().ok()?),
            ProfileReference::Serial => self.population.profile_serial_number(reference.parse().ok()?),
        }
    }

    pub fn profile_metadata(&self, person: &Person) -> Value {
        json!({ "profileId": self.profile_reference(person) })
    }

    /// The positions of what is few, made or there from the start, newest first: as [`Self::walk`] gives those of what is many.
    pub fn places(&self, collection: Collection) -> Vec<(Key, String)> {
        let all = if collection == Collection::Prices { self.prices() } else { self.products() };
        let place = |object: Value| {
            let id = object["id"].as_str()?.to_string();
            let at = object["created"].as_i64()?;
            Some((self.key_of(collection, &id).unwrap_or_else(|| Key::of_made(at, 0)), id))
        };
        all.into_iter().filter_map(place).collect()
    }

    /// All objects of a collection that were made, newest first.
    pub fn made(&self, collection: Collection) -> impl Iterator<Item = Value> + '_ {
        self.made_ids(collection).into_iter().filter_map(|id| self.get(&id))
    }

    /// The ids of all objects of a collection that were made, newest first.
    pub fn made_ids(&self, collection: Collection) -> Vec<String> {
        let everything = Selection {
            bounds: Bounds::ALL,
            direction: Direction::NewestFirst,
            beyond: None,
            ordinals: u8::MAX,
            people: People::Only(Vec::new()),
        };
        self.walk_made(collection, &everything).into_iter().map(|(_, id)| id).collect()
    }

    fn goods(&self, collection: Collection, from_the_start: impl Iterator<Item = &'static str>) -> Vec<Value> {
        let all = self.made(collection).chain(from_the_start.filter_map(|id| self.get(id)));
        all.filter(|v| v.get("deleted").is_none()).collect()
    }

    fn keep(&mut self, id: &str, object: Value) {
        self.enter_moments(id, &object);
        if object["object"] == "subscription" {
            // An invoice that nobody touched yet waits for its next attempt, too.
            if let Some((invoice, object)) = object["latest_invoice"].as_str().and_then(|id| Some((id.to_string(), self.get(id)?))) {
                self.enter_moments(&invoice, &object);
            }
            for item in object["items"]["data"].as_array().into_iter().flatten().filter_map(|item| item["id"].as_str()) {
                self.items.insert(item.to_string(), id.to_string());
            }
        }
        self.objects.insert(id.to_string(), object);
    }

    /// Puts on the agenda what will happen to an object by itself.
    fn enter_moments(&mut self, id: &str, object: &Value) {
        let moments = acts::moments(object);
        if moments.is_empty() {
            return;
        }
        // What lies before the population's time has happened, or is told in no event.
        let begun = self.population.locate(id).map(|_| self.population.born().timestamp());
        for (at, deed) in moments.into_iter().filter(|(at, _)| begun.is_none_or(|begun| *at > begun)) {
            self.agenda.add_moment(at, Some(deed), id);
        }
    }

    fn walk_made(&self, collection: Collection, selection: &Selection) -> Vec<(Key, String)> {
        let lowest = (collection, Key::of_made(i64::MIN, 0));
        let highest = (collection, Key::of_made(i64::MAX, u64::MAX));
        let found = self.order.range(lowest..=highest).map(|((_, key), id)| (*key, id.clone())).filter(|(key, _)| selection.admits(*key));
        match selection.direction {
            Direction::NewestFirst => found.rev().collect(),
            Direction::OldestFirst => found.collect(),
        }
    }

    fn walk_few(&self, collection: Collection, selection: &Selection, numbers: &[u64]) -> Vec<(Key, String)> {
        let mut found = of_people(&self.population, collection, numbers, selection.ordinals);
        found.retain(|(key, _)| selection.admits(*key));
        if selection.direction == Direction::OldestFirst {
            found.reverse();
        }
        found
    }
}
