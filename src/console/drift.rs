//! The drift scan of this console: at most one, in the background, started and stopped by the operator. Knows no pane.

use super::ask::Ask;
use crate::domain::At;
use crate::domain::diagnosis::Moment;
use crate::domain::fault::Fault;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::tiers::TierRules;
use crate::procedures::drift_scan::{Scan, Scope};
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use chrono::Duration;
use serde::{Deserialize, Serialize};

/// What a pane may ask of the scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// Compare the whole account.
    Account,
    /// Compare whoever changed within so many hours.
    Hours(u16),
    Pause,
    Resume,
    Cancel,
}

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Drift {
    scan: Option<Scan>,
}

impl Drift {
    /// The scan under way, or the last one.
    #[must_use]
    pub fn scan(&self) -> Option<&Scan> {
        self.scan.as_ref()
    }

    pub fn order(&mut self, order: Order, now: At) -> Vec<Ask> {
        let scope = match (order, &mut self.scan) {
            (Order::Account, _) => Scope::Account,
            (Order::Hours(hours), _) => Scope::Since(now - Duration::hours(i64::from(hours))),
            (Order::Pause, Some(scan)) => {
                scan.pause();
                return Vec::new();
            }
            (Order::Resume, Some(scan)) => {
                scan.resume();
                return self.go_on(now);
            }
            (Order::Cancel, Some(scan)) => {
                scan.cancel(now);
                return Vec::new();
            }
            (_, None) => return Vec::new(),
        };
        if self.scan.as_ref().is_some_and(Scan::is_under_way) {
            return vec![Ask::Say("A drift scan is under way already".into())];
        }
        self.scan = Some(Scan::new(scope, now));
        self.go_on(now)
    }

    /// Once a second, on screen or not.
    pub fn ticked(&mut self, moment: Moment) -> Vec<Ask> {
        if let Some(scan) = &mut self.scan {
            scan.allow(moment.allowance);
        }
        self.go_on(moment.now)
    }

    pub fn replied(&mut self, slot: u16, query: &Query, result: &Result<Reply, Fault>, rules: &TierRules, now: At) -> Vec<Ask> {
        let Some(scan) = &mut self.scan else { return Vec::new() };
        scan.replied(slot, query, result, rules, now);
        self.go_on(now)
    }

    /// The rows of these were written, by profile and customer: those of them that had drifted are compared again. `others`: more were, and
    /// nobody knows whose.
    pub fn look_again(&mut self, written: &[(SubjectKey, Option<StripeId>)], others: bool, now: At) -> Vec<Ask> {
        if let Some(scan) = &mut self.scan {
            scan.look_again(written);
            if others {
                scan.look_again_at_the_worst();
            }
        }
        self.go_on(now)
    }

    fn go_on(&mut self, now: At) -> Vec<Ask> {
        let Some(scan) = &mut self.scan else { return Vec::new() };
        if !scan.is_under_way() && !scan.looks_again() {
            return Vec::new();
        }
        scan.advance(now).into_iter().map(|(slot, query)| Ask::Read { slot: Slot::Drift(slot), query }).collect()
    }
}
