//! What the customer pane knows: the answers to its case's questions, the case they make, the verdict on it.

use super::mirror::Asked;
use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::domain::At;
use crate::domain::diagnosis::{Diagnosis, Moment, diagnose};
use crate::domain::facts::{Case, Handle};
use crate::domain::fault::{Fault, Source};
use crate::domain::mask;
use crate::domain::row::Field;
use crate::protocol::answers::{Answers, assemble, next_reads};
use crate::protocol::freshness::Health;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Model {
    handle: Option<Handle>,
    answers: Answers,
    case: Option<Case>,
    pub(super) verdict: Option<Diagnosis>,
    /// The case of the reading before, shown until the new one is complete.
    earlier: Option<Box<(Case, Diagnosis)>>,
    /// When this reading began, in milliseconds.
    began: Option<u64>,
    /// When it was complete.
    pub(super) read_at: Option<At>,
    pub(super) next_slot: u16,
    #[serde(default)]
    pub(super) mirror: Asked,
    pub(super) tab: Tab,
    /// Lines scrolled away from the tab's resting place.
    pub(super) scroll: usize,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Tab {
    #[default]
    Timeline,
    Quota,
    Invoices,
}

/// A source that failed is asked again this soon after it has recovered, in seconds.
const RETRY_AFTER: i64 = 5;

impl Tab {
    pub const ALL: [Tab; 3] = [Tab::Timeline, Tab::Quota, Tab::Invoices];

    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Tab::Timeline => "Timeline",
            Tab::Quota => "Quota",
            Tab::Invoices => "Invoices",
        }
    }
}

impl Model {
    /// A fresh model of the case that this handle leads to; `entered` begins the reading.
    #[must_use]
    pub fn of(handle: Handle) -> Self {
        Self { handle: Some(handle), ..Self::default() }
    }

    /// The pane comes on screen, or the environment has just been connected. What was read before is read anew: it may have been mended.
    pub fn entered(&mut self, cx: &Context) -> Vec<Ask> {
        if self.began.is_some_and(|t| self.is_reading() && cx.tick.saturating_sub(t) < 3_000) {
            return Vec::new();
        }
        self.read(cx)
    }

    /// An answer to one of its reads: only those that are still wanted arrive.
    pub fn replied(&mut self, _slot: Slot, query: &Query, result: &Result<Reply, Fault>, cx: &Context) -> Vec<Ask> {
        let beside = self.mirrored(query, result, cx);
        if self.answers.get(query).is_none() {
            return if beside { self.ask_mirror(cx) } else { Vec::new() };
        }
        self.answers.put(query.clone(), result.clone(), cx.now);
        let mut asks = self.go_on();
        self.judge(cx);
        asks.extend(self.ask_mirror(cx));
        asks
    }

    /// Once a second, on screen or not.
    pub fn ticked(&mut self, cx: &Context) -> Vec<Ask> {
        self.judge(cx);
        let asks = self.ask_mirror(cx);
        if !asks.is_empty() {
            return asks;
        }
        let Some(case) = &self.case else { return Vec::new() };
        let back = |f: &Fault| f.passes() && cx.health(f.source) == Health::Ok;
        let recovered = case.faults().into_iter().any(back);
        let due = self.read_at.is_some_and(|at| (cx.now - at).num_seconds() >= RETRY_AFTER);
        if recovered && due && !self.is_reading() { self.read(cx) } else { Vec::new() }
    }

