//! What can be searched, by which documented fields, and what is known of a person's objects without making them. It answers no query.

use serde_json::{Value, json};

use super::catalog;
use super::query::{Field, Grammar, Subject, Type};
use super::resources::{customers, payment_methods};
use super::state::State;
use super::timeline::Collection;
use crate::sandbox::population::ids::Kind;
use crate::sandbox::population::{Billing, price};

/// What differs between the resources that can be searched.
pub struct Searchable {
    pub grammar: Grammar,
    pub collection: Collection,
    /// `object` in its JSON.
    pub object: &'static str,
    /// The only people, by number, whose objects can have that value there, where the value itself tells.
    pub only: fn(&State, &Subject, &str) -> Option<Vec<u64>>,
    /// The value that all objects of a person have there, where it is known at less cost than the objects. Most people are ruled out by it.
    pub known: fn(&State, &Subject, u64, Billing) -> Option<Value>,
    /// Whether they are few and none is a person's.
    pub few: bool,
}

pub const CUSTOMERS: Searchable = Searchable {
    grammar: Grammar {
        resource: "customers",
        fields: &[
            Field::new("created", Type::Number),
            Field::new("email", Type::Text),
            Field::new("name", Type::Text),
            Field::new("phone", Type::Text),
        ],
    },
    collection: Collection::Customers,
    object: "customer",
    only: |state, subject, wanted| match name(subject) {
        Some("email") => Some(state.population.email_number(wanted).into_iter().collect()),
        // The population's customers have neither.
        Some("phone") | None => Some(Vec::new()),
        _ => None,
    },
    known: |state, subject, number, _| match name(subject) {
        Some("email") => Some(json!(state.population.name_and_email(number).1)),
        Some("name") => Some(json!(state.population.name_and_email(number).0)),
        Some("created") => Some(joined(state, number)),
        _ => Some(Value::Null),
    },
    few: false,
};

pub const SUBSCRIPTIONS: Searchable = Searchable {
    grammar: Grammar {
        resource: "subscriptions",
        fields: &[Field::new("canceled_at", Type::Number), Field::new("created", Type::Number), Field::new("status", Type::Token)],
    },
    collection: Collection::Subscriptions,
    object: "subscription",
    only: |state, subject, wanted| match subject {
        Subject::Metadata(key) if key == "profileId" => Some(state.profile_number(wanted).into_iter().collect()),
        Subject::Metadata(_) => Some(Vec::new()),
        Subject::Field(_) => None,
    },
    known: |state, subject, number, billing| match (name(subject), billing) {
        (Some("status"), Billing::Paid(cycle)) => Some(json!(cycle.status)),
        (Some("created"), _) => Some(joined(state, number)),
        (Some("canceled_at"), Billing::Paid(cycle)) if !cycle.cancel_at_period_end => Some(Value::Null),
        (None, _) if *subject != Subject::Metadata("profileId".to_string()) => Some(Value::Null),
        _ => None,
    },
    few: false,
};

pub const INVOICES: Searchable = Searchable {
    grammar: Grammar {
        resource: "invoices",
        fields: &[
            Field::new("created", Type::Number),
            Field::new("currency", Type::Token),
            Field::new("customer", Type::Token),
            Field::at("last_finalization_error_code", Type::Token, "last_finalization_error.code"),
            Field::at("last_finalization_error_type", Type::Token, "last_finalization_error.type"),
            Field::new("number", Type::Text),
            Field::new("receipt_number", Type::Text),
            Field::new("status", Type::Token),
            Field::at("subscription", Type::Token, "parent.subscription_details.subscription"),
            Field::new("total", Type::Number),
        ],
    },
    collection: Collection::Invoices,
    object: "invoice",
    only: |state, subject, wanted| match name(subject) {
        Some("customer") => Some(state.population.customer_number(wanted).into_iter().collect()),
        Some("subscription") => Some(state.population.subscription_number(wanted).into_iter().collect()),
        Some("number") => Some(numbered(state, wanted)),
        None => Some(Vec::new()),
        _ => None,
    },
    known: |state, subject, number, billing| match (name(subject), billing) {
        (Some("total"), Billing::Paid(c)) if c.status == "trialing" => Some(json!(0)),
        (Some("total"), _) => amount(state, billing),
        (Some("status"), Billing::Paid(c)) if c.status != "past_due" => Some(json!("paid")),
        (Some("last_finalization_error_code" | "last_finalization_error_type" | "receipt_number"), _) => Some(Value::Null),
        _ => of_payments(state, subject, number),
    },
    few: false,
};

