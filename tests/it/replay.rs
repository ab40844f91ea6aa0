//! Replay: many events whose effects are missing, brought about once each, at a pace, with proof; by the engine alone and by the real binary.

mod catalog;
mod deliver;
mod engine;
mod many;
mod overtaken;
mod owed;
mod refusals;
