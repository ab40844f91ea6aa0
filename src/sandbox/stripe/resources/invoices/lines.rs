//! The lines of an invoice: what one item of a subscription, or one invoice item, costs for a time; and the endpoint that pages them.

use serde_json::{Value, json};

use super::super::super::failure::Failure;
use super::super::super::listing;
use super::super::super::route::Call;
use super::super::super::state::State;

struct Line<'a> {
    id: &'a str,
    invoice: &'a str,
    amount: i64,
    currency: &'a Value,
    description: Value,
    quantity: i64,
    period: Value,
    pricing: Value,
    metadata: Value,
    subscription: Value,
    parent: Value,
}

/// What an item of a subscription costs in one period, in the currency's smallest unit.
pub fn amount_of(item: &Value) -> i64 {
    price_amount(&item["price"], item["quantity"].as_i64().unwrap_or(1))
}

/// What so many of a price cost, in the currency's smallest unit.
pub fn price_amount(price: &Value, quantity: i64) -> i64 {
    let decimal = || price["unit_amount_decimal"].as_str().and_then(|text| text.parse::<f64>().ok());
    match (price["unit_amount"].as_i64(), decimal()) {
        (Some(unit), _) => unit.saturating_mul(quantity),
        (None, Some(unit)) => (unit * quantity as f64).round() as i64,
        (None, None) => 0,
    }
}

/// A subscription item's line for a period; `free` while it is on trial. `product` is the product's name.
pub fn of_item(ids: (&str, &str), item: &Value, product: &str, period: (i64, i64), metadata: &Value, free: bool) -> Value {
    let price = &item["price"];
    let quantity = item["quantity"].as_i64().unwrap_or(1);
    let description = if free {
        format!("Trial period for {product}")
    } else {
        let every = price["recurring"]["interval_count"].as_i64().filter(|n| *n > 1).map_or(String::new(), |n| format!("every {n} "));
        let unit = money(price_amount(price, 1), price["currency"].as_str().unwrap_or_default());
        format!("{quantity} × {product} (at {unit} / {every}{})", price["recurring"]["interval"].as_str().unwrap_or("month"))
    };
    render(Line {
        id: ids.0,
        invoice: ids.1,
        amount: if free { 0 } else { amount_of(item) },
        currency: &price["currency"],
        description: json!(description),
        quantity,
        period: json!({ "end": period.1, "start": period.0 }),
        pricing: pricing(price),
        metadata: metadata.clone(),
        subscription: item["subscription"].clone(),
        parent: json!({
            "invoice_item_details": null,
            "subscription_item_details": {
                "invoice_item": null,
                "proration": false,
                "proration_details": { "credited_items": null },
                "subscription": item["subscription"],
                "subscription_item": item["id"]
            },
            "type": "subscription_item_details"
        }),
    })
}

/// The line of an invoice item.
pub fn of_invoice_item(ids: (&str, &str), item: &Value) -> Value {
    render(Line {
        id: ids.0,
        invoice: ids.1,
        amount: item["amount"].as_i64().unwrap_or_default(),
        currency: &item["currency"],
        description: item["description"].clone(),
        quantity: item["quantity"].as_i64().unwrap_or(1),
        period: item["period"].clone(),
        pricing: item["pricing"].clone(),
        metadata: item["metadata"].clone(),
        subscription: item["parent"]["subscription_details"]["subscription"].clone(),
        parent: json!({
            "invoice_item_details": {
                "invoice_item": item["id"],
                "proration": item["proration"],
                "proration_details": { "credited_items": null },
                "subscription": item["parent"]["subscription_details"]["subscription"]
            },
            "subscription_item_details": null,
            "type": "invoice_item_details"
        }),
    })
}

/// How a line and an invoice item name their price.
pub fn pricing(price: &Value) -> Value {
    json!({
        "price_details": { "price": price["id"], "product": price["product"] },
        "type": "price_details",
        "unit_amount_decimal": price["unit_amount_decimal"]
    })
}

/// `€19.00`, as Stripe writes amounts into descriptions.
pub fn money(amount: i64, currency: &str) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    let (whole, cents) = (amount.unsigned_abs() / 100, amount.unsigned_abs() % 100);
    match currency {
        "eur" => format!("{sign}€{whole}.{cents:02}"),
        "usd" => format!("{sign}${whole}.{cents:02}"),
        "gbp" => format!("{sign}£{whole}.{cents:02}"),
        other => format!("{sign}{whole}.{cents:02} {}", other.to_uppercase()),
    }
}

/// `GET /v1/invoices/{id}/lines`.
pub fn page(state: &State, call: &Call) -> Result<Value, Failure> {
    let missing = || Failure::missing("invoice", &call.id).param("invoice");
    let invoice = state.live(&call.id, "invoice").ok_or_else(missing)?;
    let all = invoice["lines"]["data"].as_array().cloned().unwrap_or_default();
    let url = format!("/v1/invoices/{}/lines", call.id);
    listing::small(state, call, &url, "line item", all)
}

fn render(l: Line) -> Value {
    json!({
        "id": l.id,
        "object": "line_item",
        "amount": l.amount,
        "currency": l.currency,
        "description": l.description,
        "discount_amounts": [],
        "discountable": l.amount >= 0,
        "discounts": [],
        "invoice": l.invoice,
        "livemode": false,
        "metadata": l.metadata,
        "parent": l.parent,
        "period": l.period,
        "pretax_credit_amounts": [],
        "pricing": l.pricing,
        "quantity": l.quantity,
        "quantity_decimal": l.quantity.to_string(),
        "subscription": l.subscription,
        "subtotal": l.amount,
        "taxes": []
    })
}
