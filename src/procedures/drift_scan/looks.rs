//! Customers looked at by themselves, because a page could not decide: all their subscriptions, or the whole evidence for whose they are.

use super::{Asked, Heard, LOOKS_AT_ONCE, Scan, Times, Work, fingerprint};
use crate::domain::At;
use crate::domain::facts::Handle;
use crate::domain::fault::Fault;
use crate::domain::ids::StripeId;
use crate::domain::row::{Field, SubscriptionRow};
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::drift::Side;
use crate::protocol::answers::{Answers, assemble, next_reads};
use crate::protocol::query::{Query, Reply};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// Whom to look at, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Suspect {
    /// All subscriptions of the customer, then their row.
    All(StripeId),
    /// The one subscription that the row names.
    One(StripeId, Box<SubscriptionRow>),
    /// Whose customer, or which customer's profile: everything that can tell.
    Case(Handle),
}

impl Suspect {
    fn key(&self) -> String {
        match self {
            Suspect::All(id) => id.to_string(),
            Suspect::One(id, row) => format!("{id} {}", row.subject),
            Suspect::Case(handle) => name(handle),
        }
    }
}

/// A case's key: also the handle, in writing.
fn name(handle: &Handle) -> String {
    serde_json::to_string(handle).expect("invariant: a handle is plain data")
}

impl Scan {
    /// Puts the suspect in line, once.
    pub(super) fn suspect(&mut self, suspect: Suspect) {
        if Arc::make_mut(&mut self.looked_at).insert(fingerprint(&suspect.key())) {
            self.queue.push_back(suspect);
        }
    }

    /// Puts the suspect in front of the line, whoever was looked at before.
    pub(super) fn suspect_again(&mut self, suspect: Suspect) {
        if let Suspect::All(customer) = &suspect {
            // Where no row holds them, everything that can tell is read anew too.
            let case = Suspect::Case(Handle::Stripe(customer.clone())).key();
            Arc::make_mut(&mut self.looked_at).remove(&fingerprint(&case));
        }
        if !self.queue.contains(&suspect) {
            self.queue.push_front(suspect);
        }
    }

    /// Asks about those who wait, a few at a time.
    pub(super) fn look(&mut self) {
        let under_way = self.cases.len() + self.count(|w| matches!(w, Work::All(_) | Work::One(_) | Work::RowOf(..)));
        for _ in under_way..LOOKS_AT_ONCE {
            match self.queue.pop_front() {
                Some(Suspect::All(customer)) => self.ask(Query::SubscriptionsOf(customer.clone()), Work::All(customer)),
                Some(Suspect::One(id, row)) => self.ask(Query::Subscription(id), Work::One(row)),
                Some(Suspect::Case(handle)) => {
                    self.cases.insert(name(&handle), Answers::default());
                    self.read_on(&handle);
                }
                None => return,
            }
        }
    }

    pub(super) fn take_look(&mut self, work: Work, query: &Query, reply: &Reply, rules: &TierRules, times: Times) {
        let now = times.now;
        match (work, reply) {
            (Work::All(customer), Reply::Subscriptions(all)) => {
                let heard = Heard { subscriptions: Arc::new(all.clone()), at: times.asked, snapshots: false };
                self.ask(Query::RowsOf(vec![customer.clone()]), Work::RowOf(customer, heard));
            }
            (Work::RowOf(customer, heard), Reply::Rows(rows)) => {
                let row = rows.iter().map(|(r, _)| r).find(|r| r.text(Field::Customer) == Some(customer.as_str()));
                if row.is_none() {
                    self.suspect(Suspect::Case(Handle::Stripe(customer)));
                    return;
                }
                self.progress.looked += 1;
                let side = Side { customer: Some(&customer), subscriptions: &[], row, subject: None, read_at: heard.at };
                self.judge_side(&heard.subscriptions, &side, rules, now);
            }
            (Work::One(row), Reply::Subscriptions(found)) => {
                self.progress.looked += 1;
                let customer = found.first().map(|s| s.customer.clone());
                // The row was read first: what was written to it since is not in it, and cannot look too new.
                let side = Side { customer: customer.as_ref(), subscriptions: &[], row: Some(&row), subject: None, read_at: times.asked };
                self.judge_side(found, &side, rules, now);
            }
            (Work::Case(key), reply) => self.case_answered(&key, query, Ok(reply.clone()), rules, times),
            _ => {}
        }
    }

    /// This one cannot be read: it is counted, and the others go on.
    pub(super) fn gave_up(&mut self, asked: Asked, fault: &Fault, rules: &TierRules, now: At) {
        match asked.work {
            Work::Case(key) => self.case_answered(&key, &asked.query, Err(fault.clone()), rules, Times { asked: now, now }),
            _ => self.unread(fault),
        }
    }

    fn unread(&mut self, fault: &Fault) {
        self.progress.unread += 1;
        self.progress.unread_because = Some(fault.say.clone());
    }

    fn case_answered(&mut self, key: &str, query: &Query, result: Result<Reply, Fault>, rules: &TierRules, times: Times) {
        let Some(answers) = self.cases.get_mut(key) else { return };
        answers.put(query.clone(), result, times.asked);
        let Ok(handle) = serde_json::from_str::<Handle>(key) else { return };
        self.read_on(&handle);
        let complete = self.cases.get(key).is_some_and(|a| a.outstanding().next().is_none());
        if complete && let Some(answers) = self.cases.remove(key) {
            self.conclude(&handle, &answers, rules, times.now);
        }
    }

    /// Asks what the case still needs. What the application enforces and what was invoiced do not decide which row is due.
    fn read_on(&mut self, handle: &Handle) {
        let key = name(handle);
        let Some(answers) = self.cases.get_mut(&key) else { return };
        let wanted: Vec<Query> =
            next_reads(handle, None, answers).into_iter().filter(|q| !matches!(q, Query::Entitlement(_) | Query::InvoicesOf(_))).collect();
        for query in &wanted {
            answers.asked(query.clone());
        }
        for query in wanted {
            self.ask(query, Work::Case(key.clone()));
        }
    }

    fn conclude(&mut self, handle: &Handle, answers: &Answers, rules: &TierRules, now: At) {
        let case = assemble(handle, None, answers);
        let faults = [case.record.fault(), case.customer.fault(), case.subscriptions.fault()];
        let unsaid = case.sessions_unread.as_ref().filter(|_| case.record().is_none());
        if let Some(fault) = faults.into_iter().flatten().next().or(unsaid) {
            self.unread(&fault.clone());
            return;
        }
        self.progress.looked += 1;
        let of_handle = if let Handle::Stripe(id) = handle { Some(id) } else { None };
        let read_at = case.subscriptions.at().unwrap_or(now);
        let Some(side) = Side::of(&case, of_handle, read_at) else { return };
        self.judge_side(side.subscriptions, &side, rules, now);
    }
}
