//! The terminal UI: a pure function of its state. Keys and replies in, effects and cells out; no network, no clock.

mod acted;
pub mod ask;
mod burst;
pub mod context;
pub mod drift;
pub mod exports;
mod frame;
mod fulfil;
mod guard;
pub mod keymap;
mod keys;
pub mod modal;
pub mod panes;
pub mod pool;
pub mod screen;
pub mod state;
mod tasks;
mod tickets;
mod update;
pub mod widgets;
mod world;

pub use frame::draw;
pub use state::State;
pub use update::update;
