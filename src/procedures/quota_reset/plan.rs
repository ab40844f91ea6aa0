//! The plan of a quota reset: which counters, through whom, what exactly changes, and how it is proven.

use super::facts::{self, Facts, Use, figure};
use crate::domain::At;
use crate::domain::entitlement::Entitlement;
use crate::domain::facts::{Handle, Known};
use crate::domain::fault::{FaultKind, Source};
use crate::domain::quota::Resets;
use crate::domain::row::Counter;
use crate::domain::text::sentence;
use crate::procedures::words::{Witness, count, day, how, machine};
use crate::procedures::{ENTITLEMENT, ROW};
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::Environment;
use crate::protocol::query::Query;
use crate::protocol::run::{Choice, Decision, Features, Inputs, Plan, Refusal, Step, StepKind, StepState};

/// What was chosen: what is reset, and what is left out with the reason.
struct Chosen<'a> {
    reset: Vec<&'a Use>,
    left_out: Vec<String>,
    all: bool,
}

pub(super) fn plan(inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
    let facts = Facts::of(inputs, answers, now)?;
    let mut chosen = chosen(inputs, &facts)?;
    // What holds less than when the reset was confirmed has been reset, whoever has counted since.
    let was = |u: &Use| inputs.counters.iter().find(|c| c.feature == u.feature).map(|c| c.used);
    let before = chosen.reset.iter().filter(|u| was(u).is_some()).filter_map(|u| was(u).map(|used| (u.feature.as_str(), used)));
    let before: Vec<(&str, i64)> = before.collect();
    // What was not used then, and is now, was counted since: nobody asked for that to be reset.
    chosen.reset.retain(|u| u.used > 0 && was(u).map_or(inputs.counters.is_empty(), |before| u.used >= before));
    let proof = witness(&facts.app, env, &|feature, used| before.iter().all(|(f, was)| *f != feature || used < *was));
    if chosen.reset.is_empty() {
        return Err(right(&proof, &facts, &chosen, &before));
    }
    let (command, through) = command(&facts, &chosen, env)?;
    let counters: Vec<Counter> = chosen.reset.iter().filter_map(|u| u.counter.clone()).collect();
    let undo = facts.sheet.writable.then(|| Command::RestoreCounters { subject: facts.key().clone(), counters });
    let names: Vec<&str> = chosen.reset.iter().map(|u| u.feature.as_str()).collect();
    let summary = if chosen.all { format!("Reset all that resets: {}", names.join(", ")) } else { format!("Reset {}", names.join(", ")) };
    let back = if undo.is_some() { "can be undone" } else { "cannot be undone from here" };
    Ok(Plan {
        summary,
        subject: Some(facts.key().clone()),
        who: facts.who(),
        blast: format!("1 customer · {} · no money · {} · {back}", count(chosen.reset.len(), "counter"), through.cost()),
        diff: Vec::new(),
        notes: notes(&facts, &chosen, through),
        evidence: evidence(&facts),
        afterwards: None,
        machine: machine(&command),
        steps: steps(&chosen, &proof, command, undo),
        typed: None,
        pace: None,
    })
}

/// The subject by its key, the features, and their counters as they stand: what holds less than this later on has been reset.
pub(super) fn pin(inputs: &Inputs, answers: &Answers) -> Inputs {
    let mut pinned = inputs.clone();
    let Some(key) = facts::found(inputs, answers) else { return pinned };
    if let (true, Some(Known::Is { at, .. })) = (inputs.counters.is_empty(), answers.get(&Query::Counters(key.clone())))
        && let Ok(facts) = Facts::of(inputs, answers, *at)
        && let Ok(chosen) = chosen(inputs, &facts)
    {
        pinned.counters = chosen.reset.iter().filter(|u| u.used > 0).filter_map(|u| u.counter.clone()).collect();
        let names = || chosen.reset.iter().map(|u| u.feature.clone()).collect();
        pinned.features = Some(if chosen.all { Features::All } else { Features::These(names()) });
    }
    pinned.handle = Some(Handle::Subject(key.clone()));
    pinned.subject = Some(key);
    pinned
}

/// Who performs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Through {
    AdminApi,
    Database,
}

