//! Reading for a run: which questions are open, and who plans from the answers. What follows from the plan is [`super::advance`]'s.

use super::{Goal, Run, Try};
use crate::domain::At;
use crate::domain::fault::Source;
use crate::domain::tiers::TierRules;
use crate::procedures::escalate::SENT;
use crate::procedures::{Begins, by_id, undo};
use crate::protocol::answers::Answers;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Locator, Query};
use crate::protocol::run::{Inputs, Plan, Ran, Refusal, Selection, StepKind, StepState};
use crate::protocol::ticket::{Slot, Ticket};
use std::collections::BTreeSet;

/// So many questions to Stripe of a run about many are under way at once.
const AT_STRIPE_AT_ONCE: usize = 100;

impl Run {
    /// Forgets what was read and reads everything again; answers still under way are stale from here on.
    pub(super) fn gather(&mut self) -> Vec<Effect> {
        self.generation += 1;
        self.asked = 0;
        self.answers = Answers::default();
        self.next_read = None;
        self.ask(None)
    }

    /// Asks what is open and not asked yet.
    fn ask(&mut self, rules: Option<&TierRules>) -> Vec<Effect> {
        let mut effects = Vec::new();
        let (bulk, mut at_stripe) = (self.reads_many(), 0);
        for query in self.wanted(rules) {
            if bulk && query.source() == Source::Stripe {
                at_stripe += 1;
                // The others are asked for when these are answered: none waits for its turn longer than a read may take.
                if at_stripe > AT_STRIPE_AT_ONCE {
                    continue;
                }
            }
            let slot = if bulk { Slot::Bulk(self.id, self.asked) } else { Slot::Run(self.id, self.asked) };
            let ticket = Ticket { slot, generation: self.generation };
            self.asked = self.asked.wrapping_add(1);
            self.answers.asked(query.clone());
            effects.push(Effect::Read { ticket, query });
        }
        effects
    }

    /// It is about so many that its reads are the background's, and stay within its budget.
    fn reads_many(&self) -> bool {
        match &self.inputs.selection {
            Some(Selection::Events(ids) | Selection::Customers(ids)) => ids.len() > 1,
            Some(Selection::Window { .. } | Selection::SinceLastApplied) => true,
            Some(Selection::Sessions { .. }) => false,
            None => self.undoing.is_none() && by_id(&self.procedure).is_some_and(|p| p.begins() == Begins::AtOnce),
        }
    }

    /// Asks on, or, with every answer in, draws the conclusion.
    pub(super) fn go_on(&mut self, env: &Environment, now: At) -> Vec<Effect> {
        let effects = self.ask(Some(&env.tiers));
        if !effects.is_empty() || self.answers.outstanding().next().is_some() {
            return effects;
        }
        self.gathered(env, now)
    }

    fn wanted(&self, rules: Option<&TierRules>) -> Vec<Query> {
        match self.goal {
            Goal::Effects | Goal::Settle => {
                let mut wanted = if self.goal == Goal::Effects { self.effect_reads() } else { self.doubt_reads() };
                wanted.retain(|q| self.answers.get(q).is_none());
                return wanted;
            }
            Goal::Review | Goal::Confirm | Goal::Reconcile | Goal::Verify => {}
        }
        // The row that a try was aimed at says by itself what became of it, whatever Stripe or the handle say.
        let touched = self.tries.last().filter(|_| !self.many).and_then(|t| t.command.as_ref()).and_then(Command::subject).map(row_query);
        let mut wanted: Vec<Query> = touched.into_iter().collect();
        if self.goal != Goal::Reconcile || wanted.is_empty() {
            wanted.extend(self.facts(rules));
        }
        wanted.retain(|q| self.answers.get(q).is_none());
        let mut once = BTreeSet::new();
        wanted.retain(|q| once.insert(q.clone()));
        wanted
    }

