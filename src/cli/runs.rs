//! `nightdesk runs`: what was begun here, what was left unfinished, finishing it, giving it up, and taking it back.

use super::args::{How, RunsAction};
use super::drive::{drive, now};
use super::hands::Hands;
use super::print::aside;
use super::procedures::{carry_out, confirm_and_finish, report};
use super::{End, pool_exhausted, print_json};
use crate::domain::At;
use crate::domain::fault::FaultKind;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::{Closed, Doing, RunState, RunSummary};
use crate::protocol::run::{Plan, short};
use serde::Serialize;
use std::ops::ControlFlow;
use uuid::Uuid;

#[derive(Serialize)]
struct Line<'a> {
    run: Uuid,
    short: String,
    procedure: &'a str,
    state: &'static str,
    /// What a process that holds it does with it: `asks`, `watches`, `works`; `null`: none does.
    doing: Option<&'static str>,
    operator: &'a str,
    opened: At,
    who: Option<String>,
    /// The run that it takes back.
    undoes: Option<String>,
    /// Another process is working on it right now.
    held: bool,
}

/// What the operator says with `runs resume` of what no source tells.
#[derive(Debug, Clone, Copy)]
pub struct Told<'a> {
    /// Which setting was changed.
    pub setting: Option<&'a str>,
    /// What was done by hand.
    pub attest: Option<&'a str>,
}

/// Lists the runs, finishes one, or takes one back.
///
/// # Errors
/// The journal cannot be read, or the run is not in it.
pub async fn run(hands: &Hands, action: Option<RunsAction>, json: bool) -> Result<End, String> {
    let runs = match hands.ask(Query::Runs).await.map_err(|f| f.say)? {
        Reply::Runs(runs) => runs,
        other => return Err(format!("the journal answered {other:?}")),
    };
    match action {
        None => {
            list(&runs, json);
            if let Some(place) = hands.place() {
                let name = &hands.env.name;
                aside(&format!(
                    "these are the runs of this database, kept as {place}: environments without a name are told apart by their database, and \
                     {name} is another one's"
                ));
            }
            Ok(End::Well)
        }
        Some(RunsAction::Resume { run, setting, attest, how }) => {
            let told = Told { setting: setting.as_deref(), attest: attest.as_deref() };
            resume(hands, named(&runs, &run)?, told, &how).await
        }
        Some(RunsAction::Abandon { run, reason, settled_by_hand, json: here }) => {
            abandon(hands, named(&runs, &run)?, settled_by_hand, &reason, json || here).await
        }
        Some(RunsAction::Undo { run, how }) => undo(hands, named(&runs, &run)?, &how).await,
    }
}

fn list(runs: &[RunSummary], json: bool) {
    let mut runs: Vec<&RunSummary> = runs.iter().collect();
    runs.sort_by_key(|r| std::cmp::Reverse((r.opened, r.run)));
    let lines: Vec<Line> = runs.iter().map(|r| line(r)).collect();
    if json {
        return print_json(&lines);
    }
    if lines.is_empty() {
        println!("no runs in this journal yet");
        return;
    }
    let columns = ["run", "state", "procedure", "begun", "about"].map(String::from);
    let rows: Vec<[String; 5]> = std::iter::once(columns).chain(lines.iter().map(cells)).collect();
    let widths: [usize; 5] = std::array::from_fn(|i| rows.iter().map(|r| r[i].chars().count()).max().unwrap_or_default());
    for row in &rows {
        let padded: Vec<String> = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        println!("{}", padded.join("  ").trim_end());
    }
    let mut told = Vec::new();
    for (state, means) in runs.iter().filter_map(|r| standing(r)) {
        if !told.contains(&state) {
            if told.is_empty() {
                println!();
            }
            println!("{state}: {means}");
            told.push(state);
        }
    }
}

fn cells(l: &Line) -> [String; 5] {
    let undoes = l.undoes.as_ref().map(|run| format!(", takes back {run}")).unwrap_or_default();
    let who = l.who.as_deref().unwrap_or("(erased)");
    let state = l.doing.map_or(l.state, doing_in_words);
    [l.short.clone(), state.into(), l.procedure.into(), l.opened.format("%Y-%m-%d %H:%MZ").to_string(), format!("{who}{undoes}")]
}

