//! Incident `half-done-run`: a console was killed while its repair waited for the row; its journal holds a run that nobody finished.
//! It is the real program, started, held up by a lock and killed.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::process::{Child, Command};

use super::check::Standing;
use super::ground::{House, Turn};
use super::pool_exhausted::lock_row;
use super::{Cause, Check, Expected, Ground, Incident, IncidentError, Label, Spec, Subject, Truth};
use crate::sandbox::population::Billing;
use crate::sandbox::schema::roles::CONSOLE;

pub const SPEC: Spec = Spec {
    name: "half-done-run",
    title: "a console was killed in the middle of a repair: its run is unfinished",
    background: 0,
    usual: 1,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

/// On a busy machine a source may answer too late for a run to begin: then it is begun again.
const TRIES: usize = 5;

async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let house = ground.house(Incident::HalfDoneRun)?;
    let people = ground.pick(Incident::HalfDoneRun, turn.count, &|billing| billing == Billing::Free)?;
    let mut labels = Vec::with_capacity(people.len());
    for (index, number) in people.into_iter().enumerate() {
        labels.push(one(ground, house, number, turn, index).await?);
    }
    Ok(labels)
}

async fn one(ground: &Ground, house: &House, number: u64, turn: Turn, index: usize) -> Result<Label, IncidentError> {
    let (profile, purchase) = (ground.key(number), turn.purchase(index));
    let made = ground.buys_unheard(number, &profile, purchase);
    let mut lock = ground.pool().connect_options().connect().await?;
    sqlx::raw_sql("BEGIN").execute(&mut lock).await?;
    lock_row(ground, &profile, &mut lock).await?;
    let cut = cut_short(ground, house, &made.customer, &mut lock).await;
    lock.close().await?;
    let run = cut?;
    let row = ground.demanded(&profile, &made.subscribed.subscription, Standing::bought(purchase.price));
    Ok(Label {
        incident: Incident::HalfDoneRun,
        broke: "a console was killed while its repair waited for the row; nothing was written, and the run is open".into(),
        at: turn.present,
        cause: Cause::RunCutShort,
        truth: Some(Truth::Missing),
        check: Check::Run { run, row },
        subject: Subject::of_checkout(number, profile, made, "client_reference_id"),
    })
}

/// Begins the repair, kills it when it waits for the row that `lock` holds, and returns its run's id.
async fn cut_short(ground: &Ground, house: &House, customer: &str, lock: &mut PgConnection) -> Result<String, IncidentError> {
    let (holder,): (i32,) = sqlx::query_as("SELECT pg_backend_pid()").fetch_one(lock).await?;
    let before = unfinished(house).await?;
    for _ in 0..TRIES {
        let mut run = command(house, &["run", "tier-update", "--customer", customer, "--yes", "--reason", "ticket 4411"])
            .spawn()
            .map_err(IncidentError::Console)?;
        let Some(waiting) = waiter(ground, holder, &mut run).await? else { continue };
        run.kill().await.map_err(IncidentError::Console)?;
        // Its session would have noticed by itself, at the latest when it was to commit.
        sqlx::query("SELECT pg_terminate_backend($1, 5000)").bind(waiting).execute(ground.pool()).await?;
        let open = unfinished(house).await?.into_iter().find(|run| !before.contains(run));
        return open.ok_or(IncidentError::NoRun);
    }
    Err(IncidentError::NoRun)
}

/// The session of the console that waits for the lock; `None` where the command ended before it came to that.
async fn waiter(ground: &Ground, holder: i32, run: &mut Child) -> Result<Option<i32>, IncidentError> {
    let sql = "SELECT pid FROM pg_stat_activity WHERE usename = $2 AND wait_event_type = 'Lock' AND $1 = ANY (pg_blocking_pids(pid))";
    loop {
        let waiting: Option<i32> = sqlx::query_scalar(sql).bind(holder).bind(CONSOLE).fetch_optional(ground.pool()).await?;
        if waiting.is_some() || run.try_wait().map_err(IncidentError::Console)?.is_some() {
            return Ok(waiting);
        }
        // It waits for half a second and then gives up.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The runs in the console's journal, in the console's own words.
async fn listed(house: &House) -> Result<Vec<Value>, IncidentError> {
    let output = command(house, &["runs", "--json"]).stdout(Stdio::piped()).output().await.map_err(IncidentError::Console)?;
    serde_json::from_slice(&output.stdout).map_err(|_| IncidentError::NoRun)
}

/// The ids of those that are not closed.
async fn unfinished(house: &House) -> Result<Vec<String>, IncidentError> {
    let runs = listed(house).await?;
    let open = runs.iter().filter(|run| matches!(run["state"].as_str(), Some("open" | "unknown" | "unverified")));
    Ok(open.filter_map(|run| run["run"].as_str().map(str::to_string)).collect())
}

/// The program as an operator of this sandbox starts it: with the same state directory, since that comes from the same variables.
fn command(house: &House, arguments: &[&str]) -> Command {
    let mut command = Command::new(&house.executable);
    command.args(arguments).env_remove("NIGHTDESK_CONFIG").env_remove("NIGHTDESK_ENV");
    command.envs(house.environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command
}

impl Ground {
    pub(super) async fn run_is_finished(&self, run: &str, row: &Expected) -> Result<bool, IncidentError> {
        let house = self.house(Incident::HalfDoneRun)?;
        // A console that has lost the run has not finished it: it must name it, and how it ended.
        let ended = |listed: &Value| matches!(listed["state"].as_str(), Some("done" | "undone" | "halted" | "abandoned"));
        Ok(self.row_holds(row).await? && listed(house).await?.iter().any(|listed| listed["run"] == run && ended(listed)))
    }
}
