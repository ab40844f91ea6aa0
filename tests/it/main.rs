//! Integration tests: one binary, so that all of them share one build and one Postgres cluster.

mod bad_input;
mod bench;
mod command;
mod console;
mod console_random;
mod crash;
mod engine;
mod fixtures;
mod gateway;
mod gateway_stripe;
mod journal;
mod panes;
mod panes_case;
mod panes_desk;
mod panes_findings;
mod procedures;
mod pty;
mod readme;
mod repair;
mod sandbox;
mod script;
mod simulator;
mod terminal;
mod trust;
mod world;
