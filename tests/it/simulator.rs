//! The Stripe simulator over HTTP: what it answers, in which shape, and what it does when told to misbehave.

pub mod bench;
mod faults;
mod lifecycle_catalog;
mod lifecycle_checkout;
mod lists;
mod malformed;
mod objects;
mod payments;
mod refusals;
mod search;
mod webhooks;
