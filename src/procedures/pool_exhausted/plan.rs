//! The plan: end what was chosen, one first; then ask about settings, restart where one was changed, and watch. Planned again after each.

use super::advice::{advice, decision};
use super::choose::{Chosen, Target, chosen};
use super::{NO_SETTING, RESTART, RESTARTED, SETTING, activity, words};
use crate::domain::At;
use crate::domain::diagnosis::Word;
use crate::domain::facts::Known;
use crate::domain::sessions::{Activity, Blocking, Rules, Session, SessionId, explain};
use crate::procedures::words::{count, how, machine};
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Expect, Inputs, Pace, Plan, Ran, Refusal, Selection, Step, StepKind, StepState, step_id};
use chrono::Duration;

/// One first; a server that ends sessions by the dozen has enough to do.
const PACE: Pace = Pace { canary: 1, per_second: 10, stop_percent: 20, patience_seconds: 10 };
/// How long it is watched whether it lasts, in minutes.
const WATCH_MINUTES: i64 = 10;
/// What waited is given so long to go on before it counts as still waiting, in seconds.
const GOING_ON_SECONDS: i64 = 5;

pub(super) fn plan(inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
    let activity = activity(answers)?;
    let rules = Rules::with_pool_max(env.offers.pool_max);
    let found = chosen(activity, &rules, inputs);
    if !found.targets.is_empty() {
        return Ok(ending(&found, inputs, activity, &rules, answers));
    }
    let Some(acted) = inputs.acted else { return Err(nothing(&found, inputs, activity, &rules)) };
    let waiting = Blocking::of(activity).waiting();
    let asked = inputs.attested.contains_key(SETTING);
    if waiting > 0 && !asked && (now - acted).num_seconds() < GOING_ON_SECONDS {
        return Err(Refusal::Because(format!("{} for a lock still.", waits(waiting))));
    }
    let stands = stands(activity);
    match inputs.attested.get(SETTING).map(String::as_str) {
        None => {
            let question = format!("{stands} Was a setting changed, so that it stays so? c copies what would help; nothing here sets it.");
            Err(Refusal::Decide(decision(question, advice(activity, &rules, inputs))))
        }
        Some(setting) if setting != NO_SETTING && !is_restarted(inputs) => Ok(restart(setting, &stands, inputs, env)),
        Some(setting) => watch(setting, acted, &stands, inputs, activity, &rules, now),
    }
}

/// End them: the one that most wait for first.
fn ending(found: &Chosen, inputs: &Inputs, activity: &Activity, rules: &Rules, answers: &Answers) -> Plan {
    let targets = &found.targets;
    let mut steps =
        vec![check("read", format!("{} read", count(activity.sessions.len(), "session"))), check("classify", classified(activity, rules))];
    steps.extend(targets.iter().map(act));
    steps.push(Step::new("effects", StepKind::Verify, "effects", "Each of them is gone, or has moved on by itself"));
    let expect = Some(Expect::Freed { sessions: waiting_for(targets, activity) });
    steps.push(Step { expect, ..Step::new("waiters", StepKind::Verify, "waiters", "Nobody waits for them any more") });
    steps.push(Step::new("advice", StepKind::Note, "advice", "Settings to copy, so that it does not come back"));
    steps.push(Step::new("watch", StepKind::Note, "watch", "Ten minutes, since what leaks leaks again"));
    let told = |s: &Session| told(s, answers);
    let mut plan = Plan {
        summary: words::summary(targets),
        subject: None,
        who: count(targets.len(), "session"),
        blast: words::blast(targets, activity),
        diff: Vec::new(),
        notes: words::notes(found, inputs, activity, rules),
        evidence: words::evidence(targets, activity, told),
        afterwards: None,
        machine: words::exactly(steps.iter().filter_map(|s| s.command.as_ref()), targets.len()),
        steps,
        typed: None,
        pace: Some(PACE),
    };
    plan.typed = plan.text_to_type();
    plan
}

/// Those who wait for them, or behind one who does.
fn waiting_for(targets: &[Target], activity: &Activity) -> Vec<SessionId> {
    let pids: Vec<i32> = targets.iter().map(|t| t.session.pid).collect();
    Blocking::of(activity).freed_by(&pids).into_iter().filter_map(|pid| activity.get(pid)?.id()).collect()
}

