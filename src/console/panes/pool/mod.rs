//! Pool: who holds the database's connections, who waits for whom, and an hour of it.

mod keys;
mod list;
mod model;
mod tell;
mod view;
mod view_blockers;
mod view_groups;
mod view_history;
mod view_table;

pub use keys::{act, bindings, edit};
pub use model::{Model, Tab};
pub use view::draw;
