//! Steps done by hand, and stages: what remains of a plan after what was done, and when that is a matter for a new review.

use super::{Goal, Hold, Phase, Run};
use crate::domain::At;
use crate::procedures::by_id;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::effect::Effect;
use crate::protocol::record::{AttestedDetail, Closed, Detail, Entry, OpenedDetail};
use crate::protocol::run::{Decision, Plan, Ran, StepKind, StepState};

/// Between two looks of a watch, in seconds.
const WATCH_SECONDS: i64 = 5;

impl Run {
    /// The operator did the next step by hand, and says what was done. It is journaled, and everything is read again.
    ///
    /// # Errors
    /// One sentence: there is no such step, or nothing was said.
    pub fn attest(&mut self, words: &str, now: At) -> Result<Vec<Effect>, String> {
        // They stand in the run's inputs too, and go with them wherever those go.
        let words = crate::domain::mask::addresses(&crate::domain::text::clean(words.trim()));
        let (Phase::Review, Some(plan)) = (&self.phase, &self.plan) else {
            return Err("There is no step to do by hand.".into());
        };
        let step = plan.next_manual().ok_or("There is no step to do by hand.")?.id.clone();
        if words.is_empty() {
            return Err("Say in a few words what was done.".into());
        }
        let detail =
            OpenedDetail { inputs: self.pinned(), subject: plan.subject.clone(), who: plan.who.clone(), undoes: self.undoing.clone() };
        self.attesting = Some((step, words));
        if self.hold == Hold::Held {
            return Ok(self.attested(now));
        }
        self.hold = Hold::Asked;
        self.phase = Phase::Gathering;
        Ok(vec![Effect::OpenRun { run: self.id, procedure: self.procedure.clone(), detail: Detail::of(&detail) }])
    }

    /// The run is open: the words go to the journal, and the plan is made anew.
    pub(super) fn attested(&mut self, now: At) -> Vec<Effect> {
        let Some((step, words)) = self.attesting.take() else { return Vec::new() };
        self.goal = Goal::Review;
        self.phase = Phase::Gathering;
        let mut effects = vec![self.attest_to(step, words, now)];
        effects.extend(self.gather());
        effects
    }

    /// Keeps what the operator said, here and in the journal.
    pub(super) fn attest_to(&mut self, step: String, words: String, now: At) -> Effect {
        self.inputs.attested.insert(step.clone(), words.clone());
        self.acted = self.acted.map(|_| now);
        Effect::Record { run: Some(self.id), entry: Entry::Attested { run: self.id, step }, detail: Detail::of(&AttestedDetail { words }) }
    }

    /// The plan without what this run has done already: nothing is sent twice, and what was sent to no effect is replaced by the act
    /// that the plan has instead.
    pub(super) fn remaining(&self, mut plan: Plan) -> Plan {
        let done = |id: &str| self.tries.iter().any(|t| t.attempt.step == id && matches!(t.outcome, Some(Outcome::Done { .. })));
        if self.undoing.is_some() || !(self.many || plan.pace.is_some()) || self.tries.is_empty() {
            return plan;
        }
        for step in &mut plan.steps {
            if done(&step.id) && step.command.is_none() && matches!(step.state, StepState::Skipped(_)) {
                // It is needed no more because this run has done it.
                (step.state, step.say) = (StepState::Passed, "Done by this run".into());
            } else if done(&step.id) && step.command.is_some() {
                step.state = StepState::Passed;
            }
            if step.instead_of.as_ref().is_some_and(|first| done(first)) {
                step.instead_of = None;
            }
        }
        if plan.pace.is_some() {
            plan.typed = plan.text_to_type();
        }
        plan
    }

    /// Every act that remains was reviewed with the plan on screen: some of it has come about by itself meanwhile.
    pub(super) fn is_part_of_the_reviewed(&self, plan: &Plan) -> bool {
        let Some(reviewed) = self.plan.as_ref().filter(|_| plan.pace.is_some()) else { return false };
        let known: std::collections::HashMap<&str, _> = reviewed.steps.iter().map(|s| (s.id.as_str(), s.command.as_ref())).collect();
        let acts = || plan.steps.iter().filter(|s| s.command.is_some());
        acts().next().is_some() && acts().all(|s| known.get(s.id.as_str()).is_some_and(|c| *c == s.command.as_ref()))
    }

    /// It is planned again after its acts.
    pub(super) fn is_staged(&self) -> bool {
        self.undoing.is_none() && by_id(&self.procedure).is_some_and(super::super::Procedure::is_staged)
    }

