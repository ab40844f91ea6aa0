//! The outside: Postgres, Stripe, the application, the journal. The only module that performs effects.

pub mod application;
mod command;
pub mod executor;
pub mod export;
pub mod gate;
pub mod hooks;
mod http;
pub mod journal;
pub mod log;
pub mod logs;
pub mod postgres;
pub mod reader;
mod sandbox;
pub mod sources;
pub mod stripe;
pub mod writes;
