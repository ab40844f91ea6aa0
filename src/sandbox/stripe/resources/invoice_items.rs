//! Invoice items: amounts that wait for a customer's next invoice, or stand on a draft. What they become on it is `invoices/lines.rs`.

use serde_json::{Value, json};

use super::super::acts;
use super::super::expand;
use super::super::failure::Failure;
use super::super::listing::Listing;
use super::super::route::{Call, Route, Run};
use super::super::state::State;
use super::super::timeline::{Collection, People};
use super::invoices::lines;
use super::{customers, fields};

const READ: &str = "rak_invoice_read";
const WRITE: &str = "rak_invoice_write";

pub const ROUTES: &[Route] = &[
    Route {
        method: "GET",
        path: "invoiceitems",
        permission: READ,
        params: &["created<>", "customer", "ending_before", "expand[]", "invoice", "limit", "pending", "starting_after"],
        run: Run::Read(list),
    },
    Route {
        method: "POST",
        path: "invoiceitems",
        permission: WRITE,
        params: &[
            "amount",
            "currency",
            "customer",
            "description",
            "expand[]",
            "invoice",
            "metadata{}",
            "period.end",
            "period.start",
            "pricing.price",
            "quantity",
            "subscription",
        ],
        run: Run::Write(create),
    },
    Route { method: "GET", path: "invoiceitems/{id}", permission: READ, params: &["expand[]"], run: Run::Read(retrieve) },
    Route {
        method: "POST",
        path: "invoiceitems/{id}",
        permission: WRITE,
        params: &["amount", "description", "expand[]", "metadata{}", "quantity"],
        run: Run::Write(update),
    },
    Route { method: "DELETE", path: "invoiceitems/{id}", permission: WRITE, params: &[], run: Run::Write(delete) },
];

/// What an invoice item is made of.
pub struct Facts<'a> {
    pub id: &'a str,
    pub customer: &'a str,
    pub amount: i64,
    pub currency: &'a str,
    pub description: Option<&'a str>,
    /// Unix seconds.
    pub date: i64,
    pub period: (i64, i64),
    pub price: Option<&'a Value>,
    pub quantity: i64,
    /// The subscription and, for prorations, its item.
    pub subscription: Option<(&'a str, Option<&'a str>)>,
    pub proration: bool,
    pub metadata: Value,
}

pub fn render(f: Facts) -> Value {
    let unit = if f.quantity == 0 { 0 } else { f.amount / f.quantity };
    let pricing = match f.price {
        Some(price) => {
            let mut pricing = lines::pricing(price);
            pricing["unit_amount_decimal"] = json!(unit.to_string());
            pricing
        }
        None => json!({ "type": "price_details", "unit_amount_decimal": unit.to_string() }),
    };
    let parent = f.subscription.map(|(subscription, item)| {
        let mut details = json!({ "subscription": subscription });
        if let Some(item) = item {
            details["subscription_item"] = json!(item);
        }
        json!({ "subscription_details": details, "type": "subscription_details" })
    });
    let mut made = json!({
        "id": f.id,
        "object": "invoiceitem",
        "amount": f.amount,
        "currency": f.currency,
        "customer": f.customer,
        "customer_account": null,
        "date": f.date,
        "description": f.description,
        "discountable": !f.proration,
        "discounts": [],
        "invoice": null,
        "livemode": false,
        "metadata": f.metadata,
        "net_amount": f.amount,
        "parent": parent,
        "period": { "end": f.period.1, "start": f.period.0 },
        "pricing": pricing,
        "proration": f.proration,
        "quantity": f.quantity,
        "quantity_decimal": f.quantity.to_string(),
        "tax_rates": [],
        "test_clock": null
    });
    if f.proration {
        made["proration_details"] = json!({ "credited_items": null, "discount_amounts": [] });
    }
    made
}

fn list(state: &State, call: &Call) -> Result<Value, Failure> {
    let invoice = call.params.text("invoice").map(str::to_string);
    if let Some(id) = &invoice {
        state.live(id, "invoice").ok_or_else(|| Failure::missing_in("invoice", "invoice", id))?;
    }
    let pending = call.params.boolean("pending")?;
    Listing {
        url: "/v1/invoiceitems",
        noun: "invoiceitem",
        collection: Collection::InvoiceItems,
        customer: customers::check_parameter(state, call)?,
        floor: i64::MIN,
        ordinals: u8::MAX,
        people: People::Only(Vec::new()),
        keep: &|v| invoice.as_deref().is_none_or(|i| v["invoice"] == i) && pending.is_none_or(|p| v["invoice"].is_null() == p),
    }
    .page(state, call)
}

fn retrieve(state: &State, call: &Call) -> Result<Value, Failure> {
    expand::one(state, call, found(state, call)?)
}