fn doing(doing: Doing) -> &'static str {
    match doing {
        Doing::Asks => "asks",
        Doing::Watches => "watches",
        Doing::Works => "works",
    }
}

fn doing_in_words(doing: &str) -> &'static str {
    match doing {
        "asks" => "waiting for an answer",
        "watches" => "watching",
        _ => "running",
    }
}

/// The state as the list has it, and what it asks of whoever reads it; `None` where that is nothing.
fn standing(run: &RunSummary) -> Option<(&'static str, &'static str)> {
    match run.doing() {
        Some(Doing::Asks) => Some((doing_in_words("asks"), "a console has it open, and goes on when it is answered there")),
        Some(_) => None,
        None => Some((word(run.state), meaning(run.state)?)),
    }
}

/// What a state asks of whoever reads the list; `None` where there is nothing left to do.
fn meaning(state: RunState) -> Option<&'static str> {
    match state {
        RunState::Open => Some("left unfinished: `nightdesk runs resume RUN` goes on with it, `runs abandon RUN` gives it up"),
        RunState::Unknown => Some("what became of its last act is not known: `nightdesk runs resume RUN` reads it"),
        RunState::Acted => Some("it acted, and the proof is missing: `nightdesk runs resume RUN` reads it"),
        RunState::Closed(Closed::HandedOver) => {
            Some("given up after it had sent something, without the proof of its effect: somebody was to see to that by hand")
        }
        RunState::Closed(Closed::Halted) => Some("it stopped by itself, short of its goal: look at what it did"),
        RunState::Closed(Closed::Done | Closed::Undone | Closed::Abandoned) => None,
    }
}

/// The one run whose id ends like that.
fn named<'a>(runs: &'a [RunSummary], wanted: &str) -> Result<&'a RunSummary, String> {
    let wanted = wanted.to_ascii_lowercase();
    let fits: Vec<&RunSummary> = runs.iter().filter(|r| r.run.simple().to_string().ends_with(&wanted.replace('-', ""))).collect();
    match fits.as_slice() {
        [one] => Ok(one),
        [] => Err(format!("no run ends in `{wanted}`; see nightdesk runs")),
        _ => Err(format!("several runs end in `{wanted}`; give more of the id")),
    }
}

async fn resume(hands: &Hands, summary: &RunSummary, told: Told<'_>, how: &How) -> Result<End, String> {
    if told.attest.is_some_and(|words| words.trim().is_empty()) {
        return Err("--attest: say in a few words what was done; it goes into the journal".into());
    }
    if told.setting.is_some() && summary.procedure != "pool-exhausted" {
        return Err(format!("--setting is for pool-exhausted; run {} is of {}", short(summary.run), summary.procedure));
    }
    if summary.is_finished() {
        return Ok(End::Refused(format!("run {} is finished: {}", short(summary.run), word(summary.state))));
    }
    if summary.held {
        return Ok(End::Refused(format!("run {} is being worked on by another process: wait for its end", short(summary.run))));
    }
    if how.dry_run {
        let says = format!("run {} would be taken up: {}; it looks first, and repeats nothing", short(summary.run), word(summary.state));
        if how.json {
            print_json(&serde_json::json!({ "run": summary.run, "state": "planned", "says": says }));
        } else {
            println!("{says}");
        }
        return Ok(End::Well);
    }
    // What may have happened is settled by reading; only what definitely did not happen is sent, after a confirmation of its own.
    hands.turn_on(how.reason.as_deref().unwrap_or_default()).await?;
    let (mut run, effects) = Run::resume(summary);
    drive(&mut run, effects, hands, &hands.env).await;
    if run.procedure == "pool-exhausted" {
        return pool_exhausted::take_up(hands, run, told, how).await;
    }
    let run = match by_hand(hands, run, told).await? {
        ControlFlow::Break(end) => return Ok(end),
        ControlFlow::Continue(run) => *run,
    };
    match carry_out(hands, run, how).await? {
        ControlFlow::Break(end) => Ok(end),
        ControlFlow::Continue(run) => stands(hands, *run, how).await,
    }
}

