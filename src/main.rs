//! Arguments → configuration → wiring → exit code. The only place that knows everything.

use clap::Parser;
use nightdesk::cli::args::{Cli, Subcommands};
use nightdesk::sandbox::cluster::supervisor;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = Cli::parse();
    if matches!(cli.command, Some(Subcommands::SupervisePostgres)) {
        return supervisor::supervise();
    }
    let runtime = tokio::runtime::Runtime::new().expect("invariant: a runtime can be made");
    let code = runtime.block_on(async {
        match cli.command {
            Some(Subcommands::Sandbox(args)) => match nightdesk::cli::sandbox::run(&args).await {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("nightdesk: {error}");
                    ExitCode::from(2)
                }
            },
            Some(command) => nightdesk::cli::run(command, &cli.place).await,
            None => ExitCode::from(2),
        }
    });
    runtime.shutdown_background();
    code
}
