//! `nightdesk run …`: a procedure's review as text, its confirmation by argument or at the prompt, its proof.

use super::args::{How, TierUpdate};
use super::case::{Found, locate, not_found};
use super::drive::{drive, now};
use super::hands::Hands;
use super::shown::{ShownDecision, ShownPlan, ShownProgress, word};
use super::{End, print_json};
use crate::domain::fault::Source;
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::policy::Tier;
use crate::domain::shape::Trust;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::answers::assemble;
use crate::protocol::query::Query;
use crate::protocol::run::{Inputs, Plan, StepState, short};
use serde::Serialize;
use std::io::IsTerminal;
use std::ops::ControlFlow;
use uuid::Uuid;

/// What `--json` prints at the end.
#[derive(Serialize)]
struct Outcome<'a> {
    run: Uuid,
    /// `planned`, `done`, `halted`, `unknown`, `waiting`, `paused`, `undecided`, `abandoned`.
    state: &'a str,
    says: &'a str,
    /// How it came to that: not done, or the world changed since the review.
    note: Option<&'a str>,
    plan: Option<ShownPlan<'a>>,
    decision: Option<ShownDecision<'a>>,
    /// How far a plan of many acts came.
    progress: Option<ShownProgress>,
}

/// Procedure 1.
///
/// # Errors
/// Bad input: nobody is named, or more than one could be meant.
pub async fn tier_update(hands: &Hands, args: &TierUpdate) -> Result<End, String> {
    let handle = match locate(hands, &args.customer).await? {
        Found::Exactly(handle) => handle,
        Found::Several(hits) => {
            let names: Vec<String> = hits.into_iter().take(5).map(|h| h.subject.map_or(h.customer.unwrap_or_default(), |s| s.0)).collect();
            return Err(format!("`{}` could be {}; name one of them", args.customer, names.join(", ")));
        }
        Found::Nobody => return Err(not_found(&args.customer)),
    };
    let subscription = match &args.subscription {
        Some(text) => {
            Some(StripeId::of(StripeKind::Subscription, text).ok_or_else(|| format!("`{text}` is not a subscription's id (sub_…)"))?)
        }
        None => None,
    };
    let inputs = Inputs { subject: args.subject.clone().map(SubjectKey), subscription, tier: args.tier.clone(), ..Inputs::of(handle) };
    let (mut run, effects) = Run::draft(Uuid::now_v7(), "tier-update", inputs);
    drive(&mut run, effects, hands, &hands.env).await;
    if let Some(why) = unable(&run, &args.customer) {
        if args.how.json {
            report(&run, &args.how);
        }
        return Err(why);
    }
    confirm_and_finish(hands, run, &args.how).await
}

/// Why a draft could not even be judged: a source gave no answer, or nobody has what was asked for. That is no verdict.
fn unable(run: &Run, given: &str) -> Option<String> {
    let Phase::Halted(says) = &run.phase else { return None };
    if run.answers.faults().any(|f| f.source != Source::Application && f.say == *says) {
        return Some(says.clone());
    }
    let case = assemble(run.inputs.handle.as_ref()?, run.inputs.subject.as_ref(), &run.answers);
    let trusted = case.shape.value().is_some_and(|s| s.trust == Trust::Full);
    match (case.record(), &run.inputs.subject) {
        (None, Some(_)) if trusted => Some(says.clone()),
        (None, None) if trusted && case.customers.is_empty() => Some(not_found(given)),
        _ => None,
    }
}

/// Why a draft could not be judged: a source that its plan rests on gave no answer. That is no verdict.
pub fn unanswered(run: &Run) -> Option<String> {
    let Phase::Halted(says) = &run.phase else { return None };
    let rests_on = |source| !matches!(source, Source::Application | Source::Log);
    run.answers.faults().find(|f| rests_on(f.source) && f.say == *says).map(|f| f.say.clone())
}

/// From the review on: the same for a new run and for one that is taken up again.
///
/// # Errors
/// It cannot be confirmed here: nobody can be asked and no argument confirms it, or its tier is not for a command line.
pub async fn confirm_and_finish(hands: &Hands, run: Run, how: &How) -> Result<End, String> {
    match carry_out(hands, run, how).await? {
        ControlFlow::Break(end) => Ok(end),
        ControlFlow::Continue(mut run) => {
            if run.phase == Phase::Review {
                // What remains was changed by somebody meanwhile, and nobody is left here to confirm again: the run ends with the command.
                let effects = run.stop_here(now());
                drive(&mut run, effects, hands, &hands.env).await;
            }
            Ok(report(&run, how))
        }
    }
}

