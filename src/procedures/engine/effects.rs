//! Whether acts of a plan with a pace had their effect, and what became of those that nobody answered for: by reading, in batches.

use super::advance::SETTLED_AFTER_SECONDS;
use super::bulk::{Item, Stage};
use super::gather::row_query;
use super::reconcile::{Seen, seen};
use super::{Goal, Phase, Run, Try};
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::{StripeId, StripeKind, SubjectKey};
use crate::domain::row::{Field, Image, diff};
use crate::domain::sessions::{Activity, SessionId};
use crate::domain::text::sentence;
use crate::procedures::ENTITLEMENT;
use crate::protocol::answers::Answers;
use crate::protocol::command::{Command, Outcome, SettledBy, Touched};
use crate::protocol::effect::Effect;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Expect, StepKind, StepState};
use chrono::Duration;

/// So many rows are asked for in one statement.
pub(super) const ROWS_AT_ONCE: usize = 100;
/// Between two readings of effects, in milliseconds.
const EVERY_MILLISECONDS: i64 = 1_500;
/// What was sent last before a process died is given so long to show its effect, in seconds: Stripe waits no longer for an answer.
const DELIVERED_WITHIN_SECONDS: i64 = 30;
/// Between two looks at a try that another process left behind, in seconds.
const LOOK_AGAIN_SECONDS: i64 = 3;

/// What was read about one item.
enum Read {
    Holds(Heard),
    /// Not there; what there is instead.
    Lacks(String),
    /// The database did not answer; why.
    Silent(String),
    /// The row is as it should be, and the application does not say what it enforces: why, and whether it may still do.
    Unheard {
        why: String,
        lasting: bool,
    },
}

/// What the application said about an effect that its row shows.
enum Heard {
    NotAsked,
    Agrees,
    /// It does not tell; why.
    Nothing(String),
}

impl Run {
    /// Reads the effects that are waited for and the rows that the next acts rest on, unless they are being read or were read just now.
    pub(super) fn read_effects(&mut self, now: At) -> Vec<Effect> {
        let Some(bulk) = self.bulk.as_mut() else { return Vec::new() };
        let awaited: Vec<usize> = (0..bulk.items.len()).filter(|i| matches!(bulk.items[*i].stage, Stage::Effect { .. })).collect();
        let rested = bulk.read_at.is_none_or(|then| now - then >= Duration::milliseconds(EVERY_MILLISECONDS));
        if !bulk.reading.is_empty() || !bulk.looking.is_empty() || !rested {
            return Vec::new();
        }
        let looking = bulk.to_look_at(now);
        if awaited.is_empty() && looking.is_empty() {
            return Vec::new();
        }
        (bulk.reading, bulk.looking) = (awaited, looking);
        bulk.read_at = Some(now);
        self.goal = Goal::Effects;
        self.gather()
    }

    /// The questions whose answers show the effects.
    pub(super) fn effect_reads(&self) -> Vec<Query> {
        let (Some(plan), Some(bulk)) = (&self.plan, &self.bulk) else { return Vec::new() };
        let (mut customers, mut wanted) = (Vec::new(), self.look_reads());
        for item in bulk.reading.iter().map(|i| &bulk.items[*i]) {
            let Stage::Effect { step, open, .. } = item.stage else { continue };
            let (subject, image) = match &plan.steps[step].expect {
                Some(Expect::Row { subject, image }) => (subject, image),
                Some(Expect::Released { .. }) => {
                    wanted.push(Query::Activity);
                    continue;
                }
                Some(Expect::Freed { .. }) | None => continue,
            };
            match customer(image).filter(|_| !open) {
                Some(id) => customers.push(id),
                // What nobody answered for is compared with the row before, too: it is found by its profile.
                None => wanted.push(row_query(subject)),
            }
            if self.is_canary(item) {
                wanted.push(Query::Entitlement(subject.clone()));
            }
        }
        wanted.extend(customers.chunks(ROWS_AT_ONCE).map(|c| Query::RowsOf(c.to_vec())));
        wanted
    }

