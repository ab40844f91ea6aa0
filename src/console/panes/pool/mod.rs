//! Pool: who holds the database's connections, who waits for whom, and an hour of it.

mod blockers;
mod groups;
mod history;
mod keys;
mod list;
mod model;
mod table;
mod tell;
mod view;

pub use keys::{act, bindings, edit};
pub use model::{Model, Tab};
pub use view::draw;
