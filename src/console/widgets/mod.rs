//! The kit that every screen is made of: theme, text, tables, fields, panel states. Knows no pane and no state.

pub mod form;
pub mod format;
pub mod paint;
pub mod panel;
pub mod table;
pub mod theme;
