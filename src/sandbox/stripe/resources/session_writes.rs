//! Checkout sessions are opened, changed and expired over the API. Paying in one is an act, since only the customer can.

use chrono::{Duration, Utc};
use serde_json::{Map, Value, json};

use super::super::acts;
use super::super::expand;
use super::super::failure::Failure;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::Collection;
use super::{customers, fields, prices, products, sessions};

pub const ROUTES: &[Route] = &[
    Route {
        method: "POST",
        path: "checkout/sessions",
        permission: "rak_checkout_session_write",
        params: &[
            "allowed_payment_method_types[]",
            "cancel_url",
            "client_reference_id",
            "customer",
            "customer_creation",
            "customer_email",
            "expand[]",
            "expires_at",
            "line_items[].price",
            "line_items[].price_data.currency",
            "line_items[].price_data.product",
            "line_items[].price_data.product_data.name",
            "line_items[].price_data.recurring.interval",
            "line_items[].price_data.recurring.interval_count",
            "line_items[].price_data.tax_behavior",
            "line_items[].price_data.unit_amount",
            "line_items[].quantity",
            "metadata{}",
            "mode",
            "payment_intent_data.description",
            "payment_intent_data.metadata{}",
            "payment_method_collection",
            "subscription_data.description",
            "subscription_data.metadata{}",
            "subscription_data.trial_end",
            "subscription_data.trial_period_days",
            "success_url",
        ],
        run: Run::Write(create),
    },
    Route {
        method: "POST",
        path: "checkout/sessions/{id}",
        permission: "rak_checkout_session_write",
        params: &["expand[]", "metadata{}"],
        run: Run::Write(update),
    },
    Route {
        method: "POST",
        path: "checkout/sessions/{id}/expire",
        permission: "rak_checkout_session_write",
        params: &["expand[]"],
        run: Run::Write(expire),
    },
];

const MINUTES: i64 = 60;
const DAY: i64 = 86_400;

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let params = &call.params;
    fields::required(params, "mode")?;
    let recurring = fields::one_of(params, "mode", &["payment", "subscription"])? == Some("subscription");
    let customer = customers::check_parameter(state, call)?;
    if customer.as_ref().is_some_and(|id| state.live(id, "customer").is_none()) {
        return Err(Failure::missing_in("customer", "customer", customer.as_deref().unwrap_or_default()));
    }
    if customer.is_some() && params.text("customer_email").is_some() {
        return Err(Failure::new(400, "You may only specify one of these parameters: customer, customer_email.").param("customer"));
    }
    for (other, mode) in [("payment_intent_data", "subscription"), ("subscription_data", "payment")] {
        if params.text("mode") == Some(mode) && params.map(other).is_some() {
            return Err(Failure::new(400, format!("You can not pass `{other}` in `{mode}` mode.")).param(other));
        }
    }
    let creation = fields::one_of(params, "customer_creation", &["always", "if_required"])?;
    if creation.is_some() && recurring {
        return Err(Failure::new(400, "`customer_creation` can only be used in `payment` and `setup` mode.").param("customer_creation"));
    }
    let collection = fields::one_of(params, "payment_method_collection", &["always", "if_required"])?;
    if let Some(other) = params.list("allowed_payment_method_types").into_iter().find(|kind| *kind != "card") {
        let sentence = format!("The payment method type provided: {other} is invalid. This account takes cards only.");
        return Err(Failure::new(400, sentence).param("allowed_payment_method_types"));
    }
    let success = fields::required(params, "success_url")?;
    let expires = expiry(call)?;
    let trial_end = trial_end(call)?;
    let lines = lines(state, call, recurring)?;
    let currency = lines[0]["currency"].clone();
    // On trial only what is sold once is paid for at once.
    let due = lines.iter().filter(|line| trial_end.is_none() || line["price"]["type"] == "one_time");
    let total: i64 = due.filter_map(|line| line["amount_total"].as_i64()).sum();
    let id = state.fresh("cs_test_a1", 56);
    let who = customer.as_deref().and_then(|c| state.get(c)).unwrap_or_default();
    let mut session = sessions::render(sessions::Facts {
        id: &id,
        customer: &who,
        subscription: "",
        invoice: "",
        amount: total,
        created: call.now.timestamp(),
        client_reference_id: params.text("client_reference_id"),
        metadata: json!({}),
    });
    for (name, value) in [
        ("cancel_url", json!(params.text("cancel_url"))),
        ("currency", currency),
        ("customer_email", json!(params.text("customer_email"))),
        ("expires_at", json!(expires)),
        ("invoice", Value::Null),
        ("mode", json!(params.text("mode"))),
        ("payment_status", json!(if total == 0 { "no_payment_required" } else { "unpaid" })),
        ("status", json!("open")),
        ("subscription", Value::Null),
        ("success_url", json!(success)),
        ("url", json!(format!("{}/_sim/checkout/{id}", state.base_url))),
    ] {
        session[name] = value;
    }
    session["customer_creation"] = match (&customer, recurring) {
        (Some(_), _) => Value::Null,
        (None, true) => json!("always"),
        (None, false) => json!(creation.unwrap_or("if_required")),
    };
    session["payment_method_collection"] = json!(collection.unwrap_or(if recurring { "always" } else { "if_required" }));
    if customer.is_none() {
        let email = params.text("customer_email");
        session["customer_details"] = email.map_or(Value::Null, |email| {
            let mut details = session["customer_details"].clone();
            details["email"] = json!(email);
            details
        });
    }
    if let Some(session) = session.as_object_mut() {
        acts::merge_metadata(session, params.map("metadata"), None);
    }
    state.line_items.insert(id.clone(), lines);
    state.intentions.insert(id.clone(), intentions(call, trial_end));
    state.insert(Collection::Sessions, session);
    if let Some(at) = chrono::DateTime::<Utc>::from_timestamp(expires, 0) {
        state.later(at, acts::expire_checkout, &id);
    }
    expand::one(state, call, state.get(&id).unwrap_or_default())
}

