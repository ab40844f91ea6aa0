//! The Stripe simulator: HTTP on loopback, shapes of API version 2026-09-30.endive, and the handle the sandbox holds on it.
//!
//! An object is a function of seed and number (the population), or stands in an overlay of what was made and changed since.

mod acts;
mod agenda;
mod answer;
mod business;
mod cards;
mod catalog;
mod clock;
mod connection;
mod debug;
mod delivery;
mod endpoint;
mod expand;
mod expandable;
mod failure;
mod faults;
mod form;
mod handle;
mod history;
mod idempotency;
mod keys;
mod limits;
mod listing;
mod periods;
mod previous;
mod query;
mod resources;
mod route;
mod search;
mod searchable;
mod server;
mod shared;
mod standing;
mod state;
mod timeline;
mod unmodelled;
mod webhooks;

pub use acts::{AfterRetries, CheckedOut, NewCheckout, Payer, Subscribed};
pub use delivery::{DeliveryEffect, DeliveryResult, DeliveryRule, DeliveryRules, DeliverySettings, Notice, Schedule};
pub use endpoint::signature;
pub use faults::{Effect, Faults, Point, Rule, When};
pub use handle::{Simulator, SimulatorOptions};
pub use keys::KeyKind;
pub use limits::Limits;
pub use resources::endpoints;
pub use shared::Served;
pub use standing::Standing;
pub use state::{API_VERSION, ProfileReference};
pub use webhooks::ENDPOINT_EVENTS;
