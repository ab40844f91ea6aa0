//! Nouns and rules of the product under care. No I/O, no clock, no async.
