//! Prices: their endpoints. What a price looks like is the catalogue's.

use serde_json::{Value, json};

use super::super::acts;
use super::super::catalog::{self, PriceFacts};
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::{fields, products};

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "prices",
        permission: "rak_plan_read",
        params: &[
            "active",
            "created<>",
            "currency",
            "ending_before",
            "expand[]",
            "limit",
            "lookup_keys[]",
            "product",
            "recurring.interval",
            "recurring.usage_type",
            "starting_after",
            "type",
        ],
        run: Run::Read(list),
    },
    Route {
        method: "POST",
        path: "prices",
        permission: "rak_plan_write",
        params: &[
            "active",
            "billing_scheme",
            "currency",
            "expand[]",
            "lookup_key",
            "metadata{}",
            "nickname",
            "product",
            "product_data.active",
            "product_data.id",
            "product_data.metadata{}",
            "product_data.name",
            "product_data.statement_descriptor",
            "product_data.tax_code",
            "product_data.unit_label",
            "recurring.interval",
            "recurring.interval_count",
            "recurring.trial_period_days",
            "recurring.usage_type",
            "tax_behavior",
            "transfer_lookup_key",
            "unit_amount",
        ],
        run: Run::Write(create),
    },
    Route { method: "GET", path: "prices/{id}", permission: "rak_plan_read", params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "prices/{id}",
        permission: "rak_plan_write",
        params: &["active", "expand[]", "lookup_key", "metadata{}", "nickname", "tax_behavior", "transfer_lookup_key"],
        run: Run::Write(update),
    },
];

const INTERVALS: [&str; 4] = ["month", "year", "week", "day"];
const TAX: [&str; 3] = ["exclusive", "inclusive", "unspecified"];
/// What money is taken in here; all of it has hundredths.
const CURRENCIES: [&str; 8] = ["usd", "eur", "gbp", "chf", "sek", "nok", "dkk", "pln"];

/// The price a parameter names.
///
/// # Errors
/// There is none (400, on that parameter).
pub fn named(state: &State, param: &str, id: &str) -> Result<Value, Failure> {
    state.price(id).ok_or_else(|| Failure::missing_in(param, "price", id))
}

