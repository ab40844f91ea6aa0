//! The subcommands, and the runner of procedures that needs no screen.
//!
//! The same engine, gate and journal as the console's: what the screen may not do, a script may not do either.

pub mod sandbox;
