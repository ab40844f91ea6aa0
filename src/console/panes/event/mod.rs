//! Event: one of Stripe's events, what it demands beside what is there, and its payload.

mod compare;
mod keys;
mod model;
mod payload;
mod view;

pub use keys::{act, bindings, edit};
pub use model::Model;
pub use view::draw;