fn create(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let p = &call.params;
    let customer = p.text("customer").ok_or_else(|| Failure::missing_parameter("customer"))?;
    state.live(customer, "customer").ok_or_else(|| Failure::missing_in("customer", "customer", customer))?;
    let quantity = p.integer("quantity")?;
    let named = match p.text("pricing.price") {
        Some(id) => Some(state.live(id, "price").ok_or_else(|| Failure::missing_in("pricing[price]", "price", id))?),
        None => None,
    };
    let (amount, currency) = match (&named, p.integer("amount")?) {
        (Some(_), Some(_)) => {
            return Err(Failure::new(400, "You may only specify one of these parameters: amount, pricing.").param("amount"));
        }
        (Some(price), None) if price["type"] == "recurring" => {
            let text = "The price specified is set to `type=recurring` but this field only accepts prices with `type=one_time`.";
            return Err(Failure::new(400, text).param("pricing[price]"));
        }
        (Some(price), None) => {
            (lines::price_amount(price, quantity.unwrap_or(1)), price["currency"].as_str().unwrap_or_default().to_string())
        }
        (None, Some(_)) if quantity.is_some() => {
            return Err(Failure::new(400, "You may only specify one of these parameters: amount, quantity.").param("amount"));
        }
        (None, Some(amount)) => (amount, p.text("currency").ok_or_else(|| Failure::missing_parameter("currency"))?.to_lowercase()),
        (None, None) => return Err(Failure::missing_parameter("amount")),
    };
    if currency.len() != 3 || !currency.bytes().all(|b| b.is_ascii_lowercase()) {
        return Err(Failure::new(400, format!("Invalid currency: {currency}")).param("currency"));
    }
    if let Some(id) = p.text("invoice") {
        let draft = state.live(id, "invoice").filter(|v| v["customer"] == customer);
        let draft = draft.ok_or_else(|| Failure::missing_in("invoice", "invoice", id))?;
        if draft["status"] != "draft" {
            return Err(Failure::new(400, "The invoice must be a draft in order to add invoice items to it.").param("invoice"));
        }
        if draft["currency"] != currency.as_str() {
            let text = format!(
                "The currency of the invoice item ({currency}) must match the currency of its invoice ({}).",
                draft["currency"].as_str().unwrap_or_default()
            );
            return Err(Failure::new(400, text).param("currency"));
        }
    }
    if let Some(id) = p.text("subscription") {
        let theirs = state.live(id, "subscription").filter(|v| v["customer"] == customer);
        theirs.ok_or_else(|| Failure::missing_in("subscription", "subscription", id))?;
    }
    let now = call.now.timestamp();
    let period = (p.integer("period.start")?.unwrap_or(now), p.integer("period.end")?.unwrap_or(now));
    if period.1 < period.0 {
        return Err(Failure::new(400, "The period's end must not lie before its start.").param("period"));
    }
    let id = state.fresh("ii_1", 23);
    let made = render(Facts {
        id: &id,
        customer,
        amount,
        currency: &currency,
        description: p.text("description").filter(|text| !text.is_empty()),
        date: now,
        period,
        price: named.as_ref(),
        quantity: quantity.unwrap_or(1),
        subscription: p.text("subscription").map(|id| (id, None)),
        proration: false,
        metadata: acts::fresh_metadata(p.map("metadata")),
    });
    acts::add_invoice_item(state, made, p.text("invoice"), call.now);
    expand::one(state, call, state.get(&id).unwrap_or_default())
}

fn update(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let item = editable(state, call)?;
    let p = &call.params;
    let (amount, quantity) = (p.integer("amount")?, p.integer("quantity")?);
    if amount.is_some() && quantity.is_some() {
        return Err(Failure::new(400, "You may only specify one of these parameters: amount, quantity.").param("amount"));
    }
    let unit = item["amount"].as_i64().unwrap_or_default() / item["quantity"].as_i64().filter(|n| *n != 0).unwrap_or(1);
    let amount = amount.or_else(|| quantity.map(|n| unit.saturating_mul(n)));
    state.change(&call.id, |item| {
        if let Some(amount) = amount {
            item.insert("amount".into(), json!(amount));
            item.insert("net_amount".into(), json!(amount));
        }
        if let Some(n) = quantity {
            item.insert("quantity".into(), json!(n));
            item.insert("quantity_decimal".into(), json!(n.to_string()));
        }
        fields::text(item, p, "description");
        acts::merge_metadata(item, p.map("metadata"), p.text("metadata"));
    });
    if let Some(invoice) = item["invoice"].as_str() {
        acts::relist_invoice(state, invoice, call.now);
    }
    retrieve(state, call)
}

fn delete(state: &mut State, call: &Call) -> Result<Value, Failure> {
    let item = editable(state, call)?;
    acts::delete_invoice_item(state, &item, call.now);
    Ok(state.get(&call.id).unwrap_or_default())
}

/// The item, if it is on no invoice that is final.
fn editable(state: &State, call: &Call) -> Result<Value, Failure> {
    let item = found(state, call)?;
    let invoice = item["invoice"].as_str().and_then(|id| state.get(id));
    match invoice {
        Some(invoice) if invoice["deleted"] == true => Err(Failure::new(400, "This invoice item has been deleted.")),
        Some(invoice) if invoice["status"] != "draft" => {
            let text = "Can't update an invoice item that is already attached to an invoice that is no longer editable.";
            Err(Failure::new(400, text).code("invoice_not_editable"))
        }
        _ => Ok(item),
    }
}

fn found(state: &State, call: &Call) -> Result<Value, Failure> {
    state
        .live(&call.id, "invoiceitem")
        .ok_or_else(|| Failure::new(404, format!("No such Invoice Item: '{}'", call.id)).code("resource_missing").param("id"))
}
