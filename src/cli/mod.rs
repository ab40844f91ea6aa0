//! The subcommands, and the runner of procedures that needs no screen.

pub mod sandbox;
