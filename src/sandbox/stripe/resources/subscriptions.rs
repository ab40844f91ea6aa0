//! Subscriptions: their shape (periods on the items only), those of the population, list and retrieval. What changes them has files of its own.

mod create;
mod ending;
pub mod items;
pub mod update;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::super::catalog;
use super::super::expand;
use super::super::failure::Failure;
use super::super::form::{Bounds, Params};
use super::super::listing::{self, Listing};
use super::super::route::{Call, Route, Run};
use super::super::search;
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::{customers, fields};
use crate::sandbox::population::ids::Kind;
pub use ending::paused_because;

use crate::sandbox::population::{Billing, PRICE_LEGACY_GOLD, Paid, Person, price};

const READ: &str = "rak_subscription_read";
const WRITE: &str = "rak_subscription_write";

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "subscriptions",
        permission: READ,
        params: &[
            "collection_method",
            "created<>",
            "current_period_end<>",
            "current_period_start<>",
            "customer",
            "ending_before",
            "expand[]",
            "limit",
            "price",
            "starting_after",
            "status",
        ],
        run: Run::Read(list),
    },
    Route { method: "POST", path: "subscriptions", permission: WRITE, params: create::PARAMS, run: Run::Write(create::create) },
    Route {
        method: "GET",
        path: "subscriptions/search",
        permission: READ,
        params: &["expand[]", "limit", "page", "query"],
        run: Run::Read(search::subscriptions),
    },
    Route { method: "GET", path: "subscriptions/{id}", permission: READ, params: &["expand[]"], run: Run::Read(retrieve) },
    Route { method: "POST", path: "subscriptions/{id}", permission: WRITE, params: update::PARAMS, run: Run::Write(update::update) },
    Route {
        method: "DELETE",
        path: "subscriptions/{id}",
        permission: WRITE,
        params: &["cancellation_details.comment", "cancellation_details.feedback", "expand[]", "invoice_now", "prorate"],
        run: Run::Write(ending::cancel),
    },
    Route {
        method: "POST",
        path: "subscriptions/{id}/pause",
        permission: WRITE,
        params: &["expand[]", "type"],
        run: Run::Write(ending::pause),
    },
    Route {
        method: "POST",
        path: "subscriptions/{id}/resume",
        permission: WRITE,
        params: &["billing_cycle_anchor.type", "expand[]"],
        run: Run::Write(ending::resume),
    },
];

/// How far ahead a moment may be set, in seconds.
const FARTHEST: i64 = 5 * 366 * 86_400;

const STATUSES: [&str; 8] = ["active", "past_due", "unpaid", "canceled", "incomplete", "incomplete_expired", "trialing", "paused"];

/// What a subscription is made of.
pub struct Facts<'a> {
    pub id: &'a str,
    pub customer: &'a str,
    pub created: i64,
    pub status: &'a str,
    pub items: Vec<Value>,
    pub trial: Option<(i64, i64)>,
    pub cancel_at_period_end: bool,
    pub canceled_at: Option<i64>,
    pub ended_at: Option<i64>,
    pub latest_invoice: &'a str,
    pub metadata: Value,
}

