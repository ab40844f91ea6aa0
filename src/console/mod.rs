//! The terminal UI: a pure function of its state. Keys and replies in, effects and cells out; no network, no clock.

pub mod ask;
pub mod context;
pub mod keymap;
pub mod panes;
pub mod widgets;
