//! The outside: Postgres, Stripe, the application, the journal. The only module that performs effects.

pub mod application;
pub mod gate;
pub mod journal;
pub mod stripe;
pub mod writes;
