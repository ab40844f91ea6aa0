//! Arguments → configuration → wiring → exit code. The only place that knows everything.

use std::process::ExitCode;

use nightdesk::sandbox::cluster::{SUPERVISE, supervisor};

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(SUPERVISE) {
        return supervisor::supervise();
    }
    ExitCode::SUCCESS
}
