//! The runbook pane: the book with what differs, the runs, the contacts.

mod book;
mod keys;
mod model;
mod runs;
mod view;

pub use book::sections;
pub use keys::{act, bindings, edit};
pub use model::Model;
pub use view::draw;