pub fn render(f: Facts) -> Value {
    let period_end = f.items.iter().filter_map(|i| i["current_period_end"].as_i64()).min();
    let details = json!({
        "comment": null,
        "feedback": null,
        "feedback_option": null,
        "reason": f.canceled_at.map(|_| "cancellation_requested")
    });
    let head = json!({
        "id": f.id,
        "object": "subscription",
        "application": null,
        "application_fee_percent": null,
        "automatic_tax": { "disabled_reason": null, "enabled": false, "liability": null },
        "billing_cycle_anchor": f.trial.map_or(f.created, |(_, end)| end),
        "billing_cycle_anchor_config": null,
        "billing_mode": { "flexible": { "proration_discounts": "included" }, "type": "flexible" },
        "billing_schedules": [],
        "billing_thresholds": null,
        "cancel_at": if f.cancel_at_period_end { period_end } else { None },
        "cancel_at_period_end": f.cancel_at_period_end,
        "canceled_at": f.canceled_at,
        "cancellation_details": details,
        "collection_method": "charge_automatically",
        "created": f.created,
        "currency": "eur"
    });
    let rest = json!({
        "customer": f.customer,
        "customer_account": null,
        "days_until_due": null,
        "default_payment_method": null,
        "default_source": null,
        "default_tax_rates": [],
        "description": null,
        "discounts": [],
        "ended_at": f.ended_at,
        "invoice_settings": {
            "account_tax_ids": null,
            "custom_fields": null,
            "description": null,
            "footer": null,
            "issuer": { "type": "self" }
        },
        "items": null,
        "latest_invoice": f.latest_invoice,
        "livemode": false,
        "managed_payments": null,
        "metadata": f.metadata,
        "next_pending_invoice_item_invoice": null,
        "on_behalf_of": null,
        "pause_collection": null,
        "payment_settings": {
            "payment_method_options": null,
            "payment_method_types": null,
            "save_default_payment_method": "off"
        },
        "pending_invoice_item_interval": null,
        "pending_setup_intent": null,
        "pending_update": null,
        "schedule": null,
        "start_date": f.created,
        "status": f.status,
        "test_clock": null,
        "transfer_data": null,
        "trial_end": f.trial.map(|(_, end)| end),
        "trial_settings": { "end_behavior": { "billing_cycle_anchor": null, "missing_payment_method": "create_invoice" } },
        "trial_start": f.trial.map(|(start, _)| start)
    });
    let mut subscription = super::merged([head, rest]);
    // Within the macro it would be copied, and every list of subscriptions made of copies.
    subscription["items"] = listing::inner(format!("/v1/subscription_items?subscription={}", f.id), f.items);
    subscription
}

/// An item; the billing period is here and nowhere else.
pub fn item(id: &str, subscription: &str, price: &Value, created: i64, period: (i64, i64)) -> Value {
    json!({
        "id": id,
        "object": "subscription_item",
        "billing_thresholds": null,
        "created": created,
        "current_period_end": period.1,
        "current_period_start": period.0,
        "current_trial": null,
        "discounts": [],
        "metadata": {},
        "plan": catalog::plan(price),
        "price": price,
        "quantity": 1,
        "subscription": subscription,
        "tax_rates": []
    })
}

pub fn of_person(state: &State, person: &Person) -> Option<Value> {
    let paid = person.plan.as_ref()?;
    Some(as_of(state, person, paid, paid.cycle, paid.status == "canceled"))
}

