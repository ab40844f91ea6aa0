//! Customers: the search over the database and Stripe.

mod hits;
mod keys;
mod model;
mod named;
mod view;

pub use keys::{act, bindings, edit};
pub use model::Model;
pub use view::draw;
