//! The last look at a row before an act that compares nothing itself: what was overtaken since the review is left alone. It sends nothing.

use super::Run;
use super::bulk::Stage;
use super::effects::{ROWS_AT_ONCE, customer, row_among};
use crate::domain::row::diff;
use crate::protocol::query::{Locator, Query};
use crate::protocol::run::{Expect, StepState};

/// So many profiles are asked for in one statement.
const PROFILES_AT_ONCE: usize = 20;
/// What becomes of an act whose row is neither as it was shown nor as it should be.
pub(super) const CHANGED: &str = "its row changed since the review, by somebody else";

impl Run {
    /// The rows that the next acts rest on: by the customer that each was shown to hold, where it held one.
    pub(super) fn look_reads(&self) -> Vec<Query> {
        let (Some(plan), Some(bulk)) = (&self.plan, &self.bulk) else { return Vec::new() };
        let (mut customers, mut profiles) = (Vec::new(), Vec::new());
        for item in bulk.looking.iter().map(|i| &bulk.items[*i]) {
            let Stage::Waiting(step) = item.stage else { continue };
            let Some((shown, subject)) = plan.steps[step].shown.as_ref().zip(plan.steps[step].subject.as_ref()) else { continue };
            match customer(shown) {
                Some(id) => customers.push(id),
                None => profiles.push(subject.clone()),
            }
        }
        let rows = customers.chunks(ROWS_AT_ONCE).map(|c| Query::RowsOf(c.to_vec()));
        rows.chain(profiles.chunks(PROFILES_AT_ONCE).map(|p| Query::Records(Locator::Subjects(p.to_vec())))).collect()
    }

    /// What the look at this item's row says: its act may begin, or is not needed, or nobody's to begin any more.
    ///
    /// # Errors
    /// Why the row could not be read: one sentence.
    pub(super) fn looked_at(&mut self, at: usize) -> Result<(), String> {
        let (Some(plan), Some(bulk)) = (&self.plan, &mut self.bulk) else { return Ok(()) };
        let item = &mut bulk.items[at];
        let Stage::Waiting(step) = item.stage else { return Ok(()) };
        let Some((shown, subject)) = plan.steps[step].shown.as_ref().zip(plan.steps[step].subject.as_ref()) else { return Ok(()) };
        let due = match &plan.steps[step].expect {
            Some(Expect::Row { image, .. }) => Some(image),
            _ => None,
        };
        match row_among(&self.answers, |key| key == subject)? {
            Some((row, seen)) if row == shown => item.seen = Some(seen),
            Some((row, _)) if due.is_some_and(|due| diff(row, due).is_empty()) => {
                item.overtaken = Some(CHANGED.into());
                item.stage = Stage::Applied(step);
                self.skip(at, step, "right before we came");
            }
            _ => self.leave_alone(at, step),
        }
        Ok(())
    }

    /// The row of this item has become somebody else's doing: nothing is sent over it, and nothing has failed.
    pub(super) fn leave_alone(&mut self, at: usize, step: usize) {
        if let Some(bulk) = &mut self.bulk {
            bulk.items[at].stage = Stage::Changed;
        }
        self.skip(at, step, CHANGED);
    }

    /// Neither this act nor the one in its place is needed.
    fn skip(&mut self, at: usize, step: usize, why: &str) {
        let (Some(plan), Some(bulk)) = (&mut self.plan, &self.bulk) else { return };
        for step in std::iter::once(step).chain(bulk.items[at].instead) {
            plan.steps[step].state = StepState::Skipped(why.to_string());
        }
    }
}
