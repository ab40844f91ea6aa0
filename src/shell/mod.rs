//! The process around the console: terminal guard, event loop, frame budget, hang-up watchdog.
