//! Webhooks: what was missed and why, every event with its verdict, and the endpoints that get them.

mod actions;
mod drift;
mod events;
pub mod index;
mod keys;
mod model;
mod view;
mod view_drift;
mod view_endpoints;
mod view_list;

pub use keys::{act, bindings, edit};
pub use model::{Model, Tab};
pub use view::draw;
