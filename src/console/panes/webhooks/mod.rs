//! Webhooks: what was missed and why, every event with its verdict, and the endpoints that get them.

mod actions;
mod desk;
mod events;
pub mod index;
mod keys;
mod list;
mod model;
mod view;

pub use keys::{act, bindings, edit};
pub use model::{Model, Tab};
pub use view::draw;
