//! Arguments → configuration → wiring → exit code. The only place that knows everything.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use nightdesk::cli::sandbox::{self, SandboxArgs};
use nightdesk::sandbox::cluster::{SUPERVISE, supervisor};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    Sandbox(SandboxArgs),
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some(SUPERVISE) {
        return supervisor::supervise();
    }
    let Arguments { command: Task::Sandbox(args) } = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new().expect("invariant: a runtime can be made");
    match runtime.block_on(sandbox::run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nightdesk: {error}");
            ExitCode::FAILURE
        }
    }
}
