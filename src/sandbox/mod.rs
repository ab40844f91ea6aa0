//! A whole system to practise and test on: a Postgres cluster, a Stripe simulator, a sample application, incidents.
//!
//! It shares no rule with the console: what it breaks is labelled here, by what broke it, and the console must find it.

pub mod app;
pub mod cluster;
pub mod population;
pub mod schema;
pub mod stripe;
