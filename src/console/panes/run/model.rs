//! A run as the screen holds it: the engine's state, and where the operator is within it.

use crate::console::context::Context;
use crate::console::guard::{Guard, PASTE_MS};
use crate::console::widgets::form::TextField;
use crate::domain::fault::{FaultKind, Source};
use crate::domain::policy::{Standing, judge};
use crate::domain::shared::Shared;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::command::Command;
use crate::protocol::run::{Step, short};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeSet, VecDeque};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// Shared with older copies of the state for as long as it stays the same: it holds every act and try.
    pub run: Shared<Run>,
    /// The option under the cursor, while the run asks for a decision.
    pub choice: Option<usize>,
    /// The options that are marked, where several may be taken.
    pub marked: BTreeSet<usize>,
    /// What is being typed to confirm, where the plan asks for it.
    pub typed: TextField,
    /// The operator has stepped out of the field, to keys that are letters.
    pub aside: bool,
    /// First line shown of a plan that is longer than the screen.
    pub scroll: u16,
    /// The last lines of a command that is being run.
    pub heard: VecDeque<String>,
    guard: Guard,
    /// When the last character came into the field: an Enter right behind it belongs to a paste.
    last_typed: Option<u64>,
    /// The question on screen: the guard belongs to it.
    asked: Option<String>,
    confirmed: bool,
}

/// So many of a command's lines are shown.
const HEARD: usize = 8;

impl Model {
    #[must_use]
    pub fn of(run: Run) -> Self {
        let mut model = Self {
            run: run.into(),
            choice: None,
            marked: BTreeSet::new(),
            typed: TextField::default(),
            aside: false,
            scroll: 0,
            heard: VecDeque::new(),
            guard: Guard::default(),
            last_typed: None,
            asked: None,
            confirmed: false,
        };
        model.follow();
        model
    }

    /// Looks at where the run stands: a new question shuts the guard and forgets what was typed for the one before.
    pub fn follow(&mut self) {
        let asked = match &self.run.phase {
            Phase::Review => self.run.plan.as_ref().map(crate::protocol::run::Plan::digest),
            Phase::Deciding(d) => Some(d.id.clone()),
            _ => None,
        };
        if asked == self.asked {
            return;
        }
        self.asked = asked;
        self.guard = Guard::default();
        self.typed.clear();
        self.aside = false;
        self.scroll = 0;
        self.choice = None;
        self.marked.clear();
        if self.asked.is_some() {
            self.confirmed = false;
        }
    }

    /// A command of this run printed this.
    pub fn hear(&mut self, line: String) {
        self.heard.push_back(line);
        if self.heard.len() > HEARD {
            self.heard.pop_front();
        }
    }

    pub fn painted(&mut self, tick: u64) {
        if self.asked.is_some() {
            self.guard.painted(tick);
        }
    }

    /// The question has been on screen long enough for an answer to be meant for it.
    #[must_use]
    pub fn is_settled(&self, tick: u64) -> bool {
        self.guard.lets_through(tick)
    }

    /// Something came into the field.
    pub fn typed_at(&mut self, tick: u64) {
        self.last_typed = Some(tick);
    }

    /// Enter says what stands in the field: the question was on screen, and the key did not come in with a paste.
    #[must_use]
    pub fn takes_enter(&self, tick: u64) -> bool {
        self.is_settled(tick) && self.last_typed.is_none_or(|typed| tick > typed + PASTE_MS)
    }

    /// The operator has confirmed what was under review.
    pub fn confirmed(&mut self) {
        self.confirmed = true;
    }

    /// Nothing of it was confirmed, and the journal knows nothing of it: leaving gives it up.
    #[must_use]
    pub fn is_draft(&self) -> bool {
        !self.confirmed && self.run.tries.is_empty() && !self.run.is_journaled()
    }

