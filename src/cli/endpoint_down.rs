//! `nightdesk run endpoint-down`: what stands at the endpoint, brought back, and the backfill; one confirmed stage a command, without a screen.

use super::End;
use super::args::EndpointDown;
use super::drive::drive;
use super::hands::Hands;
use super::probe::is_live;
use super::procedures::{carry_out, left_alone, print_plan, report, unanswered};
use super::runs::{Told, by_hand, stands};
use crate::procedures::by_id;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::run::{Inputs, Plan};
use std::ops::ControlFlow;
use uuid::Uuid;

const PROCEDURE: &str = "endpoint-down";
/// What is asked first on LIVE, and the flag that answers it.
const PROBE: &str = "probe";

/// # Errors
/// Bad input, or a source without which nothing can be told does not answer.
pub async fn run(hands: &Hands, args: &EndpointDown) -> Result<End, String> {
    if args.attest.as_deref().is_some_and(|words| words.trim().is_empty()) {
        return Err("--attest: say in a few words what was done; it goes into the journal".into());
    }
    let (mut run, effects) = Run::draft(Uuid::now_v7(), PROCEDURE, inputs(hands, args).await);
    drive(&mut run, effects, hands, &hands.env).await;
    if let Some(why) = unanswered(&run) {
        if args.how.json {
            report(&run, &args.how);
        }
        return Err(why);
    }
    let by_hands = run.plan.as_ref().filter(|_| run.phase == Phase::Review).and_then(Plan::next_manual).map(|s| s.say.clone());
    if let (Some(say), None) = (by_hands, &args.attest) {
        if let Some(plan) = run.plan.as_ref().filter(|_| !args.how.json) {
            print_plan(plan, &args.how);
            if args.how.dry_run {
                println!("\n{}", left_alone(&run));
            }
        }
        return Ok(End::Refused(format!(
            "what comes next is done by hand: {}; then: nightdesk run endpoint-down --attest TEXT",
            say.trim_end_matches('.')
        )));
    }
    let run = match by_hand(hands, run, Told { setting: None, attest: args.attest.as_deref() }).await? {
        ControlFlow::Break(end) => return Ok(end),
        ControlFlow::Continue(run) => *run,
    };
    // The backfill has a review of its own, which shows only now: what confirms it may be given already.
    if args.attest.is_some() && args.how.confirm.is_none() {
        return stands(hands, run, &args.how).await;
    }
    match carry_out(hands, run, &args.how).await? {
        ControlFlow::Break(end) => Ok(end),
        ControlFlow::Continue(run) => stands(hands, *run, &args.how).await,
    }
}

/// On TEST nobody is asked whether the endpoint may be probed.
async fn inputs(hands: &Hands, args: &EndpointDown) -> Inputs {
    let mut inputs = Inputs::default();
    match &args.probe {
        Some(said) => drop(inputs.attested.insert(PROBE.into(), said.clone())),
        None if is_live(hands).await => {}
        None => inputs = by_id(PROCEDURE).expect("invariant: it is a procedure").on_test(inputs, &hands.env),
    }
    inputs
}
