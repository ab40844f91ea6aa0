//! Prices whose tier no event tells, since it stands on their product: one retrieved subscription tells each. What a row is owed is `facts`'s.

use crate::domain::facts::Known;
use crate::domain::stripe::{Price, Subscription};
use crate::domain::tiers::{MappedBy, TierRules};
use crate::protocol::answers::Answers;
use crate::protocol::query::{Query, Reply};
use std::borrow::Cow;
use std::collections::BTreeSet;

/// The rules, with the prices that retrieved subscriptions have told by their products: of the others' snapshots they tell the tier too.
pub fn taught<'a>(rules: &'a TierRules, answers: &Answers) -> Cow<'a, TierRules> {
    let mut taught = Cow::Borrowed(rules);
    for price in retrieved(answers) {
        if let Some((tier, MappedBy::ProductMetadata)) = rules.tier_of(price) {
            taught.to_mut().prices.insert(price.id.to_string(), tier);
        }
    }
    taught
}

/// The prices that were asked about, or are about to be.
pub struct Asked {
    prices: BTreeSet<String>,
}

impl Asked {
    pub fn before(answers: &Answers) -> Self {
        Self { prices: retrieved(answers).map(|p| p.id.to_string()).collect() }
    }

    /// Whether this one has to be retrieved for the sake of its prices: one of them is mapped by nothing in sight, and no other
    /// subscription has told it or is about to. `rules`: `None` where they are not known.
    pub fn lacks(&mut self, of: &Subscription, rules: Option<&TierRules>) -> bool {
        // What entitles to nothing demands the same whatever its price.
        if rules.is_some_and(|r| !r.keeps_tier.contains(&of.status)) {
            return false;
        }
        let open = of.items.iter().map(|i| &i.price).filter(|p| rules.is_none_or(|r| r.tier_of(p).is_none()));
        // Each of them: once it is asked for, it tells them all.
        open.filter(|p| self.prices.insert(p.id.to_string())).count() > 0
    }
}

/// The prices of all subscriptions that were retrieved. Of those that have ended Stripe's products are not read.
fn retrieved(answers: &Answers) -> impl Iterator<Item = &Price> {
    let subscriptions = answers.all().filter_map(|answered| match answered {
        (Query::Subscription(_) | Query::SubscriptionsOf(_), Known::Is { value: Reply::Subscriptions(all), .. }) => Some(all),
        _ => None,
    });
    subscriptions.flatten().filter(|s| s.status.is_live()).flat_map(|s| &s.items).map(|i| &i.price)
}
