//! `nightdesk drill`: one incident on a sandbox of its own, its arguments and its two ways to run; the console is opened elsewhere.

mod course;
mod report;

use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use clap::builder::RangedU64ValueParser;
use clap::{Args, ValueEnum};

use super::refuse;
use super::sandbox::{asked_to_end, own_environment, tell};
use crate::sandbox::incidents::Incident;
use crate::sandbox::{SandboxError, SandboxOptions};
pub use course::Course;
use report::Report;

/// What a drill's end tells a script.
pub(super) const EXIT: &str = "Exit codes:
  0  everything was repaired, and nothing wrong was written
  1  something was missed, or a wrong write was made
  2  there was no drill: bad input, or the sandbox did not start";

/// Practise one incident on a sandbox of its own: against the clock, and with a report in the end.
#[derive(Debug, Clone, Args)]
pub struct DrillArgs {
    /// What is broken
    #[arg(value_enum, required_unless_present_any = ["random", "list"], conflicts_with_all = ["random", "list"])]
    pub name: Option<Incident>,
    /// Let the seed choose, and say which it was only in the end
    #[arg(long)]
    pub random: bool,
    /// Name the drills and stop
    #[arg(long, conflicts_with = "random")]
    pub list: bool,
    /// What everything that is made up is made from; without it, another night each time
    #[arg(long)]
    pub seed: Option<u64>,
    /// How many customers there are
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(100..=10_000_000))]
    pub customers: u64,
    /// How many subjects are hit; without it, a few
    #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..=1_000))]
    pub count: Option<usize>,
    /// Run without the console: print the sandbox's environment, then `# ready`, and stay until Ctrl-C, SIGTERM or the end of standard input
    #[arg(long)]
    pub serve: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,
}

/// How many subjects a drill hits, where there may be many: of drift every kind once, and few enough for one night.
const A_FEW: usize = 9;

impl DrillArgs {
    fn seed(&self) -> u64 {
        // Short enough to be typed again.
        self.seed.unwrap_or_else(|| rand::random_range(1..1_000_000))
    }

    fn incident(&self, seed: u64) -> Incident {
        let all = Incident::ALL;
        let drawn = usize::try_from(seed % all.len() as u64).expect("invariant: below the number of incidents");
        self.name.unwrap_or(all[drawn])
    }

    async fn start(&self) -> Result<Course, SandboxError> {
        let seed = self.seed();
        let incident = self.incident(seed);
        // A journal of its own, or one drill's unfinished runs would stand in the next; with commands, under the caller's own name.
        let environment = Some(own_environment("drill"));
        let operator = (!self.serve).then(|| "operator".to_string());
        let options =
            SandboxOptions { seed, customers: self.customers, background: false, environment, operator, ..SandboxOptions::default() };
        Course::start(options, incident, self.count.unwrap_or_else(|| incident.usual().min(A_FEW)), self.random).await
    }
}

/// What needs no terminal: `--list` and `--serve`. `None`: the drill wants its console.
pub async fn run(args: &DrillArgs) -> Option<ExitCode> {
    if args.list {
        return Some(list(args.json));
    }
    if !args.serve {
        return None;
    }
    Some(match serve(args).await {
        Ok(code) => code,
        Err(error) => refuse(&error.to_string()),
    })
}

fn list(json: bool) -> ExitCode {
    if json {
        let all: Vec<_> = Incident::ALL.iter().map(|i| serde_json::json!({ "name": i.name(), "title": i.title() })).collect();
        super::print_json(&all);
    } else {
        for incident in Incident::value_variants() {
            println!("{:<22} {}", incident.name(), incident.title());
        }
    }
    ExitCode::SUCCESS
}

async fn serve(args: &DrillArgs) -> Result<ExitCode, SandboxError> {
    // Listened to from here on: a signal during the start stops what was started.
    let asked = asked_to_end();
    tokio::pin!(asked);
    let course = tokio::select! {
        started = args.start() => started?,
        () = &mut asked => return Ok(refuse("the drill was ended before it began")),
    };
    let mut course = course;
    course.begin().await?;
    if let Err(error) = tell(&course.environment()) {
        course.abandon().await;
        return Ok(refuse(&format!("the environment could not be printed: {error}")));
    }
    tokio::select! {
        () = asked => {}
        () = input_closed() => {}
    }
    Ok(close(course, args.json).await)
}

/// Starts the drill's sandbox, says what there is to be said before, and waits until the operator is ready.
///
/// # Errors
/// One sentence, where the sandbox does not start.
pub async fn open(args: &DrillArgs) -> Result<Course, String> {
    say("Starting a sandbox for the drill …");
    let mut course = args.start().await.map_err(|e| e.to_string())?;
    say(&course.briefing());
    let ready = tokio::task::spawn_blocking(|| io::stdin().lock().read_line(&mut String::new()));
    if !matches!(ready.await, Ok(Ok(1..))) {
        course.abandon().await;
        return Err("the drill was ended before it began".into());
    }
    course.begin().await.map_err(|e| e.to_string())?;
    Ok(course)
}

/// Ends the drill: looks a last time, stops the sandbox, prints the report.
pub async fn close(course: Course, json: bool) -> ExitCode {
    let report = course.end().await;
    if json {
        say(&serde_json::to_string_pretty(&report).expect("invariant: a report is plain data"));
    } else {
        say(report.to_string().trim_end_matches('\n'));
    }
    code(&report)
}

fn code(report: &Report) -> ExitCode {
    if report.ok { ExitCode::SUCCESS } else { ExitCode::from(1) }
}

/// To a terminal that may have gone away meanwhile: then nobody reads it, and the drill ends all the same.
fn say(text: &str) {
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Returns when nobody holds the other end of standard input any more.
async fn input_closed() {
    let (gone, end) = tokio::sync::oneshot::channel();
    // A thread of its own, because a read cannot be given up: it ends with the process.
    std::thread::spawn(move || {
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = gone.send(());
    });
    let _ = end.await;
}
