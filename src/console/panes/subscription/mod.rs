//! Subscription: one subscription of the customer on screen, next to its row.

mod keys;
mod lines;
mod model;
mod view;

pub use keys::{act, bindings, edit};
pub use model::Model;
pub use view::draw;