/// The subscription as it stood in a billing cycle; `over` for the end of a canceled one.
pub fn as_of(state: &State, person: &Person, paid: &Paid, cycle: u8, over: bool) -> Value {
    let born = state.population.born();
    let current = cycle == paid.cycle;
    let period = if current {
        (paid.period_start.timestamp(), paid.period_end.timestamp())
    } else {
        let at = |n: u32| paid.interval.after(paid.started, n).timestamp();
        (at(u32::from(cycle)), at(u32::from(cycle) + 1))
    };
    let status = match paid.status {
        "canceled" if over => "canceled",
        "trialing" => "trialing",
        "past_due" if current => "past_due",
        _ => "active",
    };
    let (price, _, _) = catalog::price(paid.price, born).expect("invariant: the population pays catalogue prices");
    let leaving = paid.cancel_at_period_end && current;
    let canceled_at = leaving.then(|| (paid.period_start + chrono::Duration::hours(20)).min(born).timestamp());
    let created = paid.started.timestamp();
    let mut made = render(Facts {
        id: &paid.subscription,
        customer: person.customer.as_deref().unwrap_or_default(),
        created,
        status,
        items: vec![item(&paid.item, &paid.subscription, &price, created, period)],
        trial: (paid.status == "trialing").then_some(period),
        cancel_at_period_end: leaving,
        canceled_at,
        ended_at: paid.ended.filter(|_| over).map(|at| at.timestamp()),
        latest_invoice: &state.population.id(Kind::Invoice, person.number, cycle),
        metadata: state.profile_metadata(person),
    });
    made["default_payment_method"] = json!(paid.payment_method);
    made
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let status = call.params.text("status").map(str::to_string);
    if let Some(word) = status.as_deref().filter(|w| !STATUSES.contains(w) && !["all", "ended"].contains(w)) {
        let names = STATUSES.join(", ");
        let text = format!("Invalid status: must be one of {names}, all, or ended (you passed {word})");
        return Err(Failure::new(400, text).param("status"));
    }
    let wanted_price = call.params.text("price").map(str::to_string);
    if let Some(id) = wanted_price.as_deref().filter(|id| state.price(id).is_none()) {
        return Err(Failure::missing_in("price", "price", id));
    }
    let method = fields::one_of(&call.params, "collection_method", &["charge_automatically", "send_invoice"])?;
    let (starts, ends) = (call.params.bounds("current_period_start")?, call.params.bounds("current_period_end")?);
    let in_period = |v: &Value| {
        let item = |name: &str, bounds: Bounds| {
            bounds == Bounds::ALL
                || v["items"]["data"].as_array().into_iter().flatten().any(|i| i[name].as_i64().is_some_and(|at| bounds.contain(at)))
        };
        item("current_period_start", starts) && item("current_period_end", ends)
    };
    let admits = |word: &str| match status.as_deref() {
        None => word != "canceled" && word != "incomplete_expired",
        Some("all") => true,
        Some("ended") => word == "canceled" || word == "incomplete_expired",
        Some(one) => word == one,
    };
    let may_match = |n: u64, billing: Billing| match billing {
        Billing::Paid(c) => {
            state.is_touched(n) || (admits(c.status) && wanted_price.as_deref().is_none_or(|p| price(c.tier, c.interval) == p))
        }
        _ => false,
    };
    let sold = wanted_price.as_deref() != Some(PRICE_LEGACY_GOLD);
    let people = if sold && ["active", "trialing", "past_due", "canceled"].iter().any(|s| admits(s)) {
        People::Where(&may_match)
    } else {
        People::Only(state.touched_and(None))
    };
    let has_price = |v: &Value| {
        let items = v["items"]["data"].as_array().into_iter().flatten();
        wanted_price.as_deref().is_none_or(|p| items.into_iter().any(|i| i["price"]["id"] == p))
    };
    Listing {
        url: "/v1/subscriptions",
        noun: "subscription",
        collection: Collection::Subscriptions,
        customer: customers::check_parameter(state, call)?,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people,
        keep: &|v| {
            v["status"].as_str().is_some_and(admits) && has_price(v) && method.is_none_or(|m| v["collection_method"] == m) && in_period(v)
        },
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "subscription").ok_or_else(|| Failure::missing("subscription", &call.id))?;
    expand::one(state, call, found)
}

/// The end of the first period to end.
pub fn period_end(subscription: &Value) -> Option<i64> {
    subscription["items"]["data"].as_array()?.iter().filter_map(|item| item["current_period_end"].as_i64()).min()
}

/// A moment that a parameter names in Unix seconds, in the future; `None` where it is not there, or empty.
fn timestamp(params: &Params, path: &str, now: DateTime<Utc>) -> Result<Option<i64>, Failure> {
    let name = params.shown(path);
    if params.text(path) == Some("") {
        return Ok(None);
    }
    let Some(at) = params.integer(path)? else { return Ok(None) };
    if at <= now.timestamp() {
        return Err(Failure::new(400, "Invalid timestamp: must be an integer Unix timestamp in the future.").param(&name));
    }
    if at > now.timestamp() + FARTHEST {
        return Err(Failure::new(400, "Invalid timestamp: can be no more than five years in the future.").param(&name));
    }
    Ok(Some(at))
}

/// The payment method that a parameter names, if it is that customer's.
fn method_of(state: &State, params: &Params, name: &str, customer: &str) -> Result<Option<String>, Failure> {
    let Some(id) = params.text(name).filter(|id| !id.is_empty()) else { return Ok(None) };
    if state.live(id, "payment_method").is_some_and(|method| method["customer"] == customer) {
        return Ok(Some(id.to_string()));
    }
    let text =
        format!("The customer does not have a payment method with the ID {id}. The payment method must be attached to the customer.");
    Err(Failure::new(400, text).code("resource_missing").param(name))
}
