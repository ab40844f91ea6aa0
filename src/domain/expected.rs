//! The expected row: what Stripe's object demands of the database. The heart of every verdict, plan and check.

use super::ids::StripeId;
use super::row::{Field, Image, Value};
use super::shape::Shape;
use super::stripe::{Interval, Item, Status, Subscription};
use super::tiers::{MappedBy, TierRules};
use serde::{Deserialize, Serialize};

/// The row that a subscription demands, and how it was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    pub image: Image,
    pub tier: String,
    /// What decided the tier. `None` for a subscription that entitles to nothing.
    pub item: Option<Decided>,
    /// What was left alone, and why: one sentence each.
    pub left_alone: Vec<String>,
}

/// The item whose price named the tier, and by which rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decided {
    pub item: StripeId,
    pub price: String,
    pub by: MappedBy,
}

/// Why no row can be demanded. Nothing is written on any of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum NoExpectation {
    #[error("price {0} is mapped to no tier: add it under [tiers] in the configuration, or give the price a lookup key or metadata")]
    UnknownPrice(String),
    #[error("two items map to different tiers ({}): choose the one that counts", .0.join(", "))]
    TwoTiers(Vec<String>),
    #[error("no item of the subscription buys {0}: choose among {list}", list = .1.join(", "))]
    NotBought(String, Vec<String>),
    #[error("subscription {0} has no items")]
    NoItems(String),
    #[error("Stripe bills every {0}, and the database has no word for that in its interval column")]
    IntervalOutsideWords(String),
}

impl Expected {
    /// The item that decided, else the first: period and interval are its.
    #[must_use]
    pub fn item_of<'a>(&self, subscription: &'a Subscription) -> Option<&'a Item> {
        let decided = self.item.as_ref().and_then(|d| subscription.items.iter().find(|i| i.id == d.item));
        decided.or(subscription.items.first())
    }
}

/// The row that `subscription` demands under `rules`, in the words of this database. `chosen` is the tier that the operator
/// picked where two items map to different ones.
///
/// # Errors
/// [`NoExpectation`] where the object or the rules leave it open.
pub fn expected(subscription: &Subscription, rules: &TierRules, shape: &Shape, chosen: Option<&str>) -> Result<Expected, NoExpectation> {
    let served = rules.keeps_tier.contains(&subscription.status);
    let (item, tier, by) = match deciding_item(subscription, rules, chosen) {
        Ok((item, tier, by)) => (Some(item), tier, Some(Decided { item: item.id.clone(), price: item.price.id.to_string(), by })),
        // What entitles to nothing demands FREE, whatever its price.
        Err(_) if !served => (subscription.items.first(), rules.free().to_string(), None),
        Err(why) => return Err(why),
    };
    let tier = if served { tier } else { rules.free().to_string() };
    let mut left_alone = Vec::new();
    let mut image = Image::from([
        (Field::Tier, Value::text(tier.clone())),
        (Field::Customer, Value::text(subscription.customer.as_str())),
        (Field::Subscription, Value::text(subscription.id.as_str())),
        (Field::CancelAt, Value::time(subscription.cancel_at)),
        (Field::CancelAtPeriodEnd, Value::Bool(subscription.cancel_at_period_end)),
    ]);
    let admitted = shape.status_words.as_ref().is_none_or(|w| w.contains(subscription.status.word()));
    if admitted {
        image.insert(Field::Status, Value::text(subscription.status.word()));
    } else {
        left_alone.push(format!("status: the column does not admit `{}`", subscription.status));
    }
    // A deleted subscription keeps the ids and the last period that the row holds.
    if subscription.status != Status::Canceled {
        if let Some(period) = subscription.period_of(item) {
            image.insert(Field::PeriodStart, Value::Time(period.start));
            image.insert(Field::PeriodEnd, Value::Time(period.end));
        } else {
            left_alone.push("period: Stripe's object names none".into());
        }
        let price = item.map(|i| &i.price);
        if let Some(count) = price.map(|p| p.interval_count).filter(|n| *n > 1) {
            // `month` for a quarter would be a new error; what the application writes there is its own affair.
            left_alone
                .push(format!("interval: Stripe bills every {count} {}s", price.and_then(|p| p.interval).map_or("period", Interval::word)));
        } else if let Some(interval) = price.and_then(|p| p.interval) {
            match shape.interval.word(interval) {
                Some(word) => drop(image.insert(Field::Interval, Value::text(word))),
                None if served => return Err(NoExpectation::IntervalOutsideWords(interval.word().into())),
                None => left_alone.push(format!("interval: the column has no word for `{}`", interval.word())),
            }
        }
    }
    Ok(Expected { image, tier, item: by, left_alone })
}

/// The tier alone, which needs no words of any database.
///
/// # Errors
/// As [`expected`].
pub fn tier_due(subscription: &Subscription, rules: &TierRules) -> Result<String, NoExpectation> {
    if rules.keeps_tier.contains(&subscription.status) {
        deciding_item(subscription, rules, None).map(|(_, tier, _)| tier)
    } else {
        Ok(rules.free().to_string())
    }
}

/// The one item whose price names a tier; two are fine as long as they agree.
pub(super) fn deciding_item<'a>(
    subscription: &'a Subscription,
    rules: &TierRules,
    chosen: Option<&str>,
) -> Result<(&'a Item, String, MappedBy), NoExpectation> {
    let mapped: Vec<_> = subscription.items.iter().filter_map(|i| rules.tier_of(&i.price).map(|(tier, by)| (i, tier, by))).collect();
    let Some(first) = mapped.first().cloned() else {
        return Err(match subscription.items.first() {
            Some(item) => NoExpectation::UnknownPrice(item.price.id.to_string()),
            None => NoExpectation::NoItems(subscription.id.to_string()),
        });
    };
    if let Some(chosen) = chosen {
        let picked = mapped.iter().find(|(_, tier, _)| tier == chosen);
        let bought = || mapped.iter().map(|(_, tier, _)| tier.clone()).collect();
        return picked.cloned().ok_or_else(|| NoExpectation::NotBought(chosen.to_string(), bought()));
    }
    if mapped.iter().any(|(_, tier, _)| *tier != first.1) {
        return Err(NoExpectation::TwoTiers(mapped.into_iter().map(|(_, tier, _)| tier).collect()));
    }
    Ok(first)
}