    /// `rules`: `None` where nothing has been answered yet, and nothing follows from them.
    fn facts(&self, rules: Option<&TierRules>) -> Vec<Query> {
        match &self.undoing {
            Some(undoing) => undo::reads(&undoing.command, &self.answers),
            None => by_id(&self.procedure)
                .map(|p| match rules {
                    Some(rules) => p.reads_under(rules, &self.inputs, &self.answers),
                    None => p.reads(&self.inputs, &self.answers),
                })
                .unwrap_or_default(),
        }
    }

    pub(super) fn planned(&self, env: &Environment, now: At) -> Result<Plan, Refusal> {
        let now = self.at_stripe(now);
        let mut plan = match (&self.undoing, by_id(&self.procedure)) {
            (Some(undoing), _) => undo::plan(&undoing.command, self.has_acted(), &self.answers, env, now),
            (None, Some(procedure)) => procedure.plan(&self.inputs_told(), &self.answers, env, now),
            (None, None) => Err(Refusal::Because(format!("There is no procedure `{}`.", self.procedure))),
        }?;
        plan.evidence.extend(self.remarks.iter().cloned());
        // A procedure plans from the facts alone: what it finds not needed any more may be what this run did.
        let done = |id: &str| self.tries.iter().any(|t| t.attempt.step == id && matches!(t.outcome, Some(Outcome::Done { .. })));
        for step in plan.steps.iter_mut().filter(|s| s.kind == StepKind::Check && matches!(s.state, StepState::Skipped(_))) {
            if done(&step.id) {
                step.state = StepState::Passed;
            }
        }
        Ok(plan)
    }

    /// Something of it was sent, or may have been.
    fn has_acted(&self) -> bool {
        self.tries.iter().any(|t| !matches!(t.outcome, Some(Outcome::NotDone(_))))
    }

    /// The inputs with what no reading would show: the answer of the command that has called somebody, which commands were run, how
    /// many sessions were ended, and when the run did something last.
    fn inputs_told(&self) -> Inputs {
        let mut inputs = self.inputs.clone();
        let sent = self.tries.iter().find_map(|t| match (&t.command, &t.outcome) {
            (Some(Command::Escalate { .. }), Some(Outcome::Done { note, .. })) => Some(note.clone()),
            _ => None,
        });
        inputs.attested.extend(sent.map(|note| (SENT.to_string(), note)));
        inputs.acted = self.acted.map(|at| self.at_stripe(at));
        inputs.ran = self.tries.iter().map(Try::ran).max().unwrap_or_default();
        let gone = |session| self.activity().is_ok_and(|a| a.find(session).is_none());
        let ended = |t: &&Try| match (&t.command, &t.outcome) {
            (Some(Command::EndSession { session, .. }), Some(Outcome::Done { .. })) => gone(*session),
            _ => false,
        };
        inputs.ended = self.tries.iter().filter(ended).count();
        inputs
    }

    /// The inputs by which the same people are found again after the effect.
    pub(super) fn pinned(&self) -> Inputs {
        match (&self.undoing, by_id(&self.procedure)) {
            (None, Some(procedure)) => {
                let told = Inputs { acted: self.acted, ..self.inputs.clone() };
                Inputs { acted: None, ..procedure.pin(&told, &self.answers) }
            }
            _ => self.inputs.clone(),
        }
    }
}

impl Try {
    /// Whether it has run its configured command: only the command's own answer says so.
    pub(super) fn ran(&self) -> Ran {
        match (&self.command, &self.outcome) {
            (Some(Command::RunHook { .. }), Some(Outcome::NotDone(_))) => Ran::No,
            (Some(Command::RunHook { .. }), Some(done @ Outcome::Done { .. })) if !done.is_unheard() => Ran::Done,
            (Some(Command::RunHook { .. }), _) => Ran::Unknown,
            _ => Ran::No,
        }
    }
}

/// The question whose answer is this subject's row.
pub(super) fn row_query(subject: &crate::domain::ids::SubjectKey) -> Query {
    Query::Records(Locator::Subjects(vec![subject.clone()]))
}
