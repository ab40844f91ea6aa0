//! Home: one list of findings, worst first.

mod beside;
mod keys;
mod model;
mod order;
mod quota;
mod view;

pub use keys::{act, bindings, edit};
pub use model::Model;
pub use view::draw;
