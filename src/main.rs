//! Arguments → configuration → wiring → exit code. The only place that knows everything.

fn main() {}
