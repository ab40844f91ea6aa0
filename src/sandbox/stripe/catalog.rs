//! What the sandbox sells from the start, and the shapes of products and prices. Its ids are fixed, to stand in configurations and tests;
//! what is made or changed later stands in the state, where a price is looked up (`State::price`).

use chrono::{DateTime, Duration, Utc};
use serde_json::{Value, json};

use crate::sandbox::population::{Interval, PRICE_ENT_MONTH, PRICE_ENT_YEAR, PRICE_LEGACY_GOLD, PRICE_PRO_MONTH, PRICE_PRO_YEAR};

/// What a price is made of.
pub struct PriceFacts<'a> {
    pub id: &'a str,
    pub product: &'a str,
    pub currency: &'a str,
    /// In the currency's smallest unit.
    pub amount: i64,
    /// Interval and how many of them; `None` for a price that is paid once.
    pub recurring: Option<(&'a str, i64)>,
    pub created: i64,
}

/// How long one billing period of a recurring price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Period {
    unit: Unit,
    count: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    Day,
    Week,
    Month,
    Year,
}

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

/// A price or product there is from the start, as it was then.
pub fn find(id: &str, born: DateTime<Utc>) -> Option<Value> {
    let line = || LINES.iter().enumerate().find(|(_, l)| l.product == id);
    price(id, born).map(|(price, _, _)| price).or_else(|| line().map(|(i, l)| article_line(l, created(born, 2 * i + 1))))
}

/// The ids of the prices there are from the start, newest first.
pub fn price_ids() -> impl Iterator<Item = &'static str> {
    ARTICLES.iter().map(|a| a.price)
}

/// The ids of the products there are from the start, newest first.
pub fn product_ids() -> impl Iterator<Item = &'static str> {
    LINES.iter().map(|l| l.product)
}

/// A price there is from the start: its JSON as it was then, its amount in cents, and its interval.
pub fn price(id: &str, born: DateTime<Utc>) -> Option<(Value, i64, Interval)> {
    let (i, article) = ARTICLES.iter().enumerate().find(|(_, a)| a.price == id)?;
    Some((article_price(article, created(born, i)), article.amount, article.interval))
}

/// The plan object that subscription items still carry beside the price.
pub fn plan(price: &Value) -> Value {
    json!({
        "id": price["id"],
        "object": "plan",
        "active": price["active"],
        "amount": price["unit_amount"],
        "amount_decimal": price["unit_amount_decimal"],
        "billing_scheme": "per_unit",
        "created": price["created"],
        "currency": price["currency"],
        "interval": price["recurring"]["interval"],
        "interval_count": price["recurring"]["interval_count"],
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

fn article_price(a: &Article, created: i64) -> Value {
    let recurring = Some((a.interval.word(), 1));
    let mut price = price_object(&PriceFacts { id: a.price, product: a.product, currency: "eur", amount: a.amount, recurring, created });
    price["active"] = json!(a.tier.is_some());
    price["lookup_key"] = json!(a.lookup_key);
    price["metadata"] = metadata(a.tier);
    price["tax_behavior"] = json!("exclusive");
    price
}

fn article_line(l: &Line, created: i64) -> Value {
    let mut product = product_object(l.product, l.name, created);
    product["active"] = json!(l.tier.is_some());
    product["metadata"] = metadata(l.tier);
    product
}

pub fn price_object(f: &PriceFacts) -> Value {
    let recurring = f.recurring.map(|(interval, count)| {
        json!({ "interval": interval, "interval_count": count, "meter": null, "trial_period_days": null, "usage_type": "licensed" })
    });
    json!({
        "id": f.id,
        "object": "price",
        "active": true,
        "billing_scheme": "per_unit",
        "created": f.created,
        "currency": f.currency,
        "custom_unit_amount": null,
        "livemode": false,
        "lookup_key": null,
        "metadata": {},
        "nickname": null,
        "product": f.product,
        "recurring": recurring,
        "tax_behavior": "unspecified",
        "tiers_mode": null,
        "transform_quantity": null,
        "type": if f.recurring.is_some() { "recurring" } else { "one_time" },
        "unit_amount": f.amount,
        "unit_amount_decimal": f.amount.to_string()
    })
}

pub fn product_object(id: &str, name: &str, created: i64) -> Value {
    json!({
        "id": id,
        "object": "product",
        "active": true,
        "created": created,
        "default_price": null,
        "description": null,
        "images": [],
        "livemode": false,
        "marketing_features": [],
        "metadata": {},
        "name": name,
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

impl Period {
    /// A price that is paid once has none; it counts as a month.
    pub fn of(price: &Value) -> Self {
        let unit = match price["recurring"]["interval"].as_str() {
            Some("day") => Unit::Day,
            Some("week") => Unit::Week,
            Some("year") => Unit::Year,
            _ => Unit::Month,
        };
        let count = price["recurring"]["interval_count"].as_u64().unwrap_or(1);
        Self { unit, count: u32::try_from(count).unwrap_or(1) }
    }

    /// The boundary so many periods after `start`.
    pub fn after(self, start: DateTime<Utc>, periods: u32) -> DateTime<Utc> {
        let count = self.count * periods;
        match self.unit {
            Unit::Day => start + Duration::days(i64::from(count)),
            Unit::Week => start + Duration::weeks(i64::from(count)),
            Unit::Month => Interval::Month.after(start, count),
            Unit::Year => Interval::Year.after(start, count),
        }
    }
}

fn metadata(tier: Option<&str>) -> Value {
    tier.map_or_else(|| json!({}), |tier| json!({ "tier": tier }))
}