fn act(target: &Target) -> Step {
    let Target { session, shown, reach } = target;
    let command = Command::EndSession {
        session: shown.session,
        who: words::who(session),
        states: vec![shown.state],
        since: Some(shown.since),
        at_least_ms: shown.at_least_ms,
        reach: *reach,
    };
    let name = format!("{}:{}", shown.session.pid, shown.session.began_us);
    let say = format!("process {} of {}: {}", session.pid, session.name(), how(&command));
    let expect = Some(Expect::Released { session: shown.session, since: shown.since });
    Step { command: Some(command), expect, ..Step::new(&step_id("end", &name), StepKind::Act, "end", say) }
}

/// Nothing to end, and nothing was done: because all is well, or because nothing that hurts can be ended from here.
fn nothing(found: &Chosen, inputs: &Inputs, activity: &Activity, rules: &Rules) -> Refusal {
    let explained = explain(activity, rules);
    let left = words::left(found, inputs);
    let (asked, by_operator) = match inputs.selection {
        Some(Selection::Sessions { chosen, .. }) => (true, chosen),
        _ => (false, false),
    };
    if by_operator && !found.moved.is_empty() {
        return Refusal::Because(format!("Nothing was ended. {} {}", left.join(" "), stands(activity)));
    }
    if asked && found.spared.is_empty() {
        return Refusal::AlreadyRight(format!("Nothing is left to end. {} {}", left.join(" "), stands(activity)));
    }
    if !found.spared.is_empty() {
        return Refusal::Because(format!("{} {}", explained.sentence, left.join(" ")));
    }
    if explained.word == Word::Ok {
        return Refusal::AlreadyRight(format!("No session leaks. {}", explained.sentence));
    }
    let caveats = activity.caveats().into_iter().map(|c| format!(" {c}")).collect::<String>();
    let offer = "No session leaks, so none is recommended; those marked in the pool's pane can be ended.";
    Refusal::Because(format!("{} {offer}{caveats}", explained.sentence))
}

/// A setting was changed: connections that exist have the old one.
fn restart(setting: &str, stands: &str, inputs: &Inputs, env: &Environment) -> Plan {
    let mut steps = vec![check("ended", ended(inputs)), check("advice", changed(setting).into())];
    let (mut lines, mut typed) = (Vec::new(), None);
    let (summary, blast) = if inputs.ran == Ran::Unknown {
        let say = "Nobody knows whether it restarted: look, restart it by hand if it did not, then say what you saw";
        steps.push(Step::new(RESTARTED, StepKind::Manual, RESTARTED, say));
        ("Look whether the application restarted: its command did not say so", "by hand; the command is not run twice")
    } else if env.offers.restart_app {
        let command = Command::RunHook { hook: "restart_app".into() };
        lines = machine(&command);
        steps.push(Step { command: Some(command.clone()), ..Step::new(RESTART, StepKind::Act, RESTART, how(&command)) });
        typed = Some(RESTART.to_string());
        (
            "Restart the application, so that its connections have the new setting",
            "everybody who uses it, for as long as it takes to start · no money",
        )
    } else {
        let say = "Restart the application, then say how: no command is configured for it ([hooks] restart_app)";
        steps.push(Step::new(RESTART, StepKind::Manual, RESTART, say));
        ("Restart the application by hand, so that its connections have the new setting", "by hand; nothing is sent from here")
    };
    steps.push(Step::new("well", StepKind::Verify, "well again", "Nobody waits for a lock, and nothing leaks"));
    steps.push(Step::new("watch", StepKind::Note, "watch", "Ten minutes"));
    Plan {
        summary: summary.into(),
        subject: None,
        who: "the application".into(),
        blast: blast.into(),
        diff: Vec::new(),
        notes: vec![changed(setting).into(), stands.to_string()],
        evidence: vec![stands.to_string()],
        afterwards: None,
        machine: lines,
        steps,
        typed,
        pace: None,
    }
}