    /// One of the first: what the application enforces is asked too.
    fn is_canary(&self, item: &Item) -> bool {
        self.bulk.as_ref().is_some_and(|b| b.is_canary(item.act))
    }

    /// Everything that was asked is answered: each item gets its verdict, or more time.
    pub(super) fn effects_read(&mut self, env: &Environment, now: At) -> Vec<Effect> {
        let mut effects = Vec::new();
        let reading = self.bulk.as_mut().map(|b| std::mem::take(&mut b.reading)).unwrap_or_default();
        let looking = self.bulk.as_mut().map(|b| std::mem::take(&mut b.looking)).unwrap_or_default();
        let (mut silent, mut seen) = (None, false);
        for at in looking {
            match self.looked_at(at) {
                Ok(()) => seen = true,
                Err(why) => silent = Some(why),
            }
        }
        for at in reading {
            let Some(item) = self.bulk.as_ref().map(|b| b.items[at].clone()) else { break };
            let Stage::Effect { step, since, open } = item.stage else { continue };
            let read = self.read(&item, step, env);
            seen |= !matches!(read, Read::Silent(_));
            match read {
                Read::Holds(heard) => {
                    self.heard(heard);
                    effects.extend(self.applied(at, step, open));
                }
                Read::Silent(why) => {
                    silent = Some(why);
                    // Time in which nobody can look is not the effect's: it gets its own when the database is back.
                    if let Some(bulk) = &mut self.bulk {
                        bulk.items[at].stage = Stage::Effect { step, since: now, open };
                    }
                }
                Read::Unheard { lasting: false, .. } if now - since < self.patience() => {}
                Read::Unheard { why, .. } => {
                    let note = format!("The row is the proof, the application was not heard: {}", why.trim_end_matches('.'));
                    if self.note.as_ref().is_none_or(|n| !n.contains(&note)) {
                        self.note_also(&sentence(&note));
                    }
                    self.heard(Heard::Nothing(why));
                    effects.extend(self.applied(at, step, open));
                }
                // Nothing is written over what was changed meanwhile, and no act of ours has failed.
                Read::Lacks(_) if item.overtaken.is_some() && self.compares(step) => self.leave_alone(at, step),
                Read::Lacks(what) => effects.extend(self.lacking(&item, step, since, open, &what, now)),
            }
        }
        // Blind, nothing more is sent: nobody could see whether it helps.
        match (&mut self.bulk, silent) {
            (Some(bulk), Some(why)) => bulk.stand_still(Some(why), true, now),
            (Some(bulk), None) if seen => bulk.see_again(),
            _ => {}
        }
        self.goal = Goal::Effects;
        effects.extend(self.work(now));
        effects
    }

    fn read(&self, item: &Item, step: usize, env: &Environment) -> Read {
        let (subject, image) = match self.plan.as_ref().and_then(|p| p.steps[step].expect.as_ref()) {
            Some(Expect::Row { subject, image }) => (subject, image),
            Some(Expect::Released { session, since }) => return self.released(*session, *since),
            // Nothing can be read that would show it, and what is not read is not proven.
            Some(Expect::Freed { .. }) | None => return Read::Lacks("nothing says what it was to bring about".into()),
        };
        let row = match row_among(&self.answers, |key| key == subject) {
            Ok(row) => row,
            Err(why) => return Read::Silent(why),
        };
        let Some((row, _)) = row else { return Read::Lacks("no row holds the customer".into()) };
        // Columns that are not mapped are nobody's to prove.
        if let Some(odd) = diff(row, image).first() {
            return Read::Lacks(format!("{} is {}, {} is due", odd.field.label(), odd.from, odd.to));
        }
        let due = image.get(&Field::Tier).and_then(|t| t.as_text());
        if !self.is_canary(item) || !env.set_up.contains(&Source::Application) {
            return Read::Holds(Heard::NotAsked);
        }
        let nothing = |why: &str| Read::Holds(Heard::Nothing(why.into()));
        match (self.answers.get(&Query::Entitlement(subject.clone())), due) {
            (Some(Known::Is { value: Reply::Entitlement(Some(e)), .. }), Some(due)) if !e.tier.eq_ignore_ascii_case(due) => {
                Read::Lacks(format!("the row is right, and the application enforces {}", e.tier))
            }
            (Some(Known::Is { value: Reply::Entitlement(Some(_)), .. }), Some(_)) => Read::Holds(Heard::Agrees),
            (Some(Known::Is { value: Reply::Entitlement(None), .. }), _) => nothing("the application does not know this profile"),
            (Some(Known::Failed(fault)), _) if fault.kind == FaultKind::NotSetUp => nothing("the application is not set up"),
            (Some(Known::Failed(fault)), _) => Read::Unheard { why: fault.say.clone(), lasting: stays_unheard(fault) },
            _ => nothing("the application was not asked"),
        }
    }

