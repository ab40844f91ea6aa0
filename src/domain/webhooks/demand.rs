//! What one snapshot of a subscription demands of its row, small enough to keep for every event of a month. The rules are `expected`'s.

use crate::domain::At;
use crate::domain::expected::{NoExpectation, deciding_item};
use crate::domain::ids::StripeId;
use crate::domain::row::{Field, Image, SubscriptionRow, Value, diff};
use crate::domain::shape::Shape;
use crate::domain::stripe::{Interval, Period, Status, Subscription};
use crate::domain::tiers::TierRules;
use serde::{Deserialize, Serialize};
use std::ops::Deref;
use std::sync::Arc;

/// Which tier is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Due {
    Tier(Arc<str>),
    /// The object and the rules leave it open; why.
    Open(Arc<NoExpectation>),
}

/// What a snapshot demands, in Stripe's words: the database's are put in when it is compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Demand {
    /// Shared by all that demand the same but for its times: of a hundred thousand there are a handful.
    terms: Arc<Terms>,
    /// `None` where the row keeps the one it holds.
    pub period: Option<Period>,
    pub cancel_at: Option<At>,
}

/// What many demand alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub tier: Due,
    pub status: Status,
    /// `None` also where Stripe bills every few of them.
    pub interval: Option<Interval>,
    pub cancel_at_period_end: bool,
}

impl Deref for Demand {
    type Target = Terms;

    fn deref(&self) -> &Terms {
        &self.terms
    }
}

impl Demand {
    #[must_use]
    pub fn of(s: &Subscription, rules: &TierRules) -> Self {
        let served = rules.keeps_tier.contains(&s.status);
        let decided = deciding_item(s, rules, None);
        let item = decided.as_ref().ok().map(|(item, ..)| *item).or(s.items.first());
        let tier = match &decided {
            _ if !served => Due::Tier(rules.free().into()),
            Ok((_, tier, _)) => Due::Tier(tier.as_str().into()),
            Err(why) => Due::Open(why.clone().into()),
        };
        // A deleted subscription keeps the ids and the last period that the row holds.
        let goes_on = s.status != Status::Canceled;
        let price = item.map(|i| &i.price).filter(|p| p.interval_count <= 1);
        let terms = Terms {
            tier,
            status: s.status.clone(),
            interval: price.and_then(|p| p.interval).filter(|_| goes_on),
            cancel_at_period_end: s.cancel_at_period_end,
        };
        Self { terms: Arc::new(terms), period: s.period_of(item).filter(|_| goes_on), cancel_at: s.cancel_at }
    }

    /// The same with this tier due.
    #[must_use]
    pub fn with_tier(self, tier: Due) -> Self {
        Self { terms: Arc::new(Terms { tier, ..(*self.terms).clone() }), ..self }
    }

    /// The same, sharing its terms with those that were met before.
    #[must_use]
    pub fn sharing(mut self, met: &mut Vec<Arc<Terms>>) -> Self {
        match met.iter().find(|t| **t == self.terms) {
            Some(known) => self.terms = Arc::clone(known),
            // Strangers' words could make many: then they are not looked through each time.
            None if met.len() < 64 => met.push(Arc::clone(&self.terms)),
            None => {}
        }
        self
    }

    /// The row that it demands of this customer's subscription, in the words of this database. No tier where that is open.
    #[must_use]
    pub fn image(&self, customer: &StripeId, subscription: &StripeId, shape: &Shape) -> Image {
        let mut image = Image::from([
            (Field::Customer, Value::text(customer.as_str())),
            (Field::Subscription, Value::text(subscription.as_str())),
            (Field::CancelAt, Value::time(self.cancel_at)),
            (Field::CancelAtPeriodEnd, Value::Bool(self.cancel_at_period_end)),
        ]);
        if let Due::Tier(tier) = &self.tier {
            image.insert(Field::Tier, Value::text(tier.as_ref()));
        }
        if shape.status_words.as_ref().is_none_or(|w| w.contains(self.status.word())) {
            image.insert(Field::Status, Value::text(self.status.word()));
        }
        if let Some(period) = self.period {
            image.insert(Field::PeriodStart, Value::Time(period.start));
            image.insert(Field::PeriodEnd, Value::Time(period.end));
        }
        if let Some(word) = self.interval.and_then(|i| shape.interval.word(i)) {
            image.insert(Field::Interval, Value::text(word));
        }
        image
    }

    /// Whether the row holds all of it.
    #[must_use]
    pub fn is_in(&self, row: &SubscriptionRow, customer: &StripeId, subscription: &StripeId, shape: &Shape) -> bool {
        // Cheap first: most rows differ in one of these, or in nothing.
        let held = row.text(Field::Subscription);
        if row.get(Field::Subscription).is_some() && held != Some(subscription.as_str()) {
            return false;
        }
        diff(&row.image, &self.image(customer, subscription, shape)).is_empty()
    }

    /// The tier that is due, where that is decided.
    #[must_use]
    pub fn tier(&self) -> Option<&str> {
        match &self.tier {
            Due::Tier(tier) => Some(tier),
            Due::Open(_) => None,
        }
    }

    /// It wants a row to follow it: it has begun, and not ended. Stripe lets an unpaid first attempt expire by itself.
    #[must_use]
    pub fn binds(&self) -> bool {
        self.status.is_live() && self.status != Status::Incomplete
    }
}