impl Through {
    fn cost(self) -> &'static str {
        match self {
            Through::AdminApi => "1 call to the app",
            Through::Database => "1 statement",
        }
    }
}

/// Which features: the operator's choice, or the only one there is.
fn chosen<'a>(inputs: &Inputs, facts: &'a Facts) -> Result<Chosen<'a>, Refusal> {
    let mut left_out = Vec::new();
    if !inputs.counters.is_empty() {
        // It was settled when the reset was confirmed, whoever can be asked by now.
        let reset = facts.uses.iter().filter(|u| inputs.counters.iter().any(|c| c.feature == u.feature)).collect();
        return Ok(Chosen { reset, left_out, all: inputs.features == Some(Features::All) });
    }
    match &inputs.features {
        Some(Features::These(names)) => {
            let mut reset = Vec::new();
            for name in names {
                let Some(found) = facts.uses.iter().find(|u| u.feature == *name) else {
                    let known: Vec<&str> = facts.uses.iter().map(|u| u.feature.as_str()).collect();
                    let known = if known.is_empty() { "none".into() } else { known.join(", ") };
                    return Err(Refusal::Because(format!("There is no feature {name}; they have {known}.")));
                };
                if found.resets == Resets::No { left_out.push(stock(found)) } else { reset.push(found) }
            }
            if reset.is_empty() {
                return Err(only_stocks(&left_out));
            }
            Ok(Chosen { reset, left_out, all: false })
        }
        Some(Features::All) => {
            let reset: Vec<&Use> = facts.uses.iter().filter(|u| u.resets == Resets::Yes).collect();
            left_out.extend(facts.uses.iter().filter(|u| u.resets == Resets::No && u.used > 0).map(stock));
            let unknown: Vec<&str> =
                facts.uses.iter().filter(|u| u.resets == Resets::Unknown && u.used > 0).map(|u| u.feature.as_str()).collect();
            if reset.is_empty() && !unknown.is_empty() {
                let say = format!(
                    "Nobody says which features reset: name those to be reset ({}), or say it under [quota.resets] in the configuration.",
                    unknown.join(", ")
                );
                return Err(Refusal::Because(say));
            }
            if reset.is_empty() {
                return Err(only_stocks(&left_out));
            }
            left_out.extend(unknown.iter().map(|f| format!("Left out: {f}; nobody says whether it resets, so it is reset only by name")));
            Ok(Chosen { reset, left_out, all: true })
        }
        None => decide(facts),
    }
}

fn decide(facts: &Facts) -> Result<Chosen<'_>, Refusal> {
    let used: Vec<&Use> = facts.uses.iter().filter(|u| u.used > 0).collect();
    let (can, left): (Vec<&Use>, Vec<&Use>) = used.into_iter().partition(|u| u.resets != Resets::No);
    let left_out: Vec<String> = left.into_iter().map(stock).collect();
    match can.as_slice() {
        [] if left_out.is_empty() => Ok(Chosen { reset: Vec::new(), left_out, all: true }),
        [] => Err(only_stocks(&left_out)),
        // Nothing else could be meant.
        [one] => Ok(Chosen { all: one.resets == Resets::Yes, reset: vec![one], left_out }),
        several => Err(Refusal::Decide(Decision {
            id: "feature".into(),
            question: format!("{} features are used. Which are reset? One, or several that are marked.", several.len()),
            options: options(several),
        })),
    }
}

fn options(several: &[&Use]) -> Vec<Choice> {
    let yes: Vec<&&Use> = several.iter().filter(|u| u.resets == Resets::Yes).collect();
    let mut options = Vec::new();
    if !yes.is_empty() {
        let names: Vec<&str> = yes.iter().map(|u| u.feature.as_str()).collect();
        let evidence = format!("{}: {}", names.join(", "), "through the app's admin API where it answers");
        options.push(Choice { value: "all".into(), say: "All that reset".into(), evidence });
    }
    options.extend(several.iter().map(|u| {
        let doubt = if u.resets == Resets::Unknown { "; nobody says whether it resets" } else { "" };
        Choice { value: u.feature.clone(), say: u.feature.clone(), evidence: format!("{} used{doubt}; through the database", u.figure()) }
    }));
    options
}

fn stock(of: &Use) -> String {
    format!("Left out: {}, {}; it is a stock, which no period empties ({})", of.feature, of.figure(), of.because)
}

