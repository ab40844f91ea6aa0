//! The plan from sessions made by hand.
