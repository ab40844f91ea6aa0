//! The contract: every answer of the simulator held against a table of the official client's types, which the simulator had no part in.

mod cases;
pub mod conform;
mod errors;
mod lists;
mod objects;
mod parameters;
mod table;
pub mod world;
mod writes;