fn only_stocks(left_out: &[String]) -> Refusal {
    let why = left_out.first().map_or_else(|| "no feature of theirs resets".to_string(), |l| l.replace("Left out: ", ""));
    Refusal::Because(format!("Nothing that resets is used: {why}."))
}

/// All at once through the application, which knows no single feature; otherwise through the database.
fn command(facts: &Facts, chosen: &Chosen<'_>, env: &Environment) -> Result<(Command, Through), Refusal> {
    let subject = facts.key().clone();
    // The application decides by itself which features it empties: it is asked only where it leaves alone all that was left out.
    let is_chosen = |u: &Use| chosen.reset.iter().any(|c| c.feature == u.feature);
    let agrees = |app: &Entitlement| {
        let left_out = facts.uses.iter().filter(|u| u.used > 0 && !is_chosen(u));
        left_out.into_iter().all(|u| app.features.get(&u.feature).is_some_and(|of| of.resets == Some(false)))
    };
    let by_app = env.set_up.contains(&Source::Application) && facts.app().is_some_and(agrees);
    if chosen.all && by_app {
        return Ok((Command::ResetEntitlement { subject }, Through::AdminApi));
    }
    if !facts.sheet.writable {
        let or = if by_app { "; or choose all: the app's admin API resets every feature at once" } else { "" };
        let say = format!("The console's database role may not change counters: `nightdesk check --grants` prints the grant{or}.");
        return Err(Refusal::Because(say));
    }
    let shown: Vec<Counter> = chosen.reset.iter().filter_map(|u| u.counter.clone()).collect();
    Ok((Command::ResetCounters { subject, shown }, Through::Database))
}

/// What the application says is used now, where `holds` says whether that fits. What it does not tell proves nothing against it.
pub(super) fn witness(app: &Known<Option<Entitlement>>, env: &Environment, holds: &dyn Fn(&str, i64) -> bool) -> Witness {
    match app {
        _ if !env.set_up.contains(&Source::Application) => Witness::NotSetUp,
        Known::Failed(f) if f.kind == FaultKind::NotSetUp => Witness::NotSetUp,
        Known::Is { value: Some(e), .. } => {
            let odd = e.features.iter().find(|(feature, of)| of.used.is_some_and(|used| !holds(feature, used)));
            odd.map_or(Witness::Agrees, |(feature, of)| {
                Witness::Differs(format!("{feature} {}", figure(of.used.unwrap_or_default(), Some(of.value))))
            })
        }
        Known::Is { value: None, .. } => Witness::Differs("that it does not know this profile".into()),
        Known::Failed(f) => Witness::Silent(f.say.clone()),
        Known::Waiting => Witness::Waiting,
    }
}

/// What the application enforces of these features, in its own figures.
pub(super) fn enforced(app: Option<&Entitlement>, features: &[&str]) -> String {
    let of = |f: &&str| {
        let of = app?.features.get(*f)?;
        let used = of.used.map_or_else(|| format!("{} of it", of.value), |used| figure(used, Some(of.value)));
        Some(format!("{f} {used}"))
    };
    let told: Vec<String> = features.iter().filter_map(of).collect();
    if told.is_empty() { "nothing of these".into() } else { told.join(", ") }
}

/// Nothing is left to reset: proven, or what stands against it.
fn right(proof: &Witness, facts: &Facts, chosen: &Chosen<'_>, before: &[(&str, i64)]) -> Refusal {
    if before.is_empty() {
        // A draft: nothing was done, and nothing is asked for.
        let left = chosen.left_out.iter().map(|l| format!(" {}", sentence(l))).collect::<String>();
        return Refusal::AlreadyRight(format!("Nothing that resets is used in the period that runs.{left}"));
    }
    let features: Vec<&str> = before.iter().map(|(f, _)| *f).collect();
    match proof {
        Witness::Agrees => Refusal::AlreadyRight(format!("Reset, and the app enforces {} now.", enforced(facts.app(), &features))),
        Witness::NotSetUp => {
            let holds =
                facts.uses.iter().filter(|u| features.contains(&u.feature.as_str())).map(|u| format!("{} {}", u.feature, u.figure()));
            Refusal::AlreadyRight(format!("Reset: {}. No app is set up to ask.", holds.collect::<Vec<_>>().join(", ")))
        }
        Witness::Differs(what) => {
            Refusal::Because(format!("The counters are reset; the app still answers {what}. It may cache: look at it."))
        }
        Witness::Silent(why) => {
            Refusal::Because(format!("The counters are reset; the app does not answer, so nothing proves it yet: {why}"))
        }
        Witness::Waiting => Refusal::Because("What the app enforces has not been read yet.".into()),
    }
}

