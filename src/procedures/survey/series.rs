//! What was received and what was applied in the last day, by the quarter of an hour; and since when nothing was.

use super::{HOURS, Moment, Survey};
use crate::domain::At;
use crate::domain::ids::StripeId;
use crate::domain::webhooks::endpoint::HANDLED;
use crate::domain::webhooks::verdict::Verdict;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Columns of the day that received and applied events are counted in.
pub const COLUMNS: usize = 96;

/// The counts of the last day, oldest column first. Empty until something was compared.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Series {
    pub received: Vec<u32>,
    pub applied: Vec<u32>,
    pub last_applied: Option<At>,
    pub settling: usize,
    /// Every event since then that can be judged is a failure.
    pub silence: Option<Silence>,
    version: u64,
    at: i64,
}

/// Nothing was applied since then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub since: At,
    /// The failures, newest first.
    pub events: Vec<StripeId>,
    pub customers: BTreeSet<StripeId>,
}

/// Fewer customers than this are a matter of their own, not of the endpoint.
const SEVERAL: usize = 2;

impl Series {
    /// All events of the day, and how many of them are in the database.
    #[must_use]
    pub fn totals(&self) -> (u32, u32) {
        (self.received.iter().sum(), self.applied.iter().sum())
    }

    /// How many of the day's events came since then.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.received.is_empty()
    }
}

impl Survey {
    /// Counts anew where anything has changed.
    pub(super) fn settle(&mut self, m: &Moment) {
        if !self.reading.has_seen_both() || self.shape.is_waiting() {
            return;
        }
        let minute = m.now.timestamp() / 60;
        if self.series.version == self.version && self.series.at == minute && !self.series.is_empty() {
            return;
        }
        self.group(m);
        let (mut received, mut applied) = (vec![0u32; COLUMNS], vec![0u32; COLUMNS]);
        let (mut last_applied, mut settling) = (None, 0);
        let column_minutes = HOURS * 60 / i64::try_from(COLUMNS).expect("invariant: a small constant");
        let day = m.now - Duration::hours(HOURS);
        for line in self.feed.lines.iter().take_while(|l| l.at >= day).filter(|l| HANDLED.contains(&&*l.kind)) {
            let back = usize::try_from((m.now - line.at).num_minutes().max(0) / column_minutes).unwrap_or(COLUMNS);
            let Some(column) = COLUMNS.checked_sub(back + 1) else { continue };
            received[column] += 1;
            match line.verdict {
                Verdict::Applied | Verdict::Superseded => {
                    applied[column] += 1;
                    last_applied = last_applied.max(Some(line.at));
                }
                Verdict::Settling => settling += 1,
                _ => {}
            }
        }
        self.series = Series { received, applied, last_applied, settling, silence: self.silence(), version: self.version, at: minute };
    }

    /// Since when nothing is applied: the newest events are failures, of several customers whose rows could have been found.
    fn silence(&self) -> Option<Silence> {
        let (mut events, mut customers, mut since) = (Vec::new(), BTreeSet::new(), None);
        for line in self.feed.lines.iter().filter(|l| HANDLED.contains(&&*l.kind)) {
            match line.verdict {
                Verdict::Applied | Verdict::Superseded => break,
                Verdict::Missing | Verdict::Contradicted => {
                    events.push(line.id.clone());
                    customers.extend(line.customer.clone());
                    since = Some(line.at);
                }
                _ => {}
            }
        }
        // A row that nobody linked would not be found on the best of days either.
        let linked = customers.iter().filter(|c| self.rows.contains_key(*c)).count();
        let since = since.filter(|_| customers.len() >= SEVERAL && linked >= 1)?;
        Some(Silence { since, events, customers })
    }
}
