//! Nightdesk: the console an on-call engineer opens when billing breaks.
//!
//! A pure console on one side, the outside world on the other, a small protocol between them.
//!
//! ```text
//!              keys, resize, signals                      Postgres   Stripe   the application
//!                      │                                      ▲         ▲           ▲
//!                      ▼                                      │         │           │
//!    shell ──── Event ────► console::update(&mut State) ──Effect──► gateway::executor ─ reads
//!      ▲                        │        ▲                              │
//!      └──── draw(&State) ──────┘        └────── Reply / Outcome ◄──────┴── writes: gate → journal → do → journal
//! ```
//!
//! Who may import whom (`tests/layering.rs` reads the sources and fails otherwise):
//!
//! | module | may import from the crate |
//! |---|---|
//! | [`domain`] | nothing |
//! | [`protocol`] | domain |
//! | [`procedures`] | domain, protocol |
//! | [`console`] | domain, protocol, procedures; never gateway, never tokio |
//! | [`gateway`] | domain, protocol, config; never console, never procedures |
//! | [`sandbox`] | domain's ids and money, config |
//! | [`shell`] | console, gateway, protocol, domain, config |
//! | [`cli`] | procedures, gateway, sandbox, protocol, domain, config; never console |
//! | [`config`] | domain |
//!
//! `console` and `gateway` are siblings that never meet: that one fact is why the screen never waits for the network.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod console;
pub mod domain;
pub mod gateway;
pub mod procedures;
pub mod protocol;
pub mod sandbox;
pub mod shell;
