//! The scan by itself.