    /// It waits for the operator, and stays when it is left: what ends it has to be asked for.
    #[must_use]
    pub fn may_be_given_up(&self) -> bool {
        let waits = matches!(self.run.phase, Phase::Review | Phase::Deciding(_) | Phase::Waiting(_));
        waits && self.run.is_journaled() && !self.run.is_watching()
    }

    /// Something is going on that the operator is not being asked about.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        matches!(self.run.phase, Phase::Running | Phase::Verifying | Phase::Unknown(_) | Phase::Waiting(_)) && !self.is_draft()
    }

    /// The step that is the operator's own to do now.
    #[must_use]
    pub fn manual(&self) -> Option<&Step> {
        self.run.plan.as_ref().filter(|_| self.run.phase == Phase::Review).and_then(|p| p.next_manual())
    }

    /// The option under the cursor, as one of several that may be taken.
    ///
    /// # Errors
    /// Why it cannot be marked.
    pub fn markable(&self) -> Result<usize, String> {
        let Phase::Deciding(decision) = &self.run.phase else { return Err("nothing is asked".into()) };
        let at = self.choice.filter(|c| *c < decision.options.len()).ok_or("No answer is chosen yet: j and k go to one")?;
        match decision.options[at].value.as_str() {
            _ if !decision.takes_several() => Err("only one of these can be taken".into()),
            "all" => Err("all of them is an answer of its own: enter takes it".into()),
            _ => Ok(at),
        }
    }

    /// The text that confirms is being typed.
    #[must_use]
    pub fn is_editing(&self, cx: &Context) -> bool {
        !self.aside && self.has_field(cx)
    }

    /// There is something to type: what confirms, or what was done by hand.
    #[must_use]
    pub fn has_field(&self, cx: &Context) -> bool {
        if self.manual().is_some() {
            return true;
        }
        // It stays while a source is late: what is being typed must not turn into commands. Enter says what stands in the way.
        self.run.phase == Phase::Review && self.run.plan.as_ref().is_some_and(|p| p.typed.is_some()) && cx.writes_are_on()
    }

    /// Whether a confirmation would be taken now.
    ///
    /// # Errors
    /// What stands in the way, as one sentence that says what to do.
    pub fn may_confirm(&self, cx: &Context) -> Result<(), String> {
        let Some(plan) = self.run.plan.as_ref().filter(|_| self.run.phase == Phase::Review) else {
            return Err("There is nothing to confirm".into());
        };
        // The shared store may wait for its records; our own journal may not: without it the gate refuses what was confirmed.
        let unjournaled = cx.sources.get(&Source::Store).and_then(|s| s.last_fault.as_ref()).filter(|f| f.kind == FaultKind::Journal);
        if let Some(fault) = unjournaled {
            return Err(format!("Nothing is written that cannot be journaled: {}", fault.say));
        }
        let standing = Standing { mode: cx.mode, writes: cx.writes.clone(), now: cx.now, confirmed: true, journal: true };
        judge(plan.tier(), &standing).map_err(|denied| denied.to_string())?;
        // A restart is for what does not answer, a call for help too: they rest on nothing but that.
        if plan.commands().iter().all(|c| matches!(c, Command::RunHook { .. } | Command::Escalate { .. })) {
            return Ok(());
        }
        // The plan was made from Stripe and the database; a write on old facts is a guess. Sessions are the database's alone.
        let sessions = plan.commands().iter().all(|c| matches!(c, Command::EndSession { .. }));
        let mut needed = if sessions { vec![Source::Database] } else { vec![Source::Stripe, Source::Database] };
        needed.extend(plan.commands().iter().map(|c| c.target()));
        match needed.into_iter().find(|s| !cx.health(*s).serves_writes()) {
            Some(source) => Err(format!("{} does not answer: the facts may be old, and nothing is written on old facts", source.word())),
            None => Ok(()),
        }
    }

    /// `7f3a`.
    #[must_use]
    pub fn name(&self) -> String {
        short(self.run.id)
    }
}
