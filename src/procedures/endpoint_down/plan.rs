//! The plan: bring the endpoint back where it is not well, then the backfill. Planned again after each, so that only what remains is asked for.

use super::look::{Blocked, Look, probe_is_decided, probe_was_wanted};
use super::{LEAVE, PROBE, SEND, backfill};
use crate::domain::At;
use crate::domain::text::sentence;
use crate::procedures::engine::START_SECONDS;
use crate::procedures::failed_webhook::{Found, found, plan_of};
use crate::procedures::words::{count, how, machine};
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::Environment;
use crate::protocol::run::{Choice, Decision, Inputs, Plan, Ran, Refusal, Step, StepKind, StepState};
use chrono::Duration;

/// The hook that restarts the application, and what is typed to run it.
const RESTART: &str = "restart_app";
const TYPED: &str = "restart";
/// What the operator says of a restart of which nobody else knows.
const RESTARTED: &str = "restarted";
/// So many lines of the log stand among the evidence.
const LINES: usize = 8;

pub fn plan(inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
    if !probe_is_decided(inputs) {
        return Err(Refusal::Decide(may_probe(env)));
    }
    let look = Look::of(answers, env);
    if let (true, None | Some(Err(_))) = (probe_was_wanted(inputs), &look.probe) {
        let why = look.probe.as_ref().and_then(|p| p.as_ref().err()).map_or("not answered yet", |f| f.say.as_str());
        return Err(Refusal::Decide(without_probe(why)));
    }
    let missing = found(&backfill(inputs), answers, env, now);
    match look.blocked(inputs, missing.as_ref().ok()) {
        Some(blocked) => Ok(bring_back(&blocked, inputs, &look, missing.as_ref(), env, now)),
        None => back_fill(&missing?, inputs, &look, env),
    }
}

fn option(value: &str, say: &str, evidence: String) -> Choice {
    Choice { value: value.into(), say: say.into(), evidence }
}

/// The log and the rows tell a part of it, too.
fn without_probe(why: &str) -> Decision {
    Decision {
        id: PROBE.into(),
        question: format!("{} Go on without the probe?", sentence(&format!("The endpoint could not be probed: {why}"))),
        options: vec![option(LEAVE, "Go on without it", "the log and the rows have to do".into())],
    }
}

/// The probe posts forged events to the endpoint: on LIVE it is asked about once.
fn may_probe(env: &Environment) -> Decision {
    let signed = if env.offers.signed_probe { ", and one of an unknown type with a right signature" } else { "" };
    Decision {
        id: PROBE.into(),
        question: "May the endpoint be probed? It changes nothing there.".into(),
        options: vec![
            option(SEND, "Probe it", format!("asks /health and /ready, posts an unsigned and a forged event{signed}")),
            option(LEAVE, "Leave it alone", "the log and the rows have to do".into()),
        ],
    }
}

/// Something has to be done before an event can have an effect.
fn bring_back(blocked: &Blocked, inputs: &Inputs, look: &Look, missing: Result<&Found, &Refusal>, env: &Environment, now: At) -> Plan {
    let mut steps = vec![probed(look, false), logs(look)];
    let (mut notes, mut lines, mut typed) = (Vec::new(), Vec::new(), None);
    let (summary, blast) = match blocked {
        Blocked::Restart(wrong) if failed_to_restart(inputs, now) => {
            let say = "Nobody knows whether it restarted: look, restart it by hand if it did not, then say what you saw";
            steps.push(Step::new(RESTARTED, StepKind::Manual, TYPED, say));
            (
                format!("Look whether the application restarted: its command did not say so. {wrong}"),
                "by hand; the command is not run twice".into(),
            )
        }
        Blocked::Restart(wrong) if env.offers.restart_app => {
            let command = Command::RunHook { hook: RESTART.into() };
            lines = machine(&command);
            steps.push(Step { command: Some(command.clone()), ..Step::new("restart", StepKind::Act, "restart", how(&command)) });
            typed = Some(TYPED.to_string());
            (format!("Restart the application: {wrong}"), "everybody who uses it, for as long as it takes to start · no money".to_string())
        }
        Blocked::Restart(wrong) => {
            let say = "Restart the application with your own tools (systemctl, docker, …): [hooks] restart_app is not set";
            steps.push(Step::new("restart", StepKind::Manual, "restart", say));
            (format!("Restart the application by hand: {wrong}"), "by hand".into())
        }
        Blocked::Mend { wrong, helps } => {
            notes.push(sentence(helps));
            steps.push(Step::new("mend", StepKind::Manual, "mend", sentence(helps)));
            (sentence(wrong), "by hand; nothing is sent from here".into())
        }
    };
    let said = inputs.attested.iter().filter(|(step, _)| *step != PROBE);
    notes.extend(said.map(|(step, words)| sentence(&format!("You said ({step}): {words}"))));
    notes.push(waiting(missing));
    steps.push(Step::new("probe-again", StepKind::Verify, "probe", "The endpoint answers, and refuses what Stripe did not sign"));
    steps.push(Step::new(
        "effects",
        StepKind::Verify,
        "backfill",
        "Every effect that is missing since is brought about, in a review of its own",
    ));
    Plan {
        summary,
        subject: None,
        who: "webhook endpoint".into(),
        blast,
        diff: Vec::new(),
        notes,
        evidence: evidence(look),
        afterwards: None,
        machine: lines,
        steps,
        typed,
        pace: None,
    }
}