    /// The proof of one act asks for another one, which nobody has confirmed.
    pub(super) fn is_next_stage(&self, plan: &Plan) -> bool {
        let mut open = plan.steps.iter().filter(|s| !matches!(s.state, StepState::Passed | StepState::Skipped(_)));
        let next = open.find(|s| s.command.is_some() || s.kind == StepKind::Manual);
        self.is_staged() && next.is_some_and(|s| !self.tries.iter().any(|t| t.attempt.step == s.id))
    }

    pub(super) fn next_stage(&mut self, plan: Plan) -> Vec<Effect> {
        let effects = self.stage_over();
        let procedure = by_id(&self.procedure);
        let achieved = self.plan.replace(plan).zip(procedure).and_then(|(done, p)| p.achieved(&done, &self.answers));
        // What a configured command printed is the operator's to read.
        let said = self.tries.last().and_then(|t| match (&t.command, &t.outcome) {
            (Some(Command::RunHook { .. }), Some(Outcome::Done { note, .. })) => Some(note.clone()),
            (Some(Command::RunHook { .. }), Some(Outcome::Unknown(fault))) => Some(fault.say.clone()),
            _ => None,
        });
        let said = said.filter(|s| !s.is_empty()).map(|s| format!("{} ", crate::domain::text::sentence(&s))).unwrap_or_default();
        let done = achieved.unwrap_or_else(|| "One step further.".into());
        self.back_to_review(format!("{said}{done} This is what remains."));
        effects
    }

    /// What was done last had its effect: the journal knows, and what comes next is planned by itself. Of a command that nobody answered
    /// for nothing is proven.
    fn stage_over(&mut self) -> Vec<Effect> {
        let mut effects = self.recorded_again();
        if let Some(id) = self.tries.last().filter(|t| self.bulk.is_none() && t.ran() != Ran::Unknown).map(|t| t.attempt.step.clone()) {
            effects.push(self.verified(&id, true));
        }
        self.bulk = None;
        effects
    }

    /// What comes next is the operator's to decide.
    pub(super) fn ask_on(&mut self, decision: Decision) -> Vec<Effect> {
        let effects = self.stage_over();
        self.goal = Goal::Review;
        self.phase = Phase::Deciding(decision);
        effects
    }

    /// Nothing but time has to pass: it looks again by itself until then.
    pub(super) fn watch(&mut self, plan: Plan, now: At) -> Vec<Effect> {
        let effects = if self.is_watching() { Vec::new() } else { self.stage_over() };
        let say = plan.waits().map(|s| s.say.clone()).unwrap_or_default();
        self.plan = Some(plan);
        self.note = None;
        self.phase = Phase::Waiting(say);
        self.next_read = Some(now + chrono::Duration::seconds(WATCH_SECONDS));
        effects
    }

    /// It has done what it was to do, and only looks whether that lasts.
    #[must_use]
    pub fn is_watching(&self) -> bool {
        matches!(self.phase, Phase::Waiting(_)) && self.plan.as_ref().is_some_and(|p| p.waits().is_some())
    }

    /// Ends the watch before its time. While the source is silent it goes on: nobody has seen how it stands.
    pub fn leave_watch(&mut self, now: At) -> Vec<Effect> {
        if !self.is_watching() || self.answers.faults().next().is_some() {
            return Vec::new();
        }
        let mut effects = self.recorded_again();
        let plan = self.plan.as_mut().expect("invariant: a watch has its plan");
        for step in plan.steps.iter_mut().filter(|s| s.kind == StepKind::Wait) {
            step.state = StepState::Skipped("not watched to the end".into());
        }
        self.phase = Phase::Done(format!("{}. Not watched to the end.", plan.summary.trim_end_matches('.')));
        self.ended = Some(now);
        self.next_read = None;
        effects.push(self.close(Closed::Done));
        effects
    }

    /// It stands in the journal, and is this process's: or is about to be.
    #[must_use]
    pub fn is_journaled(&self) -> bool {
        self.hold != Hold::None
    }

    /// The operator gave it up for good, and the journal has it as closed.
    pub fn given_up(&mut self) {
        self.phase = Phase::Halted("Given up; the journal has the reason.".into());
        (self.hold, self.next_read) = (Hold::None, None);
    }

    /// Ends a run that has acted before what its review asks for: nobody is there to confirm that.
    pub fn stop_here(&mut self, now: At) -> Vec<Effect> {
        let (Phase::Review, Some(plan)) = (&self.phase, &self.plan) else { return Vec::new() };
        self.phase = Phase::Halted(format!("Not confirmed, and so not done: {}", plan.summary));
        self.ended = Some(now);
        let mut effects = self.recorded_again();
        effects.push(self.close(Closed::Halted));
        effects
    }
}
