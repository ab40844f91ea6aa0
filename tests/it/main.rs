//! Integration tests: one binary, so that all of them share one build and one Postgres cluster.

mod bench;
mod fixtures;
mod panes_case;
mod sandbox;
