//! The Stripe simulator over HTTP: what it answers, in which shape, and what it does when told to misbehave.

pub mod bench;
mod deliveries;
mod faults;
mod headers;
mod lifecycle_billing;
mod lifecycle_catalog;
mod lifecycle_checkout;
mod lifecycle_money;
mod lifecycle_webhooks;
mod limits;
mod lists;
mod malformed;
mod objects;
mod payments;
mod receiver;
mod refusals;
mod search;
mod verifier;
mod webhooks;
