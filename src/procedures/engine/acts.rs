//! Many acts under one confirmation: begun, answered, summed up. Which may begin now is [`super::bulk`]'s, whether they had their effect [`super::effects`]'s.

use super::bulk::{Bulk, Held, Item, PAUSE_MINUTES, Progress, Stage, VAIN_AT_MOST};
use super::{Confirmation, Goal, Phase, Run, Try};
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind};
use crate::procedures::ENTITLEMENT;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::effect::Effect;
use crate::protocol::gate::CONFIRMATION_MINUTES;
use crate::protocol::record::{Closed, Detail, Entry};
use crate::protocol::run::{Expect, Perform, Performed, Plan, Step, StepState};
use chrono::Duration;
use std::collections::{HashSet, VecDeque};

/// So many have to fail before their share counts.
const FAILED_AT_LEAST: usize = 3;

impl Run {
    /// How far its acts came, where its plan has a pace.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        self.bulk.as_ref().map(Bulk::progress)
    }

    /// Whether it stands still until [`Run::go_on_after_pause`].
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.phase == Phase::Running && self.bulk.as_ref().is_some_and(|b| matches!(b.held, Some(Held::Paused { blind: false, .. })))
    }

    /// Begins nothing more; what is under way is followed to its effect.
    pub fn pause(&mut self, now: At) {
        if let Some(bulk) = self.bulk.as_mut() {
            bulk.stand_still(None, false, now);
        }
    }

    /// Goes on after a pause; after a long one through a new review.
    pub fn go_on_after_pause(&mut self, now: At) -> Vec<Effect> {
        let Some(bulk) = self.bulk.as_mut() else { return Vec::new() };
        let Some(Held::Paused { since, .. }) = bulk.held else { return Vec::new() };
        bulk.held = (now - since > Duration::minutes(PAUSE_MINUTES)).then_some(Held::Old);
        self.note = None;
        let mut effects = self.handed_again();
        effects.extend(self.work(now));
        effects
    }

    /// What remains is planned from new facts, and confirmed anew.
    fn review_the_rest(&mut self, note: String) -> Vec<Effect> {
        self.bulk = None;
        self.note = Some(note);
        self.goal = Goal::Review;
        self.phase = Phase::Gathering;
        self.gather()
    }

    /// The outcomes that the journal could not take when they came, once more: what it does not take now either is read after a resume.
    fn handed_again(&mut self) -> Vec<Effect> {
        let effects = self.recorded_again();
        self.tries.iter_mut().for_each(|t| t.unrecorded = false);
        effects
    }

    /// Ends it at the next safe point: nothing more begins, what is under way is followed to its effect; a watch ends at once.
    pub fn cancel(&mut self, now: At) -> Vec<Effect> {
        let Some(bulk) = self.bulk.as_mut() else { return self.leave_watch(now) };
        bulk.held = Some(Held::Cancelled);
        bulk.skip_the_rest("cancelled");
        self.work(now)
    }

    /// The plan is confirmed and the run is open: its acts begin.
    pub(super) fn begin(&mut self, confirmed: &Confirmation, now: At) -> Vec<Effect> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let pace = plan.pace.expect("invariant: only a plan with a pace begins so");
        let place = |id: &str| plan.steps.iter().position(|s| s.instead_of.as_deref() == Some(id) && s.command.is_some());
        let items: Vec<Item> = plan
            .steps
            .iter()
            .enumerate()
            .filter(|(_, s)| s.command.is_some() && s.instead_of.is_none() && !matches!(s.state, StepState::Passed | StepState::Skipped(_)))
            .map(|(act, s)| Item {
                act,
                instead: place(&s.id),
                subject: s.subject.clone(),
                stage: Stage::Waiting(act),
                overtaken: None,
                seen: None,
            })
            .collect();
        // The commands stand beside their own intents, under their own subject's key, so that one person's can be removed.
        let acts: Vec<&str> = plan.steps.iter().filter(|s| s.command.is_some()).map(|s| s.id.as_str()).collect();
        let detail = Detail(serde_json::json!({ "summary": plan.summary, "blast": plan.blast, "acts": acts }));
        let entry = Entry::Confirmed { run: self.id, plan: confirmed.digest.clone() };
        self.bulk = Some(Bulk {
            items,
            pace,
            confirmed_at: confirmed.at,
            begun: VecDeque::new(),
            not_before: None,
            backoffs: 0,
            held: None,
            reading: Vec::new(),
            looking: Vec::new(),
            unguarded: plan.steps.iter().enumerate().filter(|(_, s)| s.shown.is_some()).map(|(at, _)| at).collect(),
            admitted: false,
            read_at: None,
        });
        self.many = plan.subject.is_none();
        self.phase = Phase::Running;
        self.goal = Goal::Effects;
        let mut effects = self.handed_again();
        effects.push(Effect::Record { run: Some(self.id), entry, detail });
        effects.extend(self.work(now));
        effects
    }

    /// Begins what may begin, reads what is to be read, ends what is over.
    pub(super) fn work(&mut self, now: At) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.phase != Phase::Running {
            return effects;
        }
        if let Some(bulk) = &mut self.bulk {
            bulk.grow_old(now);
            // Nobody lets its first act through any more: the facts that were confirmed are old.
            let stale = now - bulk.confirmed_at > Duration::minutes(CONFIRMATION_MINUTES);
            if stale && !bulk.admitted && bulk.held.is_none() && !bulk.is_under_way() && !bulk.is_over() {
                bulk.held = Some(Held::Old);
            }
        }
        while let Some((item, step)) = self.bulk.as_mut().and_then(|b| b.next(now)) {
            effects.extend(self.dispatch(item, step, now));
        }
        let over = self.bulk.as_mut().is_some_and(|b| {
            if b.canary() == Some(false) && b.held.is_none() {
                let why = "the first ones came to nothing".to_string();
                b.skip_the_rest(&why);
                b.held = Some(Held::Stopped(why));
            }
            b.is_over()
        });
        if over {
            effects.extend(self.finish(now));
        } else if self.bulk.as_ref().is_some_and(|b| b.held == Some(Held::Old) && !b.is_under_way()) {
            effects.extend(self.review_the_rest("It stood still for a while: this is what remains now.".into()));
        } else {
            effects.extend(self.read_effects(now));
        }
        effects
    }

    fn dispatch(&mut self, item: usize, step: usize, now: At) -> Vec<Effect> {
        let (Some(plan), Some(bulk)) = (&mut self.plan, &mut self.bulk) else { return Vec::new() };
        let act = &mut plan.steps[step];
        let Some(command) = act.command.clone() else { return Vec::new() };
        act.state = StepState::Running;
        bulk.items[item].stage = Stage::Sent(step);
        // What was said of the act before it is not said of this one.
        bulk.items[item].overtaken = None;
        bulk.items[item].seen = None;
        bulk.begun.push_back(now);
        let (id, undo, confirmed_at) = (act.id.clone(), act.undo.clone(), bulk.confirmed_at);
        let attempt = self.next_attempt(&id);
        self.tries.push(Try {
            attempt: attempt.clone(),
            command: Some(command.clone()),
            undo: undo.clone(),
            outcome: None,
            unrecorded: false,
        });
        vec![Effect::Perform(Box::new(Perform { attempt, command, undo, confirmed_at }))]
    }

    /// One of many acts was answered, or nobody knows whether it was done.
    pub(super) fn performed_in_bulk(&mut self, performed: &Performed, now: At) -> Vec<Effect> {
        let Some(at) = self.tries.iter().position(|t| t.attempt == performed.attempt && t.outcome.is_none()) else {
            return Vec::new();
        };
        self.tries[at].outcome = Some(performed.outcome.clone());
        self.tries[at].unrecorded = performed.unrecorded.is_some();
        let (Some(plan), Some(bulk)) = (&self.plan, &mut self.bulk) else { return Vec::new() };
        let here = |i: &&mut Item| matches!(i.stage, Stage::Sent(step) if plan.steps[step].id == performed.attempt.step);
        let Some(item) = bulk.items.iter_mut().find(here) else { return Vec::new() };
        let Stage::Sent(step) = item.stage else { return Vec::new() };
        let mut why_paused = performed.unrecorded.as_ref().map(|why| format!("an outcome could not be journaled: {why}"));
        let mut missed = None;
        bulk.admitted |= !matches!(&performed.outcome, Outcome::NotDone(fault) if fault.kind == FaultKind::Denied);
        match &performed.outcome {
            Outcome::Done { .. } => {
                item.stage = Stage::Effect { step, since: now, open: false };
                bulk.backoffs = 0;
            }
            Outcome::Unknown(_) => item.stage = Stage::Effect { step, since: now, open: true },
            Outcome::NotDone(fault) if fault.kind == FaultKind::Limit => {
                item.stage = Stage::Waiting(step);
                bulk.backoffs = (bulk.backoffs + 1).min(6);
                bulk.not_before = Some(now + Duration::seconds(1 << bulk.backoffs));
            }
            Outcome::NotDone(fault) if concerns_all(fault) => {
                item.stage = Stage::Waiting(step);
                why_paused = Some(fault.say.clone());
            }
            // Somebody else was there first: whether the row is right now is read, and nothing is written over it.
            Outcome::NotDone(fault) if was_overtaken(fault, plan.steps[step].expect.as_ref()) => {
                item.overtaken = Some(fault.say.clone());
                item.stage = Stage::Effect { step, since: now, open: false };
            }
            Outcome::NotDone(fault) => missed = Some((item.act, step, fault.say.clone())),
        }
        if why_paused.is_some() {
            bulk.stand_still(why_paused, false, now);
        }
        // An act that came back may not begin any more either: otherwise the run would never end.
        match bulk.held.clone() {
            Some(Held::Cancelled) => bulk.skip_the_rest("cancelled"),
            Some(Held::Stopped(why)) => bulk.skip_the_rest(&why),
            _ => {}
        }
        if let Some((act, step, why)) = missed {
            self.came_to_nothing(act, step, &why);
        }
        self.work(now)
    }

    /// The act at `step` had no effect: the one in its place is next, or there is none.
    pub(super) fn came_to_nothing(&mut self, act: usize, step: usize, why: &str) {
        let (Some(plan), Some(bulk)) = (&mut self.plan, &mut self.bulk) else { return };
        let Some(item) = bulk.items.iter_mut().find(|i| i.act == act) else { return };
        plan.steps[step].state = StepState::Failed(why.to_string());
        item.stage = match item.instead {
            Some(instead) if instead != step => match &bulk.held {
                Some(Held::Cancelled | Held::Stopped(_)) => Stage::Skipped(why.to_string()),
                _ => Stage::Waiting(instead),
            },
            _ => Stage::Failed(why.to_string()),
        };
        if bulk.vain() >= VAIN_AT_MOST {
            // Three first acts to no effect: the rest goes the other way at once, which the plan lists too.
            for item in &mut bulk.items {
                if let (Stage::Waiting(step), Some(instead)) = (&item.stage, item.instead)
                    && *step == item.act
                {
                    plan.steps[item.act].state = StepState::Skipped("the first three came to nothing".into());
                    item.stage = Stage::Waiting(instead);
                }
            }
        }
        let failed = bulk.items.iter().filter(|i| matches!(i.stage, Stage::Failed(_))).count();
        let settled = failed + bulk.items.iter().filter(|i| matches!(i.stage, Stage::Applied(_))).count();
        if failed >= FAILED_AT_LEAST && failed * 100 > settled * bulk.pace.stop_percent as usize && bulk.held.is_none() {
            let why = format!("{failed} of {settled} came to nothing");
            bulk.skip_the_rest(&why);
            bulk.held = Some(Held::Stopped(why));
        }
    }

    /// Everything has its verdict: the sum, and the end, or a look at what the procedure has next.
    fn finish(&mut self, now: At) -> Vec<Effect> {
        let Some(progress) = self.progress() else { return Vec::new() };
        let mut effects = self.handed_again();
        let all = progress.applied == progress.total;
        let say = self.tally(&progress);
        if all {
            self.rows_proven();
        }
        self.generation += 1;
        self.answers = crate::protocol::answers::Answers::default();
        if progress.changed > 0 && self.bulk.as_ref().is_some_and(|b| b.held.is_none()) {
            // What was left alone is judged by what its row has become.
            effects.extend(self.review_the_rest(say));
            return effects;
        }
        if all && crate::procedures::by_id(&self.procedure).is_some_and(crate::procedures::Procedure::is_staged) {
            self.note = Some(say);
            self.note_afterwards();
            effects.extend(self.verify(now));
            return effects;
        }
        self.note_afterwards();
        effects.extend(self.enforced_by_the_first().then(|| self.verified(ENTITLEMENT, true)));
        effects.push(self.close(if all { Closed::Done } else { Closed::Halted }));
        self.ended = Some(now);
        self.phase = if all { Phase::Done(say) } else { Phase::Halted(say) };
        effects
    }

    /// What others may still do of themselves.
    fn note_afterwards(&mut self) {
        if let Some(say) = self.plan.as_ref().and_then(|p| p.afterwards.clone()) {
            self.note_also(&say);
        }
    }

    /// `297 of 300 effects applied, 15 of them copied from Stripe · 3 failed: …`.
    fn tally(&self, p: &Progress) -> String {
        let counted = self.plan.as_ref().map_or("effects applied", Plan::counted);
        let mut say = format!("{} of {} {counted}", p.applied, p.total);
        say.push_str(&self.copied_instead(p));
        let right = self.spared + p.right;
        if right > 0 {
            let sessions = self.plan.as_ref().is_some_and(Plan::ends_sessions);
            say.push_str(&match (sessions, right) {
                (true, n) => format!(" · {n} had ended or moved on before we came"),
                (false, 1) => " · 1 was right before we came".to_string(),
                (false, n) => format!(" · {n} were right before we came"),
            });
        }
        let Some(bulk) = &self.bulk else { return say };
        let failed = bulk.items.iter().find_map(|i| if let Stage::Failed(why) = &i.stage { Some(why) } else { None });
        if let Some(why) = failed {
            say.push_str(&format!(" · {} failed: {}", p.failed, why.trim_end_matches('.')));
        }
        match p.changed {
            0 => {}
            1 => say.push_str(" · 1 left alone: its row changed since the review"),
            n => say.push_str(&format!(" · {n} left alone: their rows changed since the review")),
        }
        if p.skipped > p.changed {
            let why = match &bulk.held {
                Some(Held::Stopped(why)) => format!(", {why}"),
                Some(Held::Cancelled) => ", cancelled".into(),
                _ => String::new(),
            };
            say.push_str(&format!(" · {} not begun{why}", p.skipped - p.changed));
        }
        say + "." + &self.all_in_vain()
    }

    /// Where every event that was sent came to nothing, what stood in the way stands there still, whatever was copied.
    fn all_in_vain(&self) -> String {
        let Some(plan) = &self.plan else { return String::new() };
        let of_events = |s: &&Step| matches!(s.command, Some(Command::ResendEvent { .. } | Command::DeliverEvent { .. }));
        let sent = self.sent();
        let ended = |of: fn(&StepState) -> bool| {
            plan.steps.iter().filter(of_events).filter(|s| sent.contains(s.id.as_str()) && of(&s.state)).count()
        };
        let (vain, other) = (ended(|s| matches!(s, StepState::Failed(_))), ended(|s| matches!(s, StepState::Passed)));
        match (vain, other) {
            (0, _) | (_, 1..) => String::new(),
            (1, 0) => " The one that was sent had no effect: the cause remains.".into(),
            (n, 0) => format!(" None of the {n} sent had an effect: the cause remains."),
        }
    }

    /// The steps that may have reached somebody: what Stripe refuses to send is not sent.
    fn sent(&self) -> HashSet<&str> {
        let reached = |t: &&Try| matches!(t.outcome, None | Some(Outcome::Done { .. } | Outcome::Unknown(_)));
        self.tries.iter().filter(reached).map(|t| t.attempt.step.as_str()).collect()
    }

    /// What was copied in place of a first act: only of what was sent is it said that sending had no effect.
    fn copied_instead(&self, p: &Progress) -> String {
        let (Some(plan), Some(bulk)) = (&self.plan, &self.bulk) else { return String::new() };
        let by_the_other = bulk.items.iter().filter(|i| i.overtaken.is_none() && matches!(i.stage, Stage::Applied(step) if step != i.act));
        let sent = self.sent();
        let in_vain =
            by_the_other.map(|i| &plan.steps[i.act]).filter(|s| matches!(s.state, StepState::Failed(_)) && sent.contains(s.id.as_str()));
        let in_vain = in_vain.count();
        let at_once = p.instead.saturating_sub(in_vain);
        match (in_vain, at_once) {
            (0, 0) => String::new(),
            (0, n) => format!(", {n} of them copied from Stripe and not sent"),
            (n, 0) => format!(", {n} of them copied from Stripe after sending the event had no effect"),
            (n, m) => format!(", {n} of them copied from Stripe after sending the event had no effect, {m} more without sending it"),
        }
    }
}

/// What stands in the way of every act, not of this one: it waits for the operator or the source.
fn concerns_all(fault: &Fault) -> bool {
    fault.passes()
        || matches!(
            fault.kind,
            FaultKind::Denied | FaultKind::Journal | FaultKind::Auth | FaultKind::Permission { .. } | FaultKind::NotSetUp
        )
}

/// What was to be changed changed meanwhile. A session that is not there any more needs no signal.
fn was_overtaken(fault: &Fault, expect: Option<&Expect>) -> bool {
    match fault.kind {
        FaultKind::Conflict => expect.is_some(),
        FaultKind::NotFound => matches!(expect, Some(Expect::Released { .. })),
        _ => false,
    }
}
