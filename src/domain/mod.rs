//! Nouns and rules of the product under care. No I/O, no clock, no async.

pub mod age;
pub mod desk;
pub mod diagnosis;
pub mod entitlement;
pub mod expected;
pub mod export;
pub mod facts;
pub mod fault;
pub mod filter;
pub mod findings;
pub mod ids;
pub mod link;
pub mod mask;
pub mod mirror;
pub mod money;
pub mod needle;
pub mod payments;
pub mod policy;
pub mod quota;
pub mod row;
pub mod runbook;
pub mod sessions;
pub mod shape;
pub mod shared;
pub mod skew;
pub mod stripe;
pub mod text;
pub mod tiers;
pub mod webhooks;

/// A point in time, always UTC. Rules never read the clock: they are handed one of these.
pub type At = chrono::DateTime<chrono::Utc>;
