//! `nightdesk run pool-exhausted`: the sessions that leak, or those that are named, ended without a screen; through the same plan, gate and journal.

use super::End;
use super::args::{How, PoolExhausted};
use super::drive::{drive, now};
use super::hands::Hands;
use super::procedures::{carry_out, report};
use super::runs::{self, Told, by_hand};
use crate::domain::sessions::Activity;
use crate::procedures::engine::{Phase, Run};
use crate::procedures::pool_exhausted::{NO_SETTING, shown};
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Inputs, Selection, short};
use std::ops::ControlFlow;
use std::time::Duration;
use uuid::Uuid;

/// Between two looks of the watch.
const LOOK: Duration = Duration::from_secs(1);

/// # Errors
/// Bad input, or the sessions cannot be read.
pub async fn run(hands: &Hands, args: &PoolExhausted) -> Result<End, String> {
    let inputs = if args.pid.is_empty() { Inputs::default() } else { named(hands, &args.pid).await? };
    let (mut run, effects) = Run::draft(Uuid::now_v7(), "pool-exhausted", inputs);
    drive(&mut run, effects, hands, &hands.env).await;
    if let Phase::Halted(says) = &run.phase
        && run.answers.faults().any(|f| f.say == *says)
    {
        let why = says.clone();
        if args.how.json {
            report(&run, &args.how);
        }
        return Err(why);
    }
    let Some(setting) = args.setting.as_deref().filter(|s| *s != NO_SETTING) else {
        return go_on(hands, run, &args.how, args.watch).await;
    };
    match carry_out(hands, run, &args.how).await? {
        ControlFlow::Break(end) => Ok(end),
        ControlFlow::Continue(run) => stands(hands, *run, Some(setting), &args.how).await,
    }
}

/// A run that was left unfinished, perhaps by somebody at a screen: nothing is answered for the operator, and what waits goes on waiting.
///
/// # Errors
/// It cannot be confirmed here, or there is no such setting.
pub async fn take_up(hands: &Hands, run: Run, told: Told<'_>, how: &How) -> Result<End, String> {
    let run = say(hands, run, told.setting).await?;
    let run = match by_hand(hands, run, told).await? {
        ControlFlow::Break(end) => return Ok(end),
        ControlFlow::Continue(run) => *run,
    };
    match carry_out(hands, run, how).await? {
        ControlFlow::Break(end) => Ok(end),
        ControlFlow::Continue(run) => stands(hands, *run, told.setting, how).await,
    }
}

/// How it stands once what was confirmed is done: what comes next is a step of its own, for whoever confirms that or does it.
async fn stands(hands: &Hands, run: Run, setting: Option<&str>, how: &How) -> Result<End, String> {
    let run = say(hands, run, setting).await?;
    let asks = (matches!(run.phase, Phase::Deciding(_)) && !how.json).then(|| short(run.id));
    let end = runs::stands(hands, run, how).await?;
    if let Some(run) = asks {
        println!("say which, on screen or with: nightdesk runs resume {run} --setting {NO_SETTING}");
    }
    Ok(end)
}

/// Answers what is asked about settings, where the operator has said it.
async fn say(hands: &Hands, mut run: Run, setting: Option<&str>) -> Result<Run, String> {
    if let (Phase::Deciding(decision), Some(setting)) = (&run.phase, setting) {
        let values: Vec<&str> = decision.options.iter().map(|o| o.value.as_str()).collect();
        let unknown = || format!("--setting {setting}: it is one of {}", values.join(", "));
        let index = values.iter().position(|v| *v == setting).ok_or_else(unknown)?;
        let effects = run.decide(index, &hands.env, now());
        drive(&mut run, effects, hands, &hands.env).await;
    }
    Ok(run)
}

/// From the review to the end. Settings are for people to change: none was, and so nothing is restarted.
async fn go_on(hands: &Hands, run: Run, how: &How, watch: bool) -> Result<End, String> {
    let mut run = match carry_out(hands, run, how).await? {
        ControlFlow::Break(end) => return Ok(end),
        ControlFlow::Continue(run) => *run,
    };
    loop {
        let effects = match &run.phase {
            Phase::Deciding(decision) => {
                let Some(none) = decision.options.iter().position(|o| o.value == NO_SETTING) else { break };
                if !how.json {
                    println!("To copy, so that it does not come back; nothing here sets it:");
                    for option in decision.options.iter().filter(|o| o.value != NO_SETTING) {
                        println!("  {}\n    {}", option.say, option.evidence);
                    }
                }
                run.decide(none, &hands.env, now())
            }
            Phase::Waiting(_) if run.is_watching() && watch => {
                tokio::time::sleep(LOOK).await;
                run.ticked(now())
            }
            Phase::Waiting(_) if run.is_watching() => {
                let effects = run.leave_watch(now());
                if effects.is_empty() {
                    break;
                }
                if !how.json {
                    println!(
                        "It is not watched whether that lasts: --watch would, for ten minutes, and `nightdesk pool` shows how it stands."
                    );
                }
                effects
            }
            // It leaks again: whoever confirmed the first ones has not seen these.
            Phase::Review if run.tries.iter().any(|t| t.outcome.is_some()) => run.stop_here(now()),
            _ => break,
        };
        drive(&mut run, effects, hands, &hands.env).await;
    }
    Ok(report(&run, how))
}

/// The sessions with these process ids, as they are now.
async fn named(hands: &Hands, pids: &[i32]) -> Result<Inputs, String> {
    let activity: Activity = match hands.ask(Query::Activity).await.map_err(|f| f.say)? {
        Reply::Activity(activity) => *activity,
        other => unreachable!("invariant: sessions were asked for, not {other:?}"),
    };
    let mut these = Vec::new();
    for pid in pids {
        let session = activity.get(*pid).ok_or_else(|| format!("no session has the process id {pid}: `nightdesk pool` lists them"))?;
        let hidden = || format!("session {pid} is hidden from our role: without its start a later one could be hit; grant it pg_monitor");
        these.push(shown(session, &activity).ok_or_else(hidden)?);
    }
    Ok(Inputs::about(Selection::Sessions { these, chosen: true }))
}