    /// What the application said of the first one is the proof by it, or the reason why there is none.
    fn heard(&mut self, heard: Heard) {
        let steps = self.plan.iter_mut().flat_map(|p| &mut p.steps);
        let Some(step) = steps.filter(|s| s.kind == StepKind::Verify).find(|s| s.id == ENTITLEMENT) else { return };
        match heard {
            Heard::NotAsked => {}
            Heard::Agrees => step.state = StepState::Passed,
            Heard::Nothing(_) if step.state == StepState::Passed => {}
            Heard::Nothing(why) => step.state = StepState::Skipped(why),
        }
    }

    /// Every row of these acts was read as it should be: proven by that, and by the application where it was heard.
    pub(super) fn rows_proven(&mut self) {
        let silent = |state: &StepState| !matches!(state, StepState::Passed | StepState::Skipped(_));
        for step in self.plan.iter_mut().flat_map(|p| &mut p.steps).filter(|s| s.kind == StepKind::Verify) {
            if step.id == ENTITLEMENT && silent(&step.state) {
                step.state = StepState::Skipped("the application was not asked: each row was right before we came".into());
            } else if silent(&step.state) {
                step.state = StepState::Passed;
            }
        }
    }

    /// The application enforces what the first row says.
    pub(super) fn enforced_by_the_first(&self) -> bool {
        let mut proofs = self.plan.iter().flat_map(|p| &p.steps).filter(|s| s.kind == StepKind::Verify);
        proofs.any(|s| s.id == ENTITLEMENT && s.state == StepState::Passed)
    }

    /// Whether a session does no longer what it has done since then.
    fn released(&self, session: SessionId, since: At) -> Read {
        match self.activity() {
            Err(why) => Read::Silent(why),
            Ok(activity) => match activity.find(session) {
                Some(s) if s.state_change == Some(since) => Read::Lacks(format!("session {} is still there", session.pid)),
                _ => Read::Holds(Heard::NotAsked),
            },
        }
    }

    pub(super) fn activity(&self) -> Result<&Activity, String> {
        match self.answers.get(&Query::Activity) {
            Some(Known::Is { value: Reply::Activity(activity), .. }) => Ok(activity),
            Some(Known::Failed(fault)) => Err(fault.say.clone()),
            _ => Err("The sessions have not been read yet.".into()),
        }
    }

    /// As long as an effect is waited for.
    fn patience(&self) -> Duration {
        Duration::seconds(self.bulk.as_ref().map_or(0, |b| i64::from(b.pace.patience_seconds)))
    }

    fn applied(&mut self, at: usize, step: usize, open: bool) -> Vec<Effect> {
        let (Some(plan), Some(bulk)) = (&mut self.plan, &mut self.bulk) else { return Vec::new() };
        let item = &mut bulk.items[at];
        item.stage = Stage::Applied(step);
        plan.steps[step].state = StepState::Passed;
        if let Some(instead) = item.instead.filter(|i| *i != step) {
            plan.steps[instead].state = StepState::Skipped("not needed".into());
        }
        let id = plan.steps[step].id.clone();
        let mut effects = Vec::new();
        if open {
            effects.extend(self.conclude_step(&id, Outcome::done("read back: it is as it should be".into())));
        }
        effects.push(self.verified(&id, true));
        effects
    }

