//! `nightdesk sandbox`: the arguments, and `--serve`, which runs the sandbox without a console.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use crate::sandbox::app::Manner;
use crate::sandbox::incidents::Incident;
use crate::sandbox::mirror::Layout;
use crate::sandbox::schema::{Naming, Profiles, Shape, Timestamps, Words};
use crate::sandbox::{Sandbox, SandboxError, SandboxOptions};

/// A whole system to practise on: Postgres, Stripe and the application, all on this machine and all made up.
#[derive(Debug, Clone, Args)]
pub struct SandboxArgs {
    /// Run the sandbox without the console: print its environment, then `# ready`, and stay until Ctrl-C
    #[arg(long)]
    pub serve: bool,
    /// What everything that is made up is made from
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// How many customers there are
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    pub customers: u64,
    /// How a profile keeps its e-mail and name
    #[arg(long, value_enum, default_value_t)]
    pub profiles: Profiles,
    /// The type of the database's times
    #[arg(long, value_enum, default_value_t)]
    pub timestamps: Timestamps,
    /// The database's words for the billing interval
    #[arg(long, value_enum, default_value_t)]
    pub interval: Words,
    /// What tables and columns are called
    #[arg(long, value_enum, default_value_t)]
    pub schema: Naming,
    /// The database server's `max_connections`
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(20..=1_000))]
    pub max_connections: u16,
    /// How the application answers when its webhook handler fails
    #[arg(long, value_enum, default_value_t)]
    pub manner: Manner,
    /// Keep a mirror of Stripe in the application's database, schema `stripe`, as a sync engine does
    #[arg(long, value_enum, value_name = "LAYOUT", num_args = 0..=1, require_equals = true, default_missing_value = "columns")]
    pub mirror: Option<Layout>,
    /// An incident to start with in full; may be given more than once
    #[arg(long = "incident", value_enum, value_name = "NAME")]
    pub incidents: Vec<Incident>,
}

impl SandboxArgs {
    /// What the arguments ask the sandbox for.
    #[must_use]
    pub fn options(&self) -> SandboxOptions {
        SandboxOptions {
            seed: self.seed,
            customers: self.customers,
            shape: Shape { profiles: self.profiles, timestamps: self.timestamps, interval: self.interval, naming: self.schema },
            max_connections: self.max_connections,
            manner: self.manner,
            incidents: self.incidents.clone(),
            mirror: self.mirror,
            background: true,
            environment: None,
            operator: None,
        }
    }
}

/// The last line that `--serve` prints: a comment to a shell, so that what was printed can be sourced as it is.
pub const READY: &str = "# ready";

/// Why `--serve` ended early.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    #[error("the path of this program could not be found: {0}")]
    Executable(io::Error),
    #[error("the environment could not be printed: {0}")]
    Output(io::Error),
}

/// Serves the sandbox until a signal: prints `export NAME='value'` lines and `# ready`, then stays.
///
/// # Errors
/// When the sandbox does not start, or nobody reads what is printed.
pub async fn run(args: &SandboxArgs) -> Result<(), ServeError> {
    let executable = std::env::current_exe().map_err(ServeError::Executable)?;
    // A name of its own: what is done here is listed here, and not beside what was done on another sandbox.
    serve(SandboxOptions { environment: Some(own_environment("sandbox")), ..args.options() }, executable).await
}

async fn serve(options: SandboxOptions, executable: PathBuf) -> Result<(), ServeError> {
    // Listened to from here on: a signal during the start stops what was started.
    let asked = asked_to_end();
    tokio::pin!(asked);
    let sandbox = tokio::select! {
        started = Sandbox::start(options, executable) => started?,
        () = &mut asked => return Ok(()),
    };
    let told = tell(&sandbox.environment()).map_err(ServeError::Output);
    if told.is_ok() {
        asked.await;
    }
    sandbox.stop().await;
    told
}

/// A name for the environment of a sandbox that nobody comes back to: its journal is not mixed with another's.
#[must_use]
pub fn own_environment(kind: &str) -> String {
    format!("{kind}-{}-{:04x}", chrono::Utc::now().format("%Y%m%d-%H%M%S"), rand::random_range(0..=0xffff_u32))
}

/// The same for a sandbox that this very process looks after: its journal has one operator, whatever the caller is called.
#[must_use]
pub fn within(options: SandboxOptions) -> SandboxOptions {
    SandboxOptions { environment: Some(own_environment("sandbox")), operator: Some("operator".into()), ..options }
}

pub(super) fn tell(environment: &[(&'static str, String)]) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(exports(environment).as_bytes())?;
    out.flush()
}

/// What is printed: a script that any POSIX shell can source.
fn exports(environment: &[(&'static str, String)]) -> String {
    let lines = environment.iter().map(|(name, value)| format!("export {name}={}\n", quoted(value)));
    lines.chain([format!("{READY}\n")]).collect()
}

/// Quoted for any POSIX shell.
fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// Returns at a signal that asks for the end.
pub(super) async fn asked_to_end() {
    let mut signals: Vec<_> =
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()].into_iter().filter_map(|k| signal(k).ok()).collect();
    futures_util::future::select_all(signals.iter_mut().map(|s| Box::pin(s.recv()))).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_the_shell() {
        assert_eq!(quoted("postgres://a:b@127.0.0.1/app"), "'postgres://a:b@127.0.0.1/app'");
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }

    #[test]
    fn what_is_printed_can_be_sourced_as_it_is() {
        let script = exports(&[("DATABASE_URL", "postgres://a:it's@127.0.0.1/app?x=1&y=2".into())]);
        assert!(script.ends_with("# ready\n"), "{script}");
        let run = std::process::Command::new("sh").args(["-e", "-c", &format!("{script}printf %s \"$DATABASE_URL\"")]).output();
        let run = run.expect("a shell");
        assert_eq!(String::from_utf8_lossy(&run.stdout), "postgres://a:it's@127.0.0.1/app?x=1&y=2");
        assert!(run.status.success() && run.stderr.is_empty(), "{run:?}");
    }
}