/// A price of a product as parameters describe it, the names of which begin with `prefix`. It is not kept anywhere yet.
///
/// # Errors
/// A parameter is missing or wrong (400).
pub fn made(state: &mut State, call: &Call, prefix: &str, product: &str) -> Result<Value, Failure> {
    let params = &call.params;
    let path = |name: &str| format!("{prefix}{name}");
    let currency = fields::required(params, &path("currency"))?.to_lowercase();
    if !CURRENCIES.contains(&currency.as_str()) {
        let known = CURRENCIES.join(", ");
        let sentence = format!("Invalid currency: {currency}. Stripe currently supports these currencies: {known}");
        return Err(Failure::new(400, sentence).param(&params.shown(&path("currency"))));
    }
    let Some(amount) = fields::within(params, &path("unit_amount"), 0, 99_999_999)? else {
        return Err(Failure::new(400, "Prices require an `unit_amount` or `unit_amount_decimal` parameter to be set."));
    };
    let recurring = if params.map(&path("recurring")).is_some() {
        let interval_path = path("recurring.interval");
        fields::required(params, &interval_path)?;
        let interval = fields::one_of(params, &interval_path, &INTERVALS)?.unwrap_or_default();
        // Three years are the most.
        let most = match interval {
            "day" => 1_095,
            "week" => 156,
            "month" => 36,
            _ => 3,
        };
        Some((interval, fields::within(params, &path("recurring.interval_count"), 1, most)?.unwrap_or(1)))
    } else {
        None
    };
    let tax = fields::one_of(params, &path("tax_behavior"), &TAX)?;
    let id = state.fresh("price_1", 23);
    let mut price =
        catalog::price_object(&PriceFacts { id: &id, product, currency: &currency, amount, recurring, created: call.now.timestamp() });
    if let Some(word) = tax {
        price["tax_behavior"] = json!(word);
    }
    if let Some(price) = price.as_object_mut() {
        acts::merge_metadata(price, params.map(&path("metadata")), None);
    }
    Ok(price)
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let params = &call.params;
    let active = params.boolean("active")?;
    let keys = params.list("lookup_keys");
    if keys.len() > 10 {
        return Err(Failure::new(400, "You may pass up to 10 lookup keys.").param("lookup_keys"));
    }
    if let Some(id) = params.text("product") {
        products::named(state, "product", id)?;
    }
    fields::one_of(params, "type", &["one_time", "recurring"])?;
    let interval = fields::one_of(params, "recurring.interval", &INTERVALS)?;
    let usage = fields::one_of(params, "recurring.usage_type", &["licensed", "metered"])?;
    let mut all = state.prices();
    all.retain(|p| {
        active.is_none_or(|a| p["active"] == a)
            && (keys.is_empty() || p["lookup_key"].as_str().is_some_and(|k| keys.contains(&k)))
            && interval.is_none_or(|i| p["recurring"]["interval"] == i)
            && usage.is_none_or(|u| p["recurring"]["usage_type"] == u)
            && ["product", "currency", "type"].iter().all(|name| params.text(name).is_none_or(|t| p[*name] == t))
    });
    listing::small(state, call, "/v1/prices", "price", all)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.price(&call.id).ok_or_else(|| Failure::missing("price", &call.id))?;
    expand::one(state, call, found)
}

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let params = &call.params;
    params.boolean("transfer_lookup_key")?;
    fields::one_of(params, "billing_scheme", &["per_unit"])?;
    fields::one_of(params, "recurring.usage_type", &["licensed"])?;
    let trial = fields::within(params, "recurring.trial_period_days", 1, 730)?;
    let active = params.boolean("active")?;
    let (product, new_product) = match (params.text("product"), params.map("product_data")) {
        (Some(_), Some(_)) => {
            return Err(Failure::new(400, "You may only specify one of these parameters: product, product_data.").param("product"));
        }
        (Some(id), None) => {
            products::named(state, "product", id)?;
            (id.to_string(), None)
        }
        (None, Some(_)) => {
            let name = fields::required(params, "product_data.name")?;
            let id = params.text("product_data.id").map_or_else(|| state.fresh("prod_", 14), str::to_string);
            if state.get(&id).is_some() {
                return Err(Failure::new(400, "Product already exists.").code("resource_already_exists").param("product_data[id]"));
            }
            let mut product = catalog::product_object(&id, name, call.now.timestamp());
            for field in ["statement_descriptor", "tax_code", "unit_label"] {
                product[field] = json!(params.text(&format!("product_data.{field}")));
            }
            product["active"] = json!(params.boolean("product_data.active")?.unwrap_or(true));
            if let Some(product) = product.as_object_mut() {
                acts::merge_metadata(product, params.map("product_data.metadata"), None);
            }
            (id, Some(product))
        }
        (None, None) => return Err(Failure::new(400, "You must specify either `product` or `product_data` when creating a price.")),
    };
    let mut price = made(state, call, "", &product)?;
    price["active"] = json!(active.unwrap_or(true));
    price["nickname"] = json!(params.text("nickname").filter(|t| !t.is_empty()));
    if let Some(days) = trial.filter(|_| price["recurring"].is_object()) {
        price["recurring"]["trial_period_days"] = json!(days);
    }
    if let Some(key) = params.text("lookup_key").filter(|t| !t.is_empty()) {
        free_lookup_key(state, call, key, "")?;
        price["lookup_key"] = json!(key);
    }
    if let Some(product) = new_product {
        acts::add_product(state, product, call.now);
    }
    acts::add_price(state, price.clone(), call.now);
    expand::one(state, call, price)
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let params = &call.params;
    let found = state.price(&call.id).ok_or_else(|| Failure::missing("price", &call.id))?;
    let active = params.boolean("active")?;
    params.boolean("transfer_lookup_key")?;
    let product = state.get(found["product"].as_str().unwrap_or_default()).unwrap_or_default();
    if active == Some(false) && product["default_price"] == call.id.as_str() {
        return Err(Failure::new(400, "This price cannot be archived because it is the default price of its product."));
    }
    let tax = fields::one_of(params, "tax_behavior", &TAX)?;
    if tax.is_some_and(|tax| found["tax_behavior"] != "unspecified" && found["tax_behavior"] != tax) {
        return Err(
            Failure::new(400, "You cannot change the tax behavior once it is set to `inclusive` or `exclusive`.").param("tax_behavior")
        );
    }
    if let Some(key) = params.text("lookup_key").filter(|t| !t.is_empty()) {
        free_lookup_key(state, call, key, &call.id)?;
    }
    acts::update_price(state, &call.id, call.now, |price| {
        if let Some(on) = active {
            price.insert("active".into(), json!(on));
        }
        fields::texts(price, params, &["lookup_key", "nickname", "tax_behavior"]);
        acts::merge_metadata(price, params.map("metadata"), params.text("metadata"));
    });
    retrieve(state, call)
}

/// Takes a lookup key from the price that has it, where the call says so.
fn free_lookup_key(state: &mut State, call: &Call, key: &str, for_price: &str) -> Result<(), Failure> {
    let Some(holder) = state.prices().into_iter().find(|p| p["lookup_key"] == key && p["id"] != for_price) else { return Ok(()) };
    let id = holder["id"].as_str().unwrap_or_default();
    if call.params.boolean("transfer_lookup_key")? != Some(true) {
        return Err(Failure::new(400, format!("A price (`{id}`) already uses that lookup key.")).param("lookup_key"));
    }
    acts::update_price(state, id, call.now, |price| {
        price.insert("lookup_key".into(), Value::Null);
    });
    Ok(())
}