/// The command was run, nobody knows how far it came, and it has had its time: what it did is for somebody to look at.
fn failed_to_restart(inputs: &Inputs, now: At) -> bool {
    let has_had_its_time = inputs.acted.is_none_or(|acted| now - acted >= Duration::seconds(START_SECONDS));
    inputs.ran == Ran::Unknown && (has_had_its_time || inputs.attested.contains_key(RESTARTED))
}

/// The endpoint is well, or as well as can be told: what is missing is brought about.
fn back_fill(missing: &Found, inputs: &Inputs, look: &Look, env: &Environment) -> Result<Plan, Refusal> {
    let well =
        look.worst().map_or_else(|| "The endpoint was not probed.".to_string(), |f| format!("The endpoint was probed. {}", f.sentence));
    let mut plan = plan_of(missing, env).map_err(|refusal| match refusal {
        Refusal::AlreadyRight(say) => Refusal::AlreadyRight(format!("{well} {say} No row of these customers differs from Stripe.")),
        other => other,
    })?;
    let mut steps = vec![probed(look, true), logs(look)];
    let done = |step: &str| {
        inputs.attested.get(step).map(|said| Step::new(step, StepKind::Check, step, sentence(said)).in_state(StepState::Passed))
    };
    steps.extend(done("mend"));
    steps.push(done("restart").or_else(|| done(RESTARTED)).unwrap_or_else(|| {
        let why = if look.worst().is_some() { "the endpoint answers" } else { "nothing says that it is down" };
        Step::new("restart", StepKind::Check, "restart", "Not needed").in_state(StepState::Skipped(why.into()))
    }));
    // What a replay checks first was looked at here.
    steps.extend(plan.steps.into_iter().filter(|s| s.kind != StepKind::Check));
    steps.push(Step::new("drift", StepKind::Verify, "drift", "No row of these customers differs from Stripe"));
    plan.steps = steps;
    plan.notes.insert(0, well);
    let mut all = evidence(look);
    all.append(&mut plan.evidence);
    plan.evidence = all;
    Ok(plan)
}

fn probed(look: &Look, well: bool) -> Step {
    let say = look.worst().map_or_else(|| "Left out".to_string(), |f| sentence(&f.sentence));
    let state = match (look.worst(), well) {
        (None, _) => StepState::Skipped("left out by the operator".into()),
        (Some(_), true) => StepState::Passed,
        (Some(_), false) if look.probe.as_ref().is_some_and(|p| p.as_ref().is_ok_and(|(_, a)| a.healthy())) => StepState::Passed,
        (Some(f), false) => StepState::Failed(f.sentence.clone()),
    };
    Step::new("probe", StepKind::Check, "probe", say).in_state(state)
}

fn logs(look: &Look) -> Step {
    let (say, state) = if look.lines.is_empty() {
        ("Nothing about webhooks, or no log is set up".to_string(), StepState::Skipped("no line about webhooks was read".into()))
    } else {
        (format!("{} about webhooks", count(look.lines.len(), "line")), StepState::Passed)
    };
    Step::new("logs", StepKind::Check, "logs", say).in_state(state)
}

/// What comes after, as far as it is known now.
fn waiting(missing: Result<&Found, &Refusal>) -> String {
    match missing {
        Ok(found) if found.lost.is_empty() => "No effect is missing so far.".into(),
        Ok(found) => format!(
            "{} without effect so far; the backfill is reviewed when the endpoint is back.",
            count(found.lost.len(), "subscription")
        ),
        Err(Refusal::Because(why) | Refusal::AlreadyRight(why)) => format!("What is missing cannot be told yet: {why}"),
        Err(Refusal::Decide(decision)) => decision.question.clone(),
    }
}

fn evidence(look: &Look) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(Ok((probed, assessment))) = &look.probe {
        lines.push(format!("probe: {}", probed.url));
        let told = |l: &crate::domain::webhooks::probe::ShotLine| {
            format!("probe: {}: {} {}", l.shot.word(), l.came, l.says).trim_end().to_string()
        };
        lines.extend(assessment.lines.iter().map(told));
        lines.extend(assessment.found.iter().map(|f| {
            let helps = f.helps.as_deref().map(|h| format!(" {}", sentence(h))).unwrap_or_default();
            format!("probe: {}{helps}", sentence(&f.sentence))
        }));
    }
    lines.extend(look.lines.iter().take(LINES).map(|l| {
        let at = l.at.map(|at| at.format("%H:%M:%SZ ").to_string()).unwrap_or_default();
        format!("log: {at}{} ({})", l.text, l.source)
    }));
    lines
}
