//! Which clock events are judged by: Stripe's, learned from its answers. Ours may be minutes off, and is named where it is.

use super::{Moment, Present, Survey};
use crate::domain::diagnosis::Word;
use crate::domain::fault::Fault;
use crate::domain::findings::{About, Finding};
use crate::domain::skew;
use crate::protocol::query::{Query, Reply};
use chrono::Duration;

impl Survey {
    pub(super) fn present<'a>(&self, m: &Moment<'a>) -> Present<'a> {
        Present { now: m.now + self.clock_ahead(), here: m.now, tick: m.tick, env: m.env, sources: m.sources }
    }

    /// Taken before anything else of the answer: its events are to be judged by it.
    pub(super) fn take_clock(&mut self, query: &Query, result: &Result<Reply, Fault>) {
        if let (Query::EventPage(_), Ok(Reply::EventPage { clock_ahead: Some(ahead), .. })) = (query, result) {
            self.version += u64::from(skew::says(*ahead) != skew::says(self.ahead));
            self.ahead = *ahead;
        }
    }

    /// How far Stripe's clock is ahead of this machine's; zero before Stripe has answered.
    #[must_use]
    pub fn clock_ahead(&self) -> Duration {
        skew::correction(self.ahead)
    }

    /// The finding that this machine's clock is off.
    #[must_use]
    pub fn clock_finding(&self) -> Option<Finding> {
        let sentence = skew::says(self.ahead)?;
        Some(Finding {
            word: Word::Warn,
            sentence,
            size: String::new(),
            reason: "Events are judged by Stripe's clock meanwhile. Set this machine's; ages elsewhere on screen go by it.".into(),
            about: About::Clock,
            evidence: vec![format!("stripe: the date of its answers is {} s from ours", self.ahead)],
        })
    }
}
