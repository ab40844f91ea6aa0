//! What consoles alone have put right since the application was last seen at work: the rows are right, and the next event fails too.

use super::series::{FARTHEST, SEVERAL, Witness, stamp};
use super::{Present, Survey};
use crate::domain::At;
use crate::domain::diagnosis::Word;
use crate::domain::findings::{About, Finding};
use crate::domain::ids::StripeId;
use crate::domain::money::group;
use crate::domain::webhooks::cause::{Cause, Evidence, Held, Named, attribute, likely};
use crate::domain::webhooks::endpoint::HANDLED;
use crate::domain::webhooks::feed::Line;
use crate::domain::webhooks::verdict::Verdict;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The newest events had their effect by copying alone, and the application has applied nothing since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied {
    /// When the oldest of them happened.
    pub since: At,
    /// The newest first.
    pub events: Vec<StripeId>,
    pub customers: usize,
    /// When the application was last seen to apply anything, as far back as was looked.
    pub last: Option<At>,
    /// Why the application did not, as far as the evidence still tells.
    pub cause: Option<Cause>,
}

/// So many are looked at for why, the newest first.
const EXPLAINED: usize = 200;

impl Survey {
    /// The event's effect is there because a console has copied it.
    pub(super) fn was_copied(&self, line: &Line) -> bool {
        let Some(h) = line.subscription.as_ref().and_then(|s| self.feed.courses.get(s)) else { return false };
        if self.is_mended_unread(h) && h.written.is_some_and(|at| at < line.at) {
            return true;
        }
        // What was written before the event came is not its effect.
        let written = h.written.filter(|at| self.stamps_move && *at > line.at + self.allowance());
        written.is_some_and(|at| self.is_by_hand(&h.customer, at) && (self.is_being_sent(&h.customer, at) || !self.says_processed(line)))
    }

    pub(super) fn note_copied(&mut self, m: &Present) {
        let copied = self.find_copied(m.now);
        if self.copied != copied {
            self.copied = copied;
            self.version += 1;
        }
    }

    fn find_copied(&self, now: At) -> Option<Copied> {
        // Where the newest fail to this day, that says more.
        if self.hands.is_empty() || self.series.silence.is_some() {
            return None;
        }
        let (mut these, mut last, mut idle) = (Vec::<&Line>::new(), None, 0);
        let swallows = self.swallows();
        for line in self.feed.lines.iter().filter(|l| HANDLED.contains(&&*l.kind)) {
            if idle > FARTHEST || last.is_some_and(|worked| line.at <= worked) {
                break;
            }
            if !matches!(line.verdict, Verdict::Applied | Verdict::Superseded) {
                continue;
            }
            match self.witness(line, swallows) {
                Witness::Worked(at) => last = last.max(Some(at)),
                // The application had applied it, and somebody has written over it since.
                Witness::Repaired if self.says_processed(line) => last = last.max(Some(line.at)),
                Witness::Repaired => these.push(line),
                Witness::None => {}
                // Whose doing this was cannot be told, nor then whether anything before it belongs here.
                Witness::Open => break,
            }
            idle += 1;
        }
        these.retain(|line| last.is_none_or(|worked| line.at > worked) && line.customer.as_ref().is_some_and(|c| !self.was_linked(c)));
        let mut causes: BTreeMap<Cause, usize> = BTreeMap::new();
        for (n, line) in std::mem::take(&mut these).into_iter().enumerate() {
            let cause = if n < EXPLAINED { attribute(&self.before_it_was_copied(line), &self.scene, now).cause } else { Cause::Unknown };
            if self.says_nothing_of_now(cause, &line.kind) {
                continue;
            }
            these.push(line);
            if cause != Cause::Unknown {
                *causes.entry(cause).or_default() += 1;
            }
        }
        let customers: BTreeSet<&StripeId> = these.iter().filter_map(|l| l.customer.as_ref()).collect();
        (customers.len() >= SEVERAL).then(|| Copied {
            since: these.last().expect("invariant: there are several").at,
            events: these.iter().map(|l| l.id.clone()).collect(),
            customers: customers.len(),
            last,
            cause: causes.into_iter().max_by_key(|(_, n)| *n).map(|(cause, _)| cause),
        })
    }

    /// The facts of the event as they were while its effect was missing, as far as they are still known.
    fn before_it_was_copied(&self, line: &Line) -> Evidence {
        let told = self.evidence(line);
        Evidence { verdict: Verdict::Missing, held: Held::Customer, named: Named::Unknown, older_in_row: None, written_since: None, ..told }
    }

    /// What only consoles have put right; `None`: the application has applied something since, or nothing was copied.
    #[must_use]
    pub fn copied(&self) -> Option<&Copied> {
        self.copied.as_ref()
    }

    /// The finding that the application itself applies nothing, though nothing is missing.
    #[must_use]
    pub fn copied_finding(&self) -> Option<Finding> {
        let copied = self.copied.as_ref()?;
        let why = copied.cause.and_then(|cause| likely(cause, copied.since, &self.scene));
        let (events, customers) = (copied.events.len(), copied.customers);
        let mut evidence = vec![format!(
            "journal: {} since {}, of {} customers, had their effect by copying alone",
            if events == 1 { "1 event".to_string() } else { format!("{} events", group(events as u64)) },
            stamp(copied.since),
            group(customers as u64)
        )];
        evidence.extend(copied.last.map(|at| format!("the application was last seen to apply one at {}", stamp(at))));
        evidence.push("this goes when an event has its effect by the application".into());
        Some(Finding {
            word: Word::Warn,
            sentence: format!("The application itself has applied nothing since {}", copied.since.format("%H:%M")),
            size: format!("{} copied", group(customers as u64)),
            reason: ["What was missing was copied; until the cause is mended, the next event fails too.".to_string()]
                .into_iter()
                .chain(why)
                .collect::<Vec<_>>()
                .join(" "),
            about: About::Endpoint,
            evidence,
        })
    }
}
