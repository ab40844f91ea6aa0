//! Customer: the sentence, the fix, the truth table, the tabs.

mod keys;
mod mirror;
mod model;
mod tabs;
mod truth;
mod view;

pub use keys::{act, bindings, edit};
pub use model::Model;
pub use view::draw;