    /// A text field has the focus: keys go to `edit`.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        false
    }

    /// Whose case it is; `None` before one was opened.
    #[must_use]
    pub fn handle(&self) -> Option<&Handle> {
        self.handle.as_ref()
    }

    /// The case as far as it is known.
    #[must_use]
    pub fn case(&self) -> Option<Case> {
        self.shown().map(|(case, _)| case.clone())
    }

    /// A masked name for titles and lists of recent subjects.
    #[must_use]
    pub fn title(&self) -> String {
        let record = self.shown().and_then(|(c, _)| c.record());
        if let Some(email) = record.and_then(|r| r.subject.email.as_deref()) {
            return mask::email(email);
        }
        match &self.handle {
            Some(Handle::Email(address)) => mask::email(address),
            Some(Handle::Subject(key)) => mask::id(key.as_str()),
            Some(Handle::Stripe(id)) => mask::id(id.as_str()),
            Some(Handle::Placeholder(id)) => mask::id(id),
            None => String::new(),
        }
    }

    /// What is on screen: the case and its verdict; while it is read again, those of before.
    #[must_use]
    pub fn shown(&self) -> Option<(&Case, &Diagnosis)> {
        match &self.earlier {
            Some(e) if self.is_reading() => Some((&e.0, &e.1)),
            _ => self.case.as_ref().zip(self.verdict.as_ref()),
        }
    }

    /// The case of this reading, however incomplete.
    pub(super) fn current(&self) -> Option<&Case> {
        self.case.as_ref()
    }

    pub(super) fn answers(&self) -> &Answers {
        &self.answers
    }

    /// Questions are out.
    #[must_use]
    pub fn is_reading(&self) -> bool {
        self.answers.outstanding().next().is_some()
    }

    /// The sources that are being waited for, and for how long, in milliseconds.
    #[must_use]
    pub fn waiting(&self, tick: u64) -> (Vec<Source>, u64) {
        let mut sources: Vec<Source> = self.answers.outstanding().map(Query::source).collect();
        sources.sort();
        sources.dedup();
        (sources, self.began.map_or(0, |t| tick.saturating_sub(t)))
    }

    /// A question to Stripe came to nothing in a way that `is`.
    pub(super) fn has_failed_at_stripe(&self, is: impl Fn(&Fault) -> bool) -> bool {
        self.answers.all().any(|(query, known)| query.source() == Source::Stripe && known.fault().is_some_and(&is))
    }

    /// The row's tier, for lists of actions.
    #[must_use]
    pub fn tier(&self) -> Option<&str> {
        self.shown().and_then(|(c, _)| c.record()).and_then(|r| r.row.as_ref()).and_then(|r| r.text(Field::Tier))
    }

    /// Reads the whole case anew. What is on screen stays until the answers are there.
    pub(super) fn read(&mut self, cx: &Context) -> Vec<Ask> {
        if self.handle.is_none() || cx.env.is_none() {
            return Vec::new();
        }
        if let (Some(case), Some(verdict)) = (self.case.take(), self.verdict.take())
            && !self.answers.outstanding().any(|_| true)
        {
            self.earlier = Some(Box::new((case, verdict)));
        }
        self.answers = Answers::default();
        self.forget_mirror();
        self.began = Some(cx.tick);
        let asks = self.go_on();
        self.judge(cx);
        asks
    }

    fn go_on(&mut self) -> Vec<Ask> {
        let Some(handle) = &self.handle else { return Vec::new() };
        let mut asks = Vec::new();
        for query in next_reads(handle, None, &self.answers) {
            self.answers.asked(query.clone());
            self.next_slot = self.next_slot.wrapping_add(1);
            asks.push(Ask::Read { slot: Slot::Case(self.next_slot), query });
        }
        asks
    }

    fn judge(&mut self, cx: &Context) {
        let (Some(handle), Some(env), true) = (&self.handle, cx.env, self.began.is_some()) else { return };
        let case = assemble(handle, None, &self.answers);
        self.verdict = Some(diagnose(&case, &env.tiers, Moment { now: cx.stripe_now(), allowance: cx.survey.allowance() }));
        self.case = Some(case);
        if self.is_reading() {
            self.read_at = self.read_at.filter(|_| self.earlier.is_some());
        } else if self.earlier.take().is_some() || self.read_at.is_none() {
            self.read_at = Some(cx.now);
        }
    }
}
