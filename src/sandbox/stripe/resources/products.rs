//! Products: their endpoints. What a product looks like is the catalogue's.

use serde_json::{Map, Value, json};

use super::super::acts;
use super::super::catalog;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::{fields, prices};

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "products",
        permission: "rak_product_read",
        params: &["active", "created<>", "ending_before", "expand[]", "ids[]", "limit", "shippable", "starting_after", "type", "url"],
        run: Run::Read(list),
    },
    Route {
        method: "POST",
        path: "products",
        permission: "rak_product_write",
        params: &[
            "active",
            "default_price_data.currency",
            "default_price_data.metadata{}",
            "default_price_data.recurring.interval",
            "default_price_data.recurring.interval_count",
            "default_price_data.tax_behavior",
            "default_price_data.unit_amount",
            "description",
            "expand[]",
            "id",
            "images[]",
            "marketing_features[].name",
            "metadata{}",
            "name",
            "shippable",
            "statement_descriptor",
            "tax_code",
            "type",
            "unit_label",
            "url",
        ],
        run: Run::Write(create),
    },
    Route { method: "GET", path: "products/{id}", permission: "rak_product_read", params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "products/{id}",
        permission: "rak_product_write",
        params: &[
            "active",
            "default_price",
            "description",
            "expand[]",
            "images[]",
            "marketing_features[].name",
            "metadata{}",
            "name",
            "shippable",
            "statement_descriptor",
            "tax_code",
            "unit_label",
            "url",
        ],
        run: Run::Write(update),
    },
    Route { method: "DELETE", path: "products/{id}", permission: "rak_product_write", params: &[], run: Run::Write(delete) },
];

/// The product a parameter names.
///
/// # Errors
/// There is none (400, on that parameter).
pub fn named(state: &State, param: &str, id: &str) -> Result<Value, Failure> {
    state.live(id, "product").ok_or_else(|| Failure::missing_in(param, "product", id))
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let (active, shippable) = (call.params.boolean("active")?, call.params.boolean("shippable")?);
    let ids = call.params.list("ids");
    let kind = fields::one_of(&call.params, "type", &["good", "service"])?;
    let url = call.params.text("url");
    let mut all = state.products();
    all.retain(|p| {
        active.is_none_or(|a| p["active"] == a)
            && shippable.is_none_or(|s| p["shippable"] == s)
            && (ids.is_empty() || p["id"].as_str().is_some_and(|id| ids.contains(&id)))
            && kind.is_none_or(|k| p["type"] == k)
            && url.is_none_or(|u| p["url"] == u)
    });
    listing::small(state, call, "/v1/products", "product", all)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    let found = state.live(&call.id, "product").ok_or_else(|| Failure::missing("product", &call.id))?;
    expand::one(state, call, found)
}

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let name = fields::required(&call.params, "name")?;
    fields::one_of(&call.params, "type", &["good", "service"])?;
    let id = match call.params.text("id") {
        Some(id) if state.get(id).is_some() => {
            return Err(Failure::new(400, "Product already exists.").code("resource_already_exists").param("id"));
        }
        Some(id) => id.to_string(),
        None => state.fresh("prod_", 14),
    };
    let mut product = catalog::product_object(&id, name, call.now.timestamp());
    let mut default_price = None;
    if call.params.map("default_price_data").is_some() {
        let price = prices::made(state, call, "default_price_data.", &id)?;
        product["default_price"] = price["id"].clone();
        default_price = Some(price);
    }
    if let Some(product) = product.as_object_mut() {
        apply(product, call)?;
    }
    acts::add_product(state, product.clone(), call.now);
    if let Some(price) = default_price {
        acts::add_price(state, price, call.now);
    }
    expand::one(state, call, product)
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let mut after = state.live(&call.id, "product").ok_or_else(|| Failure::missing("product", &call.id))?;
    fields::not_unset(&call.params, "name")?;
    if let Some(id) = call.params.text("default_price") {
        let price = prices::named(state, "default_price", id)?;
        if price["product"] != call.id.as_str() {
            let sentence = format!("The price `{id}` belongs to another product than `{}`, whose default it cannot be.", call.id);
            return Err(Failure::new(400, sentence).param("default_price"));
        }
        after["default_price"] = json!(id);
    }
    let before = after.clone();
    if let Some(product) = after.as_object_mut() {
        apply(product, call)?;
    }
    if after != before || call.params.text("default_price").is_some() {
        after["updated"] = json!(call.now.timestamp());
    }
    acts::change_with_event(state, &call.id, "product.updated", call.now, |product| {
        if let Value::Object(after) = after {
            *product = after;
        }
    });
    retrieve(state, call)
}

fn apply(product: &mut Map<String, Value>, call: &Call) -> Result<(), Failure> {
    let params = &call.params;
    fields::texts(product, params, &["description", "name", "statement_descriptor", "tax_code", "type", "unit_label", "url"]);
    fields::list(product, params, "images");
    for name in ["active", "shippable"] {
        if let Some(on) = params.boolean(name)? {
            product.insert(name.into(), json!(on));
        }
    }
    if params.map("marketing_features").is_some() || params.text("marketing_features").is_some() {
        let features: Vec<Value> = params.each("marketing_features").iter().map(|f| json!({ "name": f.text("name") })).collect();
        product.insert("marketing_features".into(), json!(features));
    }
    acts::merge_metadata(product, params.map("metadata"), params.text("metadata"));
    Ok(())
}

fn delete(state: &mut State, call: &Call) -> Result<Value, Failure> {
    state.live(&call.id, "product").ok_or_else(|| Failure::missing("product", &call.id))?;
    if state.prices().iter().any(|p| p["product"] == call.id.as_str()) {
        return Err(Failure::new(400, "This product cannot be deleted because it has one or more user-created prices."));
    }
    acts::delete_product(state, &call.id, call.now);
    expand::one(state, call, state.get(&call.id).unwrap_or_default())
}
