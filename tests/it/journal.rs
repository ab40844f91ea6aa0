//! The journal: the chain, what breaks it and what must not, locks, recovery from every prefix, and the shared store.