    /// It changes its row by compare-and-set.
    fn compares(&self, step: usize) -> bool {
        let command = self.plan.as_ref().and_then(|p| p.steps[step].command.as_ref());
        command.is_some_and(|c| c.settled_by() == SettledBy::Row)
    }

    /// No effect: more time, or the end of this act.
    fn lacking(&mut self, item: &Item, step: usize, since: At, open: bool, what: &str, now: At) -> Vec<Effect> {
        let Some(plan) = &self.plan else { return Vec::new() };
        let id = plan.steps[step].id.clone();
        let patience = self.patience();
        let writes_the_row = plan.steps[step].command.as_ref().is_some_and(Command::is_compare_and_set);
        // What was overtaken is not on its way: the row is right by now, or it is not.
        let patience = if item.overtaken.is_some() { Duration::zero() } else { patience };
        let patience = if writes_the_row && open { patience.max(Duration::seconds(SETTLED_AFTER_SECONDS)) } else { patience };
        if now - since < patience {
            return Vec::new();
        }
        let mut effects = Vec::new();
        if open {
            let last = self.tries.iter().rfind(|t| t.attempt.step == id);
            if let Some(outcome) = last.and_then(|t| self.told(t, true)) {
                effects.extend(self.conclude_step(&id, outcome));
            }
        }
        effects.push(self.verified(&id, false));
        let why = item.overtaken.clone().unwrap_or_else(|| format!("no effect within {} s: {what}", patience.num_seconds()));
        self.came_to_nothing(item.act, step, &why);
        effects
    }

    /// What a try comes to that nobody answered for, by what its subject's row shows. `None`: it cannot be told yet.
    fn told(&self, of: &Try, settled: bool) -> Option<Outcome> {
        match of.command.as_ref().map(Command::settled_by) {
            Some(SettledBy::Session) => self.session_told(of, settled),
            // Where the journal no longer has the command it may have been sent, too. Whether it helped, the row says.
            Some(SettledBy::Effect) | None => {
                let said = if let Some(Outcome::Unknown(fault)) = &of.outcome { Some(fault.say.as_str()) } else { None };
                Some(Outcome::unheard(said))
            }
            Some(SettledBy::Nobody) => None,
            Some(SettledBy::Row | SettledBy::Counters) => self.row_told(of, settled),
        }
    }

    fn session_told(&self, of: &Try, settled: bool) -> Option<Outcome> {
        let Some(Touched::Session(session)) = of.command.as_ref()?.touches() else { return None };
        let done = |note: &str| Some(Outcome::done(note.into()));
        match self.activity().map(|a| a.find(session).is_some()) {
            Ok(false) => done("read back: the session is gone"),
            Ok(true) if settled => done("it may have its signal, and is still there; it is not signalled twice"),
            _ => None,
        }
    }

    fn row_told(&self, of: &Try, settled: bool) -> Option<Outcome> {
        match seen(of, &self.answers) {
            Seen::Applied => Some(Outcome::done("read back: the row holds what was sent".into())),
            Seen::AsBefore if settled => {
                Some(Outcome::NotDone(Fault::new(Source::Database, FaultKind::Timeout, "read back: the row is as it was before")))
            }
            // A compare-and-set changes the whole row or nothing: this is somebody else's later change.
            Seen::Other(what) => Some(Outcome::done(format!("cannot be told any more: {what}; it is not sent again"))),
            Seen::AsBefore | Seen::Unread(_) | Seen::CannotTell => None,
        }
    }

    fn conclude_step(&mut self, id: &str, outcome: Outcome) -> Option<Effect> {
        let at = self.tries.iter().rposition(|t| t.attempt.step == id)?;
        self.tries[at].outcome = Some(outcome.clone());
        Some(self.concluded(&self.tries[at], &outcome))
    }

    /// The rows of those whose try another process left behind.
    pub(super) fn doubt_reads(&self) -> Vec<Query> {
        let mut subjects: Vec<_> =
            self.tries.iter().filter(|t| t.is_open()).filter_map(|t| t.command.as_ref()?.subject().cloned()).collect();
        subjects.sort();
        subjects.dedup();
        let ends = |t: &&Try| t.is_open() && t.command.as_ref().is_some_and(|c| c.settled_by() == SettledBy::Session);
        let mut wanted: Vec<Query> = self.tries.iter().find(ends).map(|_| Query::Activity).into_iter().collect();
        wanted.extend(subjects.iter().map(row_query));
        // With nobody in doubt there is only time to pass; it passes from read to read.
        if wanted.is_empty() { vec![Query::Shape] } else { wanted }
    }