/// When the session ends by itself: half an hour to a day from now.
fn expiry(call: &Call) -> Result<i64, Failure> {
    let now = call.now.timestamp();
    let Some(at) = call.params.integer("expires_at")? else { return Ok(now + DAY) };
    let wrong = |sentence: &str| Failure::new(400, sentence).param("expires_at");
    if at < now + 30 * MINUTES {
        return Err(wrong("The `expires_at` timestamp must be at least 30 minutes from Checkout Session creation."));
    }
    if at > now + DAY {
        return Err(wrong("The `expires_at` timestamp must be less than 24 hours from Checkout Session creation."));
    }
    Ok(at)
}

fn trial_end(call: &Call) -> Result<Option<i64>, Failure> {
    let days = fields::within(&call.params, "subscription_data.trial_period_days", 1, 730)?;
    let end = call.params.integer("subscription_data.trial_end")?;
    if days.is_some() && end.is_some() {
        let sentence = "You may only specify one of these parameters: subscription_data[trial_end], subscription_data[trial_period_days].";
        return Err(Failure::new(400, sentence).param("subscription_data[trial_end]"));
    }
    if end.is_some_and(|end| end < (call.now + Duration::days(2)).timestamp()) {
        return Err(
            Failure::new(400, "The `trial_end` date has to be at least 2 days in the future.").param("subscription_data[trial_end]")
        );
    }
    Ok(end.or(days.map(|days| call.now.timestamp() + days * DAY)))
}

