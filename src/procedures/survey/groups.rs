//! The failures by cause: the evidence that the survey holds, handed to the rule book.

use super::{Moment, Survey};
use crate::domain::diagnosis;
use crate::domain::ids::StripeId;
use crate::domain::webhooks::cause::{Cause, Remedy};
use crate::domain::webhooks::feed::{Group, Line};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

impl Survey {
    /// Attributes every failure, and gathers those of one cause.
    pub(super) fn group(&mut self, _m: &Moment) {
        let mut groups: BTreeMap<(Cause, Remedy), (Group, BTreeSet<StripeId>)> = BTreeMap::new();
        let mut causes: Vec<(usize, Cause)> = Vec::new();
        for (place, line) in self.feed.lines.iter().enumerate().filter(|(_, l)| l.verdict.is_failure()) {
            let (cause, remedy) = self.attribute(line);
            causes.push((place, cause));
            let (group, customers) = groups.entry((cause, remedy.clone())).or_insert_with(|| {
                let group = Group {
                    cause,
                    because: because(cause),
                    helps: helps(&remedy),
                    remedy,
                    events: Vec::new(),
                    customers: 0,
                    first: line.at,
                    last: line.at,
                    evidence: Vec::new(),
                };
                (group, BTreeSet::new())
            });
            group.first = group.first.min(line.at);
            group.events.push(line.id.clone());
            customers.extend(line.customer.clone());
            group.customers = customers.len();
        }
        let mut groups: Vec<Group> = groups.into_values().map(|(g, _)| g).collect();
        groups.sort_by_key(|g| std::cmp::Reverse((g.customers, g.events.len())));
        if *self.groups != groups {
            self.groups = Arc::new(groups);
            self.version += 1;
        }
        if causes.iter().any(|(place, cause)| self.feed.lines[*place].cause != Some(*cause)) {
            let feed = Arc::make_mut(&mut self.feed);
            causes.into_iter().for_each(|(place, cause)| feed.lines[place].cause = Some(cause));
            self.version += 1;
        }
    }

    fn attribute(&self, line: &Line) -> (Cause, Remedy) {
        let case = line.customer.as_ref().and_then(|c| self.judged(c)).map(|j| j.diagnosis.cause);
        match case {
            Some(diagnosis::Cause::Placeholder | diagnosis::Cause::OtherCustomer) => (Cause::NoRowForCustomer, Remedy::Link),
            Some(diagnosis::Cause::NoProfile) => (Cause::ProfileNotFound, Remedy::Skip("no profile can be named".into())),
            _ => (Cause::Unknown, Remedy::Apply),
        }
    }
}

fn because(cause: Cause) -> String {
    match cause {
        Cause::NoRowForCustomer => "The row holds another customer id, so the handler found nobody.".into(),
        Cause::ProfileNotFound => "No profile can be named.".into(),
        _ => "Nothing here says why.".into(),
    }
}

fn helps(remedy: &Remedy) -> String {
    match remedy {
        Remedy::Link => "Linking helps, resending does not.".into(),
        Remedy::Skip(why) => crate::domain::text::sentence(why),
        _ => "Copying from Stripe helps whatever the cause.".into(),
    }
}
