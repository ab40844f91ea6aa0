//! Webhooks as the rules see them: what an event demands, whether that is there, why not, and what helps. No I/O, no clock.

pub mod cause;
pub mod course;
pub mod demand;
pub mod deploy;
pub mod drift;
pub mod endpoint;
pub mod feed;
pub mod judge;
pub mod lag;
pub mod log;
pub mod probe;
pub mod saying;
pub mod verdict;
