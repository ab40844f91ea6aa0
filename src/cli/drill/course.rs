//! A drill under way: its sandbox, its clock, and what was seen meanwhile; it tells nobody before the end.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use super::report::{Finding, Report, folded};
use crate::cli::hands;
use crate::config::Config;
use crate::protocol::record::RunSummary;
use crate::sandbox::incidents::{Ground, Incident, IncidentError, Label};
use crate::sandbox::stripe::Served;
use crate::sandbox::watch::judge::{Deeds, Outcome, changes, judge};
use crate::sandbox::watch::{Sessions, Watch, Write, net};
use crate::sandbox::{Sandbox, SandboxError, SandboxOptions};

/// How often it looks whether something was repaired.
const EVERY: Duration = Duration::from_secs(2);
/// How often it asks again, in the end, a database that does not answer.
const LAST_LOOKS: usize = 5;

/// A drill whose sandbox runs.
pub struct Course {
    sandbox: Sandbox,
    incident: Incident,
    secret: bool,
    watch: Watch,
    count: usize,
    /// When the clock was started, by the calendar and by the clock.
    started: DateTime<Utc>,
    began: Instant,
    observer: Arc<Observer>,
    looking: Option<JoinHandle<()>>,
}

/// What looks now and then.
struct Observer {
    ground: Arc<Ground>,
    seen: Mutex<Seen>,
}

struct Seen {
    clock: Instant,
    /// When the check of each label held first, from the beginning on.
    green: Vec<Option<Duration>>,
    /// Requests that changed something at Stripe, oldest first.
    requests: Vec<Served>,
    /// Their ids, and those of all requests before the beginning.
    known: HashSet<String>,
    sessions: Sessions,
}

impl Course {
    /// Starts a sandbox in which nothing is broken but this. `secret`: which it is, is told in the end.
    pub async fn start(options: SandboxOptions, incident: Incident, count: usize, secret: bool) -> Result<Self, SandboxError> {
        let executable = std::env::current_exe().map_err(SandboxError::Executable)?;
        let sandbox = Sandbox::start(options, executable).await?;
        let ground = Arc::clone(sandbox.ground());
        if secret {
            ground.keep_secret();
        }
        // Before anything holds a lock.
        let (watch, sessions) = sandbox.watch().await?;
        let seen = Seen { clock: Instant::now(), green: Vec::new(), requests: Vec::new(), known: HashSet::new(), sessions };
        let observer = Arc::new(Observer { ground, seen: Mutex::new(seen) });
        let course = Self { sandbox, incident, secret, watch, count, started: Utc::now(), began: Instant::now(), observer, looking: None };
        if !incident.passes() {
            let born = course.observer.ground.population().born();
            course.strike(born).await?;
        }
        Ok(course)
    }

    async fn strike(&self, at: DateTime<Utc>) -> Result<(), SandboxError> {
        self.observer.ground.strike_at(self.incident, self.count, at).await?;
        Ok(())
    }

