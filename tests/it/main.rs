//! One binary for everything that needs real parts: HTTP, Postgres, processes.

mod simulator;