/// The same without the report: how it ended where nothing was to be sent, else the run as it then stands.
///
/// # Errors
/// As there.
pub async fn carry_out(hands: &Hands, mut run: Run, how: &How) -> Result<ControlFlow<End, Box<Run>>, String> {
    if run.phase != Phase::Review {
        return Ok(ControlFlow::Continue(Box::new(run)));
    }
    let plan = run.plan.clone().ok_or("the review has no plan")?;
    if !how.json {
        print_plan(&plan, how);
    }
    if how.dry_run {
        if how.json {
            let (says, note) = (plan.summary.as_str(), run.note.as_deref());
            print_json(&Outcome {
                run: run.id,
                state: "planned",
                says,
                note,
                plan: Some(ShownPlan::of(&plan)),
                decision: None,
                progress: None,
            });
        } else {
            println!("\n{}", left_alone(&run));
        }
        return Ok(ControlFlow::Break(End::Well));
    }
    let consented = match consent(plan.tier(), plan.typed.as_deref(), how, asked) {
        // It was looked at, and what was given does not confirm it.
        Err(why) if how.yes || how.confirm.is_some() => return Ok(ControlFlow::Break(End::Refused(why))),
        given => given?,
    };
    let Some(typed) = consented else {
        let effects = run.abandon();
        drive(&mut run, effects, hands, &hands.env).await;
        println!("nothing was sent");
        return Ok(ControlFlow::Break(End::Badly));
    };
    hands.turn_on(how.reason.as_deref().unwrap_or_default()).await?;
    let effects = run.confirm(&typed, now())?;
    drive(&mut run, effects, hands, &hands.env).await;
    if run.phase == Phase::Review {
        // Nothing was done, and nobody is left here to confirm again: the run ends with the command.
        let effects = run.abandon();
        drive(&mut run, effects, hands, &hands.env).await;
    }
    Ok(ControlFlow::Continue(Box::new(run)))
}

/// What a dry run left as it was: a probe, where the plan rests on one, was sent for the review.
pub fn left_alone(run: &Run) -> &'static str {
    if run.answers.get(&Query::Probe).is_some() {
        "dry run: nothing was changed; the probe that the plan rests on was sent, and stands in the journal"
    } else {
        "dry run: nothing was sent, nothing was journaled"
    }
}

/// How the run stands, as text or JSON.
pub fn report(run: &Run, how: &How) -> End {
    let paused = run.progress().and_then(|p| p.paused).map(|why| why.unwrap_or_else(|| "nothing more begins".into()));
    let (state, says) = match &run.phase {
        Phase::Running if run.is_paused() => ("paused", paused.as_deref().unwrap_or_default()),
        Phase::Done(says) => ("done", says.as_str()),
        Phase::Halted(says) => ("halted", says.as_str()),
        Phase::Unknown(says) => ("unknown", says.as_str()),
        Phase::Waiting(says) => ("waiting", says.as_str()),
        Phase::Deciding(decision) => ("undecided", decision.question.as_str()),
        Phase::Gathering | Phase::Review | Phase::Running | Phase::Verifying => ("waiting", "a source did not answer in time"),
    };
    let decision = if let Phase::Deciding(d) = &run.phase { Some(d) } else { None };
    if how.json {
        let (plan, decision) = (run.plan.as_ref().map(ShownPlan::of), decision.map(ShownDecision::of));
        print_json(&Outcome {
            run: run.id,
            state,
            says,
            note: run.note.as_deref(),
            plan,
            decision,
            progress: run.progress().map(ShownProgress::of),
        });
    } else {
        if let Some(plan) = run.plan.as_ref().filter(|_| state == "done") {
            // Of many acts the sum tells more than the list.
            for step in plan.steps.iter().filter(|s| plan.pace.is_none() || s.command.is_none()) {
                // Of what was left out the reason is told, and not what it would have been.
                let say = if let StepState::Skipped(why) = &step.state { why } else { &step.say };
                println!("  {:<8} {:<14} {say}", word(&step.state), step.title);
            }
        }
        if let Some(note) = &run.note {
            println!("{note}");
        }
        println!("{state}: {says}");
        if let Some(d) = decision {
            for option in &d.options {
                println!("  --{} {}   {} ({})", d.id, option.value, option.say, option.evidence);
            }
        }
        if matches!(state, "unknown" | "waiting" | "paused") && !run.tries.is_empty() {
            println!("go on with: nightdesk runs resume {}", short(run.id));
        }
    }
    if state == "done" { End::Well } else { End::Badly }
}

/// The review as the screen has it. Of one act a dry run shows the exact statements too; of many, only where they are asked for.
pub fn print_plan(plan: &Plan, how: &How) {
    let exactly = how.explain || (how.dry_run && plan.pace.is_none());
    println!("{}\n", plan.summary);
    let width = plan.diff.iter().map(|c| c.from.to_string().chars().count()).max().unwrap_or(0);
    for change in &plan.diff {
        println!("  {:<16} {:<width$}  →  {}", change.field.label(), change.from.to_string(), change.to);
    }
    println!("\n  {}", plan.blast);
    let evidence = plan.evidence.iter().filter(|_| exactly || plan.pace.is_none() || plan.first_acts().count() == 1);
    for note in plan.notes.iter().chain(evidence) {
        println!("  · {note}");
    }
    for line in plan.machine.iter().filter(|_| exactly) {
        println!("  $ {line}");
    }
    if let Some(text) = plan.typed.as_ref().filter(|_| how.dry_run) {
        println!("\n  confirm with: --confirm \"{text}\"");
    }
}