/// The line items, each with its price; prices described in place are made.
fn lines(state: &mut State, call: &Call, recurring: bool) -> Result<Vec<Value>, Failure> {
    let params = &call.params;
    let mut counts: Vec<u64> = params.map("line_items").into_iter().flatten().filter_map(|(count, _)| count.parse().ok()).collect();
    counts.sort_unstable();
    if counts.is_empty() {
        return Err(Failure::missing_parameter("line_items"));
    }
    let mut found = Vec::new();
    for at in counts {
        let path = |name: &str| format!("line_items.{at}.{name}");
        let quantity = fields::within(params, &path("quantity"), 1, 999_999)?;
        let quantity = quantity.ok_or_else(|| {
            Failure::new(400, format!("Quantity is required. Add `quantity` to `line_items[{at}]`")).param(&params.shown(&path("quantity")))
        })?;
        let shown = params.shown(&path("price"));
        if params.text(&path("price")).is_some() && params.map(&path("price_data")).is_some() {
            return Err(
                Failure::new(400, "You may only specify one of these parameters: price, price_data.").param(&format!("line_items[{at}]"))
            );
        }
        let price = match params.text(&path("price")) {
            Some(id) => prices::named(state, &shown, id)?,
            None => in_place(state, call, &path("price_data"), &shown)?,
        };
        if price["active"] == false && params.text(&path("price")).is_some() {
            return Err(Failure::new(400, "The price specified is inactive. This field only accepts active prices.").param(&shown));
        }
        found.push((price, quantity));
    }
    let repeats = |price: &Value| price["type"] == "recurring";
    if !recurring && found.iter().any(|(price, _)| repeats(price)) {
        return Err(Failure::new(
            400,
            "You specified `payment` mode but passed a recurring price. Either switch to `subscription` mode or use only one-time prices.",
        )
        .param("mode"));
    }
    if recurring && !found.iter().any(|(price, _)| repeats(price)) {
        return Err(Failure::new(400, "You must provide at least one recurring price in `subscription` mode when using prices.")
            .param("line_items"));
    }
    let period = |price: &Value| (price["recurring"]["interval"].clone(), price["recurring"]["interval_count"].clone());
    let mut periods = found.iter().map(|(price, _)| price).filter(|price| repeats(price)).map(period);
    if let Some(first) = periods.next()
        && periods.any(|other| other != first)
    {
        return Err(Failure::new(400, "Checkout does not support multiple prices with different billing intervals.").param("line_items"));
    }
    if found.iter().any(|(price, _)| price["currency"] != found[0].0["currency"]) {
        return Err(Failure::new(400, "All prices on a Checkout session must have the same currency.").param("line_items"));
    }
    let mut lines = Vec::new();
    for (price, quantity) in found {
        let id = state.fresh("li_1", 23);
        lines.push(sessions::line_item(state, &id, &price, quantity));
    }
    Ok(lines)
}

/// A price described in a line: made for it, and of no use to anybody else.
fn in_place(state: &mut State, call: &Call, path: &str, missing: &str) -> Result<Value, Failure> {
    let params = &call.params;
    if params.map(path).is_none() {
        return Err(Failure::missing_parameter(missing));
    }
    let (product_path, name_path) = (format!("{path}.product"), format!("{path}.product_data.name"));
    let (product, new_product) = match params.text(&product_path) {
        Some(id) => {
            products::named(state, &params.shown(&product_path), id)?;
            (id.to_string(), None)
        }
        None => {
            let name = fields::required(params, &name_path)?;
            let id = state.fresh("prod_", 14);
            let product = super::super::catalog::product_object(&id, name, call.now.timestamp());
            (id, Some(product))
        }
    };
    let mut price = prices::made(state, call, &format!("{path}."), &product)?;
    price["active"] = json!(false);
    if let Some(product) = new_product {
        acts::add_product(state, product, call.now);
    }
    acts::add_price(state, price.clone(), call.now);
    Ok(price)
}

/// What is to become of the payment or the subscription, which the session itself does not show.
fn intentions(call: &Call, trial_end: Option<i64>) -> Value {
    let params = &call.params;
    let of = |name: &str| {
        let metadata = params.map(&format!("{name}.metadata")).cloned().unwrap_or_default();
        (params.text(&format!("{name}.description")).map(str::to_string), metadata)
    };
    let recurring = params.text("mode") == Some("subscription");
    let (description, metadata): (Option<String>, Map<String, Value>) =
        of(if recurring { "subscription_data" } else { "payment_intent_data" });
    json!({ "description": description, "metadata": metadata, "trial_end": trial_end })
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "checkout.session").ok_or_else(|| Failure::missing("checkout.session", &call.id))?;
    state.change(&call.id, |session| acts::merge_metadata(session, call.params.map("metadata"), call.params.text("metadata")));
    expand::one(state, call, state.get(&call.id).unwrap_or_default())
}

fn expire(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "checkout.session").ok_or_else(|| Failure::missing("checkout.session", &call.id))?;
    if found["status"] != "open" {
        let status = found["status"].as_str().unwrap_or_default();
        let sentence =
            format!("Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of {status}.");
        return Err(Failure::new(400, sentence));
    }
    acts::expire_checkout(state, &call.id, call.now);
    expand::one(state, call, state.get(&call.id).unwrap_or_default())
}
