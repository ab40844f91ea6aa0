//! Stripe, read: one client over the request types of async-stripe, one file per concern, answers in domain terms.

mod budget;
mod client;
mod decode;
mod fault;
mod find;
mod reads;

pub use client::Stripe;
pub use reads::PermissionCheck;
