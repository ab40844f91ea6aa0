//! `nightdesk status`: one line per source: does it answer, how fast, as whom.

use super::hands::Hands;
use super::{End, print_json};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::policy::Mode;
use crate::gateway::logs::Look;
use crate::protocol::query::{Query, Reply};
use chrono::Utc;
use serde::Serialize;
use std::time::{Duration, Instant};

#[derive(Serialize)]
struct Line {
    source: &'static str,
    /// `ok`, `down`, `not_set_up`.
    state: &'static str,
    milliseconds: Option<u128>,
    says: String,
}

#[derive(Serialize)]
struct Status {
    environment: String,
    /// `test`, `live`, `mixed`, `unknown`.
    mode: String,
    sources: Vec<Line>,
    unfinished_runs: usize,
}

/// Asks every source once, all at the same time.
///
/// # Errors
/// The journal cannot be read.
pub async fn run(hands: &Hands, json: bool) -> Result<End, String> {
    let application = async {
        match hands.sources().application() {
            Ok(application) => application.ready().await,
            Err(fault) => Err(fault),
        }
    };
    let (database, stripe, application, store, logs) = tokio::join!(
        timed(hands.ask(Query::Shape)),
        timed(hands.ask(Query::Account)),
        timed(application),
        timed(hands.poll_store()),
        logs(hands)
    );
    let livemode = if let (Ok(Reply::Account(account)), _) = &stripe { Some(account.livemode) } else { None };
    let runs = match hands.ask(Query::Runs).await.map_err(|f| f.say)? {
        Reply::Runs(runs) => runs,
        _ => Vec::new(),
    };
    let mode = Mode::of(livemode, hands.env.production);
    let status = Status {
        environment: hands.env.name.clone(),
        mode: livemode.map_or("unknown".into(), |_| mode.word().to_lowercase()),
        sources: vec![
            line(Source::Database, database),
            line(Source::Stripe, stripe),
            line(Source::Application, application),
            line(Source::Store, store),
        ]
        .into_iter()
        .chain(logs)
        .collect(),
        unfinished_runs: runs.iter().filter(|r| !r.is_finished()).count(),
    };
    if json {
        print_json(&status);
    } else {
        println!("{}  {}", status.environment, livemode.map_or("unknown", |_| mode.word()));
        for l in &status.sources {
            let took = l.milliseconds.map(|ms| format!("{ms} ms")).unwrap_or_default();
            println!("  {:<7} {:<11} {took:>8}  {}", l.source, l.state.replace('_', " "), l.says);
        }
        if status.unfinished_runs > 0 {
            println!("  {} unfinished run(s): nightdesk runs", status.unfinished_runs);
        }
    }
    let bad = status.sources.iter().any(|l| l.state == "down");
    Ok(if bad { End::Badly } else { End::Well })
}

/// A line for each configured log, or one that says that there is none.
async fn logs(hands: &Hands) -> Vec<Line> {
    let logs = match hands.sources().logs() {
        Ok(logs) => logs,
        Err(fault) => return vec![line::<()>(Source::Log, (Err(fault), Duration::ZERO))],
    };
    let begun = Instant::now();
    let looks = logs.look().await;
    let took = begun.elapsed();
    looks.into_iter().map(|look| line(Source::Log, (look.seen.clone().map(|_| look), took))).collect()
}

async fn timed<T>(work: impl Future<Output = Result<T, Fault>>) -> (Result<T, Fault>, Duration) {
    let begun = Instant::now();
    (work.await, begun.elapsed())
}

fn line<T: Says>(source: Source, (result, took): (Result<T, Fault>, Duration)) -> Line {
    let word = source.word();
    match result {
        Ok(answer) => Line { source: word, state: "ok", milliseconds: Some(took.as_millis()), says: answer.says() },
        Err(fault) if fault.kind == FaultKind::NotSetUp => Line { source: word, state: "not_set_up", milliseconds: None, says: fault.say },
        Err(fault) => Line { source: word, state: "down", milliseconds: Some(took.as_millis()), says: fault.say },
    }
}

/// What an answer tells about its source, in a few words.
trait Says {
    fn says(&self) -> String;
}

impl Says for Reply {
    fn says(&self) -> String {
        match self {
            Reply::Shape(shape) => format!("{} · {}", shape.server, shape.database),
            Reply::Account(account) => account.name.clone(),
            _ => String::new(),
        }
    }
}

impl Says for Look {
    fn says(&self) -> String {
        format!("{} · {}", self.name, super::logs::judged(self, Utc::now()).1)
    }
}

impl Says for () {
    fn says(&self) -> String {
        "ready".into()
    }
}
