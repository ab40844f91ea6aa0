//! The screen of a run: one question at a time, the steps as one line, the machine's detail behind `e`.

mod bulk;
mod keys;
mod model;
mod view;

pub use keys::{act, bindings, edit};
pub use model::Model;
pub use view::{draw, title};
