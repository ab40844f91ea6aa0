//! The subcommands, and the runner of procedures that needs no screen.
//!
//! The same engine, gate and journal as the console's: what the screen may not do, a script may not do either.

/// The standard library's panics where nobody reads any more; this one does not. In every subcommand, whatever is printed goes this way.
macro_rules! println {
    () => { $crate::cli::print::text(format_args!("\n")) };
    ($($what:tt)+) => { $crate::cli::print::text(format_args!("{}\n", format_args!($($what)+))) };
}

/// The same without the end of the line.
macro_rules! print {
    ($($what:tt)+) => { $crate::cli::print::text(format_args!($($what)+)) };
}

pub mod args;
mod audit;
mod case;
mod check;
mod drift;
pub mod drill;
mod drive;
mod endpoint_down;
mod find;
mod hands;
mod logs;
mod pool;
mod pool_exhausted;
pub mod print;
mod probe;
mod procedures;
mod quota;
mod replay;
mod runs;
pub mod sandbox;
mod shown;
mod status;
mod webhooks;

use crate::config::{Config, ConfigError};
use args::{Audit, Cli, Ddl, Place, Procedures, Subcommands};
use clap::{CommandFactory, Parser};
use hands::Hands;
use print::{Why, as_json, complaint};
use std::process::ExitCode;
use std::sync::Arc;

/// What a command ends with, besides what it printed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    Well,
    /// It did what it was asked to, and the answer is not a good one: a finding, a refused plan, a check that failed.
    Badly,
    /// It looked, and does not do what was asked: one sentence that says why.
    Refused(String),
    /// The arguments ask for what there is not: one sentence. Nothing was asked of any source.
    Wrong(String),
}

/// Runs a subcommand that needs no screen. Bad input and an unusable configuration end with 2.
pub async fn run(command: Subcommands, place: &Place) -> ExitCode {
    if let Subcommands::Completions { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "nightdesk", &mut script);
        print!("{}", String::from_utf8_lossy(&script));
        return ExitCode::SUCCESS;
    }
    let config = match configuration(place) {
        Ok(config) => Arc::new(config),
        Err(error) => return refuse(&error.to_string()),
    };
    let ended = match command {
        Subcommands::Check { grants: true, .. } => {
            check::grants(&config).await;
            Ok(End::Well)
        }
        Subcommands::Check { ddl: Some(Ddl::Quota), .. } => check::ddl(&config).await,
        Subcommands::Check { json, .. } => check::run(&config, json).await,
        Subcommands::Migrate => migrate(&config).await,
        Subcommands::Audit { action: Some(Audit::Verify { json }), .. } => audit::verify(&config, json).await,
        Subcommands::Audit { action: None, last, json } => audit::newest(&config, last, json).await,
        command => {
            let hands = Hands::open(&config);
            let ended = match command {
                Subcommands::Find { id, json } => find::run(&hands, &id, json).await,
                Subcommands::Webhooks(args) => webhooks::run(&hands, &args).await,
                Subcommands::Pool { json } => pool::run(&hands, json).await,
                Subcommands::Status { json } => status::run(&hands, json).await,
                Subcommands::Probe { yes, json } => probe::run(&hands, yes, json).await,
                Subcommands::Replay(args) => replay::run(&hands, &args).await,
                Subcommands::Drift(args) => drift::run(&hands, &args).await,
                Subcommands::Run(Procedures::TierUpdate(args)) => procedures::tier_update(&hands, &args).await,
                Subcommands::Quota(args) => quota::run(&hands, &args).await,
                Subcommands::Run(Procedures::QuotaReset(args)) => quota::reset(&hands, &args).await,
                Subcommands::Run(Procedures::EndpointDown(args)) => endpoint_down::run(&hands, &args).await,
                Subcommands::Run(Procedures::PoolExhausted(args)) => pool_exhausted::run(&hands, &args).await,
                Subcommands::Run(Procedures::DriftFix(args)) => drift::fix(&hands, &args).await,
                Subcommands::Runs { action, json } => runs::run(&hands, action, json).await,
                Subcommands::Sandbox(_)
                | Subcommands::Drill(_)
                | Subcommands::Check { .. }
                | Subcommands::Audit { .. }
                | Subcommands::Migrate
                | Subcommands::Completions { .. }
                | Subcommands::SupervisePostgres => unreachable!("invariant: handled before anything is opened"),
            };
            hands.close().await;
            ended
        }
    };
    match ended {
        Ok(End::Well) => ExitCode::SUCCESS,
        Ok(End::Badly) => ExitCode::from(1),
        Ok(End::Refused(says)) => {
            complaint(Why::Refused, &says);
            ExitCode::from(1)
        }
        Ok(End::Wrong(why)) => {
            complaint(Why::Usage, &why);
            ExitCode::from(2)
        }
        Err(why) => refuse(&why),
    }
}

/// The configuration that the arguments and the environment name.
///
/// # Errors
/// One sentence with its place.
pub fn configuration(place: &Place) -> Result<Config, ConfigError> {
    Config::load(place.config.as_deref(), place.env.as_deref(), &variable)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

async fn migrate(config: &Config) -> Result<End, String> {
    let missing = || format!("no admin connection is configured: set admin_url{}", config.or_variable("ADMIN_DATABASE_URL"));
    let kept = config.admin_url.as_ref().ok_or_else(missing)?;
    let url = kept.resolve("admin_url", &variable).map_err(|e| e.to_string())?;
    // The console's own, which is given its rights on the store.
    let role = config.database_url.as_ref().and_then(|u| crate::gateway::postgres::role(u.expose()));
    let applied = crate::gateway::journal::store::migrate(url.expose(), role.as_deref()).await.map_err(|f| f.say)?;
    println!(
        "{}",
        if applied == 0 { "the shared store is up to date".into() } else { format!("{applied} migration(s) applied to schema nightdesk") }
    );
    Ok(End::Well)
}

/// Says why nothing was answered; the code that tells it to scripts.
#[must_use]
pub fn refuse(why: &str) -> ExitCode {
    complaint(Why::NotAnswered, why);
    ExitCode::from(2)
}

/// What the arguments ask for; `Err`: they are wrong, or ask for help, and it has been said.
///
/// # Errors
/// The code to end with.
pub fn arguments() -> Result<Cli, ExitCode> {
    Cli::try_parse().map_err(|error| {
        if !error.use_stderr() || !as_json() {
            // Its own colours, and its own code: 2 for what is wrong, 0 for help.
            error.exit();
        }
        // Behind the first paragraph come hints and the usage, over several lines.
        let text = error.render().to_string();
        let first = text.split("\n\n").next().unwrap_or_default();
        let says: Vec<&str> = first.trim_start_matches("error:").split_whitespace().collect();
        complaint(Why::Usage, &says.join(" "));
        ExitCode::from(2)
    })
}

/// Prints a value as JSON, the one form that scripts read.
fn print_json(value: &impl serde::Serialize) {
    println!("{}", serde_json::to_string_pretty(value).expect("invariant: what is printed is plain data"));
}