    /// What other programs need to reach the sandbox.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        self.sandbox.environment()
    }

    /// The console's configuration: as it is for any command with the sandbox's variables, so that both have one journal.
    ///
    /// # Errors
    /// A sentence, where the sandbox's own map is not what the console reads.
    pub fn config(&self) -> Result<Config, String> {
        let variables = self.environment();
        let ours = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
        // Who sits here is the same as anywhere. Only the sandbox's own server stays out of reach: in a drill nobody starts incidents.
        let variable = |name: &str| match name {
            "NIGHTDESK_SANDBOX_URL" => None,
            _ => ours(name).or_else(|| std::env::var(name).ok()),
        };
        let map = ours("NIGHTDESK_CONFIG");
        Config::load(map.as_deref().map(std::path::Path::new), None, &variable).map_err(|e| e.to_string())
    }

    /// What the operator is told before: what customers asked for, and nothing that they would have to find out.
    pub fn briefing(&self) -> String {
        let mut out = String::from("\nIt is the middle of the night, and you are on call.\n");
        let requests = self.observer.ground.requests();
        if requests.is_empty() {
            out.push_str("Something is wrong; nobody says what.\n");
        } else {
            out.push_str("This came in:\n");
        }
        for r in requests {
            let lines: Vec<_> = r.text.lines().map(|line| folded(line, 4, 4)).collect();
            let head = format!("\n#{} {} from {}\n    {}\n\n", r.ticket, r.at.format("%H:%MZ"), r.from, r.subject);
            out.extend([head, lines.join("\n"), "\n".into()]);
        }
        out.push_str("\nThe clock starts when you press enter. Quit the console when you are done\n(q at Home).");
        out
    }

    /// Starts the clock: from here on everything counts.
    pub async fn begin(&mut self) -> Result<(), SandboxError> {
        self.watch.begin().await?;
        (self.started, self.began) = (Utc::now(), Instant::now());
        {
            let mut seen = self.observer.seen.lock().await;
            seen.known = self.sandbox.simulator().requests().into_iter().map(|r| r.id).collect();
            seen.sessions.begin();
            seen.clock = self.began;
        }
        if self.incident.passes() {
            self.strike(self.started).await?;
        }
        let observer = Arc::clone(&self.observer);
        self.looking = Some(tokio::spawn(async move {
            loop {
                observer.look().await;
                tokio::time::sleep(EVERY).await;
            }
        }));
        Ok(())
    }

    /// Stops everything without a word.
    pub async fn abandon(self) {
        if let Some(looking) = self.looking {
            looking.abort();
        }
        self.watch.close().await;
        self.sandbox.stop().await;
    }

    /// Looks a last time and judges; then the sandbox is gone.
    pub async fn end(mut self) -> Report {
        let took = self.began.elapsed();
        if let Some(looking) = self.looking.take() {
            looking.abort();
        }
        self.observer.look().await;
        let runs = self.runs().await;
        let report = self.report(took, &runs).await;
        self.abandon().await;
        report
    }

    async fn report(&self, took: Duration, runs: &[RunSummary]) -> Report {
        let mut outcomes = Vec::new();
        // What was started from the console meanwhile counts too.
        for label in self.observer.ground.all_labels() {
            let holds = self.observer.holds(&label).await;
            let row_is_right = matches!(self.observer.ground.row_is_right(&label).await, Ok(true));
            outcomes.push(Outcome { label, holds, row_is_right });
        }
        let (green, deeds) = {
            let mut seen = self.observer.seen.lock().await;
            let killed = seen.sessions.killed();
            (seen.green.clone(), Deeds { rows: Vec::new(), requests: seen.requests.clone(), killed })
        };
        // A record that cannot be read is no clean sheet: the report says so.
        let writes = self.written().await;
        let unread = writes.as_ref().err().map(ToString::to_string);
        let deeds = Deeds { rows: net(&writes.unwrap_or_default()), ..deeds };
        let judged = judge(&self.observer.ground, &outcomes, &deeds);
        let findings = outcomes.into_iter().enumerate().map(|(i, outcome)| {
            let touched = judged.iter().any(|j| j.about.contains(&i));
            let begun = runs.iter().any(|r| r.opened >= self.started && is_about(r, &outcome.label));
            Finding::new(outcome, touched || begun, green.get(i).copied().flatten())
        });
        let population = self.observer.ground.population();
        Report::new(
            self.incident,
            self.secret,
            (population.seed(), population.len(), self.count),
            (self.started, took),
            findings.collect(),
            judged,
            unread,
        )
    }

    /// The record of the database, which may be on its way up again.
    async fn written(&self) -> Result<Vec<Write>, sqlx::Error> {
        for _ in 1..LAST_LOOKS {
            match self.watch.writes().await {
                Err(sqlx::Error::Io(_)) => tokio::time::sleep(EVERY).await,
                // The class of a server that is starting or stopping.
                Err(sqlx::Error::Database(e)) if e.code().is_some_and(|code| code.starts_with("57")) => tokio::time::sleep(EVERY).await,
                answered => return answered,
            }
        }
        self.watch.writes().await
    }

    /// The runs in this operator's journal.
    async fn runs(&self) -> Vec<RunSummary> {
        // Without a journal no run was begun from it.
        match self.config().and_then(|config| hands::journal(&config)) {
            Ok(journal) => journal.runs().await.unwrap_or_default(),
            Err(_) => Vec::new(),
        }
    }
}

impl Observer {
    async fn look(&self) {
        let mut seen = self.seen.lock().await;
        for request in self.ground.simulator().requests().into_iter().filter(changes) {
            if seen.known.insert(request.id.clone()) {
                seen.requests.push(request);
            }
        }
        seen.sessions.killed();
        let labels = self.ground.all_labels();
        seen.green.resize(labels.len(), None);
        for (index, label) in labels.iter().enumerate() {
            // Where the database does not answer now, the next look tells.
            if seen.green[index].is_none() && matches!(self.ground.repaired(label).await, Ok(true)) {
                seen.green[index] = Some(seen.clock.elapsed());
            }
        }
    }

    async fn holds(&self, label: &Label) -> bool {
        for _ in 0..LAST_LOOKS {
            match self.ground.repaired(label).await {
                Ok(holds) => return holds,
                Err(IncidentError::Database(_)) => tokio::time::sleep(EVERY / 4).await,
                Err(_) => return false,
            }
        }
        false
    }
}

fn is_about(run: &RunSummary, label: &Label) -> bool {
    run.subject.as_ref().is_some_and(|subject| Some(subject.as_str()) == label.subject.profile.as_deref())
}
