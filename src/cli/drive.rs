//! Drives a run of the engine without a screen: performs its effects through the gateway, hands back the answers, until it rests.

use super::hands::Hands;
use super::print::{Why, aside, complaint};
use crate::domain::At;
use crate::domain::fault::Fault;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::Plan;
use crate::protocol::ticket::{Slot, Ticket};
use std::time::Duration;

/// Between two lines about how far it came.
const TELL: Duration = Duration::from_secs(5);
/// How often a run that waits for something is given the time.
const TICK: Duration = Duration::from_millis(250);
/// How long a run may wait for a source before the command gives up on it; the run stays open and can be resumed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Performs `effects` and all that follow from them until the run asks the operator something, ends, or waits too long.
pub async fn drive(run: &mut Run, mut effects: Vec<Effect>, hands: &Hands, env: &Environment) {
    let mut begun = tokio::time::Instant::now();
    let mut told = (0, begun);
    loop {
        while !effects.is_empty() {
            // However long a write took: what became of it is waited for anew.
            let writes = effects.iter().any(|e| matches!(e, Effect::Perform(_)));
            effects = perform(run, std::mem::take(&mut effects), hands, env).await;
            if writes {
                begun = tokio::time::Instant::now();
            }
        }
        tell(run, &mut told);
        let waits = matches!(run.phase, Phase::Gathering | Phase::Running | Phase::Verifying | Phase::Unknown(_) | Phase::Waiting(_));
        // How long it is watched is for whoever asked.
        if !waits || run.is_paused() || run.is_watching() || begun.elapsed() > PATIENCE {
            return;
        }
        tokio::time::sleep(TICK).await;
        effects = run.ticked(now());
    }
}

/// How far a run of many acts came, now and then, beside whatever is printed in the end.
fn tell(run: &Run, told: &mut (usize, tokio::time::Instant)) {
    if let Some(p) = run.progress().filter(|p| p.total > 1 && p.applied != told.0 && told.1.elapsed() > TELL) {
        let counted = run.plan.as_ref().map_or("effects applied", Plan::counted);
        aside(&format!("{} of {} {counted}, {} failed", p.applied, p.total, p.failed));
        *told = (p.applied, tokio::time::Instant::now());
    }
}

/// One round: all reads at once, everything else in order.
async fn perform(run: &mut Run, effects: Vec<Effect>, hands: &Hands, env: &Environment) -> Vec<Effect> {
    let mut more = Vec::new();
    let mut reads: Vec<(Ticket, Query)> = Vec::new();
    for effect in effects {
        match effect {
            Effect::Read { ticket, query } => reads.push((ticket, query)),
            Effect::OpenRun { run: id, procedure, detail } => {
                let result = hands.open_run(id, procedure, detail).await;
                more.extend(run.opened(&result, now()));
            }
            Effect::ResumeRun { run: id } => {
                let result = hands.resume_run(id).await;
                more.extend(run.opened(&result, now()));
            }
            Effect::Record { run: id, entry, detail } => {
                if let Err(fault) = hands.record(id, entry, detail).await {
                    complaint(Why::Refused, &fault.say);
                }
            }
            Effect::Perform(perform) => {
                let performed = hands.perform(*perform).await;
                more.extend(run.performed(&performed, now()));
            }
            // The rest of the effects are a screen's.
            _ => {}
        }
    }
    for say in hands.notes(run.id) {
        run.noted(&say);
    }
    let answers = futures_util::future::join_all(reads.iter().map(|(ticket, query)| ask(hands, *ticket, query))).await;
    run.hear_clock(hands.clock_ahead());
    for ((ticket, query), result) in reads.iter().zip(answers) {
        more.extend(run.replied(*ticket, query, &result, env, now()));
    }
    more
}

/// What a run about many reads stays within the background's budget.
async fn ask(hands: &Hands, ticket: Ticket, query: &Query) -> Result<Reply, Fault> {
    match ticket.slot {
        Slot::Bulk(..) => hands.ask_in_background(query.clone()).await,
        _ => hands.ask(query.clone()).await,
    }
}

#[must_use]
pub fn now() -> At {
    chrono::Utc::now()
}
