//! Which seeds the rules were written with, and which were put aside before any rule was finished and run for the first time after.

/// The rules were written and mended with these at hand.
pub const TUNED: [u64; 3] = [7, 20, 33];

/// Chosen before the rules were finished, and not run until they were.
pub const HELD_OUT: [u64; 3] = [104, 217, 310];
