//! The terminal UI: a pure function of its state. Keys and replies in, effects and cells out; no network, no clock.
