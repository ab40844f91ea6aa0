//! What the sample application's tables and columns are called, per naming; quoted where SQL asks for it.

use uuid::Uuid;

use crate::sandbox::population::{self, Person, Population};

/// Names ready to stand in a statement.
#[derive(Debug)]
pub struct Names {
    /// The type of a profile's key.
    pub key: &'static str,
    /// What the tables beyond the contracts call the profile's key.
    pub owner_elsewhere: &'static str,
    pub profiles: &'static str,
    pub profile: &'static str,
    pub profile_created: &'static str,
    pub profile_updated: &'static str,
    pub subscriptions: &'static str,
    pub owner: &'static str,
    pub customer: &'static str,
    pub subscription: &'static str,
    pub tier: &'static str,
    pub status: &'static str,
    pub interval: &'static str,
    pub period_start: &'static str,
    pub period_end: &'static str,
    pub cancel_at: &'static str,
    pub cancel_at_period_end: &'static str,
    pub created: &'static str,
    pub updated: &'static str,
    pub counters: &'static str,
    pub counter_owner: &'static str,
    pub feature: &'static str,
    pub used: &'static str,
    pub counter_start: &'static str,
    pub counter_end: &'static str,
    pub limits: &'static str,
    pub limit_tier: &'static str,
    pub limit_feature: &'static str,
    pub limit: &'static str,
    pub events: &'static str,
    pub event: &'static str,
    pub event_type: &'static str,
    pub event_data: &'static str,
    pub processed: &'static str,
    pub processed_at: &'static str,
}

impl Names {
    /// A person's key in this naming, as text.
    #[must_use]
    pub fn key_of(&self, person: &Person) -> String {
        if self.key == "uuid" { person.profile.to_string() } else { person.profile_serial().to_string() }
    }

    /// The columns of a subscription that a repair may change, as the catalogue has them.
    #[must_use]
    pub fn repaired(&self) -> [&'static str; 9] {
        [
            self.customer,
            self.subscription,
            self.tier,
            self.status,
            self.interval,
            self.period_start,
            self.period_end,
            self.cancel_at,
            self.cancel_at_period_end,
        ]
        .map(|name| name.trim_matches('"'))
    }

    /// The key of the person with that number, without making up the person.
    #[must_use]
    pub fn key_of_number(&self, population: &Population, number: u64) -> String {
        if self.key == "uuid" { population.profile(number).to_string() } else { population::profile_serial(number).to_string() }
    }

    /// Whether a text can be a key in this naming at all.
    #[must_use]
    pub fn is_key(&self, text: &str) -> bool {
        if self.key == "uuid" { Uuid::try_parse(text).is_ok() } else { text.parse::<i64>().is_ok() }
    }
}

pub static USUAL: Names = Names {
    key: "uuid",
    owner_elsewhere: "profile_id",
    profiles: "profiles",
    profile: "id",
    profile_created: "created_at",
    profile_updated: "updated_at",
    subscriptions: "subscriptions",
    owner: "profile_id",
    customer: "stripe_customer_id",
    subscription: "stripe_subscription_id",
    tier: "tier",
    status: "status",
    interval: "billing_interval",
    period_start: "current_period_start",
    period_end: "current_period_end",
    cancel_at: "cancel_at",
    cancel_at_period_end: "cancel_at_period_end",
    created: "created_at",
    updated: "updated_at",
    counters: "rate_limits",
    counter_owner: "profile_id",
    feature: "feature",
    used: "used",
    counter_start: "period_start",
    counter_end: "period_end",
    limits: "plan_features",
    limit_tier: "tier",
    limit_feature: "feature",
    limit: "value",
    events: "stripe_events",
    event: "stripe_event_id",
    event_type: "event_type",
    event_data: "data",
    processed: "processed",
    processed_at: "processed_at",
};

pub static RENAMED: Names = Names {
    key: "bigint",
    owner_elsewhere: "account_id",
    profiles: "accounts",
    profile: "account_id",
    profile_created: "inserted_at",
    profile_updated: "modified_at",
    subscriptions: "memberships",
    owner: "account_ref",
    customer: "gateway_customer",
    subscription: "gateway_subscription",
    tier: "plan_level",
    status: "state",
    interval: "\"billingCycle\"",
    period_start: "paid_from",
    period_end: "paid_until",
    cancel_at: "ends_on",
    cancel_at_period_end: "ends_with_period",
    created: "inserted_at",
    updated: "modified_at",
    counters: "usage_meters",
    counter_owner: "account_ref",
    feature: "meter",
    used: "amount",
    counter_start: "window_start",
    counter_end: "window_end",
    limits: "level_limits",
    limit_tier: "plan_level",
    limit_feature: "meter",
    limit: "allowance",
    events: "gateway_inbox",
    event: "gateway_event",
    event_type: "kind",
    event_data: "body",
    processed: "handled",
    processed_at: "handled_at",
};