/// How it stands once what was confirmed is done: what comes next is a step of its own, for whoever confirms that or does it.
///
/// # Errors
/// As [`by_hand`].
pub async fn stands(hands: &Hands, run: Run, how: &How) -> Result<End, String> {
    let run = match by_hand(hands, run, Told { setting: None, attest: None }).await? {
        ControlFlow::Break(end) => return Ok(end),
        ControlFlow::Continue(run) => *run,
    };
    if let (Phase::Review, Some(plan)) = (&run.phase, &run.plan) {
        let say = format!(
            "run {0} has a next step that nobody has confirmed: {1}; see it with `nightdesk runs resume {0}`",
            short(run.id),
            plan.summary.trim_end_matches('.')
        );
        return Ok(End::Refused(say));
    }
    Ok(report(&run, how))
}

/// Where the run waits for what is done by hand: takes the operator's word for it, or ends with the sentence that asks for one. A word
/// for which there is no such step is not lost in silence.
///
/// # Errors
/// It cannot be taken: one sentence.
pub async fn by_hand(hands: &Hands, mut run: Run, told: Told<'_>) -> Result<ControlFlow<End, Box<Run>>, String> {
    let step = run.plan.as_ref().filter(|_| run.phase == Phase::Review).and_then(Plan::next_manual).map(|s| s.say.clone());
    match (step, told.attest) {
        (Some(_), Some(words)) => {
            let effects = run.attest(words, now())?;
            drive(&mut run, effects, hands, &hands.env).await;
        }
        (Some(say), None) => {
            let run = short(run.id);
            let say = say.trim_end_matches('.');
            let say = format!("run {run} waits for what is done by hand: {say}; then: nightdesk runs resume {run} --attest TEXT");
            return Ok(ControlFlow::Break(End::Refused(say)));
        }
        (None, Some(_)) => {
            let say = format!("run {} waits for nothing that is done by hand now: --attest was not journaled", short(run.id));
            return Ok(ControlFlow::Break(End::Refused(say)));
        }
        (None, None) => {}
    }
    Ok(ControlFlow::Continue(Box::new(run)))
}

/// Ends it short of its goal. What was sent stays sent; what is missing is for a new run, or for hands.
async fn abandon(hands: &Hands, summary: &RunSummary, by_hand: bool, reason: &str, json: bool) -> Result<End, String> {
    if reason.trim().is_empty() {
        return Err("say why it is given up, with --reason: it goes into the journal".into());
    }
    let how = match hands.give_up_run(summary.run, by_hand, reason).await {
        Ok(how) => how,
        Err(fault) if matches!(fault.kind, FaultKind::Conflict | FaultKind::Refused) => return Ok(End::Refused(fault.say)),
        Err(fault) => return Err(fault.say),
    };
    let state = word(RunState::Closed(how));
    if json {
        print_json(&serde_json::json!({ "run": summary.run, "state": state, "sent": summary.sent().count() }));
    } else {
        let sent = match summary.sent().count() {
            0 => "nothing of it was sent".to_string(),
            1 => "what it sent, one act, stays as it is and is not sent again".to_string(),
            many => format!("what it sent, {many} acts, stays as it is and is not sent again"),
        };
        println!("{state}: run {} is given up; {sent}", short(summary.run));
    }
    Ok(End::Well)
}

async fn undo(hands: &Hands, summary: &RunSummary, how: &How) -> Result<End, String> {
    let (mut run, effects) = match Run::take_back(summary, Uuid::now_v7()) {
        Ok(begun) => begun,
        Err(why) => return Ok(End::Refused(format!("run {} cannot be taken back: {why}", short(summary.run)))),
    };
    drive(&mut run, effects, hands, &hands.env).await;
    confirm_and_finish(hands, run, how).await
}

fn line(run: &RunSummary) -> Line<'_> {
    Line {
        run: run.run,
        short: short(run.run),
        procedure: &run.procedure,
        state: word(run.state),
        doing: run.doing().map(doing),
        operator: &run.operator,
        opened: run.opened,
        who: run.about(),
        undoes: run.undoes.as_ref().map(|u| short(u.run)),
        held: run.held,
    }
}

fn word(state: RunState) -> &'static str {
    match state {
        RunState::Open => "open",
        RunState::Unknown => "unknown",
        RunState::Acted => "unverified",
        RunState::Closed(Closed::Done) => "done",
        RunState::Closed(Closed::Undone) => "undone",
        RunState::Closed(Closed::Halted) => "halted",
        RunState::Closed(Closed::Abandoned) => "abandoned",
        RunState::Closed(Closed::HandedOver) => "handed-over",
    }
}