fn notes(facts: &Facts, chosen: &Chosen<'_>, through: Through) -> Vec<String> {
    let mut notes: Vec<String> = chosen.reset.iter().map(|u| format!("{}: {} → {}", u.feature, u.used, figure(0, u.limit))).collect();
    notes.push(match through {
        Through::AdminApi => {
            "Through the app's admin API: it resets every feature that resets, used or not, and begins a new period.".into()
        }
        Through::Database => {
            let ends: Vec<String> =
                chosen.reset.iter().filter_map(|u| Some(format!("{} {}", u.feature, day(u.counter.as_ref()?.period_end?)))).collect();
            let ends = if ends.is_empty() { String::new() } else { format!("; it ends: {}", ends.join(", ")) };
            format!("Through the database: used becomes 0, the period stays{ends}.")
        }
    });
    notes.extend(chosen.left_out.iter().map(|l| sentence(l)));
    let unsure = chosen.reset.iter().filter(|u| u.resets == Resets::Unknown);
    notes.extend(unsure.map(|u| format!("{}: {}; it is reset because you named it.", u.feature, u.because)));
    let differ = facts.uses.iter().filter_map(|u| Some((u, u.plan_differs?)));
    notes.extend(differ.map(|(u, plan)| {
        format!(
            "{}: the app enforces {}, the plan's table says {plan}.",
            u.feature,
            u.limit.map_or_else(|| "nothing".into(), |l| l.to_string())
        )
    }));
    if let Known::Failed(fault) = &facts.app
        && fault.kind != FaultKind::NotSetUp
    {
        notes.push(format!("The app does not answer now, so the proof may have to wait: {}", fault.say));
    }
    notes
}

fn evidence(facts: &Facts) -> Vec<String> {
    let mut lines: Vec<String> = facts
        .uses
        .iter()
        .map(|u| {
            let row = if u.counter.is_some() { "" } else { " (no counter in a period that runs)" };
            format!("database: {} {}{row}; {}", u.feature, u.figure(), u.because)
        })
        .collect();
    if lines.is_empty() {
        lines.push("database: no counter and no limit is known".into());
    }
    if let Some(app) = facts.app() {
        let features: Vec<&str> = app.features.keys().map(String::as_str).collect();
        lines.push(format!("app: {} enforces {}", app.tier, enforced(Some(app), &features)));
    }
    lines
}

fn steps(chosen: &Chosen<'_>, proof: &Witness, command: Command, undo: Option<Command>) -> Vec<Step> {
    let used: Vec<String> = chosen.reset.iter().map(|u| format!("{} {}", u.feature, u.figure())).collect();
    let names: Vec<&str> = chosen.reset.iter().map(|u| u.feature.as_str()).collect();
    let which = if chosen.all { format!("All that reset: {}", names.join(", ")) } else { format!("Only {}", names.join(", ")) };
    let mut reset = Step::new("reset", StepKind::Act, "reset", how(&command));
    reset.command = Some(command);
    reset.undo = undo;
    let due: Vec<String> = chosen.reset.iter().map(|u| format!("{} {}", u.feature, figure(0, u.limit))).collect();
    let mut enforced = Step::new(ENTITLEMENT, StepKind::Verify, "enforced", format!("The app enforces {}", due.join(", ")));
    if *proof == Witness::NotSetUp {
        enforced.state = StepState::Skipped("the application is not set up".into());
    }
    vec![
        Step::new("usage", StepKind::Check, "usage", used.join(", ")).in_state(StepState::Passed),
        Step::new("which", StepKind::Decide, "which", which).in_state(StepState::Passed),
        reset,
        Step::new(ROW, StepKind::Verify, "counters", "Each counter holds less than before"),
        enforced,
    ]
}