/// Ten minutes from what was done last: then it is proven.
fn watch(setting: &str, acted: At, stands: &str, inputs: &Inputs, activity: &Activity, rules: &Rules, now: At) -> Result<Plan, Refusal> {
    let explained = explain(activity, rules);
    let until = acted + Duration::minutes(WATCH_MINUTES);
    if now >= until {
        let after = if explained.word == Word::Ok { String::new() } else { format!(" {}", explained.sentence) };
        return Err(Refusal::AlreadyRight(format!("{}, and it was watched for {WATCH_MINUTES} minutes. {stands}{after}", ended(inputs))));
    }
    let left = (until - now).num_seconds();
    let left = if left < 90 { format!("{left} s") } else { format!("{} min", (left + 30) / 60) };
    // Where sessions were chosen one by one, nobody else is added.
    let by_operator = matches!(inputs.selection, Some(Selection::Sessions { chosen: true, .. }));
    let anew = if by_operator { "" } else { ": what leaks anew is offered here" };
    let say = format!("Watched until {}, {left} more{anew}.", until.format("%H:%M:%SZ"));
    let mut evidence = vec![explained.sentence];
    evidence.extend(advice(activity, rules, inputs).into_iter().map(|a| format!("to copy: {}  -- {}", a.copy, a.say)));
    let restarted = if setting == NO_SETTING { StepState::Skipped("no setting was changed".into()) } else { StepState::Passed };
    Ok(Plan {
        summary: format!("{}. {stands}", ended(inputs)),
        subject: None,
        who: "the pool".into(),
        blast: String::new(),
        diff: Vec::new(),
        notes: Vec::new(),
        evidence,
        afterwards: None,
        machine: Vec::new(),
        steps: vec![
            check("ended", ended(inputs)),
            Step::new("waiters", StepKind::Verify, "waiters", stands).in_state(StepState::Passed),
            check("advice", changed(setting).into()),
            Step::new(RESTART, StepKind::Check, RESTART, "The application was restarted, so that its connections have the new setting")
                .in_state(restarted),
            Step::new("watch", StepKind::Wait, "watch", say).in_state(StepState::Running),
        ],
        typed: None,
        pace: None,
    })
}

fn is_restarted(inputs: &Inputs) -> bool {
    inputs.attested.contains_key(RESTART) || inputs.attested.contains_key(RESTARTED) || inputs.ran == Ran::Done
}

fn check(id: &str, say: String) -> Step {
    Step::new(id, StepKind::Check, id, say).in_state(StepState::Passed)
}

/// What was done so far. What went or moved on by itself was not ended by this run, and neither is what has its signal and is still there.
fn ended(inputs: &Inputs) -> String {
    match inputs.ended {
        0 => "No session was ended".into(),
        n => format!("{} let go", count(n, "session")),
    }
}

fn changed(setting: &str) -> &'static str {
    match setting {
        NO_SETTING => "No setting was changed.",
        "timeout" => "idle_in_transaction_session_timeout was set.",
        "limit" => "The role's connection limit was set.",
        _ => "The settings of the application's pools were changed.",
    }
}

/// How the pool stands: `Nobody waits for a lock: 12 of 97 connections are taken.`
fn stands(activity: &Activity) -> String {
    let room = &activity.room;
    let waiting = match Blocking::of(activity).waiting() {
        0 => "Nobody waits for a lock".to_string(),
        n => format!("{} for a lock", waits(n)),
    };
    format!("{waiting}: {} of {} connections are taken.", room.used, room.usable())
}

fn waits(n: usize) -> String {
    if n == 1 { "1 session waits".into() } else { format!("{n} sessions wait") }
}

fn classified(activity: &Activity, rules: &Rules) -> String {
    let leaking = explain(activity, rules).leaking.len();
    let waiting = Blocking::of(activity).waiting();
    format!("{leaking} leak, {waiting} wait for a lock")
}

/// What the session ran last, literals hidden.
fn told(session: &Session, answers: &Answers) -> Option<String> {
    let id = session.id()?;
    answers.all().find_map(|(query, known)| match (query, known) {
        (Query::SessionTexts(_), Known::Is { value: Reply::SessionTexts(texts), .. }) => {
            texts.iter().find(|(of, _)| *of == id).map(|(_, text)| text.clone())
        }
        _ => None,
    })
}
