//! What the halves say to each other: reads, writes, events, effects, and the records of a run. Plain data.

pub mod answers;
pub mod command;
pub mod desk;
pub mod effect;
pub mod environment;
pub mod event;
pub mod freshness;
pub mod gate;
pub mod key;
pub mod query;
pub mod record;
pub mod run;
pub mod ticket;
