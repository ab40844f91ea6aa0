//! Balance transactions: what moved money into or out of the account. Their shape, list, retrieval and sum.

use std::collections::BTreeMap;

use chrono::{DateTime, Duration, DurationRound, Utc};
use serde_json::{Value, json};

use super::super::expand;
use super::super::failure::Failure;
use super::super::form::Bounds;
use super::super::listing::{self, Listing};
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, Direction, People, Selection};
use super::payment_intents::Payment;
use crate::sandbox::population::Person;
use crate::sandbox::population::ids::Kind;

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "balance_transactions",
        permission: "rak_balance_read",
        params: &["created<>", "currency", "ending_before", "expand[]", "limit", "source", "starting_after", "type"],
        run: Run::Read(list),
    },
    Route {
        method: "GET",
        path: "balance_transactions/{id}",
        permission: "rak_balance_read",
        params: &["expand[]"],
        run: Run::Read(retrieve),
    },
];

/// The account's payouts wait for so many days.
const DELAY_DAYS: i64 = 7;

/// One movement of money. Amounts are in the smallest unit; what leaves the account is negative.
pub struct Facts<'a> {
    pub id: &'a str,
    pub amount: i64,
    /// What Stripe keeps, and for what.
    pub fee: Option<(i64, &'a str)>,
    pub currency: &'a str,
    pub created: i64,
    pub available_on: i64,
    pub description: Option<String>,
    /// Stripe's `type`.
    pub kind: &'a str,
    pub category: &'a str,
    /// The id of the charge, refund or dispute.
    pub source: &'a str,
}

pub fn render(f: &Facts) -> Value {
    let fee = f.fee.map_or(0, |(amount, _)| amount);
    let details = f.fee.map(|(amount, what)| {
        json!({ "amount": amount, "application": null, "currency": f.currency, "description": what, "type": "stripe_fee" })
    });
    json!({
        "id": f.id,
        "object": "balance_transaction",
        "amount": f.amount,
        "available_on": f.available_on,
        "balance_type": "payments",
        "created": f.created,
        "currency": f.currency,
        "description": f.description,
        "exchange_rate": null,
        "fee": fee,
        "fee_details": details.as_slice(),
        "net": f.amount - fee,
        "reporting_category": f.category,
        "source": f.source,
        "status": if f.available_on > f.created { "pending" } else { "available" },
        "type": f.kind
    })
}

/// The transaction of a charge that went through.
pub fn of_charge(id: &str, charge: &Value, at_once: bool) -> Value {
    let amount = charge["amount_captured"].as_i64().unwrap_or_default();
    let created = charge["created"].as_i64().unwrap_or_default();
    render(&Facts {
        id,
        amount,
        // A card of the European Economic Area: 1.5 % and 25 cents.
        fee: Some(((amount * 15 + 500) / 1_000 + 25, "Stripe processing fees")),
        currency: charge["currency"].as_str().unwrap_or_default(),
        created,
        available_on: if at_once { created } else { payable(created) },
        description: charge["description"].as_str().map(str::to_string),
        kind: "charge",
        category: "charge",
        source: charge["id"].as_str().unwrap_or_default(),
    })
}

/// The transaction of a person's invoice; one that was not paid has none.
pub fn of_person(state: &State, person: &Person, cycle: u8) -> Option<Value> {
    let payment = Payment::of_person(state, person, cycle).filter(|p| p.paid)?;
    let id = state.population.id(Kind::BalanceTransaction, person.number, cycle);
    let charge = json!({
        "id": payment.charge,
        "amount_captured": payment.amount,
        "created": payment.created,
        "currency": "eur",
        "description": payment.description()
    });
    Some(as_of(of_charge(&id, &charge, false), state.population.born()))
}

/// What was made since the start adds to the balance, by currency: what is available by now, and what is pending.
pub fn sums(state: &State, now: DateTime<Utc>) -> BTreeMap<String, (i64, i64)> {
    let selection = Selection {
        bounds: Bounds::ALL,
        direction: Direction::NewestFirst,
        beyond: None,
        ordinals: u8::MAX,
        // The population's own was paid out, or stands in the balance at the start.
        people: People::Only(Vec::new()),
    };
    let mut sums = BTreeMap::new();
    for made in state.walk(Collection::BalanceTransactions, selection).filter_map(|(_, id)| state.get(&id)) {
        let entry: &mut (i64, i64) = sums.entry(made["currency"].as_str().unwrap_or_default().to_string()).or_default();
        let net = made["net"].as_i64().unwrap_or_default();
        if made["available_on"].as_i64() <= Some(now.timestamp()) { entry.0 += net } else { entry.1 += net }
    }
    sums
}

/// Midnight after the delay.
fn payable(created: i64) -> i64 {
    let Some(at) = DateTime::from_timestamp(created, 0) else { return created };
    let later = at + Duration::days(DELAY_DAYS);
    later.duration_trunc(Duration::days(1)).unwrap_or(later).timestamp()
}

/// Pending money becomes available by the clock alone.
fn as_of(mut transaction: Value, now: DateTime<Utc>) -> Value {
    if transaction["available_on"].as_i64() <= Some(now.timestamp()) {
        transaction["status"] = json!("available");
    }
    transaction
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let text = |name| call.params.text(name).map(str::to_string);
    let (kind, currency) = (text("type"), text("currency"));
    let keep = |v: &Value| {
        kind.as_deref().is_none_or(|k| v["type"] == k) && currency.as_deref().is_none_or(|c| v["currency"] == c.to_ascii_lowercase())
    };
    let mut page = match call.params.text("source") {
        Some(source) => {
            let all = of_source(state, source).into_iter().filter(keep).collect();
            listing::small(state, call, "/v1/balance_transactions", "balance transaction", all)?
        }
        None => Listing {
            url: "/v1/balance_transactions",
            noun: "balance transaction",
            collection: Collection::BalanceTransactions,
            customer: None,
            floor: i64::MIN,
            ordinals: u8::MAX,
            people: People::Where(&|_, _| true),
            keep: &keep,
        }
        .page(state, call)?,
    };
    for transaction in page["data"].as_array_mut().into_iter().flatten() {
        *transaction = as_of(transaction.take(), call.now);
    }
    Ok(page)
}

/// Newest first.
fn of_source(state: &State, source: &str) -> Vec<Value> {
    let Some(object) = state.get(source) else { return Vec::new() };
    if let Some(embedded) = object["balance_transactions"].as_array() {
        return embedded.iter().rev().cloned().collect();
    }
    let ids = ["failure_balance_transaction", "balance_transaction"];
    ids.into_iter().filter_map(|name| object[name].as_str()).filter_map(|id| state.get(id)).collect()
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "balance_transaction").ok_or_else(|| Failure::missing("balance transaction", &call.id))?;
    expand::one(state, call, as_of(found, call.now))
}
