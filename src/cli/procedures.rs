//! `nightdesk run …`: a procedure's review as text, its confirmation by argument or at the prompt, its proof.

use super::args::{How, TierUpdate};
use super::case::{Found, locate, not_found};
use super::drive::{drive, now};
use super::hands::Hands;
use super::{End, print_json};
use crate::domain::fault::Source;
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::policy::Tier;
use crate::domain::shape::Trust;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::answers::assemble;
use crate::protocol::run::{Decision, Inputs, Plan, StepState, short};
use serde::Serialize;
use std::io::{IsTerminal, Write};
use uuid::Uuid;

/// What `--json` prints at the end.
#[derive(Serialize)]
struct Outcome<'a> {
    run: Uuid,
    /// `planned`, `done`, `halted`, `unknown`, `waiting`, `undecided`, `abandoned`.
    state: &'a str,
    says: &'a str,
    plan: Option<&'a Plan>,
    decision: Option<&'a Decision>,
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
    let case = assemble(&run.inputs.handle, run.inputs.subject.as_ref(), &run.answers);
    let trusted = case.shape.value().is_some_and(|s| s.trust == Trust::Full);
    match (case.record(), &run.inputs.subject) {
        (None, Some(_)) if trusted => Some(says.clone()),
        (None, None) if trusted && case.customers.is_empty() => Some(not_found(given)),
        _ => None,
    }
}

/// From the review on: the same for a new run and for one that is taken up again.
///
/// # Errors
/// It cannot be confirmed here: no terminal and no `--yes`, or a tier that wants its text typed on a screen.
pub async fn confirm_and_finish(hands: &Hands, mut run: Run, how: &How) -> Result<End, String> {
    if run.phase != Phase::Review {
        return Ok(report(&run, how));
    }
    let plan = run.plan.clone().ok_or("the review has no plan")?;
    if !how.json {
        print_plan(&plan, how.dry_run);
    }
    if how.dry_run {
        if how.json {
            print_json(&Outcome { run: run.id, state: "planned", says: &plan.summary, plan: Some(&plan), decision: None });
        } else {
            println!("\ndry run: nothing was sent, nothing was journaled");
        }
        return Ok(End::Well);
    }
    if plan.tier() > Tier::T1 {
        return Err("this plan asks for a typed text, which only the console takes".into());
    }
    if !how.yes && !asked()? {
        let effects = run.abandon();
        drive(&mut run, effects, hands, &hands.env).await;
        println!("nothing was sent");
        return Ok(End::Badly);
    }
    hands.turn_on(how.reason.as_deref().unwrap_or_default()).await?;
    let effects = run.confirm("", now())?;
    drive(&mut run, effects, hands, &hands.env).await;
    if run.phase == Phase::Review {
        let why = run.note.clone().unwrap_or_else(|| "the world changed since the review: run it again".into());
        // Nothing happened and nobody stays to confirm it anew: an open run would only wait for the next one to finish it.
        let effects = run.abandon();
        drive(&mut run, effects, hands, &hands.env).await;
        return Err(why);
    }
    Ok(report(&run, how))
}

/// How the run stands, as text or JSON.
pub fn report(run: &Run, how: &How) -> End {
    let (state, says) = match &run.phase {
        Phase::Done(says) => ("done", says.as_str()),
        Phase::Halted(says) => ("halted", says.as_str()),
        Phase::Unknown(says) => ("unknown", says.as_str()),
        Phase::Waiting(says) => ("waiting", says.as_str()),
        Phase::Deciding(decision) => ("undecided", decision.question.as_str()),
        Phase::Gathering | Phase::Review | Phase::Running | Phase::Verifying => ("waiting", "a source did not answer in time"),
    };
    let decision = if let Phase::Deciding(d) = &run.phase { Some(d) } else { None };
    if how.json {
        print_json(&Outcome { run: run.id, state, says, plan: run.plan.as_ref(), decision });
    } else {
        if let Some(plan) = run.plan.as_ref().filter(|_| state == "done") {
            for step in &plan.steps {
                println!("  {:<8} {:<14} {}", word(&step.state), step.title, step.say);
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
        if matches!(state, "unknown" | "waiting") && !run.tries.is_empty() {
            println!("go on with: nightdesk runs resume {}", short(run.id));
        }
    }
    if state == "done" { End::Well } else { End::Badly }
}

/// The review; a dry run shows the exact statements too.
fn print_plan(plan: &Plan, machine: bool) {
    println!("{}\n", plan.summary);
    let width = plan.diff.iter().map(|c| c.from.to_string().chars().count()).max().unwrap_or(0);
    for change in &plan.diff {
        println!("  {:<16} {:<width$}  →  {}", change.field.label(), change.from.to_string(), change.to);
    }
    println!("\n  {}", plan.blast);
    for note in plan.notes.iter().chain(&plan.evidence) {
        println!("  · {note}");
    }
    for line in plan.machine.iter().filter(|_| machine) {
        println!("  $ {line}");
    }
}

fn word(state: &StepState) -> &'static str {
    match state {
        StepState::Pending => "pending",
        StepState::Running => "running",
        StepState::Passed => "passed",
        StepState::Failed(_) => "FAILED",
        StepState::Skipped(_) => "skipped",
        StepState::Unknown(_) => "unknown",
    }
}

/// Asks at the prompt. Without a terminal nobody can be asked.
fn asked() -> Result<bool, String> {
    if !std::io::stdin().is_terminal() {
        return Err("nobody can be asked here: confirm with --yes, or look first with --dry-run".into());
    }
    print!("\nDo this? Type y and Enter: ");
    std::io::stdout().flush().map_err(|e| e.to_string())?;
    let mut line = String::new();
    std::io::stdin().read_line(&mut line).map_err(|e| e.to_string())?;
    Ok(line.trim() == "y")
}