    /// What the dead process had on its way is settled by reading, one by one; then everything is planned anew.
    pub(super) fn settle_doubts(&mut self, now: At) -> Vec<Effect> {
        let settled = self.sent.is_none_or(|sent| now - sent >= Duration::seconds(SETTLED_AFTER_SECONDS));
        let calls = |t: &Try| t.is_open() && matches!(t.command, Some(Command::Escalate { .. }));
        if let Some(at) = self.tries.iter().position(calls) {
            let why = "the console that was to send it has died";
            let outcome = Outcome::Unknown(Fault::new(Source::Application, FaultKind::Timeout, why));
            self.tries[at].outcome = Some(outcome.clone());
            let mut effects = vec![self.concluded(&self.tries[at], &outcome)];
            effects.extend(self.unheard(why, now));
            return effects;
        }
        let mut effects = Vec::new();
        for at in 0..self.tries.len() {
            if !self.tries[at].is_open() {
                continue;
            }
            let outcome = self.told(&self.tries[at], settled);
            if let Some(outcome) = outcome {
                // What a configured command printed is the operator's to read, whoever ran it.
                if let (Some(Command::RunHook { .. }), Some(Outcome::Unknown(fault))) = (&self.tries[at].command, &self.tries[at].outcome) {
                    let said = sentence(&fault.say);
                    self.note_also(&said);
                }
                self.tries[at].outcome = Some(outcome.clone());
                effects.push(self.concluded(&self.tries[at], &outcome));
            }
        }
        // What was passed on a moment ago may still bring its effect: copied now, the row would be written twice.
        let passed_on = self.tries.iter().any(Try::was_passed_on);
        let fresh = passed_on && self.sent.is_some_and(|sent| now - sent < Duration::seconds(DELIVERED_WITHIN_SECONDS));
        if fresh || self.tries.iter().any(Try::is_open) {
            self.next_read = Some(now + Duration::seconds(LOOK_AGAIN_SECONDS));
            return effects;
        }
        self.goal = Goal::Review;
        self.phase = Phase::Gathering;
        effects.extend(self.gather());
        effects
    }
}

/// The customer that the row will hold, by which many rows are read at once.
pub(super) fn customer(image: &Image) -> Option<StripeId> {
    image.get(&Field::Customer).and_then(|c| c.as_text()).and_then(|c| StripeId::of(StripeKind::Customer, c))
}

/// The application will not say more by being asked again: the row has to do as the proof.
fn stays_unheard(fault: &Fault) -> bool {
    matches!(fault.kind, FaultKind::Auth | FaultKind::Schema | FaultKind::Permission { .. } | FaultKind::Refused | FaultKind::NotFound)
}

/// The row of this subject among all that was read, and when.
///
/// # Errors
/// Why not everything could be read: one sentence.
pub(super) fn row_among(answers: &Answers, is: impl Fn(&SubjectKey) -> bool) -> Result<Option<(&Image, At)>, String> {
    let mut silent = None;
    for known in answers.all() {
        match known {
            (Query::RowsOf(_), Known::Is { value: Reply::Rows(rows), at }) => {
                if let Some((row, _)) = rows.iter().find(|(row, _)| is(&row.subject)) {
                    return Ok(Some((&row.image, *at)));
                }
            }
            (Query::Records(_), Known::Is { value: Reply::Records(records), at }) => {
                if let Some(row) = records.iter().find(|r| is(&r.subject.key)).and_then(|r| r.row.as_ref()) {
                    return Ok(Some((&row.image, *at)));
                }
            }
            (Query::RowsOf(_) | Query::Records(_), Known::Failed(fault)) => silent = Some(fault.say.clone()),
            _ => {}
        }
    }
    silent.map_or(Ok(None), Err)
}
