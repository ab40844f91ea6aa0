//! Quota: who is near a limit or has reached it, and how much each tier uses of each feature.

mod keys;
mod model;
mod view;
mod view_tiers;

pub use keys::{act, bindings, edit};
pub use model::{Model, Tab};
pub use view::draw;
