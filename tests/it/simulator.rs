//! The Stripe simulator over HTTP: what it answers, in which shape, and what it does when told to misbehave.

pub mod bench;
mod deliveries;
mod faults;
mod lifecycle_catalog;
mod lifecycle_checkout;
mod headers;
mod lifecycle_webhooks;
mod limits;
mod lifecycle_money;
mod lists;
mod malformed;
mod objects;
mod payments;
mod receiver;
mod refusals;
mod search;
mod webhooks;
