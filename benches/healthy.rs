//! Seven healthy days of a hundred thousand events, through the application's own handler, a real Postgres and the simulator, read by the
//! command line in another process: nothing may be called a failure. `cargo bench --bench healthy`; `-- 60000` for so many customers.

use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::{Sandbox, SandboxOptions};
use sqlx::{Connection, PgConnection};
use std::collections::BTreeMap;
use std::process::Command;
use std::time::Instant;

/// Of whom a hundred thousand events are told in a week.
const CUSTOMERS: u64 = 700_000;

#[tokio::main]
async fn main() {
    let customers = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(CUSTOMERS);
    let mut failures = 0;
    for manner in [Manner::Swallowing, Manner::Honest] {
        failures += week(customers, manner).await;
    }
    println!("{failures} called a failure in both weeks");
    assert_eq!(failures, 0, "a false alarm");
}

/// One week in one manner; how many of its events are called a failure.
async fn week(customers: u64, manner: Manner) -> u64 {
    let began = Instant::now();
    // Nothing but the week: an ordinary start has failures of its own.
    let options = SandboxOptions { customers, manner, incidents: vec![Incident::Healthy], background: false, ..SandboxOptions::default() };
    let sandbox = Sandbox::start(options, env!("CARGO_BIN_EXE_nightdesk").into()).await.expect("the sandbox starts");
    let ready = began.elapsed().as_secs_f64();
    let variables = sandbox.environment();
    let admin = variables.iter().find(|(name, _)| *name == "ADMIN_DATABASE_URL").expect("it is told");
    let mut database = PgConnection::connect(&admin.1).await.expect("the database answers");
    let (taken,): (i64,) =
        sqlx::query_as("SELECT count(*) FROM stripe_events WHERE processed").fetch_one(&mut database).await.expect("a count");
    database.close().await.expect("closed");
    println!("{manner:?}: {taken} events delivered and processed, ready in {ready:.0} s");
    let state = tempfile::tempdir().expect("a directory");
    let began = Instant::now();
    let mut command = Command::new(env!("CARGO_BIN_EXE_nightdesk"));
    command.args(["webhooks", "--since", "7d", "--json"]).envs(variables).env("NIGHTDESK_STATE_DIR", state.path());
    // Elsewhere, since the simulator that it asks is served from here.
    let said = tokio::task::spawn_blocking(move || command.output()).await.expect("it is waited for").expect("nightdesk runs");
    let took = began.elapsed().as_secs_f64();
    let answer: serde_json::Value =
        serde_json::from_slice(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&said.stderr)));
    let counts: BTreeMap<String, u64> = serde_json::from_value(answer["counts"].clone()).expect("counts by verdict");
    let listed: u64 = counts.values().sum();
    println!("{manner:?}: {listed} events of handled types read and judged in {took:.0} s: {counts:?}, complete {}", answer["complete"]);
    sandbox.stop().await;
    assert_eq!(answer["complete"], true, "{counts:?}");
    ["missing", "contradicted"].iter().filter_map(|word| counts.get(*word)).sum()
}