pub const CHARGES: Searchable = Searchable {
    grammar: Grammar {
        resource: "charges",
        fields: &[
            Field::new("amount", Type::Number),
            Field::new("billing_details.address.postal_code", Type::Token),
            Field::new("created", Type::Number),
            Field::new("currency", Type::Token),
            Field::new("customer", Type::Token),
            Field::new("disputed", Type::Token),
            Field::new("payment_method_details.card.brand", Type::Token),
            Field::new("payment_method_details.card.exp_month", Type::Token),
            Field::new("payment_method_details.card.exp_year", Type::Token),
            Field::new("payment_method_details.card.fingerprint", Type::Token),
            Field::new("payment_method_details.card.last4", Type::Token),
            Field::new("refunded", Type::Token),
            Field::new("status", Type::Token),
        ],
    },
    collection: Collection::Charges,
    object: "charge",
    only: |state, subject, wanted| match name(subject) {
        Some("customer") => Some(state.population.customer_number(wanted).into_iter().collect()),
        None => Some(Vec::new()),
        _ => None,
    },
    known: |state, subject, number, billing| match (name(subject), billing) {
        (Some("amount"), _) => amount(state, billing),
        // Nobody's money went back before somebody changed that.
        (Some("disputed" | "refunded"), _) => Some(json!(false)),
        (Some("billing_details.address.postal_code"), _) => Some(Value::Null),
        (Some("status"), Billing::Paid(c)) if c.status != "past_due" => Some(json!("succeeded")),
        _ => of_payments(state, subject, number),
    },
    few: false,
};

pub const PAYMENT_INTENTS: Searchable = Searchable {
    grammar: Grammar {
        resource: "payment_intents",
        fields: &[
            Field::new("amount", Type::Number),
            Field::new("created", Type::Number),
            Field::new("currency", Type::Token),
            Field::new("customer", Type::Token),
            Field::new("status", Type::Token),
        ],
    },
    collection: Collection::PaymentIntents,
    object: "payment_intent",
    only: CHARGES.only,
    known: |state, subject, number, billing| match (name(subject), billing) {
        (Some("amount"), _) => amount(state, billing),
        (Some("status"), Billing::Paid(c)) if c.status != "past_due" => Some(json!("succeeded")),
        _ => of_payments(state, subject, number),
    },
    few: false,
};

pub const PRICES: Searchable = Searchable {
    grammar: Grammar {
        resource: "prices",
        fields: &[
            Field::new("active", Type::Token),
            Field::new("currency", Type::Token),
            Field::new("lookup_key", Type::Text),
            Field::new("product", Type::Token),
            Field::new("type", Type::Token),
        ],
    },
    collection: Collection::Prices,
    object: "price",
    only: |_, _, _| None,
    known: |_, _, _, _| None,
    few: true,
};

pub const PRODUCTS: Searchable = Searchable {
    grammar: Grammar {
        resource: "products",
        fields: &[
            Field::new("active", Type::Token),
            Field::new("description", Type::Text),
            Field::new("name", Type::Text),
            Field::new("shippable", Type::Token),
            Field::new("url", Type::Text),
        ],
    },
    collection: Collection::Products,
    object: "product",
    only: |_, _, _| None,
    known: |_, _, _, _| None,
    few: true,
};

/// The field's name; `None` for metadata.
fn name(subject: &Subject) -> Option<&'static str> {
    match subject {
        Subject::Field(field) => Some(field.name),
        Subject::Metadata(_) => None,
    }
}

/// Customer and subscription are made the moment a person joins.
fn joined(state: &State, number: u64) -> Value {
    json!(state.population.joined(number).timestamp())
}

/// What each payment of a person comes to.
fn amount(state: &State, billing: Billing) -> Option<Value> {
    let Billing::Paid(cycle) = billing else { return None };
    catalog::price(price(cycle.tier, cycle.interval), state.population.born()).map(|(_, amount, _)| json!(amount))
}

/// What invoices, charges and intents of the population have in common.
fn of_payments(state: &State, subject: &Subject, number: u64) -> Option<Value> {
    match name(subject) {
        None => Some(Value::Null),
        Some("currency") => Some(json!("eur")),
        Some("customer") => Some(json!(state.population.id(Kind::Customer, number, 0))),
        Some("subscription") => Some(json!(state.population.id(Kind::Subscription, number, 0))),
        Some("payment_method_details.card.last4") => {
            let method = payment_methods::of_person(&state.population.person(number))?;
            Some(method["card"]["last4"].clone())
        }
        _ => None,
    }
}

/// The people whose invoices are numbered like that. Numbers begin with a customer's own prefix, which follows from its id alone.
fn numbered(state: &State, number: &str) -> Vec<u64> {
    let Some((prefix, _)) = number.rsplit_once('-') else { return Vec::new() };
    let own = |n: &u64| prefix.eq_ignore_ascii_case(&customers::invoice_prefix(&state.population.id(Kind::Customer, *n, 0)));
    (0..state.population.len()).filter(|n| matches!(state.population.billing(*n), Billing::Paid(_)) && own(n)).collect()
}
