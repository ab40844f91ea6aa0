//! The contract: every answer of the simulator held against a table of the official client's types, which the simulator had no part in.

mod cases;
mod conform;
mod lists;
mod objects;
mod parameters;
mod table;
mod world;
mod writes;
