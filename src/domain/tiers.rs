//! Which tier a price buys, and which statuses keep it: the configuration's rules, applied.

use super::stripe::{Price, Status};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The rules by which Stripe's truth becomes a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TierRules {
    /// Price id → tier. Asked first.
    pub prices: BTreeMap<String, String>,
    /// Lookup key → tier. Asked second.
    pub lookup_keys: BTreeMap<String, String>,
    /// The metadata key that holds the tier, on the price and then on the product.
    pub metadata_key: String,
    /// The tiers that exist, in ascending order; the first is what a customer without a subscription has.
    pub ladder: Vec<String>,
    /// Statuses in which the price's tier is served.
    pub keeps_tier: BTreeSet<Status>,
}

/// Which of the rules named the tier: evidence for the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum MappedBy {
    PriceId,
    LookupKey,
    PriceMetadata,
    ProductMetadata,
}

impl Default for TierRules {
    fn default() -> Self {
        Self {
            prices: BTreeMap::new(),
            lookup_keys: BTreeMap::new(),
            metadata_key: "tier".into(),
            ladder: ["FREE", "PRO", "ENTERPRISE"].map(String::from).to_vec(),
            keeps_tier: [Status::Active, Status::Trialing, Status::PastDue].into(),
        }
    }
}

impl TierRules {
    /// The tier of those who pay nothing.
    #[must_use]
    pub fn free(&self) -> &str {
        self.ladder.first().map_or("FREE", String::as_str)
    }

    /// The tier this price buys. A word in metadata counts only if it is a rung of the ladder, in any case.
    #[must_use]
    pub fn tier_of(&self, price: &Price) -> Option<(String, MappedBy)> {
        if let Some(tier) = self.prices.get(price.id.as_str()) {
            return Some((tier.clone(), MappedBy::PriceId));
        }
        if let Some(tier) = price.lookup_key.as_ref().and_then(|k| self.lookup_keys.get(k)) {
            return Some((tier.clone(), MappedBy::LookupKey));
        }
        let rung = |word: Option<&String>| word.and_then(|w| self.ladder.iter().find(|t| t.eq_ignore_ascii_case(w.trim()))).cloned();
        rung(price.metadata.get(&self.metadata_key))
            .map(|t| (t, MappedBy::PriceMetadata))
            .or_else(|| rung(price.product_metadata.get(&self.metadata_key)).map(|t| (t, MappedBy::ProductMetadata)))
    }
}

impl MappedBy {
    #[must_use]
    pub fn say(self) -> &'static str {
        match self {
            MappedBy::PriceId => "by its price id",
            MappedBy::LookupKey => "by its lookup key",
            MappedBy::PriceMetadata => "by the price's metadata",
            MappedBy::ProductMetadata => "by the product's metadata",
        }
    }
}
