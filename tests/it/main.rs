//! Integration tests: one binary, so that all of them share one Postgres cluster.

mod bench;
mod journal;
mod procedures;
mod sandbox;
mod world;