/// The text that confirms, as it was given or typed; empty where none is asked for. `None`: declined.
fn consent(
    tier: Tier,
    text: Option<&str>,
    how: &How,
    ask: impl FnOnce(&str) -> Result<Option<String>, String>,
) -> Result<Option<String>, String> {
    let nobody = |with: &str| format!("nobody can be asked here: confirm with {with}, or look first with --dry-run");
    // Beside JSON no question would be seen.
    let ask = |question: &str, with: &str| if how.json { Err(nobody(with)) } else { ask(question)?.ok_or_else(|| nobody(with)) };
    if tier >= Tier::T3 {
        return Err("what cannot be undone is not done from a command line: use the console".into());
    }
    let Some(text) = text else {
        return match (&how.confirm, how.yes) {
            _ if tier > Tier::T1 => Err("this plan is too dangerous for --yes and names no text to confirm it by: use the console".into()),
            (Some(_), _) => Err("this plan asks for no text: confirm it with --yes".into()),
            (None, true) => Ok(Some(String::new())),
            (None, false) => Ok((ask("Do this? Type y and Enter: ", "--yes")? == "y").then(String::new)),
        };
    };
    let argument = format!("--confirm \"{text}\"");
    match (&how.confirm, how.yes) {
        (Some(given), _) if given == text => Ok(Some(given.clone())),
        (Some(given), _) => Err(format!("`{given}` does not confirm this plan: it asks for {argument}")),
        (None, true) => Err(format!("--yes does not confirm this plan: it asks for {argument}")),
        (None, false) => Ok(Some(ask(&format!("Do this? Type {text} and Enter: "), &argument)?).filter(|typed| typed == text)),
    }
}

/// Asks at the prompt. `None`: without a terminal nobody can be asked.
fn asked(question: &str) -> Result<Option<String>, String> {
    if !std::io::stdin().is_terminal() {
        return Ok(None);
    }
    print!("\n{question}");
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|e| e.to_string())?;
    Ok(Some(line.trim().to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn how(yes: bool, confirm: Option<&str>, json: bool) -> How {
        How { dry_run: false, explain: false, yes, confirm: confirm.map(String::from), reason: Some("a test".into()), json }
    }

    fn nobody(_: &str) -> Result<Option<String>, String> {
        Ok(None)
    }

    #[test]
    fn a_dangerous_plan_is_confirmed_by_its_text_alone() {
        let given = |confirm| consent(Tier::T2, Some("EUR 49.00"), &how(false, confirm, true), nobody);
        assert_eq!(given(Some("EUR 49.00")), Ok(Some("EUR 49.00".into())));
        for (confirm, yes) in [(None, false), (None, true), (Some("EUR 4.90"), false), (Some(""), false)] {
            let refused = consent(Tier::T2, Some("EUR 49.00"), &how(yes, confirm, false), nobody).expect_err("not confirmed");
            assert!(refused.contains("--confirm \"EUR 49.00\""), "{refused}");
        }
        let typed = |text: &'static str| consent(Tier::T2, Some("EUR 49.00"), &how(false, None, false), move |_| Ok(Some(text.into())));
        assert_eq!((typed("EUR 49.00"), typed("y")), (Ok(Some("EUR 49.00".into())), Ok(None)));
        assert!(consent(Tier::T2, None, &how(true, None, false), nobody).is_err(), "--yes is for what one key confirms");
        for confirm in [None, Some("DELETE")] {
            assert!(consent(Tier::T3, Some("DELETE"), &how(confirm.is_none(), confirm, false), nobody).is_err());
        }
    }

    #[test]
    fn an_ordinary_plan_is_confirmed_by_a_word_or_a_key() {
        let ordinary = |how: &How, typed: Option<&str>| consent(Tier::T1, None, how, |_| Ok(typed.map(String::from)));
        assert_eq!(ordinary(&how(true, None, true), None), Ok(Some(String::new())));
        assert_eq!(ordinary(&how(false, None, false), Some("y")), Ok(Some(String::new())));
        assert_eq!(ordinary(&how(false, None, false), Some("yes")), Ok(None));
        assert!(ordinary(&how(false, None, false), None).is_err_and(|e| e.contains("--yes")));
        assert!(ordinary(&how(false, None, true), Some("y")).is_err(), "nothing asks in the middle of JSON");
        assert!(ordinary(&how(false, Some("x"), false), None).is_err_and(|e| e.contains("asks for no text")));
    }
}
