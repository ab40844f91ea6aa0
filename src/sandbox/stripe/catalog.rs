//! What the sandbox sells: products and prices. Fixed, so that price ids can stand in configurations and tests.

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use crate::sandbox::population::{Interval, PRICE_ENT_MONTH, PRICE_ENT_YEAR, PRICE_LEGACY_GOLD, PRICE_PRO_MONTH, PRICE_PRO_YEAR};

struct Article {
    price: &'static str,
    product: &'static str,
    /// Euro cents.
    amount: i64,
    interval: Interval,
    lookup_key: Option<&'static str>,
    tier: Option<&'static str>,
}

struct Line {
    product: &'static str,
    name: &'static str,
    tier: Option<&'static str>,
}

/// Newest first, as lists are.
const ARTICLES: [Article; 5] = [
    Article {
        price: PRICE_ENT_YEAR,
        product: "prod_enterprise",
        amount: 199_000,
        interval: Interval::Year,
        lookup_key: Some("ent_yearly"),
        tier: Some("ENTERPRISE"),
    },
    Article {
        price: PRICE_ENT_MONTH,
        product: "prod_enterprise",
        amount: 19_900,
        interval: Interval::Month,
        lookup_key: Some("ent_monthly"),
        tier: Some("ENTERPRISE"),
    },
    Article {
        price: PRICE_PRO_YEAR,
        product: "prod_pro",
        amount: 49_000,
        interval: Interval::Year,
        lookup_key: Some("pro_yearly"),
        tier: Some("PRO"),
    },
    Article {
        price: PRICE_PRO_MONTH,
        product: "prod_pro",
        amount: 4_900,
        interval: Interval::Month,
        lookup_key: Some("pro_monthly"),
        tier: Some("PRO"),
    },
    Article { price: PRICE_LEGACY_GOLD, product: "prod_legacy", amount: 7_900, interval: Interval::Month, lookup_key: None, tier: None },
];

const LINES: [Line; 3] = [
    Line { product: "prod_enterprise", name: "Enterprise", tier: Some("ENTERPRISE") },
    Line { product: "prod_pro", name: "Pro", tier: Some("PRO") },
    Line { product: "prod_legacy", name: "Gold (legacy)", tier: None },
];

/// A price or product by id.
pub fn find(id: &str, born: DateTime<Utc>) -> Option<Value> {
    prices(born).into_iter().chain(products(born)).find(|v| v["id"] == id)
}

/// All prices, newest first.
pub fn prices(born: DateTime<Utc>) -> Vec<Value> {
    ARTICLES.iter().enumerate().map(|(i, a)| price_object(a, created(born, i))).collect()
}

/// All products, newest first.
pub fn products(born: DateTime<Utc>) -> Vec<Value> {
    LINES.iter().enumerate().map(|(i, l)| product_object(l, created(born, 2 * i + 1))).collect()
}

/// The price's JSON as it stands in a subscription item, its amount in cents, and its interval.
pub fn price(id: &str, born: DateTime<Utc>) -> Option<(Value, i64, Interval)> {
    let (i, article) = ARTICLES.iter().enumerate().find(|(_, a)| a.price == id)?;
    Some((price_object(article, created(born, i)), article.amount, article.interval))
}

/// The plan object that subscription items still carry beside the price.
pub fn plan(price: &Value) -> Value {
    json!({
        "id": price["id"],
        "object": "plan",
        "active": true,
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": 1,
        "livemode": false,
        "metadata": price["metadata"],
        "meter": null,
        "nickname": price["nickname"],
        "product": price["product"],
        "tiers_mode": null,
        "transform_usage": null,
        "trial_period_days": null,
        "usage_type": "licensed"
    })
}

fn created(born: DateTime<Utc>, rank: usize) -> i64 {
    (born - Duration::days(800) - Duration::hours(rank as i64)).timestamp()
}

fn price_object(a: &Article, created: i64) -> Value {
    json!({
        "id": a.price,
        "object": "price",
        "active": a.tier.is_some(),
        "billing_scheme": "per_unit",
        "created": created,
        "currency": "eur",
        "custom_unit_amount": null,
        "livemode": false,
        "lookup_key": a.lookup_key,
        "metadata": metadata(a.tier),
        "nickname": null,
        "product": a.product,
        "recurring": {
            "interval": a.interval.word(),
            "interval_count": 1,
            "meter": null,
            "trial_period_days": null,
            "usage_type": "licensed"
        },
        "tax_behavior": "exclusive",
        "tiers_mode": null,
        "transform_quantity": null,
        "type": "recurring",
        "unit_amount": a.amount,
        "unit_amount_decimal": a.amount.to_string()
    })
}

fn product_object(l: &Line, created: i64) -> Value {
    json!({
        "id": l.product,
        "object": "product",
        "active": l.tier.is_some(),
        "created": created,
        "default_price": null,
        "description": null,
        "images": [],
        "livemode": false,
        "marketing_features": [],
        "metadata": metadata(l.tier),
        "name": l.name,
        "package_dimensions": null,
        "shippable": null,
        "statement_descriptor": null,
        "tax_code": null,
        "tax_details": null,
        "type": "service",
        "unit_label": null,
        "updated": created,
        "url": null
    })
}

fn metadata(tier: Option<&str>) -> Value {
    tier.map_or_else(|| json!({}), |tier| json!({ "tier": tier }))
}
