//! The panes: one folder each, with a model and keys that draw nothing and a view that changes nothing.

pub mod customer;
pub mod customers;
pub mod event;
pub mod home;
pub mod pool;
pub mod run;
pub mod runbook;
pub mod subscription;
pub mod webhooks;
