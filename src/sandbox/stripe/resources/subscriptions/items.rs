//! The items that a request names: prices that can be subscribed to, quantities, and what is to become of items that are there.

use std::collections::HashSet;

use serde_json::Value;

use super::super::super::acts::{self, ItemChange, NewItem};
use super::super::super::failure::Failure;
use super::super::super::form::Params;
use super::super::super::state::State;
use super::super::fields;

const MOST: usize = 20;

/// The items of a subscription to be, by `items[]`.
pub fn new(state: &State, params: &Params) -> Result<Vec<NewItem>, Failure> {
    let given = params.each("items");
    if given.is_empty() {
        return Err(Failure::missing_parameter("items"));
    }
    let items = given.iter().enumerate().map(|(at, item)| one(state, item, &format!("items[{at}]"))).collect::<Result<Vec<_>, _>>()?;
    check_together(items.iter().map(|item| &item.price))?;
    Ok(items)
}

/// What `items[]` asks for about the items of a subscription that is there.
pub fn changes(state: &State, params: &Params, subscription: &Value) -> Result<Vec<ItemChange>, Failure> {
    let mut changes = Vec::new();
    for (at, item) in params.each("items").iter().enumerate() {
        let name = format!("items[{at}]");
        let Some(id) = item.text("id") else {
            changes.push(ItemChange::Add(one(state, item, &name)?));
            continue;
        };
        let theirs = subscription["items"]["data"].as_array().into_iter().flatten().any(|i| i["id"] == id);
        if !theirs {
            return Err(Failure::missing_in(&format!("{name}[id]"), "subscription item", id));
        }
        changes.push(change(state, item, id, &name)?);
    }
    check_result(subscription, &changes)?;
    Ok(changes)
}

/// What is asked for about one item; `name` is where its parameters stand, empty at the top.
pub fn change(state: &State, params: &Params, id: &str, name: &str) -> Result<ItemChange, Failure> {
    if params.boolean("deleted")? == Some(true) {
        return Ok(ItemChange::Delete(id.to_string()));
    }
    let metadata = (params.map("metadata").is_some() || params.text("metadata").is_some()).then(|| {
        let mut item = state.get(id).unwrap_or_default();
        if let Value::Object(item) = &mut item {
            acts::merge_metadata(item, params.map("metadata"), params.text("metadata"));
        }
        item["metadata"].clone()
    });
    Ok(ItemChange::Update {
        id: id.to_string(),
        price: params.text("price").map(|price| subscribable(state, price, &within(name, "price"))).transpose()?,
        quantity: quantity(params, name)?,
        metadata,
    })
}

/// One item to be.
pub fn one(state: &State, params: &Params, name: &str) -> Result<NewItem, Failure> {
    let place = within(name, "price");
    let price = params.text("price").ok_or_else(|| Failure::missing_parameter(&place))?;
    Ok(NewItem {
        price: subscribable(state, price, &place)?,
        quantity: quantity(params, name)?.unwrap_or(1),
        metadata: acts::fresh_metadata(params.map("metadata")),
    })
}

/// Refuses changes after which the subscription would have no item, one price twice, or two currencies.
pub fn check_result(subscription: &Value, changes: &[ItemChange]) -> Result<(), Failure> {
    let mut prices: Vec<(Option<String>, Value)> = Vec::new();
    for item in subscription["items"]["data"].as_array().into_iter().flatten() {
        prices.push((item["id"].as_str().map(str::to_string), item["price"].clone()));
    }
    for change in changes {
        match change {
            ItemChange::Add(new) => prices.push((None, new.price.clone())),
            ItemChange::Delete(id) => prices.retain(|(item, _)| item.as_deref() != Some(id)),
            ItemChange::Update { id, price: Some(price), .. } => {
                prices.iter_mut().filter(|(item, _)| item.as_deref() == Some(id)).for_each(|(_, p)| *p = price.clone());
            }
            ItemChange::Update { .. } => {}
        }
    }
    if prices.is_empty() {
        let text = "A subscription must have at least one active plan. To cancel a subscription, please use the cancel API endpoint on /v1/subscriptions.";
        return Err(Failure::new(400, text));
    }
    if changes.is_empty() { Ok(()) } else { check_together(prices.iter().map(|(_, price)| price)) }
}

fn check_together<'a>(prices: impl Iterator<Item = &'a Value>) -> Result<(), Failure> {
    let mut seen = HashSet::new();
    let mut currency: Option<&Value> = None;
    for price in prices {
        let id = price["id"].as_str().unwrap_or_default();
        if !seen.insert(id) {
            return Err(Failure::new(400, format!("Cannot add multiple subscription items with the same plan: {id}")));
        }
        if *currency.get_or_insert(&price["currency"]) != &price["currency"] {
            let text = "Currency and interval fields must match across all plans on this subscription. Found mismatch in currency field.";
            return Err(Failure::new(400, text));
        }
    }
    if seen.len() > MOST {
        return Err(Failure::new(400, format!("Subscriptions may have at most {MOST} items.")).param("items"));
    }
    Ok(())
}

fn subscribable(state: &State, id: &str, param: &str) -> Result<Value, Failure> {
    let price = state.price(id).ok_or_else(|| Failure::missing_in(param, "price", id))?;
    if price["active"] != true {
        return Err(Failure::new(400, "The price specified is inactive. This field only accepts active prices.").param(param));
    }
    if price["type"] != "recurring" {
        let text = "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.";
        return Err(Failure::new(400, text).param(param));
    }
    Ok(price)
}

fn quantity(params: &Params, name: &str) -> Result<Option<i64>, Failure> {
    fields::within(params, "quantity", 0, 1_000_000).map_err(|failure| failure.param(&within(name, "quantity")))
}

fn within(name: &str, part: &str) -> String {
    if name.is_empty() { part.to_string() } else { format!("{name}[{part}]") }
}
